"""Divisions of the rows, as starting values: agglomeration, cuts at gaps, k-means++, random."""

from functools import cached_property
from typing import NamedTuple

import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.data.table import Table
from bayesgmm.engines.agglomeration import Agglomeration, scaled_components
from bayesgmm.engines.cuts import cut_in_order
from bayesgmm.engines.known_classes import certain, class_shares, under_labels
from bayesgmm.engines.noise_starts import first_guess
from bayesgmm.errors import DataError
from bayesgmm.model.types import Stats
from bayesgmm.priors.shrinkage import proper_covariance
from bayesgmm.problem import Problem
from bayesgmm.runtime.arguments import host_generator

SUBSAMPLE = 5_000
"""Maximum number of rows for the starts: enough to find every cluster above a fraction of a percent."""


AGGLOMERATED = 1_500
"""Maximum number of rows for agglomeration: the work grows with their square."""


class Division(NamedTuple):
    """Shares of the rows in the components, and where θ gets its scale from."""

    shares: np.ndarray
    """(K, N); each column sums to 1, or to 0 for a row that was left out."""
    local: bool
    """Whether each class has its own scale; otherwise all have the scale of the data."""


class Divisions:
    """Divisions of the rows (of a subsample, if there are many) into any number of components."""

    def __init__(self, key: PRNGKeyArray, problem: Problem):
        self.rng = host_generator(key)
        table = problem.table
        rows = np.flatnonzero(table.counted > 0)
        if len(rows) > SUBSAMPLE:
            rows = np.sort(_some_rows(self.rng, rows, table))
        rows, self.noise_share = _clustered(rows, problem)
        self.table = table.take(rows)
        self.x, self.problem = problem.frame.rows(table.filled[rows]), problem
        self.counted = table.counted[rows]
        self.num_distinct = len(np.unique(self.x, axis=0))
        self.chosen = np.arange(len(self.x))
        if len(self.x) > AGGLOMERATED:
            self.chosen = np.sort(self.rng.choice(len(self.x), AGGLOMERATED, replace=False))

    @cached_property
    def covariance(self) -> np.ndarray:
        """Covariance (D, D) of the rows."""
        return np.cov(self.x.T, bias=True, aweights=self.counted).reshape(self.x.shape[1], -1)

    @cached_property
    def target(self) -> np.ndarray:
        """Covariance (D, D) to which starts are shrunk: positive definite also where the data are singular."""
        if self.problem.table.dependence is None:
            return self.covariance
        scale = self.problem.frame.scale
        return proper_covariance(self.problem.table) / np.outer(scale, scale)

    @cached_property
    def white(self) -> np.ndarray:
        """Whitened rows, so that an elongated cloud of data does not dominate; without directions of no variance.

        No more rows than features are all equally far apart when whitened. They stay standardised.
        """
        return self._whitened(self.x)

    def _whitened(self, x: np.ndarray) -> np.ndarray:
        if len(self.x) <= self.x.shape[1]:
            return x
        values, vectors = np.linalg.eigh(self.covariance)
        kept = values > values[-1] * len(values) * np.finfo(float).eps
        return x @ vectors[:, kept] / np.sqrt(values[kept])

    @property
    def _held_centers(self) -> np.ndarray:
        """Whitened means that the model holds, (M, d): they are centres of every division by nearest centres."""
        fixed = self.problem.model.fixed
        means = np.zeros((0, self.x.shape[1])) if fixed is None else fixed.standardise(self.problem.frame).means
        return self._whitened(means[~np.isnan(means[:, 0])])

    @cached_property
    def trees(self) -> list[np.ndarray]:
        """Agglomerations by the Ward criterion in whitened and in standardised coordinates: SciPy linkage matrices."""
        from scipy.cluster.hierarchy import ward

        return [ward(x[self.chosen]) for x in (self.white, self.x)] if len(self.chosen) > 1 else []

    @cached_property
    def agglomeration(self) -> Agglomeration:
        """Agglomeration by the criterion of free covariances."""
        return Agglomeration(scaled_components(self.x[self.chosen]))

    def stats(self, num_components: int, num_starts: int, init: str = "auto") -> tuple[Stats, np.ndarray]:
        """Statistics of each division, and whether its scale is local, on a leading axis; see `make_starts`.

        If the class of each row is known, there is one division.
        """
        if self.num_distinct < num_components:
            clustered = "" if self.table.noise is None else " that are not noise at first"
            raise DataError(
                f"There are only {self.num_distinct} distinct rows{clustered} for {num_components} components. "
                "Use fewer components."
            )
        known = class_shares(self.table, num_components)
        if known is not None and certain(known).all():
            return division_stats(self.x, known[None] * self.counted), np.array([True])
        found: list[Division] = [] if known is None or init not in ("auto", "hierarchical") else _by_labels(known)
        if init in ("auto", "hierarchical"):
            found += self._hierarchical(num_components)
        if init == "random":
            shares = (self.rng.dirichlet(np.ones(num_components), len(self.x)).T for _ in range(num_starts))
            found += [Division(one, local=False) for one in shares]
        count = num_starts - len(found)
        if init in ("auto", "k-means++") and count > 0:
            turns = np.arange(count)
            greedy = turns % 2 == 0 if init == "auto" else np.ones(count, bool)
            labels = _nearest_of_drawn(self.rng, self.white, num_components, greedy, self._held_centers)
            local = turns // 2 % 2 == 1 if init == "auto" else np.ones(count, bool)
            found += [Division(one_hot(one, num_components), bool(own)) for one, own in zip(labels, local, strict=True)]
        chosen = found if init == "hierarchical" else found[:num_starts]
        shares = [one.shares for one in chosen]
        if known is not None:
            shares = [under_labels(one, known, self.counted) for one in shares]
        return division_stats(self.x, np.stack(shares) * self.counted), np.array([one.local for one in chosen])

    def _hierarchical(self, num_components: int) -> list[Division]:
        """Divisions by agglomeration and by cuts at gaps; the most promising first."""
        if not self.trees:
            return [Division(np.ones((1, 1)), local=False)]
        free = self._free_covariance_division(num_components)
        whitened, standardised = (self._tree_division(tree, num_components) for tree in self.trees)
        gaps = cut_in_order(self.x[self.chosen], num_components)
        divisions = [Division(free, local=False), Division(free, local=True)]
        if gaps is not None:
            divisions.append(Division(self._of_chosen(gaps, num_components), local=True))
        return [*divisions, Division(whitened, local=False), Division(standardised, local=True)]

    def _of_chosen(self, labels: np.ndarray, num_components: int) -> np.ndarray:
        shares = np.zeros((num_components, len(self.x)))
        shares[labels, self.chosen] = 1.0
        return shares

    def _tree_division(self, tree: np.ndarray, num_components: int) -> np.ndarray:
        from scipy.cluster.hierarchy import fcluster

        return self._of_chosen(fcluster(tree, num_components, criterion="maxclust") - 1, num_components)

    def _free_covariance_division(self, num_components: int) -> np.ndarray:
        """The division by the criterion of free covariances.

        With one feature, or with more components than the agglomeration has groups: classes of equal size, in the order
        of the leading principal component.
        """
        labels = self.agglomeration.labels(num_components) if self.white.shape[1] > 1 else None
        if labels is None:
            ranks = np.empty(len(self.chosen), int)
            ranks[np.argsort(self.white[self.chosen, -1], kind="stable")] = np.arange(len(self.chosen))
            labels = ranks * num_components // len(self.chosen)
        return self._of_chosen(labels, num_components)


