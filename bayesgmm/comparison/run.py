"""One call: several engines on one model under one prior."""

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from threading import Event
from typing import Any

from bayesgmm.comparison.comparison import Comparison
from bayesgmm.comparison.given import check_given, describe, read_given
from bayesgmm.comparison.reference import Reference, plan_reference
from bayesgmm.comparison.tables import Result
from bayesgmm.data.described import described
from bayesgmm.engines.checks import MOST_CHAINS, check_chain_arguments
from bayesgmm.engines.engine import Engine, engine_names, find_engines
from bayesgmm.errors import (
    ArgumentError,
    BayesGMMError,
    FitError,
    MixingWarning,
    PriorError,
    SamplingInterrupted,
)
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, prepare
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.given_posterior import relabelled
from bayesgmm.results.intervals import METHODS
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import mixing_line
from bayesgmm.runtime.arguments import as_key, check_choice, check_count, named_key
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
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    fixed: Any = None,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    tempering: int = 1,
    n_init: int = 10,
    interval: float | None = None,
    em_intervals: str | None = None,
    also: Mapping[str, Any] | None = None,
    reference: Any = None,
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
        ``"exact"``, ``"gibbs"``, ``"nuts"``; ``"telescoping"``, which draws K too: its draws with K₊ = n_components,
        with the posterior of K₊ in the verdict.
    covariance_type
        As for `sample_gibbs`.
    prior
        The prior of all engines: ``"default"`` or a `Prior`. With None only ``"mle"``, ``"em"``, ``"cem"``, ``"sem"``,
        ``"mcem"`` and ``"daem"`` can run.
    weights, labels, errors, noise
        What else is known of the rows; see `rows`.
    fixed
        Parameters that are known and held; see `sample_gibbs`.
    num_warmup, num_samples, num_chains
        For the samplers. Approximations return the same number of draws.
    tempering
        Replicas per chain of Gibbs; see `sample_gibbs`.
    n_init
        Starts of EM and its relatives.
    interval
        Share, such as 0.9, of the intervals that the tables show in place of sds.
    em_intervals
        Intervals of point estimates: ``"information"`` (with `interval` the default), ``"sandwich"``, ``"bootstrap"``,
        ``"weighted"`` or ``"parametric"``; see `MixtureFit.intervals`. None without `interval`: none.
    also
        Further columns by name, such as ``{"stan": tree}``: a `Posterior`, a `MixtureFit`, or draws of Stan, PyMC or
        NumPyro (a DataTree, its ``posterior`` Dataset, or a mapping of arrays). They are relabelled as the engines are.
        If their variables have other names, give a pair ``(tree, {"names": {"means": "mu", "sds": "sigma"}})``.
    reference
        The column that stands for the truth, for `Comparison.errors`: ``"exact"`` (few rows); ``"gibbs"`` or ``"nuts"``
        (a run with 10 times the draws, Gibbs with at least 12 replicas per chain); a name in `also`; or a result or
        draws as in `also`.
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
    ArgumentError, DataError, DrawsError, PriorError
        Before any engine runs; also if nothing can be written to `save_to`, if `also` or `reference` is about other
        data, other features or another K, or if there are too many labellings for an exact engine.
    FitError
        If no engine returned a result.
    """
    x, chosen = described(x, weights, labels, errors, noise), find_engines(engines)
    drawn = any(engine.draws for engine in chosen)
    check_chain_arguments(num_warmup, num_samples, num_chains, prior if drawn else "default")
    interval, em_intervals = _check_intervals(interval, em_intervals, chosen)
    tempering, n_init = (check_count(*one, most=MOST_CHAINS) for one in (("tempering", tempering), ("n_init", n_init)))
    columns = check_given(also)
    if prior is None and (columns or reference is not None):
        raise PriorError(
            "Draws beside the engines are assessed under one proper prior. Use prior='default' or a bayesgmm.Prior; "
            "engines=('mle',) is maximum likelihood under any prior."
        )
    used = prior if columns or reference is not None or any(engine.uses_prior for engine in chosen) else None
    with scope("float64"):
        problem = prepare(x, n_components, used, "float64", covariance_type, fixed)
    for engine in chosen:
        engine.check(problem.prior, problem.family, problem.table.dim)
        engine.check_problem(problem)
    settings = {
        "num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains, "tempering": tempering,
        "n_init": n_init,
    }  # fmt: skip
    given = {name: read_given(f"also[{name!r}]", name, one, problem.model) for name, one in columns.items()}
    plan = plan_reference(reference, chosen, given, settings, problem)
    comparison = Comparison(
        problem.model, seed, interval=interval, em_intervals=em_intervals, settings=settings,
        prior_name=used if isinstance(used, str) else None,
        reference=None if plan is None else plan.column, reference_ran=plan is not None and plan.engine is not None,
    )  # fmt: skip
    output = save_to if isinstance(save_to, Output) or save_to is None else Output(save_to)
    with listening(progress_bar) as listener, interruptible() as stop:
        run = _Run(comparison, problem, listener, stop, output)
        run.in_order([engine.name for engine in chosen], run.engines(chosen, settings))
        run.further(given, plan)
    _warn(comparison)
    return comparison


def _check_intervals(interval: Any, em_intervals: Any, chosen: Sequence[Engine]) -> tuple[float | None, str | None]:
    """The level and the method of intervals; None where none were asked for."""
    if interval is not None:
        interval, em_intervals = check_level("interval", interval), em_intervals or "information"
    if em_intervals is not None:
        check_choice("em_intervals", em_intervals, METHODS)
        if interval is None and all(engine.draws for engine in chosen):
            raise ArgumentError("em_intervals is about point estimates, and no engine makes one. Add 'em' or 'mle'.")
    return interval, em_intervals


@dataclass(frozen=True)
class _Run:
    """What fills a comparison with results."""

    comparison: Comparison
    problem: Problem
    listener: Listener
    stop: Event
    output: Output | None

    def engines(self, engines: Sequence[Engine], settings: Mapping[str, Any]) -> Exception | None:
        """Run the engines in the order of the registry. Returns the last error that is not one of bayesgmm."""
        order, foreign = engine_names(), None
        for engine in sorted(engines, key=lambda engine: order.index(engine.name)):
            if self.stop.is_set():
                break
            cut, error = self._one(engine.name, engine, settings, self.listener)
            foreign = error or foreign
            if cut:
                break
        return foreign

    def in_order(self, names: Sequence[str], error: Exception | None) -> None:
        """Put the results in the order of the user; raise `FitError` from an error if there is none."""
        found = self.comparison
        self.skipped(names)
        if not found.results:
            reasons = " ".join(f"{name}: {why}" for name, why in found.failures.items())
            raise FitError(f"No engine returned a result. {reasons}") from error
        found.results = {name: found.results[name] for name in names if name in found.results}

    def further(self, given: Mapping[str, Result], plan: Reference | None) -> None:
        """Add the columns of the user, in the common labelling; then the reference."""
        own = dict(given) if plan is None or plan.result is None else {**given, plan.column: plan.result}
        labelling = _reference(self.comparison)
        labelling = labelling.params if isinstance(labelling, MixtureFit) else labelling
        for name, result in own.items():
            self.comparison.descriptions[name] = describe(result)
            self._keep(name, relabelled(result, labelling, self.problem.model))
        if plan is None or plan.engine is None or plan.settings is None:
            return
        self.comparison.descriptions[plan.column] = plan.title
        if not self.stop.is_set():
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                self._one(plan.column, plan.engine, plan.settings, _renamed(self.listener, plan.column))
            self._remark(plan.column, caught)
        self.skipped([plan.column])

    def skipped(self, names: Sequence[str]) -> None:
        """Record the engines that have not run."""
        found = self.comparison
        missing = [name for name in names if name not in found.results and name not in found.failures]
        found.failures.update({name: "not run: the run was stopped before it started" for name in missing})

    def _one(
        self, column: str, engine: Engine, settings: Mapping[str, Any], listener: Listener
    ) -> tuple[bool, Exception | None]:
        """Run one engine; record it if it fails. Returns whether it was stopped, and an error not of bayesgmm."""
        failures = self.comparison.failures
        try:
            result = engine.run(
                self.problem, self.problem.num_components, prior=self.problem.prior,
                covariance_type=self.problem.family.name,
                seed=named_key(as_key(self.comparison.seed), column),
                reference=_reference(self.comparison), progress_bar=listener, **engine.select(settings),
            )  # fmt: skip
        except SamplingInterrupted as cut:
            failures[column] = str(cut)
            return True, None
        except BayesGMMError as error:
            failures[column] = str(error)
            return False, None
        except Exception as error:  # the results of the other engines are kept
            failures[column] = f"it failed ({type(error).__name__}: {reason(error)})."
            return False, error
        if isinstance(result, MixtureFit | Posterior):
            self._keep(column, result)
        else:
            failures[column] = f"it returned a {type(result).__name__}, not a MixtureFit or a Posterior."
        return False, None

    def _remark(self, column: str, caught: Sequence[warnings.WarningMessage]) -> None:
        """Keep what was said about mixing for the verdict; give the other warnings."""
        for one in caught:
            if issubclass(one.category, MixingWarning):
                self.comparison.remarks.append(f"{column}: {_of_reference(str(one.message))}")
            else:
                warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)

    def _keep(self, column: str, result: Result) -> None:
        self.comparison.results[column] = result
        if self.output is not None:
            self.output.save(column, tree_forms(result.to_datatree))


def _of_reference(message: str) -> str:
    """A warning about the run of the reference, without advice on arguments that it does not have."""
    return (
        f"{message.partition('. ')[0]}, so that modes far apart may be weighed wrongly. Longer chains lengthen it too."
    )


def _renamed(listener: Listener, label: str) -> Listener:
    """A listener that hears of a run by another name."""
    return lambda _, done, total, note: listener(label, done, total, note)


def _reference(comparison: Comparison) -> Any:
    """The reference for the labelling of components: the first result."""
    first = next(iter(comparison.results.values()), None)
    return first.reference if isinstance(first, Posterior) else first


def _warn(comparison: Comparison) -> None:
    for name, posterior in comparison.samplers.items():
        if not posterior.mixed:
            warnings.warn(mixing_line(name, posterior), MixingWarning, stacklevel=3)
