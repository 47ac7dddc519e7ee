"""Draws of the posterior moved so that they suit the posterior without one row (Paananen, Piironen, Bürkner & Vehtari 2021).

Where a row is so influential that weights on the posterior's draws cannot take it away (Pareto k-hat is high), the draws
themselves are moved, by an affine map of the coordinates in which NUTS moves, to the mean, then the spread, then the covariance
that the weights ask for. Half of the draws are moved and half stay; their weights have the density of that mixture below them.

``arviz.loo_moment_match`` does the same, with differences that matter here. It stops as soon as k-hat is below its threshold,
with one component, where the answer is known, a tenth of a nat short in a far row; going on while k-hat falls leaves no such
gap. Once it has scaled, the map that it takes for the inverse is not that. And of the moved draws it keeps the weights alone,
so that nothing else, such as a LOO-PIT, can be averaged with them.

The draws stand in one naming of the components. A draw that is moved across the border to another naming is taken as it is: the
density is the same there, and all that is averaged is the same under any naming.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from bayesgmm.engines.coordinates import constrain, potential, unconstrain
from bayesgmm.model.mixture import log_density
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.importance import psis
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, to_problem
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.rows import Rows

GOOD_ENOUGH = 0.3
"""K-hat below which moving the draws further gains nothing that could be seen."""
MOST_MOVES = 30
TOGETHER = 2**20
"""Scores (draw, row, component) that are worked out side by side."""


class Matched(NamedTuple):
    """Draws for the posterior without one row, half of them moved, and their smoothed weights."""

    params: Params
    """θ of each draw (leading axis), in the user's units."""
    log_density: np.ndarray
    """``log p(x_i | θ)`` of the row, in the user's units."""
    log_weights: np.ndarray
    """Their exponentials sum to 1."""
    pareto_k: float


class Cloud(NamedTuple):
    """All draws in unconstrained coordinates, flat, with the log posterior density there."""

    positions: np.ndarray
    """(S, P)"""
    log_posterior: np.ndarray
    """(S,), up to a constant."""
    template: Params
    """One θ, for its shapes."""
    problem: Problem
    efficiency: float
    """Effective draws per draw, by which PSIS chooses how long a tail is."""


def to_cloud(posterior: Posterior, params: Params, efficiency: float) -> Cloud:
    """`params` (leading axis: draws; in the user's units) as a `Cloud` of this posterior."""
    with scope("float64"):
        problem = to_problem(posterior.model, "float64")
        flat = jax.tree.map(jnp.asarray, problem.frame.standardise(params))
        template = jax.tree.map(lambda leaf: leaf[0], flat)
        cloud = Cloud(to_numpy(_UNCONSTRAIN(flat, problem.standard_prior)), np.empty(0), template, problem, efficiency)
        return cloud._replace(log_posterior=_densities(cloud, cloud.positions, 0)[0])


def match(cloud: Cloud, row: int) -> Matched | None:
    """Move the draws until they suit the posterior without `row`, or no move lowers k-hat any more.

    None if nothing has been gained, or the draws lie where these coordinates do not reach (a weight of 0).

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
            height, density = _densities(cloud, moved, row)
            weights, k = psis(height - cloud.log_posterior - density, cloud.efficiency)
            if k < best:
                here, log_weights, best = moved, weights, k
                matrix, shift = factor @ matrix, mean - center
                break
        else:
            break
    matched = _half_moved(cloud, here, (matrix, shift, center), row) if best < first else None
    return matched if matched is not None and matched.pareto_k < first else None


def _moves(here: np.ndarray, weights: np.ndarray):
    """Affine maps, as (matrix, new mean), from the gentlest: to the weighted mean, its spreads too, its covariance too."""
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
        except np.linalg.LinAlgError:  # the weights rest on too few draws
            return
        yield wanted @ np.linalg.inv(present), mean


def _half_moved(cloud: Cloud, moved: np.ndarray, move: tuple[np.ndarray, ...], row: int) -> Matched | None:
    """Every second draw moved, and weights over the mixture of moved and unmoved draws.

    The density below a draw θ is ``½ p(θ) + ½ p(T⁻¹ θ) / |T|``. Without the half that stays, the moved draws alone might be too
    narrow for the integral over the whole posterior, on which leave-one-out rests too.
    """
    matrix, shift, center = move
    sign, log_volume = np.linalg.slogdet(matrix)
    if sign <= 0 or not np.isfinite(log_volume):
        return None
    odd = (np.arange(len(moved)) % 2 == 1)[:, None]
    back = (cloud.positions - center - shift) @ np.linalg.inv(matrix).T + center
    here, origin = np.where(odd, moved, cloud.positions), np.where(odd, cloud.positions, back)
    height, density = _densities(cloud, here, row)
    below = np.logaddexp(height, _densities(cloud, origin, row)[0] - log_volume)
    log_weights, k = psis(height - below - density, cloud.efficiency)
    kept = np.isfinite(log_weights)  # a draw may have been moved where the density is 0 or no number
    with scope("float64"):
        params = to_numpy(_CONSTRAIN(jnp.asarray(here), cloud.template, cloud.problem.standard_prior))
    frame = cloud.problem.frame
    params = jax.tree.map(lambda leaf: leaf[kept], frame.restore(Params(*params)))
    return Matched(params, density[kept] - float(frame.log_volume), log_weights[kept], k)


def _densities(cloud: Cloud, positions: np.ndarray, row: int) -> tuple[np.ndarray, np.ndarray]:
    """Log posterior density, and log density of one row, both standardised and up to a constant, at each position."""
    problem = cloud.problem
    together = TOGETHER // (problem.table.num_rows * problem.num_components)
    with scope("float64"):
        x = jnp.asarray(problem.frame.rows(problem.table.values[row : row + 1]))
        found = _DENSITIES(
            jnp.asarray(positions), x, cloud.template, problem.standard_prior, problem.rows,
            together=int(np.clip(together, 1, 256)),
        )  # fmt: skip
        return to_numpy(found)


def _densities_of(
    positions: Float[Array, "S P"],
    x: Float[Array, "1 D"],
    template: Params,
    prior: Belief,
    rows: Rows,
    together: int,
) -> tuple[Float[Array, "S"], Float[Array, "S"]]:
    rebuild = _rebuild(template, prior)

    def one(flat):
        position = rebuild(flat)
        return -potential(position, prior, rows), log_density(constrain(position, prior), x)[0]

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
