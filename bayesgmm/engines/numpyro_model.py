"""The generative model as a NumPyro model, for readers and for the tools of NumPyro."""

from typing import Any

import jax
import numpy as np
import numpyro
import numpyro.distributions as dist
from jaxtyping import Float

from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.boundary import refuse_improper
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.arguments import as_floats, check_count, check_memory, shown
from bayesgmm.runtime.dtypes import on_device_already


def gaussian_mixture(prior: Belief, x: Float[Array, "N D"] | None = None, num_rows: int | None = None) -> None:
    """``z_n ~ Categorical(weights)``, then ``x_n | z_n = k ~ N(means_k, covariances_k)``.

    z is an explicit site, enumerated in parallel: NUTS integrates it out, and ``infer_discrete`` draws it afterwards.
    Use the model with ``numpyro.infer.Predictive``, ``NUTS``, ``SVI``, and so on.

    The sites are ``weights``, ``scale_trils`` (lower Cholesky factors), ``means``, ``z``, ``x``, and the deterministic
    ``covariances``. Under a `StickBreaking` prior ``sticks`` is a site, and ``weights`` is deterministic. Priors with
    an unknown scale, or with separate scales and correlations, have sites for those too.
    Covariances are free, but diagonal under a `NormalInverseGamma` prior, whose site is ``variances``.

    Parameters
    ----------
    prior
        A prior in full shape (``prior.expand(K, D)``).
    x
        Observed rows, or None to generate `num_rows` of them.
    num_rows
        Number of rows to generate when `x` is None.

    Raises
    ------
    PriorError
        If the prior is not in full shape, or improper.
    ArgumentError
        If `x` is not finite numbers (N, D) with the D of the prior, or `num_rows` is no count or contradicts `x`.
    """
    _check_prior(prior)
    weights: Any = prior.weights.numpyro_site()
    means, trils = prior.components.numpyro_sites()
    numpyro.deterministic("covariances", trils @ trils.mT)
    x, size = _observed(x, num_rows, means.shape[-1])
    with numpyro.plate("obs", size):
        categorical: Any = dist.Categorical(weights)
        z: Any = numpyro.sample("z", categorical, infer={"enumerate": "parallel"})
        numpyro.sample("x", dist.MultivariateNormal(means[z], scale_tril=trils[z]), obs=x)


def _check_prior(prior: Any) -> None:
    weights, components = (getattr(prior, name, None) for name in ("weights", "components"))
    if not hasattr(weights, "numpyro_site") or not hasattr(components, "numpyro_sites"):
        raise PriorError(f"prior must be a bayesgmm.Prior in full shape, got {shown(prior)}.")
    if not on_device_already(prior):
        refuse_improper(prior.expand(*prior._full_size()))


def _observed(x: Any, num_rows: int | None, dim: int) -> tuple[Any, int]:
    """The observed rows, or None, and their number."""
    if x is None:
        num_rows = check_count("num_rows", num_rows)
        check_memory(f"{num_rows} rows", 8.0 * num_rows * dim)
        return None, num_rows
    if not isinstance(x, jax.Array):
        x = as_floats("x", x)
        if not np.isfinite(x).all():
            raise ArgumentError("x has values that are not finite. Drop those rows.")
    if x.ndim != 2 or x.shape[1] != dim:
        raise ArgumentError(f"x has shape {x.shape}, but the prior needs (N, {dim}).")
    if num_rows is not None and check_count("num_rows", num_rows) != len(x):
        raise ArgumentError(f"num_rows is {num_rows}, but x has {len(x)} rows. Give one of them.")
    return x, len(x)
