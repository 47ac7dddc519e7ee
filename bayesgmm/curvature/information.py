"""Observed information of θ, the sandwich, and the covariance of the parameters that follows.

The information is minus the Hessian of the objective (log-likelihood + log prior) in `local_coordinates`, by automatic
differentiation of one pass over the rows. At a maximum of the objective, the covariance of the parameters that follows
by the delta method does not depend on the choice of coordinates (McLachlan & Peel 2000, section 2.15).
The sandwich is ``H⁻¹ (Σ_n s_n s_nᵀ) H⁻¹``, with the scores s_n of the rows. It holds if the model is wrong (White
1982).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.curvature.local_coordinates import Base, base_of, names, params_at
from bayesgmm.errors import FitError
from bayesgmm.model.families import Family
from bayesgmm.model.fixed import Held
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, to_problem
from bayesgmm.runtime.arguments import check_memory
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.block import Block, blocks_of, log_density_of_block
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.likelihood import log_posterior
from bayesgmm.sweep.rows import FEWEST, padded_size

BLOCK_SCORES = 2**22
"""Scores (row, coordinate) held in memory at a time."""
SMALLEST = 1e-10
"""Smallest eigenvalue of a scaled information that is not called singular."""


class Curvature(NamedTuple):
    """The objective near θ, in local coordinates."""

    gradient: np.ndarray
    information: np.ndarray
    """Minus the Hessian of the objective."""
    jacobian: np.ndarray
    """d(weights, means, upper triangles of the covariances) / d coordinates, in the user's units."""
    words: list[str]
    """What each coordinate moves."""


def curvature(params: Params, model: Model) -> Curvature:
    """Gradient, information and Jacobian at θ, in the user's units."""
    _check_size(model)
    base, features = base_of(params, model.family, model.held), model.table.features
    with scope("float64"):
        problem = to_problem(model, "float64")
        frame = problem.frame
        place = np.zeros(model.num_parameters), base, frame.scale, frame.center
        found = _CURVATURE(*place, problem.standard_prior, problem.rows, family=model.family, held=model.held)
        gradient, hessian, jacobian = map(np.asarray, found)
    return Curvature(
        gradient, -0.5 * (hessian + hessian.T), jacobian,
        names(model.family, features, model.num_components, model.held),
    )  # fmt: skip


