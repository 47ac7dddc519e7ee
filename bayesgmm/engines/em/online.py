"""Online EM: a step of EM on each mini-batch of rows (Cappé & Moulines 2009)."""

import warnings
from collections.abc import Generator
from contextlib import closing
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, PRNGKeyArray

from bayesgmm.engines.em.ascent import BATCHED_ROWS, begin, run_ascents
from bayesgmm.engines.em.ascent_state import NON_FINITE, PLANNED, RUNNING, Ascent, lost
from bayesgmm.engines.em.multistart import best_of_sample, few_rows
from bayesgmm.engines.mini_batches import (
    DELAY,
    FORGETTING,
    Running,
    check_batches,
    in_order,
    moved,
    pool,
    shuffled,
    weigh,
)
from bayesgmm.engines.step import KERNELS, no_term, step
from bayesgmm.errors import ArgumentError, NotConvergedWarning
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.arguments import check_count, check_flag, check_number, host_generator, split_key
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Listener
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.mini_batches import Batches
from bayesgmm.sweep.passed import HostRows, watched

EM = KERNELS["em"]._replace(prior_term=no_term)
LABEL = "em, batches"
APART = 6.0
"""Standard errors by which the means of batches may differ more than those of random rows, before a warning."""


PASSES = 2
"""Passes of online EM, by default."""


