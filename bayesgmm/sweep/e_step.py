"""z given θ, from the scores of a block of rows: averaged (responsibilities), maximised, or drawn."""

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


def _normalise(scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    top = jnp.max(scores, axis=0)
    joint = jnp.exp(scores - top)
    total = jnp.sum(joint, axis=0)
    return joint * (1.0 / total), top + jnp.log(total)
