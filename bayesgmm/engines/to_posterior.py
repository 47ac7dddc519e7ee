"""Convert the draws of an engine to a `Posterior`: in the user's units, with one labelling of the components."""

import warnings
from dataclasses import fields
from typing import Any, NamedTuple

import jax
import numpy as np

from bayesgmm.engines.em.ahead import prepare_ascents
from bayesgmm.engines.em.ascent import begin, run_ascents
from bayesgmm.engines.starts import sampled
from bayesgmm.errors import MixingWarning, SamplingInterrupted
from bayesgmm.model.alignment import align, by_first_mean, permute
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_key
from bayesgmm.runtime.programs import Program, Stopwatch, compile_ahead
from bayesgmm.sweep.passed import HostRows

REFERENCE_ITERATIONS = 500
"""Most EM iterations from the draw of highest log posterior to the mode that fixes the labelling."""


class Collected(NamedTuple):
    """Result of a run: the state of its chains, the draws, and whether it was interrupted."""

    state: Any
    outputs: Any
    """(params, log-likelihood, statistics by name), with leading axes (chain, draw); None if no draw was kept."""
    interrupted: bool


class Origin(NamedTuple):
    """How the draws were made, for the `Posterior`."""

    algorithm: str
    num_warmup: int
    seed: Any
    reference: MixtureFit | Params | None
    """Fixes the labelling of the components. None: the mode that EM reaches from the draw of highest log posterior."""
    settings: dict[str, Any]


def prepare_reference(problem: Problem, reference: MixtureFit | Params | None) -> None:
    """Compile in another thread what `to_posterior` will run to find the labelling."""
    rows = problem.rows
    if reference is None and problem.prior is not None and problem.prior.has_mode and not isinstance(rows, HostRows):
        prior = problem.standard_prior
        compile_ahead("reference", (prior, rows), lambda: prepare_ascents(1, prior, rows))


def to_posterior(problem: Problem, run: Collected, clock: Stopwatch, origin: Origin) -> Posterior:
    """Transform draws from standardised coordinates to the user's units, and relabel them.

    Under a prior that tells the components apart, component k stays the prior's component k; with known classes, it
    stays class k.

    Raises
    ------
    SamplingInterrupted
        If the run was stopped before it kept a draw.
    """
    if run.outputs is None:
        raise SamplingInterrupted(
            f"{origin.algorithm} was stopped during warm-up. No draw was kept, so nothing can be returned."
        )
    draws, log_likelihood, sample_stats = run.outputs
    log_prior = np.asarray(_log_kernels(_merge(draws), problem.standard_prior)).reshape(log_likelihood.shape)
    mode = _reference_mode(problem, draws, log_likelihood + log_prior, origin.reference)
    permutations = align(draws, mode, problem.model.interchangeable)
    draws = permute(draws, permutations)
    posterior = Posterior(
        params=problem.model.restore(draws),
        log_likelihood=np.asarray(log_likelihood, np.float64) - problem.log_volume,
        log_prior=np.asarray(log_prior, np.float64) + problem.prior_shift(_first(draws)),
        sample_stats=sample_stats,
        algorithm=origin.algorithm,
        model=problem.model,
        settings=origin.settings,
        reference=problem.model.restore(mode),
        permutations=permutations.astype(np.uint8 if problem.num_components <= 256 else int),
        num_warmup=origin.num_warmup,
        interrupted=run.interrupted,
        clock=clock,
        seed=origin.seed,
        continuation=None,
    )
    if posterior.num_divergences:
        warnings.warn(
            f"{posterior.num_divergences} of {log_likelihood.size} transitions diverged. The sampler could not follow "
            "the posterior everywhere. Raise target_accept_prob, or compare with sample_gibbs.",
            MixingWarning, stacklevel=4,
        )  # fmt: skip
    return posterior


def posterior_fields(
    problem: Problem, draws: Any, shape: tuple[int, int], interrupted: bool, clock: Stopwatch, origin: Origin
) -> dict[str, Any]:
    """The fields of a `Posterior` of independent draws: flat (params, log-likelihoods), reshaped to (chain, draw)."""
    outputs = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), (*draws, {}))
    posterior = to_posterior(problem, Collected(None, outputs, interrupted), clock, origin)
    return {field.name: getattr(posterior, field.name) for field in fields(Posterior)}


def prior_constant(problem: Problem, params: Params) -> float:
    """Log normaliser of the prior over θ as in `coordinates`: standardised, except for log standard deviations.

    It is the same for every θ at which it is computed.
    """
    num, dim, held = problem.num_components, problem.table.dim, problem.model.held
    own = num - len(held.covariances)
    matrices = 0 if problem.family.orientation == "I" else 1 if problem.family.pooled else own
    volume = (num - len(held.means) + matrices * (dim + 1)) * float(problem.frame.log_volume)
    return problem.prior_shift(params) + volume


def _reference_mode(
    problem: Problem, draws: Params, log_posterior: np.ndarray, reference: MixtureFit | Params | None
) -> Params:
    among = problem.model.interchangeable
    if reference is not None and among.sum() > len(among):
        params = reference.params if isinstance(reference, MixtureFit) else reference
        return jax.tree.map(np.asarray, problem.frame.standardise(params))
    top = np.unravel_index(np.argmax(log_posterior), log_posterior.shape)
    mode = jax.tree.map(lambda leaf: leaf[top], draws)
    # If EM cannot ascend to a mode, the reference is the draw of highest log posterior.
    if problem.prior is not None and problem.prior.has_mode:
        start = jax.tree.map(lambda leaf: leaf[None], mode)
        ascents = begin(start, problem.standard_prior, True)
        rows = sampled(problem).rows  # a pass over rows on disk may take minutes, and this only numbers components
        ascents, _ = run_ascents(
            as_key(0), ascents, problem.standard_prior, rows, 1e-3, REFERENCE_ITERATIONS, "em", True
        )
        mode = jax.tree.map(lambda leaf: np.asarray(leaf)[0], ascents.params)
    return permute(mode, by_first_mean(mode, among))


def _first(draws: Params) -> Params:
    return jax.tree.map(lambda leaf: leaf[0, 0], draws)


def _merge(params: Params) -> Params:
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), params)


@Program
def _log_kernels(params: Params, prior: Belief):
    return jax.vmap(prior.log_kernel)(params)
