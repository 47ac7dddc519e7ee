"""Moment matching for leave-one-out (Paananen, Piironen, Bürkner & Vehtari 2021).

A row can be so influential that importance weights on the posterior draws cannot remove it (Pareto k-hat is high). Then
an affine map moves the draws towards the posterior without that row, in the unconstrained coordinates of NUTS. It
matches the weighted mean, then the weighted variances, then the weighted covariance. Half of the draws are transformed
and half are kept. The density of this mixture is the denominator of their weights.

``arviz.loo_moment_match`` differs in three points that matter here. It stops as soon as k-hat is below its threshold:
with one component, where the exact answer is known, its elpd of an outlying row is then a tenth of a nat short. Here
the map is updated while k-hat falls, which removes this gap. After a scaling step, the map that it uses as the inverse
is not the inverse. It keeps only the weights of the transformed draws, so no other quantity, such as a LOO-PIT, can be
averaged over them.

All draws have the same labelling of the components. A transformed draw that crosses into another labelling is kept: the
density is the same there, and all averaged quantities are label-invariant.
"""

from typing import Any, NamedTuple

import jax
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from bayesgmm.engines.coordinates import constrain, potential, unconstrain
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.importance import psis
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, to_problem
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.block import Block, block_of, log_density_of_block
from bayesgmm.sweep.kinds_of_rows import Rows

GOOD_ENOUGH = 0.3
"""K-hat below which further transformation of the draws gives no visible improvement."""
MOST_MOVES = 30
TOGETHER = 2**20
"""Scores (draw, row, component) computed in one batch."""


class Matched(NamedTuple):
    """Draws for the posterior without one row, half of them transformed, and their smoothed weights."""

    params: Params
    """θ of each draw (leading axis), in the user's units."""
    log_density: np.ndarray
    """``log p(x_i | θ)`` of the row, in the user's units."""
    log_weights: np.ndarray
    """Normalised: their exponentials sum to 1."""
    pareto_k: float


class Cloud(NamedTuple):
    """All draws in unconstrained coordinates, as flat vectors, with their log posterior density."""

    positions: np.ndarray
    """(S, P)"""
    log_posterior: np.ndarray
    """(S,), up to a constant."""
    template: Params
    """One θ, which gives the shapes."""
    problem: Problem
    efficiency: float
    """Effective draws per draw; PSIS sets the tail length from it."""


def to_cloud(posterior: Posterior, params: Params, efficiency: float) -> Cloud:
    """`params` (leading axis: draws; in the user's units) as a `Cloud` of this posterior."""
    with scope("float64"):
        problem = to_problem(posterior.model, "float64")
        flat = problem.frame.standardise(params)
        template = jax.tree.map(lambda leaf: leaf[0], flat)
        cloud = Cloud(to_numpy(_UNCONSTRAIN(flat, problem.standard_prior)), np.empty(0), template, problem, efficiency)
        return cloud._replace(log_posterior=_densities(cloud, cloud.positions, 0)[0])


def match(cloud: Cloud, row: int) -> Matched | None:
    """Transform the draws towards the posterior without `row` until k-hat is low or no map lowers it further.

    Returns None if k-hat does not fall, or if a draw has no unconstrained coordinates (a weight of 0).

    Parameters
    ----------
    cloud
        The draws.
    row
        Number of the row that is left out.
    """
    here = cloud.positions
    if not np.isfinite(here).all():
        return None
    matrix, shift, center = np.eye(here.shape[1]), np.zeros(here.shape[1]), here.mean(axis=0)
    log_weights, first = psis(-_densities(cloud, here, row)[1], cloud.efficiency)
    best = first
    for _ in range(MOST_MOVES):
        moves = () if best < GOOD_ENOUGH else _moves(here, np.exp(log_weights))
        for factor, mean in moves:
            moved = (here - here.mean(axis=0)) @ factor.T + mean
            log_posterior, density = _densities(cloud, moved, row)
            weights, k = psis(log_posterior - cloud.log_posterior - density, cloud.efficiency)
            if k < best:
                here, log_weights, best = moved, weights, k
                matrix, shift = factor @ matrix, mean - center
                break
        else:
            break
    matched = _half_transformed(cloud, here, (matrix, shift, center), row) if best < first else None
    return matched if matched is not None and matched.pareto_k < first else None


