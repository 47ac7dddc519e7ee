"""Importance weights: Pareto-smoothed weights with their k-hat, and bridge estimates of ratios of constants."""

import numpy as np
from scipy.special import logsumexp  # pyright: ignore[reportAttributeAccessIssue]


def psis(log_ratios: np.ndarray, efficiency: float) -> tuple[np.ndarray, float]:
    """Smoothed log weights and Pareto k-hat (Vehtari, Simpson, Gelman, Yao & Gabry 2024); k-hat is ∞ without a tail."""
    from arviz_stats.base.array import array_stats

    log_ratios = np.where(np.isfinite(log_ratios), log_ratios, -np.inf)
    try:
        # ArviZ takes log-likelihoods, whose negatives are the log ratios of leave-one-out.
        log_weights, k = array_stats.psislw(-log_ratios, r_eff=efficiency, axis=-1)  # pyright: ignore[reportArgumentType]
    except ValueError:  # all of the tail is one value, or nothing is left of it
        return np.full(log_ratios.shape, -np.log(log_ratios.size)), np.inf
    return np.asarray(log_weights), float(k) if np.isfinite(k) else np.inf


GOOD_K = 0.7
"""Pareto k-hat above which an approximation is not to be trusted (Yao, Vehtari, Simpson & Gelman 2018)."""


FEWEST_IN_TAIL = 5
"""Draws that a tail must have for its shape to be estimated."""


def pareto_k(log_ratios: np.ndarray) -> float:
    """Shape of the upper tail of importance ratios; -∞ if all are equal, up to rounding: the approximation is exact then.

    NaN with too few draws to have a tail.
    """
    from arviz_stats.base.array import array_stats

    log_ratios = np.asarray(log_ratios, float)
    if min(0.2 * len(log_ratios), 3.0 * len(log_ratios) ** 0.5) < FEWEST_IN_TAIL:
        return float("nan")
    if np.ptp(log_ratios) < 1e-6:
        return float("-inf")
    # ArviZ takes log-likelihoods, whose negatives are the log ratios of leave-one-out.
    return float(array_stats.psislw(-log_ratios, axis=-1)[1])


def bridge(with_row: np.ndarray, without_row: np.ndarray) -> float:
    """``log p(x_i | x_-i)`` from ``log p(x_i | θ)`` under draws given all rows, and under draws given all but row i.

    The number is a ratio of normalising constants, of ``p(θ) p(x | θ)`` and ``p(θ) p(x_-i | θ)``. Bennett's (1976; Meng & Wong
    1996) estimate of it is bounded on either side, where the plain average over the second draws is dominated by few of them if
    the row is far out (six times the error, in a row at five standard deviations).
    """
    n, m = len(with_row), len(without_row)
    value = float(logsumexp(without_row) - np.log(m))
    for _ in range(MOST_TURNS):
        below_with, below_without = (
            np.logaddexp(np.log(n / (n + m)) + density, np.log(m / (n + m)) + value)
            for density in (with_row, without_row)
        )
        above, under = logsumexp(without_row - below_without) - np.log(m), logsumexp(-below_with) - np.log(n)
        if abs(above - under - value) < 1e-9:
            break
        value = float(above - under)
    return value


MOST_TURNS = 1000
