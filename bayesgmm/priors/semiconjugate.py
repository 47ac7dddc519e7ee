"""Independent priors for means and covariances, as users specify them.

The scale of the inverse-Wishart is known (`NormalTimesInverseWishart`) or has a prior (`HierarchicalInverseWishart`).
If it has a prior, EM uses its expectation, Gibbs draws it, and gradient-based engines integrate it out.
`bayesgmm.priors.semiconjugate_posterior` has the posterior given z.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.families import FAMILIES, Family
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, fault_of_matrix, gram, matvec, outer, transposed
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.hyperparameters import describe_components, fault_of_inverse_wishart, in_full
from bayesgmm.priors.inverse_wishart import log_constant, sample_inverse_wishart
from bayesgmm.priors.normal_means import log_normal_kernel, normal_constant
from bayesgmm.priors.semiconjugate_posterior import Independent, independent
from bayesgmm.priors.within_family import covariance_line
from bayesgmm.runtime.dtypes import double_on_host
from bayesgmm.runtime.formatting import array_words


class NormalTimesInverseWishart(NamedTuple):
    """``μ_k ~ N(loc, covariance)`` and, independently, ``Σ_k ~ IW(df, scale)``, in the user's units.

    Shapes as in `NormalInverseWishart`; a number for ``covariance`` or ``scale`` means that multiple of the identity.
    With tied covariances there is one ``Σ ~ IW(df, scale)``. For one feature ``IW(df, scale)`` is the
    inverse-gamma(df / 2, scale / 2).
    """

    loc: Any
    covariance: Any
    df: Any
    scale: Any

    conjugacy = Conjugacy.CONDITIONAL
    sites_are_theta = True
    family = FAMILIES["VVV"]
    metric = 1.0

    def taken_by(self, family: Family) -> "NormalTimesInverseWishart":
        """The prior in the form that a covariance family accepts: unchanged."""
        del family
        return self

    def within(self, family: Family) -> tuple[Independent, float]:
        """The (full) prior within a covariance family, and the log of its constant."""
        return independent(self, family)

    def describe(self, family: Family) -> list[str]:
        """The prior within a family in mathematical notation, line by line."""

        def lines(name: str, own: dict[str, Any]) -> list[str]:
            covariance = covariance_line(family, name, float(own["df"]), own["scale"])
            return [covariance, f"μ_{name} ~ N({array_words(own['loc'])}, {array_words(own['covariance'])})"]

        return describe_components(self._asdict(), lines)

    def numpyro_sites(self) -> tuple[Any, Any]:
        """The NumPyro sample statements of this (full) prior; returns means and Cholesky factors."""
        return numpyro_sites_of(self, self.scale)

    def unbounded_because(self, family: Family, values: np.ndarray) -> str | None:
        """Why the posterior density has no highest mode. Always None: under this prior it has one."""
        del family, values

    def expand(self, num_components: int, dim: int) -> "NormalTimesInverseWishart":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        return NormalTimesInverseWishart(
            in_full("loc", self.loc, (k, d)), in_full("covariance", self.covariance, (k, d, d)),
            in_full("df", self.df, (k,)), in_full("scale", self.scale, (k, d, d)),
        )  # fmt: skip

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (full) prior is not a probability distribution; None if it is one."""
        del variances_only  # diagonal families are refused
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        wrong = fault_of_matrix("prior covariance of the means", np.asarray(self.covariance))
        return wrong or fault_of_inverse_wishart(np.asarray(self.df), np.asarray(self.scale))

    @double_on_host
    def mode(self, present: Params | None = None) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """``loc`` and ``scale / (df + D + 1)``, as means and Cholesky factors."""
        del present
        counts = jnp.asarray(self.df) + (jnp.shape(self.loc)[-1] + 1.0)
        return jnp.asarray(self.loc), cholesky(self.scale / counts[:, None, None])

    @double_on_host
    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Any:
        """Draw (means, Cholesky factors)."""
        del present
        return sample_components(key, self)

    @double_on_host
    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant."""
        return components_log_kernel(self, means, whiteners, log_diagonals)

    @double_on_host
    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, covariances), summed over components."""
        return normal_constant(self.covariance) + self.constant_of_scales(1.0)

    def in_units(self, frame: Frame) -> "NormalTimesInverseWishart":
        """The same prior in standardised coordinates."""
        loc, covariance, df, scale = self
        units = outer(frame.scale)
        return NormalTimesInverseWishart((loc - frame.center) / frame.scale, covariance / units, df, scale / units)

    def averaged(self) -> "NormalTimesInverseWishart":
        """The prior of one covariance for all components, with the average hyperparameters."""
        df, scale = np.asarray(self.df), np.asarray(self.scale)
        scale = np.broadcast_to(scale.mean(axis=0), scale.shape).copy()
        return self._replace(df=np.broadcast_to(df.mean(), df.shape).copy(), scale=scale)

    def scale_given(
        self, key: PRNGKeyArray | None, precisions: Array | None, share: float, filled: Array | None = None
    ) -> Float[Array, "K D D"]:
        """The known scale of each Σ_k."""
        del key, precisions, share, filled
        return jnp.asarray(self.scale)

    def log_scales(self, precisions: Array, share: float) -> Float[Array, ""]:
        """Term of the scale in the log density of covariances with these precisions: ``-½ Σ tr(scale Σ_k⁻¹)``."""
        return -0.5 * share * jnp.sum(jnp.asarray(self.scale) * precisions)

    def constant_of_scales(self, share: float) -> Float[Array, ""]:
        """The constant of the density of the covariances."""
        return share * jnp.sum(log_constant(jnp.asarray(self.df), self.scale))


def sample_components(key: PRNGKeyArray, prior: Any) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
    """Draw (means, Cholesky factors) from a (full) prior of this kind."""
    key_means, key_trils, key_scale = jr.split(key, 3)
    scale = prior.scale_given(key_scale, None, 1.0)
    trils = sample_inverse_wishart(key_trils, jnp.asarray(prior.df), scale)
    noise = jr.normal(key_means, jnp.shape(prior.loc), scale.dtype)
    return prior.loc + matvec(cholesky(jnp.asarray(prior.covariance)), noise), trils


def components_log_kernel(prior: Any, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
    """Log density of a (full) prior of this kind without its constant."""
    powers = prior.df + (means.shape[-1] + 1.0)
    scales = prior.log_scales(gram(transposed(whiteners)), 1.0)
    return log_normal_kernel(means, prior.loc, prior.covariance) + scales - jnp.sum(powers * log_diagonals)


def numpyro_sites_of(prior: Any, scale: Any) -> tuple[Any, Any]:
    """NumPyro sample statements of a (full) prior of this kind, given the scale; returns means and Cholesky factors."""
    import numpyro
    import numpyro.distributions as dist

    with numpyro.plate("component", jnp.shape(prior.loc)[0]):
        tril = jnp.linalg.cholesky(jnp.asarray(scale))
        trils = numpyro.sample("scale_trils", dist.InverseWishartCholesky(jnp.asarray(prior.df), scale_tril=tril))
        spread = jnp.linalg.cholesky(jnp.asarray(prior.covariance))
        means = numpyro.sample("means", dist.MultivariateNormal(jnp.asarray(prior.loc), scale_tril=spread))
    return means, trils
