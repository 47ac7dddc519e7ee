"""The stochastic phase of CAVI: steps on random batches of rows (Hoffman, Blei, Wang & Paisley 2013)."""

import jax.numpy as jnp
import jax.random as jr
from jax import lax

from bayesgmm.engines.mini_batches import DELAY, FORGETTING, Running, moved, weigh
from bayesgmm.engines.step import KERNELS, no_term, step
from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Params, Stats
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.mini_batches import Cut

CAVI = KERNELS["cavi"]._replace(prior_term=no_term)
FIRST = CAVI._replace(score=log_joint_scorer)
"""Gives the first q(θ) from a θ: z is averaged as in EM."""


def _batch_of(key, rows: Rows, batch_size: int) -> Rows:
    return rows.take(jr.randint(key, (batch_size,), 0, rows.num_rows))


def _first_batch(keys, starts: Params, prior: Belief, rows: Rows, batch_size: int) -> Running:
    """q(θ) of each start, from one batch."""
    share = jnp.asarray(rows.num_rows, rows.dtype) / batch_size

    def one(inputs):
        key, start = inputs
        counts, means, scatters = (jnp.zeros_like(part) for part in start)
        nothing = Stats(counts, means, scatters, 0.0 * share)
        batch = _batch_of(key, rows, batch_size)
        return moved(FIRST, key, Running(start, nothing), prior, batch, jnp.ones_like(share), share)[0]

    return lax.map(one, (keys, starts))


def _batches(keys, running: Running, prior: Belief, rows: Rows, first, last, batch_size: int) -> Running:
    """Stochastic steps `first` to `last` of each start."""
    share = jnp.asarray(rows.num_rows, rows.dtype) / batch_size

    def one(inputs):
        key, running = inputs

        def iterate(t, running):
            key_t = jr.fold_in(key, t)
            batch = _batch_of(key_t, rows, batch_size)
            return moved(CAVI, key_t, running, prior, batch, _move(t, rows.dtype), share)[0]

        return lax.fori_loop(first, last, iterate, running)

    return lax.map(one, (keys, running))


def _from_sample(q: Belief, prior: Belief, few: Rows, num_rows) -> Running:
    """Each q(θ) with the statistics of some rows, which stand for all."""

    def one(q):
        stats = step(CAVI, jr.key(0), q, prior, few)[1].stats
        return Running(q, weigh(stats, num_rows / few.num_rows))

    return lax.map(one, q)


def _streamed(running: Running, prior: Belief, batches: Cut, first, num, num_rows, size) -> Running:
    """Stochastic steps of each start on `num` batches in the order of the rows; all starts share them."""

    def one(running):
        def iterate(i, running):
            count = batches.size(i)
            move = _move(first + i, count.dtype) * count / size
            return moved(CAVI, jr.key(0), running, prior, batches.batch(i), move, num_rows / count)[0]

        return lax.fori_loop(0, num, iterate, running)

    return lax.map(one, running)


def _move(t, dtype):
    return jnp.asarray(t + DELAY, dtype) ** -FORGETTING


FIRST_BATCH = Program(_first_batch, static=("batch_size",))
BATCHES = Program(_batches, static=("batch_size",))
FROM_SAMPLE = Program(_from_sample)
STREAMED = Program(_streamed)
