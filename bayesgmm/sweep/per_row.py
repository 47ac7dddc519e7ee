"""The pass for each row: quantities of each row, old or new, given one θ or many draws of θ.

Rows of a table are read and scored in `bayesgmm.sweep.block`, and only there. Predictive distribution functions need
the margins of a feature instead, and replicates are rows that no table holds. Draws have leading axes (chain,
draw) and the user's units. Rows are standardised block by block.
"""

from collections.abc import Iterator

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp, xlogy
from jax.scipy.stats import norm
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.data.noise import Noise, standard_log_density
from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import all_diagonal
from bayesgmm.runtime.arguments import key_array
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.block import Block, blocks_of, log_density_of_block, scores_of
from bayesgmm.sweep.e_step import average, draw
from bayesgmm.sweep.rows import FEWEST, padded_size

BLOCK = 4096
"""Rows held in memory at a time."""
BLOCK_VALUES = 2**22
"""Residuals (component, feature, row) held in memory at a time by `log_densities`."""
MOST_LABELS = 2**31
"""Largest number of labels (bytes) that are returned at once."""


def average_over_draws(params: Params, table: Table, frame: Frame, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """``P(z_n = k | x)``, (N, K), and ``log p(x_n | data)``, (N,): averages over the draws.

    The first is the mean of the responsibilities. The second is the log of the mean density, in the user's units. Of a
    table that is a part of another one, ``first`` is the number of its first row there: messages number rows so.

    Raises
    ------
    DataError
        If a row is so far from every component that its density is 0 in double precision.
    """
    parts = [tuple(map(np.asarray, part)) for part in _over_blocks(_AVERAGE, params, table, frame)]
    proba, density = (np.concatenate(column)[: table.num_rows] for column in zip(*parts, strict=True))
    if not np.isfinite(density).all():
        row = first + int(np.flatnonzero(~np.isfinite(density))[0])
        raise DataError(
            f"Row {row} is so far from every component that its density is 0 in double precision. Check its units."
        )
    return proba, density - table.log_volume(np.asarray(frame.scale))


def log_densities(params: Params, table: Table, frame: Frame) -> np.ndarray:
    """Marginal log density of each row under each draw, (…, obs), in the user's units."""
    batch, (num, dim) = params.weights.shape[:-1], params.means.shape[-2:]
    values = np.empty((int(np.prod(batch)), table.num_rows))
    size = _width(table, max(256, BLOCK_VALUES // (num * dim)))
    for i, block in enumerate(_over_blocks(_LOG_DENSITIES, params, table, frame, size=size)):
        part = values[:, i * size : (i + 1) * size]
        part[:] = np.asarray(block)[:, : part.shape[1]]
    return values.reshape(*batch, table.num_rows) - table.log_volume(np.asarray(frame.scale))


def draw_labels(key: PRNGKeyArray, params: Params, table: Table, frame: Frame) -> np.ndarray:
    """Draw one z per row for each draw of θ, from ``p(z | θ, x)`` as in Gibbs: small integers, (chain, draw, N).

    Raises
    ------
    ArgumentError
        If there would be more labels than `MOST_LABELS`.
    """
    chains, draws, num = params.weights.shape
    if chains * draws * table.num_rows > MOST_LABELS or num > 256:
        raise ArgumentError(
            f"{chains} × {draws} draws of {table.num_rows} labels of {num} components are too many to return "
            "at once. Use fewer rows, or thin the draws."
        )
    keys = key_array(key, chains * draws)
    labels = np.empty((chains * draws, table.num_rows), np.uint8)
    for i, block in enumerate(_over_blocks(_LABELS, params, table, frame, keys)):
        part = labels[:, i * BLOCK : (i + 1) * BLOCK]
        part[:] = np.asarray(block)[:, : part.shape[1]]
    return labels.reshape(chains, draws, table.num_rows)


def responsibilities(params: Params, table: Table, frame: Frame, size: int = BLOCK) -> Iterator[np.ndarray]:
    """``p(z_n = k | θ, x)`` under every draw, in blocks of at most `size` rows: each block (draw, K, rows)."""
    left = table.num_rows
    for block in _over_blocks(_RESPONSIBILITIES, params, table, frame, size=size):
        yield np.asarray(block)[:, :, :left]
        left -= size


def best_labels(params: Params, table: Table, frame: Frame) -> Iterator[np.ndarray]:
    """The most probable class of each row under every draw, in blocks of rows: small integers, each (draw, rows)."""
    left = table.num_rows
    for block in _over_blocks(_BEST, params, table, frame):
        yield np.asarray(block)[:, :left]
        left -= BLOCK


def entropy_and_occupation(
    key: PRNGKeyArray, params: Params, table: Table, frame: Frame
) -> tuple[np.ndarray, np.ndarray]:
    """Entropy of z under each draw, and the components that a draw of z occupies.

    The entropy ``-Σ_n Σ_k r_nk log r_nk / N`` has shape (chain, draw). The second array has shape (chain, draw, K).
    """
    chains, draws, num = params.weights.shape
    keys = key_array(key, chains * draws)
    entropy, held = np.zeros(chains * draws), np.zeros((chains * draws, num), bool)
    for block in _over_blocks(_OCCUPATION, params, table, frame, keys, np.asarray(table.num_rows)):
        more, here = map(np.asarray, block)
        entropy += more
        held |= here
    return entropy.reshape(chains, draws) / table.num_rows, held.reshape(chains, draws, num)


def distribution_functions(
    params: Params, table: Table, frame: Frame, weights: Float[np.ndarray, "S N"]
) -> Float[np.ndarray, "N D"]:
    """Predictive distribution function of each feature at each row: ``Σ_s w_ns Σ_k π_k Φ((x_nd - μ_kd) / σ_kd)``.

    Draws ``s`` have one leading axis. The weights of the draws differ between rows. A noise component has the
    distribution function of its box.
    """
    parts, noise, of_noise = [], table.noise, 0.0
    if noise is not None:
        below = [noise.distribution_of(d, column) for d, column in enumerate(table.values.T)]
        of_noise = (weights.T @ params.weights[:, -1]) * np.stack(below)
        gaussian = np.arange(params.weights.shape[-1]) < params.weights.shape[-1] - 1
        params = params._replace(weights=np.where(gaussian, params.weights, 0.0))  # pyright: ignore[reportArgumentType]
    with scope("float64"):
        flat = _flat(frame.standardise(params), 1)
        for block, first, count in blocks_of(table, frame, params.weights.shape[-1], _width(table, BLOCK)):
            own = np.zeros((len(weights), block.x.shape[1]))
            own[:, :count] = weights[:, first : first + count]
            parts.append(np.asarray(_DISTRIBUTION(flat, block.x, own))[:, :count])
    return (np.concatenate(parts, axis=1) + of_noise).T


def shares_and_entropy(
    params: Params,
    x: Float[np.ndarray, "N D"],
    replicates: Float[np.ndarray, "B N D"],
    frame: Frame,
    noise: Noise | None = None,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Shares of the rows by most probable class, (B, K), and mean entropy of the classes, (B,), under each of B draws.

    The first pair is for the rows x under every draw; the second pair is for the replicate of each draw.
    """
    with scope("float64"):
        flat = _flat(frame.standardise(params), 1)
        room = padded_size(len(x), FEWEST) - len(x)
        inside = [
            np.pad(frame.rows(rows), (*((0, 0),) * (rows.ndim - 2), (0, room), (0, 0))) for rows in (x, replicates)
        ]
        density = standard_log_density(noise, frame.scale)
        return [to_numpy(pair) for pair in _SHARES(flat, *inside, np.asarray(len(x)), density)]


def _over_blocks(program: Program, params: Params, table: Table, frame: Frame, *more, size: int = BLOCK):
    """The results of ``program(draws, x, index of the block, *more)`` for each block of rows."""
    with scope("float64"):
        flat = _flat(frame.standardise(params), params.weights.ndim - 1)
        num = params.weights.shape[-1]
        for i, (block, _, _) in enumerate(blocks_of(table, frame, num, _width(table, size))):
            yield program(flat, block, np.asarray(i), *more)


def _width(table: Table, size: int) -> int:
    """Rows per block: `size`, or the size class of the table if that is less."""
    return min(size, padded_size(table.num_rows, FEWEST))


def _flat(params: Params, axes: int) -> Params:
    """Draws with `axes` leading axes → draws with one leading axis, moved to the device once for all blocks.

    Diagonal covariances of many features go as columns: a pass needs no D² numbers of them.
    """
    if all_diagonal(np.asarray(params.scale_trils)):
        params = params._replace(scale_trils=np.diagonal(params.scale_trils, axis1=-2, axis2=-1)[..., None])
    return jax.device_put(jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[axes:]), params))


def _average(params: Params, rows: Block, block) -> tuple[Float[Array, "n K"], Float[Array, "n"]]:
    del block
    (num_draws, num), n = params.weights.shape, rows.x.shape[1]

    def add(carry, theta):
        proba, density = carry
        scores = scores_of(theta, rows)
        total = logsumexp(scores, axis=0)
        return (proba + jnp.exp(scores - total), jnp.logaddexp(density, total)), None

    empty = jnp.zeros((num, n), rows.x.dtype), jnp.full(n, -jnp.inf, rows.x.dtype)
    (proba, density), _ = lax.scan(add, empty, params)
    return proba.T / num_draws, density - jnp.log(num_draws)


def _log_densities(params: Params, rows: Block, block) -> Float[Array, "S n"]:
    del block
    return lax.map(lambda theta: log_density_of_block(theta, rows), params)


def _labels(params: Params, rows: Block, block, keys) -> Array:
    def one(pair):
        theta, key = pair
        z, _ = draw(jr.fold_in(key, block), scores_of(theta, rows))
        return jnp.argmax(z, axis=0).astype(jnp.uint8)

    return lax.map(one, (params, keys))


def _responsibilities(params: Params, rows: Block, block) -> Float[Array, "S K n"]:
    del block
    return lax.map(lambda theta: jax.nn.softmax(scores_of(theta, rows), axis=0), params)


def _best(params: Params, rows: Block, block) -> Array:
    del block
    return lax.map(lambda theta: jnp.argmax(scores_of(theta, rows), axis=0).astype(jnp.uint8), params)


def _occupation(params: Params, rows: Block, block, keys, num_rows) -> tuple[Array, Array]:
    real = block * rows.x.shape[1] + jnp.arange(rows.x.shape[1]) < num_rows

    def one(pair):
        theta, key = pair
        scores = scores_of(theta, rows)
        logs = jax.nn.log_softmax(scores, axis=0)
        uncertain = -jnp.sum(jnp.where(jnp.exp(logs) > 0, jnp.exp(logs) * logs, 0.0), axis=0)
        z, _ = draw(jr.fold_in(key, block), scores)
        return jnp.sum(jnp.where(real, uncertain, 0.0)), jnp.any((z > 0) & real, axis=1)

    return lax.map(one, (params, keys))


def _distribution(params: Params, x: Float[Array, "D n"], weights: Float[Array, "S n"]) -> Float[Array, "D n"]:
    def add(total, pair):
        theta, weight = pair
        spread = jnp.sqrt(jnp.sum(theta.scale_trils**2, axis=-1))
        below = norm.cdf((x[None] - theta.means[:, :, None]) / spread[:, :, None])  # (K, D, n)
        return total + weight * jnp.einsum("k,kdn->dn", theta.weights, below), None

    return lax.scan(add, jnp.zeros_like(x), (params, weights))[0]


def _shares(params: Params, x: Float[Array, "N D"], replicates: Float[Array, "B N D"], num_rows, noise):
    real = jnp.arange(x.shape[0]) < num_rows

    def of(theta, rows):
        joint, _ = average(jr.key(0), scores_of(theta, Block(rows.T, noise=noise)))
        largest = jnp.argmax(joint, axis=0) == jnp.arange(joint.shape[0])[:, None]
        entropy = jnp.where(real, jnp.sum(xlogy(joint, joint), axis=0), 0.0)
        return jnp.sum(largest & real, axis=1) / num_rows, -jnp.sum(entropy) / num_rows

    return lax.map(lambda pair: (of(pair[0], x), of(*pair)), (params, replicates))


_AVERAGE = Program(_average)
_LOG_DENSITIES = Program(_log_densities)
_OCCUPATION = Program(_occupation)
_RESPONSIBILITIES = Program(_responsibilities)
_BEST = Program(_best)
_LABELS = Program(_labels)
_DISTRIBUTION = Program(_distribution)
_SHARES = Program(_shares)
