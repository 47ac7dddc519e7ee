"""The table that every engine takes: checked rows, the names of their features, and what else is known of them."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from bayesgmm.data.dependence import dependence, far_rows
from bayesgmm.data.moments import filled, gaussian_moments, weighted_moments
from bayesgmm.data.noise import Noise
from bayesgmm.errors import DataError
from bayesgmm.numerics.arrays import SMALLEST

CHUNK = 65_536
"""Rows processed at a time on the host, so that checks and summaries make no second copy of the data."""


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
    place: ClassVar[str] = "in memory"
    """Where the rows are, in words."""
    has_batches: ClassVar[bool] = True
    """Whether engines can read them batch by batch."""

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
        """Whether the rows are away from this process (`bayesgmm.data.away`): on disk, or in Dask."""
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
