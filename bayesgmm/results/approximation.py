"""A posterior approximated by independent draws, with Pareto k-hat as a measure of their reliability."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesgmm.numerics.importance import GOOD_K
from bayesgmm.results.posterior import Posterior


@dataclass(frozen=True, repr=False)
class ApproximatePosterior(Posterior):
    """Independent draws from an approximation of the posterior."""

    pareto_k: float
    """PSIS k-hat of the draws as an importance sample of the posterior: above 0.7, they are not reliable."""

    @property
    def trusted(self) -> bool:
        """Whether k-hat is acceptable: below 0.7."""
        return self.pareto_k <= GOOD_K

    def _attrs(self) -> dict[str, Any]:
        return super()._attrs() | {"pareto_k": self.pareto_k}

    def _khat_words(self) -> str:
        if np.isnan(self.pareto_k):
            return "too few draws for Pareto k-hat"
        return f"Pareto k-hat {self.pareto_k:.2f}" + ("" if self.trusted else ": above 0.7, not reliable")
