"""Coordinate-ascent variational inference: EM with θ kept as a distribution (Attias 2000; Bishop 2006, section 10.2).

For many rows it can begin with stochastic steps, each on a batch of rows (Hoffman, Blei, Wang & Paisley 2013): the statistics
that q rests on move a share of the way to those of the batch, counted as if it were all the rows.
"""

import warnings
from dataclasses import dataclass
from threading import Event
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int

from bayesgmm.engines import starts as initialize
from bayesgmm.engines.chains import check_chain_arguments, check_family, check_reference, check_sampled
from bayesgmm.engines.kernels import KERNELS, expect, log_likelihood, mixture_stats
from bayesgmm.engines.variational.cavi_batches import BATCHES, FIRST_BATCH
from bayesgmm.errors import ArgumentError, FitError, NotConvergedWarning, SamplingInterrupted
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.problem import Problem, as_key, check_count, check_prior, prepare
from bayesgmm.results.approximation import ApproximatePosterior, pareto_k, shared_fields
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program, stopwatch
from bayesgmm.runtime.progress import Listener, Progress, listening
from bayesgmm.sweep.statistics import Rows

BLOCK = 100
"""Stochastic steps between two looks at the outside world."""


@dataclass(frozen=True, repr=False)
class VariationalPosterior(ApproximatePosterior):
    """Independent draws from the best q(θ) of the family ``Dirichlet × Π normal-inverse-Wishart``, and q itself."""

    q: Belief
    """The approximation, in the user's units, its components numbered as the approximation found them."""
    elbo: float
    """``E_q[log p(x, z, θ) - log q(z, θ)]``, all constants kept: a lower bound on ``log p(x)``. It covers one of the K!
    numberings of the components; if the others are far, adding ``log K!`` counts them all."""
    trace: np.ndarray
    """ELBO at each iteration of the best start."""
    converged: bool

    @property
    def n_iter(self) -> int:
        """Iterations of the best start."""
        return len(self.trace)

    def _title(self) -> str:
        end = "converged" if self.converged else "interrupted" if self.interrupted else "stopped at max_iter"
        return (
            f"Variational Bayes (CAVI): {self.n_components} components, ELBO {self.elbo:.3f}, {end} after {self.n_iter} "
            f"iterations; {self._honesty()}"
        )


class State(NamedTuple):
    """One start's q, and how its bound rose."""

    q: Belief
    elbo: Float[Array, ""]
    gain: Float[Array, ""]
    iteration: Int[Array, ""]
    settled: Bool[Array, ""]
    trace: Float[Array, "T"]


