"""What draws of θ say of rows, old or new: averaged over the posterior, or one z and one row at a time."""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.data.table import Table
from bayesgmm.engines.kernels import draw
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program

BLOCK = 4096
"""Rows held at a time."""
MOST_LABELS = 2**31
"""Most labels (bytes) that are handed out at once."""


def average_over_draws(params: Params, table: Table, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """``P(z_n = k | x)``, (N, K), and ``log p(x_n | data)``, (N,): means over draws with leading axes (chain, draw).

    The first is the mean of the responsibilities, the second the log of the mean density, in the user's units.
    """
    parts = [(np.asarray(p), np.asarray(d)) for p, d in _over_blocks(_AVERAGE, params, table, frame)]
    proba, density = (np.concatenate(column)[: table.num_rows] for column in zip(*parts, strict=True))
    if not np.isfinite(density).all():
        row = int(np.flatnonzero(~np.isfinite(density))[0])
        raise DataError(
            f"Row {row} is so far from every component that its density is 0 in double precision. Check its units."
        )
    return proba, density - float(frame.log_volume)


def draw_labels(key: PRNGKeyArray, params: Params, table: Table, frame: Frame) -> np.ndarray:
    """One z per row for each draw, (chain, draw, N), as small integers: Gibbs's own conditional ``p(z | θ, x)``.

    Raises
    ------
    ArgumentError
        If there would be more labels than `MOST_LABELS`.
    """
    chains, draws, num = params.weights.shape
    if chains * draws * table.num_rows > MOST_LABELS or num > 256:
        raise ArgumentError(
            f"{chains} × {draws} draws of {table.num_rows} labels of {num} components are too many to hand out at once. Ask "
            "for fewer rows, or thin the draws."
        )
    keys = jr.split(key, chains * draws)
    labels = np.empty((chains * draws, table.num_rows), np.uint8)
    for i, block in enumerate(_over_blocks(_LABELS, params, table, frame, keys)):
        part = labels[:, i * BLOCK : (i + 1) * BLOCK]
        part[:] = np.asarray(block)[:, : part.shape[1]]
    return labels.reshape(chains, draws, table.num_rows)


def responsibilities(params: Params, table: Table, frame: Frame, size: int) -> Iterator[np.ndarray]:
    """``p(z_n = k | θ, x)`` of every draw, block of at most `size` rows by block of rows: each (draw, K, rows)."""
    left = table.num_rows
    for block in _over_blocks(_RESPONSIBILITIES, params, table, frame, size=size):
        yield np.asarray(block)[:, :, :left]
        left -= size


def best_labels(params: Params, table: Table, frame: Frame) -> Iterator[np.ndarray]:
    """Each row's most probable class under every draw, block of rows by block of rows: each (draw, rows), small integers."""
    left = table.num_rows
    for block in _over_blocks(_BEST, params, table, frame):
        yield np.asarray(block)[:, :left]
        left -= BLOCK


def entropy_and_occupation(
    key: PRNGKeyArray, params: Params, table: Table, frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """``-Σ_n Σ_k r_nk log r_nk / N`` of each draw, (chain, draw), and which components a drawn z occupies, (chain, draw, K)."""
    chains, draws, num = params.weights.shape
    keys = jr.split(key, chains * draws)
    entropy, held = np.zeros(chains * draws), np.zeros((chains * draws, num), bool)
    for block in _over_blocks(_OCCUPATION, params, table, frame, keys, jnp.asarray(table.num_rows)):
        more, here = map(np.asarray, block)
        entropy += more
        held |= here
    return entropy.reshape(chains, draws) / table.num_rows, held.reshape(chains, draws, num)


def _over_blocks(program: Program, params: Params, table: Table, frame: Frame, *more, size: int = BLOCK):
    """The program's results, block of rows by block of rows; the last is padded, so that all have one shape."""
    with scope("float64"):
        standard = frame.standardise(params)
        flat = jax.tree.map(lambda leaf: jnp.asarray(leaf.reshape(-1, *leaf.shape[2:])), standard)
        size = min(size, table.num_rows)
        for i, block in enumerate(table.chunks(size)):
            x = np.zeros((table.dim, size))
            x[:, : len(block)] = ((block - frame.center) / frame.scale).T
            yield program(flat, jnp.asarray(x), jnp.asarray(i), *more)


def _scores(theta: Params, x: Float[Array, "D n"]) -> Float[Array, "K n"]:
    scorer = log_joint_scorer(theta)
    return scorer.scores(scorer.residuals(x))


def _average(params: Params, x: Float[Array, "D n"], block) -> tuple[Float[Array, "n K"], Float[Array, "n"]]:
    del block
    num_draws, num = params.weights.shape

    def add(carry, theta):
        proba, density = carry
        scores = _scores(theta, x)
        total = jax.nn.logsumexp(scores, axis=0)
        return (proba + jnp.exp(scores - total), jnp.logaddexp(density, total)), None

    empty = jnp.zeros((num, x.shape[1]), x.dtype), jnp.full(x.shape[1], -jnp.inf, x.dtype)
    (proba, density), _ = lax.scan(add, empty, params)
    return proba.T / num_draws, density - jnp.log(num_draws)


def _labels(params: Params, x: Float[Array, "D n"], block, keys) -> Array:
    def one(pair):
        theta, key = pair
        z, _ = draw(jr.fold_in(key, block), _scores(theta, x))
        return jnp.argmax(z, axis=0).astype(jnp.uint8)

    return lax.map(one, (params, keys))


def _responsibilities(params: Params, x: Float[Array, "D n"], block) -> Float[Array, "S K n"]:
    del block
    return lax.map(lambda theta: jax.nn.softmax(_scores(theta, x), axis=0), params)


def _best(params: Params, x: Float[Array, "D n"], block) -> Array:
    del block
    return lax.map(lambda theta: jnp.argmax(_scores(theta, x), axis=0).astype(jnp.uint8), params)


def _occupation(params: Params, x: Float[Array, "D n"], block, keys, num_rows) -> tuple[Array, Array]:
    real = block * x.shape[1] + jnp.arange(x.shape[1]) < num_rows

    def one(pair):
        theta, key = pair
        scores = _scores(theta, x)
        logs = jax.nn.log_softmax(scores, axis=0)
        uncertain = -jnp.sum(jnp.where(jnp.exp(logs) > 0, jnp.exp(logs) * logs, 0.0), axis=0)
        z, _ = draw(jr.fold_in(key, block), scores)
        return jnp.sum(jnp.where(real, uncertain, 0.0)), jnp.any((z > 0) & real, axis=1)

    return lax.map(one, (params, keys))


_AVERAGE = Program(_average)
_OCCUPATION = Program(_occupation)
_RESPONSIBILITIES = Program(_responsibilities)
_BEST = Program(_best)
_LABELS = Program(_labels)
