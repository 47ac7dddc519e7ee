"""Iterations of CAVI: compiled loops, and one iteration after a pass of the host; draws from q."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, Key

from bayesgmm.engines.host_likelihoods import log_likelihoods
from bayesgmm.engines.step import KERNELS, asked, step
from bayesgmm.engines.stopping import aitken_settled, rounding
from bayesgmm.engines.variational.cavi_batches import FIRST
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.likelihood import log_likelihood
from bayesgmm.sweep.passed import HostRows, Passed

TRACED = 1024
"""Bounds of its trace that a compiled run holds. The host takes them before it goes on."""


class CaviState(NamedTuple):
    """What the next iteration of one start needs."""

    q: Belief
    elbo: Float[Array, ""]
    """Bound of the previous iteration."""
    gain: Float[Array, ""]
    iteration: Int[Array, ""]
    settled: Bool[Array, ""]


class CaviRun(NamedTuple):
    """One start, or several on a leading axis."""

    state: CaviState
    trace: Float[Array, "*b T"]
    """Bound at each iteration."""


def advance(runs: CaviRun, problem: Problem, tol: np.ndarray, limit: np.ndarray) -> tuple[CaviRun, str]:
    """The runs after the iterations up to a limit, and the speed of the last pass if the host makes the passes."""
    prior, rows = problem.standard_prior, problem.rows
    if not isinstance(rows, HostRows):
        return to_numpy(_ASCEND(runs, prior, rows, tol, limit)), ""
    while not np.asarray(runs.state.settled).all() and np.asarray(runs.state.iteration).max() < limit:
        seen = rows.total(_ASK(runs, prior), KERNELS["cavi"].assign)
        runs = to_numpy(_ITERATE(runs, prior, seen, tol))
    return runs, f", {rows.note}"


def draw(keys: Key[Array, "S"], q: Belief, problem: Problem) -> tuple[Params, np.ndarray, np.ndarray]:
    """Draws from q, their log-likelihoods, and the log ratios of posterior to q."""
    prior, rows = problem.standard_prior, problem.rows
    if not isinstance(rows, HostRows):
        return to_numpy(_DRAWS(keys, q, prior, rows))
    params = _SAMPLES(keys, q)
    values = log_likelihoods(params, prior, rows)
    return to_numpy(params), values, np.asarray(_RATIOS(params, values, q, prior))


def _blank(q: Belief, rows: Rows) -> CaviRun:
    zero = jnp.zeros((), rows.dtype)
    state = CaviState(q, zero - jnp.inf, zero + jnp.inf, jnp.zeros((), int), jnp.asarray(False))
    return CaviRun(state, jnp.full(TRACED, jnp.nan, rows.dtype))


def _from_starts(starts: Params, prior: Belief, rows: Rows) -> CaviRun:
    return lax.map(lambda start: _blank(step(FIRST, jr.key(0), start, prior, rows)[0], rows), starts)


def _after_batches(q: Belief, prior: Belief, rows: Rows) -> tuple[CaviRun, Float[Array, "S"]]:
    """q(θ) of each start, and its bound on all rows."""

    def one(q):
        return _blank(q, rows), step(KERNELS["cavi"], jr.key(0), q, prior, rows)[1].objective

    return lax.map(one, q)


def _iterate(run: CaviRun, prior: Belief, rows: Rows | Passed, tol) -> CaviRun:
    """One iteration of one start."""
    state = run.state
    q, seen = step(KERNELS["cavi"], jr.key(0), state.q, prior, rows)
    elbo, gain = seen.objective, seen.objective - state.elbo
    settled = aitken_settled(gain, state.gain, tol) | (jnp.abs(gain) <= rounding(elbo, rows.num_rows, rows.dtype))
    trace = jnp.asarray(run.trace).at[state.iteration % run.trace.shape[0]].set(elbo)
    return CaviRun(CaviState(q, elbo, gain, state.iteration + 1, settled | ~jnp.isfinite(elbo)), trace)


def _ascend(runs: CaviRun, prior: Belief, rows: Rows, tol, limit) -> CaviRun:
    """CAVI from each start (leading axis), until it settles or reaches the limit."""

    def one(run: CaviRun) -> CaviRun:
        return lax.while_loop(
            lambda run: ~run.state.settled & (run.state.iteration < limit),
            lambda run: _iterate(run, prior, rows, tol),
            run,
        )

    return lax.map(one, runs)


def _ask(runs: CaviRun, prior: Belief):
    """Key and scores of the pass of the next iteration of each start."""
    return jax.vmap(lambda q: asked(KERNELS["cavi"], jr.key(0), q, prior))(runs.state.q)


def _iterate_passed(runs: CaviRun, prior: Belief, rows: Passed, tol) -> CaviRun:
    """One iteration of each start, after the pass that it has asked for."""
    return lax.map(lambda pair: _iterate(pair[0], prior, pair[1], tol), (runs, rows))


def _draws(keys, q: Belief, prior: Belief, rows: Rows):
    """Draws from q, their log-likelihoods, and the log ratios of posterior to q."""

    def one(key):
        params = q.sample(key)
        value = log_likelihood(params.diagonal if prior.diagonal else params, rows)
        return params, value, _log_ratio(params, value, q, prior)

    return lax.map(one, keys)


def _log_ratio(params: Params, value: Float[Array, ""], q: Belief, prior: Belief) -> Float[Array, ""]:
    constants = prior.log_normaliser() - q.log_normaliser()
    return value + prior.log_kernel(params) - q.log_kernel(params) + constants


def _samples(keys, q: Belief) -> Params:
    return lax.map(q.sample, keys)


def _log_ratios(params: Params, values: Float[Array, "S"], q: Belief, prior: Belief) -> Float[Array, "S"]:
    return lax.map(lambda pair: _log_ratio(*pair, q=q, prior=prior), (params, values))


BEGIN = Program(_from_starts)
AFTER_BATCHES = Program(_after_batches)
_ASCEND = Program(_ascend)
_DRAWS = Program(_draws)
_SAMPLES = Program(_samples)
_RATIOS = Program(_log_ratios)
_ASK = Program(_ask)
_ITERATE = Program(_iterate_passed)