def _check_size(model: Model) -> None:
    """Refuse what does not fit in memory: covariances of the estimates, and the derivatives that lead to them."""
    k, dim, free = model.num_components, model.table.dim, model.num_parameters
    parameters = k * (1 + dim + dim * (dim + 1) // 2)
    needed = 8.0 * (2 * parameters**2 + free * (parameters + 4 * k * dim**2))
    what = f"The covariance of the {parameters:,} weights, means and covariances of {k} components in {dim} features"
    check_memory(what, needed, "Use fewer features (for example principal components), or the draws of a sampler.")


class Estimated(NamedTuple):
    """What the curvature says about the estimator."""

    covariance: np.ndarray
    """Covariance of (weights, means, upper triangles of the covariances)."""
    sds: np.ndarray
    """Square roots of its diagonal, which may be beyond double precision where they are not."""
    gain: float
    """What a Newton step would add to the objective; 0 at a maximum."""


def by_information(params: Params, model: Model, found: Curvature) -> Estimated:
    """The covariance from the observed information, given the `curvature` at θ.

    Raises
    ------
    FitError
        If the information is singular, or θ is far from a maximum.
    """
    del params, model
    inverse = inverse_information(found)
    return _estimated(found, inverse, inverse)


def by_sandwich(params: Params, model: Model, found: Curvature) -> Estimated:
    """The covariance by the sandwich. Raises as `by_information`."""
    inverse = inverse_information(found)
    return _estimated(found, inverse, inverse @ _meat(params, model) @ inverse)


def _estimated(found: Curvature, inverse: np.ndarray, covariance: np.ndarray) -> Estimated:
    gain = 0.5 * found.gradient @ inverse @ found.gradient
    size = np.abs(found.jacobian).max(axis=1)
    unit = found.jacobian / np.where(size > 0, size, 1.0)[:, None]
    sds = size * np.sqrt(np.maximum(np.einsum("pi,ij,pj->p", unit, covariance, unit), 0.0))
    with np.errstate(over="ignore", under="ignore"):
        return Estimated(unit @ covariance @ unit.T * size * size[:, None], sds, float(gain))


def inverse_information(found: Curvature) -> np.ndarray:
    """The inverse of the information.

    Raises
    ------
    FitError
        If the information is not positive definite. The message names the direction.
    """
    diagonal = np.diagonal(found.information)
    low = int(diagonal.argmin())
    if not np.isfinite(found.information).all() or diagonal[low] <= 0:
        raise FitError(
            f"There is no information on {found.words[low]}: the objective does not fall in that direction. The fit is "
            "no maximum inside the parameter space (a weight of 0, a fit that has not converged, too many components)."
        )
    scale = 1.0 / np.sqrt(diagonal)
    values, vectors = np.linalg.eigh(found.information * np.outer(scale, scale))
    if values[0] < SMALLEST:
        moved = np.argsort(-np.abs(vectors[:, 0]))[:3]
        parts = ", ".join(dict.fromkeys(found.words[i] for i in moved if abs(vectors[i, 0]) > 0.1))
        what = "rises" if values[0] < -SMALLEST else "is flat"
        raise FitError(
            f"The information is singular: the objective {what} along a direction of {parts}. Such parameters are not "
            "determined by these data (equal lengths of axes, too many components), or the fit has not converged. Use "
            "the draws of a sampler, fewer components, or a simpler covariance_type."
        )
    return (vectors / values) @ vectors.T * np.outer(scale, scale)


def _meat(params: Params, model: Model) -> np.ndarray:
    """Sum of the outer products of the rows' scores about their mean, which is 0 at a maximum without a prior."""
    base, frame, size = base_of(params, model.family, model.held), model.frame, model.num_parameters
    weights = model.table.counted
    most = max(FEWEST, min(padded_size(model.table.num_rows, FEWEST), BLOCK_SCORES // size))
    total, sums = np.zeros((size, size)), np.zeros(size)
    with scope("float64"):
        for block, first, count in blocks_of(model.table, frame, model.num_components, most):
            arguments = np.zeros(size), base, frame.scale, frame.center, block
            scores = np.asarray(_SCORES(*arguments, family=model.family, held=model.held))[:count]
            counted = weights[first : first + count]
            total, sums = total + (counted * scores.T) @ scores, sums + counted @ scores
    return total - np.outer(sums, sums) / model.table.total


def _curvature(
    zero: Array, base: Base, scale: Array, center: Array, prior: Belief, rows: Rows, family: Family, held: Held
):
    def objective(coordinates: Array) -> Array:
        return log_posterior(params_at(coordinates, base, scale, center, family, held), prior, rows)

    def parameters(coordinates: Array) -> Array:
        params, upper = params_at(coordinates, base, scale, center, family, held), np.triu_indices(len(center))
        covariances = (params.covariances * (scale[:, None] * scale))[:, *upper]
        return jnp.concatenate([params.weights, (params.means * scale).ravel(), covariances.ravel()])

    gradient = jax.grad(objective)
    return gradient(zero), jax.jacfwd(gradient)(zero), jax.jacfwd(parameters)(zero)


def _scores(zero: Array, base: Base, scale: Array, center: Array, block: Block, family: Family, held: Held):
    def densities(coordinates: Array) -> Array:
        return log_density_of_block(params_at(coordinates, base, scale, center, family, held), block)

    return jax.jacfwd(densities)(zero)


_CURVATURE = Program(_curvature, static=("family", "held"))
_SCORES = Program(_scores, static=("family", "held"))
