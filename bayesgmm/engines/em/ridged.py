"""EM as scikit-learn runs it: plain steps, a ridge on the covariances, and a stop at a small gain per row.

The ridge is no prior: it adds the same to every covariance, however many rows a component has, so that the
log-likelihood may fall by a little. It is here for those who come from scikit-learn; `fit_em` has none.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int

from bayesgmm.engines.mini_batches import Running, moved
from bayesgmm.engines.step import KERNELS, log_prior, no_term, step
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows

TRACED = 128
"""Iterations after which the host takes the bounds, and looks for Ctrl-C."""
RUNNING, SETTLED, BROKEN = range(3)


class Ridged(NamedTuple):
    """What an iteration needs, and the bounds so far."""

    params: Params
    bound: Float[Array, ""]
    """Objective per row at the θ before ``params``."""
    status: Int[Array, ""]
    done: Int[Array, ""]
    """Iterations of this call."""
    bounds: Float[Array, "T"]
    """``bound`` after each of them."""


class Ascended(NamedTuple):
    """Result of `ascend_ridged`, on the host, in standardised coordinates."""

    params: Params
    bounds: np.ndarray
    """Objective per row before each M-step."""
    settled: bool
    broken: bool
    """Whether a covariance is not positive definite."""
    interrupted: bool


class RidgedPrior(NamedTuple):
    """A prior whose posterior has `ridge` added to the covariances that the statistics would give by themselves."""

    belief: Belief
    ridge: Float[Array, "D"]

    @property
    def diagonal(self) -> bool:
        """Whether all covariances are known to be diagonal."""
        return self.belief.diagonal

    def update(self, stats: Stats) -> Belief:
        """The posterior given z, from statistics with the ridge: of a singular scatter, too."""
        more = stats.counts[:, None, None] * self.ridge[:, None] * jnp.eye(len(self.ridge), dtype=self.ridge.dtype)
        return self.belief.update(stats._replace(scatters=stats.scatters + more))


def _mode_or(empty: Params, key: Any, posterior: Belief, present: Params) -> Params:
    """The M-step; what `empty` has, for a component without rows."""
    del key
    made = posterior.mode(present)
    held = jnp.isfinite(made.means).all(axis=1) & jnp.isfinite(made.scale_trils).all(axis=(1, 2))
    held = held | (made.weights > 0.0)  # with rows: a fault, which is told
    means = jnp.where(held[:, None], made.means, empty.means)
    trils = jnp.where(held[:, None, None], made.scale_trils, empty.scale_trils)
    weights = made.weights + empty.weights
    return Params(weights / weights.sum(), means, trils)


def _log_prior(theta: Params, prior: RidgedPrior) -> Float[Array, ""]:
    """``log p(θ)`` without its constant: the ridge is no part of it."""
    return log_prior(theta, prior.belief)


_KERNEL = KERNELS["em"]._replace(prior_term=_log_prior)


def is_broken(params: Params) -> Any:
    """Whether a covariance of θ has no factor in this precision; on the host, and inside a program."""
    diagonal = params.scale_trils.diagonal(axis1=-2, axis2=-1)
    return ~((abs(params.means) < np.inf).all() & (diagonal > np.finfo(diagonal.dtype).eps).all())


def _ascend(start: Params, bound, prior: Belief, rows: Rows, ridge, empty: Params, total, tol, most) -> Ridged:
    """At most `most` iterations, and no more than `TRACED`."""
    ridged, kernel = RidgedPrior(prior, ridge), _KERNEL._replace(estimate=partial(_mode_or, empty))

    def live(state: Ridged) -> Bool[Array, ""]:
        return (state.status == RUNNING) & (state.done < jnp.minimum(most, TRACED))

    def iterate(state: Ridged) -> Ridged:
        params, seen = step(kernel, jr.key(0), state.params, ridged, rows)
        now = seen.objective / total
        status = jnp.where(jnp.abs(now - state.bound) < tol, SETTLED, RUNNING)
        status = jnp.where(is_broken(params) | ~jnp.isfinite(now), BROKEN, status)
        return Ridged(params, now, status, state.done + 1, jnp.asarray(state.bounds).at[state.done].set(now))

    zero = jnp.zeros((), int)
    return lax.while_loop(live, iterate, Ridged(start, bound, zero, zero, jnp.full(TRACED, jnp.nan, bound.dtype)))


def _estimated(stats: Stats, prior: Belief, ridge, empty: Params) -> Params:
    """θ from the statistics of a division of the rows."""
    return _mode_or(empty, None, RidgedPrior(prior, ridge).update(stats), empty)


def _move(theta: Params, past: Stats, prior: Belief, rows: Rows, ridge, empty: Params, move, share):
    """θ and the running statistics after a step on a batch, and the value of its rows under the θ before."""
    kernel = _KERNEL._replace(estimate=partial(_mode_or, empty), prior_term=no_term)
    running, seen = moved(
        kernel, jr.key(0), Running(theta, past), RidgedPrior(prior, ridge), rows, jnp.asarray(move), jnp.asarray(share)
    )
    return running, seen.stats.value


_ASCEND = Program(_ascend)
_MOVE = Program(_move)
_ESTIMATE = Program(_estimated)


def _ridge_and_empty(problem: Problem, reg_covar: float) -> tuple[np.ndarray, Params]:
    """What is added to the variances, (D,), and the components that have no rows: at 0, as scikit-learn has them."""
    num, (center, scale), dtype = problem.num_components, problem.frame, problem.dtype
    weights = np.full(num, 10.0 * np.finfo(float).eps / problem.table.total)
    means = np.broadcast_to(-center / scale, (num, len(scale)))
    trils = np.broadcast_to(np.diag(np.sqrt(reg_covar) / scale), (num, len(scale), len(scale)))
    ridge = np.asarray(reg_covar / np.square(scale), dtype)
    return ridge, jax.tree.map(lambda leaf: np.asarray(leaf, dtype), Params(weights, means, trils))  # pyright: ignore


def estimate_ridged(stats: Stats, problem: Problem, reg_covar: float) -> Params:
    """θ from the statistics of a division of the rows; all standardised, on the host."""
    stats = jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype), stats)
    return to_numpy(_ESTIMATE(stats, problem.standard_prior, *_ridge_and_empty(problem, reg_covar)))


def move_ridged(
    theta: Params, past: Stats, problem: Problem, reg_covar: float, move: float, share: float
) -> tuple[Params, Stats, float, bool]:
    """A step on a batch, the rows of this problem; all standardised, on the host.

    ``past`` are the running statistics as of all rows; `moved` says what a step is. Returns θ, the new statistics, the
    log-likelihood of the batch under the θ before, and whether a covariance is not positive definite.
    """
    numbers = np.asarray(move, problem.dtype), np.asarray(share, problem.dtype)
    extra = _ridge_and_empty(problem, reg_covar)
    running, value = to_numpy(_MOVE(theta, past, problem.standard_prior, problem.rows, *extra, *numbers))
    return running.theta, running.stats, float(value), bool(is_broken(running.theta) or not np.isfinite(value))


def ascend_ridged(
    start: Params, problem: Problem, reg_covar: float, tol: float, max_iter: int, bound: float = -np.inf,
    every: int = TRACED, report: Callable[[int, float], None] = lambda done, gain: None,
) -> Ascended:  # fmt: skip
    """EM steps from a start until the objective per row changes by less than `tol`, or `max_iter` of them are done.

    ``bound`` is the objective per row before the start, if this run continues another; ``report`` hears how many steps
    are done and the last change, at least at every `every`-th step. Call inside ``dtypes.scope``.
    """
    total, (ridge, empty) = np.asarray(problem.table.total, problem.dtype), _ridge_and_empty(problem, reg_covar)
    bounds, done, status = np.empty(0), 0, RUNNING
    with interruptible() as stop:
        while status == RUNNING and done < max_iter and not stop.is_set():
            numbers = np.asarray(tol, problem.dtype), np.asarray(min(every, max_iter - done))
            state = _ASCEND(
                start,
                np.asarray(bound, problem.dtype),
                problem.standard_prior,
                problem.rows,
                ridge,
                empty,
                total,
                *numbers,
            )
            status, made = int(state.status), int(state.done)
            more = np.asarray(state.bounds, float)[:made]
            before = more[-2] if made > 1 else bound
            bounds, done = np.concatenate([bounds, more]), done + made
            start, bound = state.params, float(more[-1])
            report(done, bound - before)
    interrupted = stop.is_set() and status == RUNNING and done < max_iter
    return Ascended(to_numpy(start), bounds, status == SETTLED, status == BROKEN, interrupted)
