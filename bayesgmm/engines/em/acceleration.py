"""Quasi-Newton acceleration of EM (Jamshidian & Jennrich 1997), by limited-memory BFGS in its compact form.

An EM step is a preconditioned gradient. In the coordinates (weights, means, covariances) the gradient of the objective
is ``I · step``, where I is the complete-data information. Each block of I is a function of counts and covariances
(Dempster, Laird & Rubin 1977, section 3). In coordinates whitened by I the gradient is the whitened step, and EM is
steepest ascent of length 1. In these coordinates L-BFGS learns, from the last few iterations, what the missing class
labels add.

L-BFGS needs no extra pass over the data. From the past it needs only the inner products of a dozen vectors. Every
proposal is projected onto its covariance family. A proposal that lowers the objective is rejected.
"""

from typing import NamedTuple

import jax.numpy as jnp
from jaxtyping import Bool, Float

from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import (
    cholesky,
    congruence,
    full,
    gram,
    inverse_tril,
    is_column,
    matmul,
    matvec,
    transposed,
)
from bayesgmm.priors.prior import Belief

DEPTH = 6
"""Past iterations that a proposal uses."""
SHORTEN = 0.25
"""Factor by which a proposal that lowered the objective is shortened."""
SHORTEST = 0.01
"""Below this share of its initial length, a plain EM step replaces a proposal."""


class Memory(NamedTuple):
    """The last accepted θ, the EM step from it, and the moves between the iterations before it (latest first)."""

    base: Float[Array, "p"]
    step: Float[Array, "p"]
    """The EM step from ``base``."""
    direction: Float[Array, "p"]
    length: Float[Array, ""]
    moves: Float[Array, "m p"]
    """From iteration to iteration, whitened at their end points; 0 if there is none."""
    changes: Float[Array, "m p"]
    """Decrease of the EM step over each move: the preconditioned change of the gradient."""
    known: Bool[Array, ""]
    """Whether ``base`` and ``step`` hold an iteration."""


def no_memory(params: Params, depth: int = DEPTH) -> Memory:
    """An empty memory, of the size that θ needs."""
    point = jnp.zeros_like(_flat(params))
    many = jnp.zeros((depth, point.size), point.dtype)
    return Memory(point, point, point, jnp.zeros((), point.dtype), many, many, jnp.asarray(False))


def learn(
    memory: Memory, params: Params, plain: Params, posterior: Belief, back: Bool[Array, ""], live: Bool[Array, ""]
) -> tuple[Memory, Float[Array, ""]]:
    """Record an iteration at θ, whose M-step leads to ``plain``, and choose the next direction.

    Returns the memory, and an estimate of the remaining gain: ½ gradient · direction, exact for a quadratic. If the
    iteration is rejected (``back``), the direction is kept and shortened, and the estimate is ∞. If the ascent is not
    ``live``, the memory does not change.
    """
    hold = back | ~live
    if posterior.diagonal:
        params, plain = params.diagonal, plain.diagonal
    metric = _Metric.at(params, posterior)
    base = _flat(params)
    step = _flat(plain) - base
    move, change, onward = metric.whiten(jnp.stack([base - memory.base, memory.step - step, step]))

    def push(past, new):
        pushed = jnp.concatenate([jnp.where(memory.known, new, 0.0)[None], past[:-1]])
        return jnp.where(hold, past, pushed)

    moves, changes = push(memory.moves, move), push(memory.changes, change)
    span = jnp.concatenate([moves, changes, onward[None]])
    products = matmul(span, span.T)
    shares = _compact(products)
    new = Memory(base, step, metric.restore(shares @ span), jnp.ones_like(shares[0]), moves, changes, jnp.asarray(True))
    old = memory._replace(length=memory.length * jnp.where(back, SHORTEN, 1.0), moves=moves, changes=changes)
    chosen = Memory(*(b if a is b else jnp.where(hold, a, b) for a, b in zip(old, new, strict=True)))
    return chosen, jnp.where(back, jnp.inf, 0.5 * jnp.vdot(shares, products[-1]))


def emptied(memory: Memory, empty: Bool[Array, ""]) -> Memory:
    """The memory, without its past iterations if ``empty``."""
    keep = ~empty
    return memory._replace(moves=memory.moves * keep, changes=memory.changes * keep, known=memory.known & keep)


