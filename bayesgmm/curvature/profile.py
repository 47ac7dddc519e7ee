"""The profile of the objective in one scalar: its maximum over all other parameters, with the scalar held.

Ascent with one constraint, in `local_coordinates` about the current θ: Newton steps on the Lagrangian within the
tangent of the constraint (Nocedal & Wright 2006, section 18.3). After each step the scalar is set exactly, by a move
that stays in the covariance family, and a step that does not gain is shortened. So no step lowers the objective.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.curvature.local_coordinates import Base, base_of, params_at
from bayesgmm.model.families import Family
from bayesgmm.model.fixed import Held
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.interrupt import check_stop
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.likelihood import log_posterior

MOST_STEPS, MOST_HALVINGS = 60, 30
SETTLED = 1e-9
"""The ascent ends when a Newton step would gain less than this, or less than rounding."""
LONGEST = 1.0
"""Longest step: coordinates are logarithms, angles and means in standard deviations."""


class Scalar(NamedTuple):
    """One scalar of θ: a weight, a mean or a variance."""

    part: str
    """``"weights"``, ``"means"`` or ``"variances"``."""
    component: int
    feature: int

    def standardised(self, value: float, problem: Problem) -> float:
        """The value (user's units) in standardised coordinates."""
        center, scale = (float(leaf[self.feature]) for leaf in problem.frame)
        return {"weights": value, "means": (value - center) / scale, "variances": value / scale**2}[self.part]

    def of(self, params: Params) -> float:
        """Its value in θ (on the host)."""
        k, d = self.component, self.feature
        parts = {"weights": params.weights[k], "means": params.means[k, d], "variances": params.covariances[k, d, d]}
        return float(parts[self.part])


class Constrained(NamedTuple):
    """θ of highest objective with the scalar held."""

    params: Params
    """In the user's units, on the host."""
    objective: float
    """In standardised coordinates and without the constant of the prior."""
    settled: bool


def highest_with(scalar: Scalar, value: float, start: Params, problem: Problem) -> Constrained:
    """Ascend from `start` (user's units) with the scalar held at a value. A local maximum near the start."""
    at = np.asarray(scalar.component), np.asarray(scalar.feature), np.asarray(scalar.standardised(value, problem))
    base, zero = base_of(start, problem.family, problem.model.held), np.zeros(problem.model.num_parameters)
    here = _held(zero, base, problem, scalar, at)
    for _ in range(MOST_STEPS):
        check_stop()
        base = base_of(here.params, problem.family, problem.model.held)
        gradient, normal, hessian = _derivatives(base, problem, scalar, at)
        if not (np.isfinite(hessian).all() and np.isfinite(here.objective)):
            return here
        step, gain = newton_step(gradient, normal, hessian)
        if gain < max(SETTLED, 1e-13 * abs(here.objective)):
            return here._replace(settled=True)
        better = _search(step, gain, base, here, problem, scalar, at)
        if better is None:  # no digit is left to gain
            return here._replace(settled=gain < 1e-5)
        here = better
    return here


def newton_step(gradient: np.ndarray, normal: np.ndarray, hessian: np.ndarray) -> tuple[np.ndarray, float]:
    """The step within the tangent of the constraint, and its gain in the quadratic model.

    Directions in which the Lagrangian is not concave are climbed as if it were.
    """
    tangent = np.linalg.qr(normal[:, None], mode="complete")[0][:, 1:]
    values, vectors = np.linalg.eigh(-tangent.T @ hessian @ tangent)
    sizes = np.maximum(np.abs(values), 1e-8 * np.abs(values).max())
    slopes = vectors.T @ (tangent.T @ gradient)
    step = tangent @ (vectors @ (slopes / sizes))
    return step * min(1.0, LONGEST / max(np.abs(step).max(), 1e-300)), float(0.5 * (slopes**2 / sizes).sum())


def _search(step, gain, base: Base, here: Constrained, problem: Problem, scalar: Scalar, at: Any) -> Constrained | None:
    length = 1.0
    for _ in range(MOST_HALVINGS):
        there = _held(length * step, base, problem, scalar, at)
        if there.objective > here.objective + 1e-4 * length * gain:
            return there
        length *= 0.5
    return None


def _held(move: np.ndarray, base: Base, problem: Problem, scalar: Scalar, at: Any) -> Constrained:
    frame = problem.frame
    place = move, base, frame.scale, frame.center, problem.standard_prior, problem.rows, *at
    params, objective = _HELD(*place, family=problem.family, held=problem.model.held, part=scalar.part)
    restored = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), frame.restore(params))
    return Constrained(restored, float(objective), False)


def _derivatives(base: Base, problem: Problem, scalar: Scalar, at: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    frame, zero = problem.frame, np.zeros(problem.model.num_parameters)
    place = zero, base, frame.scale, frame.center, problem.standard_prior, problem.rows, *at[:2]
    static = {"family": problem.family, "held": problem.model.held, "part": scalar.part}
    gradient, normal, hessian = map(np.asarray, _DERIVATIVES(*place, **static))
    return gradient, normal, 0.5 * (hessian + hessian.T)


def _held_at(
    move: Array, base: Base, scale: Array, center: Array, prior: Belief, rows: Rows, k: Array, d: Array, value: Array,
    family: Family, held: Held, part: str,
) -> tuple[Params, Array]:  # fmt: skip
    """θ at the coordinates with the scalar set to the value, and its objective."""
    params = params_at(move, base, scale, center, family, held)
    if part == "weights":
        others = jnp.ones_like(params.weights).at[np.asarray(held.weights, int)].set(0.0).at[k].set(0.0)
        total = jnp.sum(others * params.weights)
        rest = params.weights * (1.0 + others * (params.weights[k] - value) / total)
        params = params._replace(weights=jnp.asarray(rest).at[k].set(value))
    elif part == "means":
        params = params._replace(means=jnp.asarray(params.means).at[k, d].set(value))
    else:  # the volume: of this component, or of all where they share it
        ratio = jnp.sqrt(value / jnp.sum(jnp.square(params.scale_trils[k, d])))
        own = jnp.arange(len(params.weights)) == k
        gaussian = jnp.arange(len(params.weights)) < len(params.weights) - held.noise
        factors = jnp.where(own if family.volume == "V" else gaussian, ratio, 1.0)
        params = params._replace(scale_trils=params.scale_trils * factors[:, None, None])
    return params, log_posterior(params, prior, rows)


def _derivatives_at(
    zero: Array, base: Base, scale: Array, center: Array, prior: Belief, rows: Rows, k: Array, d: Array, family: Family,
    held: Held, part: str,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """Gradients of the objective and of the scalar, and the Hessian of the Lagrangian."""

    def objective(coordinates: Array) -> Array:
        return log_posterior(params_at(coordinates, base, scale, center, family, held), prior, rows)

    def scalar(coordinates: Array) -> Array:
        params = params_at(coordinates, base, scale, center, family, held)
        if part == "weights":
            return params.weights[k]
        return params.means[k, d] if part == "means" else jnp.sum(jnp.square(params.scale_trils[k, d]))

    gradient, normal = jax.grad(objective)(zero), jax.grad(scalar)(zero)
    multiplier = -jnp.vdot(normal, gradient) / jnp.vdot(normal, normal)
    hessian = jax.jacfwd(jax.grad(lambda move: objective(move) + multiplier * scalar(move)))(zero)
    return gradient, normal, hessian


_HELD = Program(_held_at, static=("family", "held", "part"))
_DERIVATIVES = Program(_derivatives_at, static=("family", "held", "part"))
