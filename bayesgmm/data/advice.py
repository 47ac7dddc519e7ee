"""What to call for a table that is refused. Each call is right for the object that was given, which it names `x`."""

from typing import Any

from bayesgmm.data.marks import is_plain
from bayesgmm.errors import DataError

LIBRARIES = ("pandas", "polars", "pyarrow", "xarray", "dask")


def library_of(x: Any) -> str:
    """The library of the table, looked up by the name of its module, so that none is imported."""
    found = {base.__module__.partition(".")[0] for base in type(x).__mro__}
    return next((name for name in LIBRARIES if name in found), "")


def labels_of(x: Any) -> list[Any]:
    """The labels of the columns as x has them; empty if they have none, or x has a single dimension."""
    if getattr(getattr(x, "dtype", None), "names", None):
        return list(x.dtype.names)
    library = library_of(x)
    if library == "xarray":
        if hasattr(x, "data_vars"):
            return list(x.data_vars)
        return list(x.coords[x.dims[1]].values.tolist()) if x.ndim == 2 and x.dims[1] in x.coords else []
    if library == "pyarrow":
        return list(getattr(x, "column_names", ()))
    if hasattr(x, "collect_schema"):
        return x.collect_schema().names()
    return list(x.columns) if library and hasattr(x, "columns") else []


def selection(x: Any, labels: list[Any]) -> str:
    """The call that selects columns of x."""
    if library_of(x) == "xarray" and not hasattr(x, "data_vars"):
        return f"x.sel({{{x.dims[1]!r}: {labels!r}}})"
    return f"x.select({labels!r})" if library_of(x) in ("polars", "pyarrow") else f"x[{labels!r}]"


def not_numeric(refused: dict[str, tuple[str, str]], x: Any) -> DataError:
    """The error for columns by name, each with its kind and an example (see `kind_of`)."""
    listing = ", ".join(f"{name} ({WORDS.get(kind, kind)}{shown})" for name, (kind, shown) in refused.items())
    by_kind: dict[str, list[str]] = {}
    for name, (kind, _) in refused.items():
        by_kind.setdefault(kind if kind in WORDS else "other", []).append(name)
    advice = [_advice(kind, names, x) for kind, names in by_kind.items()]
    return DataError(f"Not numeric: {listing}. A Gaussian mixture needs numbers. {' '.join(advice)}")


WORDS = {
    "M": "it holds dates", "m": "it holds time differences", "c": "it holds complex numbers", "V": "it holds raw bytes",
    "category": "it holds categories", "text": "it holds text", "digits": "it holds numbers as text",
}  # fmt: skip
"""Kinds of values that are not numeric."""


def kind_of_texts(values: Any) -> tuple[str, str]:
    """``digits`` if each text spells a number; else ``text``, with an example."""
    for value in values:
        text = value.decode("latin-1") if isinstance(value, bytes) else value
        if isinstance(text, str) and not is_plain(text):
            return "text", f", such as {text[:40]!r}"
    return "digits", ""


def _advice(kind: str, names: list[str], x: Any) -> str:
    labels = [label for label in labels_of(x) if str(label) in names]
    listed = ", ".join(names)
    if kind == "digits":
        return f"Convert: {_as_floats(labels, x)}."
    if kind == "category":
        return f"If the categories of {listed} are measurements, convert: {_as_floats(labels, x)}."
    if kind in "Mmc":
        table = "x.to_pandas()" if library_of(x) == "pyarrow" else "x.collect()" if hasattr(x, "collect") else "x"
        column = f"{table}[{labels[0]!r}]" if labels else "x"
        if kind == "c":
            return f"Take t.real and t.imag as two features, where t = {column}."
        time = "(t - t.min())" if kind == "M" else "t"
        number = f"{time}.dt.total_seconds()" if library_of(x) == "polars" else f"{time} / np.timedelta64(1, 's')"
        return f"Use a time in seconds, {number}, where t = {column}."
    if not labels or len(labels) == len(labels_of(x)):
        return f"Encode {listed} as numbers, or use other data."
    return f"Encode as numbers what measures something; drop names of rows or classes: {_without(labels, x)}."


