"""A test of uniformity on (0, 1), and the adjustment of p-values for multiplicity."""

from functools import lru_cache

import numpy as np

NULL_SIMULATIONS = 4000
"""Number of simulated uniform samples for each p-value."""


def uniformity(values: np.ndarray) -> float:
    """The p-value of a test of uniformity on (0, 1); NaN for fewer than two numbers.

    The test statistic is the smallest pointwise binomial tail probability of the empirical distribution function.
    """
    if len(values) < 2:
        return float("nan")
    null = _null_tails(len(values))
    return float((1 + (null <= _smallest_tails(values[None])).sum()) / (len(null) + 1))


@lru_cache(maxsize=16)
def _null_tails(count: int) -> np.ndarray:
    return _smallest_tails(np.random.default_rng(0).random((NULL_SIMULATIONS, count)))


def _smallest_tails(samples: np.ndarray) -> np.ndarray:
    from scipy.special import bdtr

    count = samples.shape[1]
    points = np.arange(1, count) / count
    below = np.array([np.searchsorted(sample, points, side="right") for sample in np.sort(samples, axis=1)])
    upper = 1.0 - np.where(below > 0, bdtr(below - 1, count, points), 0.0)
    return np.minimum(bdtr(below, count, points), upper).min(axis=1)


def direction(mean: float, sd: float) -> str:
    """How a distribution is wrong, in words, from the mean and sd of ranks of values in it (uniform: 1/2, 0.289)."""
    shift, spread = (mean - 0.5) / 0.289, sd / 0.289 - 1.0
    if abs(shift) > abs(spread):
        return "too low" if shift > 0 else "too high"
    return "too narrow" if spread > 0 else "too wide"


def holm(p: np.ndarray) -> np.ndarray:
    """P-values adjusted for multiplicity (Holm 1979)."""
    order = np.argsort(p)
    adjusted = np.empty(len(p))
    adjusted[order] = np.minimum(np.maximum.accumulate(p[order] * (len(p) - np.arange(len(p)))), 1.0)
    return adjusted
