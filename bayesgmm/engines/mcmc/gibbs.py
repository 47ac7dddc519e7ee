"""The Gibbs sampler: EM with both updates drawn, instead of averaged and maximised."""

import warnings
from functools import partial
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Int, PRNGKeyArray

from bayesgmm.data.described import described
from bayesgmm.data.kinds import CLASSES_DRAWN, NOT_TEMPERED
from bayesgmm.engines.chain_starts import Init
from bayesgmm.engines.checks import MOST_CHAINS
from bayesgmm.engines.engine import CHAIN_SETTINGS, Engine
from bayesgmm.engines.mcmc.chain_loop import collect
from bayesgmm.engines.mcmc.sampler import Sampler, run_sampler
from bayesgmm.engines.mcmc.tempering import Replicas, replicate, tempered_sweep
from bayesgmm.engines.step import KERNELS, asked, step
from bayesgmm.errors import MixingWarning
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.stick_order import Reordered
from bayesgmm.problem import Problem
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import check_count
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Progress
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.passed import HostRows, Passed
from bayesgmm.sweep.sharded import over_chains


class GibbsState(NamedTuple):
    """State of a chain: its θ, its key, and its number of sweeps. Each sweep folds that number into the key."""

    params: Params
    key: PRNGKeyArray
    sweeps: Int[Array, ""]


def sample_gibbs(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    fixed: Any = None,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    init: Init = "dispersed",
    reference: MixtureFit | Params | None = None,
    tempering: int = 1,
    checkpoint: str | PathLike | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> Posterior:
    """Sample the posterior by Gibbs: draw z given θ, then θ given z, both exactly (Diebolt & Robert 1994).

    Parameters
    ----------
    x, n_components, dtype, progress_bar
        As for `fit_em`.
    covariance_type
        ``"full"``, ``"tied"``, ``"diag"``, ``"spherical"``, or an mclust code with a conjugate prior: VVV, EEE, VVI,
        EEI, VII, EII; E and V for one feature.
    prior
        ``"default"`` (`default_prior`) or a proper conjugate `Prior`, in the user's units; None (flat) is refused.
    weights, labels, errors, noise
        What else is known of the rows; see `rows`.
    fixed
        Parameters that are known and held while the rest is inferred, such as ``{"means": {0: [1.0, 2.0]}}``: by
        ``"weights"``, ``"means"``, ``"covariances"``, a mapping from components to values, or an array for all
        components with NaN where they are free. In the user's units; see `bayesgmm.model.fixed.resolve_fixed`.
    num_warmup, num_samples, num_chains
        Warm-up sweeps (dropped), sweeps kept, and chains (run in parallel).
    seed
        int or JAX key.
    init
        ``"dispersed"`` (a k-means++ start per chain), ``"em"`` (the best MAP mode), ``"basins"`` (a distinct mode for
        each chain), `Params` in the user's units, or a fit.
    reference
        Fit (or `Params`) that fixes the labelling of the components; by default the mode that EM reaches from the draw
        of highest log posterior.
    tempering
        Replicas per chain (parallel tempering, see `bayesgmm.engines.mcmc.tempering`), on a ladder from the posterior
        to nearly the prior. Use it if chains stay in different modes. Each replica costs as much as a chain; 1 is plain
        Gibbs. With more, ``sample_stats`` holds ``swap_acceptance`` (mean over neighbours) and ``round_trip`` (whether
        the replica of this draw has come from the far end, where it leaves its mode).
    checkpoint
        A folder. The run is saved there every few seconds. However it ended, the same call resumes it, bit for bit. If
        more draws are requested, only the remaining draws are run.

    Returns
    -------
    Posterior
        After Ctrl-C during sampling: the draws so far, with ``interrupted`` set. ``extend(n)`` draws more.

    Raises
    ------
    DataError, PriorError, ArgumentError, CheckpointError
        Before the run, if an input cannot be used.
    SamplingInterrupted
        If stopped during warm-up.

    Warns
    -----
    MixingWarning
        If in some chain no replica moved from the far end of the ladder to the posterior.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> x = bg.load_dataset("faithful")
    >>> draws = bg.sample_gibbs(x, 2, num_samples=500, progress_bar=False)
    >>> draws.params.means.shape  # (chain, draw, component, feature)
    (4, 500, 2, 2)
    >>> draws.params.weights.mean((0, 1)).round(2)
    array([0.36, 0.64])
    """
    x = described(x, weights, labels, errors, noise)
    tempering = check_count("tempering", tempering, most=MOST_CHAINS)
    num_warmup = check_count("num_warmup", num_warmup, least=0)
    posterior = run_sampler(
        gibbs(tempering, num_warmup), x, n_components, covariance_type=covariance_type, prior=prior, fixed=fixed,
        num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains, seed=seed, init=init,
        reference=reference, checkpoint=checkpoint, dtype=dtype, progress_bar=progress_bar,
    )  # fmt: skip
    if tempering > 1 and not posterior.sample_stats["round_trip"].any(axis=1).all():
        barrier = (tempering - 1) * (1.0 - posterior.sample_stats["swap_acceptance"].mean())
        warnings.warn(
            "A chain has no round trip: no replica moved from the far end of the ladder to the posterior. Draw more, "
            f"or use tempering={max(round(2 * barrier) + 1, tempering + 2)}.",
            MixingWarning, stacklevel=2,
        )  # fmt: skip
    return posterior


def gibbs(tempering: int, num_warmup: int) -> Sampler:
    """Gibbs as a `Sampler`: plain, or with `tempering` replicas and a ladder that warm-up adapts."""
    if tempering == 1:
        return PLAIN
    settings = (("tempering", tempering),)
    return Sampler(
        "gibbs",
        partial(_start_replicas, tempering),
        partial(_advance_replicas, num_warmup),
        settings,
        NOT_TEMPERED,
        f"tempering={tempering}",
        _swaps,
    )


def _start(keys: Any, starts: Params, problem: Problem) -> GibbsState:
    return GibbsState(starts, keys, np.zeros(len(keys), int))


def _advance(state: GibbsState, count: Int[Array, ""], problem: Problem):
    prior = Reordered(problem.standard_prior) if problem.model.in_order else problem.standard_prior
    if isinstance(problem.rows, HostRows):
        return _advance_on_host(state, int(count), prior, problem.rows)
    return _BLOCK(state, count, prior, problem.rows)


def _advance_on_host(state: GibbsState, count: int, prior: Belief | Reordered, rows: HostRows):
    """As `_block` for rows over which the host passes; all chains share each reading of the rows."""
    outputs = []
    for _ in range(count):
        seen = rows.total(_ASK(state, prior), KERNELS["gibbs"].assign)
        state, output = _SWEEP(state, prior, seen)
        outputs.append(to_numpy(output))
    return state, jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *outputs)


