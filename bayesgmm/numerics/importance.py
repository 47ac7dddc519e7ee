"""Pareto-smoothed importance weights with their k-hat, and bridge estimates of ratios of normalising constants."""

import numpy as np
from scipy.special import logsumexp  # pyright: ignore[reportAttributeAccessIssue]


def psis(log_ratios: np.ndarray, efficiency: float) -> tuple[np.ndarray, float]:
    """Smoothed log weights and Pareto k-hat (Vehtari, Simpson, Gelman, Yao & Gabry 2024).

    If there is no tail to fit, k-hat is ∞.
    """
    from arviz_stats.base.array import array_stats

    log_ratios = np.where(np.isfinite(log_ratios), log_ratios, -np.inf)
    try:
        # ArviZ expects log-likelihoods. Their negatives are the log ratios of leave-one-out.
        log_weights, k = array_stats.psislw(
            -log_ratios,
            r_eff=efficiency,  # pyright: ignore[reportArgumentType]
            axis=-1,
        )
    except ValueError:  # all values in the tail are equal, or the tail is empty
        return np.full(log_ratios.shape, -np.log(log_ratios.size)), np.inf
    return np.asarray(log_weights), float(k) if np.isfinite(k) else np.inf


GOOD_K = 0.7
"""Pareto k-hat above which an approximation is unreliable (Yao, Vehtari, Simpson & Gelman 2018)."""


FEWEST_IN_TAIL = 5
"""Smallest number of draws in a tail for which the shape is estimated."""


def pareto_k(log_ratios: np.ndarray) -> float:
    """Shape of the upper tail of importance ratios.

    It is -∞ if all ratios are equal up to rounding: the approximation is then exact. It is NaN if there are too few
    draws for a tail.
    """
    from arviz_stats.base.array import array_stats

    log_ratios = np.asarray(log_ratios, float)
    if min(0.2 * len(log_ratios), 3.0 * len(log_ratios) ** 0.5) < FEWEST_IN_TAIL:
        return float("nan")
    if np.ptp(log_ratios) < 1e-6:
        return float("-inf")
    # ArviZ expects log-likelihoods. Their negatives are the log ratios of leave-one-out.
    return float(array_stats.psislw(-log_ratios, axis=-1)[1])


def bridge(with_row: np.ndarray, without_row: np.ndarray) -> float:
    """``log p(x_i | x_-i)`` from ``log p(x_i | θ)`` under draws given all rows, and under draws given all but row i.

    The result is the log of a ratio of normalising constants, of ``p(θ) p(x | θ)`` and ``p(θ) p(x_-i | θ)``. The
    estimator of Bennett (1976; Meng & Wong 1996) averages bounded terms over both sets of draws. In the plain average
    over the second set, few draws dominate if the row is far out (six times the error, for a row at five standard
    deviations).
    """
    return bridged(with_row, without_row, len(with_row))[0]


def bridged(first: np.ndarray, second: np.ndarray, effective: float) -> tuple[float, np.ndarray, np.ndarray]:
    """Log ratio of the normalising constants of two densities, by the optimal bridge (Meng & Wong 1996, eq. 4.1).

    Parameters
    ----------
    first, second
        Log ratio of the first density to the second, neither normalised, at draws of the first and of the second.
    effective
        Effective number of the draws of the first; those of the second are independent.

    Returns
    -------
    value, log_first, log_second
        The log ratio, and the logs of the terms whose means (of the second over those of the first) give it.
    """
    m = len(second)
    own, other = np.log(effective / (effective + m)), np.log(m / (effective + m))
    value = float(logsumexp(second) - np.log(m))
    log_first, log_second = first, second
    for _ in range(MOST_ITERATIONS):
        log_first = -np.logaddexp(own + first, other + value)
        log_second = second - np.logaddexp(own + second, other + value)
        found = float(logsumexp(log_second) - np.log(m) - logsumexp(log_first) + np.log(len(first)))
        settled, value = abs(found - value) < 1e-9, found
        if settled:
            break
    return value, log_first, log_second


MOST_ITERATIONS = 1000
