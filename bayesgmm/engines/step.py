"""The table of engines, and the single step that they share.

EM, Gibbs and related algorithms alternate the same two updates: z given θ, then θ given z. They differ only in how
they make each update, and in the term that the prior adds to the objective.

=======  ==================  ===========  ======================  ==========
engine   score of z          z is         θ is                    prior term
=======  ==================  ===========  ======================  ==========
EM       log joint           averaged     maximised               log p(θ)
CEM      log joint           maximised    maximised               log p(θ)
SEM      log joint           drawn        maximised               log p(θ)
Gibbs    log joint           drawn        drawn                   log p(θ)
telesc.  log joint           drawn        drawn, and K with it    none
CAVI     expected log joint  averaged     kept as a distribution  -KL(q‖p)
=======  ==================  ===========  ======================  ==========

The rows of the table are the values in `KERNELS`, and `step` is the only place where the two updates are composed.
NUTS, SVI and Laplace integrate z out and follow the gradient: see `bayesgmm.sweep.likelihood`.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.mixture import PaddedScorer, Scorer, log_joint_scorer
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import inverse_tril
from bayesgmm.priors.finite_mixtures import MixturesGivenZ, MixtureState
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.stick_order import Reordered, ReorderedGivenZ
from bayesgmm.sweep.e_step import Assign, average, draw, maximise
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.passed import Passed
from bayesgmm.sweep.statistics import sweep


class Kernel(NamedTuple):
    """One row of the table. θ is `Params`, or a `Belief` if the engine keeps a distribution of θ."""

    score: Callable[[Any], Scorer | PaddedScorer]
    """Scores of the components for z, given θ."""
    assign: Assign
    """Update of z, given its scores."""
    estimate: Callable[[PRNGKeyArray, Any, Any], Any]
    """Update of θ, given its posterior given z, and the current θ."""
    prior_term: Callable[[Any, Any], Array]
    """Term that θ and the prior add to the objective."""


class Iteration(NamedTuple):
    """Results of one `step`, besides the new θ."""

    stats: Stats
    """Sufficient statistics of z given the current θ."""
    posterior: Any
    """Posterior of θ given z."""
    objective: Float[Array, ""]
    """Objective at the current θ: the value of the pass plus the prior term."""


def asked(kernel: Kernel, key: PRNGKeyArray, theta: Any, prior: Any) -> tuple[PRNGKeyArray, Scorer | PaddedScorer]:
    """Key and scores of the pass that one iteration makes: all that it asks of the rows.

    Where the host makes the pass (`bayesgmm.sweep.passed`), it asks by this, and then gives `step` the statistics.
    """
    seen = theta.diagonal if prior.diagonal and isinstance(theta, Params | MixtureState) else theta
    return jr.split(key)[0], kernel.score(seen)


def step(kernel: Kernel, key: PRNGKeyArray, theta: Any, prior: Any, rows: Rows | Passed) -> tuple[Any, Iteration]:
    """One iteration: update z given θ, accumulate the statistics of z over the rows, update θ given z.

    Parameters
    ----------
    kernel
        How z and θ are updated: averaged, maximised, drawn, or kept as a distribution.
    key
        Random key for the draws.
    theta
        The current θ.
    prior
        A `Belief`, or an object with its ``diagonal`` and an ``update`` method: for tempering and batches, which
        reweight the statistics, and for an unknown number of components (`bayesgmm.priors.finite_mixtures`).
    rows
        Standardised rows, or the statistics of a pass over them.

    Returns
    -------
    theta, iteration
        The new θ, and an `Iteration`.
    """
    key_z, scorer = asked(kernel, key, theta, prior)
    stats = sweep(key_z, scorer, rows, kernel.assign)
    posterior = prior.update(stats)
    objective = stats.value + kernel.prior_term(theta, prior)
    return kernel.estimate(jr.split(key)[1], posterior, theta), Iteration(stats, posterior, objective)


def mixture_scorer(theta: MixtureState) -> PaddedScorer:
    """The score ``log π_k + log N(x; μ_k, Σ_k)`` of a mixture with K ≤ K_max components; -∞ beyond K."""
    return PaddedScorer(log_joint_scorer(theta.params), theta.num_components)


def expected_log_joint_scorer(q: Belief) -> Scorer:
    """The score ``E_q[log π_k + log N(x; μ_k, Σ_k)]`` (Bishop 2006, eqs. 10.46 and 10.64-10.66)."""
    components = q.components
    dim = components.loc.shape[-1]
    offsets = q.weights.expected_log() - 0.5 * components.expected_log_det() - 0.5 * dim / components.strength
    trils = components.harmonic_trils()
    constant = 0.5 * dim * math.log(2.0 * math.pi)
    return Scorer(offsets - constant, components.loc, inverse_tril(trils), trils)


def mode(key: PRNGKeyArray, posterior: Belief, present: Params) -> Params:
    """M-step: the posterior mode of θ."""
    del key
    return posterior.mode(present)


def sample(
    key: PRNGKeyArray, posterior: Belief | MixturesGivenZ | ReorderedGivenZ, present: Any
) -> Params | MixtureState:
    """A draw of θ: the second half of a Gibbs sweep."""
    return posterior.sample(key, present)


def keep(key: PRNGKeyArray, posterior: Belief, present: Any) -> Belief:
    """The posterior of θ, unchanged: the variational q(θ)."""
    del key, present
    return posterior


def log_prior(theta: Params, prior: Belief | Reordered) -> Float[Array, ""]:
    """``log p(θ)`` without its constant."""
    return prior.log_kernel(theta)


def minus_kl(q: Belief, prior: Belief) -> Float[Array, ""]:
    """``-KL(q‖p)``: added to the value of the pass, it gives the evidence lower bound."""
    return -q.kl(prior)


def no_term(theta: Any, prior: Any) -> Float[Array, ""]:
    """Zero, for engines that do not use the objective."""
    del theta, prior
    return jnp.zeros(())


KERNELS = {
    "em": Kernel(score=log_joint_scorer, assign=average, estimate=mode, prior_term=log_prior),
    "cem": Kernel(score=log_joint_scorer, assign=maximise, estimate=mode, prior_term=log_prior),
    "sem": Kernel(score=log_joint_scorer, assign=draw, estimate=mode, prior_term=log_prior),
    "gibbs": Kernel(score=log_joint_scorer, assign=draw, estimate=sample, prior_term=log_prior),
    "telescoping": Kernel(score=mixture_scorer, assign=draw, estimate=sample, prior_term=no_term),
    "cavi": Kernel(score=expected_log_joint_scorer, assign=average, estimate=keep, prior_term=minus_kl),
}
