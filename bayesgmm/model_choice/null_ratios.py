"""Likelihood ratios of K against K + 1 components, for the data and for data drawn from the fit with K components.

One compiled program serves every K. θ is padded to the largest number of components. Each data set is searched in the
same way: the ascents with K components begin at the fit and at random rows; those with K + 1 begin at the fit with one
component split or one added, and at random rows. Each start has a short run, and the best goes on.
"""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from bayesgmm.engines.em.ascent_state import usable
from bayesgmm.engines.em.bootstrap import drawn_like
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.arguments import key_array
from bayesgmm.runtime.dtypes import on_device, to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.selection.grid_search import SHORT, search_lanes
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.rows import Blocks

ADDED, RANDOM = 6, 6
"""Starts with a component added at a random row, and starts from random rows."""
NEW_WEIGHT = 0.1
"""Weight of a component that is added."""
LANES = 25
"""Data sets that are searched in parallel."""
BATCH_VALUES = 2**24
"""Numbers (data set, row, component or feature) held in memory at a time."""
TOLERANCE, MOST_ITERATIONS = 1e-4, 1000


def ratios(
    key: PRNGKeyArray, theta: Params, problem: Problem, priors: list[Belief], size: int, num: int
) -> tuple[float, Float[np.ndarray, "B"]]:
    """``2 (log L(K + 1) - log L(K))`` of the data, and of `num` data sets drawn from θ; NaN where a search failed.

    Parameters
    ----------
    key
        Of the draws and the random starts.
    theta
        The fit with K components, standardised, padded to the largest number of components.
    problem
        The data, with the largest number of components.
    priors
        Those of K and of K + 1 components, padded.
    size
        K.
    num
        Number of data sets.
    """
    lanes = min(LANES, num + 1, _most_lanes(problem))
    count = -(-(num + 1) // lanes) * lanes
    keys, observed = key_array(key, count), np.arange(count) == 0
    both = on_device(jax.tree.map(lambda *leaves: np.stack(leaves), *priors), problem.dtype)
    start = on_device(theta, problem.dtype)
    limits = np.asarray(TOLERANCE, problem.dtype), np.asarray(MOST_ITERATIONS), np.asarray(SHORT)
    found = [
        to_numpy(
            _RATIOS(keys[i : i + lanes], observed[i : i + lanes], start, both, problem.rows, np.asarray(size), *limits)
        )
        for i in range(0, count, lanes)
    ]
    values = np.concatenate(found)[: num + 1]
    return float(values[0]), values[1:]


def _most_lanes(problem: Problem) -> int:
    num, dim = problem.num_components, problem.table.dim
    return max(1, BATCH_VALUES // (2 * problem.rows.capacity * (dim + 1 + num * (dim + 2))))


def _ratios(
    keys, observed: Bool[Array, "B"], theta: Params, priors: Belief, rows: Rows, size: Int[Array, ""], tol, max_iter,
    short,
) -> Float[Array, "B"]:  # fmt: skip
    """The ratio of each data set: the data where ``observed``, else one drawn from θ."""
    held = rows.take(jnp.arange(rows.capacity))
    assert isinstance(held, Blocks)
    kept = jnp.where(jnp.arange(rows.capacity) < rows.num_rows, held.x, 0.0)

    def one(key, is_data):
        key_rows, key_starts, key_search = jr.split(key, 3)
        drawn = drawn_like(key_rows, theta, rows)
        assert isinstance(drawn, Blocks)
        sample = drawn._replace(x=jnp.where(is_data, kept, drawn.x))
        starts, allowed = _starts(key_starts, theta, sample, size)
        found, _ = search_lanes(key_search, starts, allowed, priors, sample, tol, max_iter, short)
        gain = 2.0 * (found.value[1] - found.value[0])
        return jnp.where(usable(found).all(), gain, jnp.nan)

    return jax.vmap(one)(keys, observed)


def _starts(key, theta: Params, sample: Blocks, size: Int[Array, ""]) -> tuple[Params, Bool[Array, "S 2"]]:
    """Starts with K components and with K + 1, (start, 2, …), and which of them there are."""
    key_rows, key_added = jr.split(key)
    x = sample.x[0, 1:].T
    held = jnp.arange(len(x)) < sample.num_rows
    count = sample.num_rows.astype(x.dtype)
    mean = jnp.where(held[:, None], x, 0.0).sum(axis=0) / count
    away = jnp.where(held[:, None], x - mean, 0.0)
    covariance = away.T @ away / count
    widest = theta.weights.shape[0]
    splits = jax.vmap(partial(_split, theta, size))(jnp.arange(widest))
    places = jr.randint(key_added, (ADDED,), 0, sample.num_rows)
    added = jax.vmap(lambda row: _added(theta, size, x[row], _shrunk(covariance, size + 1)))(places)

    def at_rows(number):
        return jax.vmap(lambda key: _at_rows(key, x, held, covariance, number, widest))(jr.split(key_rows, RANDOM))

    fit = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (widest + ADDED, *leaf.shape)), theta)
    smaller = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), fit, at_rows(size))
    larger = jax.tree.map(lambda *leaves: jnp.concatenate(leaves), splits, added, at_rows(size + 1))
    number = jnp.arange(widest + ADDED + RANDOM)
    again = number >= widest + ADDED
    allowed = jnp.stack([(number == 0) | again, (number < size) | (number >= widest)], axis=1)
    return jax.tree.map(lambda a, b: jnp.stack([a, b], axis=1), smaller, larger), allowed


