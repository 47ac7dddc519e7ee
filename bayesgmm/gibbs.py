"""The Gibbs sampler: EM with both halves drawn instead of averaged and maximised."""

from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Int, PRNGKeyArray

from bayesgmm.arrays import Array
from bayesgmm.blocks import collect
from bayesgmm.chains import Init
from bayesgmm.clock import Program
from bayesgmm.conjugate import Belief
from bayesgmm.kernels import KERNELS, step
from bayesgmm.posterior import Posterior
from bayesgmm.problem import Problem
from bayesgmm.progress import Progress
from bayesgmm.results import MixtureFit
from bayesgmm.sampling import Sampler, run_sampler
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
    checkpoint: str | PathLike | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> Posterior:
    """Sample the posterior by Gibbs: z given θ, then θ given z, both exactly (Diebolt & Robert 1994).

    Parameters
    ----------
    x, n_components, dtype, progress_bar
        As for `fit_em`.
    covariance_type
        ``"full"``, ``"tied"``, ``"diag"``, ``"spherical"``, or an mclust code with a conjugate belief: VVV, EEE, VVI, EEI, VII,
        EII; E and V for one feature.
    prior
        ``"default"`` (`default_prior`) or a proper conjugate `Prior`, in the user's units; None (flat) is refused.
    num_warmup, num_samples, num_chains
        Sweeps dropped, sweeps kept, and chains (run side by side).
    seed
        int or JAX key.
    init
        ``"dispersed"`` (a k-means++ start per chain), ``"em"`` (the best MAP mode), ``"basins"`` (a distinct mode each),
        `Params` in the user's units, or a fit.
    reference
        Fit (or `Params`) whose component numbers the draws shall follow; by default the mode that EM reaches from the
        highest draw.
    checkpoint
        A folder. The run is saved there every few seconds, and the same call goes on from what it finds, bit for bit, after
        whatever end; asked for more draws, it makes only those that lack.

    Returns
    -------
    Posterior
        With Ctrl-C during sampling, the draws so far, and ``interrupted`` set. ``extend(n)`` draws more.

    Raises
    ------
    DataError, PriorError, ArgumentError, CheckpointError
        Before the run, if an input cannot be used.
    SamplingInterrupted
        If stopped during warm-up.
    """
    return run_sampler(
        GIBBS, x, n_components, covariance_type=covariance_type, prior=prior, num_warmup=num_warmup, num_samples=num_samples,
        num_chains=num_chains, seed=seed, init=init, reference=reference, checkpoint=checkpoint, dtype=dtype,
        progress_bar=progress_bar,
    )  # fmt: skip


def _start(keys: Any, starts: Params, problem: Problem) -> GibbsState:
    return GibbsState(starts, keys, jnp.zeros(len(keys), int))


def _advance(state: GibbsState, count: Int[Array, ""], problem: Problem):
    return _BLOCK(state, count, problem.belief, problem.rows)


def _block(state: GibbsState, count: Int[Array, ""], prior: Belief, rows: Rows):
    def advance(state: GibbsState):
        key = jr.fold_in(state.key, state.sweeps)
        params, stats = step(KERNELS["gibbs"], key, state.params, prior, rows)
        # The sweep that starts from θ is the one that knows θ's log-likelihood, so θ is recorded as it goes in.
        return GibbsState(params, state.key, state.sweeps + 1), (state.params, stats.value, {})

    return jax.vmap(lambda state: collect(advance, state, count))(state)


_BLOCK = Program(_block)
GIBBS = Sampler("gibbs", _start, _advance)
