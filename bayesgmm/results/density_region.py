"""Highest density regions: the smallest sets with a given probability (Hyndman 1996)."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.numerics.univariate import densest_set
from bayesgmm.results.mixture_arguments import rows_of
from bayesgmm.runtime.formatting import as_html, as_text, significant

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False, eq=False)
class HighestDensityRegion:
    """Where the density of a mixture is at least a threshold. See `Mixture.highest_density_region`."""

    mixture: Any
    """The `Mixture`."""
    level: float
    """Probability of the region."""
    log_threshold: float
    """Log of the least density in the region, in the user's units."""
    intervals: np.ndarray | None
    """For one feature: the intervals (I, 2) in order, with ends to rounding. None for several features."""
    error: float
    """Monte Carlo standard error of the probability: 0 for one feature."""

    def contains(self, x: Any) -> np.ndarray:
        """Whether each row of x lies in the region, (N,).

        Raises
        ------
        DataError
            If x is no table of finite numbers with the features of the mixture.
        """
        if self.intervals is None:
            return self.mixture.score_samples(x) >= self.log_threshold
        y = rows_of(x, self.mixture.features, self.mixture.named)
        return ((self.intervals[:, 0] <= y) & (y <= self.intervals[:, 1])).any(axis=1)

    def to_frame(self) -> "pd.DataFrame":
        """The intervals with the probability of each, for one feature; otherwise the threshold and its error."""
        import pandas as pd

        if self.intervals is None:
            row = {"level": self.level, "log threshold": self.log_threshold, "Monte Carlo error": self.error}
            return pd.DataFrame([row], ["region"])
        ends = self.mixture.cdf(self.intervals)
        columns = {"lower": self.intervals[:, 0], "upper": self.intervals[:, 1], "probability": ends[:, 1] - ends[:, 0]}
        return pd.DataFrame(columns, pd.RangeIndex(len(ends), name="interval"))

    def _title(self) -> str:
        return (
            f"Highest density region of {', '.join(self.mixture.features)} with probability {significant(self.level)}"
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self.to_frame())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.to_frame())


def region_of(mixture: Any, level: float, num_draws: int, key: Any) -> HighestDensityRegion:
    """The region, by root finding for one feature; else from draws: a quantile of their densities (Hyndman 1996)."""
    if len(mixture.features) == 1:
        intervals, threshold = densest_set(mixture.univariate, level)
        return HighestDensityRegion(mixture, level, threshold, intervals, 0.0)
    _, rows = mixture.sample(num_draws, key)
    threshold = float(np.quantile(mixture.score_samples(rows), 1.0 - level))
    return HighestDensityRegion(mixture, level, threshold, None, float(np.sqrt(level * (1.0 - level) / num_draws)))
