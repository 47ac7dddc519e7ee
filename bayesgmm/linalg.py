"""Small triangular linear algebra, batched over leading axes."""

import jax
import jax.numpy as jnp
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float

from bayesgmm.arrays import Array


def inverse_tril(tril: Float[Array, "*b D D"]) -> Float[Array, "*b D D"]:
    """Inverse of a lower-triangular matrix, itself lower triangular."""
    eye = jnp.broadcast_to(jnp.eye(tril.shape[-1], dtype=tril.dtype), tril.shape)
    return solve_triangular(tril, eye, lower=True)


def log_diagonal_sum(tril: Float[Array, "*b D D"]) -> Float[Array, "*b"]:
    """``log |L|`` of a lower-triangular L with positive diagonal: half of ``log |L Lᵀ|``."""
    return jnp.sum(jnp.log(jnp.diagonal(tril, axis1=-2, axis2=-1)), axis=-1)


def outer(vector: Float[Array, "*b D"]) -> Float[Array, "*b D D"]:
    """``v vᵀ`` for each vector of the batch."""
    return vector[..., :, None] * vector[..., None, :]


def gram(matrix: Float[Array, "*b D E"]) -> Float[Array, "*b D D"]:
    """``M Mᵀ`` for each matrix of the batch."""
    return jnp.matmul(matrix, jnp.swapaxes(matrix, -1, -2), precision=jax.lax.Precision.HIGHEST)