class Schedule(NamedTuple):
    """How online EM goes over the rows."""

    size: int
    """Rows of a batch."""
    num_passes: int
    forgetting: float = FORGETTING
    """κ: step t moves the statistics by ``(t + DELAY)^-κ``."""
    averaged: bool = True
    """Whether θ comes from the mean of the statistics over the second half of the steps (Polyak & Juditsky 1992)."""

    @classmethod
    def of(cls, size: Any, num_passes: Any, forgetting: Any, averaged: Any) -> "Schedule | None":
        """A checked schedule; None without a size of the batches.

        Raises
        ------
        ArgumentError
            If a number is out of its range.
        """
        check_flag("averaged", averaged)
        passes = check_count("num_passes", num_passes)
        share = check_number("forgetting", forgetting, low=0.5, high=1.0, open_low=True)
        if size is None and (passes, share, bool(averaged)) != (PASSES, FORGETTING, True):
            raise ArgumentError(
                "num_passes, forgetting and averaged are of online EM. Give batch_size too, such as batch_size=4096, "
                "or leave them out."
            )
        return None if size is None else cls(check_count("batch_size", size), passes, share, bool(averaged))

    def num_steps(self, num_rows: int) -> int:
        """Batches of all passes."""
        return self.num_passes * -(-num_rows // min(self.size, num_rows))

    @property
    def settings(self) -> dict[str, Any]:
        """As arguments of `fit_em`."""
        passes, share = self.num_passes, self.forgetting
        return {"batch_size": self.size, "num_passes": passes, "forgetting": share, "averaged": self.averaged}


class Online(NamedTuple):
    """One start, or several on a leading axis."""

    running: Running
    mean: Stats
    """Mean of the running statistics over the last steps."""
    fault: Int[Array, ""]
    """Why θ stays where it is: a status of a failed ascent; else 0."""


class About(NamedTuple):
    """Numbers of some steps."""

    first: Any
    """Steps before them."""
    num: Any
    half: Any
    """Steps before the first one that enters the mean."""
    num_rows: Any
    size: Any
    forgetting: Any


class Seen(NamedTuple):
    """What the steps of one program say: axes (start, step)."""

    objective: Float[Array, "S M"]
    """Objective before each step, from its batch as if it were all rows."""
    center: Float[Array, "S M D"]
    """Mean of the rows of each batch."""


def online_ascents(
    key: PRNGKeyArray, starts: Params, problem: Problem, tol: float, max_iter: int, listener: Listener, *,
    schedule: Schedule, accelerate: bool,
) -> tuple[Ascent, bool]:  # fmt: skip
    """Online EM, and then `max_iter` iterations of EM with all rows; the ascents, and whether Ctrl-C ended it.

    With many rows only the best start takes part: where EM from all starts ends on a sample of the rows. Ctrl-C ends
    the batches; their θ still gets its objective, by one pass over all rows.
    """
    check_batches("EM", problem.table)
    key_few, key_search, key_rows, key_ascent = split_key(key, 4)
    few = few_rows(key_few, problem)
    if problem.table.num_rows > BATCHED_ROWS or problem.table.on_disk:
        starts = best_of_sample(key_search, starts, few)
    lanes = _FIRST(starts, problem.standard_prior, few.rows, np.asarray(problem.table.num_rows, problem.dtype))
    lanes, objective, interrupted = _all_passes(key_rows, lanes, problem, schedule, listener)
    num, prior, fault = objective.shape[1], problem.standard_prior, np.asarray(lanes.fault)
    half = schedule.num_steps(problem.table.num_rows) // 2
    params = _END(lanes, prior, averaged=schedule.averaged and num > half)  # after Ctrl-C there may be no mean
    limit = 0 if interrupted else max_iter

    def report(done: int) -> None:
        note = problem.rows.note if isinstance(problem.rows, HostRows) else ""
        listener("em, all rows", done, limit, note)

    ascents, cut = run_ascents(
        key_ascent, begin(params, prior, accelerate), prior, problem.rows, tol, limit, "em", accelerate, report
    )
    ascents = to_numpy(ascents)
    if limit == 0:  # an exact step says where θ would go next
        fault = np.where(fault > 0, fault, np.asarray(_LOST(ascents.state.best.plain, ascents.counts)))
        finite = np.isfinite(ascents.objective)
        ascents = ascents.with_status(np.where(finite, RUNNING if interrupted else PLANNED, NON_FINITE))
    ascents = ascents.with_status(np.where(fault > 0, fault, ascents.status))
    whole = np.concatenate([objective, ascents.trace], axis=1)
    state = ascents.state._replace(iteration=ascents.iteration + num)
    return ascents.with_trace(whole)._replace(state=state), interrupted or cut


def _all_passes(
    key: PRNGKeyArray, lanes: Online, problem: Problem, schedule: Schedule, listener: Listener
) -> tuple[Online, Float[np.ndarray, "S T"], bool]:
    """The starts after all batches, their objectives on the way, and whether Ctrl-C ended them."""
    rows, num_rows, dtype = problem.rows, problem.table.num_rows, problem.dtype
    size, rng = min(schedule.size, num_rows), host_generator(key)
    total, done, seen = schedule.num_steps(num_rows), 0, []
    heard = watched(listener, rows, LABEL, total)
    numbers = [np.asarray(number, dtype) for number in (num_rows, size, schedule.forgetting)]
    with interruptible() as stop:
        while done < total and not stop.is_set():
            with closing(_one_pass(rows, num_rows, size, rng)) as one_pass:
                for batches, num in one_pass:
                    about = About(np.asarray(done), np.asarray(num), np.asarray(total // 2), *numbers)
                    lanes, found = to_numpy(_STEPS(lanes, problem.standard_prior, batches, about))
                    seen.append(jax.tree.map(lambda leaf, num=num: leaf[:, :num], found))
                    done += num
                    if stop.is_set():
                        break
                    heard(LABEL, done, total, "")
    objective, center = (np.concatenate(column, axis=1) for column in zip(*seen, strict=True))
    if isinstance(rows, HostRows):
        _warn_of_order(center[0], problem, size)
    return lanes, objective, done < total


def _one_pass(rows: Any, num_rows: int, size: int, rng: np.random.Generator) -> Generator[tuple[Batches, int]]:
    return in_order(rows, size) if isinstance(rows, HostRows) else shuffled(rows, num_rows, size, rng)


def _warn_of_order(center: Float[np.ndarray, "T D"], problem: Problem, size: int) -> None:
    """Warn if the means of the batches differ by more than those of random rows.

    Of random rows, ``size (mean - μ_d)² / σ_d²`` has the mean 1 and the variance 2, about.
    """
    mean, covariance = problem.table.moments()
    frame, full = problem.frame, problem.table.num_rows // size
    center = center[: max(full, 1)]
    inside, variances = (mean - frame.center) / frame.scale, np.diagonal(covariance) / np.square(frame.scale)
    spread = float((size * np.square(center - inside) / variances).mean())
    if len(center) > 1 and spread > 1.5 + APART * np.sqrt(2.0 / len(center)):
        warnings.warn(
            f"The rows on disk are not in random order: the means of batches of {size:,} rows vary {spread:.3g} times "
            "as much as those of random rows. Online EM follows the last rows that it read. Shuffle the rows when the "
            "files are written, use larger batches, or go on with all rows (max_iter=100).",
            NotConvergedWarning, stacklevel=6,
        )  # fmt: skip


def _first(starts: Params, prior: Belief, few: Rows, num_rows: Array) -> Online:
    """Each start with the statistics of some rows, which stand for all."""

    def one(start: Params) -> Online:
        start = prior.project(start)
        stats = step(EM, jr.key(0), start, prior, few)[1].stats
        stats = weigh(stats, num_rows / few.num_rows)
        return Online(Running(start, stats), stats, jnp.asarray(0))

    return lax.map(one, starts)


def _steps(lanes: Online, prior: Belief, batches: Batches, about: About) -> tuple[Online, Seen]:
    """Steps on these batches from each start."""

    def one(lane: Online) -> tuple[Online, Seen]:
        dtype, dim = lane.running.theta.means.dtype, lane.running.theta.means.shape[1]
        nothing = Seen(jnp.zeros(batches.most, dtype), jnp.zeros((batches.most, dim), dtype))
        return lax.fori_loop(
            0, about.num, lambda i, carry: _step(i, carry[0], carry[1], prior, batches, about), (lane, nothing)
        )

    return lax.map(one, lanes)


def _step(i, lane: Online, seen: Seen, prior: Belief, batches: Batches, about: About) -> tuple[Online, Seen]:
    count, t = batches.size(i), about.first + i + 1
    share = about.num_rows / count
    move = (t + DELAY).astype(count.dtype) ** -about.forgetting * count / about.size
    running, found = moved(EM, jr.key(0), lane.running, prior, batches.batch(i), move, share)
    fault = jnp.where(lane.fault > 0, lane.fault, lost(running.theta, running.stats.counts))
    late = t - about.half
    weight = 1.0 / jnp.maximum(late, 1).astype(count.dtype)
    mean = pool(weigh(lane.mean, 1.0 - weight), weigh(running.stats, weight))
    new = Online(running, _choose(late > 0, mean, lane.mean), fault)
    objective = share * found.stats.value + prior.log_kernel(lane.running.theta)
    center = found.stats.counts @ found.stats.means / jnp.sum(found.stats.counts)
    seen = Seen(*(jnp.asarray(a).at[i].set(b) for a, b in zip(seen, (objective, center), strict=True)))
    return _choose(fault > 0, lane._replace(fault=fault), new), seen


def _choose(condition: Bool[Array, ""], yes: Any, no: Any) -> Any:
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), yes, no)


def _end(lanes: Online, prior: Belief, averaged: bool) -> Params:
    """θ of each start: the last one, or that of the mean of the statistics."""

    def one(lane: Online) -> Params:
        theta = lane.running.theta
        return _choose(lane.fault > 0, theta, prior.update(lane.mean).mode(theta)) if averaged else theta

    return lax.map(one, lanes)


_FIRST = Program(_first)
_STEPS = Program(_steps)
_LOST = Program(jax.vmap(lost))
_END = Program(_end, static=("averaged",))
