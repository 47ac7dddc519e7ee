"""What approximations of the posterior share: draws, their importance ratios, and the honesty check on them."""

from dataclasses import dataclass

import numpy as np

from bayesgmm.posterior import Posterior

GOOD_K = 0.7
"""Pareto k-hat above which an approximation is not to be trusted (Yao, Vehtari, Simpson & Gelman 2018)."""


FEWEST_IN_TAIL = 5
"""Draws that a tail must have for its shape to be estimated."""


@dataclass(frozen=True, repr=False)
class ApproximatePosterior(Posterior):
    """Independent draws from an approximation of the posterior."""

    pareto_k: float
    """PSIS k-hat of the draws as an importance sample of the posterior: above 0.7, they are not to be trusted."""

    @property
    def trusted(self) -> bool:
        """Whether k-hat allows it."""
        return self.pareto_k <= GOOD_K

    def _honesty(self) -> str:
        if np.isnan(self.pareto_k):
            return "too few draws for Pareto k-hat"
        return f"Pareto k-hat {self.pareto_k:.2f}" + ("" if self.trusted else ": not to be trusted")


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
