"""What approximations of the posterior share: draws, their importance ratios, and the honesty check on them."""

from dataclasses import dataclass

import numpy as np

from bayesgmm.posterior import Posterior

GOOD_K = 0.7
"""Pareto k-hat above which an approximation is not to be trusted (Yao, Vehtari, Simpson & Gelman 2018)."""


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
        return f"Pareto k-hat {self.pareto_k:.2f}" + ("" if self.trusted else ": not to be trusted")


def pareto_k(log_ratios: np.ndarray) -> float:
    """Shape of the upper tail of importance ratios; -∞ if all are equal, up to rounding: the approximation is exact then."""
    from arviz_stats.base.array import array_stats

    log_ratios = np.asarray(log_ratios, float)
    if np.ptp(log_ratios) < 1e-6:
        return float("-inf")
    # ArviZ takes log-likelihoods, whose negatives are the log ratios of leave-one-out.
    return float(array_stats.psislw(-log_ratios, axis=-1)[1])
