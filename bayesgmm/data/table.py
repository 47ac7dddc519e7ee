"""Convert the data of a user (DataFrame, array, xarray) to checked rows and named features."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bayesgmm.errors import DataError

CHUNK = 65_536
"""Rows processed at a time on the host, so that checks and summaries make no second copy of the data."""


COPY_BYTES = 2**26
"""Data up to this size are copied, so that results do not change if the user's array does. Larger data are not."""


@dataclass(frozen=True, eq=False)
class Table:
    """Checked data: finite doubles of shape (N, D), and the names of the features."""

    values: np.ndarray
    features: tuple[str, ...]

    @property
    def num_rows(self) -> int:
        """N."""
        return self.values.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.values.shape[1]

    def chunks(self, size: int = CHUNK) -> Iterator[np.ndarray]:
        """Views of at most `size` rows, in order."""
        for start in range(0, self.num_rows, size):
            yield self.values[start : start + size]

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance (D, D; divided by N), by two passes in chunks; computed once."""
        return self._moments

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        mean = sum(block.sum(axis=0) for block in self.chunks()) / self.num_rows
        scatter = np.zeros((self.dim, self.dim))
        for block in self.chunks():
            centred = block - mean
            scatter += centred.T @ centred
        return np.asarray(mean), scatter / self.num_rows


def as_table(x) -> Table:
    """Check data and convert them to a `Table`.

    Parameters
    ----------
    x
        pandas or polars DataFrame or Series, xarray DataArray (rows first), NumPy or JAX array, or nested lists.
        The shape is ``(N, D)``, or ``(N,)`` for one feature.

    Raises
    ------
    DataError
        If a column is not numeric, a value is NaN or infinite (the message lists the rows), two columns have one name,
        or the shape is not two-dimensional.
    """
    if isinstance(x, Table):
        return x
    features = _feature_names(x)
    _refuse_text(x)
    try:
        values = _as_doubles(x)
    except (TypeError, ValueError) as error:
        raise DataError(
            f"The data could not be read as numbers ({error}). "
            "Keep only numeric columns, and encode or drop the others."
        ) from None
    if values.ndim == 1:
        values = values[:, None]
    if values.ndim != 2 or values.size == 0:
        raise DataError(f"The data must have shape (rows, features) and not be empty; got shape {values.shape}.")
    table = Table(values, features or _numbered(values.shape[1]))
    unwritable = [name for name in table.features if "\0" in name or not _encodable(name)]
    if unwritable:
        raise DataError(
            f"A column's name holds a character that files cannot hold (NUL or half a character): "
            f"{', '.join(unwritable)}. Rename the column."
        )
    twice = sorted({name for name in table.features if table.features.count(name) > 1})
    if twice:
        raise DataError(f"Two columns are called {', '.join(twice)}. Give each feature a different name.")
    _refuse_non_finite(table)
    return table


def _as_doubles(x) -> np.ndarray:
    """Doubles on the host. Missing values of any kind become NaN; `_refuse_non_finite` then reports their rows."""
    if isinstance(x, np.ma.MaskedArray):
        x = np.ma.filled(x.astype(np.float64), np.nan)
    elif type(x).__module__.startswith("pandas"):
        if getattr(getattr(x, "dtype", None), "kind", "f") not in "iufbO":
            raise ValueError(f"values of type {x.dtype}")
        x = x.to_numpy(dtype=np.float64, na_value=np.nan)
    elif hasattr(x, "to_numpy"):
        x = x.to_numpy()
    values = np.asarray(x)
    if values.dtype.kind not in "iufbO":
        raise ValueError(f"values of type {values.dtype}")
    values = np.asarray(values, dtype=np.float64)
    values = values.copy() if values.nbytes <= COPY_BYTES else values.view()
    values.flags.writeable = False
    return values


def named(table: Table) -> bool:
    """Whether the user named the features."""
    return table.features != _numbered(table.dim)


def _numbered(dim: int) -> tuple[str, ...]:
    return tuple(f"x{i}" for i in range(dim))


def check_table(table: Table, num_components: int) -> None:
    """Refuse data to which a mixture of Gaussians with full covariances cannot be fitted.

    Raises
    ------
    DataError
        If there are fewer rows than components, or a feature is constant or collinear with others.
    """
    if table.num_rows < num_components:
        raise DataError(
            f"There are {table.num_rows} rows for {num_components} components. Each component needs at least one row. "
            "Use fewer components or more rows."
        )
    if table.num_rows <= table.dim:
        raise DataError(
            f"There are {table.num_rows} rows for {table.dim} features, so every covariance is singular. "
            "Use more rows than features, or drop or combine features (for example by PCA)."
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
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    if values[0] <= 16 * table.dim * np.finfo(float).eps:
        involved = [name for name, v in zip(table.features, vectors[:, 0], strict=True) if abs(v) > 0.05]
        raise DataError(
            f"Collinear features: {', '.join(involved)} are linearly dependent, so every covariance is singular. "
            "Drop one of them, or replace them by fewer linear combinations (for example by PCA)."
        )


def _feature_names(x) -> tuple[str, ...] | None:
    if hasattr(x, "columns"):
        return tuple(map(str, x.columns))
    if hasattr(x, "dims") and hasattr(x, "coords") and len(x.dims) == 2 and x.dims[1] in x.coords:
        return tuple(map(str, x.coords[x.dims[1]].values))
    name = getattr(x, "name", None)
    return (str(name),) if isinstance(name, str) and name and np.ndim(x) == 1 else None


def _encodable(name: str) -> bool:
    return not any("\ud800" <= char <= "\udfff" for char in name)


def _refuse_text(x) -> None:
    if not hasattr(x, "columns"):
        return
    kinds = {str(name): str(kind) for name, kind in _dtypes(x)}
    text = [name for name, kind in kinds.items() if not kind.lower().startswith(("int", "uint", "float", "decimal"))]
    if text:
        raise DataError(
            f"Not numeric: {', '.join(text)}. A Gaussian mixture needs numbers. Drop these columns. "
            "On the command line, choose the others with --columns, and check that the separator is a comma."
        )


def _dtypes(x) -> Iterator[tuple[str, object]]:
    return zip(x.columns, x.dtypes, strict=True)


def _refuse_non_finite(table: Table) -> None:
    rows: list[int] = []
    for i, block in enumerate(table.chunks()):
        bad = np.flatnonzero(~np.isfinite(block).all(axis=1))
        rows.extend((bad + i * CHUNK).tolist())
    if rows:
        shown = ", ".join(map(str, rows[:8])) + (", …" if len(rows) > 8 else "")
        raise DataError(
            f"NaN or infinite values in {len(rows)} of {table.num_rows} rows (counting from 0: {shown}). "
            "Drop or impute those rows first."
        )


def same_features(x, table: Table) -> Table:
    """New rows as a table, with the features of the fitted table in the same order.

    Raises
    ------
    DataError
        If the features differ.
    """
    new = as_table(x)
    if new.dim == table.dim and named(new) and named(table) and new.features != table.features:
        if set(new.features) != set(table.features):
            raise DataError(
                f"The fit has features {', '.join(table.features)}; the new data have {', '.join(new.features)}. "
                "Rename the columns, or pass a plain array with the columns in the order of the fit."
            )
        return Table(new.values[:, [new.features.index(name) for name in table.features]], table.features)
    if new.dim != table.dim:
        raise DataError(
            f"The fit has {table.dim} features ({', '.join(table.features)}); the new data have {new.dim}. "
            "Give all features of the fit."
        )
    return new
