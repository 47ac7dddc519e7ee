"""Divisions of the rows, as ``sklearn.mixture`` makes them: from the same random numbers, the same division."""

import numpy as np
from sklearn.cluster import KMeans, kmeans_plusplus

from bayesgmm.data.table import Table


def divide(table: Table, num_components: int, init: str, random_state: np.random.RandomState) -> np.ndarray:
    """Shares of each row in the components, (N, K), times how often the row counts.

    With ``"k-means++"`` and ``"random_from_data"`` all rows but K have no share. Gaps are filled for this purpose.
    """
    return _DIVISIONS[init](table, num_components, random_state) * table.counted[:, None]


def _by_kmeans(table: Table, num: int, random_state) -> np.ndarray:
    means = KMeans(n_clusters=num, n_init=1, random_state=random_state)  # pyright: ignore[reportArgumentType]
    labels = np.asarray(means.fit(table.filled, sample_weight=table.weights).labels_)
    return _at(np.arange(table.num_rows), labels, table, num)


def _by_centres(table: Table, num: int, random_state) -> np.ndarray:
    _, rows = kmeans_plusplus(table.filled, num, sample_weight=table.weights, random_state=random_state)
    return _at(rows, np.arange(num), table, num)


def _by_rows(table: Table, num: int, random_state) -> np.ndarray:
    if table.weights is None:
        rows = random_state.choice(table.num_rows, size=num, replace=False)
    else:
        rows = random_state.choice(np.flatnonzero(table.weights), size=num, replace=False)
    return _at(rows, np.arange(num), table, num)


def _at_random(table: Table, num: int, random_state) -> np.ndarray:
    shares = random_state.uniform(size=(table.num_rows, num))
    return shares / shares.sum(axis=1)[:, None]


def _at(rows: np.ndarray, components: np.ndarray, table: Table, num: int) -> np.ndarray:
    shares = np.zeros((table.num_rows, num))
    shares[rows, components] = 1.0
    return shares


_DIVISIONS = {"kmeans": _by_kmeans, "k-means++": _by_centres, "random_from_data": _by_rows, "random": _at_random}
