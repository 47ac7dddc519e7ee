"""A normal prior of the means that does not depend on the covariances."""

import math
from typing import Any

import jax.numpy as jnp
from jaxtyping import Float

from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, inverse_tril, log_diagonal_sum, matvec


def log_normal_kernel(means: Array, loc: Any, covariance: Any) -> Float[Array, ""]:
    """``Σ_k log N(μ_k | loc_k, covariance_k)`` without its constant."""
    shift = matvec(inverse_tril(cholesky(jnp.asarray(covariance))), means - loc)
    return -0.5 * jnp.sum(shift**2)


def normal_constant(covariance: Any) -> Float[Array, ""]:
    """The constant of `log_normal_kernel`."""
    dim = jnp.shape(covariance)[-1]
    return -jnp.sum(0.5 * dim * math.log(2.0 * math.pi) + log_diagonal_sum(cholesky(jnp.asarray(covariance))))
