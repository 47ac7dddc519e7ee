"""Label-invariant clustering of the rows: point partitions and their posterior uncertainty."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError
from bayesgmm.partitions.credible_ball import CredibleBall, ball_around
from bayesgmm.partitions.distance import LOSSES, loss_of
from bayesgmm.partitions.draws import numbered, occupied, read, similarity, uncertainty
from bayesgmm.partitions.search import losses, search
from bayesgmm.runtime.arguments import (
    as_array,
    as_key,
    check_choice,
    check_count,
    check_names,
    host_generator,
    split_key,
)
from bayesgmm.runtime.formatting import as_html, as_text, significant
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.progress import Progress, check_progress, listening

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.95
SAME_LOSS = 1e-12
"""Expected losses closer than this are equal up to rounding."""

MOST_STARTS = 10_000
"""Most starts of a search."""


@dataclass(frozen=True, repr=False)
class Partition:
    """A point estimate of the partition of the rows, and its posterior uncertainty."""

    labels: np.ndarray
    """Cluster of each row, (N,), from 0. Ordered by the mean of the first feature, or by size if there are no data."""
    loss: str
    """The loss: ``"vi"`` or ``"binder"``."""
    draws: np.ndarray
    """The drawn partitions behind the estimate, (N, S): class of each row in each draw."""
    num_available: int
    """Number of draws before thinning."""
    table: Table | None
    excess: np.ndarray
    """Expected loss that each start of the search reaches, minus the best. 0: the start reaches the best."""
    full: bool
    """Whether all clusters that the search allows by default are used. Set ``max_clusters`` to allow more."""
    interrupted: bool

    @property
    def num_clusters(self) -> int:
        """Number of clusters."""
        return int(self.labels.max()) + 1

    @property
    def num_rows(self) -> int:
        """N."""
        return len(self.labels)

    @property
    def num_draws(self) -> int:
        """S, the number of draws after thinning."""
        return self.draws.shape[1]

    @property
    def expected_loss(self) -> float:
        """Mean distance from the draws: VI in nats, or Binder's share of pairs."""
        return float(self.distances.mean())

    @cached_property
    def distances(self) -> np.ndarray:
        """Distance of each draw from the partition, (S,)."""
        return losses(self.labels, self.draws, LOSSES[self.loss])

    @cached_property
    def uncertainty(self) -> np.ndarray:
        """Expected share of the other rows whose co-clustering with the row differs from this partition, (N,).

        ``(1 / (N - 1)) Σ_j |1[c_i = c_j] - P(z_i = z_j)|``. Its mean over rows is the expected Binder loss.
        """
        return uncertainty(self.labels, self.draws)

    def similarity(self, rows: Any = None) -> np.ndarray:
        """Posterior similarity matrix ``P(z_i = z_j)`` of all rows or of the chosen rows, (R, R).

        Raises
        ------
        ArgumentError
            If there are more than 5,000 rows, or `rows` does not index rows.
        """
        if rows is None:
            return similarity(self.draws)
        chosen = as_array("rows", rows)
        if chosen.dtype == bool and chosen.shape == (self.num_rows,):
            chosen = np.flatnonzero(chosen)
        if chosen.ndim != 1 or chosen.size == 0 or chosen.dtype.kind not in "iu" or not _within(chosen, self.num_rows):
            raise ArgumentError(
                f"rows must be indices of rows, from 0 to {self.num_rows - 1}, or {self.num_rows} booleans."
            )
        return similarity(self.draws[chosen])

    @cached_property
    def counts(self) -> "pd.Series":
        """Posterior distribution of the number of occupied clusters."""
        import pandas as pd

        values = pd.Series(occupied(self.draws)).value_counts(normalize=True).sort_index()
        return values.rename("probability").rename_axis("clusters")

    @property
    def ball(self) -> CredibleBall:
        """The credible ball at 95 %; see `credible_ball`."""
        return self.credible_ball()

    def credible_ball(self, level: float = LEVEL) -> CredibleBall:
        """The smallest ball around this partition that holds at least the share `level` of the draws, and its bounds.

        Raises
        ------
        ArgumentError
            If `level` is not above 0 and at most 1.
        """
        return ball_around(self.labels, self.draws, self.distances, level, LOSSES[self.loss], self.table)

    def summary(self) -> "pd.DataFrame":
        """One row per cluster: number of rows, mean uncertainty, and feature means if there are data with rows."""
        import pandas as pd

        sizes = np.bincount(self.labels)
        columns = {"rows": sizes, "uncertainty": np.bincount(self.labels, self.uncertainty) / sizes}
        if self.table is not None and self.table.has_rows:
            for d, name in enumerate(self.table.features):
                columns[f"mean[{name}]"] = _means(self.labels, self.table.values[:, d])
        return pd.DataFrame(columns, index=pd.RangeIndex(self.num_clusters, name="cluster"))

    def plot(self, ax: Any = None, kind: str = "similarity", features: Any = None) -> Any:
        """Plot the posterior similarity matrix, or with ``kind="uncertainty"`` the data by cluster. Return the axes.

        ``features`` are the names or numbers of the features of the data to show.
        """
        from bayesgmm import plots

        if check_choice("kind", kind, ("similarity", "uncertainty")) == "uncertainty":
            return plots.plot_uncertainty(self, ax, features)
        if features is not None:
            raise ArgumentError("features are those of the data: use them with kind='uncertainty'.")
        return plots.plot_similarity(self, ax)

    def _title(self) -> str:
        loss, here = LOSSES[self.loss], np.count_nonzero(self.excess <= SAME_LOSS)
        thinned = f" of {self.num_available}" if self.num_draws < self.num_available else ""
        starts = f"{here} of {len(self.excess)} starts" if here else f"{len(self.excess)} starts, clusters dissolved"
        cut = ", interrupted" if self.interrupted else ""
        cut += "; all allowed clusters are used, see max_clusters" if self.full else ""
        return (
            f"Partition of {self.num_rows} rows into {self.num_clusters} clusters: expected {loss.title} "
            f"{significant(self.expected_loss)}{loss.unit} over {self.num_draws}{thinned} draws (from {starts}{cut})"
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.summary())


