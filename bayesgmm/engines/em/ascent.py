"""The loop of every ascent: EM and its accelerated relatives until they settle."""

import time
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from bayesgmm.engines.em.acceleration import DEPTH, SHORTEST, Memory, emptied, learn, no_memory, propose
from bayesgmm.engines.kernels import KERNELS, expect
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.statistics import Rows

RUNNING, CONVERGED, MAX_ITER, COLLAPSED, EMPTY, NON_FINITE, ROUNDING, PRUNED = range(8)
STATUS = (
    "interrupted",
    "converged",
    "stopped at max_iter",
    "collapsed",
    "empty component",
    "non-finite objective",
    "stopped at rounding",
    "pruned",
)
FAILED = (COLLAPSED, EMPTY, NON_FINITE)
"""Ends that are no fit."""


STILL = 4
"""Turns that must look settled, with no real gain between them."""


class Climb(NamedTuple):
    """State of an ascent: the candidate θ, the best θ whose objective is known, and how it got there."""

    params: Params
    best: Params
    objective: Float[Array, ""]
    counts: Float[Array, "K"]
    last: Float[Array, ""]
    gain: Float[Array, ""]
    still: Int[Array, ""]
    """How many turns looked settled since the last real gain."""
    iteration: Int[Array, ""]
    """Number of M-steps behind ``best``."""
    status: Int[Array, ""]
    trace: Float[Array, "T"]
    plain: Params
    """Where the M-step from ``best`` leads."""
    leap: Bool[Array, ""]
    """Whether ``params`` is a proposal of the acceleration, and not of the M-step."""
    memory: Memory


def _turn(
    key: PRNGKeyArray, state: Climb, prior: Belief, rows: Rows, tol, max_iter, until, kernel: str, accelerate: bool
) -> Climb:
    """The state after one turn; a state that has ended, or has come to ``until``, stays as it is."""
    live = _live(state, until)
    t = state.iteration + 1
    key_z, key_theta = jr.split(jr.fold_in(key, t))
    stats = expect(KERNELS[kernel], key_z, state.params, rows)
    objective = stats.value + prior.log_kernel(state.params)
    eps = jnp.finfo(rows.dtype).eps
    noise = _rounding(objective, rows)
    posterior = prior.update(stats)
    plain = KERNELS[kernel].estimate(key_theta, posterior, state.params)
    better = live & (objective >= state.objective)
    if accelerate:
        # A leap that lowered the objective is taken back: a shorter one, or the plain step that it replaced, comes next.
        back = live & state.leap & ~(objective >= state.objective - noise)
        better, plain = better & ~back, _choose(back, state.plain, plain)
        objective = jnp.where(back, state.objective, objective)
        memory, left = learn(state.memory, state.params, plain, posterior, back, live)
        leapt, sensible = propose(memory, prior)
        leap = sensible & (memory.length > SHORTEST) & (_lost(leapt, stats.counts, eps) == 0)
        memory = emptied(memory, back & ~leap)
        proposal = _choose(leap, leapt, plain)
    else:
        back, left, leap, memory, proposal = jnp.asarray(False), jnp.inf, jnp.asarray(False), state.memory, plain
    gain = jnp.where(back, jnp.inf, objective - state.last)
    status = jnp.where(t >= max_iter, MAX_ITER, RUNNING)
    settled = _settled(gain, state.gain, left, tol, noise, accelerate)
    # A leap taken back is no evidence either way, unless it was the last resort: where nothing gains, the climb is over.
    rest = jnp.where(back, (tol > 0.0) & ~leap, settled)
    still = jnp.where(rest, state.still + 1, jnp.where(back | (gain < tol), state.still, 0))
    fine = noise < tol
    status = jnp.where(still >= STILL, jnp.where(fine, CONVERGED, ROUNDING), status)
    lost = _lost(plain, jnp.where(back, state.counts, stats.counts), eps)
    status = jnp.where((status == RUNNING) & (lost > 0), lost, status)
    status = jnp.where(jnp.isfinite(objective), status, NON_FINITE)
    new, old = (state.params, objective, stats.counts, plain), (state.best, state.objective, state.counts, state.plain)
    best, highest, counts, plain = _choose(better, new, old)
    new = (proposal, objective, gain, still, t, status, leap)
    old = (state.params, state.last, state.gain, state.still, state.iteration, state.status, state.leap)
    params, last, gain, still, iteration, status, leap = _choose(live, new, old)
    trace = jnp.asarray(state.trace).at[jnp.where(live, t, state.trace.shape[0])].set(objective, mode="drop")
    return Climb(params, best, highest, counts, last, gain, still, iteration, status, trace, plain, leap, memory)


