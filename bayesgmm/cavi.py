"""Coordinate-ascent variational inference: EM with θ kept as a distribution (Attias 2000; Bishop 2006, section 10.2).

For many rows it can begin with stochastic steps, each on a batch of rows (Hoffman, Blei, Wang & Paisley 2013): the statistics
that q rests on move a share of the way to those of the batch, counted as if it were all the rows.
"""

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int

from bayesgmm import initialize
from bayesgmm.approximation import ApproximatePosterior, pareto_k, shared_fields
from bayesgmm.arrays import Array
from bayesgmm.chains import check_chain_arguments, check_family, check_reference
from bayesgmm.clock import Program, stopwatch
from bayesgmm.conjugate import Belief
from bayesgmm.errors import ArgumentError, FitError, NotConvergedWarning
from bayesgmm.interrupt import interruptible
from bayesgmm.kernels import KERNELS, expect, log_likelihood, mixture_stats
from bayesgmm.linalg import outer
from bayesgmm.precision import scope, to_numpy
from bayesgmm.problem import Problem, as_key, check_count, check_prior, prepare
from bayesgmm.progress import Listener, Progress, listening
from bayesgmm.results import MixtureFit
from bayesgmm.sweep import Rows
from bayesgmm.types import Frame, Params, Stats

DELAY, FORGETTING = 10.0, 0.7
"""Step t of the stochastic beginning moves the statistics by a share of ``(t + DELAY)^-FORGETTING``."""


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
        end = "converged" if self.converged else "stopped at max_iter"
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
        check_reference(reference, problem)
        key_start, key_draw = jr.split(as_key(seed), 3)[:2]  # the third is the DataTree's
        starts = initialize.made_starts(key_start, problem, n_init)
        states = _begin(jr.fold_in(key_start, 1), starts, problem, batch_size, num_steps, max_iter)
        states, interrupted = _climb(states, problem, tol, max_iter, listener)
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


def _begin(key: Any, starts: Params, problem: Problem, batch_size: int | None, num_steps: int, max_iter: int) -> State:
    """States of the starts (leading axis), before their first iteration with all rows."""
    size = 1 << int(max_iter).bit_length()
    num_rows = problem.table.num_rows
    if batch_size is None or batch_size >= num_rows:
        return _BEGIN(starts, problem.belief, problem.rows, size=size)
    keys = jr.split(key, len(starts.weights))
    settings = jnp.asarray(num_rows), jnp.asarray(num_steps)
    states, bounds = _BATCHES(
        keys, starts, problem.belief, problem.rows, *settings, size=size, batch_size=int(batch_size)
    )
    bounds = np.asarray(bounds)
    best = int(np.nanargmax(bounds)) if np.isfinite(bounds).any() else 0
    return jax.tree.map(lambda leaf: leaf[best : best + 1], states)


def _climb(states: State, problem: Problem, tol: float, max_iter: int, listener: Listener) -> tuple[State, bool]:
    """Iterate with all rows, some at a time, until every start has settled or is cut off; whether Ctrl-C cut it."""
    limit, step = 0, 16
    with interruptible() as stop:
        while limit < max_iter and not stop.is_set():
            limit, step = min(limit + step, max_iter), 2 * step
            bounds = np.asarray(tol, problem.dtype), np.asarray(limit)
            states = to_numpy(_ASCEND(states, problem.belief, problem.rows, *bounds))
            reached = np.max(states.elbo, initial=-np.inf, where=np.isfinite(states.elbo)) - problem.log_volume
            listener("cavi", max_iter if states.settled.all() else limit, max_iter, f"ELBO {reached:.1f}")
            if states.settled.all():
                return states, False
        return states, stop.is_set()


def _blank(q: Belief, rows: Rows, size: int) -> State:
    zero = jnp.zeros((), rows.dtype)
    nothing = jnp.full(size, jnp.nan, rows.dtype)
    return State(q, zero - jnp.inf, zero + jnp.inf, jnp.asarray(0), jnp.asarray(False), nothing)


def _from_starts(starts: Params, prior: Belief, rows: Rows, size: int) -> State:
    return lax.map(lambda start: _blank(prior.update(mixture_stats(start, rows)), rows, size), starts)


def _from_batches(keys, starts: Params, prior: Belief, rows: Rows, num_rows, num_steps, size: int, batch_size: int):
    """Stochastic steps from each start; their states, and their bounds with all rows."""
    share = jnp.asarray(num_rows, rows.dtype) / batch_size

    def batch_of(key):
        return rows.take(jr.randint(key, (batch_size,), 0, num_rows))

    def one(inputs):
        key, start = inputs
        first = _weigh(mixture_stats(start, batch_of(key)), share)

        def turn(t, stats):
            seen = expect(KERNELS["cavi"], jr.key(0), prior.update(stats), batch_of(jr.fold_in(key, t)))
            step = jnp.asarray(t + DELAY, rows.dtype) ** -FORGETTING
            return _pool(_weigh(stats, 1.0 - step), _weigh(seen, step * share))

        q = prior.update(lax.fori_loop(0, num_steps, turn, first))
        bound = expect(KERNELS["cavi"], jr.key(0), q, rows).value - q.kl(prior)
        return _blank(q, rows, size), bound

    return lax.map(one, (keys, starts))


def _weigh(stats: Stats, weight) -> Stats:
    return Stats(weight * stats.counts, stats.means, weight * stats.scatters, weight * stats.value)


def _pool(one: Stats, two: Stats) -> Stats:
    """Statistics of two sets of rows together (Chan, Golub & LeVeque 1983)."""
    counts = one.counts + two.counts
    share = two.counts / jnp.where(counts > 0, counts, 1.0)
    apart = two.means - one.means
    scatters = one.scatters + two.scatters + (one.counts * share)[:, None, None] * outer(apart)
    return Stats(counts, one.means + share[:, None] * apart, scatters, one.value + two.value)


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
_BATCHES = Program(_from_batches, static=("size", "batch_size"))
_ASCEND = Program(_ascend)
_DRAWS = Program(_draws)
