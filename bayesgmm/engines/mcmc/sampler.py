"""One run of a sampler, whichever it is: from the user's call to a `Posterior` that can be extended."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Int

from bayesgmm.engines.chains import (
    Init,
    chain_starts,
    check_chain_arguments,
    check_family,
    check_reference,
    check_sampled,
    to_posterior,
    to_report,
)
from bayesgmm.engines.mcmc.chain_loop import run_chains
from bayesgmm.errors import SamplingInterrupted
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.problem import Problem, as_key, check_prior, prepare
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.checkpoint import Checkpoint, fingerprint, freeze, thaw
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Stopwatch, stopwatch
from bayesgmm.runtime.progress import Progress, listening
from bayesgmm.version import __version__


def _no_note(outputs: Any) -> str:
    del outputs
    return ""


class Sampler(NamedTuple):
    """What is particular to an engine."""

    name: str
    start: Callable[[Any, Params, Problem], Any]
    """State of the chains, from a key and a θ for each."""
    block: Callable[[Any, Int[Array, ""], Problem], tuple[Any, Any]]
    """State and outputs (params, log-likelihood, statistics by name) after so many draws."""
    settings: tuple[tuple[str, Any], ...] = ()
    """What else decides on the draws."""
    note: Callable[[Any], str] = _no_note
    """A few words on a block, for the progress bar."""


def run_sampler(
    sampler: Sampler,
    x: Any,
    n_components: int,
    *,
    covariance_type: str,
    prior: Belief | str | None,
    num_warmup: int,
    num_samples: int,
    num_chains: int,
    seed: Any,
    init: Init,
    reference: MixtureFit | Params | None,
    checkpoint: str | PathLike | None,
    dtype: str,
    progress_bar: Progress,
) -> Posterior:
    """Check, start, draw and return: see `sample_gibbs` for the arguments."""
    check_chain_arguments(num_warmup, num_samples, num_chains, prior)
    with scope(dtype), stopwatch() as clock, listening(progress_bar) as listener:
        problem = prepare(x, n_components, prior, dtype, covariance_type)
        check_family(sampler.name, problem.family, problem.table.dim)
        check_prior(sampler.name, problem.prior)
        check_sampled(problem, num_chains, num_samples)
        check_reference(reference, problem)
        key_start, key_run = jr.split(as_key(seed), 3)[:2]  # the third is the DataTree's
        folder = None
        if checkpoint is not None:
            folder = Checkpoint(checkpoint, _question(sampler, problem, num_warmup, num_chains, seed, init))
        starts = chain_starts(key_start, problem, num_chains, init)
        state = sampler.start(jr.split(key_run, num_chains), starts, problem)
        run = run_chains(
            lambda state, count: sampler.block(state, count, problem), state, num_warmup, num_samples,
            to_report(listener, sampler.name, num_warmup, num_samples, sampler.note), folder,
        )  # fmt: skip
        if run.outputs is None and folder is not None and folder.failed is None:
            raise SamplingInterrupted(
                f"{sampler.name} was stopped during warm-up. {folder.folder} holds where it stood: the same call goes on."
            )
        posterior = to_posterior(
            problem, run, clock, algorithm=sampler.name, num_warmup=num_warmup, seed=seed, reference=reference
        )
    return replace(posterior, continuation=partial(_go_on, sampler, freeze(run.state), dtype))


def _go_on(
    sampler: Sampler, state: Any, dtype: str, posterior: Posterior, num_samples: int, progress_bar: Progress
) -> Posterior:
    with scope(dtype), stopwatch() as clock, listening(progress_bar) as listener:
        problem = prepare(posterior.table, posterior.n_components, posterior.prior, dtype, posterior.family.name)
        check_sampled(problem, posterior.num_chains, posterior.num_samples + num_samples)
        run = run_chains(
            lambda state, count: sampler.block(state, count, problem), thaw(state), 0, num_samples,
            to_report(listener, sampler.name, 0, num_samples, sampler.note),
        )  # fmt: skip
        if run.outputs is None:
            return replace(posterior, interrupted=True)
        more = to_posterior(
            problem,
            run,
            clock,
            algorithm=sampler.name,
            num_warmup=0,
            seed=posterior.seed,
            reference=posterior.reference,
        )

    def joined(name: str) -> Any:
        return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), getattr(posterior, name), getattr(more, name))

    first = posterior.clock
    clock = Stopwatch(first.compile_seconds + clock.compile_seconds, first.total_seconds + clock.total_seconds)
    parts = {name: joined(name) for name in ("params", "log_likelihood", "log_prior", "sample_stats", "namings")}
    return replace(
        posterior, **parts, interrupted=more.interrupted, clock=clock,
        continuation=partial(_go_on, sampler, freeze(run.state), dtype),
    )  # fmt: skip


def _question(
    sampler: Sampler, problem: Problem, num_warmup: int, num_chains: int, seed: Any, init: Init
) -> dict[str, Any]:
    """All that the draws follow from, in few words."""
    start = getattr(init, "params", init)
    return {
        "bayesgmm": __version__,
        "jax": jax.__version__,
        "algorithm": sampler.name,
        **dict(sampler.settings),
        "n_components": problem.num_components,
        "covariance_type": problem.family.name,
        "dtype": problem.dtype,
        "num_warmup": num_warmup,
        "num_chains": num_chains,
        "seed": fingerprint(as_key(seed)),
        "init": start if isinstance(start, str) else fingerprint(start),
        "data": fingerprint(problem.table.values),
        "prior": fingerprint(problem.prior),
    }
