"""Where the dance starts: divisions of the rows made in several ways, a labelling, or given parameters."""

from functools import cached_property

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.model.types import Params, Stats
from bayesgmm.priors.normal_inverse_wishart import Belief, default_belief
from bayesgmm.problem import Problem, host_generator
from bayesgmm.runtime.programs import Program

SUBSAMPLE = 5_000
"""Rows that starts are made from: enough to find every cluster above a fraction of a percent."""
AGGLOMERATED = 1_500
"""Rows that are agglomerated by Ward's criterion: the work grows with their square."""
AGGLOMERATED_FREELY = 400
"""Rows that are agglomerated by the criterion of free covariances: the work grows with their cube."""

INITS = ("auto", "k-means++", "random", "hierarchical")


def made_starts(key: PRNGKeyArray, problem: Problem, num_starts: int, init: str = "auto") -> Params:
    """`num_starts` starts, in standardised coordinates, on a leading axis.

    Each is a division of the rows (of a subsample, if they are many), made in fully whitened coordinates, so that an
    elongated cloud of data does not lead; then θ by one M-step under the data-scaled default prior, so that no start is
    singular.

    - ``"k-means++"``: rows go to the nearest of centres drawn by Arthur & Vassilvitskii (2007), with greedy trials;
    - ``"random"``: each row divides itself among the components at random;
    - ``"hierarchical"``: model-based agglomeration (Fraley 1998, section 2), by the criterion of equal spherical covariances,
      which is Ward's, in whitened and in standardised coordinates, and by that of free covariances; for one feature, in place
      of the latter, as many classes of equal size in order: three starts, whatever `num_starts`;
    - ``"auto"``: the three agglomerations, then k-means++ and nearest-of-random-rows in turn.
    """
    stats = Divisions(key, problem).stats(problem.num_components, num_starts, init)
    return starts_from(stats, weak_belief(problem), problem.dtype)


