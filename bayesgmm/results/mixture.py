"""A Gaussian mixture apart from its data: marginals, conditionals, regression, quantiles, highest density regions."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import DataError
from bayesgmm.model import conditioning
from bayesgmm.model.types import Params
from bayesgmm.numerics import univariate
from bayesgmm.results import mixture_arguments as arguments
from bayesgmm.results.component_table import component_table
from bayesgmm.runtime.arguments import as_floats, as_key, check_count, host_generator
from bayesgmm.runtime.checks import check_flag, check_level
from bayesgmm.runtime.formatting import as_html, as_text

if TYPE_CHECKING:
    from bayesgmm.results.density_region import HighestDensityRegion
    from bayesgmm.results.regression import Regression

BLOCK_VALUES = 2**21
"""Values (draw, component, feature, row) held in memory at a time."""


@dataclass(frozen=True, repr=False, eq=False)
class Mixture:
    """``p(x) = Σ_k π_k N(x; μ_k, Σ_k)`` for one θ, or its average over draws of θ; in the units of the features.

    `from_parameters`, `MixtureFit.mixture` and `Posterior.mixture` make one. Of draws, densities, means, quantiles
    and regions are those of the average ``Σ_s w_s p(x | θ_s)``, the posterior predictive distribution.
    """

    params: Params
    """One θ, or draws of θ with leading axes, such as (chain, draw)."""
    features: tuple[str, ...]
    named: bool = True
    """Whether the features have names of the user; otherwise columns of any name are taken in order."""
    draw_weights: np.ndarray | None = None
    """Weight of each draw, with the leading axes of the draws, sum 1; None: equal weights."""

    @property
    def n_components(self) -> int:
        """K."""
        return self.params.weights.shape[-1]

    @property
    def num_draws(self) -> int:
        """Number of draws of θ; 1 for a single θ."""
        return int(np.prod(self.params.weights.shape[:-1]))

    @cached_property
    def draws(self) -> Params:
        """The draws on one leading axis, with weights that sum to 1."""
        batch = self.params.weights.ndim - 1
        weights, means, trils = (np.asarray(part, float).reshape(-1, *part.shape[batch:]) for part in self.params)
        return Params(weights / weights.sum(axis=-1, keepdims=True), means, trils)

    @cached_property
    def weights_of_draws(self) -> np.ndarray:
        """Weight of each draw (S,), sum 1."""
        return np.full(self.num_draws, 1.0 / self.num_draws) if self.draw_weights is None else self.draw_weights.ravel()

    def marginal(self, features: Any) -> "Mixture":
        """The mixture of some features, in this order; the others are integrated out (Bishop 2006, eq. 2.98).

        Parameters
        ----------
        features
            One name or index of a feature, or a list.

        Raises
        ------
        ArgumentError
            If a feature is unknown or stands twice, or there are none.
        """
        places = arguments.places_of("features", features, self.features)
        params = conditioning.marginal(self.params, places)
        return replace(self, params=params, features=tuple(self.features[place] for place in places))

    def conditional(self, given: Any, *, update_draws: bool = False) -> "Mixture":
        """The mixture of the other features, given values of some: ``p(y | x)``, again a Gaussian mixture.

        With x the given features, each θ has ``p(y | x, θ) = Σ_k r_k(x) N(y; m_k(x), C_k)``: the responsibilities of x,
        the regression lines and the residual covariances of the components (Bishop 2006, eqs 2.81-2.82; Sung 2004).

        Parameters
        ----------
        given
            ``{feature: value}`` in the user's units; a feature is a name or an index.
        update_draws
            How draws of θ are averaged. False: ``p(y | x, data) = ∫ p(y | x, θ) p(θ | data) dθ``, as in a regression:
            the x of a new row is chosen, and says nothing about θ. True: the ratio ``p(y, x | data) / p(x | data)``,
            which weights each draw by ``p(x | θ)``: the new x is one more draw from the same mixture.

        Raises
        ------
        ArgumentError
            If a feature is unknown or stands twice, all are given, or a value is no finite number.
        DataError
            If the density of the given values is 0 in double precision.
        """
        update_draws = check_flag("update_draws", update_draws)
        places, x = arguments.given_values(given, self.features)
        rest = [place for place in range(len(self.features)) if place not in places]
        split = conditioning.split(self.draws, places, rest)
        within, of_draws, means = self.given_rows(split, x, update_draws)
        batch = self.params.weights.shape[:-1]
        params = Params(
            np.exp(within[..., 0]).reshape(*batch, -1),
            means[..., 0].reshape(*batch, *means.shape[1:-1]),
            split.target_trils.reshape(*batch, *split.target_trils.shape[1:]),
        )
        weights = np.exp(of_draws[:, 0, 0]).reshape(batch) if update_draws and batch else self.draw_weights
        return Mixture(params, tuple(self.features[place] for place in rest), self.named, weights)

    def given_rows(
        self, split: conditioning.Split, x: np.ndarray, update_draws: bool, first: int = 0
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """What rows x (N, A) of given features say, for `conditional` and `regress`.

        Returns the log of ``p(z = k | x, θ_s)`` (S, K, N), the log weight of each draw (S, 1, N or 1), and the
        conditional means (S, K, T, N). `first` is the number of the first row, for the message.
        """
        joint, means = split.at(x)
        totals = conditioning.log_sum(joint, axis=1)[:, None]
        if not np.isfinite(totals).all():
            row = first + int(np.flatnonzero(~np.isfinite(totals).all(axis=(0, 1)))[0])
            raise DataError(
                f"The given values of row {row} are so far from every component that their density is 0 in double "
                "precision. Check their units."
            )
        with np.errstate(divide="ignore"):
            of_draws = np.log(self.weights_of_draws)[:, None, None]
        if update_draws:
            of_draws = of_draws + totals
            of_draws = of_draws - conditioning.log_sum(of_draws, axis=0)
        return joint - totals, of_draws, means

    def regress(self, target: Any, x: Any, on: Any = None, *, update_draws: bool = False) -> "Regression":
        """Regression from the joint distribution: the distribution of `target` given each row of x.

        Parameters
        ----------
        target
            Name or index of a feature, or a list of them.
        x
            Rows of the given features: a table with their names, or an array of columns. Features that are neither
            given nor a target are integrated out.
        on
            Names or indices of the given features, in the order of the columns of x. By default the columns of x, if
            these have names of features, and all features but the target otherwise.
        update_draws
            Whether the x of each row counts as data on θ; see `conditional`.

        Returns
        -------
        Regression
            ``mean``, ``sd``, ``quantiles``, ``interval``, ``log_density``, ``cdf`` for each row, and ``mean_interval``:
            the spread of ``E[y | x, θ]`` over the draws.

        Raises
        ------
        ArgumentError, DataError
            If a feature is unknown, stands twice, or is given and a target; nothing is given; or x is no table of
            finite numbers with the given features.
        """
        from bayesgmm.results.regression import Regression

        update_draws = check_flag("update_draws", update_draws)
        targets = arguments.places_of("target", target, self.features)
        given, rows = arguments.given_table(x, on, targets, self.features, self.named)
        names = [tuple(self.features[place] for place in places) for places in (given, targets)]
        return Regression(self, names[1], names[0], rows, update_draws)

    def score_samples(self, x: Any) -> np.ndarray:
        """Log density of each row of x, (N,), in the user's units: for draws the log of the mean density.

        Raises
        ------
        DataError
            If x is no table of finite numbers with these features.
        """
        rows = arguments.rows_of(x, self.features, self.named)
        with np.errstate(divide="ignore"):
            of_draws = np.log(self.weights_of_draws)[:, None, None]
        return np.concatenate([
            conditioning.log_sum(conditioning.log_joint(self.draws, block) + of_draws, axis=(0, 1))
            for block in self.blocks(rows)
        ])  # fmt: skip

    def predict_proba(self, x: Any) -> np.ndarray:
        """Responsibilities of each row of x, (N, K), averaged over the draws. Raises as `score_samples`."""
        from bayesgmm.results.class_probabilities import responsibilities_of

        return responsibilities_of(self, arguments.rows_of(x, self.features, self.named))

    def predict(self, x: Any) -> np.ndarray:
        """Most probable component of each row of x, (N,). Raises as `score_samples`."""
        return self.predict_proba(x).argmax(axis=1)

    def blocks(self, rows: np.ndarray) -> list[np.ndarray]:
        """Views of rows, so few at a time that `BLOCK_VALUES` bounds what is computed of them."""
        size = max(1, BLOCK_VALUES // self.draws.means.size)
        return [rows[first : first + size] for first in range(0, len(rows), size)]

    def sample(self, n: int, seed: Any) -> tuple[np.ndarray, np.ndarray]:
        """Draw `n` rows, each under a new draw of θ: components (n,), rows (n, D)."""
        n = check_count("n", n)
        rng = host_generator(as_key(seed))
        num, equal = self.num_draws, self.draw_weights is None
        chosen = rng.integers(num, size=n) if equal else rng.choice(num, n, p=self.weights_of_draws)
        weights, means, trils = (part[chosen] for part in self.draws)
        z = (rng.random((n, 1)) * weights.sum(axis=1, keepdims=True) > np.cumsum(weights, axis=1)).sum(axis=1)
        rows = np.arange(n)
        noise = rng.standard_normal((n, means.shape[-1]))
        return z, means[rows, z] + np.einsum("ndf,nf->nd", trils[rows, z], noise)

    @cached_property
    def mean(self) -> np.ndarray:
        """``E[x]``, (D,)."""
        return self._shares.ravel() @ self.draws.means.reshape(-1, len(self.features))

    @cached_property
    def covariance(self) -> np.ndarray:
        """``Cov[x]``, (D, D): within components and draws, and between them."""
        dim = len(self.features)
        scaled = np.sqrt(self._shares)[..., None, None] * np.concatenate(
            [self.draws.scale_trils, (self.draws.means - self.mean)[..., None]], axis=-1
        )
        rows = np.moveaxis(scaled, -2, 0).reshape(dim, -1)
        return rows @ rows.T

    @property
    def _shares(self) -> np.ndarray:
        """Weight of each component of each draw, (S, K)."""
        return np.asarray(self.draws.weights) * self.weights_of_draws[:, None]

    @cached_property
    def univariate(self) -> univariate.Univariate:
        """The components of all draws, of a mixture of one feature; several features raise `ArgumentError`."""
        arguments.one_feature("Univariate components", self.features, "Take mixture.marginal(feature).")
        weights = self._shares.reshape(1, -1)
        held = weights[0] > 0
        means, sds = np.reshape(self.draws.means, (1, -1)), np.ravel(self.draws.scale_trils)
        return univariate.Univariate(weights[:, held], means[:, held], sds[held])

    def cdf(self, y: Any) -> np.ndarray:
        """``P(Y ≤ y)`` of a mixture of one feature, in the shape of y.

        Raises
        ------
        ArgumentError
            If there are several features, or y is not numeric or NaN.
        """
        arguments.one_feature("Distribution functions", self.features, "Take mixture.marginal(feature).cdf(y).")
        y = arguments.no_nan("y", as_floats("y", y))
        return self.univariate.cdf(y.ravel(), np.zeros(y.size, int)).reshape(y.shape)

    def quantile(self, probabilities: Any) -> np.ndarray:
        """The quantiles of a mixture of one feature, in the shape of `probabilities`: roots of `cdf`.

        Raises
        ------
        ArgumentError
            If there are several features, or a probability is not above 0 and below 1.
        """
        arguments.one_feature("Quantiles", self.features, "Take mixture.marginal(feature).quantile(…).")
        levels = arguments.shares("probabilities", probabilities)
        return univariate.quantiles(self.univariate, levels.ravel())[0].reshape(levels.shape)

    def highest_density_region(
        self, level: float = 0.9, *, num_draws: int = 20_000, seed: Any = 0
    ) -> "HighestDensityRegion":
        """The smallest region with probability `level`: where the density is above a threshold (Hyndman 1996).

        For one feature it is a union of intervals, whose ends are roots of the density. For several the threshold is a
        quantile of the density at `num_draws` draws from the mixture, with a Monte Carlo error.

        Raises
        ------
        ArgumentError
            If `level` is not between 0 and 1, or an argument is out of range.
        """
        from bayesgmm.results.density_region import region_of

        level, key = check_level("level", level), as_key(seed)
        return region_of(self, level, check_count("num_draws", num_draws, least=100, most=10**7), key)

    def _title(self) -> str:
        over = f", averaged over {self.num_draws} draws" if self.num_draws > 1 else ""
        named = ", ".join(self.features[:8]) + (", …" if len(self.features) > 8 else "")
        return f"Mixture of {self.n_components} Gaussians in {named}{over}"

    def __repr__(self) -> str:
        return as_text(self._title(), component_table(self))

    def _repr_html_(self) -> str:
        return as_html(self._title(), component_table(self))
