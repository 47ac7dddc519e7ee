"""Convert the data of a user (DataFrame, array, xarray) to checked rows and named features."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from bayesgmm.data.advice import refuse_other_columns
from bayesgmm.data.convert import as_doubles
from bayesgmm.errors import DataError
from bayesgmm.numerics.arrays import LARGEST, SMALLEST

CHUNK = 65_536
"""Rows processed at a time on the host, so that checks and summaries make no second copy of the data."""


COPY_BYTES = 2**26
"""Data up to this size are copied, so that results do not change if the user's array does. Larger data are not."""


@dataclass(frozen=True, eq=False)
class Table:
    """Checked data: finite doubles of shape (N, D), and the names of the features."""

    values: np.ndarray
    features: tuple[str, ...]
    named: bool = True
    """Whether the data came with these names; otherwise they are x0, x1, …"""

    @property
    def num_rows(self) -> int:
        """N."""
        return self.values.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.values.shape[1]

    def take(self, rows: np.ndarray) -> "Table":
        """These rows."""
        return replace(self, values=self.values[rows])

    def chunks(self, size: int = CHUNK) -> Iterator[np.ndarray]:
        """Views of at most `size` rows, in order."""
        for start in range(0, self.num_rows, size):
            yield self.values[start : start + size]

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance (D, D; divided by N), by two passes in chunks; computed once.

        Raises
        ------
        DataError
            If a feature varies by so little that its variance underflows.
        """
        return self._moments

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        mean = sum(block.sum(axis=0) for block in self.chunks()) / self.num_rows
        scatter = np.zeros((self.dim, self.dim))
        for block in self.chunks():
            centred = block - mean
            scatter += centred.T @ centred
        covariance = scatter / self.num_rows
        for d in np.flatnonzero(np.diagonal(covariance) < SMALLEST**2):
            spread = float(np.ptp(self.values[:, d]))
            if spread > 0.0:
                raise DataError(
                    f"{self.features[d]} varies by only {spread:.3g}, whose square is below double precision. "
                    f"Subtract its mean, and divide the column by {10.0 ** np.floor(np.log10(spread)):.0e}."
                )
        return np.asarray(mean), covariance

    @cached_property
    def dependence(self) -> str | None:
        """Why the covariance of all rows is singular, and what to do, in words; None if it is not singular."""
        simple = "or use covariance_type='diag' or 'spherical'"
        if self.num_rows <= self.dim:
            return (
                f"There are {self.num_rows} rows for {self.dim} features. Use more rows than features, drop or combine "
                f"features (for example by PCA); {simple}, with prior='default'"
            )
        involved = _involved(self.moments()[1])
        if involved is None:
            return None
        far = _far_rows(self.values)
        if len(far) and _involved(np.cov(np.delete(self.values, far, axis=0).T, bias=True)) is None:
            return self.far_rows
        names = ", ".join(self.features[i] for i in involved)
        return (
            f"Collinear features: {names} are linearly dependent. "
            f"Drop one of them, replace them by fewer linear combinations (for example by PCA); {simple}"
        )

    @property
    def far_rows(self) -> str | None:
        """Which rows lie so far out that the others look alike beside them, and what to do; None if there are none."""
        far = _far_rows(self.values)
        shown = ", ".join(map(str, far[:8])) + (", …" if len(far) > 8 else "")
        return (
            f"Far rows (counting from 0: {shown}): beside them all other rows look alike. "
            "Check these rows (a wrong unit?), and correct or drop them"
            if len(far)
            else None
        )


FAR = 1e5
"""Rows are far if a feature is so many interquartile ranges away from its median."""


def _far_rows(values: np.ndarray) -> np.ndarray:
    """Numbers of rows, at most a twentieth of all, that lie far from the others."""
    low, middle, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
    spread = np.where(high > low, high - low, np.inf)
    far = np.flatnonzero((np.abs(values - middle) / spread).max(axis=1) > FAR)
    return far if len(far) <= max(1, len(values) // 20) else far[:0]


def _involved(covariance: np.ndarray) -> np.ndarray | None:
    """Which features are linearly dependent; None if the covariance is not singular."""
    scale = np.sqrt(np.diagonal(covariance))
    if not (scale > 0).all():
        return np.flatnonzero(scale == 0)
    values, vectors = np.linalg.eigh(covariance / np.outer(scale, scale))
    singular = values[0] <= 16 * len(scale) * np.finfo(float).eps
    return np.flatnonzero(np.abs(vectors[:, 0]) > 0.05) if singular else None


def as_table(x) -> Table:
    """Check data and convert them to a `Table`.

    Parameters
    ----------
    x
        pandas or polars DataFrame, LazyFrame or Series, Arrow table, xarray DataArray (rows first) or Dataset
        (variables with one dimension), NumPy, structured or JAX array, or nested lists.
        The shape is ``(N, D)``, or ``(N,)`` for one feature.

    Raises
    ------
    DataError
        If a column is not numeric, a value is NaN, infinite (the message lists the rows) or beyond `LARGEST`, two
        columns have one name, or the shape is not two-dimensional.
    """
    if isinstance(x, Table):
        return x
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
    _refuse_non_finite(table)
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
        If there are fewer rows than components, or a feature is constant.
    """
    if table.num_rows < num_components:
        raise DataError(
            f"There are {table.num_rows} rows for {num_components} components. Each component needs at least one row. "
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


def _refuse_huge(table: Table) -> None:
    largest = np.max([np.abs(block).max(axis=0) for block in table.chunks()], axis=0)
    d = int(np.argmax(largest))
    if largest[d] >= LARGEST:
        raise DataError(
            f"{table.features[d]} has a value of size {largest[d]:.3g}, whose square exceeds double precision. "
            f"Divide the column by {10.0 ** np.floor(np.log10(largest[d])):.0e}, or drop that row."
        )


def same_features(x, table: Table) -> Table:
    """New rows as a table, with the features of the fitted table in the same order; None stands for the fitted rows.

    Columns are put in order by name. Arrays carry no names: their columns are in the order of the fit, and a fit of
    an array takes a frame of any names in its order.

    Raises
    ------
    DataError
        If the features differ.
    """
    if x is None:
        return table
    if table.named and not isinstance(x, Table):
        refuse_other_columns(x, table.features)
    new = as_table(x)
    if new.dim != table.dim:
        single = isinstance(x, Table) or np.ndim(x) != 1 or new.num_rows != table.dim
        row = "" if single else " If x is one row, pass np.asarray(x)[None, :]."
        raise DataError(
            f"The fit has {table.dim} features ({', '.join(table.features)}); the new data have {new.dim}. "
            f"Give a column for each feature, in this order.{row}"
        )
    return in_order(new, table.features, table.named, "fit")


def in_order(table: Table, features: tuple[str, ...], named: bool, whose: str) -> Table:
    """A table of as many features as `features`, with its columns in that order if both have names.

    Raises
    ------
    DataError
        If both have names (`named`: not those that arrays get), and they differ.
    """
    if table.named and set(table.features) == set(features):
        order = [table.features.index(name) for name in features]
        return table if order == sorted(order) else replace(table, values=table.values[:, order], features=features)
    if table.named and named:
        raise DataError(
            f"The {whose} has features {', '.join(features)}; the data have {', '.join(table.features)}. "
            f"Rename the columns, or pass a plain array with the columns in the order of the {whose}."
        )
    return table