class Divisions:
    """Divisions of the rows (of a subsample, if they are many) into any number of components."""

    def __init__(self, key: PRNGKeyArray, problem: Problem):
        self.rng = host_generator(key)
        values = problem.table.values
        if len(values) > SUBSAMPLE:
            values = values[np.sort(self.rng.choice(len(values), SUBSAMPLE, replace=False))]
        self.x = (values - problem.frame.center) / problem.frame.scale
        covariance = np.cov(self.x.T, bias=True).reshape(self.x.shape[1], -1)
        self.white = self.x @ np.linalg.inv(np.linalg.cholesky(covariance)).T
        self.num_distinct = len(np.unique(self.x, axis=0))
        self.chosen = np.arange(len(self.x))
        if len(self.x) > AGGLOMERATED:
            self.chosen = np.sort(self.rng.choice(len(self.x), AGGLOMERATED, replace=False))

    @cached_property
    def trees(self) -> list[np.ndarray]:
        """Agglomerations in whitened and in standardised coordinates, as SciPy's linkages."""
        from scipy.cluster.hierarchy import ward

        return [ward(x[self.chosen]) for x in (self.white, self.x)] if len(self.chosen) > 1 else []

    @cached_property
    def merges(self) -> tuple[np.ndarray, np.ndarray]:
        """Rows, and the pairs that free covariances merge, one after another."""
        few = self.chosen
        if len(few) > AGGLOMERATED_FREELY:
            few = np.sort(self.rng.choice(few, AGGLOMERATED_FREELY, replace=False))
        return few, _agglomerate(self.white[few])

    def stats(self, num_components: int, num_starts: int, init: str = "auto") -> Stats:
        """Statistics of each division, on a leading axis; see `made_starts`."""
        if self.num_distinct < num_components:
            raise DataError(
                f"There are only {self.num_distinct} distinct rows for {num_components} components. Ask for fewer components."
            )
        found: list[np.ndarray] = []
        if init in ("auto", "hierarchical"):
            found += [self._cut(tree, num_components) for tree in self.trees] + [self._third(num_components)]
        if init == "random":
            found += [self.rng.dirichlet(np.ones(num_components), len(self.x)).T for _ in range(num_starts)]
        count = num_starts - len(found)
        if init in ("auto", "k-means++") and count > 0:
            greedy = np.arange(count) % 2 == 0 if init == "auto" else np.ones(count, bool)
            labels = _nearest_of_drawn(self.rng, self.white, num_components, greedy)
            found += [_one_hot(one, num_components) for one in labels]
        wanted = len(found) if init == "hierarchical" else num_starts
        return _division_stats(self.x, np.stack(found[:wanted]))

    def _cut(self, tree: np.ndarray, num_components: int) -> np.ndarray:
        from scipy.cluster.hierarchy import fcluster

        division = np.zeros((num_components, len(self.x)))
        division[fcluster(tree, num_components, criterion="maxclust") - 1, self.chosen] = 1.0
        return division

    def _third(self, num_components: int) -> np.ndarray:
        """The division into free covariances; of one feature, into classes of equal size in order."""
        if self.x.shape[1] == 1:
            ranks = np.empty(len(self.x), int)
            ranks[np.argsort(self.x[:, 0], kind="stable")] = np.arange(len(self.x))
            return _one_hot(ranks * num_components // len(self.x), num_components)
        rows, pairs = self.merges
        labels = np.arange(len(rows))
        for first, second in pairs[: len(rows) - num_components]:
            labels[labels == second] = first
        division = np.zeros((num_components, len(self.x)))
        division[np.unique(labels, return_inverse=True)[1], rows] = 1.0
        return division


def label_start(labels, problem: Problem) -> Params:
    """A start from a labelling of the rows, on a leading axis of 1: class frequencies, means and covariances.

    Raises
    ------
    ArgumentError
        If the labels do not name every component, have another length than the data, or leave out-of-range values.
    """
    labels = np.asarray(labels)
    k = problem.num_components
    if labels.shape != (problem.table.num_rows,):
        raise ArgumentError(f"labels_init must have shape ({problem.table.num_rows},), got {labels.shape}.")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= k:
        raise ArgumentError(f"labels_init must be integers from 0 to {k - 1}; encode the classes first.")
    empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
    if len(empty):
        raise ArgumentError(
            f"labels_init leaves component {', '.join(map(str, empty))} without a row. Use every label from 0 to {k - 1}."
        )
    x = (problem.table.values - problem.frame.center) / problem.frame.scale
    stats = _division_stats(x, _one_hot(labels, k)[None])
    return starts_from(stats, weak_belief(problem), problem.dtype)


def given_start(problem: Problem, weights=None, means=None, covariances=None) -> Params:
    """A start from parameters in the user's units; what is missing is equal weights or the pooled covariance.

    Raises
    ------
    ArgumentError
        If a part has the wrong shape, weights are not positive or do not add up to one, or a covariance is not positive
        definite, or means are missing.
    """
    k, dim = problem.num_components, problem.table.dim
    if means is None:
        raise ArgumentError("A start needs means_init; weights_init and covariances_init may be left out beside it.")
    if weights is None:
        weights = np.full(k, 1.0 / k)
    if covariances is None:
        covariances = np.broadcast_to(problem.table.moments()[1], (k, dim, dim))
    shapes = {"weights_init": (weights, (k,)), "means_init": (means, (k, dim)),
              "covariances_init": (covariances, (k, dim, dim))}  # fmt: skip
    for name, (value, shape) in shapes.items():
        if np.shape(value) != shape or not np.isfinite(np.asarray(value, float)).all():
            raise ArgumentError(f"{name} must be finite and of shape {shape}, got shape {np.shape(value)}.")
    covariances = np.asarray(covariances, float)
    if not np.allclose(covariances, covariances.swapaxes(1, 2), rtol=1e-6, atol=1e-12 * np.abs(covariances).max()):
        raise ArgumentError("covariances_init must be symmetric and positive definite, each of them.")
    weights = np.asarray(weights, float)
    if (weights <= 0).any() or abs(weights.sum() - 1) > 1e-6:
        raise ArgumentError(f"weights_init must be positive and add up to 1, got {weights}.")
    try:
        params = Params.of(weights / weights.sum(), means, covariances)
    except np.linalg.LinAlgError:
        raise ArgumentError("covariances_init must be symmetric and positive definite, each of them.") from None
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, problem.dtype)[None], problem.frame.standardise(params))