def _shrunk(covariance: Float[Array, "D D"], size: Int[Array, ""]) -> Float[Array, "D D"]:
    """Cholesky factor of a covariance of one of `size` components that share the volume of the data."""
    dim = covariance.shape[0]
    return jnp.linalg.cholesky(covariance / size ** (2.0 / dim) + 1e-9 * jnp.eye(dim) * jnp.trace(covariance))


def _split(theta: Params, size: Int[Array, ""], k: Int[Array, ""]) -> Params:
    """θ with component k split in two along its longest axis; the new one has the number `size`."""
    tril = theta.scale_trils[k]
    values, vectors = jnp.linalg.eigh(tril @ tril.T)
    offset = 0.7 * jnp.sqrt(values[-1]) * vectors[:, -1]
    half = 0.5 * theta.weights[k]
    weights, means, trils = map(jnp.asarray, theta)
    return Params(
        weights.at[k].set(half).at[size].set(half),
        means.at[k].add(-offset).at[size].set(means[k] + offset),
        trils.at[size].set(tril),
    )


def _added(theta: Params, size: Int[Array, ""], row: Float[Array, "D"], tril: Float[Array, "D D"]) -> Params:
    """θ with one more component, of number `size`, at a row."""
    weights, means, trils = map(jnp.asarray, theta)
    return Params(
        ((1.0 - NEW_WEIGHT) * weights).at[size].set(NEW_WEIGHT), means.at[size].set(row), trils.at[size].set(tril)
    )


def _at_rows(
    key, x: Float[Array, "N D"], held: Bool[Array, "N"], covariance, size: Int[Array, ""], widest: int
) -> Params:
    """`size` components of equal weight at rows drawn as in k-means++ (Arthur & Vassilvitskii 2007), whitened."""
    root = jnp.linalg.cholesky(covariance + 1e-9 * jnp.eye(covariance.shape[0]) * jnp.trace(covariance))
    white = jax.scipy.linalg.solve_triangular(root, x.T, lower=True).T
    number = jnp.arange(widest)

    def pick(i, carry):
        chosen, nearest = carry
        row = jr.categorical(jr.fold_in(key, i), jnp.log(jnp.where(held, nearest, 0.0)))
        return chosen.at[i].set(row), jnp.minimum(nearest, jnp.sum((white - white[row]) ** 2, axis=1))

    first = jnp.ones(len(x), x.dtype) * 1e6
    rows, _ = jax.lax.fori_loop(0, widest, pick, (jnp.zeros(widest, int), first))
    active = number < size
    return Params(
        jnp.where(active, 1.0 / size, 0.0),
        jnp.where(active[:, None], x[rows], 0.0),
        jnp.where(active[:, None, None], _shrunk(covariance, size), jnp.eye(x.shape[1])),
    )


_RATIOS = Program(_ratios)