def _moves(here: np.ndarray, weights: np.ndarray):
    """Affine maps, as (matrix, new mean): match the weighted mean, then the variances too, then the covariance."""
    size, dim = here.shape
    mean = weights @ here
    yield np.eye(dim), mean
    wanted, present = weights @ (here - mean) ** 2, here.var(axis=0)
    moving = (wanted > 0) & (present > 0)
    yield np.diag(np.sqrt(np.where(moving, wanted, 1.0) / np.where(moving, present, 1.0))), mean
    if dim > 1 and size >= 10 * dim:  # with fewer draws a covariance is mostly noise
        try:
            wanted = np.linalg.cholesky(np.cov(here, rowvar=False, aweights=weights))
            present = np.linalg.cholesky(np.cov(here, rowvar=False))
        except np.linalg.LinAlgError:  # too few draws have weight
            return
        yield wanted @ np.linalg.inv(present), mean


def _half_transformed(cloud: Cloud, moved: np.ndarray, move: tuple[np.ndarray, ...], row: int) -> Matched | None:
    """Transform every second draw, and weight the mixture of transformed and original draws.

    The proposal density of a draw θ is ``½ p(θ) + ½ p(T⁻¹ θ) / |T|``. The transformed draws alone might be too narrow
    for the integral over the full posterior, which leave-one-out also needs.
    """
    matrix, shift, center = move
    sign, log_volume = np.linalg.slogdet(matrix)
    if sign <= 0 or not np.isfinite(log_volume):
        return None
    odd = (np.arange(len(moved)) % 2 == 1)[:, None]
    back = (cloud.positions - center - shift) @ np.linalg.inv(matrix).T + center
    here, origin = np.where(odd, moved, cloud.positions), np.where(odd, cloud.positions, back)
    log_posterior, density = _densities(cloud, here, row)
    below = np.logaddexp(log_posterior, _densities(cloud, origin, row)[0] - log_volume)
    log_weights, k = psis(log_posterior - below - density, cloud.efficiency)
    kept = np.isfinite(log_weights)  # the map may send a draw where the density is 0 or NaN
    with scope("float64"):
        params = to_numpy(_CONSTRAIN(here, cloud.template, cloud.problem.standard_prior))
    frame = cloud.problem.frame
    params = jax.tree.map(lambda leaf: leaf[kept], frame.restore(Params(*params)))
    volume = cloud.problem.table.take(np.array([row])).log_volume(np.asarray(frame.scale))
    return Matched(params, density[kept] - volume[0], log_weights[kept], k)


def _densities(cloud: Cloud, positions: np.ndarray, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Log posterior density and log density of one row at each position, both standardised and up to a constant."""
    problem = cloud.problem
    together = TOGETHER // (problem.rows.capacity * problem.num_components)
    with scope("float64"):
        alone = block_of(problem.table.take(np.array([row])), problem.frame, problem.num_components, 1)
        found = _DENSITIES(
            positions, alone, cloud.template, problem.standard_prior, problem.rows,
            together=int(np.clip(together, 1, 256)),
        )  # fmt: skip
        return to_numpy(found)


def _densities_of(
    positions: Float[Array, "S P"],
    row: Block,
    template: Params,
    prior: Belief,
    rows: Rows,
    together: int,
) -> tuple[Float[Array, "S"], Float[Array, "S"]]:
    rebuild = _rebuild(template, prior)

    def one(flat):
        position = rebuild(flat)
        return -potential(position, prior, rows), log_density_of_block(constrain(position, prior), row)[0]

    return lax.map(one, positions, batch_size=together)


def _unconstrain(params: Params, prior: Belief) -> Float[Array, "S P"]:
    return jax.vmap(lambda theta: ravel_pytree(unconstrain(theta, prior))[0])(params)


def _constrain(positions: Float[Array, "S P"], template: Params, prior: Belief) -> Params:
    rebuild = _rebuild(template, prior)
    return jax.vmap(lambda flat: constrain(rebuild(flat), prior))(positions)


def _rebuild(template: Params, prior: Belief) -> Any:
    return ravel_pytree(unconstrain(template, prior))[1]


_DENSITIES = Program(_densities_of, static=("together",))
_UNCONSTRAIN = Program(_unconstrain)
_CONSTRAIN = Program(_constrain)
