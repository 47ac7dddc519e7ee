"""Divisions of the rows, as starting values: model-based agglomeration, k-means++, random."""

from functools import cached_property

import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.errors import DataError
from bayesgmm.model.types import Stats
from bayesgmm.problem import Problem
from bayesgmm.runtime.arguments import host_generator

SUBSAMPLE = 5_000
"""Maximum number of rows for the starts: enough to find every cluster above a fraction of a percent."""


AGGLOMERATED = 1_500
"""Maximum number of rows for agglomeration by the Ward criterion: the work grows with their square."""


AGGLOMERATED_FREELY = 400
"""Maximum number of rows for agglomeration by the criterion of free covariances: the work grows with their cube."""


class Divisions:
    """Divisions of the rows (of a subsample, if there are many) into any number of components."""

    def __init__(self, key: PRNGKeyArray, problem: Problem):
        self.rng = host_generator(key)
        values = problem.table.values
        if len(values) > SUBSAMPLE:
            values = values[np.sort(self.rng.choice(len(values), SUBSAMPLE, replace=False))]
        self.x = problem.frame.rows(values)
        covariance = np.cov(self.x.T, bias=True).reshape(self.x.shape[1], -1)
        self.white = self.x @ np.linalg.inv(np.linalg.cholesky(covariance)).T
        self.num_distinct = len(np.unique(self.x, axis=0))
        self.chosen = np.arange(len(self.x))
        if len(self.x) > AGGLOMERATED:
            self.chosen = np.sort(self.rng.choice(len(self.x), AGGLOMERATED, replace=False))

    @cached_property
    def trees(self) -> list[np.ndarray]:
        """Agglomerations in whitened and in standardised coordinates, as SciPy linkage matrices."""
        from scipy.cluster.hierarchy import ward

        return [ward(x[self.chosen]) for x in (self.white, self.x)] if len(self.chosen) > 1 else []

    @cached_property
    def merges(self) -> tuple[np.ndarray, np.ndarray]:
        """Row numbers, and the pairs that the criterion of free covariances merges, in order."""
        few = self.chosen
        if len(few) > AGGLOMERATED_FREELY:
            few = np.sort(self.rng.choice(few, AGGLOMERATED_FREELY, replace=False))
        return few, _agglomerate(self.white[few])

    def stats(self, num_components: int, num_starts: int, init: str = "auto") -> Stats:
        """Statistics of each division, on a leading axis; see `make_starts`."""
        if self.num_distinct < num_components:
            raise DataError(
                f"There are only {self.num_distinct} distinct rows for {num_components} components. "
                "Use fewer components."
            )
        found: list[np.ndarray] = []
        if init in ("auto", "hierarchical"):
            found += [self._cut(tree, num_components) for tree in self.trees] + [
                self._free_covariance_division(num_components)
            ]
        if init == "random":
            found += [self.rng.dirichlet(np.ones(num_components), len(self.x)).T for _ in range(num_starts)]
        count = num_starts - len(found)
        if init in ("auto", "k-means++") and count > 0:
            greedy = np.arange(count) % 2 == 0 if init == "auto" else np.ones(count, bool)
            labels = _nearest_of_drawn(self.rng, self.white, num_components, greedy)
            found += [one_hot(one, num_components) for one in labels]
        wanted = len(found) if init == "hierarchical" else num_starts
        return division_stats(self.x, np.stack(found[:wanted]))

    def _cut(self, tree: np.ndarray, num_components: int) -> np.ndarray:
        from scipy.cluster.hierarchy import fcluster

        division = np.zeros((num_components, len(self.x)))
        division[fcluster(tree, num_components, criterion="maxclust") - 1, self.chosen] = 1.0
        return division

    def _free_covariance_division(self, num_components: int) -> np.ndarray:
        """The division by the criterion of free covariances; with one feature, into ordered classes of equal size."""
        if self.x.shape[1] == 1:
            ranks = np.empty(len(self.x), int)
            ranks[np.argsort(self.x[:, 0], kind="stable")] = np.arange(len(self.x))
            return one_hot(ranks * num_components // len(self.x), num_components)
        rows, pairs = self.merges
        labels = np.arange(len(rows))
        for first, second in pairs[: len(rows) - num_components]:
            labels[labels == second] = first
        division = np.zeros((num_components, len(self.x)))
        division[np.unique(labels, return_inverse=True)[1], rows] = 1.0
        return division


def _agglomerate(x: np.ndarray) -> np.ndarray:
    """Pairs (kept, dropped) that least increase ``Σ_k n_k log(|W_k / n_k| + (tr W_k + a) / n_k)``, down to one class.

    W_k is the scatter of class k, and a is the mean variance. The second term (Banfield & Raftery 1993; Fraley 1998,
    section 2) replaces the determinant, which is 0 for classes of few rows. There are at least two features.
    """
    from scipy.spatial.distance import pdist, squareform

    num, dim = x.shape
    least = np.trace(np.atleast_2d(np.cov(x.T, bias=True))) / dim
    counts, means, scatters, traces = np.ones(num), x.copy(), np.zeros((num, dim, dim)), np.zeros(num)

    def term(total, trace, scatter):
        volume, large = np.zeros(len(total)), np.flatnonzero(total > dim)
        if len(large):
            volume[large] = np.linalg.det(scatter(large) / total[large, None, None])
        return total * np.log(np.maximum(volume, 0.0) + (trace + least) / total)

    terms = np.full(num, np.log(least))

    def costs(i, others):
        shift = means[others] - means[i]
        total = counts[others] + counts[i]
        share = counts[others] * counts[i] / total
        trace = traces[others] + traces[i] + share * np.einsum("nd,nd->n", shift, shift)

        def scatter(some):
            between = share[some, None, None] * shift[some, :, None] * shift[some, None, :]
            return scatters[others[some]] + scatters[i] + between

        return term(total, trace, scatter) - terms[others] - terms[i]

    # Two rows span no volume, so at first only their distance counts.
    table = squareform(2.0 * (np.log((pdist(x, "sqeuclidean") / 2.0 + least) / 2.0) - np.log(least)))
    table[np.tril_indices(num)] = np.inf
    pairs = np.empty((num - 1, 2), int)
    alive = np.ones(num, bool)
    for turn in range(num - 1):
        i, j = divmod(int(np.argmin(table)), num)
        pairs[turn] = i, j
        total, shift = counts[i] + counts[j], means[j] - means[i]
        share = counts[i] * counts[j] / total
        scatters[i] += scatters[j] + share * np.outer(shift, shift)
        traces[i] += traces[j] + share * (shift @ shift)
        means[i] += counts[j] / total * shift
        counts[i], alive[j] = total, False
        terms[i] = term(counts[i : i + 1], traces[i : i + 1], lambda some, i=i: scatters[i : i + 1])[0]
        table[j, :] = table[:, j] = np.inf
        others = np.flatnonzero(alive)
        others = others[others != i]
        found = costs(i, others)
        table[np.minimum(i, others), np.maximum(i, others)] = found
    return pairs


def _nearest_of_drawn(rng: np.random.Generator, x: np.ndarray, num_centers: int, greedy: np.ndarray) -> np.ndarray:
    """Labels (starts, rows): the nearest of the drawn centres.

    Greedy starts draw a centre with probability ∝ squared distance; the others draw it uniformly.
    """
    num_starts, trials = len(greedy), 2 + int(np.log(num_centers))
    squares = (x**2).sum(axis=1)

    def distances(rows: np.ndarray) -> np.ndarray:
        flat = rows.reshape(-1)
        return np.maximum(squares - 2.0 * x[flat] @ x.T + squares[flat, None], 0.0).reshape(*rows.shape, len(x))

    found = distances(rng.integers(len(x), size=num_starts))[:, None]
    nearest = found[:, 0]
    for _ in range(num_centers - 1):
        odds = np.where(greedy[:, None], nearest, nearest > 1e-12 * squares.mean())
        upper = np.cumsum(odds, axis=1)
        draws = rng.random((num_starts, trials)) * upper[:, -1:]
        candidates = np.stack(
            [np.searchsorted(row, draw, side="right") for row, draw in zip(upper, draws, strict=True)]
        )
        away = distances(np.minimum(candidates, len(x) - 1))
        left = np.minimum(nearest[:, None], away)
        best = np.where(greedy, left.sum(axis=2).argmin(axis=1), 0)
        found = np.concatenate([found, away[np.arange(num_starts), best][:, None]], axis=1)
        nearest = left[np.arange(num_starts), best]
    return found.argmin(axis=1)


def one_hot(labels: np.ndarray, num_components: int) -> np.ndarray:
    """Labels (N,) as a division (K, N)."""
    return (labels == np.arange(num_components)[:, None]).astype(float)


def division_stats(x: np.ndarray, divisions: np.ndarray) -> Stats:
    """Statistics of each division (starts, K, rows)."""
    counts = divisions.sum(axis=2)
    safe = np.where(counts > 0, counts, 1.0)
    means = divisions @ x / safe[..., None]
    scatters = np.empty((*means.shape, x.shape[1]))
    for start, component in np.ndindex(*counts.shape):
        share = divisions[start, component]
        rows = share > 0
        centred = x[rows] - means[start, component]
        scatters[start, component] = (share[rows, None] * centred).T @ centred
    return Stats(counts, means, scatters, np.zeros(len(counts)))  # pyright: ignore[reportArgumentType]
