"""Beliefs over θ: Dirichlet × normal–inverse-Wishart, as prior and as posterior.

Prior and posterior have one type: that is what conjugate means. ``prior.update(stats)`` is the belief after seeing
z and x; EM takes its ``mode()``, Gibbs draws a ``sample(key)``, NUTS follows the gradient of its ``log_kernel``.
MLE is the mode under the flat belief, so no engine has a branch for it.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import digamma, multigammaln
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.errors import PriorError
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, inverse_tril, log_diagonal_sum, matmul, matvec, outer
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.hyperparameters import fault_of_inverse_wishart, in_full


class NormalInverseWishart(NamedTuple):
    """``Σ_k ~ IW(df, scale)`` and ``μ_k | Σ_k ~ N(loc, Σ_k / strength)``, in the user's own units.

    ``loc`` has shape ``(D,)`` (or a scalar), ``scale`` ``(D, D)`` (or a scalar, meaning that multiple of the identity),
    ``strength`` and ``df`` are scalars; each may carry a leading axis of K for component-specific beliefs.
    The inverse-Wishart is proper for ``df > D - 1`` and has a mean, ``scale / (df - D - 1)``, for ``df > D + 1``.
    """

    loc: Any
    strength: Any
    df: Any
    scale: Any

    def update(self, stats: Stats) -> "NormalInverseWishart":
        """Conjugate update (Murphy 2012, eqs. 4.209-4.214)."""
        strength = self.strength + stats.counts
        share = jnp.where(strength > 0, stats.counts / jnp.where(strength > 0, strength, 1.0), 0.0)
        shift = stats.means - self.loc
        scale = self.scale + stats.scatters + (self.strength * share)[:, None, None] * outer(shift)
        return NormalInverseWishart(self.loc + share[:, None] * shift, strength, self.df + stats.counts, scale)

    def mode(self, present: Params | None = None) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Joint mode of (μ, Σ): ``loc`` and ``scale / (df + D + 2)``, as means and Cholesky factors.

        The mode is taken in the coordinates (means, covariances), without a Jacobian; the *marginal* mode of Σ
        would divide by ``df + D + 1``.
        """
        del present  # a closed form starts from nowhere
        return self.loc, cholesky(self.scale / self.counts[:, None, None])

    @property
    def counts(self) -> Float[Array, "K"]:
        """Effective rows behind each Σ_k: ``df + D + 2``, what the joint mode divides ``scale`` by."""
        return self.df + (jnp.shape(self.loc)[-1] + 2.0)

    def project(self, params: Params) -> Params:
        """θ itself: no covariance is ruled out."""
        return params

    def sample(
        self, key: PRNGKeyArray, present: Params | None = None
    ) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Draw (means, Cholesky factors)."""
        del present
        key_mean, key_scale = jr.split(key)
        trils = sample_inverse_wishart(key_scale, self.df, self.scale)
        return sample_means(key_mean, self.loc, self.strength, trils), trils

    def log_kernel(
        self, means: Float[Array, "K D"], whiteners: Float[Array, "K D D"], log_diagonals: Float[Array, "K"]
    ) -> Float[Array, ""]:
        """Log density without its constant; ``whiteners`` are L⁻¹ and ``log_diagonals`` are log |L|."""
        shift = matvec(whiteners, means - self.loc)
        spread = jnp.sum(matmul(whiteners, jnp.asarray(self.scale)) * whiteners, axis=(-2, -1))
        exponent = self.counts * log_diagonals
        return -jnp.sum(exponent + 0.5 * spread + 0.5 * self.strength * jnp.sum(shift**2, axis=-1))

    def expected_log_det(self) -> Float[Array, "K"]:
        """``E[log |Σ_k|]`` (Bishop 2006, eq. 10.65, for the inverse)."""
        dim = jnp.shape(self.loc)[-1]
        halves = 0.5 * (self.df[:, None] - jnp.arange(dim, dtype=self.scale.dtype))
        return 2.0 * log_diagonal_sum(cholesky(self.scale)) - dim * math.log(2.0) - jnp.sum(digamma(halves), axis=1)

    def harmonic_trils(self) -> Float[Array, "K D D"]:
        """Cholesky factors of ``E[Σ_k⁻¹]⁻¹``."""
        return cholesky(self.scale / self.df[:, None, None])

    def expected_log_kernel(self, q: Any) -> Float[Array, ""]:
        """``E_q[log_kernel]``: the density without its constant, averaged over another belief."""
        dim = jnp.shape(self.loc)[-1]
        whiteners = inverse_tril(q.harmonic_trils())
        shift = jnp.sum(matvec(whiteners, q.loc - self.loc) ** 2, axis=-1) + dim / q.strength
        spread = jnp.sum(matmul(whiteners, jnp.asarray(self.scale)) * whiteners, axis=(-2, -1))
        return -0.5 * jnp.sum(self.counts * q.expected_log_det() + spread + self.strength * shift)

    def standardise(self, frame: Frame) -> "NormalInverseWishart":
        """The same belief in standardised coordinates."""
        loc = (self.loc - frame.center) / frame.scale
        return NormalInverseWishart(loc, self.strength, self.df, self.scale / outer(jnp.asarray(frame.scale)))

    def expand(self, num_components: int, dim: int) -> "NormalInverseWishart":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        return NormalInverseWishart(
            in_full("loc", self.loc, (k, d)), in_full("strength", self.strength, (k,)), in_full("df", self.df, (k,)),
            in_full("scale", self.scale, (k, d, d)),
        )  # fmt: skip

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (fully shaped) belief is no probability distribution; None if it is one.

        Of diagonal and spherical covariances it is a belief about variances only, ``IG(df / 2, scale_jj / 2)``.
        """
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        if (np.asarray(self.strength) <= 0).any():
            return "the strength of the mean's prior must be above 0"
        if variances_only:
            if (np.asarray(self.df) <= 0).any():
                return f"the inverse-gamma of a variance needs df > 0, got {np.min(self.df):g}"
            positive = (np.diagonal(self.scale, axis1=-2, axis2=-1) > 0).all()
            return None if positive else "the scale's diagonal must be above 0"
        return fault_of_inverse_wishart(np.asarray(self.df), np.asarray(self.scale))

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, covariances), summed over components (Murphy 2012, eq. 4.202).

        An improper component (``strength <= 0`` or ``df <= D - 1``) has none, and counts as 0.
        """
        dim = jnp.shape(self.loc)[-1]
        proper = (jnp.asarray(self.strength) > 0) & (jnp.asarray(self.df) > dim - 1)
        strength, df = jnp.where(proper, self.strength, 1.0), jnp.where(proper, self.df, dim)
        scale = jnp.where(proper[:, None, None], self.scale, jnp.eye(dim))
        log_det = 2.0 * log_diagonal_sum(cholesky(scale))
        wishart = 0.5 * df * (log_det - dim * math.log(2.0)) - multigammaln(0.5 * df, dim)
        return jnp.sum(jnp.where(proper, wishart + 0.5 * dim * jnp.log(strength / (2.0 * math.pi)), 0.0))


def sample_inverse_wishart(
    key: PRNGKeyArray, df: Float[Array, "K"], scale: Float[Array, "K D D"]
) -> Float[Array, "K D D"]:
    """Cholesky factors of draws from ``IW(df, scale)``, by Bartlett's decomposition (Anderson 2003, section 7.2)."""
    key_diagonal, key_below = jr.split(key)
    num, dim = scale.shape[:2]
    shape = 0.5 * (df[:, None] - (dim - 1.0) + jnp.arange(dim, dtype=scale.dtype))
    diagonal = jnp.sqrt(2.0 * jr.gamma(key_diagonal, shape, dtype=scale.dtype))
    below = jnp.tril(jr.normal(key_below, (num, dim, dim), scale.dtype), -1)
    bartlett = below + diagonal[:, :, None] * jnp.eye(dim, dtype=scale.dtype)
    # A lower-triangular factor of W⁻¹ for W ~ Wishart(df, I) is B⁻¹, with rows of B in reversed order of freedom.
    return matmul(cholesky(scale), inverse_tril(bartlett))


