"""Convert the data of a user (DataFrame, array, xarray) to checked rows and named features."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bayesgmm.data.convert import as_doubles
from bayesgmm.data.dependence import dependence, far_rows
from bayesgmm.data.moments import filled, gaussian_moments, weighted_moments
from bayesgmm.data.noise import Noise
from bayesgmm.errors import DataError
from bayesgmm.numerics.arrays import LARGEST, SMALLEST

CHUNK = 65_536
"""Rows processed at a time on the host, so that checks and summaries make no second copy of the data."""


COPY_BYTES = 2**26
"""Data up to this size are copied, so that results do not change if the user's array does. Larger data are not."""


@dataclass(frozen=True, eq=False, repr=False)
class Table:
    """Checked data: doubles of shape (N, D), the names of the features, and what else is known of the rows."""

    values: np.ndarray
    """Finite, or NaN for a gap: a value that was not seen."""
    features: tuple[str, ...]
    named: bool = True
    """Whether the data came with these names; otherwise they are x0, x1, …"""
    weights: np.ndarray | None = None
    """How often each row counts, (N,); None: once."""
    labels: np.ndarray | None = None
    """Known classes, (N,) integers with -1 for unknown, or the probability of each class, (N, K); None: unknown."""
    errors: np.ndarray | None = None
    """Covariances of the errors of measurement, (N, D, D); None: none."""
    noise: Noise | None = None
    """The region of rows that belong to no cluster; None: every row does."""
    mesh: Any = None
    """The devices that share the rows, a `jax.sharding.Mesh`; None: one device has them all."""

    def __repr__(self) -> str:
        return f"Table of {self.num_rows} rows × {self.dim} features ({', '.join(self.features)}){self.aside}"

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without the devices, which belong to this process."""
        return self.__dict__ | {"mesh": None}

    @property
    def num_rows(self) -> int:
        """N."""
        return self.values.shape[0]

    @property
    def dim(self) -> int:
        """D."""
        return self.values.shape[1]

    @cached_property
    def total(self) -> float:
        """Σ of the weights: N if each row counts once."""
        return float(self.num_rows if self.weights is None else self.weights.sum())

    @property
    def counted(self) -> np.ndarray:
        """How often each row counts, (N,)."""
        return np.ones(self.num_rows) if self.weights is None else self.weights

    @cached_property
    def gaps(self) -> int:
        """Number of values that were not seen."""
        return sum(int(np.isnan(block).sum()) for block in self.chunks())

    @property
    def has_rows(self) -> bool:
        """Whether the rows are there; not in a result that was saved without them."""
        return True

    @property
    def on_disk(self) -> bool:
        """Whether each pass reads the rows from disk (`bayesgmm.data.on_disk`)."""
        return False

    @property
    def sample(self) -> "Table":
        """The rows from which starts are made: all that are in memory."""
        return self

    @property
    def complete(self) -> bool:
        """Whether every value was seen, and without error."""
        return self.gaps == 0 and self.errors is None

    @property
    def plain(self) -> bool:
        """Whether nothing but the values is known, and all of them are."""
        return self.complete and self.weights is None and self.labels is None and self.noise is None

    @property
    def about(self) -> str:
        """What is known of the rows beside their values, or is missing, in words; empty for complete rows."""
        parts = []
        if self.gaps:
            rows = sum(int(np.isnan(block).any(axis=1).sum()) for block in self.chunks())
            parts.append(f"{self.gaps} gap{'s' * (self.gaps > 1)} in {rows} row{'s' * (rows > 1)}")
        if self.errors is not None:
            parts.append("errors of measurement")
        if self.weights is not None:
            parts.append(f"weights with sum {self.total:g}")
        if self.labels is not None:
            parts.append("known classes")
        return ", ".join(parts)

    @property
    def aside(self) -> str:
        """`about` after a comma, for titles."""
        return self.about and f", {self.about}"

    def take(self, rows: np.ndarray | slice) -> "Table":
        """These rows."""
        own = (None if part is None else part[rows] for part in (self.weights, self.labels, self.errors))
        noise = None if self.noise is None else self.noise.take(rows)
        return Table(self.values[rows], self.features, self.named, *own, noise=noise)

    def parts(self, size: int = CHUNK) -> Iterator["Table"]:
        """Tables of at most `size` rows, in order; views, not copies."""
        for start in range(0, self.num_rows, size):
            yield self.take(slice(start, start + size))

    def chunks(self, size: int = CHUNK) -> Iterator[np.ndarray]:
        """Views of at most `size` rows, in order."""
        for start in range(0, self.num_rows, size):
            yield self.values[start : start + size]

    @cached_property
    def filled(self) -> np.ndarray:
        """The values, with each gap replaced by its mean given the row's other values: for starts and pictures only."""
        return filled(self.values, *self.moments()) if self.gaps else self.values

    def log_volume(self, scale: np.ndarray) -> np.ndarray:
        """Log of the volume by which dividing by `scale` changes the density of each row, (N,): of what was seen."""
        logs = np.log(scale)
        return ~np.isnan(self.values) @ logs if self.gaps else np.full(self.num_rows, logs.sum())

    def moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Mean (D,) and covariance (D, D; divided by the total weight), computed once.

        With gaps: the maximum of the likelihood of one Gaussian. Errors of measurement are not taken off.

        Raises
        ------
        DataError
            If a feature varies by so little that its variance underflows.
        """
        return self._moments

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        if self.gaps:
            mean, covariance = gaussian_moments(self.values, self.weights)
        else:
            mean, covariance = weighted_moments(lambda: ((p.values, p.weights) for p in self.parts()), self.total)
        for d in np.flatnonzero(np.diagonal(covariance) < SMALLEST**2):
            own = self.values[self.counted > 0, d]
            spread = float(np.nanmax(own) - np.nanmin(own)) if not np.isnan(own).all() else 0.0
            if spread > 0.0:
                raise DataError(
                    f"{self.features[d]} varies by only {spread:.3g}, whose square is below double precision. "
                    f"Subtract its mean, and divide the column by {10.0 ** np.floor(np.log10(spread)):.0e}."
                )
        return np.asarray(mean), covariance

    @cached_property
    def dependence(self) -> str | None:
        """Why the covariance of all rows is singular, and what to do, in words; None if it is not singular."""
        return dependence(self.filled, self.features, self.moments()[1])

    @property
    def far_rows(self) -> str | None:
        """Which rows lie so far out that the others look alike beside them, and what to do; None if there are none."""
        return far_rows(self.filled)


def as_table(x) -> Table:
    """Check data and convert them to a `Table`.

    Parameters
    ----------
    x
        pandas or polars DataFrame, LazyFrame or Series, Arrow table, xarray DataArray (rows first) or Dataset
        (variables with one dimension), NumPy, structured or JAX array, or nested lists; a table of another library
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
