"""The marginal log-likelihood by one pass over the rows, and its derivative by Fisher's identity.

The gradient of ``log p(x | θ)`` is the gradient of the expected complete-data log-likelihood with the statistics held
fixed (Fisher's identity; Dempster, Laird & Rubin 1977). NUTS, SVI and Laplace therefore need one pass for value and
gradient.
"""

from functools import partial

import jax
import jax.random as jr
from jaxtyping import Float

from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief, flat_prior
from bayesgmm.sweep.e_step import average
from bayesgmm.sweep.fetched import Fetched
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.statistics import sweep


@jax.custom_jvp
def log_likelihood(params: Params, rows: Rows | Fetched) -> Float[Array, ""]:
    """Marginal log-likelihood ``Σ_n log p(x_n | θ)``. One pass gives the value and its derivative in θ."""
    return expected_statistics(params, rows).value


@partial(log_likelihood.defjvp, symbolic_zeros=False)
def _fisher_identity(primals, tangents):
    params, rows = primals
    complete, value = complete_data(params, rows)
    _, tangent = jax.jvp(complete.log_kernel, (params,), (tangents[0],))
    return value, tangent


def expected_statistics(params: Params, rows: Rows | Fetched) -> Stats:
    """Sufficient statistics of the responsibilities at θ, and the log-likelihood: the E-step of EM."""
    return sweep(jr.key(0), log_joint_scorer(params), rows, average)


def complete_data(params: Params, rows: Rows | Fetched) -> tuple[Belief, Float[Array, ""]]:
    """The expected complete-data log-likelihood at θ and the marginal log-likelihood.

    The first is the ``log_kernel`` of the returned `Belief`.
    """
    stats = expected_statistics(params, rows)
    return flat_prior(*params.means.shape).update(stats), stats.value


def log_posterior(params: Params, prior: Belief, rows: Rows | Fetched) -> Float[Array, ""]:
    """``log p(x | θ) + log p(θ)`` up to the constant of the prior, in coordinates (weights, means, covariances)."""
    seen = params.diagonal if prior.diagonal else params
    return log_likelihood(seen, rows) + prior.log_kernel(params)