def partition(
    draws: Any,
    *,
    loss: str = "vi",
    max_clusters: int | None = None,
    num_starts: int = 16,
    seed: Any = 0,
    max_draws: int = 1000,
    x: Any = None,
    labels: Any = None,
    progress_bar: Progress = None,
    **about: Any,
) -> Partition:
    """Find the partition of the rows with the least posterior expected loss.

    The search minimises ``E d(c, z)`` over partitions c, greedily and from many starts. Rows move one at a time to the
    cluster, or a new one, with the least expected loss, until no row moves. The search then dissolves clusters of the
    best partitions and reassigns their rows. The objective is the expectation over the draws, not the lower bound of
    Wade & Ghahramani (2018). The result does not depend on the numbering of the components.

    Parameters
    ----------
    draws
        A `Posterior`; labels of any program as integers (draw, N) or (chain, draw, N); or anything that `as_draws`
        reads. Without labels, one z per row and draw is drawn from ``p(z | θ, x)``.
    loss
        ``"vi"``, the variation of information, or ``"binder"``, the share of pairs. ``"binder"`` splits off more small
        clusters.
    max_clusters
        Most clusters. Default: any number; for more than 4,000 rows, three to six more than any draw has.
    num_starts
        Number of starts: the best drawn partition, the most frequent class of each row, one cluster of all rows, and
        then alternately rows placed one by one in random order, and draws.
    seed
        int or JAX key.
    max_draws
        Most draws. More are thinned evenly to this number, or to fewer if draws × rows would exceed 10⁸.
    x
        The data (N, D), if the draws do not hold them; new rows for a `Posterior`.
    labels
        Class of each row in each draw, or the name of the variable that holds it in a DataTree.
    progress_bar
        True, False, None (a bar in a terminal or notebook) or a callable.
    about
        Further arguments of `as_draws`: ``component_dim``, ``names``, ``probabilities``.

    Returns
    -------
    Partition
        After Ctrl-C, the best so far. With more than 4,000 rows, the starts run on a random sample of 4,000 rows. The
        best is then extended to all rows, and rows move until no row moves.

    Raises
    ------
    ArgumentError, DrawsError, DataError
        If an argument is invalid or the draws cannot be read. All are raised before the search.

    Notes
    -----
    Dahl, Johnson & Müller (2022), Search algorithms and loss functions for Bayesian clustering; Wade & Ghahramani
    (2018), Bayesian cluster analysis: point estimation and credible balls; Binder (1978).

    Examples
    --------
    >>> import bayesgmm as bg
    >>> x = bg.load_dataset("faithful")
    >>> found = bg.partition(bg.sample_gibbs(x, 2, num_samples=500, progress_bar=False))
    >>> found.labels.shape, sorted(set(found.labels.tolist()))
    ((272,), [0, 1])
    """
    chosen = loss_of(loss)
    num_starts = check_count("num_starts", num_starts, most=MOST_STARTS, why="each is a search")
    max_draws = check_count("max_draws", max_draws)
    max_clusters = None if max_clusters is None else check_count("max_clusters", max_clusters)
    check_names(about, ("component_dim", "names", "probabilities"), "partition")
    check_progress(progress_bar)
    key_labels, key_search = split_key(as_key(seed))
    drawn = read(draws, x, labels, max_draws, key_labels, about)
    with listening(progress_bar) as listener, interruptible() as stop:
        most = None if max_clusters is None else min(max_clusters, len(drawn.z))
        found = search(drawn.z, chosen, most, num_starts, host_generator(key_search), stop, listener)
    return Partition(
        numbered(found.labels, drawn.table), loss, drawn.z, drawn.num_available, drawn.table, found.excess, found.full,
        found.interrupted,
    )  # fmt: skip


def _within(rows: np.ndarray, num_rows: int) -> bool:
    return bool(rows.min() >= 0 and rows.max() < num_rows)


def _means(labels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Mean in each cluster of the values that were seen; NaN where none was."""
    seen = ~np.isnan(values)
    counts = np.bincount(labels, seen)
    return np.where(counts > 0, np.bincount(labels, np.where(seen, values, 0.0)), np.nan) / np.maximum(counts, 1.0)