def fit_cavi(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    n_init: int = 8,
    batch_size: int | None = None,
    num_steps: int = 300,
    max_iter: int = 2000,
    tol: float = 1e-6,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    reference: MixtureFit | Params | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> VariationalPosterior:
    """Approximate the posterior by ``q(z) q(weights) Π q(means_k, covariances_k)``, the best of several starts.

    Each iteration is EM's, with expectations in both halves: z given q(θ), then q(θ) given q(z), which is conjugate. The bound
    (ELBO) never falls. What q leaves out is the dependence between z and θ: spreads come out too small, and k-hat says by how
    much that matters.

    Parameters
    ----------
    x, n_components, covariance_type, prior, reference, dtype, progress_bar
        As for `sample_gibbs`.
    n_init
        Number of starts.
    batch_size, num_steps
        Begin with so many steps on random batches of so many rows, from every start; then only the best goes on with all rows.
        None: all rows in each iteration of each start.
    max_iter
        Most iterations with all rows.
    tol
        Stop when Aitken's estimate of the bound still to be gained falls below this.
    num_samples, num_chains
        Independent draws from q, in the shape that the samplers have.
    seed
        int or JAX key.

    Returns
    -------
    VariationalPosterior
        With Ctrl-C, from q as it stood, and ``interrupted`` set.

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    FitError
        If no start has a finite bound.
    SamplingInterrupted
        If stopped before the first iteration.

    Warns
    -----
    NotConvergedWarning
        If the best start stopped at `max_iter`.
    """
    check_chain_arguments(0, num_samples, num_chains, prior)
    check_count("n_init", n_init)
    check_count("max_iter", max_iter)
    if not tol > 0:
        raise ArgumentError(f"tol must be positive, got {tol!r}.")
    if batch_size is not None:
        check_count("batch_size", batch_size)
        check_count("num_steps", num_steps)
    with scope(dtype), stopwatch() as clock, listening(progress_bar) as listener:
        problem = prepare(x, n_components, prior, dtype, covariance_type)
        check_family("cavi", problem.family, problem.table.dim)
        check_prior("cavi", problem.prior)
        check_sampled(problem, num_chains, num_samples)
        check_reference(reference, problem)
        key_start, key_draw = jr.split(as_key(seed), 3)[:2]  # the third is the DataTree's
        starts = initialize.made_starts(key_start, problem, n_init)
        with interruptible() as stop:
            key_batches = jr.fold_in(key_start, 1)
            states = _begin(key_batches, starts, problem, batch_size, num_steps, max_iter, stop, listener)
            states, interrupted = _climb(states, problem, tol, max_iter, stop, listener)
        if interrupted and not np.isfinite(states.elbo).any():
            raise SamplingInterrupted("CAVI was stopped before its first iteration. Nothing can be returned.")
        if not np.isfinite(states.elbo).any():
            raise FitError("No start led to a finite bound. Check the scale of the data, or use dtype='float64'.")
        best = int(np.nanargmax(states.elbo))
        state: State = jax.tree.map(lambda leaf: leaf[best], states)
        keys = jr.split(key_draw, num_chains * num_samples)
        params, values, log_ratios = to_numpy(_DRAWS(keys, state.q, problem.belief, problem.rows))
        shared = shared_fields(
            problem, (Params(*params), values), (num_chains, num_samples), clock, algorithm="cavi", seed=seed,
            reference=reference,
        )  # fmt: skip
    shared["interrupted"] = interrupted
    back = Frame(-problem.frame.center / problem.frame.scale, 1.0 / problem.frame.scale)
    q = to_numpy(Belief(state.q.weights, state.q.components.standardise(back)))
    if not state.settled and not interrupted:
        warnings.warn(
            f"CAVI stopped at max_iter={max_iter} before its bound settled. Raise max_iter, or loosen tol.",
            NotConvergedWarning, stacklevel=2,
        )  # fmt: skip
    return VariationalPosterior(
        **shared, q=q, elbo=float(state.elbo) - problem.log_volume, converged=bool(state.settled),
        trace=np.asarray(state.trace[: int(state.iteration)], float) - problem.log_volume, pareto_k=pareto_k(log_ratios),
    )  # fmt: skip


def _begin(
    key: Any, starts: Params, problem: Problem, batch_size: int | None, num_steps: int, max_iter: int, stop: Event,
    listener: Listener,
) -> State:  # fmt: skip
    """States of the starts (leading axis), before their first iteration with all rows.

    After stochastic steps, that of the best start; if Ctrl-C ended them, with its bound.
    """
    size = 1 << int(max_iter).bit_length()
    num_rows = problem.table.num_rows
    if batch_size is None or batch_size >= num_rows:
        return _BEGIN(starts, problem.belief, problem.rows, size=size)
    keys, batch_size = jr.split(key, len(starts.weights)), int(batch_size)
    shared = problem.belief, problem.rows, jnp.asarray(num_rows)
    stats, done = FIRST_BATCH(keys, starts, *shared[1:], batch_size=batch_size), 0
    while done < num_steps and not stop.is_set():
        count = min(BLOCK, num_steps - done)
        steps = jnp.asarray(done), jnp.asarray(done + count)
        stats = jax.block_until_ready(BATCHES(keys, stats, *shared, *steps, batch_size=batch_size))
        done += count
        listener("cavi, batches", done, num_steps, "")
    states, bounds = _AFTER_BATCHES(stats, problem.belief, problem.rows, size=size)
    best = int(np.nanargmax(bounds)) if np.isfinite(bounds).any() else 0
    # Only after Ctrl-C: an iteration would find no gain over the bound of the q that it begins with, and settle.
    if stop.is_set():
        states = states._replace(elbo=bounds)
    return jax.tree.map(lambda leaf: leaf[best : best + 1], states)


def _climb(
    states: State, problem: Problem, tol: float, max_iter: int, stop: Event, listener: Listener
) -> tuple[State, bool]:
    """Iterate with all rows, some at a time, until every start has settled or is cut off; whether Ctrl-C cut it."""
    limit, step = 0, 16
    while limit < max_iter and not stop.is_set():
        limit, step = min(limit + step, max_iter), 2 * step
        bounds = np.asarray(tol, problem.dtype), np.asarray(limit)
        states = to_numpy(_ASCEND(states, problem.belief, problem.rows, *bounds))
        reached = np.max(states.elbo, initial=-np.inf, where=np.isfinite(states.elbo)) - problem.log_volume
        listener("cavi", max_iter if states.settled.all() else limit, max_iter, f"ELBO {reached:.1f}")
        if states.settled.all():
            return states, False
    return to_numpy(states), stop.is_set()


def _blank(q: Belief, rows: Rows, size: int) -> State:
    zero = jnp.zeros((), rows.dtype)
    nothing = jnp.full(size, jnp.nan, rows.dtype)
    return State(q, zero - jnp.inf, zero + jnp.inf, jnp.asarray(0), jnp.asarray(False), nothing)


def _from_starts(starts: Params, prior: Belief, rows: Rows, size: int) -> State:
    return lax.map(lambda start: _blank(prior.update(mixture_stats(start, rows)), rows, size), starts)


def _after_batches(stats: Stats, prior: Belief, rows: Rows, size: int) -> tuple[State, Float[Array, "S"]]:
    """Each start's q, and its bound on all rows."""

    def one(stats):
        q = prior.update(stats)
        return _blank(q, rows, size), expect(KERNELS["cavi"], jr.key(0), q, rows).value - q.kl(prior)

    return lax.map(one, stats)


def _ascend(states: State, prior: Belief, rows: Rows, tol, limit) -> State:
    """CAVI from each state (leading axis), to its end or to the limit."""

    def turn(state: State) -> State:
        stats = expect(KERNELS["cavi"], jr.key(0), state.q, rows)
        elbo = stats.value - state.q.kl(prior)
        gain = elbo - state.elbo
        ratio = gain / state.gain
        left = gain * ratio / (1.0 - ratio)
        noise = 16.0 * jnp.finfo(rows.dtype).eps * (jnp.abs(elbo) + rows.capacity)
        slowing = jnp.isfinite(state.gain) & (ratio >= 0.0) & (ratio < 1.0)
        settled = (slowing & (left < tol)) | (jnp.abs(gain) <= noise)
        trace = jnp.asarray(state.trace).at[state.iteration].set(elbo)
        return State(prior.update(stats), elbo, gain, state.iteration + 1, settled | ~jnp.isfinite(elbo), trace)

    def one(state: State) -> State:
        return lax.while_loop(lambda state: ~state.settled & (state.iteration < limit), turn, state)

    return lax.map(one, states)


def _draws(keys, q: Belief, prior: Belief, rows: Rows):
    """Draws from q, their log-likelihoods, and the log ratios of posterior to q."""
    constants = prior.log_normaliser() - q.log_normaliser()

    def one(key):
        params = q.sample(key)
        value = log_likelihood(params, rows)
        return params, value, value + prior.log_kernel(params) - q.log_kernel(params) + constants

    return lax.map(one, keys)


_BEGIN = Program(_from_starts, static=("size",))
_AFTER_BATCHES = Program(_after_batches, static=("size",))
_ASCEND = Program(_ascend)
_DRAWS = Program(_draws)
