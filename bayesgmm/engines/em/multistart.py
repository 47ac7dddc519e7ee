"""Multi-start: runs from many starts, the best to their end (Biernacki, Celeux & Govaert 2003), then moves."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.data.table import Table
from bayesgmm.engines.em.ahead import shapes_of_ascents
from bayesgmm.engines.em.ascent import BATCHED_ROWS, TRACED, ascend, begin, run_ascents
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
    usable,
)
from bayesgmm.engines.em.explore import explore, joined
from bayesgmm.engines.starts import sampled
from bayesgmm.errors import SamplingInterrupted
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, Problem
from bayesgmm.runtime.arguments import as_key, check_memory, choose_rows, split_key
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program, compile_ahead
from bayesgmm.sweep.kinds_of_rows import Rows, rows_of

SHORT = 15
"""Iterations of each start before pruning."""
LANES = 16
"""Starts that run in parallel on small data: one shape, hence one compilation, whatever the number of starts."""

SAMPLE_TOL = 1e-3
"""Tolerance of a search on a sample of rows; all rows move the optimum by more."""
SAMPLE_ITER = 1000
"""Most iterations of each start there."""
FROM_ALL_ROWS = 4
"""Starts that go on with all rows on disk if each of them fails on the sample."""
COPIES = 20
"""Covariances of each lane that are in memory at once: of θ, its best, its M-step, statistics, before and after."""


def check_starts(model: Model, num_starts: int) -> None:
    """Refuse starts whose covariances do not fit in memory.

    Raises
    ------
    ArgumentError
        If they do not fit.
    """
    lanes = -(-num_starts // LANES) * LANES if num_starts > 1 else 1
    k, dim = model.num_components, model.table.dim
    what = f"EM from {num_starts} starts of {k} components in {dim} dimensions"
    advice = "Use fewer features (for example principal components), or n_init=1."
    check_memory(what, 8.0 * COPIES * lanes * k * dim**2, advice)


def carried_on(num_starts: int) -> int:
    """Number of starts that run to their end."""
    return min(max(2, num_starts // 8), LANES, num_starts)


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
    """EM from all starts, full runs from the best, then moves from the best optimum until none raises it (`explore`).

    With many rows short runs use a subsample, and only the full runs use all the data. Returns all ascents, on the
    host, and whether Ctrl-C interrupted the search.
    """
    key_rows, key_short, key_long = split_key(key, 3)
    keep = carried_on(len(starts.weights))
    if problem.rows.capacity <= BATCHED_ROWS:
        room = len(starts.weights)

        def run(some: Params, limit: int) -> tuple[Ascent, bool]:
            first = min(limit, TRACED - 1)
            found, cut = _restarts(key_short, some, problem.rows, problem, tol, first, SHORT, keep, room)
            return (found, cut) if cut or limit == first else _further(key_long, found, problem, tol, limit, report)

        ascents, interrupted = run(starts, max_iter)
        report(int(ascents.iteration.max()))
        return explore(ascents, interrupted, problem, run, LANES, max_iter, promising=False)
    few = rows_of(subsample(key_rows, problem.table), problem.frame, problem.dtype, problem.num_components)
    scouts, _ = _restarts(key_short, starts, few, problem, tol, max_iter, 4 * SHORT, 0, len(starts.weights))
    ascents, interrupted = _carry_on(key_long, scouts, keep, problem, tol, max_iter, report)

    def run_long(some: Params, limit: int) -> tuple[Ascent, bool]:
        return _full_runs(key_long, some, problem, tol, limit, report)

    return explore(ascents, interrupted, problem, run_long, keep, max_iter, promising=True)


def few_rows(key: PRNGKeyArray, problem: Problem) -> Problem:
    """The same problem on a sample of rows in memory: of those on disk, or of many rows; all rows, if they are few."""
    if problem.table.on_disk or problem.table.num_rows <= BATCHED_ROWS:
        return sampled(problem)
    table = subsample(key, problem.table)
    rows = rows_of(table, problem.frame, problem.dtype, problem.num_components)
    return problem._replace(model=replace(problem.model, table=table), rows=rows)


def best_of_sample(key: PRNGKeyArray, starts: Params, few: Problem, max_iter: int = SAMPLE_ITER) -> Params:
    """The start of EM over many rows: where EM from all starts ends on a sample of them; a single start as it is.

    If all of them fail on the sample, the first few starts themselves.

    Raises
    ------
    SamplingInterrupted
        If Ctrl-C stopped the search.
    """
    if len(starts.weights) == 1:
        return starts
    scouts, interrupted = search(key, starts, few, SAMPLE_TOL, max_iter)
    if interrupted:
        raise SamplingInterrupted("EM was stopped while it searched for a start. Nothing can be returned.")
    values = np.where(usable(scouts) & (scouts.status != PRUNED), scouts.objective, -np.inf)
    if not np.isfinite(values).any():  # the sample has too few rows for these covariances: all rows may have enough
        return jax.tree.map(lambda leaf: leaf[:FROM_ALL_ROWS], starts)
    best = int(values.argmax())
    return jax.tree.map(lambda leaf: leaf[best : best + 1], scouts.params)


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
        ascents, interrupted = _full_runs(key, starts, problem, tol, max_iter, report)
        tried.append(ascents)
        if interrupted or not np.isin(tried[-1].status, FAILED).all():
            break
    return joined(tried), interrupted


def _full_runs(key, starts: Params, problem: Problem, tol, max_iter: int, report) -> tuple[Ascent, bool]:
    ascents, interrupted = run_ascents(
        key, begin(starts, problem.standard_prior, True), problem.standard_prior, problem.rows, tol, max_iter, "em",
        True, report=report,
    )  # fmt: skip
    return to_numpy(ascents), interrupted


def _restarts(key, starts: Params, rows: Rows, problem: Problem, tol, max_iter, short: int, keep: int, room: int):
    """Runs from every start until the best `keep` have ended, in one compiled program for up to `room` starts.

    More than `LANES` starts, or starts of which none is to be kept (``keep=0``), have a short run first, and the best
    `LANES` continue. If all of these fail, the next best replace them. Returns the ascents, and whether Ctrl-C
    interrupted the search.
    """
    num_starts = len(starts.weights)
    groups = -(-max(room, num_starts) // LANES)
    lanes = np.minimum(np.arange(groups * LANES), num_starts - 1)
    filled = jax.tree.map(lambda leaf: np.asarray(leaf)[lanes], starts)
    ascents = begin(filled, problem.standard_prior, True)
    # Lanes that only fill up the last group do not run.
    ascents = ascents.with_status(np.where(np.arange(len(lanes)) < num_starts, RUNNING, COLLAPSED))
    numbers = np.asarray(tol, problem.dtype), np.asarray(max_iter), np.asarray(short), np.asarray(keep)
    first = groups if keep and num_starts <= LANES else 0
    with interruptible() as stop:
        while True:
            ascents = _SHORT_AND_LONG(key, ascents, problem.standard_prior, rows, *numbers, np.asarray(first))
            statuses = np.asarray(ascents.status)[:num_starts]
            ended, left = np.isin(statuses, (CONVERGED, MAX_ITER, ROUNDING)).any(), (statuses == PRUNED).any()
            if stop.is_set() or keep == 0 or ended or not left:
                break
            first = groups
        cut = stop.is_set() and bool((statuses == RUNNING).any())
    return jax.tree.map(lambda leaf: leaf[:num_starts], to_numpy(ascents)), cut


def _short_and_long(key, ascents: Ascent, prior: Belief, rows: Rows, tol, max_iter, short, keep, first) -> Ascent:
    """Rounds of `LANES` starts in parallel, from round ``first`` on. The last round is the full run of the best.

    It stops when the best `keep` have ended. One loop runs all rounds, so that an iteration is compiled once.
    """
    groups = len(ascents.status) // LANES
    keys = jr.split(key, LANES)
    priors = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (LANES, *jnp.shape(leaf))), prior)

    def round_(i, ascents):
        last = i == groups
        best, pruned = _prune(ascents)
        chosen = jnp.where(last, best, i * LANES + jnp.arange(LANES))
        ascents = ascents.with_status(jnp.where(last, pruned, ascents.status))
        mine = jax.tree.map(lambda leaf: leaf[chosen], ascents)
        limits = Limits(tol, max_iter, jnp.where(last, max_iter, short))
        leaders = jnp.where(last, keep, LANES)
        mine = ascend(keys, mine, priors, rows, limits, "em", batched=True, accelerate=True, leaders=leaders)
        mine = mine.with_status(jnp.where(last & (mine.status == RUNNING), PRUNED, mine.status))
        return jax.tree.map(lambda all_, some: all_.at[chosen].set(some), ascents, mine)

    return lax.fori_loop(first, groups + jnp.where(keep > 0, 1, 0), round_, ascents)


_SHORT_AND_LONG = Program(_short_and_long)


def _prune(ascents: Ascent) -> tuple[Int[Array, "L"], Int[Array, "S"]]:
    """The best `LANES` starts, best first; and the statuses, with all others that wait marked as pruned."""
    ended = jnp.isin(ascents.status, jnp.asarray((CONVERGED, MAX_ITER, ROUNDING)))
    waiting = jnp.isin(ascents.status, jnp.asarray((RUNNING, PRUNED)))
    best = _highest(jnp.where(ended | waiting, ascents.objective, -jnp.inf))
    among = jnp.zeros(len(waiting), bool).at[best].set(True)
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


def subsample(key: PRNGKeyArray, table: Table) -> Table:
    """A random subsample of `BATCHED_ROWS` rows; all rows if there are no more."""
    chosen = choose_rows(table.num_rows, BATCHED_ROWS, key)
    return table if chosen is None else table.take(chosen)