def propose(memory: Memory, prior: Belief) -> tuple[Params, Bool[Array, ""]]:
    """θ at the end of the proposed step, in its covariance family; and whether it is a valid θ."""
    num_components, dim = prior.components.loc.shape
    point, width = memory.base + memory.length * memory.direction, 1 if prior.diagonal else dim
    weights, means, covariances = _shaped(point, num_components, dim, width)
    trils = full(jnp.sqrt(covariances)) if prior.diagonal else cholesky(0.5 * (covariances + transposed(covariances)))
    sensible = (weights >= 0.0).all() & jnp.isfinite(trils).all() & jnp.isfinite(means).all()
    params = Params(
        jnp.where(sensible, weights, 1.0), means, jnp.where(sensible, trils, jnp.eye(dim, dtype=trils.dtype))
    )
    params = prior.project(params._replace(weights=params.weights / params.weights.sum()))
    return params, sensible & jnp.isfinite(params.scale_trils).all()


def _compact(products: Float[Array, "v v"]) -> Float[Array, "v"]:
    """Coefficients of (moves, changes, step) in the direction (Nocedal & Wright 2006, eq. 7.24).

    They follow from the inner products. Pairs without positive curvature are left out.
    """
    m = len(products) // 2
    curvatures, sizes = jnp.diagonal(products[:m, m : 2 * m]), jnp.diagonal(products)
    valid = curvatures > 1e-10 * jnp.sqrt(sizes[:m] * sizes[m : 2 * m])
    both = valid[:, None] & valid
    across = jnp.where(both, products[:m, m : 2 * m], 0.0)
    among = jnp.where(both, products[m : 2 * m, m : 2 * m], 0.0)
    onto_move, onto_change = jnp.where(valid, products[:m, -1], 0.0), jnp.where(valid, products[m : 2 * m, -1], 0.0)
    # The order is latest first: moves not later than a change are on or below the diagonal.
    inverse = inverse_tril(jnp.tril(across) + jnp.diag(jnp.where(valid, 0.0, 1.0)))
    # EM underestimates the step, because it takes the labels as known. So the scale is never below 1.
    scale = jnp.where(valid[0], jnp.maximum(curvatures[0] / jnp.where(valid[0], sizes[m], 1.0), 1.0), 1.0)
    first = matvec(inverse, onto_move)
    inner = jnp.diagonal(across) * first + scale * (matvec(among, first) - onto_change)
    return jnp.concatenate([matvec(inverse.T, inner), -scale * first, scale[None]])


class _Metric(NamedTuple):
    """Complete-data information at θ, including the prior: the factors that transform it to the identity."""

    weights: Float[Array, "K"]
    means: Float[Array, "K"]
    covariances: Float[Array, "K"]
    whiteners: Float[Array, "K D D"]
    trils: Float[Array, "K D D"]

    @classmethod
    def at(cls, params: Params, posterior: Belief) -> "_Metric":
        least = 1e-8
        total = posterior.weights.rows_behind
        strength = posterior.components.strength
        return cls(
            jnp.sqrt(total / jnp.maximum(params.weights, least)),
            jnp.sqrt(jnp.where(jnp.isinf(strength), 1.0, jnp.maximum(strength, least))),  # a known mean does not move
            jnp.sqrt(0.5 * jnp.maximum(posterior.components.counts, least)),
            inverse_tril(params.scale_trils),
            params.scale_trils,
        )

    def whiten(self, vectors: Float[Array, "v p"]) -> Float[Array, "v p"]:
        """Vectors in the coordinates in which the information is the identity."""
        weights, means, covariances = _shaped(vectors, *self.trils.shape)
        factors = jnp.broadcast_to(self.whiteners, covariances.shape)
        return _joined(
            self.weights * weights,
            self.means[:, None] * matvec(factors, means),
            self.covariances[:, None, None] * congruence(factors, covariances),
        )

    def restore(self, vector: Float[Array, "p"]) -> Float[Array, "p"]:
        """A vector back in the coordinates (weights, means, covariances)."""
        weights, means, covariances = _shaped(vector, *self.trils.shape)
        return _joined(
            weights / self.weights,
            matvec(self.trils, means) / self.means[:, None],
            congruence(self.trils, covariances) / self.covariances[:, None, None],
        )


def _flat(params: Params) -> Float[Array, "p"]:
    trils = params.scale_trils
    return _joined(params.weights, params.means, jnp.square(trils) if is_column(trils) else gram(trils))


def _joined(weights: Array, means: Array, covariances: Array) -> Float[Array, "*b p"]:
    batch = weights.shape[:-1]
    return jnp.concatenate([weights, means.reshape(*batch, -1), covariances.reshape(*batch, -1)], axis=-1)


def _shaped(vectors: Float[Array, "*b p"], num_components: int, dim: int, width: int) -> tuple[Array, Array, Array]:
    batch, k = vectors.shape[:-1], num_components
    weights, means, covariances = jnp.split(vectors, [k, k * (1 + dim)], axis=-1)
    return weights, means.reshape(*batch, k, dim), covariances.reshape(*batch, k, dim, width)
