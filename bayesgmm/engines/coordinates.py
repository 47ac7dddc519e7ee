"""Unconstrained coordinates of θ, for engines that follow gradients.

Weights use stick-breaking; means are unchanged. A covariance uses the lower triangle of its Cholesky factor, with a log
diagonal. Diagonal and spherical covariances use log standard deviations in the user's units, in which a spherical
covariance is spherical. A covariance that all components share appears once. Parameters that are held have no
coordinates; the weights that are free appear as their shares of what the held ones leave.

A prior is a density over weights, means and the free parameters of the covariances. So the change of variables adds
``log |dΣ/dL| = D log 2 + Σ_i (D - i + 1) log L_ii`` (i from 1) for a free matrix, ``log dσ²/du = log 2 + 2u`` for a
log standard deviation u, and the Jacobians of the transforms.
"""

import functools
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Float

from bayesgmm.errors import ArgumentError
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.fixed import PARTS, Held
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.sweep.fetched import Fetched
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.likelihood import log_posterior

Position = dict[str, Float[Array, "..."]]
"""Unconstrained θ: ``weights``, ``means``, and ``scale_trils`` or ``log_scales``."""


@functools.cache
def _simplex() -> Any:
    """Stick-breaking. NumPyro is imported when a program is traced, not when one is loaded."""
    from numpyro import distributions as dist

    return dist.biject_to(dist.constraints.simplex)


@functools.cache
def _factor() -> Any:
    """The lower triangle of a Cholesky factor, with a log diagonal."""
    from numpyro import distributions as dist

    return dist.biject_to(dist.constraints.lower_cholesky)


def unconstrain(params: Params, prior: Belief) -> Position:
    """θ → unconstrained coordinates. What the components share in the family of the prior is taken from the first.

    Raises
    ------
    ArgumentError
        If these coordinates do not stay within the family: it is not in `CONJUGATE`.
    """
    family, metric = prior.components.family, jnp.asarray(prior.components.metric)
    if family.name not in CONJUGATE:
        raise ArgumentError(
            f"There are no unconstrained coordinates of covariances of the family {family.name}. Use one of "
            f"{', '.join(CONJUGATE)}. An engine that moves in these coordinates has families=CONJUGATE in its record."
        )
    held, num = held_of(prior), len(params.weights)
    weights = params.weights if held is None else params.weights[held.free("weights", num)]
    means = params.means if held is None else params.means[held.free("means", num)]
    trils = params.scale_trils if held is None else params.scale_trils[held.free("covariances", num)]
    position = {"weights": _simplex().inv(weights / jnp.sum(weights)) if len(weights) else weights, "means": means}
    if family.pooled:
        trils = trils[:1]
    if family.orientation != "I":
        return position | {"scale_trils": _factor().inv(trils)}
    logs = jnp.log(jnp.diagonal(trils, axis1=-2, axis2=-1) * metric)
    return position | {"log_scales": logs[:, :1] if family.shape == "I" else logs}


def held_of(prior: Belief) -> Held | None:
    """Which components hold what under this prior (of a model); None if nothing is held."""
    return getattr(prior.components, "held", None)


def constrain(position: Position, prior: Belief) -> Params:
    """Unconstrained coordinates → θ."""
    metric, held = jnp.asarray(prior.components.metric), held_of(prior)
    num, dim = jnp.shape(prior.components.loc)
    means, dtype = position["means"], position["means"].dtype
    if "scale_trils" in position:
        trils = _factor()(position["scale_trils"])
    else:
        trils = (jnp.exp(position["log_scales"]) / metric)[:, :, None] * jnp.eye(dim, dtype=dtype)
    if held is None:
        return Params(_simplex()(position["weights"]), means, jnp.broadcast_to(trils, (num, dim, dim)))
    free = {part: held.free(part, num) for part in PARTS}
    weights, means, trils = (
        jnp.ones(num, dtype).at[free["weights"]].set(_shares(position["weights"], len(free["weights"]))),
        jnp.zeros((num, dim), dtype).at[free["means"]].set(means),
        jnp.broadcast_to(jnp.eye(dim, dtype=dtype), (num, dim, dim)).at[free["covariances"]].set(trils),
    )
    parts = prior.components
    return Params(prior.weights.put(weights), parts.put_means(means), parts.put_trils(trils))


def _shares(position: Array, num: int) -> Array:
    """Shares of the free weights, which add up to 1."""
    return _simplex()(position) if num > 1 else jnp.ones(num, position.dtype)


def log_jacobian(position: Position) -> Float[Array, ""]:
    """``log |d(weights, means, free parameters of the covariances) / d position|``."""
    moved = jnp.sum(_simplex().log_abs_det_jacobian(position["weights"], _simplex()(position["weights"])))
    if "log_scales" in position:
        logs = position["log_scales"]
        return moved + 2.0 * jnp.sum(logs) + logs.size * math.log(2.0)
    trils = _factor()(position["scale_trils"])
    log_diagonal = jnp.log(jnp.diagonal(trils, axis1=-2, axis2=-1))
    powers = jnp.arange(trils.shape[-1], 0, -1)
    moved += jnp.sum(_factor().log_abs_det_jacobian(position["scale_trils"], trils))
    return moved + jnp.sum(powers * log_diagonal) + log_diagonal.size * math.log(2.0)


@jax.jit
def potential(position: Position, prior: Belief, rows: Rows | Fetched) -> Float[Array, ""]:
    """Minus the log posterior density of unconstrained θ, up to the constant of the prior, from one pass."""
    return -log_posterior(constrain(position, prior), prior, rows) - log_jacobian(position)
