"""Convert the data of a user (DataFrame, array, xarray, Dask) to checked rows and named features."""

import numpy as np

from bayesgmm.data.advice import library_of
from bayesgmm.data.convert import as_doubles
from bayesgmm.data.table_type import CHUNK, Table
from bayesgmm.errors import DataError
from bayesgmm.numerics.arrays import LARGEST

COPY_BYTES = 2**26
"""Data up to this size are copied, so that results do not change if the user's array does. Larger data are not."""


def as_table(x) -> Table:
    """Check data and convert them to a `Table`.

    Parameters
    ----------
    x
        pandas or polars DataFrame, LazyFrame or Series, Arrow table, xarray DataArray (rows first) or Dataset
        (variables with one dimension), NumPy, structured or JAX array, or nested lists; a Dask array or dataframe,
        whose rows stay with its workers (`bayesgmm.data.in_dask`); a table of another library
        that keeps the Arrow PyCapsule interface or the dataframe interchange protocol (DuckDB, narwhals).
        The shape is ``(N, D)``, or ``(N,)`` for one feature. NaN and other missing values are gaps.

    Raises
    ------
    DataError
        If a column is not numeric, a value is infinite (the message lists the rows) or beyond `LARGEST`, two columns
        have one name, or the shape is not two-dimensional.
    """
    if isinstance(x, Table):
        return x
    if library_of(x) == "dask":
        from bayesgmm.data.in_dask import rows_in_dask

        return rows_in_dask(x)
    values, names = as_doubles(x)
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.size == 0:
        raise DataError(f"The data must have shape (rows, features) and not be empty; got shape {values.shape}.")
    table = Table(_own(values), names or tuple(f"x{i}" for i in range(values.shape[1])), names is not None)
    unwritable = [name for name in table.features if "\0" in name or not _encodable(name)]
    if unwritable:
        raise DataError(
            f"A column's name holds a character that files cannot hold (NUL or half a character): "
            f"{', '.join(unwritable)}. Rename the column."
        )
    twice = sorted({name for name in table.features if table.features.count(name) > 1})
    if twice:
        raise DataError(f"Two columns are called {', '.join(twice)}. Give each feature a different name.")
    _refuse_infinite(table)
    _refuse_huge(table)
    return table


def _own(values: np.ndarray) -> np.ndarray:
    values = values.copy() if values.nbytes <= COPY_BYTES else values.view()
    values.flags.writeable = False
    return values


def check_table(table: Table, num_components: int) -> None:
    """Refuse data to which no mixture of Gaussians can be fitted; `well_posed` asks the model about covariances.

    Raises
    ------
    DataError
        If there are fewer rows than components, a feature is constant, or no value of it was seen.
    """
    if table.gaps:
        refuse_unseen(table)
    counted = table.num_rows if table.weights is None else int((table.weights > 0).sum())
    if counted < num_components:
        raise DataError(
            f"There are {counted} rows for {num_components} components. Each component needs at least one row. "
            "Use fewer components or more rows."
        )
    mean, covariance = table.moments()
    scale = np.sqrt(np.diagonal(covariance))
    resolution = np.finfo(float).eps * np.maximum(np.abs(mean), np.finfo(float).tiny)
    constant = [name for name, s, r in zip(table.features, scale, resolution, strict=True) if s <= 4 * r]
    if constant:
        raise DataError(
            f"Constant feature: {', '.join(constant)}. A Gaussian needs a positive variance in every feature. "
            "Drop the feature, or check its units."
        )


def _encodable(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _refuse_infinite(table: Table) -> None:
    rows: list[int] = []
    for i, block in enumerate(table.chunks()):
        bad = np.flatnonzero(np.isinf(block).any(axis=1))
        rows.extend((bad + i * CHUNK).tolist())
    if rows:
        shown = ", ".join(map(str, rows[:8])) + (", …" if len(rows) > 8 else "")
        raise DataError(
            f"Infinite values in {len(rows)} of {table.num_rows} rows (counting from 0: {shown}). Correct them, or "
            "make them NaN: a gap, which is taken as not seen."
        )


def refuse_unseen(table: Table) -> None:
    """Refuse a column without values."""
    seen = np.any([~np.isnan(part.values[part.counted > 0]).all(axis=0) for part in table.parts()], axis=0)
    empty = [name for name, any_ in zip(table.features, seen, strict=True) if not any_]
    if empty:
        raise DataError(f"No value of {', '.join(empty)} was seen: the column holds only NaN. Drop it.")


def _refuse_huge(table: Table) -> None:
    sizes = (np.fmax.reduce(np.abs(block), axis=0) for block in table.chunks())
    largest = np.nan_to_num(np.fmax.reduce(list(sizes), axis=0))
    d = int(np.argmax(largest))
    if largest[d] >= LARGEST:
        raise DataError(
            f"{table.features[d]} has a value of size {largest[d]:.3g}, whose square exceeds double precision. "
            f"Divide the column by {10.0 ** np.floor(np.log10(largest[d])):.0e}, or drop that row."
        )
