"""Coordinate-ascent variational inference: EM with θ kept as a distribution (Attias 2000; Bishop 2006, section 10.2)."""

import warnings
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int

from bayesgmm import initialize
from bayesgmm.approximation import ApproximatePosterior, pareto_k
from bayesgmm.arrays import Array
from bayesgmm.blocks import Collected
from bayesgmm.chains import check_chain_arguments, check_family, check_reference, to_posterior
from bayesgmm.clock import Program, stopwatch
from bayesgmm.conjugate import Belief
from bayesgmm.errors import ArgumentError, FitError, NotConvergedWarning
from bayesgmm.kernels import KERNELS, expect, log_likelihood, mixture_stats
from bayesgmm.precision import scope, to_numpy
from bayesgmm.problem import as_key, check_count, check_prior, prepare
from bayesgmm.results import MixtureFit
from bayesgmm.sweep import Rows
from bayesgmm.types import Frame, Params


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
    max_iter: int = 2000,
    tol: float = 1e-6,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    reference: MixtureFit | Params | None = None,
    dtype: str = "float64",
) -> VariationalPosterior:
    """Approximate the posterior by ``q(z) q(weights) Π q(means_k, covariances_k)``, the best of several starts.

    Each iteration is EM's, with expectations in both halves: z given q(θ), then q(θ) given q(z), which is conjugate. The bound
    (ELBO) never falls. What q leaves out is the dependence between z and θ: spreads come out too small, and k-hat says by how
    much that matters.

    Parameters
    ----------
    x, n_components, covariance_type, prior, reference, dtype
        As for `sample_gibbs`.
    n_init
        Number of starts.
    max_iter
        Most iterations.
    tol
        Stop when Aitken's estimate of the bound still to be gained falls below this.
    num_samples, num_chains
        Independent draws from q, in the shape that the samplers have.
    seed
        int or JAX key.

    Returns
    -------
    VariationalPosterior

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
    with scope(dtype), stopwatch() as clock:
        problem = prepare(x, n_components, prior, dtype, covariance_type)
        check_family("cavi", problem.family, problem.table.dim)
        check_prior("cavi", problem.prior)
        check_reference(reference, problem)
        key_start, key_draw = jr.split(as_key(seed), 3)[:2]  # the third is the DataTree's
        starts = initialize.made_starts(key_start, problem, n_init)
        size = 1 << int(max_iter).bit_length()
        limits = np.asarray(tol, dtype), np.asarray(max_iter)
        states = to_numpy(_ASCEND(starts, problem.belief, problem.rows, *limits, size=size))
        if not np.isfinite(states.elbo).any():
            raise FitError("No start led to a finite bound. Check the scale of the data, or use dtype='float64'.")
        best = int(np.nanargmax(states.elbo))
        state: State = jax.tree.map(lambda leaf: leaf[best], states)
        keys = jr.split(key_draw, num_chains * num_samples)
        params, values, log_ratios = to_numpy(_DRAWS(keys, state.q, problem.belief, problem.rows))
        outputs = jax.tree.map(
            lambda leaf: leaf.reshape(num_chains, num_samples, *leaf.shape[1:]), (Params(*params), values, {})
        )
        posterior = to_posterior(
            problem, Collected(None, outputs, False), clock, algorithm="cavi", num_warmup=0,
            seed=seed, reference=reference,
        )  # fmt: skip
    shared = {field.name: getattr(posterior, field.name) for field in fields(posterior)}
    back = Frame(-problem.frame.center / problem.frame.scale, 1.0 / problem.frame.scale)
    q = to_numpy(Belief(state.q.weights, state.q.components.standardise(back)))
    if not state.settled:
        warnings.warn(
            f"CAVI stopped at max_iter={max_iter} before its bound settled. Raise max_iter, or loosen tol.",
            NotConvergedWarning, stacklevel=2,
        )  # fmt: skip
    return VariationalPosterior(
        **shared, q=q, elbo=float(state.elbo) - problem.log_volume, converged=bool(state.settled),
        trace=np.asarray(state.trace[: int(state.iteration)], float) - problem.log_volume, pareto_k=pareto_k(log_ratios),
    )  # fmt: skip


def _ascend(starts: Params, prior: Belief, rows: Rows, tol, max_iter, size: int) -> State:
    """CAVI from each start (leading axis), each to its end."""

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

    def one(start: Params) -> State:
        zero = jnp.zeros((), rows.dtype)
        begin = State(prior.update(mixture_stats(start, rows)), zero - jnp.inf, zero + jnp.inf, jnp.asarray(0),
                      jnp.asarray(False), jnp.full(size, jnp.nan, rows.dtype))  # fmt: skip
        return lax.while_loop(lambda state: ~state.settled & (state.iteration < max_iter), turn, begin)

    return lax.map(one, starts)


def _draws(keys, q: Belief, prior: Belief, rows: Rows):
    """Draws from q, their log-likelihoods, and the log ratios of posterior to q."""
    constants = prior.log_normaliser() - q.log_normaliser()

    def one(key):
        params = q.sample(key)
        value = log_likelihood(params, rows)
        return params, value, value + prior.log_kernel(params) - q.log_kernel(params) + constants

    return lax.map(one, keys)


_ASCEND = Program(_ascend, static=("size",))
_DRAWS = Program(_draws)
