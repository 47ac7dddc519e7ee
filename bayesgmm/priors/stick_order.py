"""Gibbs under a prior by breaking sticks: the order of the components given the partition, then θ.

Under such a prior the order of the components is part of the state. Updates of z given θ hardly change it: rows of one
cluster would have to move to another component one by one. So each update of θ begins with a Metropolis step for the
order, with weights, and nothing else, integrated out (Papaspiliopoulos & Roberts 2008 and Hastie, Liverani & Richardson
2015 exchange the labels of two components). The proposal is a new order of all components, drawn by size without
replacement: the size of a component is its number of rows, and those without rows share α. That is close to the
distribution of the order given the partition, ``∝ Γ(α + N_K) / Γ(1 + N_K) Π_{1<k<K} 1 / (α + Σ_{j≥k} N_j)`` with one α,
so that most proposals are accepted.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.gammas import log_gamma_ratio
from bayesgmm.priors.stick_breaking import StickBreaking, tails


class Reordered(NamedTuple):
    """A prior whose sticks alone tell the components apart; its posterior given z draws their order first."""

    prior: Any
    """A `Belief`."""

    @property
    def diagonal(self) -> bool:
        """Whether all covariances are known to be diagonal."""
        return self.prior.diagonal

    def update(self, stats: Stats) -> "ReorderedGivenZ":
        """The posterior given the statistics of z."""
        return ReorderedGivenZ(self.prior, stats)

    def log_kernel(self, params: Params) -> Float[Array, ""]:
        """``log p(θ)`` without its constant."""
        return self.prior.log_kernel(params)


class ReorderedGivenZ(NamedTuple):
    """The posterior given a partition, of θ and of the order of the components."""

    prior: Any
    stats: Stats

    def sample(self, key: PRNGKeyArray, present: Params) -> Params:
        """Draw the order, then θ."""
        key_order, key_theta = jr.split(key)
        order = draw_order(key_order, self.prior.weights, self.stats.counts)
        moved = {name: getattr(self.stats, name)[order] for name in ("counts", "means", "scatters")}
        present = Params(*(part[order] for part in present))
        return self.prior.update(self.stats._replace(**moved)).sample(key_theta, present)


def draw_order(key: PRNGKeyArray, prior: StickBreaking, counts: Float[Array, "K"]) -> Int[Array, "K"]:
    """One Metropolis step for the order, from the present one."""
    key_order, key_uniform = jr.split(key)
    order = size_biased_order(key_order, prior, counts)
    log_uniform = jnp.log(jr.uniform(key_uniform, (), counts.dtype))
    return jnp.where(log_uniform < log_order_ratio(prior, counts, counts[order]), order, jnp.arange(len(counts)))


def size_biased_order(key: PRNGKeyArray, prior: StickBreaking, counts: Float[Array, "K"]) -> Int[Array, "K"]:
    """An order by size without replacement: that of log sizes with Gumbel noise (Yellott 1977)."""
    logs = jnp.log(_sizes(prior, counts))
    return jnp.argsort(-(logs + jr.gumbel(key, logs.shape, logs.dtype)))


def log_order_ratio(prior: StickBreaking, now: Float[Array, "K"], new: Float[Array, "K"]) -> Float[Array, ""]:
    """Log of the Metropolis-Hastings ratio of the counts in a new order to those in the present one."""
    return _log_importance(prior, new) - _log_importance(prior, now)


def _log_importance(prior: StickBreaking, counts: Float[Array, "K"]) -> Float[Array, ""]:
    """Log probability of z in this order, over that of drawing the order, without what all orders share."""
    counts, alpha = jnp.asarray(counts), jnp.asarray(prior.alpha)
    left = tails(counts)
    first = jnp.broadcast_to(jnp.asarray(prior.first), alpha.shape)
    if not alpha.size:
        return jnp.zeros((), left.dtype)
    # Σ log Γ(first + N) + log Γ(α + R') - log Γ(first + α + R), less Σ log Γ(1 + N), which all orders share. Ratios of
    # gamma functions keep the digits that their logs, of the size of N log N, lose in single precision.
    log_probability = jnp.sum(log_gamma_ratio(1.0 + counts[:-1], first - 1.0))
    log_probability += log_gamma_ratio(1.0 + counts[-1], alpha[-1] - 1.0)
    log_probability -= jnp.sum(log_gamma_ratio(alpha[:-1] + left[1:-1], first[1:] + alpha[1:] - alpha[:-1]))
    return log_probability + jnp.sum(jnp.log(tails(_sizes(prior, counts))))


def _sizes(prior: StickBreaking, counts: Float[Array, "K"]) -> Float[Array, "K"]:
    """The counts; α, divided among the components without rows."""
    empty = jnp.asarray(counts) <= 0.0
    return jnp.where(empty, jnp.mean(jnp.asarray(prior.alpha)) / jnp.maximum(jnp.sum(empty), 1), counts)
