"""The mass matrix with which NUTS begins, from the complete-data information of EM."""

from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree
from jaxtyping import Float

from bayesgmm.engines.coordinates import constrain, log_jacobian, unconstrain
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.sweep.fetched import Fetched
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.likelihood import complete_data

MOST_NUMBERS = 2**28
"""Numbers that the curvature may hold: the Hessian, and the derivatives that it is made of."""


def posterior_variances(params: Params, prior: Belief, rows: Rows | Fetched, dense: bool) -> Float[Array, "..."]:
    """Initial posterior variances for warm-up: the inverse of the complete-data information of EM.

    The information is the curvature of ``E[log p(x, z, θ)]``, with z averaged at the start (Dempster, Laird & Rubin
    1977). It is a function of K × D × D numbers. Far from a mode it may not be positive; then a coordinate has
    variance 1; so has every one if the curvature of so many parameters takes too much memory.
    """
    complete, _ = complete_data(params, rows)
    flat, rebuild = ravel_pytree(unconstrain(params, prior))
    if not dense and flat.size * (flat.size + 8 * params.scale_trils.size) > MOST_NUMBERS:
        return jnp.ones_like(flat)

    def minus_log_joint(flat: Any) -> Float[Array, ""]:
        place = rebuild(flat)
        theta = constrain(place, prior)
        return -complete.log_kernel(theta) - prior.log_kernel(theta) - log_jacobian(place)

    inverse = jnp.linalg.inv(jax.hessian(minus_log_joint)(flat))
    variances = jnp.diagonal(inverse)
    usable = jnp.isfinite(variances) & (variances > 0)
    if not dense:
        return jnp.where(usable, variances, 1.0)
    positive = jnp.all(usable) & jnp.all(jnp.linalg.eigvalsh(jnp.where(jnp.isfinite(inverse), inverse, 0.0)) > 0)
    return jnp.where(positive, 0.5 * (inverse + inverse.T), jnp.diag(jnp.where(usable, variances, 1.0)))
