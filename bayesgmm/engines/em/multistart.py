"""Multi-start: a few iterations from many starts, then full runs from the best (Biernacki, Celeux & Govaert 2003)."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.engines.em.ascent import BATCHED_ROWS, TRACED, ascend, begin, run_ascents, shapes_of_ascents, usable
from bayesgmm.engines.em.ascent_state import (
    COLLAPSED,
    CONVERGED,
    FAILED,
    MAX_ITER,
    PRUNED,
    ROUNDING,
    RUNNING,
    Ascent,
    Limits,
)
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.arguments import as_key, host_generator, split_key
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program, compile_ahead
from bayesgmm.sweep.rows import Rows, to_rows

SHORT = 15
"""Iterations of each start before pruning."""
LANES = 16
"""Starts that run in parallel on small data: one shape, hence one compilation, whatever the number of starts."""


def carried_on(num_starts: int) -> int:
    """Number of starts that continue after their short run."""
    return min(max(4, num_starts // 4), LANES, num_starts)


def prepare_search(init: Any, num_starts: int, problem: Problem, tol: float, max_iter: int) -> None:
    """Compile in another thread what `search` will run, if these arguments lead to it and the data are small."""

    def work() -> None:
        num = -(-num_starts // LANES) * LANES
        ascents = shapes_of_ascents(num, problem.standard_prior, problem.dtype)
        ascents = ascents.with_status(np.zeros(num, int))
        limits = (np.asarray(0.0, problem.dtype), *(np.asarray(0),) * 4)
        _SHORT_AND_LONG.prepare(as_key(0), ascents, problem.standard_prior, problem.rows, *limits)

    searched = isinstance(init, str) and init in ("auto", "k-means++", "random") and num_starts > 1 and tol > 0
    if searched and problem.rows.capacity <= BATCHED_ROWS:
        compile_ahead(f"search {num_starts}", (problem.standard_prior, problem.rows), work)


def search(
    key: PRNGKeyArray,
    starts: Params,
    problem: Problem,
    tol: float,
    max_iter: int,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Ascent, bool]:
    """Short runs of EM from all starts, then full runs from the best.

    With many rows the short runs use a subsample, and only the full runs use all the data. Returns all ascents, on the
    host, and whether Ctrl-C interrupted the search.
    """
    key_rows, key_short, key_long = split_key(key, 3)
    keep = carried_on(len(starts.weights))
    if problem.rows.capacity <= BATCHED_ROWS:
        first = min(max_iter, TRACED - 1)
        ascents, interrupted = _restarts(key_short, starts, problem.rows, problem, tol, first, SHORT, keep)
        if max_iter > first and not interrupted:
            ascents, interrupted = _further(key_long, ascents, problem, tol, max_iter, report)
        report(int(ascents.iteration.max()))
        return ascents, interrupted
    few = to_rows(subsample(key_rows, problem.table.values), problem.frame, problem.dtype)
    scouts, _ = _restarts(key_short, starts, few, problem, tol, max_iter, 4 * SHORT, 0)
    return _carry_on(key_long, scouts, keep, problem, tol, max_iter, report)


def _further(key, ascents: Ascent, problem: Problem, tol, max_iter: int, report) -> tuple[Ascent, bool]:
    """Ascents that have filled the space for their traces go on."""
    ascents = ascents.with_status(np.where(ascents.status == MAX_ITER, RUNNING, ascents.status))
    if not (ascents.status == RUNNING).any():
        return ascents, False
    return run_ascents(
        key, ascents, problem.standard_prior, problem.rows, tol, max_iter, "em", True, report=report
    )  # fmt: skip


def _carry_on(key, scouts: Ascent, keep: int, problem: Problem, tol, max_iter: int, report) -> tuple[Ascent, bool]:
    """Full runs on all rows from the best `keep` short runs (``scouts``); if all of them fail, from the next best."""
    ranked = np.argsort(np.where(usable(scouts), -scouts.objective, np.inf), kind="stable")
    tried: list[Ascent] = []
    interrupted = False
    for first in range(0, len(ranked), keep):
        chosen = ranked[first : first + keep]
        starts = jax.tree.map(lambda leaf, chosen=chosen: leaf[chosen], scouts.params)
        ascents, interrupted = run_ascents(
            key, begin(starts, problem.standard_prior, True), problem.standard_prior, problem.rows, tol,
            max_iter, "em", True, report=report,
        )  # fmt: skip
        tried.append(to_numpy(ascents))
        if interrupted or not np.isin(tried[-1].status, FAILED).all():
            break
    longest = max(one.trace.shape[1] for one in tried)
    tried = [one.with_trace(np.pad(one.trace, ((0, 0), (0, longest - one.trace.shape[1])))) for one in tried]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *tried), interrupted


def _restarts(key, starts: Params, rows: Rows, problem: Problem, tol, max_iter, short: int, keep: int):
    """Short runs from every start, and full runs from the best `keep` (none if 0), in one compiled program.

    A start that ended without failure in its short run counts as one of the `keep`. If all of these fail, the next best
    replace them. Returns the ascents, and whether Ctrl-C interrupted the search.
    """
    num_starts = len(starts.weights)
    groups = -(-num_starts // LANES)
    lanes = np.minimum(np.arange(groups * LANES), num_starts - 1)
    filled = jax.tree.map(lambda leaf: np.asarray(leaf)[lanes], starts)
    ascents = begin(filled, problem.standard_prior, True)
    # Lanes that only fill up the last group do not run.
    ascents = ascents.with_status(np.where(np.arange(len(lanes)) < num_starts, RUNNING, COLLAPSED))
    limits = np.asarray(tol, problem.dtype), np.asarray(max_iter), np.asarray(short), np.asarray(keep)
    first = 0
    with interruptible() as stop:
        while True:
            ascents = _SHORT_AND_LONG(key, ascents, problem.standard_prior, rows, *limits, np.asarray(first))
            statuses = np.asarray(ascents.status)[:num_starts]
            ended, left = np.isin(statuses, (CONVERGED, MAX_ITER, ROUNDING)).any(), (statuses == PRUNED).any()
            if stop.is_set() or keep == 0 or ended or not left:
                break
            first = groups
        cut = stop.is_set() and bool((statuses == RUNNING).any())
    return jax.tree.map(lambda leaf: leaf[:num_starts], to_numpy(ascents)), cut


def _short_and_long(key, ascents: Ascent, prior: Belief, rows: Rows, tol, max_iter, short, keep, first) -> Ascent:
    """Rounds of `LANES` starts in parallel, from round ``first`` on. The last round is the full run of the best.

    One loop runs all rounds, so that an iteration is compiled once.
    """
    groups = len(ascents.status) // LANES
    keys = jr.split(key, LANES)
    priors = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (LANES, *jnp.shape(leaf))), prior)

    def round_(i, ascents):
        last = i == groups
        best, pruned = _prune(ascents, keep)
        chosen = jnp.where(last, best, i * LANES + jnp.arange(LANES))
        ascents = ascents.with_status(jnp.where(last, pruned, ascents.status))
        mine = jax.tree.map(lambda leaf: leaf[chosen], ascents)
        limits = Limits(tol, max_iter, jnp.where(last, max_iter, short))
        mine = ascend(keys, mine, priors, rows, limits, kernel="em", batched=True, accelerate=True)
        return jax.tree.map(lambda all_, some: all_.at[chosen].set(some), ascents, mine)

    return lax.fori_loop(first, groups + jnp.where(keep > 0, 1, 0), round_, ascents)


_SHORT_AND_LONG = Program(_short_and_long)


def _prune(ascents: Ascent, keep) -> tuple[Int[Array, "L"], Int[Array, "S"]]:
    """The best `LANES` starts, best first; and the statuses, with all but `keep` of them marked as pruned."""
    ended = jnp.isin(ascents.status, jnp.asarray((CONVERGED, MAX_ITER, ROUNDING)))
    waiting = jnp.isin(ascents.status, jnp.asarray((RUNNING, PRUNED)))
    best = _highest(jnp.where(ended | waiting, ascents.objective, -jnp.inf))
    among = jnp.zeros(len(waiting), bool).at[best].set(jnp.arange(LANES) < keep)
    return best, jnp.where(waiting, jnp.where(among, RUNNING, PRUNED), ascents.status)


def _highest(values: Float[Array, "S"]) -> Int[Array, "L"]:
    """Indices of the `LANES` highest values, the highest first; the first of equal ones first.

    Not by sorting: XLA cannot serialise the comparison of a sort, so that the program could not be kept on disk.
    """
    lowest = jnp.finfo(values.dtype).min

    def pick(i, carry):
        chosen, left = carry
        highest = jnp.argmax(left)
        return chosen.at[i].set(highest), left.at[highest].set(-jnp.inf)

    start = jnp.zeros(LANES, int), jnp.maximum(values, lowest)
    return lax.fori_loop(0, LANES, pick, start)[0]


def subsample(key: PRNGKeyArray, values: np.ndarray) -> np.ndarray:
    """A random subsample of `BATCHED_ROWS` rows; all rows if there are no more."""
    if len(values) <= BATCHED_ROWS:
        return values
    chosen = host_generator(key).choice(len(values), BATCHED_ROWS, replace=False)
    return values[np.sort(chosen)]
