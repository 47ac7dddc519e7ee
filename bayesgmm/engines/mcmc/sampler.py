"""One run of any sampler: from the user's call to a `Posterior` that can be extended."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any, NamedTuple

from jaxtyping import Int

from bayesgmm.data.kinds import check_rows
from bayesgmm.engines.chain_starts import Init, chain_starts
from bayesgmm.engines.checks import check_chain_arguments, check_reference, check_sampled
from bayesgmm.engines.engine import find_engine
from bayesgmm.engines.mcmc.chain_loop import Report, run_chains
from bayesgmm.engines.run_identity import run_identity
from bayesgmm.engines.shared_checkpoint import checkpoint_of
from bayesgmm.engines.starts import sampled
from bayesgmm.engines.to_posterior import Collected, Origin, prepare_reference, to_posterior
from bayesgmm.errors import ArgumentError, SamplingInterrupted
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, prepare, to_problem
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.of_chains import joined
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import key_array, split_seed
from bayesgmm.runtime.checkpoint import Checkpoint, freeze, thaw
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.files import as_path
from bayesgmm.runtime.fingerprint import fingerprint
from bayesgmm.runtime.programs import stopwatch
from bayesgmm.runtime.progress import Listener, Progress, listening
from bayesgmm.sweep.passed import HostRows, watched


def _no_note(outputs: Any) -> str:
    del outputs
    return ""


class Sampler(NamedTuple):
    """The parts specific to one sampler."""

    name: str
    start: Callable[[Any, Params, Problem], Any]
    """State of the chains, given a key and a θ for each."""
    block: Callable[[Any, Int[Array, ""], Problem], tuple[Any, Any]]
    """State and outputs (params, log-likelihood, statistics by name) after the given number of draws."""
    settings: tuple[tuple[str, Any], ...] = ()
    """Other settings that determine the draws."""
    refuses: tuple[str, ...] = ()
    """Kinds of rows that it does not take with these settings (`bayesgmm.data.kinds`)."""
    called: str = ""
    """These settings, in a message about such rows."""
    note: Callable[[Any], str] = _no_note
    """A short note on a block, for the progress bar."""


def run_sampler(
    sampler: Sampler,
    x: Any,
    n_components: int,
    *,
    covariance_type: str,
    prior: Belief | str | None,
    fixed: Any = None,
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
    """Check the arguments, start the chains, draw, and return the posterior. See `sample_gibbs` for the arguments."""
    check_chain_arguments(num_warmup, num_samples, num_chains, prior)
    num_warmup, num_samples, num_chains = int(num_warmup), int(num_samples), int(num_chains)
    folder = None if checkpoint is None else as_path("checkpoint", checkpoint)
    with scope(dtype) as dtype, stopwatch() as clock, listening(progress_bar) as listener, ExitStack() as held:
        problem = prepare(x, n_components, prior, dtype, covariance_type, fixed)
        engine = find_engine(sampler.name)
        engine.check(problem.prior, problem.family, problem.table.dim)
        engine.check_problem(problem)
        check_rows(sampler.called, sampler.refuses, problem.table, "The default settings do.")
        check_sampled(problem.model, num_chains, num_samples)
        check_reference(reference, problem.model)
        keys = split_seed(seed)
        saved = None
        if folder is not None:
            identity = run_identity(
                problem.model, sampler.name, seed, **dict(sampler.settings), n_components=problem.num_components,
                dtype=dtype, num_warmup=num_warmup, num_chains=num_chains, init=_init_identity(init),
            )  # fmt: skip
            saved = held.enter_context(checkpoint_of(folder, identity, problem.rows))
        prepare_reference(problem, reference)
        starts = chain_starts(keys.start, sampled(problem), num_chains, init)
        state = sampler.start(key_array(keys.run, num_chains), starts, problem)
        run = run_blocks(sampler, state, problem, num_warmup, num_samples, listener, saved)
        settings: dict[str, Any] = {"num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains}
        settings["init"] = getattr(init, "params", init)
        settings |= {"dtype": dtype, **dict(sampler.settings)}
        posterior = to_posterior(problem, run, clock, Origin(sampler.name, num_warmup, seed, reference, settings))
    return replace(posterior, continuation=Chains(sampler, freeze(run.state)))


@dataclass(frozen=True)
class Chains:
    """The chains of a posterior, which can go on."""

    sampler: Sampler
    state: Any
    """Their state on the host (`bayesgmm.runtime.checkpoint.freeze`)."""

    def __call__(self, posterior: Posterior, num_samples: int, progress_bar: Progress) -> Posterior:
        """The posterior with `num_samples` more draws per chain."""
        return _extend(self.sampler, self.state, posterior, num_samples, progress_bar)


def run_blocks(
    sampler: Sampler, state: Any, problem: Any, num_warmup: int, num_samples: int, listener: Listener,
    saved: Checkpoint | None = None,
) -> Collected:  # fmt: skip
    """Run the chains from this state, block by block.

    Raises
    ------
    SamplingInterrupted
        If the run was stopped during warm-up, and a checkpoint can resume it.
    """
    run = run_chains(
        lambda state, count: sampler.block(state, count, problem), state, num_warmup, num_samples,
        _to_report(listener, sampler, num_warmup, num_samples, getattr(problem, "rows", None)), saved,
    )  # fmt: skip
    if run.outputs is None and saved is not None and saved.failed is None:
        raise SamplingInterrupted(
            f"{sampler.name} was stopped during warm-up. Its state is in {saved.folder}: the same call resumes it."
        )
    return run


def _to_report(listener: Listener, sampler: Sampler, num_warmup: int, num_samples: int, rows: Any) -> Report:
    """The report of a loop as a call of the listener, with the note of the sampler on each block.

    For rows over which the host passes there is also the speed of the last pass.
    """
    total = num_warmup + num_samples
    listener = watched(listener, rows, sampler.name, total)

    def report(done: int, outputs: Any) -> None:
        notes = ["warm-up" if done < num_warmup else sampler.note(outputs)]
        notes.append(rows.note if isinstance(rows, HostRows) else "")
        listener(sampler.name, done, total, ", ".join(filter(None, notes)))

    return report


def _extend(sampler: Sampler, state: Any, posterior: Posterior, num_samples: int, progress_bar: Progress) -> Posterior:
    """The posterior with `num_samples` more draws per chain, from the current state of the chains."""
    dtype = posterior.settings["dtype"]
    if posterior.model.in_order and not posterior.by_stick:
        raise ArgumentError(
            "These draws are numbered by cluster, and the chains number them by stick. Extend the draws as sampled; "
            "then relabel them."
        )
    with scope(dtype), stopwatch() as clock, listening(progress_bar) as listener:
        check_sampled(posterior.model, posterior.num_chains, posterior.num_samples + num_samples)
        problem = to_problem(posterior.model, dtype)
        run = run_blocks(sampler, thaw(state), problem, 0, num_samples, listener)
        if run.outputs is None:
            return replace(posterior, interrupted=True)
        origin = Origin(sampler.name, 0, posterior.seed, posterior.reference, posterior.settings)
        more = to_posterior(problem, run, clock, origin)
    chains = Chains(sampler, freeze(run.state))
    both = joined(posterior, more, ("params", "log_likelihood", "log_prior", "sample_stats", "permutations"))
    return replace(both, interrupted=more.interrupted, continuation=chains)


def _init_identity(init: Init) -> str:
    start = getattr(init, "params", init)
    return start if isinstance(start, str) else fingerprint(start)
