"""Quasi-Newton acceleration of EM (Jamshidian & Jennrich 1997, in the limited-memory form of Nocedal 1980).

An EM step r is already a preconditioned gradient: in the coordinates (weights, means, covariances) the gradient of the
objective is ``I r``, with I the complete-data information, block by block a function of counts and covariances (Dempster,
Laird & Rubin 1977, section 3). So EM is steepest ascent with I⁻¹ for inverse Hessian, and L-BFGS that starts from I⁻¹
learns, from the last few turns, what the missing class labels add to it. It costs no sweep of its own. Every proposal is
projected onto its covariance family; one that lowers the objective is taken back (`Memory.shorter`).
"""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float

from bayesgmm.arrays import Array
from bayesgmm.conjugate import Belief
from bayesgmm.linalg import cholesky, gram, inverse_tril, matmul, matvec, transposed
from bayesgmm.types import Params

DEPTH = 6
"""Turns that a proposal looks back on."""
SHORTEN = 0.25
"""Factor by which a proposal that lowered the objective is shortened."""
SHORTEST = 0.01
"""Below this share of its first length a proposal is given up for a plain EM step."""


class Memory(NamedTuple):
    """Where the last accepted turn stood, where it wanted to go, and the steps and changes of gradient before it."""

    base: Float[Array, "p"]
    gradient: Float[Array, "p"]
    direction: Float[Array, "p"]
    length: Float[Array, ""]
    steps: Float[Array, "m p"]
    changes: Float[Array, "m p"]
    curvatures: Float[Array, "m"]
    """``step · change`` of each pair, latest first; 0: no pair."""
    known: Bool[Array, ""]
    """Whether ``base`` and ``gradient`` hold a turn."""

    def shorter(self) -> "Memory":
        """The same direction, less far."""
        return self._replace(length=self.length * SHORTEN)

    def emptied(self) -> "Memory":
        """Without the past turns, and without the present one."""
        return self._replace(curvatures=jnp.zeros_like(self.curvatures), known=jnp.asarray(False))


def no_memory(params: Params, depth: int = DEPTH) -> Memory:
    """A memory that holds nothing, of the size that θ needs."""
    point = jnp.zeros_like(_flat(params))
    many = jnp.zeros((depth, point.size), point.dtype)
    zero = jnp.zeros((), point.dtype)
    return Memory(point, point, point, zero, many, many, jnp.zeros(depth, point.dtype), jnp.asarray(False))


def learn(memory: Memory, params: Params, plain: Params, posterior: Belief) -> tuple[Memory, Float[Array, ""]]:
    """Take in an accepted turn at θ, whose M-step leads to ``plain``, and choose the next direction.

    Returns the memory, and an estimate of the objective still to be gained: ½ gradient · direction, exact for a quadratic.
    """
    metric = _Metric.at(params, posterior)
    base = _flat(params)
    gradient = metric.lower(_flat(plain) - base)
    step, change = base - memory.base, memory.gradient - gradient
    curvature = jnp.vdot(step, change)
    size = jnp.sqrt(jnp.vdot(step, step) * jnp.vdot(change, change))
    fresh = memory.known & (curvature > 1e-10 * size)

    def push(past, new):
        return jnp.where(fresh, jnp.concatenate([new[None], past[:-1]]), past)

    steps, changes = push(memory.steps, step), push(memory.changes, change)
    curvatures = push(memory.curvatures, curvature)
    direction = _two_loops(metric, gradient, steps, changes, curvatures)
    left = 0.5 * jnp.vdot(gradient, direction)
    known = jnp.asarray(True)
    return Memory(base, gradient, direction, jnp.ones_like(left), steps, changes, curvatures, known), left


