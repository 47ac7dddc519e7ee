"""θ along a schedule, from many starts: of temperatures (deterministic annealing EM) or of copies of z (MCEM, SAME)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.engines.dial import betas, moving_kernel
from bayesgmm.engines.em.ascent import BATCHED_ROWS, ascend, begin, lost, run_ascents, start_ascents
from bayesgmm.engines.em.ascent_state import PLANNED, RUNNING, Ascent, Limits
from bayesgmm.engines.step import step
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.arguments import key_array, split_key
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Listener
from bayesgmm.sweep.kinds_of_rows import Rows

BLOCK = 10
"""Steps of one program: between blocks there is time for progress and Ctrl-C."""
ANNEALING = 100
"""Most steps of DAEM below β = 1."""


class Followed(NamedTuple):
    """The paths from several starts (leading axis), on the host and standardised."""

    path: Params
    """θ after each step: axes (start, step)."""
    objective: Float[np.ndarray, "S T"]
    """The objective before each step."""
    fault: Int[np.ndarray, "S"]
    """Status of paths that ended at a collapse, where θ stays; else 0."""
    interrupted: bool


def follow(
    key: PRNGKeyArray, starts: Params, problem: Problem, kernel: str, schedule: np.ndarray, listener: Listener,
    total: int,
) -> Followed:  # fmt: skip
    """Take a step for each number of the schedule from each start. A multiple of `BLOCK` steps is needed."""
    keys, fault = key_array(key, len(starts.weights)), np.zeros(len(starts.weights), int)
    params, blocks, done = starts, [], 0
    small, prior = problem.rows.capacity <= BATCHED_ROWS, problem.standard_prior
    with interruptible() as stop:
        while done < len(schedule) and not stop.is_set():
            numbers = np.asarray(schedule[done : done + BLOCK], problem.dtype)
            at = np.arange(done, done + BLOCK), numbers
            params, fault, seen = _FOLLOW(keys, params, fault, at, prior, problem.rows, kernel=kernel, batched=small)
            blocks.append(to_numpy(seen))
            done += BLOCK
            listener(kernel, done, total, "")
    if not blocks:
        empty = jax.tree.map(lambda leaf: np.repeat(np.asarray(leaf)[:, None], 0, axis=1), starts)
        return Followed(empty, np.zeros(np.shape(empty.weights)[:2]), fault, stop.is_set())
    path, objective = jax.tree.map(lambda *leaves: np.concatenate(leaves, axis=1), *blocks)
    return Followed(path, objective, np.asarray(fault), done < len(schedule))


def _follow(
    keys: Array, params: Params, fault: Array, at: tuple[Array, Array], prior: Belief, rows: Rows, kernel: str,
    batched: bool,
) -> tuple[Params, Array, tuple[Params, Array]]:  # fmt: skip
    def one(lane):
        key, params, fault = lane

        def advance(carry, now):
            params, fault = carry
            t, number = now
            new, seen = step(moving_kernel(kernel, number), jr.fold_in(key, t), params, prior, rows)
            fault = jnp.where(fault > 0, fault, lost(new, seen.stats.counts))
            kept = jax.tree.map(lambda old, new: jnp.where(fault > 0, old, new), params, new)
            return (kept, fault), (kept, seen.objective)

        (params, fault), seen = lax.scan(advance, (params, fault), at)
        return params, fault, seen

    lanes = keys, params, fault
    return jax.vmap(one)(lanes) if batched else lax.map(one, lanes)


_FOLLOW = Program(_follow, static=("kernel", "batched"))


def anneal_and_ascend(
    key: PRNGKeyArray, starts: Params, problem: Problem, tol: float, max_iter: int, listener: Listener,
    beta_start: float, accelerate: bool,
) -> tuple[Ascent, bool]:  # fmt: skip
    """Deterministic annealing EM from all starts, on the host: at most half of the steps below β = 1, then EM."""
    num = min(ANNEALING, max_iter // 2) // BLOCK * BLOCK
    key_anneal, key_ascent = split_key(key)
    found = follow(key_anneal, starts, problem, "daem", betas(beta_start, num), listener, max_iter)
    last = jax.tree.map(lambda leaf: leaf[:, -1], found.path) if num and found.path.weights.shape[1] else starts

    def report(done: int) -> None:
        listener("daem", num + done, max_iter, "")

    if found.interrupted:
        return evaluated(found, last, problem), True
    prior = problem.standard_prior
    ascents, interrupted = run_ascents(
        key_ascent, begin(last, prior, accelerate), prior, problem.rows, tol, max_iter - num, "em", accelerate, report
    )
    return after(found, to_numpy(ascents)), interrupted


def after(found: Followed, ascents: Ascent) -> Ascent:
    """The ascents that began where the paths ended, with the steps of both."""
    steps = found.objective.shape[1]
    whole = np.concatenate([found.objective, ascents.trace], axis=1)
    return ascents.with_trace(whole)._replace(state=ascents.state._replace(iteration=ascents.iteration + steps))


def evaluated(found: Followed, params: Params, problem: Problem) -> Ascent:
    """θ of each path as the end of an ascent, with its objective; paths that collapsed keep that status."""
    small = problem.rows.capacity <= BATCHED_ROWS
    ended = after(found, to_numpy(_EVALUATE(params, problem.standard_prior, problem.rows, batched=small)))
    return ended.with_status(np.where(found.fault > 0, found.fault, RUNNING if found.interrupted else PLANNED))


def _evaluate(params: Params, prior: Belief, rows: Rows, batched: bool) -> Ascent:
    num, zero = len(params.weights), jnp.asarray(0)
    each = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (num, *jnp.shape(leaf))), prior)
    limits = Limits(jnp.zeros((), rows.dtype), zero, zero)
    begun = start_ascents(params, each, 1, accelerate=False)
    return ascend(jr.split(jr.key(0), num), begun, each, rows, limits, "em", batched, accelerate=False)


_EVALUATE = Program(_evaluate, static=("batched",))
