"""Where the dance starts: k-means++ in whitened coordinates, a labelling, or given parameters."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.clock import Program
from bayesgmm.conjugate import Belief, default_belief
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.problem import Problem, host_generator
from bayesgmm.types import Params, Stats

SUBSAMPLE = 20_000
"""Rows that k-means++ looks at: enough to find every cluster above a fraction of a percent."""


def kmeans_starts(key: PRNGKeyArray, problem: Problem, num_starts: int) -> Params:
    """`num_starts` starts, in standardised coordinates, on a leading axis.

    Each: k-means++ centres (Arthur & Vassilvitskii 2007, with greedy trials) in fully whitened coordinates, so that an
    elongated cloud of data does not lead; rows to their nearest centre; θ by one M-step under the data-scaled default
    prior, so that no start is singular.
    """
    rng = host_generator(key)
    values = problem.table.values
    if len(values) > SUBSAMPLE:
        values = values[np.sort(rng.choice(len(values), SUBSAMPLE, replace=False))]
    x = (values - problem.frame.center) / problem.frame.scale
    whitener = np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True).reshape(x.shape[1], -1)))
    white = x @ whitener.T
    stats = [_label_stats(x, _nearest(white, _plus_plus(rng, white, problem.num_components)), problem.num_components)
             for _ in range(num_starts)]  # fmt: skip
    stacked = jax.tree.map(lambda *leaves: jnp.asarray(np.stack(leaves), problem.dtype), *stats)
    return _modes(stacked, _weak_belief(problem))


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
        raise ArgumentError(f"labels_init leaves component {', '.join(map(str, empty))} without a row. Relabel from 0.")
    x = (problem.table.values - problem.frame.center) / problem.frame.scale
    stats = jax.tree.map(lambda leaf: jnp.asarray(leaf, problem.dtype)[None], _label_stats(x, labels, k))
    return _modes(stats, _weak_belief(problem))


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


def _plus_plus(rng: np.random.Generator, x: np.ndarray, num_centers: int) -> np.ndarray:
    trials = 2 + int(np.log(num_centers))
    centers = x[rng.integers(len(x))][None]
    nearest = ((x - centers[0]) ** 2).sum(axis=1)
    while len(centers) < num_centers:
        total = nearest.sum()
        if total <= 0:
            raise DataError(
                f"There are only {len(centers)} distinct rows for {num_centers} components. Ask for fewer components."
            )
        candidates = x[rng.choice(len(x), trials, p=nearest / total)]
        distances = np.minimum(nearest, ((x[None] - candidates[:, None]) ** 2).sum(axis=2))
        best = distances.sum(axis=1).argmin()
        centers = np.vstack([centers, candidates[best]])
        nearest = distances[best]
    return centers


def _nearest(x: np.ndarray, centers: np.ndarray) -> np.ndarray:
    return (x @ centers.T - 0.5 * (centers**2).sum(axis=1)).argmax(axis=1)


def _label_stats(x: np.ndarray, labels: np.ndarray, num_components: int) -> Stats:
    dim = x.shape[1]
    counts = np.bincount(labels, minlength=num_components).astype(float)
    means, scatters = np.zeros((num_components, dim)), np.zeros((num_components, dim, dim))
    for k in np.flatnonzero(counts):
        block = x[labels == k]
        means[k] = block.mean(axis=0)
        centred = block - means[k]
        scatters[k] = centred.T @ centred
    return Stats(counts, means, scatters, np.zeros(()))  # pyright: ignore[reportArgumentType]


def _weak_belief(problem: Problem) -> Belief:
    covariance = problem.table.moments()[1] / np.outer(problem.frame.scale, problem.frame.scale)
    belief = default_belief(np.zeros(problem.table.dim), covariance, problem.num_components)
    belief = belief.expand(problem.num_components, problem.table.dim)
    # One more than flat on the weights: a component that starts without rows still starts with a weight.
    belief = belief._replace(weights=belief.weights._replace(concentration=belief.weights.concentration + 1.0))
    return jax.tree.map(lambda leaf: jnp.asarray(leaf, problem.dtype), belief)


@Program
def _modes(stats: Stats, belief: Belief) -> Params:
    """θ of each start, from its statistics."""
    return jax.vmap(lambda one: belief.update(one).mode())(stats)