def _clustered(rows: np.ndarray, problem: Problem) -> tuple[np.ndarray, float]:
    """Those of these rows that are not noise at first, and the share of the noise in the starts."""
    noise = problem.table.noise
    if noise is None:
        return rows, 0.0
    some = problem.table.take(rows)
    assert some.noise is not None
    guess = first_guess(some.noise, problem.frame.rows(some.values), problem.model.num_gaussians)
    return rows[~guess], (some.counted[guess].sum() + 1.0) / (some.total + problem.num_components)


def _by_labels(known: np.ndarray) -> list[Division]:
    """The rows of known class alone, if there are some of each class."""
    sure = known * certain(known)
    return [Division(sure, local) for local in (False, True)] if (sure.sum(axis=1) > 0).all() else []


def _some_rows(rng: np.random.Generator, rows: np.ndarray, table: Table) -> np.ndarray:
    """`SUBSAMPLE` of these rows at random; half of them labelled, as many of each class, if there are so many."""
    order = rng.permutation(rows)
    if table.labels is None:
        return order[:SUBSAMPLE]
    labels = table.labels if table.labels.ndim == 1 else table.labels.argmax(axis=1)
    sure = labels >= 0 if table.labels.ndim == 1 else (table.labels > 0).sum(axis=1) == 1
    if labels.max() < 0:
        return order[:SUBSAMPLE]
    classes = [order[sure[order] & (labels[order] == k)] for k in range(labels.max() + 1)]
    first = np.concatenate([rows[: SUBSAMPLE // (2 * len(classes))] for rows in classes])
    others = order[~np.isin(order, first)]
    return np.concatenate([first, others[: SUBSAMPLE - len(first)]])


def _nearest_of_drawn(
    rng: np.random.Generator, x: np.ndarray, num_centers: int, greedy: np.ndarray, given: np.ndarray
) -> np.ndarray:
    """Labels (starts, rows): the nearest of the given centres (M, D) and those that are drawn.

    Greedy starts draw a centre with probability ∝ squared distance; the others draw it uniformly.
    """
    num_starts, trials = len(greedy), 2 + int(np.log(num_centers))
    squares = (x**2).sum(axis=1)

    def distances(rows: np.ndarray) -> np.ndarray:
        flat = rows.reshape(-1)
        return np.maximum(squares - 2.0 * x[flat] @ x.T + squares[flat, None], 0.0).reshape(*rows.shape, len(x))

    if len(given):
        first = np.square(given[:, None] - x).sum(axis=2)
        found = np.broadcast_to(first, (num_starts, *first.shape))
    else:
        found = distances(rng.integers(len(x), size=num_starts))[:, None]
    nearest = found.min(axis=1)
    for _ in range(num_centers - found.shape[1]):
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
