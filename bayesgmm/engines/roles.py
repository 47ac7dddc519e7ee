"""Numbering of components that something known tells apart: a prior, known classes, or parameters that are held."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesgmm.engines.known_classes import numbered_by_labels
from bayesgmm.model.alignment import permute
from bayesgmm.model.fixed import Fixed
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.assignment import assign
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.stick_breaking import StickBreaking
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.programs import Program


def in_roles(starts: Params, problem: Problem) -> Params:
    """Standardised θ on a leading axis, each numbered as prior, labels and held parameters say.

    By prior and labels it is the numbering of highest posterior density; by held parameters, the one that loses least
    likelihood when they take their places.

    Where the numbering means nothing, θ is returned as it is. Components that only sticks tell apart are numbered by
    decreasing weight.
    """
    if problem.model.exchangeable:
        return starts
    if problem.model.in_order:
        return permute(to_numpy(starts), np.argsort(-np.asarray(starts.weights), axis=-1, kind="stable"))
    logs = numbered_by_labels(starts, problem) + numbered_by_fixed(starts, problem)
    if problem.prior is not None and not problem.prior.exchangeable:
        starts = jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype), starts)
        logs = logs + np.asarray(_ROLES(starts, _by_component(problem.standard_prior)))
    if problem.table.noise is not None:  # it stays the last
        logs[:, -1, :-1] = logs[:, :-1, -1] = -np.inf
    return permute(to_numpy(starts), assign(-logs))


def numbered_by_fixed(starts: Params, problem: Problem) -> np.ndarray:
    """What the likelihood of component j's rows loses if it takes the role k and what is held there, (start, k, j)."""
    num, fixed = problem.num_components, problem.model.fixed
    if fixed is None:
        return np.zeros((len(starts.weights), num, num))
    held = fixed.standardise(problem.frame)
    weights, means, trils = (np.asarray(part, float) for part in starts)
    theta: Params = Params(weights, means, trils)  # pyright: ignore[reportArgumentType]
    logs = np.zeros((len(weights), num, num))
    logs[:, : len(held.weights)] = np.stack([_loss(theta, held, k) for k in range(len(held.weights))], axis=1)
    return problem.table.total * logs


def _loss(starts: Params, held: Fixed, k: int) -> np.ndarray:
    """Log-likelihood per row that each component (start, j) loses in the role k: 0 at most."""
    weights, means, trils = (np.asarray(part) for part in starts)
    weights = np.maximum(weights, np.finfo(float).tiny)  # 0 · log 0 = 0
    known = [not np.isnan(part[k]).any() for part in (held.weights, held.means, held.scale_trils)]
    share = held.weights[k] if known[0] else weights
    # Poisson: Σ w log(share / w) - share + w is the log-likelihood ratio of a weight.
    loss = weights * np.log(share / weights) - share + weights
    white = np.linalg.inv(held.scale_trils[k] if known[2] else trils)
    shift = (held.means[k] - means if known[1] else np.zeros_like(means))[..., None]
    apart = np.square(white @ shift).sum(axis=(-2, -1))
    if not known[2]:
        return loss - 0.5 * weights * np.log1p(apart)
    spread = white @ trils
    logs = np.log(np.abs(np.diagonal(spread, axis1=-2, axis2=-1))).sum(axis=-1)
    excess = np.square(spread).sum(axis=(-2, -1)) - means.shape[-1] - 2.0 * logs
    return loss - 0.5 * weights * (apart + excess)


def _by_component(prior: Belief) -> Belief:
    """The prior without what it says of the order of the weights, whose density has no term for each component."""
    flat = Dirichlet(np.ones(prior.weights.num_components))
    return prior._replace(weights=flat) if isinstance(prior.weights, StickBreaking) else prior


def _roles(starts: Params, prior: Belief) -> Float[Array, "S K K"]:
    """Log prior density if role k is taken by component j, (start, k, j), up to a constant for each k."""

    def of(theta: Params):
        roles = jnp.arange(len(theta.weights))

        def one(k, j):
            # All other roles are held by component 0.
            held = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf[:1], leaf.shape).at[k].set(leaf[j]), theta)
            return prior.log_kernel(held)

        return jax.vmap(lambda k: jax.vmap(lambda j: one(k, j))(roles))(roles)

    return jax.lax.map(of, starts)


_ROLES = Program(_roles)
