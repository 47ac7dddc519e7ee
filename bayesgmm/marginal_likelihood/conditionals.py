"""The proposal of bridge sampling: a mixture of posteriors of θ given z, over draws of z and all permutations.

``q(θ) = (1/S) Σ_s (1/K!) Σ_ρ p(ρ(θ) | z_s, x)`` (Frühwirth-Schnatter 2004; 2019, section 3.2). The components of a
posterior given z are independent up to their weights, so that the sum over permutations is the permanent of a K × K
matrix.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jax.scipy.special import logsumexp
from jaxtyping import Bool, Float, Int, Key

from bayesgmm.engines.step import KERNELS, keep, no_term, step
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.permanents import log_permanents
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.likelihood import log_posterior

NUM_CONDITIONALS = 100
"""S, the posteriors given z in the mixture."""
TOGETHER = 2**20
"""Numbers (θ, posterior given z, pair of components) held in memory at a time, times D."""
KERNEL = KERNELS["gibbs"]._replace(estimate=keep, prior_term=no_term)
"""Draw z; keep the posterior of θ given z."""


class Conditionals(NamedTuple):
    """S posteriors of θ given z (leading axis), standardised."""

    given: Belief
    log_normalisers: Float[Array, "S"]
    """Constants of their densities."""


def _conditionals(keys: Key[Array, "S"], params: Params, prior: Belief, rows: Rows) -> Conditionals:
    """The posterior given a draw of z, for each θ (leading axis)."""

    def one(pair: tuple[Any, Params]) -> Conditionals:
        (key_z, key_scale), theta = jr.split(pair[0]), pair[1]
        posterior, _ = step(KERNEL, key_z, theta, prior, rows)
        given = posterior._replace(components=posterior.components.frozen(key_scale, theta))
        return Conditionals(given, given.weights.log_normaliser() + given.components.log_normaliser())

    return lax.map(one, (keys, params))


def _log_densities(params: Params, mixture: Conditionals, alike: Bool[Array, "K K"]) -> Float[Array, "T"]:
    """``log q(θ)`` of each θ (leading axis), over weights, means and free covariances."""
    num, count = params.means.shape[1], len(mixture.log_normalisers)
    allowed = jnp.where(alike, 0.0, -jnp.inf)
    constant = math.log(count) + log_permanents(allowed)

    def given_one(theta: Params, belief: Belief) -> Float[Array, ""]:
        excess = jnp.asarray(belief.weights.concentration)[:, None] - 1.0
        logs = jnp.where(excess == 0.0, 0.0, excess * jnp.log(theta.weights))
        return log_permanents(logs + belief.components.cross_kernels(theta.means, theta.scale_trils) + allowed)

    def one(theta: Params) -> Float[Array, ""]:
        kernels = jax.vmap(partial(given_one, theta))(mixture.given)
        return logsumexp(kernels + mixture.log_normalisers) - constant

    size = count * max(num * num, 2 ** (num - 1)) * params.means.shape[2]
    return lax.map(one, params, batch_size=min(max(1, TOGETHER // size), len(params.weights)))


def _proposals(keys: Key[Array, "T"], chosen: Int[Array, "T"], mixture: Conditionals) -> Params:
    """A draw of θ from each of the chosen posteriors given z.

    Without a random permutation: the densities of posterior and mixture are the same for all.
    """

    def one(key: Any, index: Array) -> Params:
        given = jax.tree.map(lambda leaf: leaf[index], mixture.given)
        return given.sample(key)

    return jax.vmap(one)(keys, chosen)


def _log_targets(params: Params, prior: Belief, rows: Rows) -> Float[Array, "T"]:
    """``log p(x | θ) + log p(θ)`` of each θ (leading axis), standardised, without the constant of the prior."""
    return lax.map(lambda theta: log_posterior(theta, prior, rows), params)


CONDITIONALS = Program(_conditionals)
LOG_DENSITIES = Program(_log_densities)
PROPOSALS = Program(_proposals)
LOG_TARGETS = Program(_log_targets)


def spread_out(count: int, most: int) -> np.ndarray:
    """Places of at most `most` of `count` draws, evenly spaced."""
    return (np.arange(min(count, most)) * (count / min(count, most))).astype(int)
