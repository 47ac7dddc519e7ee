"""One call: several engines on one model under one prior."""

import warnings
import zlib
from collections.abc import Sequence
from os import PathLike
from threading import Event
from typing import Any

from bayesgmm.comparison.comparison import Comparison
from bayesgmm.engines.checks import MOST_CHAINS, check_chain_arguments
from bayesgmm.engines.engine import Engine, engine_names, find_engines
from bayesgmm.errors import ArgumentError, BayesGMMError, FitError, MixingWarning, SamplingInterrupted
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, prepare
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.intervals import METHODS
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import (
    mixing_line,
)
from bayesgmm.runtime.arguments import as_key, check_choice, check_count, derived_key
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.files import Output, reason, tree_forms
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.progress import Listener, Progress, listening


def compare(
    x: Any,
    n_components: int,
    *,
    engines: Sequence[str] = ("em", "gibbs", "nuts"),
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    tempering: int = 1,
    n_init: int = 10,
    interval: float | None = None,
    em_intervals: str | None = None,
    seed: Any = 0,
    save_to: str | PathLike | Output | None = None,
    progress_bar: Progress = None,
) -> Comparison:
    """Fit one mixture by several engines under one prior.

    Parameters
    ----------
    x, n_components
        Data (N, D) and K; see `fit_em`.
    engines
        Any of ``"mle"`` (EM without a prior), ``"em"`` (EM to the posterior mode), ``"cem"``, ``"sem"``, ``"mcem"``,
        ``"same"``, ``"daem"`` (relatives of EM, under the same prior), ``"cavi"``, ``"svi"``, ``"laplace"``,
        ``"exact"``, ``"gibbs"``, ``"nuts"``.
    covariance_type
        As for `sample_gibbs`.
    prior
        The prior of all engines: ``"default"`` or a `Prior`. With None only ``"mle"``, ``"em"``, ``"cem"``, ``"sem"``,
        ``"mcem"`` and ``"daem"`` can run.
    num_warmup, num_samples, num_chains
        For the samplers. Approximations return the same number of draws.
    tempering
        Replicas per chain of Gibbs; see `sample_gibbs`.
    n_init
        Starts of EM and its relatives.
    interval
        Share, such as 0.9, of the intervals that the tables show in place of sds.
    em_intervals
        Intervals of point estimates: ``"information"`` (with `interval` the default), ``"sandwich"``, ``"bootstrap"``
        or ``"parametric"``; see `MixtureFit.intervals`. None without `interval`: none.
    seed
        int or JAX key; the seed and the name of an engine determine its key.
    save_to
        Directory for the results; each is written as soon as it is available. A result that cannot be written there
        goes to a temporary folder, a `SaveWarning` says where, and the run goes on.
    progress_bar
        True, False, None (a bar per engine in a terminal or notebook) or a callable.

    Returns
    -------
    Comparison
        An engine that fails is listed in ``failures``, and the others still run. Ctrl-C during sampling keeps the draws
        so far and skips the remaining engines.

    Raises
    ------
    ArgumentError, DataError, PriorError
        Before any engine runs; also if nothing can be written to `save_to`.
    FitError
        If no engine returned a result.
    """
    chosen = find_engines(engines)
    drawn = any(engine.draws for engine in chosen)
    check_chain_arguments(num_warmup, num_samples, num_chains, prior if drawn else "default")
    if interval is not None:
        interval, em_intervals = check_level("interval", interval), em_intervals or "information"
    if em_intervals is not None:
        check_choice("em_intervals", em_intervals, METHODS)
        if interval is None and drawn and all(engine.draws for engine in chosen):
            raise ArgumentError("em_intervals is about point estimates, and no engine makes one. Add 'em' or 'mle'.")
    check_count("tempering", tempering, most=MOST_CHAINS)
    check_count("n_init", n_init, most=MOST_CHAINS)
    used = prior if any(engine.uses_prior for engine in chosen) else None
    with scope("float64"):
        problem = prepare(x, n_components, used, "float64", covariance_type)
    for engine in chosen:
        engine.check(problem.prior, problem.family, problem.table.dim)
    comparison = Comparison(problem.model, seed, interval=interval, em_intervals=em_intervals)
    output = save_to if isinstance(save_to, Output) or save_to is None else Output(save_to)
    settings = {
        "num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains, "tempering": tempering,
        "n_init": n_init,
    }  # fmt: skip
    with listening(progress_bar) as listener, interruptible() as stop:
        error = _run_all(comparison, problem, chosen, settings, listener, stop, output)
    names = [engine.name for engine in chosen]
    skipped = [name for name in names if name not in comparison.results and name not in comparison.failures]
    comparison.failures.update({name: "not run: the run was stopped before it started" for name in skipped})
    if not comparison.results:
        reasons = " ".join(f"{name}: {why}" for name, why in comparison.failures.items())
        raise FitError(f"No engine returned a result. {reasons}") from error
    comparison.results = {name: comparison.results[name] for name in names if name in comparison.results}
    _warn(comparison)
    return comparison


def _run_all(
    comparison: Comparison, problem: Problem, engines: Sequence[Engine], settings: dict[str, Any], listener: Listener,
    stop: Event, output: Output | None,
) -> Exception | None:  # fmt: skip
    """Run the engines in the order of the registry; record an engine that fails, and run the others.

    Returns the last error that is not one of bayesgmm.
    """
    order, foreign = engine_names(), None
    for engine in sorted(engines, key=lambda engine: order.index(engine.name)):
        if stop.is_set():
            break
        name = engine.name
        try:
            result = engine.run(
                problem, problem.num_components, prior=problem.prior, covariance_type=problem.family.name,
                seed=derived_key(as_key(comparison.seed), zlib.crc32(name.encode())), reference=_reference(comparison),
                progress_bar=listener, **engine.select(settings),
            )  # fmt: skip
        except SamplingInterrupted as cut:
            comparison.failures[name] = str(cut)
            break
        except BayesGMMError as error:
            comparison.failures[name] = str(error)
            continue
        except Exception as error:  # the results of the other engines are kept
            comparison.failures[name], foreign = f"it failed ({type(error).__name__}: {reason(error)}).", error
            continue
        if not isinstance(result, (MixtureFit, Posterior)):
            comparison.failures[name] = f"it returned a {type(result).__name__}, not a MixtureFit or a Posterior."
            continue
        comparison.results[name] = result
        if output is not None:
            output.save(name, tree_forms(result.to_datatree))
    return foreign


def _reference(comparison: Comparison) -> Any:
    """The reference for the labelling of components: the first result."""
    first = next(iter(comparison.results.values()), None)
    return first.reference if isinstance(first, Posterior) else first


def _warn(comparison: Comparison) -> None:
    for name, posterior in comparison.samplers.items():
        if not posterior.mixed:
            warnings.warn(mixing_line(name, posterior), MixingWarning, stacklevel=3)
