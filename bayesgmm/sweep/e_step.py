"""z given θ, from the scores of a block of rows: averaged (responsibilities, also annealed), maximised, or drawn."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.numerics.arrays import Array

Assign = Callable[[PRNGKeyArray, Float[Array, "K n"]], tuple[Float[Array, "K n"], Float[Array, "n"]]]
"""Scores → (assignments z, contribution of each row to the objective)."""


def average(key: PRNGKeyArray, scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """E-step: responsibilities and the log density of each row."""
    del key
    joint, log_density = _normalise(scores)
    return joint, log_density


def maximise(key: PRNGKeyArray, scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """The most probable z, and the classification log-likelihood of each row (Celeux & Govaert 1992)."""
    del key
    best = jnp.argmax(scores, axis=0)
    return jax.nn.one_hot(best, scores.shape[0], axis=0, dtype=scores.dtype), jnp.max(scores, axis=0)


def draw(key: PRNGKeyArray, scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """A draw of z from its conditional (one uniform number per row), and the log density of each row."""
    probabilities, log_density = _normalise(scores)
    upper = jnp.cumsum(probabilities, axis=0)
    threshold = jr.uniform(key, scores.shape[1:], scores.dtype) * upper[-1]
    below = (threshold < upper).astype(scores.dtype)
    return jnp.diff(below, axis=0, prepend=jnp.zeros_like(below[:1])), log_density


def anneal(
    key: PRNGKeyArray, scores: Float[Array, "K n"], beta: Float[Array, ""]
) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """Responsibilities to the power β, normalised (Ueda & Nakano 1998, eq. 14), and the log density of each row."""
    del key
    return _normalise(beta * scores)[0], _normalise(scores)[1]


def draw_copies(
    key: PRNGKeyArray, scores: Float[Array, "K n"], num: Float[Array, ""] | int
) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """The mean of `num` draws of z, and the log density of each row: counts of the classes, class by class."""
    probabilities, log_density = _normalise(scores)
    left = jnp.full(scores.shape[1:], num, scores.dtype)
    rest = jnp.ones_like(left)
    counts = []
    for k, share in enumerate(probabilities[:-1]):
        chance = jnp.clip(share / jnp.maximum(rest, jnp.finfo(scores.dtype).tiny), 0.0, 1.0)
        counts.append(jr.binomial(jr.fold_in(key, k), left, chance, dtype=scores.dtype))
        left, rest = left - counts[-1], rest - share
    return jnp.stack([*counts, left]) / num, log_density


def _normalise(scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    top = jnp.max(scores, axis=0)
    joint = jnp.exp(scores - top)
    total = jnp.sum(joint, axis=0)
    return joint * (1.0 / total), top + jnp.log(total)
