"""The loop of EM (plain or accelerated), CEM and SEM, until the objective settles."""

import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Bool, Int, PRNGKeyArray

from bayesgmm.engines.em.acceleration import DEPTH, SHORTEST, emptied, learn, no_memory, propose
from bayesgmm.engines.em.ascent_state import (
    ROUNDING,
    RUNNING,
    Ascent,
    AscentInfo,
    AscentState,
    Best,
    Limits,
    Proposal,
    lost,
    status_of,
    usable,
)
from bayesgmm.engines.step import KERNELS, asked, step
from bayesgmm.engines.stopping import aitken_settled, rounding
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.checkpoint import Checkpoint
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.passed import HostRows, Passed

TRACED = 1024
"""Entries of its trace that a compiled ascent holds. The host takes them before it goes on."""
BATCHED_ROWS = 20_000
"""With more rows the starts run one after another. In a batch, all would wait for the slowest."""


def _iterate(
    key: PRNGKeyArray, ascent: Ascent, prior: Belief, rows: Rows | Passed, limits: Limits, kernel: str, accelerate: bool
) -> Ascent:
    """The ascent after one iteration. It is unchanged if it has ended or has reached ``limits.until``."""
    state = ascent.state
    live = _live(state, limits)
    t = state.iteration + 1
    plain, seen = step(KERNELS[kernel], jr.fold_in(key, t), state.params, prior, rows)
    here = Best(state.params, seen.objective, seen.stats.value, seen.stats.counts, plain)
    noise = rounding(seen.objective, rows.num_rows, rows.dtype)
    if accelerate:
        proposal, here = _accelerated(state, here, seen.posterior, prior, live, noise)
    else:
        no = jnp.asarray(False)
        proposal = Proposal(plain, no, state.memory, no, jnp.asarray(jnp.inf, rows.dtype))
    gain = jnp.where(proposal.back, jnp.inf, here.objective - state.last)
    still = _iterations_still(state, gain, proposal, limits.tol, noise, accelerate)
    better = live & (seen.objective >= state.best.objective) & ~proposal.back
    status = status_of(here, t, still, limits, noise)
    # A plain step can only lower the objective by rounding errors of nearly singular covariances.
    fell = (limits.tol > 0.0) & ~state.leap & (seen.objective < state.best.objective - jnp.maximum(noise, limits.tol))
    status = jnp.where(fell, ROUNDING, status)
    value = jnp.where(fell, state.best.objective, here.objective)
    new = AscentState(
        proposal.params, proposal.leap, _choose(better, here, state.best), here.objective, gain, still, t, status,
        proposal.memory,
    )  # fmt: skip
    # If the ascent is not live, the new best θ and memory already equal the old ones.
    old = state._replace(best=new.best, memory=new.memory)
    size = ascent.trace.shape[0]
    trace = jnp.asarray(ascent.trace).at[jnp.where(live, t % size, size)].set(value, mode="drop")
    return Ascent(_choose(live, new, old), AscentInfo(trace))


def _accelerated(
    state: AscentState, here: Best, posterior: Belief, prior: Belief, live: Bool[Array, ""], noise: Array
) -> tuple[Proposal, Best]:
    """The proposal of the acceleration, and the current θ with its objective, counts and M-step.

    A leap that lowered the objective is rejected. A shorter leap follows, or the plain step that the leap replaced.
    """
    back = live & state.leap & ~(here.objective >= state.best.objective - noise)
    plain = _choose(back, state.best.plain, here.plain)
    objective = jnp.where(back, state.best.objective, here.objective)
    memory, left = learn(state.memory, state.params, plain, posterior, back, live)
    leapt, sensible = propose(memory, prior)
    leap = sensible & (memory.length > SHORTEST) & (lost(leapt, here.counts) == 0)
    memory = emptied(memory, back & ~leap)
    proposal = Proposal(_choose(leap, leapt, plain), leap, memory, back, left)
    counts = jnp.where(back, state.best.counts, here.counts)
    return proposal, Best(here.params, objective, here.value, counts, plain)


def _iterations_still(
    state: AscentState, gain: Array, proposal: Proposal, tol: Array, noise: Array, accelerate: bool
) -> Int[Array, ""]:
    """Iterations that met the stopping criterion since the last real gain, including this one.

    An iteration can meet it by accident (a large gain, then a small one at a saddle), so `STILL` of them are needed. A
    rejected leap leaves the count unchanged, unless no shorter leap is left: if nothing gains, the ascent is over.
    """
    settled = _settled(gain, state.gain, proposal.left, tol, noise, accelerate)
    rest = jnp.where(proposal.back, (tol > 0.0) & ~proposal.leap, settled)
    held = proposal.back | (gain < tol)
    return jnp.where(rest, state.still + 1, jnp.where(held, state.still, 0))


