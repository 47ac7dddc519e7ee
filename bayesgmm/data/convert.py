"""Arrays, frames and tables of any library as doubles on the host, with the names that they carry."""

from decimal import Decimal
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np

from bayesgmm.errors import DataError

ADVICE = {
    "M": "Subtract a date and divide by a unit, such as (t - t.min()) / np.timedelta64(1, 'D')",
    "m": "Divide by a unit, such as t / np.timedelta64(1, 's')",
    "c": "Take x.real and x.imag as two features",
    "category": "If the codes are measurements, call .astype(float); otherwise drop the column",
    "text": "Encode or drop it; if it holds numbers as text, call .astype(float)",
}
"""What to call for values of a kind that is not numeric."""


def as_doubles(x: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Values as doubles, (N,) or (N, D), and the names of the columns if x has names.

    Missing values of any kind become NaN.

    Raises
    ------
    DataError
        If x is not a table, or a column does not hold real numbers. The message says what to call.
    """
    library = _library(x)
    if library in ("polars", "pyarrow"):
        x = _to_pandas(x)
    elif library == "xarray" and hasattr(x, "data_vars"):
        x = _dataset_frame(x)
    elif library == "xarray":
        return _plain(x.values), _labels(x)
    if _library(x) == "pandas":
        return _from_pandas(x)
    if isinstance(getattr(x, "dtype", None), np.dtype) and x.dtype.names:
        columns = {str(name): _plain(x[name], str(name)) for name in x.dtype.names}
        if any(column.ndim != 1 for column in columns.values()):
            raise DataError("Each field of a structured array must hold one number a row. Pass a plain array (N, D).")
        return np.stack(list(columns.values()), axis=1), tuple(columns)
    return _plain(x), None


def _library(x: Any) -> str:
    """The library of the table, looked up by the name of its module, so that none is imported."""
    found = {base.__module__.partition(".")[0] for base in type(x).__mro__}
    return next((name for name in ("pandas", "polars", "pyarrow", "xarray") if name in found), "")


def _to_pandas(x: Any) -> Any:
    try:
        x = x.collect() if hasattr(x, "collect") else x
        return _polars_frame(x) if _library(x) == "polars" else x.to_pandas()
    except Exception as error:
        raise DataError(
            f"The {type(x).__name__} could not be converted ({_first_line(error)}). "
            "Pass a pandas DataFrame or a NumPy array of numbers."
        ) from None


def _polars_frame(x: Any) -> Any:
    """A frame or Series of polars, whose own ``to_pandas`` needs pyarrow."""
    import pandas as pd

    columns = {column.name: column.to_numpy() for column in (x.get_columns() if hasattr(x, "get_columns") else [x])}
    frame = pd.DataFrame({name: list(values) if values.ndim > 1 else values for name, values in columns.items()})
    return frame if hasattr(x, "get_columns") else frame[x.name]


def _dataset_frame(x: Any) -> Any:
    names = list(x.data_vars)
    if not names or len(x.sizes) != 1 or any(x[name].ndim != 1 for name in names):
        raise DataError(
            "An xarray Dataset is read if its variables have one dimension, the same for all; these have "
            f"{', '.join(f'{name}{list(map(str, x[name].dims))}' for name in names) or 'no variable'}. "
            "Pass x.to_dataframe(), or the DataArray with dims (rows, features)."
        )
    return x[names].to_dataframe()[names]


def _labels(x: Any) -> tuple[str, ...] | None:
    """Names of the features of a DataArray: the coordinate of its second dimension, or its own name."""
    if x.ndim == 2 and x.dims[1] in x.coords:
        return tuple(map(str, x.coords[x.dims[1]].values))
    return (str(x.name),) if x.ndim == 1 and isinstance(x.name, str) and x.name else None


def _from_pandas(x: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """A DataFrame; or a Series, Index or extension array, read as a frame with one column is."""
    if not hasattr(x, "columns"):
        name = getattr(x, "name", None)
        names = None if name is None or name == "" else (str(name),)
        if not hasattr(x, "dtype") or hasattr(x, "levels"):
            raise DataError(f"A {type(x).__name__} is not data. Pass a DataFrame, such as x.to_frame() of an index.")
        return _column(x, names[0] if names else "the data"), names
    names = tuple(map(str, x.columns))
    if all(isinstance(kind, np.dtype) and kind.kind in "iufb" for kind in x.dtypes):
        return x.to_numpy(dtype=np.float64), names
    values, refused = np.empty(x.shape), []
    for d, name in enumerate(names):
        try:
            values[:, d] = _column(x.iloc[:, d], name)
        except DataError as error:
            refused.append((name, str(error)))
    if len(refused) > 1:
        raise DataError(
            f"Not numeric: {', '.join(name for name, _ in refused)}. A Gaussian mixture needs numbers. "
            "Drop these columns or convert them to numbers. On the command line, choose the others with --columns."
        )
    if refused:
        raise DataError(f"{refused[0][1]} On the command line, choose the other columns with --columns.")
    return values, names


def _column(x: Any, name: str) -> np.ndarray:
    """One column of pandas. Nullable, Arrow-backed and sparse types tell their kind as NumPy types do."""
    kind = "category" if str(x.dtype) == "category" else getattr(x.dtype, "kind", "O")
    if kind in "iufb":
        return x.to_numpy(dtype=np.float64, na_value=np.nan)
    return _from_objects(x.to_numpy(dtype=object), name) if kind == "O" else _refuse(kind, name)


def _plain(x: Any, name: str = "the data") -> np.ndarray:
    """Anything that NumPy takes; masked values become NaN."""
    if isinstance(x, str | bytes | PathLike):
        raise DataError("The data are text. Pass load_dataset(name), pandas.read_csv(path), or an array of numbers.")
    try:
        values = x if isinstance(x, np.ma.MaskedArray) else np.asarray(x)
    except Exception as error:  # the conversion runs code of other libraries
        advice = "x.detach().cpu().numpy()" if hasattr(x, "detach") else "an array, or rows of equal length"
        raise DataError(f"The data could not be read as numbers ({_first_line(error)}). Pass {advice}.") from None
    kind = values.dtype.kind
    if kind == "O" and values.ndim == 0:
        raise DataError(f"The data are a {type(x).__name__}, which is not a table. Pass {_instead(x)}.")
    if kind == "O":
        hidden = np.ma.getmaskarray(values)
        return _from_objects(np.where(hidden, np.full_like(hidden, None, object), np.ma.getdata(values)), name)
    if kind not in "iufb" and not (kind == "V" and values.dtype.type is not np.void):  # V: bfloat16 of JAX
        return _refuse(kind, name)
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values, dtype=np.float64)


def _instead(x: Any) -> str:
    if hasattr(x, "toarray"):
        return "x.toarray()"
    return "pandas.DataFrame(x)" if isinstance(x, dict) else "a DataFrame or an array of shape (rows, features)"


def _from_objects(values: np.ndarray, name: str) -> np.ndarray:
    """Python's numbers and Decimals as doubles. Text is refused, even if it spells a number."""
    flat = values.ravel()
    found = np.empty(flat.size)
    for i, value in enumerate(flat):
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            found[i] = np.nan
            continue
        if not isinstance(value, Real | Decimal | np.bool_) or isinstance(value, np.timedelta64):
            _refuse("text" if isinstance(value, str | bytes) else type(value).__name__, name)
        try:
            found[i] = float(value)
        except (OverflowError, ValueError) as error:  # 10**400; Decimal("sNaN")
            raise DataError(f"Not numeric: {name} (a value is no double: {error}). Correct or drop that row.") from None
    return found.reshape(values.shape)


def _refuse(kind: str, name: str) -> Any:
    what = {
        "M": "dates",
        "m": "time differences",
        "c": "complex numbers",
        "category": "categories",
        "V": "raw bytes",
    }.get(kind, kind)
    if kind in ("U", "S", "T", "text"):
        kind, what = "text", "text"
    advice = ADVICE.get(kind, "Keep only numeric columns, and encode or drop the others")
    raise DataError(f"Not numeric: {name} (it holds {what}). A Gaussian mixture needs numbers. {advice}.")


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]
