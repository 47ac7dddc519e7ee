"""Log density of each row under a mixture, to be differentiated inside a larger model.

The derivative of ``log p(x_n)`` is that of the scores, averaged over the responsibilities (Fisher's identity). The
first pass over the rows keeps the responsibilities, and no more. The derivative is then one more pass: sums of the
products of features, weighted by them. It is made of operations of JAX, so derivatives of any order and ``vmap`` work.

The scores come by the two routes of `bayesgmm.sweep.statistics`: products of features, or residuals where products
would lose digits. Few rows have the second route only.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.ad_checkpoint import checkpoint_name
from jax.custom_batching import custom_vmap
from jax.custom_derivatives import SymbolicZero
from jaxtyping import Bool, Float

from bayesgmm.model.mixture import Scorer, log_joint_scorer
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.sweep.statistics import conditioning, product_coefficients

ROWS = {"cpu": 2048}
"""Rows of a block: so few that their products stay in the cache. Other devices take `MANY`."""
MANY = 65_536
SAMPLE = 1024
"""About so many rows say where the data are."""
KEPT = "responsibilities"


def log_densities(
    log_weights: Float[Array, "#n K"], means: Float[Array, "K D"], trils: Float[Array, "K D D"], x: Float[Array, "n D"]
) -> Float[Array, "n"]:
    """``log Σ_k π_nk N(x_n; μ_k, L_k L_kᵀ)`` of each row; the weights may differ from row to row."""
    scorer = _components(means, trils)
    if x.shape[0] <= block_rows():
        return normalised(_by_residuals(scorer, x.T) + log_weights.T)[1]
    centre, few_digits = _digits_at_stake(scorer, x)
    shifted = scorer._replace(locs=scorer.locs - centre)
    routes = _densities_of_blocks(_by_products), _densities_of_blocks(_by_residuals)
    return lax.cond(
        few_digits,
        lambda x, log_weights: routes[0]((product_coefficients(shifted), centre), x, log_weights),
        lambda x, log_weights: routes[1](scorer, x, log_weights),
        x, log_weights,
    )  # fmt: skip


def _densities_of_blocks(route: Callable) -> Callable:
    """Log densities of all rows by one route. Of each block, only the responsibilities are kept for the derivative."""

    @partial(jax.checkpoint, policy=jax.checkpoint_policies.save_only_these_names(KEPT))
    def of_block(components, x, log_weights):
        return normalised(route(components, x) + log_weights)[1]

    return lambda components, x, log_weights: _by_blocks(partial(of_block, components), x, log_weights)


def scores_of_rows(
    means: Float[Array, "K D"], trils: Float[Array, "K D D"], x: Float[Array, "n D"]
) -> Float[Array, "n K"]:
    """``log N(x_n; μ_k, L_k L_kᵀ)`` of each row and component."""
    scorer = _components(means, trils)
    return _by_blocks(lambda x, _: _by_residuals(scorer, x), x, jnp.zeros((1, means.shape[0]), x.dtype)).T


def _components(means: Float[Array, "K D"], trils: Float[Array, "K D D"]) -> Scorer:
    return log_joint_scorer(Params(jnp.ones(means.shape[:1], means.dtype), means, trils))


def _digits_at_stake(scorer: Scorer, x: Float[Array, "n D"]) -> tuple[Float[Array, "D"], Bool[Array, ""]]:
    """A centre of the rows, and whether products about it lose few digits, which some of the rows tell."""
    scorer, some = lax.stop_gradient((scorer, x[:: max(1, x.shape[0] // SAMPLE)]))
    centre = jnp.nan_to_num(jnp.mean(some, axis=0))
    scale = jnp.nan_to_num(jnp.std(some, axis=0), nan=1.0)
    standard = scorer._replace(locs=(scorer.locs - centre) / scale, whiteners=scorer.whiteners * scale)
    return centre, _largest(conditioning(standard)) < jnp.finfo(x.dtype).eps ** -0.25


@custom_vmap
def _largest(value: Float[Array, ""]) -> Float[Array, ""]:
    """The value itself; the largest of all lanes under `vmap`, so that a choice by it is one choice."""
    return value


@_largest.def_vmap
def _(axis_size, in_batched, value):
    del axis_size, in_batched
    return _largest(jnp.max(value, axis=0)), False


def _by_residuals(scorer: Scorer, x: Float[Array, "D n"]) -> Float[Array, "K n"]:
    return scorer.scores(scorer.residuals(x))


def _by_products(components: tuple[Array, Array], x: Float[Array, "D n"]) -> Float[Array, "K n"]:
    coefficients, centre = components
    return _scores_of_products(coefficients, x - centre[:, None])


@jax.custom_jvp
def _scores_of_products(coefficients: Float[Array, "K M"], x: Float[Array, "D n"]) -> Float[Array, "K n"]:
    return jnp.matmul(coefficients, _products(x), precision=lax.Precision.HIGHEST)


@partial(_scores_of_products.defjvp, symbolic_zeros=True)
def _(primals, tangents):
    coefficients, x = primals
    tangent = jnp.zeros((coefficients.shape[0], x.shape[1]), x.dtype)
    if not isinstance(tangents[0], SymbolicZero):
        # In this order the sums over the rows, its transpose, are twice as fast (as in `bayesgmm.sweep.statistics`).
        tangent += jnp.matmul(_products(x).T, tangents[0].T, precision=lax.Precision.HIGHEST).T
    if not isinstance(tangents[1], SymbolicZero):
        tangent += jnp.sum(_slopes(coefficients, x) * tangents[1], axis=1)
    return _scores_of_products(coefficients, x), tangent


def _products(x: Float[Array, "D n"]) -> Float[Array, "M n"]:
    x = jnp.concatenate([jnp.ones((1, x.shape[1]), x.dtype), x])
    left, right = np.triu_indices(x.shape[0])
    return x.at[left].get(mode="promise_in_bounds") * x.at[right].get(mode="promise_in_bounds")


def _slopes(coefficients: Float[Array, "K M"], x: Float[Array, "D n"]) -> Float[Array, "K D n"]:
    """Derivatives of the scores in x."""
    dim = x.shape[0]
    left, right = np.triu_indices(dim + 1)
    place = np.zeros((dim + 1,) * 2, int)
    place[left, right] = place[right, left] = np.arange(len(left))
    square = coefficients[:, place[1:]] * (1.0 + np.eye(dim + 1)[1:]).astype(x.dtype)
    slopes = jnp.matmul(square[:, :, 1:].reshape(-1, dim), x, precision=lax.Precision.HIGHEST)
    return slopes.reshape(-1, dim, x.shape[1]) + square[:, :, :1]


@jax.custom_jvp
def normalised(scores: Float[Array, "K *n"]) -> tuple[Float[Array, "K *n"], Float[Array, "*n"]]:
    """Responsibilities and log density of each row; 0 and -inf where no component has a density."""
    top = jnp.max(scores, axis=0)
    top = jnp.where(jnp.isfinite(top), top, 0.0)
    joint = jnp.exp(scores - top)
    total = jnp.sum(joint, axis=0)
    return joint * (1.0 / jnp.where(total > 0, total, 1.0)), top + jnp.log(total)


@normalised.defjvp
def _(primals, tangents):
    responsibilities, log_density = normalised(*primals)
    responsibilities = checkpoint_name(responsibilities, KEPT)
    average = jnp.sum(responsibilities * tangents[0], axis=0)
    return (responsibilities, log_density), (responsibilities * (tangents[0] - average), average)


def block_rows() -> int:
    """Rows of a block on this device."""
    return ROWS.get(jax.default_backend(), MANY)


def _by_blocks(function: Callable, x: Float[Array, "n D"], log_weights: Float[Array, "#n K"]) -> Array:
    """``function(x, log_weights)`` of feature-major blocks. The rows are the last axis of its result."""
    num = x.shape[0]
    count = -(-num // block_rows())
    if count <= 1:
        return function(x.T, log_weights.T)
    width = -(-num // (count * 64)) * 64  # whole cache lines

    def cut(rows: Array) -> Array:
        padded = jnp.pad(rows, ((0, count * width - num), (0, 0)))
        return jnp.swapaxes(padded.reshape(count, width, rows.shape[1]), 1, 2)

    if log_weights.shape[0] == 1:
        found = lax.map(lambda x: function(x, log_weights.T), cut(x))
    else:
        found = lax.map(lambda rows: function(*rows), (cut(x), cut(log_weights)))
    return jnp.moveaxis(found, 0, -2).reshape(*found.shape[1:-1], count * width)[..., :num]
