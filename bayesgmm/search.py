"""Many starts, few turns each, the best carried on (Biernacki, Celeux & Govaert 2003)."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.drivers import (
    BATCHED_ROWS,
    CONVERGED,
    FAILED,
    MAX_ITER,
    PRUNED,
    ROUNDING,
    RUNNING,
    Climb,
    climb,
    foot,
    usable,
)
from bayesgmm.precision import to_numpy
from bayesgmm.problem import Problem, host_generator
from bayesgmm.sweep import Rows, to_rows
from bayesgmm.types import Params

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
        states, interrupted = _in_lanes(
            key_short, _feet(starts, problem, max_iter), problem.rows, problem, tol, max_iter, SHORT
        )
        while not interrupted and _prune(states, keep):
            chosen = np.flatnonzero(states.status == RUNNING)
            part, interrupted = _in_lanes(
                key_long, _take(states, chosen), problem.rows, problem, tol, max_iter, max_iter
            )
            states = put_back(states, chosen, part)
        report(int(states.iteration.max()))
        return states, interrupted
    few = to_rows(subsample(key_rows, problem.table.values), problem.frame, problem.dtype)
    scouts, interrupted = _in_lanes(key_short, _feet(starts, problem, max_iter), few, problem, tol, max_iter, 4 * SHORT)
    order = _ranking(scouts)
    tried: list[Climb] = []
    for first in range(0, num_starts, keep):
        chosen = order[first : first + keep]
        heights = foot(
            jax.tree.map(lambda leaf, c=chosen: jnp.asarray(leaf[c]), scouts.best), problem.belief, max_iter, True
        )
        states, interrupted = climb(
            key_long, heights, problem.belief, problem.rows, tol, max_iter, "em", True, report=report
        )
        tried.append(to_numpy(states))
        if interrupted or not np.isin(tried[-1].status, FAILED).all():
            break
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *tried), interrupted


def _feet(starts: Params, problem: Problem, max_iter: int) -> Climb:
    """States before the first turn, in whole batches of `LANES` on the way, so that all have one shape."""
    parts = []
    for first in range(0, len(starts.weights), LANES):
        lanes = _padded(np.arange(first, min(first + LANES, len(starts.weights))))
        batch = jax.tree.map(lambda leaf, lanes=lanes: jnp.asarray(leaf)[lanes], starts)
        parts.append(_take(to_numpy(foot(batch, problem.belief, max_iter, True)), np.unique(lanes) - first))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def _in_lanes(key, states: Climb, rows: Rows, problem: Problem, tol, max_iter, until) -> tuple[Climb, bool]:
    """Climb from any number of states, `LANES` at a time."""
    done, interrupted = [], False
    for first in range(0, len(states.status), LANES):
        mine = np.arange(first, min(first + LANES, len(states.status)))
        lanes = _take(states, _padded(mine))
        lanes.status[len(mine) :] = PRUNED
        if not interrupted:
            lanes, interrupted = climb(
                jr.fold_in(key, first), lanes, problem.belief, rows, tol, max_iter, "em", True, until
            )
        done.append(_take(to_numpy(lanes), np.arange(len(mine))))
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *done), interrupted


def _prune(states: Climb, keep: int) -> bool:
    """Mark what is not carried on; whether there is anything left to run.

    A start that has ended well counts among those carried on. If all of them failed, the next best take their place.
    """
    ended = np.isin(states.status, (CONVERGED, MAX_ITER, ROUNDING))
    running = np.isin(states.status, (RUNNING, PRUNED))
    if (states.status == PRUNED).any() and ended.any():
        return False
    alive = np.where(ended | running, states.objective, -np.inf)
    best = np.argsort(-alive, kind="stable")[:keep]
    states.status[running] = PRUNED
    states.status[np.intersect1d(best, np.flatnonzero(running))] = RUNNING
    return bool((states.status == RUNNING).any())


def _ranking(states: Climb) -> np.ndarray:
    return np.argsort(np.where(usable(states), -states.objective, np.inf), kind="stable")


def _padded(lanes: np.ndarray) -> np.ndarray:
    return np.concatenate([lanes, np.repeat(lanes[:1], LANES - len(lanes))])


def _take(states: Climb, lanes: np.ndarray) -> Climb:
    return jax.tree.map(lambda leaf: np.asarray(leaf)[lanes], states)


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
