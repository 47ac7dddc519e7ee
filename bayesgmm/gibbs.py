"""The Gibbs sampler: EM with both halves drawn instead of averaged and maximised."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Int, PRNGKeyArray

from bayesgmm.arrays import Array
from bayesgmm.blocks import collect, run_chains
from bayesgmm.chains import Init, chain_starts, check_chain_arguments, check_reference, to_posterior, to_report
from bayesgmm.clock import Program, stopwatch
from bayesgmm.conjugate import Belief
from bayesgmm.kernels import KERNELS, step
from bayesgmm.precision import scope
from bayesgmm.problem import as_key, prepare
from bayesgmm.progress import Progress, listening
from bayesgmm.results import MixtureFit, Posterior
from bayesgmm.sweep import Rows
from bayesgmm.types import Params


class GibbsState(NamedTuple):
    """Where a chain is: its θ, its key, and the number of sweeps behind it (each sweep folds that number into the key)."""

    params: Params
    key: PRNGKeyArray
    sweeps: Int[Array, ""]


def sample_gibbs(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    init: Init = "dispersed",
    reference: MixtureFit | Params | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> Posterior:
    """Sample the posterior by Gibbs: z given θ, then θ given z, both exactly (Diebolt & Robert 1994).

    Parameters
    ----------
    x, n_components, covariance_type, dtype, progress_bar
        As for `fit_em`.
    prior
        ``"default"`` (`default_prior`) or a proper conjugate `Prior`, in the user's units; None (flat) is refused.
    num_warmup, num_samples, num_chains
        Sweeps dropped, sweeps kept, and chains (run side by side).
    seed
        int or JAX key.
    init
        ``"dispersed"`` (a k-means++ start per chain), ``"em"`` (the best MAP mode), `Params` in the user's units, or a fit.
    reference
        Fit (or `Params`) whose component numbers the draws shall follow; by default the mode that EM reaches from the
        highest draw.

    Returns
    -------
    Posterior
        With Ctrl-C during sampling, the draws so far, and ``interrupted`` set.

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    SamplingInterrupted
        If stopped during warm-up.
    """
    check_chain_arguments(num_warmup, num_samples, num_chains, prior, covariance_type)
    with scope(dtype), stopwatch() as clock, listening(progress_bar) as listener:
        problem = prepare(x, n_components, prior, dtype)
        key_start, key_run = jr.split(as_key(seed), 3)[:2]  # the third is the DataTree's
        starts = chain_starts(key_start, problem, num_chains, init)
        check_reference(reference, problem)
        state = GibbsState(starts, jr.split(key_run, num_chains), jnp.zeros(num_chains, int))
        run = run_chains(
            lambda state, count: _BLOCK(state, count, problem.belief, problem.rows), state, num_warmup, num_samples,
            to_report(listener, "gibbs", num_warmup, num_samples, lambda outputs: ""),
        )  # fmt: skip
        return to_posterior(
            problem,
            run,
            clock,
            sample_stats={},
            algorithm="gibbs",
            num_warmup=num_warmup,
            seed=seed,
            reference=reference,
        )


def _block(state: GibbsState, count: Int[Array, ""], prior: Belief, rows: Rows):
    def advance(state: GibbsState):
        key = jr.fold_in(state.key, state.sweeps)
        params, stats = step(KERNELS["gibbs"], key, state.params, prior, rows)
        # The sweep that starts from θ is the one that knows θ's log-likelihood, so θ is recorded as it goes in.
        return GibbsState(params, state.key, state.sweeps + 1), (state.params, stats.value)

    return jax.vmap(lambda state: collect(advance, state, count))(state)


_BLOCK = Program(_block)
