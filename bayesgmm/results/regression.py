"""Regression from a joint mixture: the distribution of some features given rows of others (Sung 2004)."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.model import conditioning
from bayesgmm.numerics.univariate import Univariate, quantiles
from bayesgmm.results import mixture_arguments as arguments
from bayesgmm.results.intervals import check_enough, least_for
from bayesgmm.results.parameters import tails
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.formatting import as_html, as_text

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 8
"""Rows in the text of a regression."""


class Block(NamedTuple):
    """The conditional mixtures of some rows."""

    rows: slice
    within: np.ndarray
    """``log p(z = k | x, θ_s)``, (S, K, n)."""
    of_draws: np.ndarray
    """Log weight of each draw, (S, 1, n or 1)."""
    means: np.ndarray
    """(S, K, T, n)."""

    @property
    def shares(self) -> np.ndarray:
        """Weight of each component of each draw, (S, K, n)."""
        return np.exp(self.within + self.of_draws)


@dataclass(frozen=True, repr=False, eq=False)
class Regression:
    """The distribution of the target given each row of x: a Gaussian mixture for each row. See `Mixture.regress`.

    Figures of one target have the shape (N,), those of T > 1 targets (N, T), in the user's units.
    """

    mixture: Any
    """The joint `Mixture`."""
    target: tuple[str, ...]
    given: tuple[str, ...]
    x: np.ndarray
    """The given values, (N, A)."""
    update_draws: bool

    @property
    def mean(self) -> np.ndarray:
        """``E[y | x]``, for draws its average."""
        return self._shaped(self._moments[0])

    @property
    def sd(self) -> np.ndarray:
        """Standard deviation of y given x: within components and draws, and between them."""
        return self._shaped(np.sqrt(np.diagonal(self._moments[1], axis1=1, axis2=2)))

    @property
    def covariance(self) -> np.ndarray:
        """``Cov[y | x]``, (N, T, T)."""
        return self._moments[1]

    def mean_interval(self, level: float = 0.9) -> np.ndarray:
        """Equal-tailed interval of ``E[y | x, θ]`` over the draws of θ, (N, 2), or (N, T, 2) for several targets.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1, there is a single θ, or the draws are too few for the level.
        """
        level = check_level("level", level)
        if self.mixture.num_draws == 1:
            raise ArgumentError(
                "A single θ has no spread of E[y | x, θ] over draws. Take the mixture of a posterior: "
                "bg.sample_gibbs(x, K).regress(…)."
            )
        check_enough("draws", self.mixture.num_draws, level)
        found = np.empty((len(self.x), len(self.target), 2))
        for block in self._blocks():
            means = np.einsum("skn,sktn->stn", np.exp(block.within), block.means)
            weights = np.broadcast_to(np.exp(block.of_draws), means.shape)
            found[block.rows] = np.moveaxis(_quantiles(means, weights, tails(level)), 0, -1).swapaxes(0, 1)
        return found[:, 0] if len(self.target) == 1 else found

    def interval(self, level: float = 0.9) -> np.ndarray:
        """Equal-tailed interval that holds y with probability `level` given x, (N, 2); for one target.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1, or there are several targets.
        """
        return self.quantiles(tails(check_level("level", level)))

    def quantiles(self, probabilities: Any) -> np.ndarray:
        """Quantiles of y given x at L probabilities, (N, L); (N,) at a single one. For one target.

        Raises
        ------
        ArgumentError
            If a probability is not above 0 and below 1, or there are several targets.
        """
        self._one_target("Quantiles")
        levels = arguments.shares("probabilities", probabilities)
        if levels.ndim > 1:
            raise ArgumentError(f"probabilities must be a number or a list of numbers, got the shape {levels.shape}.")
        found = np.empty((len(self.x), levels.size))
        for block in self._blocks():
            found[block.rows] = quantiles(self._univariate(block), levels.ravel())
        return found.reshape(len(self.x), *levels.shape)

    def cdf(self, y: Any) -> np.ndarray:
        """``P(Y ≤ y_n | x_n)`` for the target of each row, (N,): uniform if the model is right.

        Raises
        ------
        ArgumentError, DataError
            If there are several targets, or y has not one finite number for each row.
        """
        self._one_target("Distribution functions")
        y = self._targets(y)[:, 0]
        found = np.empty(len(y))
        for block in self._blocks():
            found[block.rows] = self._univariate(block).cdf(y[block.rows], np.arange(block.within.shape[2]))
        return found

    def log_density(self, y: Any) -> np.ndarray:
        """``log p(y_n | x_n)`` for the targets of each row, (N,), in the user's units.

        Raises
        ------
        DataError
            If y has not one row of finite targets for each row of x.
        """
        y, found, trils = self._targets(y), np.empty(len(self.x)), self._split.target_trils
        for block in self._blocks():
            residuals = np.stack([y[block.rows, t] - block.means[:, :, t] for t in range(y.shape[1])])
            logs = conditioning.log_normal(trils, conditioning.whitened(trils, residuals))
            logs += block.within + block.of_draws
            found[block.rows] = conditioning.log_sum(logs, axis=(0, 1))
        return found

    def to_frame(self, level: float = 0.9) -> "pd.DataFrame":
        """A row for each row of x: the given values, and mean and sd of each target.

        For one target also the ends of `interval` and the median, and those of `mean_interval` if there are draws
        enough for the level. Raises `ArgumentError` if `level` is not between 0 and 1.
        """
        import pandas as pd

        level = check_level("level", level)
        columns = dict(zip(self.given, self.x.T, strict=True))
        single = len(self.target) == 1
        means, variances = self._moments
        for t, name in enumerate(self.target):
            more = {"mean": means[:, t], "sd": np.sqrt(variances[:, t, t])}
            columns |= {(figure if single else f"{figure}[{name}]"): values for figure, values in more.items()}
        if single:
            low, high = tails(level)
            found = self.quantiles([low, 0.5, high])
            columns |= dict(zip(("lower", "median", "upper"), found.T, strict=True))
        if single and self.mixture.num_draws >= least_for(level):
            columns |= dict(zip(("mean lower", "mean upper"), self.mean_interval(level).T, strict=True))
        return pd.DataFrame(columns, pd.RangeIndex(len(self.x), name="row"))

    @cached_property
    def _split(self) -> conditioning.Split:
        given, target = ([self.mixture.features.index(name) for name in names] for names in (self.given, self.target))
        return conditioning.split(self.mixture.draws, given, target)

    def _blocks(self) -> Iterator[Block]:
        first = 0
        for rows in self.mixture.blocks(self.x):
            found = self.mixture.given_rows(self._split, rows, self.update_draws, first)
            yield Block(slice(first, first + len(rows)), *found)
            first += len(rows)

    @cached_property
    def _moments(self) -> tuple[np.ndarray, np.ndarray]:
        """Means (N, T) and covariances (N, T, T) of the targets."""
        num, dim = len(self.x), len(self.target)
        means, covariances = np.empty((num, dim)), np.empty((num, dim, dim))
        within = self._split.target_trils @ self._split.target_trils.swapaxes(-1, -2)
        for block in self._blocks():
            shares = block.shares
            mean = np.einsum("skn,sktn->tn", shares, block.means)
            far = np.sqrt(shares)[:, :, None] * (block.means - mean)
            far = np.moveaxis(far, -1, 0).reshape(shares.shape[-1], -1, dim)
            means[block.rows] = mean.T
            covariances[block.rows] = np.einsum("skn,sktu->ntu", shares, within) + far.swapaxes(-1, -2) @ far
        return means, covariances

    def _univariate(self, block: Block) -> Univariate:
        num = block.within.shape[2]
        weights, means = (np.moveaxis(part, -1, 0).reshape(num, -1) for part in (block.shares, block.means[:, :, 0]))
        return Univariate(weights, means, np.ravel(self._split.target_trils))

    def _targets(self, y: Any) -> np.ndarray:
        found = arguments.rows_of(y, self.target, self.mixture.named)
        if len(found) != len(self.x):
            raise DataError(f"y has {len(found)} rows, and x has {len(self.x)}. Give the targets of each row of x.")
        return found

    def _one_target(self, what: str) -> None:
        arguments.one_feature(what, self.target, "Take one target: regress(target, x).")

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return values[:, 0] if len(self.target) == 1 else values

    def _title(self) -> str:
        num = len(self.x)
        cut = f", the first {SHOWN} of {num:,} rows" if num > SHOWN else ""
        return f"{', '.join(self.target)} given {', '.join(self.given)}: 0.9 intervals{cut}"

    def _table(self) -> "pd.DataFrame":
        return replace(self, x=self.x[:SHOWN]).to_frame()

    def __repr__(self) -> str:
        return as_text(self._title(), self._table())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._table())


def _quantiles(values: np.ndarray, weights: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Quantiles over the first axis; where weights differ, of the weighted draws."""
    if (weights == weights[:1]).all():
        return np.quantile(values, shares, axis=0)
    return np.quantile(values, shares, axis=0, weights=weights, method="inverted_cdf")
