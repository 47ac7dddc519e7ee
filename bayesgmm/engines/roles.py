"""Numbering of components that prior or known classes tell apart: component k is the prior's, or class k."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesgmm.engines.known_classes import numbered_by_labels
from bayesgmm.model.alignment import permute
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.assignment import assign
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.programs import Program


def in_roles(starts: Params, problem: Problem) -> Params:
    """Standardised θ on a leading axis, each numbered as prior and labels say: with the highest posterior density.

    Where the numbering means nothing, θ is returned as it is.
    """
    if problem.model.exchangeable:
        return starts
    logs = numbered_by_labels(starts, problem)
    if problem.prior is not None and not problem.prior.exchangeable:
        starts = jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype), starts)
        logs = logs + np.asarray(_ROLES(starts, problem.standard_prior))
    return permute(to_numpy(starts), assign(-logs))


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
