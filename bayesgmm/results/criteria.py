"""Information criteria of a point fit. Smaller is better in all of them; mclust has the negatives."""

from functools import cached_property
from typing import Any

import numpy as np
from scipy.special import xlogy  # pyright: ignore[reportAttributeAccessIssue]


class HasCriteria:
    """The criteria of a fit with ``log_likelihood``, ``n_parameters``, ``table``, ``predict_proba``, ``_averages``."""

    def aic(self) -> float:
        """``-2 log L + 2 p``: smaller is better (Akaike 1974)."""
        own: Any = self
        return -2.0 * own.log_likelihood + 2.0 * own.n_parameters

    def aicc(self) -> float:
        """``AIC + 2 p (p + 1) / (N - p - 1)``, for few rows (Hurvich & Tsai 1989); infinite if N is at most p + 1."""
        own: Any = self
        left = own.table.total - own.n_parameters - 1.0
        return self.aic() + 2.0 * own.n_parameters * (own.n_parameters + 1.0) / left if left > 0 else float("inf")

    def bic(self) -> float:
        """``-2 log L + p log N`` (Schwarz 1978), N the sum of weights: smaller is better; mclust has the negative."""
        own: Any = self
        return -2.0 * own.log_likelihood + own.n_parameters * np.log(own.table.total)

    def icl(self) -> float:
        """``BIC - 2 Σ_n log max_k r_nk`` (Biernacki, Celeux & Govaert 2000): smaller is better; not so in mclust."""
        return self.bic() - 2.0 * self._classification[0]

    def soft_icl(self) -> float:
        """``BIC + 2 E`` with the `entropy` E of the classes (McLachlan & Peel 2000, eq. 6.66); at least `icl`."""
        return self.bic() + 2.0 * self.entropy()

    def entropy(self) -> float:
        """Entropy of the classes given the fit, ``-Σ_n Σ_k r_nk log r_nk``, in nats; 0 if every row has one class."""
        return self._classification[1]

    @cached_property
    def _classification(self) -> tuple[float, float]:
        """``Σ_n log max_k r_nk`` and the entropy; a row counts as often as its weight says."""
        own: Any = self
        if not own.table.on_disk:
            return _of_classes(own.predict_proba(), own.table.counted)

        def of_part(part: Any, first: int) -> np.ndarray:
            return np.asarray(_of_classes(own._averages(part, first)[0], part.counted))

        certainty, entropy = own.table.summed(of_part)
        return float(certainty), float(entropy)


def _of_classes(responsibilities: np.ndarray, counted: np.ndarray) -> tuple[float, float]:
    certainty = np.log(responsibilities.max(axis=1))
    entropy = -xlogy(responsibilities, responsibilities).sum(axis=1)
    return float((counted * certainty).sum()), float((counted * entropy).sum())