def warm_start(params: Params, problem: Problem) -> Params:
    """A start from another fit's θ, in the user's units.

    Raises
    ------
    ArgumentError
        If it is no θ, or is of another shape than the problem.
    """
    if not isinstance(params, Params):
        raise ArgumentError(f"init must be a name, a MixtureFit or Params, got {type(params).__name__}.")
    return given_start(problem, params.weights, params.means, params.covariances)


def _agglomerate(x: np.ndarray) -> np.ndarray:
    """Pairs (kept, dropped) that raise ``Σ_k n_k log(|W_k / n_k| + (tr W_k + a) / n_k)`` least, until one class is left.

    W_k is a class's scatter. The second term, with a the mean variance (Banfield & Raftery 1993; Fraley 1998, section 2),
    stands in for the determinant, which is 0 for classes of few rows.
    """
    num, dim = x.shape
    least = np.trace(np.atleast_2d(np.cov(x.T, bias=True))) / dim

    def term(counts, scatters):
        spread = (np.trace(scatters, axis1=-2, axis2=-1) + least) / counts
        volume = np.where(counts > dim, np.linalg.det(scatters / counts[..., None, None]), 0.0)
        return counts * np.log(np.maximum(volume, 0.0) + spread)

    counts, means, scatters = np.ones(num), x.copy(), np.zeros((num, dim, dim))
    terms = term(counts, scatters)

    def costs(i, others):
        shift = means[others] - means[i]
        total = counts[others] + counts[i]
        between = (counts[others] * counts[i] / total)[:, None, None] * shift[:, :, None] * shift[:, None, :]
        return term(total, scatters[others] + scatters[i] + between) - terms[others] - terms[i]

    table = np.full((num, num), np.inf)
    for i in range(num - 1):
        table[i, i + 1 :] = costs(i, np.arange(i + 1, num))
    pairs = np.empty((num - 1, 2), int)
    alive = np.ones(num, bool)
    for turn in range(num - 1):
        i, j = np.unravel_index(np.argmin(table), table.shape)
        pairs[turn] = i, j
        total, shift = counts[i] + counts[j], means[j] - means[i]
        scatters[i] += scatters[j] + counts[i] * counts[j] / total * np.outer(shift, shift)
        means[i] += counts[j] / total * shift
        counts[i], alive[j] = total, False
        terms[i] = term(counts[i : i + 1], scatters[i : i + 1])[0]
        table[j, :] = table[:, j] = np.inf
        others = np.flatnonzero(alive & (np.arange(num) != i))
        found = costs(i, others)
        table[np.minimum(i, others), np.maximum(i, others)] = found
    return pairs


def _nearest_of_drawn(rng: np.random.Generator, x: np.ndarray, num_centers: int, greedy: np.ndarray) -> np.ndarray:
    """Labels (starts, rows): nearest of centres drawn with probability ∝ squared distance; if not greedy, uniformly."""
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


def _one_hot(labels: np.ndarray, num_components: int) -> np.ndarray:
    return (labels == np.arange(num_components)[:, None]).astype(float)


def _division_stats(x: np.ndarray, divisions: np.ndarray) -> Stats:
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


def weak_belief(problem: Problem) -> Belief:
    """The data-scaled default prior, in standardised coordinates, that keeps a start from being singular."""
    covariance = problem.table.moments()[1] / np.outer(problem.frame.scale, problem.frame.scale)
    belief = default_belief(np.zeros(problem.table.dim), covariance, problem.num_components)
    belief = belief.expand(problem.num_components, problem.table.dim)
    # One more than flat on the weights: a component that starts without rows still starts with a weight.
    return belief._replace(weights=belief.weights._replace(concentration=belief.weights.concentration + 1.0))


def starts_from(stats: Stats, belief: Belief, dtype: str) -> Params:
    """θ of each start, by one M-step from its statistics; the belief is one for all, or one for each."""
    stats, belief = jax.tree.map(lambda leaf: jnp.asarray(leaf, dtype), (stats, belief))
    return _modes(stats, belief)


@Program
def _modes(stats: Stats, belief: Belief) -> Params:
    axis = 0 if belief.weights.concentration.ndim == 2 else None
    return jax.vmap(lambda one, belief: belief.update(one).mode(), in_axes=(0, axis))(stats, belief)
