"""Arrays, frames and tables of any library as doubles on the host, with the names that they carry."""

from collections.abc import Callable, Iterable
from decimal import Decimal
from numbers import Real
from os import PathLike
from typing import Any

import numpy as np

from bayesgmm.data.advice import kind_of_texts, library_of, not_a_table, not_numeric, not_one_table
from bayesgmm.data.protocols import opened
from bayesgmm.errors import DataError


class _Kind(Exception):
    """Values are not numeric: their kind, and an example."""


def as_doubles(x: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """Values as doubles, (N,) or (N, D), and the names of the columns if x has names.

    Missing values of any kind become NaN.

    Raises
    ------
    DataError
        If x is not a table, or a column does not hold real numbers. The message says what to call.
    """
    x, call = opened(x)
    try:
        return _with_its_name(x)
    except DataError as error:
        raise DataError(f"{error} Here x is {call}.") if call else error from None


def _with_its_name(x: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """The numbers and names of `_as_doubles`; an error about a single column has its name."""
    try:
        return _as_doubles(x)
    except _Kind as found:
        name = getattr(x, "name", None)
        raise not_numeric({"the data" if name is None or name == "" else str(name): found.args}, x) from None


def _as_doubles(x: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    library, given = library_of(x), x
    if library in ("polars", "pyarrow"):
        x = _to_pandas(x)
    elif library == "xarray" and hasattr(x, "data_vars"):
        x = _dataset_frame(x)
    elif library == "xarray":
        return _plain(x.values), _labels(x)
    if library_of(x) == "pandas":
        return _from_pandas(x, given)
    if isinstance(getattr(x, "dtype", None), np.dtype) and x.dtype.names:
        columns = {str(name): x[name] for name in x.dtype.names}
        if any(column.ndim != 1 for column in columns.values()):
            raise DataError("Each field of a structured array must hold one number a row. Pass a plain array (N, D).")
        return _together(columns.items(), _plain, x), tuple(columns)
    return _plain(x), None


def _together(columns: Iterable[tuple[str, Any]], read: Callable[[Any], np.ndarray], given: Any) -> np.ndarray:
    """Columns that are read one by one; one error for all that are not numeric."""
    values, refused = [], {}
    for name, column in columns:
        try:
            values.append(read(column))
        except _Kind as found:
            refused[name] = found.args
        except DataError as error:
            raise DataError(f"Not numeric: {name}. {error}") from None
    if refused:
        raise not_numeric(refused, given)
    return np.stack(values, axis=1)


def _to_pandas(x: Any) -> Any:
    try:
        x = x.collect() if hasattr(x, "collect") else x
        if library_of(x) == "polars" and not hasattr(x, "to_numpy"):
            raise not_a_table(x)
        return _polars_frame(x) if library_of(x) == "polars" else x.to_pandas()
    except DataError:
        raise
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
    if hasattr(x, "children") or not names or len(x.sizes) != 1 or any(x[name].ndim != 1 for name in names):
        raise not_one_table(x)
    return x[names].to_dataframe()[names]


def _labels(x: Any) -> tuple[str, ...] | None:
    """Names of the features of a DataArray: the coordinate of its second dimension, or its own name."""
    if x.ndim == 2 and x.dims[1] in x.coords:
        return tuple(map(str, x.coords[x.dims[1]].values))
    return (str(x.name),) if x.ndim == 1 and isinstance(x.name, str) and x.name else None


def _from_pandas(x: Any, given: Any) -> tuple[np.ndarray, tuple[str, ...] | None]:
    """A DataFrame; or a Series, Index or extension array, read as a frame with one column is."""
    import pandas as pd

    if isinstance(x, pd.Series | pd.Index | pd.api.extensions.ExtensionArray) and not isinstance(x, pd.MultiIndex):
        name = getattr(x, "name", None)
        return _column(x), None if name is None or name == "" else (str(name),)
    if not isinstance(x, pd.DataFrame):
        raise not_a_table(x)
    names = tuple(map(str, x.columns))
    if all(isinstance(kind, np.dtype) and kind.kind in "iufb" for kind in x.dtypes):
        return x.to_numpy(dtype=np.float64), names
    return _together(zip(names, (x.iloc[:, d] for d in range(len(names))), strict=True), _column, given), names


def _column(x: Any) -> np.ndarray:
    """One column of pandas. Nullable, Arrow-backed and sparse types tell their kind as NumPy types do."""
    if str(x.dtype) == "category":
        if x.dtype.categories.dtype.kind in "iufb":
            raise _Kind("category", "")
        x = x.astype(object)
    kind = getattr(x.dtype, "kind", "O")
    if kind in "iufb":
        return x.to_numpy(dtype=np.float64, na_value=np.nan)
    if kind == "O":
        return _from_objects(x.to_numpy(dtype=object))
    raise _Kind(kind, "")


def _plain(x: Any) -> np.ndarray:
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
        return _from_objects(np.where(hidden, np.full_like(hidden, None, object), np.ma.getdata(values)))
    if kind in "UST":
        raise _Kind(*kind_of_texts(values.ravel().tolist()))
    if kind not in "iufb" and not (kind == "V" and values.dtype.type is not np.void):  # V: bfloat16 of JAX
        raise _Kind(kind, "")
    if isinstance(values, np.ma.MaskedArray):
        return np.ma.filled(values.astype(np.float64), np.nan)
    return np.asarray(values, dtype=np.float64)


def _instead(x: Any) -> str:
    if hasattr(x, "toarray"):
        return "x.toarray()"
    if isinstance(x, dict):
        return "pandas.DataFrame(x)" if any(map(np.ndim, x.values())) else "pandas.DataFrame([x])"
    return "a DataFrame or an array of shape (rows, features)"


def _from_objects(values: np.ndarray) -> np.ndarray:
    """Python's numbers and Decimals as doubles. Text is refused, even if it spells a number."""
    flat, row = values.ravel(), int(np.prod(values.shape[1:]))
    found = np.empty(flat.size)
    for i, value in enumerate(flat):
        if value is None or type(value).__name__ in ("NAType", "NaTType"):
            found[i] = np.nan
            continue
        if not isinstance(value, Real | Decimal | np.bool_) or isinstance(value, np.timedelta64):
            raise _Kind(*(kind_of_texts(flat) if isinstance(value, str | bytes) else (type(value).__name__, "")))
        try:
            found[i] = float(value)
        except (OverflowError, ValueError) as error:  # 10**400; Decimal("sNaN")
            raise DataError(
                f"A value is no double ({error}). Correct or drop row {i // row} (counting from 0)."
            ) from None
    return found.reshape(values.shape)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]
