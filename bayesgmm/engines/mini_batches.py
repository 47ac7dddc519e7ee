"""Steps on mini-batches of rows: the statistics of a batch move a running average, which stands for all rows.

Online EM (Cappé & Moulines 2009) and stochastic variational inference (Hoffman, Blei, Wang & Paisley 2013) are
this step with the kernels of EM and CAVI: ``s ← (1 - γ) s + γ (N/B) s(batch; θ)``, and then θ from s as from the
statistics of all rows.
"""

from collections.abc import Generator
from contextlib import closing
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.data.table import Table
from bayesgmm.engines.step import Iteration, Kernel, step
from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import outer
from bayesgmm.priors.prior import Belief
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.mini_batches import Batches, Drawn
from bayesgmm.sweep.passed import HostRows
from bayesgmm.sweep.rows import padded_size

DELAY, FORGETTING = 10.0, 0.7
"""Step t moves the statistics by a share of ``(t + DELAY)^-FORGETTING``."""


def check_batches(name: str, table: Table) -> None:
    """Refuse rows that are away and cannot be read in batches.

    Raises
    ------
    ArgumentError
        If they are in Dask or of several processes.
    """
    if not table.has_batches:
        raise ArgumentError(
            f"{name} reads no batches of rows {table.place}: each pass goes over all of them. EM, CAVI, Gibbs and NUTS "
            "take such rows without batch_size."
        )


CHUNK_ROWS = 2**18
"""Rows of the batches that one program steps through, about: between two there is time for progress and Ctrl-C."""


class Running(NamedTuple):
    """θ (or q(θ)), and the running average of the statistics behind it."""

    theta: Any
    stats: Stats


class Averaged(NamedTuple):
    """A prior whose posterior uses a running average of the batch statistics."""

    prior: Any
    """A `Belief`, or another object with its ``diagonal`` and ``update``."""
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
        return pool(weigh(self.past, 1.0 - self.move), weigh(seen, self.move * self.share))

    def update(self, seen: Stats) -> Belief:
        """The posterior of θ given the average after a batch."""
        return self.prior.update(self.average(seen))


def moved(
    kernel: Kernel, key: PRNGKeyArray, running: Running, prior: Any, batch: Rows, move: Array, share: Array
) -> tuple[Running, Iteration]:
    """One step on a batch: z of its rows given θ, the average of the statistics, and θ given that."""
    averaged = Averaged(prior, running.stats, move, share)
    theta, seen = step(kernel, key, running.theta, averaged, batch)
    return Running(theta, averaged.average(seen.stats)), seen


def in_order(rows: HostRows, size: int) -> Generator[tuple[Batches, int]]:
    """The batches of one pass over rows on the host, and how many there are; the last batch may be smaller."""
    with closing(rows.batches(size)) as found:
        for some in found:
            yield some, int((np.asarray(some.num_rows) > 0).sum())


def shuffled(rows: Rows, num_rows: int, size: int, rng: np.random.Generator) -> Generator[tuple[Batches, int]]:
    """The batches of one pass over rows in memory, in random order, and how many there are.

    All have `size` rows: the last one is filled up with rows of the first ones.
    """
    order = rng.permutation(num_rows)
    num = -(-num_rows // size)
    index = np.concatenate([order, order[: num * size - num_rows]]).reshape(num, size)
    most = min(padded_size(num), max(1, CHUNK_ROWS // size))
    for first in range(0, num, most):
        some = index[first : first + most]
        filled = np.concatenate([some, np.zeros((most - len(some), size), some.dtype)])
        yield Drawn(rows, filled), len(some)


def weigh(stats: Stats, weight: Any) -> Stats:
    """Statistics in which each row counts so much."""
    return Stats(weight * stats.counts, stats.means, weight * stats.scatters, weight * stats.value)


def pool(one: Stats, two: Stats) -> Stats:
    """Combined statistics of two sets of rows (Chan, Golub & LeVeque 1983)."""
    counts = one.counts + two.counts
    share = two.counts / jnp.where(counts > 0, counts, 1.0)
    apart = two.means - one.means
    scatters = one.scatters + two.scatters + (one.counts * share)[:, None, None] * outer(apart)
    return Stats(counts, one.means + share[:, None] * apart, scatters, one.value + two.value)
