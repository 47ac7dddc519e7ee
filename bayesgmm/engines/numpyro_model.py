"""The generative story as a NumPyro model, for readers and for NumPyro's own tools."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float

from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.lkj import HalfNormal, NormalTimesLKJ
from bayesgmm.priors.normal_inverse_wishart import Belief, NormalInverseWishart
from bayesgmm.priors.semiconjugate import HierarchicalInverseWishart, NormalInverseGamma


def gaussian_mixture(prior: Belief, x: Float[Array, "N D"] | None = None, num_rows: int | None = None) -> None:
    """``z_n ~ Categorical(weights)``, then ``x_n | z_n = k ~ N(means_k, covariances_k)``.

    z is explicit and enumerated in parallel, so that NUTS sums it out and ``infer_discrete`` draws it back. Use it with
    ``numpyro.infer.Predictive``, ``NUTS``, ``SVI``, and so on; sites are ``weights``, ``scale_trils`` (lower Cholesky factors),
    ``means``, ``z``, ``x``, and the deterministic ``covariances``; with an unknown scale, or with scales and correlations
    apart, those too. Covariances are free, but diagonal under a `NormalInverseGamma` prior, whose site is ``variances``.

    Parameters
    ----------
    prior
        A prior in full shape (``prior.expand(K, D)``).
    x
        Observed rows, or None to generate `num_rows` of them.
    num_rows
        Number of rows to generate when `x` is None.
    """
    weights_prior, component = prior
    num_components = jnp.shape(component.loc)[0]
    weights: Any = numpyro.sample("weights", dist.Dirichlet(jnp.asarray(weights_prior.concentration)))
    scale: Any = None
    if isinstance(component, HierarchicalInverseWishart):
        scale = numpyro.sample(
            "scale", dist.Wishart(component.hyper_df, scale_matrix=jnp.asarray(component.hyper_scale))
        )
    with numpyro.plate("component", num_components):
        trils: Any = _factors(component, scale)
        if isinstance(component, NormalInverseWishart | NormalInverseGamma):
            spread = trils / jnp.sqrt(jnp.asarray(component.strength))[:, None, None]
        else:
            spread = jnp.linalg.cholesky(jnp.asarray(component.covariance))
        means: Any = numpyro.sample("means", dist.MultivariateNormal(jnp.asarray(component.loc), scale_tril=spread))
    numpyro.deterministic("covariances", trils @ trils.mT)
    size: Any = num_rows if x is None else len(x)
    with numpyro.plate("obs", size):
        categorical: Any = dist.Categorical(weights)
        z: Any = numpyro.sample("z", categorical, infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.MultivariateNormal(means[z], scale_tril=trils[z]), obs=x)


def _factors(component: Any, scale: Any) -> Any:
    """Cholesky factors of the covariances, inside the plate of components."""
    if isinstance(component, NormalInverseGamma):
        shape, scale = jnp.asarray(component.shape)[:, None], jnp.asarray(component.scale)
        inverse_gamma: Any = dist.InverseGamma(shape, scale).to_event(1)
        variances: Any = numpyro.sample("variances", inverse_gamma)
        dim = jnp.shape(component.loc)[-1]
        return numpyro.deterministic("scale_trils", jnp.sqrt(variances)[..., None] * jnp.eye(dim))
    if isinstance(component, NormalTimesLKJ):
        kind = dist.HalfNormal if isinstance(component.scales, HalfNormal) else dist.LogNormal
        own: Any = kind(*(jnp.asarray(value) for value in component.scales)).to_event(1)
        s: Any = numpyro.sample("scales", own)
        dim = jnp.shape(component.loc)[-1]
        if dim == 1:
            return numpyro.deterministic("scale_trils", s[..., None])
        eta = jnp.asarray(component.concentration)
        correlations: Any = numpyro.sample("correlation_trils", dist.LKJCholesky(dim, eta))
        return numpyro.deterministic("scale_trils", s[..., None] * correlations)
    tril = jnp.linalg.cholesky(jnp.asarray(component.scale if scale is None else scale))
    return numpyro.sample("scale_trils", dist.InverseWishartCholesky(jnp.asarray(component.df), scale_tril=tril))
