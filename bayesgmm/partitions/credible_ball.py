"""Credible balls around a point partition."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.partitions.distance import Loss
from bayesgmm.partitions.draws import numbered, occupied
from bayesgmm.runtime.checks import check_number
from bayesgmm.runtime.formatting import as_html, as_text, significant

if TYPE_CHECKING:
    import pandas as pd

ROUNDING = 1e-12
"""Distances closer than this are equal. Distinct distances differ by more, up to a million rows."""


@dataclass(frozen=True, repr=False)
class CredibleBall:
    """The smallest ball around a partition with the given posterior probability (Wade & Ghahramani 2018, section 4).

    Each bound is an array (M, N) of distinct drawn partitions; M > 1 if several are equally far.
    """

    level: float
    radius: float
    share: float
    """Share of the draws within the radius; at least `level`."""
    horizontal: np.ndarray
    """Partitions in the ball that are farthest from the centre."""
    upper: np.ndarray
    """Partitions in the ball with the fewest clusters, and among them the farthest."""
    lower: np.ndarray
    """Partitions in the ball with the most clusters, and among them the farthest."""
    distances: tuple[float, float, float]
    """Distances of the horizontal, upper and lower bounds from the centre."""
    loss: Loss

    def summary(self) -> "pd.DataFrame":
        """One row per bound: number of clusters, distance, and number of partitions that share both."""
        import pandas as pd

        bounds = {"horizontal": self.horizontal, "upper": self.upper, "lower": self.lower}
        columns = {
            "clusters": [int(found[0].max()) + 1 for found in bounds.values()],
            "distance": list(self.distances),
            "partitions": [len(found) for found in bounds.values()],
        }
        return pd.DataFrame(columns, index=pd.Index(list(bounds), name="bound"))

    def _title(self) -> str:
        return (
            f"Credible ball: {self.share:.1%} of draws within {significant(self.radius)}{self.loss.unit} "
            f"({self.loss.title})"
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.summary())


def ball_around(
    center: np.ndarray, draws: np.ndarray, distances: np.ndarray, level: float, loss: Loss, table: Table | None
) -> CredibleBall:
    """The smallest ball around a partition that holds at least `level` of the draws (N, S), and its bounds."""
    level = check_number("level", level, 0.0, 1.0, open_low=True)
    radius = float(np.sort(distances)[int(np.ceil(level * len(distances) - ROUNDING)) - 1])
    inside, clusters = distances <= radius + ROUNDING, occupied(draws)
    fewest, most = clusters[inside].min(), clusters[inside].max()
    bounds, reach = [], []
    for among in (inside, inside & (clusters == fewest), inside & (clusters == most)):
        reach.append(float(distances[among].max()))
        chosen = np.flatnonzero(among & (distances >= reach[-1] - ROUNDING))
        bounds.append(np.unique([numbered(draws[:, s], table) for s in chosen], axis=0))
    (horizontal, upper, lower), share = bounds, float(inside.mean())
    return CredibleBall(level, radius, share, horizontal, upper, lower, (reach[0], reach[1], reach[2]), loss)