def _settled(gain, last_gain, left, tol, noise, accelerate: bool) -> Bool[Array, ""]:
    """Whether the remaining gain is estimated to be below ``tol``, or the gain is below rounding.

    The estimate comes from the acceleration, or from the Aitken rule for plain EM. With ``tol = 0`` or NaN the result
    is False.
    """
    # Factor 10: the acceleration may not have learnt a flat direction yet.
    small = (10.0 * left < tol) & (gain < tol) if accelerate else aitken_settled(gain, last_gain, tol)
    return (tol > 0.0) & (small | (jnp.abs(gain) <= noise))


def _live(state: AscentState, limits: Limits) -> Bool[Array, "*b"]:
    return (state.status == RUNNING) & (state.iteration < limits.until)


def _choose(condition, yes, no):
    return jax.tree.map(lambda a, b: a if a is b else jnp.where(condition, a, b), yes, no)


def ascend(
    keys, ascents: Ascent, prior: Belief, rows: Rows, limits: Limits, kernel: str, batched: bool, accelerate: bool,
    leaders: Any = None,
) -> Ascent:  # fmt: skip
    """Iterate each ascent (leading axis) to its end or to ``limits.until``; all in parallel if ``batched``.

    With ``leaders``, a number, a batch stops when its `leaders` highest ascents have ended, whatever the others do.
    """
    iterate = partial(_iterate, rows=rows, limits=limits, kernel=kernel, accelerate=accelerate)

    def together(keys, ascents, prior):
        return lax.while_loop(
            lambda ascents: jnp.any(_live(ascents.state, limits) & _leading(ascents, leaders)),
            lambda ascents: jax.vmap(iterate)(keys, ascents, prior),
            ascents,
        )

    def alone(lane):
        key, ascent, prior = lane
        return lax.while_loop(
            lambda ascent: _live(ascent.state, limits), lambda ascent: iterate(key, ascent, prior), ascent
        )

    return together(keys, ascents, prior) if batched else lax.map(alone, (keys, ascents, prior))


def _leading(ascents: Ascent, leaders: Any) -> Any:
    """Which ascents are among the `leaders` highest that have not failed; all if ``leaders`` is None."""
    if leaders is None:
        return True
    values = jnp.where(usable(ascents), ascents.objective, -jnp.inf)
    return jnp.sum(values[:, None] < values, axis=1) < leaders


def start_ascents(starts: Params, prior: Belief, size: int, accelerate: bool) -> Ascent:
    """The ascents (leading axis) before their first iteration, with space for the last `size` entries of a trace.

    Each start is projected onto the covariance family.
    """
    dtype = starts.means.dtype

    def one(start, prior):
        start = prior.project(start)
        lowest, zero, no = jnp.asarray(-jnp.inf, dtype), jnp.zeros((), int), jnp.asarray(False)
        best = Best(start, lowest, lowest, jnp.zeros_like(start.weights), start)
        memory = no_memory(start.diagonal if prior.diagonal else start, DEPTH if accelerate else 0)
        unknown = jnp.asarray(jnp.nan, dtype)
        state = AscentState(start, no, best, lowest, unknown, zero, zero - 1, zero + RUNNING, memory)
        return Ascent(state, AscentInfo(jnp.full(size, jnp.nan, dtype)))

    return jax.vmap(one)(starts, prior)


def _run(key, ascents: Ascent, prior: Belief, rows: Rows, limits: Limits, kernel: str, batched: bool, accelerate: bool):
    keys = jr.split(key, len(ascents.status))
    return ascend(keys, ascents, prior, rows, limits, kernel, batched, accelerate)


def _ask(key, ascents: Ascent, prior: Belief, kernel: str):
    """Key and scores of the pass of each ascent's next iteration."""
    keys, state = jr.split(key, len(ascents.status)), ascents.state
    keys = jax.vmap(jr.fold_in)(keys, state.iteration + 1)
    return jax.vmap(partial(asked, KERNELS[kernel]))(keys, state.params, prior)


def _iterate_passed(key, ascents: Ascent, prior: Belief, rows: Passed, limits: Limits, kernel: str, accelerate: bool):
    """One iteration of each ascent, after the pass that it has asked for."""
    keys = jr.split(key, len(ascents.status))
    return jax.vmap(partial(_iterate, limits=limits, kernel=kernel, accelerate=accelerate))(keys, ascents, prior, rows)


