"""The conjugate prior of means and covariances: normal-inverse-Wishart.

Prior and posterior have the same type, by conjugacy: ``prior.update(stats)`` is the posterior given z.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import digamma
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.families import FAMILIES, Family
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import (
    cholesky,
    column,
    inverse_tril,
    is_column,
    log_diagonal_sum,
    matmul,
    matvec,
    outer,
)
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.frozen import conjugate_cross_kernels, unchanged
from bayesgmm.priors.hyperparameters import describe_components, fault_of_inverse_wishart, in_full, pad_components
from bayesgmm.priors.inverse_wishart import log_constant, sample_inverse_wishart, sample_means
from bayesgmm.priors.within_family import Restricted, covariance_line, restrict
from bayesgmm.runtime.dtypes import double_on_host
from bayesgmm.runtime.formatting import array_words, significant


class NormalInverseWishart(NamedTuple):
    """``Σ_k ~ IW(df, scale)`` and ``μ_k | Σ_k ~ N(loc, Σ_k / strength)``, in the user's units.

    ``loc`` has shape ``(D,)`` (or a scalar), ``scale`` ``(D, D)`` (or a scalar, meaning that multiple of the identity);
    ``strength`` and ``df`` are scalars. Each may have a leading axis of length K for component-specific priors.
    The inverse-Wishart is proper for ``df > D - 1`` and has a mean, ``scale / (df - D - 1)``, for ``df > D + 1``.
    """

    loc: Any
    strength: Any
    df: Any
    scale: Any

    conjugacy = Conjugacy.JOINT
    sites_are_theta = True
    family = FAMILIES["VVV"]
    metric = 1.0
    frozen = unchanged
    cross_kernels = conjugate_cross_kernels

    def taken_by(self, family: Family) -> "NormalInverseWishart":
        """The prior in the form that a covariance family accepts: unchanged."""
        del family
        return self

    def within(self, family: Family) -> tuple["NormalInverseWishart | Restricted", float]:
        """The (full) prior within a covariance family, and the log of its constant; see `restrict`."""
        restricted, constant = restrict(self, family)
        return (self if family.name == "VVV" else restricted), constant

    def as_written(self) -> "NormalInverseWishart":
        """The prior as users specify it: unchanged."""
        return self

    def describe(self, family: Family) -> list[str]:
        """The prior within a family in mathematical notation, line by line."""

        def lines(name: str, own: dict[str, Any]) -> list[str]:
            loc, strength = array_words(own["loc"]), significant(float(own["strength"]))
            covariance = covariance_line(family, name, float(own["df"]), own["scale"])
            return [covariance, f"μ_{name} | Σ_{name} ~ N({loc}, Σ_{name} / {strength})"]

        return describe_components(self._asdict(), lines)

    def numpyro_sites(self) -> tuple[Any, Any]:
        """The NumPyro sample statements of this (full) prior; returns means and Cholesky factors."""
        import numpyro
        import numpyro.distributions as dist

        with numpyro.plate("component", jnp.shape(self.loc)[0]):
            scale_tril = jnp.linalg.cholesky(jnp.asarray(self.scale))
            wishart = dist.InverseWishartCholesky(jnp.asarray(self.df), scale_tril=scale_tril)
            trils: Any = numpyro.sample("scale_trils", wishart)
            spread = trils / jnp.sqrt(jnp.asarray(self.strength))[:, None, None]
            means = numpyro.sample("means", dist.MultivariateNormal(jnp.asarray(self.loc), scale_tril=spread))
        return means, trils

    def unbounded_because(self, family: Family, values: np.ndarray) -> str | None:
        """Why the posterior density has no highest mode. Always None: under this prior it has one."""
        del family, values

    def padded(self, num_components: int, counts: float = 1.0) -> "NormalInverseWishart":
        """The same prior for more components. Those beyond K have `counts` effective rows, each with scatter I."""
        size, dim = np.shape(self.loc)
        padded = NormalInverseWishart(*(pad_components(value, num_components) for value in self))
        padded.df[size:] = counts - (dim + 2.0)
        padded.scale[size:] = counts * np.eye(dim)
        return padded

    @double_on_host
    def update(self, stats: Stats) -> "NormalInverseWishart":
        """Conjugate update (Murphy 2012, eqs. 4.209-4.214)."""
        strength = self.strength + stats.counts
        share = jnp.where(strength > 0, stats.counts / jnp.where(strength > 0, strength, 1.0), 0.0)
        shift = stats.means - self.loc
        scale = self.scale + stats.scatters + (self.strength * share)[:, None, None] * outer(shift)
        return NormalInverseWishart(self.loc + share[:, None] * shift, strength, self.df + stats.counts, scale)

    @double_on_host
    def mode(self, present: Params | None = None) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Joint mode of (μ, Σ): ``loc`` and ``scale / (df + D + 2)``, as means and Cholesky factors.

        The mode is taken in the coordinates (means, covariances), without a Jacobian. The *marginal* mode of
        Σ is ``scale / (df + D + 1)``.
        """
        del present  # a closed form needs no start
        return self.loc, cholesky(self.scale / self.counts[:, None, None])

    @property
    def counts(self) -> Float[Array, "K"]:
        """Effective number of rows for each Σ_k: ``df + D + 2``, the divisor of ``scale`` in the joint mode."""
        return self.df + (jnp.shape(self.loc)[-1] + 2.0)

    def project(self, params: Params) -> Params:
        """θ unchanged: every covariance is allowed."""
        return params

    @double_on_host
    def sample(
        self, key: PRNGKeyArray, present: Params | None = None
    ) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Draw (means, Cholesky factors)."""
        del present
        key_mean, key_scale = jr.split(key)
        trils = sample_inverse_wishart(key_scale, self.df, self.scale)
        return sample_means(key_mean, self.loc, self.strength, trils), trils

    @double_on_host
    def log_kernel(
        self, means: Float[Array, "K D"], whiteners: Float[Array, "K D E"], log_diagonals: Float[Array, "K"]
    ) -> Float[Array, ""]:
        """Log density without its constant; ``whiteners`` are L⁻¹ and ``log_diagonals`` are ``log |L|``."""
        shift = matvec(whiteners, means - self.loc)
        spread = trace_with_precision(whiteners, jnp.asarray(self.scale))
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
        """``E_q[log_kernel]``: the log density without its constant, averaged over another distribution q."""
        dim = jnp.shape(self.loc)[-1]
        whiteners = inverse_tril(q.harmonic_trils())
        shift = jnp.sum(matvec(whiteners, q.loc - self.loc) ** 2, axis=-1) + dim / q.strength
        spread = trace_with_precision(whiteners, jnp.asarray(self.scale))
        return -0.5 * jnp.sum(self.counts * q.expected_log_det() + spread + self.strength * shift)

    def standardise(self, frame: Frame) -> "NormalInverseWishart":
        """The same prior in standardised coordinates."""
        loc = (self.loc - frame.center) / frame.scale
        return NormalInverseWishart(loc, self.strength, self.df, self.scale / outer(frame.scale))

    def expand(self, num_components: int, dim: int) -> "NormalInverseWishart":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        return NormalInverseWishart(
            in_full("loc", self.loc, (k, d)), in_full("strength", self.strength, (k,)), in_full("df", self.df, (k,)),
            in_full("scale", self.scale, (k, d, d)),
        )  # fmt: skip

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (full) prior is not a probability distribution; None if it is one.

        ``variances_only``: diagonal and spherical covariances have a prior of variances, ``IG(df / 2, scale_jj / 2)``.
        """
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        if (np.asarray(self.strength) <= 0).any():
            return "the strength of the prior of the means must be above 0"
        if variances_only:
            if (np.asarray(self.df) <= 0).any():
                return f"the inverse-gamma of a variance needs df > 0, got {np.min(self.df):g}"
            positive = (np.diagonal(self.scale, axis1=-2, axis2=-1) > 0).all()
            return None if positive else "the scale's diagonal must be above 0"
        return fault_of_inverse_wishart(np.asarray(self.df), np.asarray(self.scale))

    @double_on_host
    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, covariances), summed over components (Murphy 2012, eq. 4.202).

        An improper component (``strength <= 0`` or ``df <= D - 1``) has no constant and contributes 0.
        """
        dim = jnp.shape(self.loc)[-1]
        proper = (jnp.asarray(self.strength) > 0) & (jnp.asarray(self.df) > dim - 1)
        strength, df = jnp.where(proper, self.strength, 1.0), jnp.where(proper, self.df, dim)
        scale = jnp.where(proper[:, None, None], self.scale, jnp.eye(dim))
        means = 0.5 * dim * jnp.log(strength / (2.0 * math.pi))
        return jnp.sum(jnp.where(proper, log_constant(df, scale) + means, 0.0))


def trace_with_precision(whiteners: Float[Array, "K D E"], scale: Float[Array, "K D D"]) -> Float[Array, "K"]:
    """``tr(Σ⁻¹ scale)``; the whiteners may be columns."""
    if is_column(whiteners):
        return jnp.sum(jnp.square(whiteners) * column(scale), axis=(-2, -1))
    return jnp.sum(matmul(whiteners, scale) * whiteners, axis=(-2, -1))


def flat_components(num_components: int, dim: int) -> NormalInverseWishart:
    """The improper prior with density 1 at every (means, covariances)."""
    zero = np.zeros(num_components)
    matrices = np.zeros((num_components, dim, dim))
    return NormalInverseWishart(np.zeros((num_components, dim)), zero, zero - (dim + 2.0), matrices)