def _sweep(state: GibbsState, prior: Belief | Reordered, rows: Rows | Passed):
    """One sweep of one chain, and what it records."""
    key = jr.fold_in(state.key, state.sweeps)
    params, seen = step(KERNELS["gibbs"], key, state.params, prior, rows)
    # A sweep computes the log-likelihood of the θ that it starts from. So the chain records that θ.
    return GibbsState(params, state.key, state.sweeps + 1), (state.params, seen.stats.value, {})


def _block(state: GibbsState, count: Int[Array, ""], prior: Belief | Reordered, rows: Rows):
    def run(rows, shared, state: GibbsState):
        prior, count = shared
        return collect(lambda state: _sweep(state, prior, rows), state, count)

    return over_chains(run, rows, (prior, count), state)


def _ask(state: GibbsState, prior: Belief):
    """Key and scores of the pass of each chain's next sweep."""
    keys = jax.vmap(jr.fold_in)(state.key, state.sweeps)
    return jax.vmap(lambda key, theta: asked(KERNELS["gibbs"], key, theta, prior))(keys, state.params)


def _sweep_passed(state: GibbsState, prior: Belief, rows: Passed):
    """One sweep of each chain, after the pass that it has asked for."""
    return jax.vmap(lambda state, rows: _sweep(state, prior, rows))(state, rows)


_BLOCK = Program(_block)
_ASK = Program(_ask)
_SWEEP = Program(_sweep_passed)
PLAIN = Sampler("gibbs", _start, _advance)


class TemperedState(NamedTuple):
    """State of a tempered chain: as `GibbsState`, with replicas."""

    replicas: Replicas
    key: PRNGKeyArray
    sweeps: Int[Array, ""]


def _start_replicas(tempering: int, keys: Any, starts: Params, problem: Problem) -> TemperedState:
    replicas = jax.vmap(lambda start: replicate(start, tempering, problem.table.total))(starts)
    return TemperedState(replicas, keys, np.zeros(len(keys), int))


def _advance_replicas(num_warmup: int, state: TemperedState, count: Int[Array, ""], problem: Problem):
    return _TEMPERED_BLOCK(state, count, np.asarray(num_warmup), problem.standard_prior, problem.rows)


def _tempered_block(state: TemperedState, count: Int[Array, ""], num_warmup: Int[Array, ""], prior: Belief, rows: Rows):
    def run(rows, shared, state: TemperedState):
        count, num_warmup, prior = shared

        def advance(state: TemperedState):
            key = jr.fold_in(state.key, state.sweeps)
            posterior = jax.tree.map(lambda leaf: leaf[0], state.replicas.params)
            replicas, (value, stats) = tempered_sweep(key, state.replicas, state.sweeps, num_warmup, prior, rows)
            return TemperedState(replicas, state.key, state.sweeps + 1), (posterior, value, stats)

        return collect(advance, state, count)

    return over_chains(run, rows, (count, num_warmup, prior), state)


def _swaps(outputs: Any) -> str:
    return f"{outputs[2]['swap_acceptance'].mean():.0%} of swaps accepted"


_TEMPERED_BLOCK = Program(_tempered_block)
GIBBS = Engine(
    "gibbs",
    "Gibbs sampling",
    sample_gibbs,
    (*CHAIN_SETTINGS, "tempering"),
    needs=Conjugacy.CONDITIONAL,
    families=CONJUGATE,
    refuses=CLASSES_DRAWN,
    from_disk=True,
    sampler=lambda settings, num_warmup: gibbs(settings.get("tempering", 1), num_warmup),
)