def propose(memory: Memory, belief: Belief) -> tuple[Params, Bool[Array, ""]]:
    """θ at the end of the proposed step, in its covariance family; and whether it is a θ at all."""
    num_components, dim = belief.components.loc.shape
    weights, means, covariances = _shaped(memory.base + memory.length * memory.direction, num_components, dim)
    trils = cholesky(0.5 * (covariances + transposed(covariances)))
    sensible = (weights >= 0.0).all() & jnp.isfinite(trils).all() & jnp.isfinite(means).all()
    params = Params(
        jnp.where(sensible, weights, 1.0), means, jnp.where(sensible, trils, jnp.eye(dim, dtype=trils.dtype))
    )
    params = belief.components.project(params._replace(weights=params.weights / params.weights.sum()))
    return params, sensible & jnp.isfinite(params.scale_trils).all()


def _two_loops(metric: "_Metric", gradient, steps, changes, curvatures) -> Float[Array, "p"]:
    """Inverse Hessian times gradient (Nocedal & Wright 2006, algorithm 7.4), from ``scale · I⁻¹``."""
    known = curvatures > 0.0
    rho = jnp.where(known, 1.0 / jnp.where(known, curvatures, 1.0), 0.0)

    def back(gradient, pair):
        step, change, rho = pair
        share = rho * jnp.vdot(step, gradient)
        return gradient - share * change, share

    def forth(direction, pair):
        step, change, rho, share = pair
        return direction + step * (share - rho * jnp.vdot(change, direction)), None

    gradient, shares = lax.scan(back, gradient, (steps, changes, rho))
    # EM underestimates the step, for it takes the labels as known: the scale is never below 1.
    size = jnp.vdot(changes[0], metric.upper(changes[0]))
    scale = jnp.where(known[0], jnp.maximum(curvatures[0] / jnp.where(known[0], size, 1.0), 1.0), 1.0)
    return lax.scan(forth, scale * metric.upper(gradient), (steps, changes, rho, shares), reverse=True)[0]


class _Metric(NamedTuple):
    """Complete-data information at θ, with the prior's part, as effective counts."""

    weights: Float[Array, "K"]
    """Information about each weight."""
    strengths: Float[Array, "K"]
    counts: Float[Array, "K"]
    covariances: Float[Array, "K D D"]
    precisions: Float[Array, "K D D"]

    @classmethod
    def at(cls, params: Params, posterior: Belief) -> "_Metric":
        total = jnp.sum(jnp.maximum(posterior.weights.concentration - 1.0, 0.0))
        whiteners = inverse_tril(params.scale_trils)
        least = 1e-8
        return cls(
            total / jnp.maximum(params.weights, least),
            jnp.maximum(posterior.components.strength, least),
            jnp.maximum(posterior.components.counts, least),
            gram(params.scale_trils),
            gram(transposed(whiteners)),
        )

    def lower(self, vector: Float[Array, "p"]) -> Float[Array, "p"]:
        """Step → gradient."""
        weights, means, covariances = _shaped(vector, *self.covariances.shape[:2])
        spread = matmul(matmul(self.precisions, covariances), self.precisions)
        means = self.strengths[:, None] * matvec(self.precisions, means)
        return _joined(self.weights * weights, means, 0.5 * self.counts[:, None, None] * spread)

    def upper(self, covector: Float[Array, "p"]) -> Float[Array, "p"]:
        """Gradient → step: EM's own."""
        weights, means, precisions = _shaped(covector, *self.covariances.shape[:2])
        spread = matmul(matmul(self.covariances, precisions), self.covariances)
        means = matvec(self.covariances, means) / self.strengths[:, None]
        return _joined(weights / self.weights, means, 2.0 * spread / self.counts[:, None, None])


def _flat(params: Params) -> Float[Array, "p"]:
    return _joined(params.weights, params.means, gram(params.scale_trils))


def _joined(*parts: Array) -> Float[Array, "p"]:
    return jnp.concatenate([part.reshape(-1) for part in parts])


def _shaped(vector: Float[Array, "p"], num_components: int, dim: int) -> tuple[Array, Array, Array]:
    weights, means, covariances = jnp.split(vector, [num_components, num_components * (1 + dim)])
    return weights, means.reshape(num_components, dim), covariances.reshape(num_components, dim, dim)