def _live(state: Climb, until) -> Bool[Array, "*b"]:
    return (state.status == RUNNING) & (state.iteration < until)


def _choose(condition, yes, no):
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _settled(gain, last_gain, left, tol, noise, accelerate: bool) -> Array:
    """Whether what is left of the ascent is estimated below ``tol``.

    Plain EM, after Aitken: with gains shrinking by a ratio a, what is left is gain · a / (1 - a) (Böhning et al. 1994).
    Accelerated: the extrapolation's own estimate. Below rounding no gain means anything, and the climb is over too.
    ``tol = 0`` never stops. NaN never settles. One turn can look settled by accident (a large gain, then a small one at a
    saddle), so `STILL` are asked for.
    """
    if accelerate:
        small = (10.0 * left < tol) & (gain < tol)  # ten: a flat direction may not have been learnt yet
    else:
        ratio = gain / last_gain
        remainder = gain * ratio / (1.0 - ratio)
        small = jnp.isfinite(last_gain) & (ratio >= 0.0) & (ratio < 1.0) & (gain >= 0.0) & (remainder < tol)
    return (tol > 0.0) & (small | (jnp.abs(gain) <= noise))


def _rounding(objective, rows: Rows):
    """The least difference that a sum of this size, over so many rows, can show."""
    return 16.0 * jnp.finfo(rows.dtype).eps * (jnp.abs(objective) + rows.capacity)


def _lost(params: Params, counts, eps) -> Array:
    """Status of a θ that no ascent can go on from: a component without rows, or one closing in on too few points."""
    diagonal = jnp.diagonal(params.scale_trils, axis1=-2, axis2=-1)
    flat = diagonal**2 < 16.0 * eps * jnp.sum(params.scale_trils**2, axis=-1)  # no digit of its own is left
    finite = jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), params))
    collapsed = ~finite | flat.any() | (diagonal.min() < jnp.maximum(64.0 * eps, 1e-10))
    empty = (jnp.where(params.weights == 0.0, jnp.inf, counts).min() < 1e-6) & ~finite
    return jnp.where(empty, EMPTY, jnp.where(collapsed, COLLAPSED, 0))


def ascend(
    keys, states: Climb, prior: Belief, rows: Rows, tol, max_iter, until, kernel: str, batched: bool, accelerate: bool
) -> Climb:
    """Turn after turn for each state (leading axis), to its end or to iteration ``until``; side by side if ``batched``."""
    turn = partial(_turn, rows=rows, tol=tol, max_iter=max_iter, until=until, kernel=kernel, accelerate=accelerate)

    def together(keys, states, prior):
        return lax.while_loop(
            lambda states: jnp.any(_live(states, until)), lambda states: jax.vmap(turn)(keys, states, prior), states
        )

    def alone(lane):
        key, state, prior = lane
        return lax.while_loop(lambda state: _live(state, until), lambda state: turn(key, state, prior), state)

    return together(keys, states, prior) if batched else lax.map(alone, (keys, states, prior))


