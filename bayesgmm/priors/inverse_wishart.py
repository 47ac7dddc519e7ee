"""The inverse-Wishart distribution: draws, and the constant of its density."""

import math
from typing import Any

import jax.numpy as jnp
import jax.random as jr
from jax.scipy.special import multigammaln
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.gammas import draw_gammas
from bayesgmm.numerics.linalg import cholesky, inverse_tril, log_diagonal_sum, matmul, matvec


def sample_inverse_wishart(
    key: PRNGKeyArray, df: Float[Array, "K"], scale: Float[Array, "K D D"]
) -> Float[Array, "K D D"]:
    """Cholesky factors of draws from ``IW(df, scale)``, by Bartlett's decomposition (Anderson 2003, section 7.2)."""
    key_diagonal, key_below = jr.split(key)
    num, dim = scale.shape[:2]
    shape = 0.5 * (df[:, None] - (dim - 1.0) + jnp.arange(dim, dtype=scale.dtype))
    diagonal = jnp.sqrt(2.0 * draw_gammas(key_diagonal, shape))
    below = jnp.tril(jr.normal(key_below, (num, dim, dim), scale.dtype), -1)
    bartlett = below + diagonal[:, :, None] * jnp.eye(dim, dtype=scale.dtype)
    # BᵀB ~ Wishart(df, I) if degrees of freedom increase down the diagonal of B; then B⁻¹ factors its inverse.
    return matmul(cholesky(scale), inverse_tril(bartlett))


def sample_means(
    key: PRNGKeyArray, loc: Float[Array, "K D"], strength: Float[Array, "K"], trils: Float[Array, "K D D"]
) -> Float[Array, "K D"]:
    """Draws from ``N(loc, Σ_k / strength)``."""
    noise = jr.normal(key, loc.shape, loc.dtype) / jnp.sqrt(strength)[:, None]
    return loc + matvec(trils, noise)


def log_constant(df: Any, scale: Any) -> Array:
    """The constant of the log density of each ``IW(df, scale)`` (Murphy 2012, eq. 4.165)."""
    dim = jnp.shape(scale)[-1]
    log_det = 2.0 * log_diagonal_sum(cholesky(jnp.asarray(scale)))
    return 0.5 * df * (log_det - dim * math.log(2.0)) - multigammaln(0.5 * df, dim)
