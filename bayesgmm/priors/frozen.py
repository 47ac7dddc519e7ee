"""Posteriors of θ given z as densities in closed form, of every pair of slot and component: for bridge sampling.

A conjugate posterior has a joint density. Where means and covariances can only be drawn in turn, each is given the
other at the values of a draw, so that the two are independent (Frühwirth-Schnatter 2004, section 3.2).
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import inverse_tril, log_diagonal_sum, matmul, matvec, transposed
from bayesgmm.priors.inverse_wishart import log_constant, sample_inverse_wishart


def unchanged(self: Any, key: PRNGKeyArray, present: Params) -> Any:
    """The posterior given z itself: its joint density has a closed form."""
    del key, present
    return self


def conjugate_cross_kernels(self: Any, means: Float[Array, "K D"], trils: Float[Array, "K D D"]) -> Float[Array, "K K"]:
    """Log density, without constants, of each component k (row) of this distribution at each component of θ (column).

    The sum over the diagonal is ``log_kernel``.
    """
    whiteners = inverse_tril(trils)
    shift = _einsum("jab,kb->kja", whiteners, self.loc) - matvec(whiteners, means)
    own = self.strength[:, None] * jnp.sum(jnp.square(shift), axis=-1)
    return _of_covariances(self.counts, self.scale, whiteners, trils) - 0.5 * own


class Blocks(NamedTuple):
    """Independent ``μ_k ~ N(loc_k, (F_k F_kᵀ)⁻¹)`` and Σ of inverse-Wishart density: means and covariances apart."""

    loc: Float[Array, "K D"]
    factors: Float[Array, "K D D"]
    """F_k: Cholesky factors of the precisions of the means."""
    counts: Float[Array, "K"]
    """Exponents of ``|Σ_k|^(-1/2)``."""
    scale: Float[Array, "K D D"]
    """Scatters."""
    pooled: Any
    """Bool: whether all components share one Σ, whose counts and scatters are the sums."""

    known: Any = None
    """The `HeldIndependent` that says which means and covariances are known; None if none is."""

    def cross_kernels(self, means: Float[Array, "K D"], trils: Float[Array, "K D D"]) -> Float[Array, "K K"]:
        """As `conjugate_cross_kernels`; 0 for what is known."""
        back = transposed(self.factors)
        shift = _einsum("kab,jb->kja", back, means) - matvec(back, self.loc)[:, None, :]
        of_means = -0.5 * jnp.sum(jnp.square(shift), axis=-1)
        free_means, free_trils = self._free()
        of_trils = _of_covariances(self.counts, self.scale, inverse_tril(trils), trils)
        return jnp.where(free_means[:, None], of_means, 0.0) + jnp.where(free_trils[:, None], of_trils, 0.0)

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over free means and covariances."""
        free_means, free_trils = self._free()
        means = log_diagonal_sum(self.factors) - 0.5 * self.loc.shape[-1] * math.log(2.0 * math.pi)
        constants = log_constant(*self._wisharts())
        of_trils = jnp.where(self.pooled, constants[0], jnp.sum(jnp.where(free_trils, constants, 0.0)))
        return jnp.sum(jnp.where(free_means, means, 0.0)) + of_trils

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> tuple[Float[Array, "K D"], Array]:
        """Draw (means, Cholesky factors)."""
        del present
        key_means, key_scale = jr.split(key)
        trils = sample_inverse_wishart(key_scale, *self._wisharts())
        noise = jr.normal(key_means, self.loc.shape, self.loc.dtype)
        means = self.loc + matvec(transposed(inverse_tril(self.factors)), noise)
        trils = jnp.where(self.pooled, trils[:1], trils)
        return (means, trils) if self.known is None else (self.known.put_means(means), self.known.put_trils(trils))

    def _free(self) -> tuple[Any, Any]:
        """Whether each mean and each covariance is free, (K,)."""
        if self.known is None:
            every = np.ones(self.loc.shape[0], bool)
            return every, every
        return self.known.free_means, self.known.free_trils

    def _wisharts(self) -> tuple[Float[Array, "K"], Float[Array, "K D D"]]:
        """Degrees of freedom and scales; K times the same if all components share one Σ."""
        dim = self.loc.shape[-1]
        powers = jnp.where(self.pooled, jnp.sum(self.counts), self.counts)
        return powers - (dim + 1.0), jnp.where(self.pooled, jnp.sum(self.scale, axis=0), self.scale)


def _of_covariances(counts: Array, scale: Array, whiteners: Array, trils: Array) -> Float[Array, "K K"]:
    """``-counts_k log |L_j| - ½ tr(Σ_j⁻¹ scale_k)``."""
    precisions = matmul(transposed(whiteners), whiteners)
    traces = _einsum("jab,kab->kj", precisions, scale)
    return -counts[:, None] * log_diagonal_sum(trils) - 0.5 * traces


def _einsum(what: str, *parts: Array) -> Array:
    return jnp.einsum(what, *parts, precision=lax.Precision.HIGHEST)