def _as_floats(labels: list[Any], x: Any) -> str:
    library = library_of(x)
    if library == "polars":  # categories have no direct cast
        column = f"pl.col({labels!r})" if labels else "x"
        cast = f"{column}.cast(pl.String).cast(pl.Float64)"
        return f"x.with_columns({cast})" if labels else cast
    if library in ("pandas", "pyarrow") and labels:
        frame = "x" if library == "pandas" else "x.to_pandas()"
        return f"{frame}.astype({dict.fromkeys(labels, float)!r})".replace(repr(float), "float")
    if labels and library == "xarray" and hasattr(x, "data_vars"):
        return f"x.assign({{name: x[name].astype(float) for name in {labels!r}}})"
    if labels and library != "xarray":
        return f"pandas.DataFrame(x).astype({dict.fromkeys(labels, float)!r})".replace(repr(float), "float")
    return "x.astype(float)" if library in ("pandas", "xarray") else "np.asarray(x, float)"


def _without(labels: list[Any], x: Any) -> str:
    kept = [label for label in labels_of(x) if label not in labels]
    if library_of(x) == "pandas":
        return f"x.drop(columns={labels!r})"
    return selection(x, kept)


INSIDE = {"obj": "x.obj", "data": "x.data", "df": "x.df", "to_frame": "x.to_frame()"}
"""Where objects that are made of a table have it, by attribute: grouped and rolling tables, styled ones, indices."""


def not_a_table(x: Any) -> DataError:
    """The error for an object of a library that is none of its tables."""
    call = next((call for attribute, call in INSIDE.items() if hasattr(x, attribute)), None)
    return DataError(f"A {type(x).__name__} is not a table. Pass {call or 'a DataFrame or an array of numbers'}.")


def not_one_table(x: Any) -> DataError:
    """The error for an xarray Dataset or DataTree that is not one table, and what of it is one."""
    if hasattr(x, "children"):
        paths = [node.path for node in x.subtree if node.data_vars]
        calls = [f"x[{path!r}].to_dataset()" for path in paths[:3]]
        return DataError(
            f"A DataTree holds one table or several. Pass one of them{', such as ' if calls else ''}"
            f"{' or '.join(calls)}, or a variable of it."
        )
    groups: dict[tuple, list[Any]] = {}
    for name, array in x.data_vars.items():
        groups.setdefault(array.dims, []).append(name)
    listing = ", ".join(f"{name}{list(map(str, x[name].dims))}" for name in x.data_vars) or "no variable"
    calls = [_table_of(dims, names) for dims, names in groups.items() if dims]
    if len(groups) > 1 and all(len(dims) == 1 for dims in groups) and len(set(x.sizes[d[0]] for d in groups)) == 1:
        columns = ", ".join(f"x[{name!r}]" for name in x.data_vars)
        calls.append(f"np.column_stack([{columns}]) if the i-th values of all belong to one row")
    return DataError(
        "An xarray Dataset is read if its variables have one dimension, the same for all; these have "
        f"{listing}. Pass {'; or '.join(calls) or 'a Dataset with a variable for each feature'}."
    )


def _table_of(dims: tuple, names: list[Any]) -> str:
    if len(dims) == 1:
        return f"x[{names!r}]"
    table = f"x[{names!r}].to_dataframe()[{names!r}] if each combination of {', '.join(map(str, dims))} is a row"
    return f"x[{names[0]!r}] if {dims[1]} has the features; or {table}" if len(dims) == 2 and len(names) == 1 else table


def refuse_other_columns(x: Any, features: tuple[str, ...]) -> None:
    """Refuse new data with columns beside those of the fit, without some of them, or one row as a Series."""
    if library_of(x) == "pandas" and hasattr(x, "to_frame") and set(features) <= set(map(str, x.index)):
        row = "x" if len(x) == len(features) else selection(x, in_order_of(list(x.index), features))
        raise DataError(
            f"The new data are one row as a Series, which would be read as one column. Pass {row}.to_frame().T, or "
            "take the row of its frame as a frame, such as df.iloc[[0]]."
        )
    labels = labels_of(x)
    names = list(map(str, labels))
    beside, lacking = [n for n in names if n not in features], [f for f in features if f not in names]
    if not labels or (len(labels) == len(features) and lacking):
        return  # other names
    if lacking:
        raise DataError(
            f"The fit has features {', '.join(features)}; the new data lack {', '.join(lacking)}. Add or rename "
            "columns."
        )
    if beside:
        raise DataError(
            f"The new data have columns that the fit has not: {', '.join(beside)}. Select those of the fit: "
            f"{selection(x, in_order_of(labels, features))}."
        )


def in_order_of(labels: list[Any], features: tuple[str, ...]) -> list[Any]:
    """The labels of the columns with these names, in the order of the names."""
    return [next(label for label in labels if str(label) == feature) for feature in features]
