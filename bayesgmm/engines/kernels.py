"""The table of engines, and the one step that serves every row of it.

Every engine is the same circular dance: first z given θ, then θ given z.

=======  ==================  ===========  ==========================================
engine   how z sees θ        z is         θ is
=======  ==================  ===========  ==========================================
EM       log joint           averaged     maximised
CEM      log joint           maximised    maximised
SEM      log joint           drawn        maximised
Gibbs    log joint           drawn        drawn
CAVI     expected log joint  averaged     kept as a distribution
NUTS     log joint           averaged     moved along the gradient
=======  ==================  ===========  ==========================================

The rows of the table are the values in `KERNELS`, and `step` is the dance. NUTS takes its gradient from the same belief
(`log_posterior`): by Fisher's identity the gradient of the log-likelihood is that of the expected complete-data
log-likelihood with the statistics held fixed.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.mixture import Scorer, log_joint_scorer
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import inverse_tril
from bayesgmm.priors.normal_inverse_wishart import Belief, flat_belief
from bayesgmm.sweep.statistics import Assign, Rows, sweep


def average(key: PRNGKeyArray, scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """Z is its expectation: the responsibilities, with the log density of each row."""
    del key
    joint, log_density = _normalise(scores)
    return joint, log_density


def maximise(key: PRNGKeyArray, scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """Z is its most probable value, with the classification log-likelihood of each row (Celeux & Govaert 1992)."""
    del key
    best = jnp.argmax(scores, axis=0)
    return jax.nn.one_hot(best, scores.shape[0], axis=0, dtype=scores.dtype), jnp.max(scores, axis=0)


def draw(key: PRNGKeyArray, scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """Z is drawn from its conditional, by one uniform per row, with the log density of each row."""
    probabilities, log_density = _normalise(scores)
    upper = jnp.cumsum(probabilities, axis=0)
    threshold = jr.uniform(key, scores.shape[1:], scores.dtype) * upper[-1]
    below = (threshold < upper).astype(scores.dtype)
    return jnp.diff(below, axis=0, prepend=jnp.zeros_like(below[:1])), log_density


def _normalise(scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    top = jnp.max(scores, axis=0)
    joint = jnp.exp(scores - top)
    total = jnp.sum(joint, axis=0)
    return joint * (1.0 / total), top + jnp.log(total)


def mode(key: PRNGKeyArray, belief: Belief, present: Params) -> Params:
    """θ is maximised: the M-step."""
    del key
    return belief.mode(present)


def sample(key: PRNGKeyArray, belief: Belief, present: Params) -> Params:
    """θ is drawn: the second half of a Gibbs sweep."""
    return belief.sample(key, present)


def keep(key: PRNGKeyArray, belief: Belief, present: Belief) -> Belief:
    """θ stays a distribution: the variational posterior of it."""
    del key, present
    return belief


def expected_log_joint_scorer(belief: Belief) -> Scorer:
    """The score ``E[log π_k + log N(x; μ_k, Σ_k)]`` over a belief about θ (Bishop 2006, eqs. 10.46 and 10.64-10.66)."""
    components = belief.components
    dim = components.loc.shape[-1]
    offsets = belief.weights.expected_log() - 0.5 * components.expected_log_det() - 0.5 * dim / components.strength
    trils = components.harmonic_trils()
    constant = 0.5 * dim * math.log(2.0 * math.pi)
    return Scorer(offsets - constant, components.loc, inverse_tril(trils), trils)


class Kernel(NamedTuple):
    """One row of the table. θ is `Params`, or the `Belief` about them where θ is kept as a distribution."""

    see: Callable[[Any], Scorer]
    assign: Assign
    estimate: Callable[[PRNGKeyArray, Belief, Any], Any]


KERNELS = {
    "em": Kernel(see=log_joint_scorer, assign=average, estimate=mode),
    "cem": Kernel(see=log_joint_scorer, assign=maximise, estimate=mode),
    "sem": Kernel(see=log_joint_scorer, assign=draw, estimate=mode),
    "gibbs": Kernel(see=log_joint_scorer, assign=draw, estimate=sample),
    "cavi": Kernel(see=expected_log_joint_scorer, assign=average, estimate=keep),
}


def step(kernel: Kernel, key: PRNGKeyArray, params: Params, prior: Belief, rows: Rows) -> tuple[Params, Stats]:
    """One turn of the dance: z given θ, added up over the rows; then θ given z."""
    key_z, key_theta = jr.split(key)
    stats = expect(kernel, key_z, params, rows)
    return kernel.estimate(key_theta, prior.update(stats), params), stats


def expect(kernel: Kernel, key: PRNGKeyArray, params: Params | Belief, rows: Rows) -> Stats:
    """The first half of the dance, on its own: z given θ, added up over the rows."""
    return sweep(key, kernel.see(params), rows, kernel.assign)


@jax.custom_jvp
def log_likelihood(params: Params, rows: Rows) -> Float[Array, ""]:
    """Marginal log-likelihood Σ_n log p(x_n | θ) by one sweep; so is its derivative with respect to θ."""
    return mixture_stats(params, rows).value


@partial(log_likelihood.defjvp, symbolic_zeros=False)
def _fisher_identity(primals, tangents):
    params, rows = primals
    stats = mixture_stats(params, rows)
    complete = flat_belief(*params.means.shape).update(stats)
    _, tangent = jax.jvp(complete.log_kernel, (params,), (tangents[0],))
    return stats.value, tangent


def mixture_stats(params: Params, rows: Rows) -> Stats:
    """Statistics of the responsibilities at θ, with the log-likelihood: EM's E-step."""
    return sweep(jr.key(0), log_joint_scorer(params), rows, average)


def log_posterior(params: Params, prior: Belief, rows: Rows) -> Float[Array, ""]:
    """``log p(x | θ) + log p(θ)`` up to the prior's constant, in the coordinates (weights, means, covariances)."""
    return log_likelihood(params, rows) + prior.log_kernel(params)
