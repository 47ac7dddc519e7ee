"""The generative model as a NumPyro model, for readers and for the tools of NumPyro."""

from typing import Any

import jax.numpy as jnp
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float

from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief


def gaussian_mixture(prior: Belief, x: Float[Array, "N D"] | None = None, num_rows: int | None = None) -> None:
    """``z_n ~ Categorical(weights)``, then ``x_n | z_n = k ~ N(means_k, covariances_k)``.

    z is an explicit site, enumerated in parallel: NUTS integrates it out, and ``infer_discrete`` draws it afterwards.
    Use the model with ``numpyro.infer.Predictive``, ``NUTS``, ``SVI``, and so on.

    The sites are ``weights``, ``scale_trils`` (lower Cholesky factors), ``means``, ``z``, ``x``, and the deterministic
    ``covariances``. Priors with an unknown scale, or with separate scales and correlations, have sites for those too.
    Covariances are free, but diagonal under a `NormalInverseGamma` prior, whose site is ``variances``.

    Parameters
    ----------
    prior
        A prior in full shape (``prior.expand(K, D)``).
    x
        Observed rows, or None to generate `num_rows` of them.
    num_rows
        Number of rows to generate when `x` is None.
    """
    weights: Any = numpyro.sample("weights", dist.Dirichlet(jnp.asarray(prior.weights.concentration)))
    means, trils = prior.components.numpyro_sites()
    numpyro.deterministic("covariances", trils @ trils.mT)
    size: Any = num_rows if x is None else len(x)
    with numpyro.plate("obs", size):
        categorical: Any = dist.Categorical(weights)
        z: Any = numpyro.sample("z", categorical, infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.MultivariateNormal(means[z], scale_tril=trils[z]), obs=x)
