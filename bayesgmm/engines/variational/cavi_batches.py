"""CAVI's stochastic beginning: steps on random batches of rows (Hoffman, Blei, Wang & Paisley 2013)."""

import jax.numpy as jnp
import jax.random as jr
from jax import lax

from bayesgmm.engines.kernels import KERNELS, expect, mixture_stats
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.linalg import outer
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.statistics import Rows

DELAY, FORGETTING = 10.0, 0.7
"""Step t moves the statistics by a share of ``(t + DELAY)^-FORGETTING``."""


def _batch_of(key, rows: Rows, num_rows, batch_size: int) -> Rows:
    return rows.take(jr.randint(key, (batch_size,), 0, num_rows))


def _first_batch(keys, starts: Params, rows: Rows, num_rows, batch_size: int) -> Stats:
    """Statistics of a batch under each start, counted as if it were all rows."""
    share = jnp.asarray(num_rows, rows.dtype) / batch_size

    def one(inputs):
        key, start = inputs
        return _weigh(mixture_stats(start, _batch_of(key, rows, num_rows, batch_size)), share)

    return lax.map(one, (keys, starts))


def _batches(keys, stats: Stats, prior: Belief, rows: Rows, num_rows, first, last, batch_size: int) -> Stats:
    """Stochastic steps `first` to `last` of each start, from the statistics that its q rests on."""
    share = jnp.asarray(num_rows, rows.dtype) / batch_size

    def one(inputs):
        key, stats = inputs

        def turn(t, stats):
            batch = _batch_of(jr.fold_in(key, t), rows, num_rows, batch_size)
            seen = expect(KERNELS["cavi"], jr.key(0), prior.update(stats), batch)
            step = jnp.asarray(t + DELAY, rows.dtype) ** -FORGETTING
            return _pool(_weigh(stats, 1.0 - step), _weigh(seen, step * share))

        return lax.fori_loop(first, last, turn, stats)

    return lax.map(one, (keys, stats))


def _weigh(stats: Stats, weight) -> Stats:
    return Stats(weight * stats.counts, stats.means, weight * stats.scatters, weight * stats.value)


def _pool(one: Stats, two: Stats) -> Stats:
    """Statistics of two sets of rows together (Chan, Golub & LeVeque 1983)."""
    counts = one.counts + two.counts
    share = two.counts / jnp.where(counts > 0, counts, 1.0)
    apart = two.means - one.means
    scatters = one.scatters + two.scatters + (one.counts * share)[:, None, None] * outer(apart)
    return Stats(counts, one.means + share[:, None] * apart, scatters, one.value + two.value)


FIRST_BATCH = Program(_first_batch, static=("batch_size",))
BATCHES = Program(_batches, static=("batch_size",))
