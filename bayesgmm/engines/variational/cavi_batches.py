"""The stochastic phase of CAVI: steps on random batches of rows (Hoffman, Blei, Wang & Paisley 2013)."""

from typing import NamedTuple

import jax.numpy as jnp
import jax.random as jr
from jax import lax
from jaxtyping import Float

from bayesgmm.engines.step import KERNELS, no_term, step
from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import outer
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows

DELAY, FORGETTING = 10.0, 0.7
"""Step t moves the statistics by a share of ``(t + DELAY)^-FORGETTING``."""
CAVI = KERNELS["cavi"]._replace(prior_term=no_term)
FIRST = CAVI._replace(score=log_joint_scorer)
"""Gives the first q(θ) from a θ: z is averaged as in EM."""


class Running(NamedTuple):
    """q(θ), and the running average of the statistics behind it."""

    q: Belief
    stats: Stats


class Averaged(NamedTuple):
    """A prior whose posterior uses a running average of the batch statistics."""

    prior: Belief
    past: Stats
    move: Float[Array, ""]
    """How far the average moves towards the next batch."""
    share: Float[Array, ""]
    """Ratio of all rows to the rows of a batch."""

    @property
    def diagonal(self) -> bool:
        """Whether all covariances are diagonal."""
        return self.prior.diagonal

    def average(self, seen: Stats) -> Stats:
        """The average after a batch. The batch counts as if it were all rows."""
        return _pool(_weigh(self.past, 1.0 - self.move), _weigh(seen, self.move * self.share))

    def update(self, seen: Stats) -> Belief:
        """The posterior of θ given the average after a batch."""
        return self.prior.update(self.average(seen))


def _batch_of(key, rows: Rows, batch_size: int) -> Rows:
    return rows.take(jr.randint(key, (batch_size,), 0, rows.num_rows))


def _first_batch(keys, starts: Params, prior: Belief, rows: Rows, batch_size: int) -> Running:
    """q(θ) of each start, from one batch."""
    share = jnp.asarray(rows.num_rows, rows.dtype) / batch_size

    def one(inputs):
        key, start = inputs
        counts, means, scatters = (jnp.zeros_like(part) for part in start)
        averaged = Averaged(prior, Stats(counts, means, scatters, 0.0 * share), jnp.ones_like(share), share)
        q, seen = step(FIRST, key, start, averaged, _batch_of(key, rows, batch_size))
        return Running(q, averaged.average(seen.stats))

    return lax.map(one, (keys, starts))


def _batches(keys, running: Running, prior: Belief, rows: Rows, first, last, batch_size: int) -> Running:
    """Stochastic steps `first` to `last` of each start."""
    share = jnp.asarray(rows.num_rows, rows.dtype) / batch_size

    def one(inputs):
        key, running = inputs

        def iterate(t, running):
            key_t = jr.fold_in(key, t)
            averaged = Averaged(prior, running.stats, jnp.asarray(t + DELAY, rows.dtype) ** -FORGETTING, share)
            q, seen = step(CAVI, key_t, running.q, averaged, _batch_of(key_t, rows, batch_size))
            return Running(q, averaged.average(seen.stats))

        return lax.fori_loop(first, last, iterate, running)

    return lax.map(one, (keys, running))


def _weigh(stats: Stats, weight) -> Stats:
    return Stats(weight * stats.counts, stats.means, weight * stats.scatters, weight * stats.value)


def _pool(one: Stats, two: Stats) -> Stats:
    """Combined statistics of two sets of rows (Chan, Golub & LeVeque 1983)."""
    counts = one.counts + two.counts
    share = two.counts / jnp.where(counts > 0, counts, 1.0)
    apart = two.means - one.means
    scatters = one.scatters + two.scatters + (one.counts * share)[:, None, None] * outer(apart)
    return Stats(counts, one.means + share[:, None] * apart, scatters, one.value + two.value)


FIRST_BATCH = Program(_first_batch, static=("batch_size",))
BATCHES = Program(_batches, static=("batch_size",))
