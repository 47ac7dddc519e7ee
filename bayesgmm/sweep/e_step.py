"""z given θ, from the scores of a block of rows: averaged (responsibilities, also annealed), maximised, or drawn."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.numerics.arrays import Array

Assign = Callable[..., tuple[Float[Array, "K n"], Float[Array, "n"]]]
"""Key, scores, how often each row counts (None: once) → (z of a row that counts once, value of such a row)."""


def average(
    key: PRNGKeyArray, scores: Float[Array, "K n"], counted: Float[Array, "n"] | None = None
) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """E-step: responsibilities and the log density of each row."""
    del key, counted
    joint, log_density = _normalise(scores)
    return joint, log_density


def maximise(
    key: PRNGKeyArray, scores: Float[Array, "K n"], counted: Float[Array, "n"] | None = None
) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """The most probable z, and the classification log-likelihood of each row (Celeux & Govaert 1992)."""
    del key, counted
    best = jnp.argmax(scores, axis=0)
    return jax.nn.one_hot(best, scores.shape[0], axis=0, dtype=scores.dtype), jnp.max(scores, axis=0)


def draw(
    key: PRNGKeyArray, scores: Float[Array, "K n"], counted: Float[Array, "n"] | None = None
) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """A draw of z from its conditional (one uniform number per row), and the log density of each row.

    A row that counts k times has a z for each: the counts of its classes are drawn at once, and divided by k.
    """
    if counted is not None:
        return draw_copies(key, scores, counted, num=1)
    probabilities, log_density = _normalise(scores)
    upper = jnp.cumsum(probabilities, axis=0)
    threshold = jr.uniform(key, scores.shape[1:], scores.dtype) * upper[-1]
    below = (threshold < upper).astype(scores.dtype)
    return jnp.diff(below, axis=0, prepend=jnp.zeros_like(below[:1])), log_density


def anneal(
    key: PRNGKeyArray,
    scores: Float[Array, "K n"],
    counted: Float[Array, "n"] | None = None,
    *,
    beta: Float[Array, ""],
) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """Responsibilities to the power β, normalised (Ueda & Nakano 1998, eq. 14), and the log density of each row."""
    del key, counted
    return _normalise(beta * scores)[0], _normalise(scores)[1]


def draw_copies(
    key: PRNGKeyArray,
    scores: Float[Array, "K n"],
    counted: Float[Array, "n"] | None = None,
    *,
    num: Float[Array, ""] | int,
) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    """The mean of `num` draws of z, and the log density of each row: counts of the classes, class by class."""
    probabilities, log_density = _normalise(scores)
    tiny = jnp.finfo(scores.dtype).tiny

    def take(state: tuple[Array, Array], at: tuple[Array, Array]) -> tuple[tuple[Array, Array], Array]:
        (left, rest), (k, share) = state, at
        chance = jnp.clip(share / jnp.maximum(rest, tiny), 0.0, 1.0)
        count = jr.binomial(jr.fold_in(key, k), left, chance, dtype=scores.dtype)
        return (left - count, rest - share), count

    total = jnp.full(scores.shape[1:], num, scores.dtype) * (1.0 if counted is None else counted)
    begin = total, jnp.ones(scores.shape[1:], scores.dtype)
    (left, _), counts = lax.scan(take, begin, (jnp.arange(len(scores) - 1), probabilities[:-1]))
    return jnp.concatenate([counts, left[None]]) / jnp.maximum(total, tiny), log_density


def _normalise(scores: Float[Array, "K n"]) -> tuple[Float[Array, "K n"], Float[Array, "n"]]:
    top = jnp.max(scores, axis=0)
    joint = jnp.exp(scores - top)
    total = jnp.sum(joint, axis=0)
    return joint * (1.0 / total), top + jnp.log(total)


DRAWN = (draw,)
"""Assignments that draw z. Of rows with gaps or errors, the true rows are then drawn too."""