def _ascend_on_host(key, ascents: Ascent, prior: Belief, rows: HostRows, limits: Limits, kernel: str, accelerate: bool):
    """As `_run` for rows over which the host passes; all ascents share each reading of the rows."""
    while np.asarray(_live(ascents.state, limits)).any():
        seen = rows.total(_ASK(key, ascents, prior, kernel=kernel), KERNELS[kernel].assign)
        ascents = to_numpy(_ITERATE(key, ascents, prior, seen, limits, kernel=kernel, accelerate=accelerate))
    return ascents


ASCEND = Program(_run, static=("kernel", "batched", "accelerate"))
_ASK = Program(_ask, static=("kernel",))
_ITERATE = Program(_iterate_passed, static=("kernel", "accelerate"))
START = Program(start_ascents, static=("size", "accelerate"))


def for_each(prior: Belief, count: int) -> Belief:
    """The prior with a leading axis of ascents; unchanged if it has one."""
    if jnp.ndim(prior.weights[0]) == 2:
        return prior
    return jax.tree.map(lambda leaf: np.broadcast_to(np.asarray(leaf), (count, *np.shape(leaf))), prior)


def begin(starts: Params, prior: Belief, accelerate: bool, traced: bool = True) -> Ascent:
    """The ascent of each start (leading axis) before its first iteration, with space for its trace if ``traced``."""
    size = TRACED if traced else 1
    return START(starts, for_each(prior, len(starts.weights)), size=size, accelerate=accelerate)


def run_ascents(
    key: PRNGKeyArray,
    ascents: Ascent,
    prior: Belief,
    rows: Rows | HostRows,
    tol: float,
    max_iter: int,
    kernel: str,
    accelerate: bool,
    report: Callable[[int], None] = lambda done: None,
    checkpoint: Checkpoint | None = None,
) -> tuple[Ascent, bool]:
    """Run EM, CEM or SEM from each ascent (leading axis) until it settles, in one compiled program.

    The prior is one for all ascents, or one for each (a leading axis). ``tol`` is in units of log-likelihood: an ascent
    stops when the estimate of its remaining gain falls below it. Small data need one call. With many rows the program
    returns about every half second, to report and to check for Ctrl-C; Ctrl-C keeps the best θ so far. It also returns
    when a trace has filled its space, so that memory follows the iterations that are run. With a checkpoint the run
    resumes from it. Returns the ascents, with whole traces, and whether Ctrl-C interrupted one.
    """
    small, traces = rows.capacity <= BATCHED_ROWS and not isinstance(rows, HostRows), []
    advance: Any = _ascend_on_host if isinstance(rows, HostRows) else partial(ASCEND, batched=small)
    if checkpoint is not None:
        ascents, _, saved = checkpoint.load(ascents)
        traces = [block["trace"] for block in saved]
    prior = for_each(prior, len(ascents.status))
    tol_array, limit = np.asarray(tol, rows.dtype), np.asarray(max_iter)
    done, size = _slowest(ascents, max_iter), max_iter + 1 if small else 2
    traced = ascents.trace.shape[1] > 1
    with interruptible() as stop:
        while not stop.is_set() and done < max_iter:
            last = (done + 1) // TRACED * TRACED + TRACED - 1  # the last iteration for which the traces have space
            halt, start = min(done + size, max_iter, last if traced else max_iter), time.perf_counter()
            limits = Limits(tol_array, limit, np.asarray(halt))
            ascents = jax.block_until_ready(
                advance(key, ascents, prior, rows, limits, kernel=kernel, accelerate=accelerate)
            )
            size = int(np.clip(0.5 * (halt - done) / (time.perf_counter() - start), 1, 4 * size))
            done = max(_slowest(ascents, max_iter), halt)
            full = traced and done == last < max_iter
            if full:
                traces.append(np.array(ascents.trace))
            if checkpoint is not None:
                over = done >= max_iter or stop.is_set()
                checkpoint.add(ascents, done, {"trace": traces[-1]} if full else None, now=over)
            report(done)
    if traces:
        ascents = ascents.with_trace(np.concatenate([*traces, np.asarray(ascents.trace)], axis=1))
    return ascents, stop.is_set() and bool((np.asarray(ascents.status) == RUNNING).any())


def _slowest(ascents: Ascent, end: int) -> int:
    """Fewest iterations among the running ascents; ``end`` if none is running."""
    iterations = np.asarray(ascents.iteration)[np.asarray(ascents.status) == RUNNING]
    return int(iterations.min()) if len(iterations) else end
