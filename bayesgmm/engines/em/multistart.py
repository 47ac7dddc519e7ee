"""Many starts, few turns each, the best carried on (Biernacki, Celeux & Govaert 2003)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Int, PRNGKeyArray

from bayesgmm.engines.em.ascent import (
    BATCHED_ROWS,
    COLLAPSED,
    CONVERGED,
    FAILED,
    MAX_ITER,
    PRUNED,
    ROUNDING,
    RUNNING,
    Climb,
    ascend,
    climb,
    foot,
    usable,
)
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.problem import Problem, host_generator
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.statistics import Rows, to_rows

SHORT = 15
"""Turns that each start gets before the others are pruned."""
LANES = 16
"""Starts that climb side by side on small data: one shape, hence one compilation, whatever their number."""


def carried_on(num_starts: int) -> int:
    """How many starts go on after their short run."""
    return min(max(4, num_starts // 4), LANES, num_starts)


def search(
    key: PRNGKeyArray,
    starts: Params,
    problem: Problem,
    tol: float,
    max_iter: int,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Climb, bool]:
    """Short runs of EM from all starts, full runs from the best; the states of all, on the host, and whether Ctrl-C came.

    With many rows the short runs see a subsample, and only those carried on see all the data.
    """
    key_rows, key_short, key_long = jr.split(key, 3)
    num_starts, keep = len(starts.weights), carried_on(len(starts.weights))
    if problem.rows.capacity <= BATCHED_ROWS:
        states, interrupted = _restarts(key_short, starts, problem.rows, problem, tol, max_iter, SHORT, keep)
        report(int(states.iteration.max()))
        return states, interrupted
    few = to_rows(subsample(key_rows, problem.table.values), problem.frame, problem.dtype)
    scouts, interrupted = _restarts(key_short, starts, few, problem, tol, max_iter, 4 * SHORT, 0)
    order = _ranking(scouts)
    tried: list[Climb] = []
    for first in range(0, num_starts, keep):
        chosen = order[first : first + keep]
        heights = foot(jax.tree.map(lambda leaf, c=chosen: leaf[c], scouts.best), problem.belief, max_iter, True)
        states, interrupted = climb(
            key_long, heights, problem.belief, problem.rows, tol, max_iter, "em", True, report=report
        )
        tried.append(to_numpy(states))
        if interrupted or not np.isin(tried[-1].status, FAILED).all():
            break
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *tried), interrupted


def _restarts(key, starts: Params, rows: Rows, problem: Problem, tol, max_iter, short: int, keep: int):
    """Short runs from every start, and long ones from the best `keep` (none, if 0), in one compiled program.

    A start that has ended well in its short run counts among those carried on. If all of them fail, the next best take
    their place. Returns the states, and whether Ctrl-C cut the work short.
    """
    num_starts = len(starts.weights)
    groups = -(-num_starts // LANES)
    lanes = np.minimum(np.arange(groups * LANES), num_starts - 1)
    states = foot(jax.tree.map(lambda leaf: np.asarray(leaf)[lanes], starts), problem.belief, max_iter, True)
    filled = np.where(np.arange(len(lanes)) < num_starts, RUNNING, COLLAPSED)  # what fills the last group takes no part
    states = states._replace(status=jnp.asarray(filled))
    limits = np.asarray(tol, problem.dtype), np.asarray(max_iter), np.asarray(short), np.asarray(keep)
    first = 0
    with interruptible() as stop:
        while True:
            states = _SHORT_AND_LONG(key, states, problem.belief, rows, *limits, np.asarray(first))
            statuses = np.asarray(states.status)[:num_starts]
            ended, left = np.isin(statuses, (CONVERGED, MAX_ITER, ROUNDING)).any(), (statuses == PRUNED).any()
            if stop.is_set() or keep == 0 or ended or not left:
                break
            first = groups
        cut = stop.is_set() and bool((np.asarray(states.status)[:num_starts] == RUNNING).any())
    return jax.tree.map(lambda leaf: leaf[:num_starts], to_numpy(states)), cut


def _short_and_long(key, states: Climb, prior: Belief, rows: Rows, tol, max_iter, short, keep, first) -> Climb:
    """Rounds of `LANES` starts side by side, from round ``first`` on; the last round is the long run of the best.

    One loop does all rounds, so that a turn is compiled once.
    """
    groups = len(states.status) // LANES
    keys = jr.split(key, LANES)
    priors = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (LANES, *jnp.shape(leaf))), prior)

    def round_(i, states):
        last = i == groups
        best, pruned = _prune(states, keep)
        chosen = jnp.where(last, best, i * LANES + jnp.arange(LANES))
        states = states._replace(status=jnp.where(last, pruned, states.status))
        mine = jax.tree.map(lambda leaf: leaf[chosen], states)
        until = jnp.where(last, max_iter, short)
        mine = ascend(keys, mine, priors, rows, tol, max_iter, until, kernel="em", batched=True, accelerate=True)
        return jax.tree.map(lambda all_, some: all_.at[chosen].set(some), states, mine)

    return lax.fori_loop(first, groups + jnp.where(keep > 0, 1, 0), round_, states)


_SHORT_AND_LONG = Program(_short_and_long)


def _prune(states: Climb, keep) -> tuple[Int[Array, "L"], Int[Array, "S"]]:
    """The best lanes, best first, and the statuses once all but `keep` of them are marked as pruned."""
    ended = jnp.isin(states.status, jnp.asarray((CONVERGED, MAX_ITER, ROUNDING)))
    waiting = jnp.isin(states.status, jnp.asarray((RUNNING, PRUNED)))
    best = lax.top_k(jnp.where(ended | waiting, states.objective, -jnp.inf), LANES)[1]
    among = jnp.zeros(len(waiting), bool).at[best].set(jnp.arange(LANES) < keep)
    return best, jnp.where(waiting, jnp.where(among, RUNNING, PRUNED), states.status)


def _ranking(states: Climb) -> np.ndarray:
    return np.argsort(np.where(usable(states), -states.objective, np.inf), kind="stable")


def put_back(states: Climb, lanes: np.ndarray, new: Climb) -> Climb:
    """The states, with some of them replaced."""

    def put(all_, some):
        out = np.array(all_)
        out[lanes] = some
        return out

    return jax.tree.map(put, states, new)


def subsample(key: PRNGKeyArray, values: np.ndarray) -> np.ndarray:
    """As many rows as climb side by side."""
    chosen = host_generator(key).choice(len(values), BATCHED_ROWS, replace=False)
    return values[np.sort(chosen)]
