"""The concentration of the weights of a mixture whose number of components K is unknown.

Given K, ``weights ~ Dirichlet(γ_K, …, γ_K)``. `Static`: γ_K is the same for every K. `Dynamic`: γ_K = α / K. Either
number is known, or has a prior: `Gamma` or `FDistribution`.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from scipy import stats

from bayesgmm.errors import PriorError
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.checks import check_number, shown
from bayesgmm.runtime.formatting import significant

SMALLEST, LARGEST = 1e-8, 1e6
"""A concentration lies between these: beyond them, the weights are one component's or all equal."""


class Gamma(NamedTuple):
    """The gamma distribution; its mean is ``shape / rate``."""

    shape: float
    rate: float

    def log_density(self, value: Array) -> Array:
        """Log density without its constant."""
        return (self.shape - 1.0) * jnp.log(value) - self.rate * value

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """Quantiles."""
        return stats.gamma.ppf(shares, self.shape, scale=1.0 / self.rate)

    def describe(self) -> str:
        """The distribution in mathematical notation."""
        return f"Gamma(shape = {significant(self.shape)}, rate = {significant(self.rate)})"


class FDistribution(NamedTuple):
    """Fisher's F distribution with ``df1`` and ``df2`` degrees of freedom; its mean is ``df2 / (df2 - 2)``."""

    df1: float
    df2: float

    def log_density(self, value: Array) -> Array:
        """Log density without its constant."""
        half = 0.5 * jnp.asarray(self.df1)
        return (half - 1.0) * jnp.log(value) - 0.5 * (self.df1 + self.df2) * jnp.log1p(self.df1 * value / self.df2)

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """Quantiles."""
        return stats.f.ppf(shares, self.df1, self.df2)

    def describe(self) -> str:
        """The distribution in mathematical notation."""
        return f"F({significant(self.df1)}, {significant(self.df2)})"


class Static(NamedTuple):
    """``weights ~ Dirichlet(gamma, …, gamma)`` for every K; ``gamma`` is a number or has a prior."""

    gamma: Any

    @property
    def own(self) -> Any:
        """The number, or its prior."""
        return self.gamma

    def of_each(self, value: Any, num: Any) -> Any:
        """γ_K, for the numbers of components `num`."""
        return value + 0.0 * num

    def describe(self) -> str:
        """The prior of the weights in mathematical notation."""
        return _described("weights ~ Dirichlet(γ, …, γ)", "γ", self.gamma)


class Dynamic(NamedTuple):
    """``weights ~ Dirichlet(alpha / K, …, alpha / K)``; ``alpha`` is a number or has a prior.

    As K grows, the mixture approaches a Dirichlet process mixture with concentration ``alpha``.
    """

    alpha: Any

    @property
    def own(self) -> Any:
        """The number, or its prior."""
        return self.alpha

    def of_each(self, value: Any, num: Any) -> Any:
        """γ_K, for the numbers of components `num`."""
        return value / num

    def describe(self) -> str:
        """The prior of the weights in mathematical notation."""
        return _described("weights ~ Dirichlet(α / K, …, α / K)", "α", self.alpha)


Concentration = Static | Dynamic
Hyperprior = Gamma | FDistribution
DEFAULT = Dynamic(FDistribution(6.0, 3.0))
"""Frühwirth-Schnatter, Malsiner-Walli & Grün (2021): mean 3 and a heavy tail, so the data decide how many are empty."""


def checked_concentration(given: Any) -> Concentration:
    """A concentration with valid parameters, as floats; the default for None.

    Raises
    ------
    PriorError
        If it is none, or a parameter is out of range.
    """
    given = DEFAULT if given is None else given
    if not isinstance(given, Concentration):
        raise PriorError(
            "concentration must be bayesgmm.Static or bayesgmm.Dynamic of a number or of a prior "
            f"(bayesgmm.Gamma, bayesgmm.FDistribution), got {shown(given)}."
        )
    own = given.own
    if isinstance(own, Hyperprior):
        return type(given)(type(own)(*(_positive(name, value) for name, value in own._asdict().items())))
    return type(given)(_positive("The concentration", own, SMALLEST, LARGEST))


def _positive(name: str, value: Any, low: float = 1e-6, high: float = 1e8) -> float:
    try:
        return check_number(name, value, low, high)
    except ValueError as error:
        raise PriorError(f"{error} Use a number, bayesgmm.Gamma or bayesgmm.FDistribution.") from None


def is_known(concentration: Concentration) -> bool:
    """Whether the concentration is a number, and not inferred."""
    return not isinstance(concentration.own, Hyperprior)


def nodes(concentration: Concentration, num: int = 64) -> np.ndarray:
    """Values of equal prior probability, for averages over the prior of the concentration; one if it is known."""
    if is_known(concentration):
        return np.array([float(concentration.own)])
    return np.clip(concentration.own.quantiles((np.arange(num) + 0.5) / num), SMALLEST, LARGEST)


def drawn(concentration: Concentration, rng: np.random.Generator) -> float:
    """The number, or a draw from its prior."""
    if is_known(concentration):
        return float(concentration.own)
    return float(np.clip(concentration.own.quantiles(rng.random(1))[0], SMALLEST, LARGEST))


def middle(concentration: Concentration) -> float:
    """The number, or the median of its prior."""
    return float(nodes(concentration, 1)[0])


def _described(weights: str, symbol: str, own: Any) -> str:
    if isinstance(own, Hyperprior):
        return f"{weights}, {symbol} ~ {own.describe()}"
    return f"{weights}, {symbol} = {significant(float(own))}"
