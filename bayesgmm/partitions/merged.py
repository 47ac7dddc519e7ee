"""The result of merging components into clusters."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.partitions.elbow import Elbow, elbow_of
from bayesgmm.runtime.arguments import check_count
from bayesgmm.runtime.formatting import as_html, as_text, for_html, significant, wrapped
from bayesgmm.runtime.written_tables import Written

if TYPE_CHECKING:
    import pandas as pd

APART = 0.01
"""Entropy per row, in nats, below which all components are clusters already."""


@dataclass(frozen=True, repr=False)
class Merging(Written):
    """Clusters made of components, for every number of clusters from 1 to K."""

    result: Any
    """The fit or the posterior whose components are merged."""
    groups: np.ndarray
    """The cluster of each component, (K, K): row G - 1 for G clusters. Clusters are numbered by their first component;
    a noise component is none of them."""
    entropy: np.ndarray
    """Entropy of the classes in nats for 1 … K clusters, (K,)."""
    entropy_draws: np.ndarray | None
    """Of a posterior, the entropy for 1 … K clusters under draws of θ, (S, K), with the same clusters."""

    @property
    def n_components(self) -> int:
        """K, without a noise component."""
        return len(self.groups)

    @cached_property
    def elbow(self) -> Elbow | None:
        """The two lines through the entropies that meet at the suggested number; None if K is below 3."""
        return elbow_of(self.entropy)

    @property
    def suggested(self) -> int:
        """The suggested number of clusters: at the elbow; K if K is below 3 or no rows are shared."""
        return _suggested(self.entropy, self.result.table.total)

    @cached_property
    def suggested_by_draws(self) -> "pd.Series":
        """The share of posterior draws whose entropies suggest each number of clusters, with the same clusters.

        Raises
        ------
        ArgumentError
            If this is of a fit, which has no draws.
        """
        import pandas as pd

        if self.entropy_draws is None:
            raise ArgumentError(
                "This is of a fit, which has no draws. Merge a posterior, such as bg.sample_gibbs(x, 4)."
            )
        found = [_suggested(heights, self.result.table.total) for heights in self.entropy_draws]
        shares = pd.Series(found).value_counts(normalize=True).sort_index()
        return shares.rename("share of draws").rename_axis("clusters")

    @property
    def merges(self) -> "tuple[tuple[tuple[int, ...], tuple[int, ...]], ...]":
        """The two sets of components that are joined at each step, from K - 1 clusters to 1."""
        steps = []
        for size in range(self.n_components - 1, 0, -1):
            before, after = self.components(size + 1), set(self.components(size))
            first, second = (group for group in before if group not in after)
            steps.append((first, second))
        return tuple(steps)

    def components(self, n_clusters: int | None = None) -> tuple[tuple[int, ...], ...]:
        """The components of each cluster, for a number of clusters (default: the suggested one).

        Raises
        ------
        ArgumentError
            If there are not as many components.
        """
        labels = self.groups[self._size(n_clusters) - 1]
        return tuple(tuple(np.flatnonzero(labels == g).tolist()) for g in range(int(labels.max()) + 1))

    def predict_proba(self, n_clusters: int | None = None, x: Any = None) -> np.ndarray:
        """Probability of each cluster for each row of x (default: the data), (N, G); a last column for noise.

        The number of clusters is the suggested one by default. Raises as `components` and as the ``predict_proba`` of
        the fit or posterior do.
        """
        labels = self.groups[self._size(n_clusters) - 1]
        found = self.result.predict_proba(x)
        joined = found[:, : len(labels)] @ np.eye(int(labels.max()) + 1)[labels]
        return np.concatenate([joined, found[:, len(labels) :]], axis=1)

    def labels(self, n_clusters: int | None = None, x: Any = None) -> np.ndarray:
        """Most probable cluster of each row of x (default: the data), (N,); noise has number G. See `components`."""
        return self.predict_proba(n_clusters, x).argmax(axis=1)

    def summary(self) -> "pd.DataFrame":
        """A row per number of clusters: components, entropy, its sd over draws, its fall by this merger (NaN for K)."""
        import pandas as pd

        sizes = range(1, self.n_components + 1)
        falls = np.append(np.diff(self.entropy), np.nan)
        columns: dict[str, Any] = {
            "clusters of components": [_words(self.components(size)) for size in sizes],
            "entropy": self.entropy,
        }
        if self.entropy_draws is not None:
            columns["mean over draws"] = self.entropy_draws.mean(axis=0)
            columns["sd over draws"] = self.entropy_draws.std(axis=0)
        columns["fall by this merger"] = falls
        return pd.DataFrame(columns, index=pd.RangeIndex(1, self.n_components + 1, name="clusters"))

    def to_dataframe(self) -> "pd.DataFrame":
        """The same as `summary`."""
        return self.summary()

    def plot(self, ax: Any = None) -> Any:
        """Plot the entropy against the number of clusters. See `bayesgmm.plots.plot_merging`; returns axes."""
        from bayesgmm import plots

        return plots.plot_merging(self, ax)

    def notes(self) -> list[str]:
        """The suggestion in words, and how sure it is."""
        clusters = _words(self.components())
        if self.suggested == self.n_components:
            lines = [f"No merger is suggested: {self.n_components} components, {self.suggested} clusters."]
        else:
            lines = [f"Suggested: {self.suggested} clusters, of components {clusters}."]
        if self.entropy_draws is not None:
            shares = self.suggested_by_draws
            words = ", ".join(f"{size} in {significant(100 * share, 2)} %" for size, share in shares.items())
            lines.append(f"The elbow under single draws: {words} of {len(self.entropy_draws)} draws.")
        if self.elbow is not None:
            lines.append("The elbow is a rule of thumb, and lies between 2 and K - 1: look at the plot of the entropy.")
        return lines

    def _size(self, n_clusters: int | None) -> int:
        """The number of clusters, checked."""
        if n_clusters is None:
            return self.suggested
        return check_count("n_clusters", n_clusters, most=self.n_components)

    def _title(self) -> str:
        return f"{self.n_components} components merged into clusters by entropy; {self.suggested} clusters suggested"

    def __repr__(self) -> str:
        return "\n".join([as_text(self._title(), self.summary()), *map(wrapped, self.notes())])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{for_html(line)}</p>" for line in self.notes())
        return as_html(self._title(), self.summary()) + notes


def _suggested(entropy: np.ndarray, num_rows: float) -> int:
    """The number of clusters at the elbow; K if K is below 3 or the components share no rows."""
    found = elbow_of(entropy)
    return len(entropy) if found is None or entropy[-1] <= APART * num_rows else found.at


def _words(groups: tuple[tuple[int, ...], ...]) -> str:
    """Clusters as written in a table: ``0+2, 1``."""
    return ", ".join("+".join(map(str, group)) for group in groups)