def feet(starts: Params, prior: Belief, size: int, accelerate: bool) -> Climb:
    """The states (leading axis) before the first turn, each in its covariance family, with room for a trace of `size`."""
    dtype = starts.means.dtype

    def one(start, prior):
        start = prior.components.project(start)
        lowest, zero, no = jnp.asarray(-jnp.inf, dtype), jnp.asarray(0), jnp.asarray(False)
        return Climb(start, start, lowest, jnp.zeros_like(start.weights), lowest, jnp.asarray(jnp.nan, dtype), zero,
                     zero - 1, zero + RUNNING, jnp.full(size, jnp.nan, dtype), start, no,
                     no_memory(start, DEPTH if accelerate else 0))  # fmt: skip

    return jax.vmap(one)(starts, prior)


_CLIMB = Program(ascend, static=("kernel", "batched", "accelerate"))
_FOOT = Program(feet, static=("size", "accelerate"))

BATCHED_ROWS = 20_000
"""Above this many rows the starts run one after another: side by side, all would wait for the slowest."""


def usable(states: Climb) -> Bool[Array, "*b"]:
    """Which states hold a θ that may be returned or carried on."""
    return jnp.isfinite(states.objective) & ~jnp.isin(states.status, jnp.asarray(FAILED))


def _for_each(prior: Belief, num_states: int) -> Belief:
    """The prior with an axis of states, which it may have already."""
    if jnp.ndim(prior.weights.concentration) == 2:
        return prior
    return jax.tree.map(lambda leaf: np.broadcast_to(np.asarray(leaf), (num_states, *np.shape(leaf))), prior)


def foot(starts: Params, prior: Belief, max_iter: int, accelerate: bool, traced: bool = True) -> Climb:
    """The state of each start (leading axis) before its first turn, in its covariance family."""
    prior = _for_each(prior, len(starts.weights))
    size = 1 << max(10, int(max_iter + 1).bit_length()) if traced else 1
    return _FOOT(starts, prior, size=size, accelerate=accelerate)


def climb(
    key: PRNGKeyArray,
    states: Climb,
    prior: Belief,
    rows: Rows,
    tol: float,
    max_iter: int,
    kernel: str,
    accelerate: bool,
    until: int | None = None,
    report: Callable[[int], None] = lambda done: None,
) -> tuple[Climb, bool]:
    """Run EM, CEM or SEM from each state (leading axis) until it settles, in one compiled program.

    The prior is one for all, or one for each state (a leading axis). ``tol`` is in units of log-likelihood: the climb stops
    when the estimate of what is left falls below it. States that have ended stay as they are; ``until`` halts the others at
    that iteration, still running. Small data are one call; with many rows the program returns every half second or so to
    report and to look for Ctrl-C, which keeps the best θ so far. Returns the states, and whether Ctrl-C cut a start short.
    """
    small = rows.capacity <= BATCHED_ROWS
    prior = _for_each(prior, len(states.status))
    keys = jr.split(key, len(states.status))
    end = max_iter if until is None else min(until, max_iter)
    tol_array, limit = jnp.asarray(tol, rows.dtype), jnp.asarray(max_iter)
    states = jax.tree.map(jnp.asarray, states)

    def front() -> int:
        iterations = np.asarray(states.iteration)[np.asarray(states.status) == RUNNING]
        return int(iterations.min()) if len(iterations) else end

    done, size = front(), max_iter + 1 if small else 2
    with interruptible() as stop:
        while not stop.is_set() and done < end:
            halt = min(done + size, end)
            start = time.perf_counter()
            states = _CLIMB(
                keys, states, prior, rows, tol_array, limit, jnp.asarray(halt),
                kernel=kernel, batched=small, accelerate=accelerate,
            )  # fmt: skip
            jax.block_until_ready(states)
            size = int(np.clip(0.5 * (halt - done) / (time.perf_counter() - start), 1, 4 * size))
            done = max(front(), halt)
            report(done)
    return states, stop.is_set() and bool((np.asarray(states.status) == RUNNING).any())
