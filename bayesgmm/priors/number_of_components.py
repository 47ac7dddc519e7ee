"""Priors on the number of components K = 1, 2, … of a mixture of finite mixtures.

Each class has ``log_mass(k)``, the log probability of K = k, and `largest`, the largest K with mass (None: no end).
The sampler keeps K at or below a number ``most``; `masses_up_to` has the prior that it then uses.
"""

from typing import Any, NamedTuple

import numpy as np
from scipy import special, stats

from bayesgmm.errors import PriorError
from bayesgmm.runtime.checks import check_count, check_number, shown
from bayesgmm.runtime.formatting import significant

MOST_COMPONENTS = 10_000
"""Largest K of a prior."""


class UniformComponents(NamedTuple):
    """K is uniform on 1 … ``most`` (Richardson & Green 1997, with 30)."""

    most: int

    @property
    def largest(self) -> int:
        """The largest K with mass."""
        return self.most

    def log_mass(self, k: np.ndarray) -> np.ndarray:
        """Log probability of each k."""
        return np.where(np.asarray(k) <= self.most, -np.log(self.most), -np.inf)

    def check(self) -> None:
        """Raise an `ArgumentError` if the parameters are not valid."""
        check_count("most", self.most, most=MOST_COMPONENTS)

    def describe(self) -> str:
        """The prior in mathematical notation."""
        return f"K ~ uniform on 1 … {self.most}"


class FixedComponents(NamedTuple):
    """K is known. With a small concentration this is a sparse finite mixture (Malsiner-Walli et al. 2016)."""

    num: int

    @property
    def largest(self) -> int:
        """The largest K with mass."""
        return self.num

    def log_mass(self, k: np.ndarray) -> np.ndarray:
        """Log probability of each k."""
        return np.where(np.asarray(k) == self.num, 0.0, -np.inf)

    def check(self) -> None:
        """Raise an `ArgumentError` if the parameters are not valid."""
        check_count("num", self.num, most=MOST_COMPONENTS)

    def describe(self) -> str:
        """The prior in mathematical notation."""
        return f"K = {self.num}"


class GeometricComponents(NamedTuple):
    """``P(K = k) = p (1 - p)^(k - 1)``; the mean of K is 1 / ``p``."""

    p: float

    @property
    def largest(self) -> None:
        """No largest K."""

    def log_mass(self, k: np.ndarray) -> np.ndarray:
        """Log probability of each k."""
        return np.log(self.p) + special.xlog1py(np.asarray(k) - 1.0, -self.p)

    def check(self) -> None:
        """Raise an `ArgumentError` if the parameters are not valid."""
        check_number("p", self.p, 0.0, 1.0, open_low=True, open_high=True)

    def describe(self) -> str:
        """The prior in mathematical notation."""
        return f"K ~ geometric({significant(self.p)}) on 1, 2, …"


class PoissonComponents(NamedTuple):
    """``K - 1 ~ Poisson(rate)``; the mean of K is 1 + ``rate``."""

    rate: float

    @property
    def largest(self) -> None:
        """No largest K."""

    def log_mass(self, k: np.ndarray) -> np.ndarray:
        """Log probability of each k."""
        return stats.poisson.logpmf(np.asarray(k) - 1, self.rate)

    def check(self) -> None:
        """Raise an `ArgumentError` if the parameters are not valid."""
        check_number("rate", self.rate, 0.0, 1e6, open_low=True)

    def describe(self) -> str:
        """The prior in mathematical notation."""
        return f"K - 1 ~ Poisson({significant(self.rate)})"


class BetaNegativeBinomialComponents(NamedTuple):
    """``K - 1 ~ BNB(alpha, a, b)``: negative-binomial with a Beta(``a``, ``b``) success probability.

    ``P(K = k) = Γ(α + k - 1) B(α + a, k - 1 + b) / (Γ(α) Γ(k) B(a, b))`` (Frühwirth-Schnatter, Malsiner-Walli & Grün
    2021). The mean of K is ``1 + alpha b / (a - 1)`` for ``a > 1``. The defaults are the paper's choice: mean 2,
    mode 1, and a tail as heavy as ``k^(-a - 1)``.
    """

    alpha: float = 1.0
    a: float = 4.0
    b: float = 3.0

    @property
    def largest(self) -> None:
        """No largest K."""

    def log_mass(self, k: np.ndarray) -> np.ndarray:
        """Log probability of each k."""
        before = np.asarray(k) - 1.0
        counts = special.gammaln(self.alpha + before) - special.gammaln(self.alpha) - special.gammaln(before + 1.0)
        return counts + special.betaln(self.alpha + self.a, before + self.b) - special.betaln(self.a, self.b)

    def check(self) -> None:
        """Raise an `ArgumentError` if the parameters are not valid."""
        for name, value in self._asdict().items():
            check_number(name, value, 0.0, 1e6, open_low=True)

    def describe(self) -> str:
        """The prior in mathematical notation."""
        return f"K - 1 ~ BNB({', '.join(map(significant, self))})"


NumberOfComponents = (
    UniformComponents | FixedComponents | GeometricComponents | PoissonComponents | BetaNegativeBinomialComponents
)
WORDS = (
    "UniformComponents, GeometricComponents, PoissonComponents, BetaNegativeBinomialComponents or FixedComponents "
    "of bayesgmm"
)


def checked_components(prior: Any) -> NumberOfComponents:
    """A prior on K with valid parameters; the default for None.

    Raises
    ------
    ArgumentError, PriorError
        If it is none, or a parameter is out of range.
    """
    if prior is None:
        return BetaNegativeBinomialComponents()
    if not isinstance(prior, NumberOfComponents):
        raise PriorError(f"components must be a prior on K: {WORDS}; got {shown(prior)}.")
    prior.check()
    return prior


def masses_up_to(prior: NumberOfComponents, most: int) -> np.ndarray:
    """``P(K = k)``, k = 1 … most, of the prior that is truncated at `most` and normalised.

    Raises
    ------
    PriorError
        If the prior has no mass there.
    """
    logs = prior.log_mass(np.arange(1, most + 1))
    top = logs.max()
    if not np.isfinite(top):
        raise PriorError(
            f"The prior of the number of components ({prior.describe()}) has no mass on 1 … {most}. Use a larger "
            "max_components."
        )
    masses = np.exp(logs - top)
    return masses / masses.sum()


def mass_beyond(prior: NumberOfComponents, most: int) -> float:
    """``P(K > most)`` under the prior before it is truncated."""
    return float(max(0.0, 1.0 - np.exp(prior.log_mass(np.arange(1, most + 1))).sum()))


def check_most(prior: NumberOfComponents, most: Any, default: int) -> int:
    """The padded number of components: as given, the largest K of the prior, or `default`."""
    if most is not None:
        return check_count("max_components", most, most=MOST_COMPONENTS)
    return default if prior.largest is None else prior.largest