def sample_means(
    key: PRNGKeyArray, loc: Float[Array, "K D"], strength: Float[Array, "K"], trils: Float[Array, "K D D"]
) -> Float[Array, "K D"]:
    """Draws from ``N(loc, Σ_k / strength)``."""
    noise = jr.normal(key, loc.shape, loc.dtype) / jnp.sqrt(strength)[:, None]
    return loc + matvec(trils, noise)


class Belief(NamedTuple):
    """A prior or a posterior over θ: independent beliefs about the weights and about the components."""

    weights: Dirichlet
    components: Any
    """`NormalInverseWishart`, or a relative of it with the same methods."""

    def update(self, stats: Stats) -> "Belief":
        """The belief about θ once z and x are known, through their statistics.

        Raises
        ------
        PriorError
            If the belief about the components has no such closed form: the prior is not conjugate.
        """
        self._need("update")
        return Belief(self.weights.update(stats.counts), self.components.update(stats))

    def _need_full_shape(self) -> None:
        if jnp.ndim(self.weights.concentration) != 1 or jnp.ndim(self.components.loc) != 2:
            raise PriorError("This prior has no component axis yet. Call prior.expand(K, D) first.")

    def _need(self, method: str) -> None:
        if not hasattr(self.components, method):
            raise PriorError(
                f"A {type(self.components).__name__} prior has no {method} in closed form. Use fit_em or a sampler, whichever "
                "takes it, or a NormalInverseWishart prior."
            )

    def mode(self, present: Params | None = None) -> Params:
        """Most probable θ in the coordinates (weights, means, covariances).

        Covariance families without a closed form go on from ``present``.

        Raises
        ------
        PriorError
            If it has no closed form.
        """
        self._need_full_shape()
        self._need("mode")
        return Params(self.weights.mode(), *self.components.mode(present))

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Params:
        """Draw θ; where means and covariances can only be drawn in turn, one turn from ``present``."""
        self._need_full_shape()
        key_weights, key_components = jr.split(key)
        return Params(self.weights.sample(key_weights), *self.components.sample(key_components, present))

    def log_kernel(self, params: Params) -> Float[Array, ""]:
        """``log p(θ)`` without its constant. Under ``flat.update(stats)`` this is the complete-data log-likelihood."""
        self._need_full_shape()
        whiteners = inverse_tril(params.scale_trils)
        log_diagonals = log_diagonal_sum(params.scale_trils)
        gaussian = self.components.log_kernel(params.means, whiteners, log_diagonals)
        return self.weights.log_kernel(jnp.log(params.weights)) + gaussian

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of ``log_density``; 0 where the belief is improper and has none."""
        self._need_full_shape()
        return self.weights.log_normaliser() + self.components.log_normaliser()

    def log_density(self, params: Params) -> Float[Array, ""]:
        """``log p(θ)`` over (weights, means, covariances), constants included."""
        return self.log_kernel(params) + self.log_normaliser()

    def kl(self, other: "Belief") -> Float[Array, ""]:
        """Kullback-Leibler divergence ``E[log p(θ) - log other(θ)]`` of another proper belief from this one."""
        logs = self.weights.expected_log()
        kernels = self.weights.log_kernel(logs) - other.weights.log_kernel(logs)
        kernels += self.components.expected_log_kernel(self.components)
        kernels -= other.components.expected_log_kernel(self.components)
        return kernels + self.log_normaliser() - other.log_normaliser()

    def expand(self, num_components: int, dim: int) -> "Belief":
        """Give every hyperparameter its full shape: ``(K,)``, ``(K, D)`` or ``(K, D, D)``, as NumPy arrays.

        Raises
        ------
        PriorError
            If a hyperparameter has a shape that does not fit K components in D dimensions.
        """
        if not isinstance(self.weights, Dirichlet):
            raise PriorError(f"The prior's weights must be a Dirichlet, got {type(self.weights).__name__}.")
        if not hasattr(self.components, "expand"):
            raise PriorError(
                "The prior's components must be a NormalInverseWishart, NormalInverseGamma, NormalTimesInverseWishart, "
                f"HierarchicalInverseWishart or NormalTimesLKJ, got {type(self.components).__name__}."
            )
        concentration = in_full("concentration", self.weights.concentration, (num_components,))
        return Belief(Dirichlet(concentration), self.components.expand(num_components, dim))

    def standardise(self, frame: Frame) -> "Belief":
        """The same belief about θ in standardised coordinates."""
        return Belief(self.weights, self.components.standardise(frame))


def flat_belief(num_components: int, dim: int) -> Belief:
    """The improper belief whose density is 1 at every (weights, means, covariances): its mode given data is the MLE."""
    zero = np.zeros(num_components)
    component = NormalInverseWishart(
        np.zeros((num_components, dim)), zero, zero - (dim + 2.0), np.zeros((num_components, dim, dim))
    )
    return Belief(Dirichlet(zero + 1.0), component)


def default_belief(center: np.ndarray, covariance: np.ndarray, num_components: int) -> Belief:
    """The documented default, scaled to the data (Fraley & Raftery 2007, section 4).

    ``weights ~ Dirichlet(1)``; ``Σ_k ~ IW(D + 2, S / K^(2/D))``, so that the prior mean of Σ_k fills a K-th of the
    volume of the data's covariance S; ``μ_k | Σ_k ~ N(mean of the data, Σ_k / 0.01)``.
    """
    dim = len(center)
    scale = covariance / num_components ** (2.0 / dim)
    return Belief(Dirichlet(1.0), NormalInverseWishart(center, 0.01, dim + 2.0, scale))


def improper_because(belief: Belief, variances_only: bool = False) -> str | None:
    """Say why a (fully shaped) belief is no probability distribution; None if it is one.

    ``variances_only`` for covariances without correlations.
    """
    concentration = np.asarray(belief.weights.concentration)
    if not np.isfinite(concentration).all():
        return "a hyperparameter is not finite"
    if (concentration <= 0).any():
        return "the Dirichlet concentration must be above 0"
    return belief.components.fault(variances_only)


Prior = Belief
