"""Parallel tempering of Gibbs: replicas under weaker and weaker data exchange states (Geyer 1991; Syed et al. 2022).

Replica r draws from ``p(θ) p(z | θ) p(x | z, θ)^β_r Π_k π_k^(c (1 - β_r))``. β decreases from 1 (the posterior)
to a value at which the data count as much as K rows. The last factor keeps the classes from merging. Without it all
rows fall into one class at some β, because the evidence for fewer classes grows as the data weaken. Few replicas then
return across that step. c is N / K, the count of a class of average size.

Both Gibbs updates keep their form. The update of z uses scores with β times the log density of x. The update of θ
uses a posterior given statistics of weight β. Two neighbours exchange θ and z with probability
``min(1, exp((β_i - β_j) (e_j - e_i)))``, where e is ``log p(x | z, θ) - c Σ_k log π_k``. Even and odd pairs
alternate.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from bayesgmm.engines.step import KERNELS, no_term, step
from bayesgmm.model.mixture import Scorer, log_joint_scorer
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import inverse_tril, log_diagonal_sum
from bayesgmm.priors.prior import Belief, flat_prior
from bayesgmm.sweep.kinds_of_rows import Rows

FIRST_ADAPTATION = 32
"""Warm-up sweeps before the ladder is adapted for the first time; then again after twice as many, and so on."""


class Replicas(NamedTuple):
    """The replicas of one chain. The first one samples the posterior (β = 1)."""

    params: Params
    betas: Float[Array, "R"]
    rejections: Float[Array, "R1"]
    """Sum of the rejection probabilities of swaps between neighbours, since the ladder was last adapted."""
    refreshed: Bool[Array, "R"]
    """Whether a replica has visited the far end of the ladder since it was last at the posterior."""


def replicate(params: Params, num: int, num_rows: float) -> Replicas:
    """`num` replicas that start from one θ, on an initial ladder."""
    wide = jax.tree.map(lambda leaf: jnp.repeat(jnp.asarray(leaf)[None], num, axis=0), params)
    hottest = min(params.weights.shape[-1] / num_rows, 0.5)
    # The weight of the data spans orders of magnitude, so most of the ladder is at small β.
    betas = hottest + (1.0 - hottest) * jnp.linspace(1.0, 0.0, num, dtype=wide.means.dtype) ** 4
    return Replicas(wide, betas, jnp.zeros(num - 1, betas.dtype), jnp.zeros(num, bool))


class Tempered(NamedTuple):
    """A prior that gives the rows weight β, with a pseudo-prior of the weights (last factor in the module text)."""

    prior: Belief
    beta: Float[Array, ""]

    @property
    def diagonal(self) -> bool:
        """Whether all covariances are diagonal."""
        return self.prior.diagonal

    def update(self, stats: Stats) -> Belief:
        """The conditional distribution of θ at β, given the statistics of z."""
        extra = _average_size(stats) * (1.0 - self.beta)
        weighed = stats._replace(counts=self.beta * stats.counts, scatters=self.beta * stats.scatters)
        return Belief(self.prior.weights.update(stats.counts + extra), self.prior.components.update(weighed))


def tempered_step(
    key: PRNGKeyArray, params: Params, beta: Float[Array, ""], prior: Belief, rows: Rows
) -> tuple[Params, Float[Array, ""], Float[Array, ""]]:
    """A Gibbs sweep at β: the new θ, the value of the pass (log-likelihood if β = 1), and e of the new θ and z."""
    kernel = KERNELS["gibbs"]._replace(score=partial(_tempered_scorer, beta), prior_term=no_term)
    params, seen = step(kernel, key, params, Tempered(prior, beta), rows)
    pseudo = _average_size(seen.stats) * jnp.sum(jnp.log(params.weights))
    return params, seen.stats.value, _log_likelihood_given_z(params, seen.stats) - pseudo


def _average_size(stats: Stats) -> Float[Array, ""]:
    """Rows in a class of average size."""
    return jnp.mean(stats.counts)


def _tempered_scorer(beta: Float[Array, ""], params: Params) -> Scorer:
    scorer = log_joint_scorer(params)
    log_weights, root = jnp.log(params.weights), jnp.sqrt(beta)
    offsets = log_weights + beta * (scorer.offsets - log_weights)
    return Scorer(offsets, scorer.locs, root * scorer.whiteners, scorer.trils / root)


def tempered_sweep(
    key: PRNGKeyArray, replicas: Replicas, sweeps: Int[Array, ""], num_warmup: Int[Array, ""], prior: Belief, rows: Rows
) -> tuple[Replicas, tuple[Float[Array, ""], dict[str, Any]]]:
    """One sweep of every replica, then swaps. During warm-up the ladder is adapted from time to time.

    Also returns the log-likelihood of θ before the sweep in the first replica (β = 1), and statistics of the swaps.
    """
    num = replicas.betas.shape[0]
    key_sweep, key_swap = jr.split(key)
    move = jax.vmap(partial(tempered_step, prior=prior, rows=rows))
    params, values, energies = move(jr.split(key_sweep, num), replicas.params, replicas.betas)
    accept = jnp.exp(jnp.minimum((replicas.betas[:-1] - replicas.betas[1:]) * (energies[1:] - energies[:-1]), 0.0))
    takes_part = jnp.arange(num - 1) % 2 == sweeps % 2
    swapped = takes_part & (jr.uniform(key_swap, accept.shape, accept.dtype) < accept)
    none = jnp.zeros(1, bool)
    source = jnp.arange(num) + jnp.append(swapped, none) - jnp.append(none, swapped)
    refreshed = replicas.refreshed[source].at[-1].set(True)
    stats = {"swap_acceptance": accept.mean(), "round_trip": refreshed[0]}
    betas, rejections = _adapt_ladder(replicas.betas, replicas.rejections + 1.0 - accept, sweeps + 1, num_warmup)
    moved = jax.tree.map(lambda leaf: leaf[source], params)
    return Replicas(moved, betas, rejections, refreshed.at[0].set(False)), (values[0], stats)


def _log_likelihood_given_z(params: Params, stats: Stats) -> Float[Array, ""]:
    """``log p(x | z, θ)`` from the statistics of z."""
    num, dim = params.means.shape
    seen = flat_prior(num, dim).components.update(stats)
    kernel = seen.log_kernel(params.means, inverse_tril(params.scale_trils), log_diagonal_sum(params.scale_trils))
    return kernel - 0.5 * dim * math.log(2.0 * math.pi) * stats.counts.sum()


def _adapt_ladder(
    betas: Array, rejections: Array, sweeps: Int[Array, ""], num_warmup: Int[Array, ""]
) -> tuple[Array, Array]:
    """The ladder with equal rejection rates, from the cumulative rejections along it (Syed et al. 2022, algorithm 2).

    It changes after `FIRST_ADAPTATION` sweeps, and whenever their number has doubled, during warm-up.
    """
    power = jnp.round(jnp.log2(sweeps / FIRST_ADAPTATION)).astype(int)
    due = (sweeps == FIRST_ADAPTATION * 2 ** jnp.maximum(power, 0)) & (sweeps <= num_warmup)
    steps = rejections + 1e-3 * (1.0 + rejections.sum())  # positive, also for a pair that never rejects
    barrier = jnp.append(jnp.zeros(1, steps.dtype), jnp.cumsum(steps))
    even = jnp.linspace(0.0, 1.0, len(betas), dtype=betas.dtype) * barrier[-1]
    placed = jnp.interp(even, barrier, betas).at[0].set(1.0).at[-1].set(betas[-1])
    return jnp.where(due, placed, betas), jnp.where(due, 0.0, rejections)
