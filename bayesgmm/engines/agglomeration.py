"""Model-based agglomeration of rows, by the criterion of free covariances (Fraley 1998)."""

import numpy as np

MOST_GROUPS = 160
"""More rows are first merged to this many groups by Ward's criterion: the work grows with their square."""
MOST_COMPONENTS = 50
"""Principal components that the criterion looks at: the work grows with their cube."""


class Agglomeration:
    """Merges of rows that least increase ``Σ_k n_k log(|W_k / n_k| + (tr W_k + a) / n_k)``, down to one group.

    W_k is the scatter of group k, and a is the mean variance. The second term (Banfield & Raftery 1993; Fraley 1998,
    section 2) replaces the determinant, which is 0 for groups of few rows. The result depends on the coordinates of the
    rows: see `scaled_components`. There are at least two features.
    """

    def __init__(self, x: np.ndarray):
        self.groups = _first_groups(x)
        self.pairs = _merge(x, self.groups)

    def labels(self, num_groups: int) -> np.ndarray | None:
        """Labels (N,) of the rows at `num_groups` groups; None if there are fewer groups from the start."""
        num = len(self.pairs) + 1
        if num < num_groups:
            return None
        names = np.arange(num)
        for kept, dropped in self.pairs[: num - num_groups]:
            names[names == dropped] = kept
        return np.unique(names[self.groups], return_inverse=True)[1]


def scaled_components(x: np.ndarray) -> np.ndarray:
    """Principal components of the standardised rows, each divided by the root of its standard deviation.

    Halfway between standardised and whitened. Scrucca & Raftery (2015) found this the best of their transformations
    for agglomeration ("SVD"), and mclust uses it. At most the first `MOST_COMPONENTS`.
    """
    scale = x.std(axis=0)
    values = (x - x.mean(axis=0)) / np.where(scale > 0, scale, 1.0)
    _, singular, axes = np.linalg.svd(values, full_matrices=False)
    kept = singular > singular[0] * len(singular) * np.finfo(float).eps
    kept &= np.arange(len(singular)) < MOST_COMPONENTS
    return values @ axes[kept].T / np.sqrt(singular[kept])


def _first_groups(x: np.ndarray) -> np.ndarray:
    from scipy.cluster.hierarchy import fcluster, ward

    if len(x) <= MOST_GROUPS:
        return np.arange(len(x))
    return np.unique(fcluster(ward(x), MOST_GROUPS, criterion="maxclust"), return_inverse=True)[1]


class _Groups:
    """Counts, means, scatters, traces and terms of the criterion of each group."""

    def __init__(self, x: np.ndarray, labels: np.ndarray):
        num, dim = int(labels.max()) + 1, x.shape[1]
        self.least = x.var(axis=0).mean()
        self.counts = np.bincount(labels).astype(float)
        self.means = np.stack([np.bincount(labels, column) for column in x.T], axis=1) / self.counts[:, None]
        centred = x - self.means[labels]
        self.scatters = np.zeros((num, dim, dim))
        for group in np.flatnonzero(self.counts > 1):
            rows = centred[labels == group]
            self.scatters[group] = rows.T @ rows
        self.traces = np.trace(self.scatters, axis1=1, axis2=2)
        self.terms = self._terms(self.counts, self.traces, lambda some: self.scatters[some])

    def _terms(self, counts, traces, scatter_of) -> np.ndarray:
        volumes, large = np.zeros(len(counts)), np.flatnonzero(counts > self.scatters.shape[-1])
        if len(large):  # fewer rows span no volume
            volumes[large] = np.linalg.det(scatter_of(large) / counts[large, None, None])
        return counts * np.log(np.maximum(volumes, 0.0) + (traces + self.least) / counts)

    def costs(self, first: np.ndarray, second: np.ndarray) -> np.ndarray:
        """Increase of the criterion if each pair is merged."""
        shift = self.means[second] - self.means[first]
        counts = self.counts[first] + self.counts[second]
        share = self.counts[first] * self.counts[second] / counts
        traces = self.traces[first] + self.traces[second] + share * np.einsum("nd,nd->n", shift, shift)

        def scatter_of(some):
            between = share[some, None, None] * shift[some, :, None] * shift[some, None, :]
            return self.scatters[first[some]] + self.scatters[second[some]] + between

        return self._terms(counts, traces, scatter_of) - self.terms[first] - self.terms[second]

    def merge(self, kept: int, dropped: int, cost: float) -> None:
        """Merge one pair, in place. The cost is known."""
        shift = self.means[dropped] - self.means[kept]
        total = self.counts[kept] + self.counts[dropped]
        share = self.counts[kept] * self.counts[dropped] / total
        self.scatters[kept] += self.scatters[dropped] + share * np.outer(shift, shift)
        self.traces[kept] += self.traces[dropped] + share * (shift @ shift)
        self.means[kept] += self.counts[dropped] / total * shift
        self.counts[kept] = total
        self.terms[kept] += self.terms[dropped] + cost


def _merge(x: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The pairs of groups (kept, dropped) that are merged, in order, (groups - 1, 2)."""
    groups = _Groups(x, labels)
    num = len(groups.counts)
    table = np.full((num, num), np.inf)
    upper = np.triu_indices(num, 1)
    table[upper] = groups.costs(*upper)
    alive = np.ones(num, bool)
    pairs = np.empty((num - 1, 2), int)
    for turn in range(num - 1):
        kept, dropped = pairs[turn] = divmod(int(np.argmin(table)), num)
        groups.merge(kept, dropped, table[kept, dropped])
        alive[dropped] = False
        table[dropped, :] = table[:, dropped] = np.inf
        others = np.flatnonzero(alive)
        others = others[others != kept]
        costs = groups.costs(np.full(len(others), kept), others)
        table[np.minimum(kept, others), np.maximum(kept, others)] = costs
    return pairs
