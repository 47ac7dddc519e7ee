"""Every engine on one model, under one prior, side by side."""

import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any

import jax.random as jr
import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.diagnosis.diagnosis import Diagnosis, diagnose
from bayesgmm.engines.checks import check_chain_arguments
from bayesgmm.engines.engine import Engine, engine_names, find_engine, find_engines
from bayesgmm.errors import ArgumentError, FitError, MixingWarning, SamplingInterrupted
from bayesgmm.model.families import Family
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, Problem, prepare
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import (
    agreement_line,
    fit_line,
    flatten,
    mixing_line,
    moments,
    parameter_names,
    point_line,
    trust_line,
)
from bayesgmm.runtime.arguments import as_key, check_count
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import as_html, as_text, plus_minus, shown_as
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.progress import Listener, Progress, listening

if TYPE_CHECKING:
    import pandas as pd


Result = MixtureFit | Posterior


@dataclass(repr=False)
class Comparison:
    """Results of several engines on one data set, with the tables and pictures that set them side by side."""

    model: Model
    seed: Any
    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Engines that did not end in a result, and why."""

    @property
    def table(self) -> Table:
        """The data."""
        return self.model.table

    @property
    def n_components(self) -> int:
        """K."""
        return self.model.num_components

    @property
    def prior(self) -> Belief | None:
        """The one prior of all engines."""
        return self.model.prior

    @property
    def family(self) -> Family:
        """The covariance family."""
        return self.model.family

    @property
    def fits(self) -> dict[str, MixtureFit]:
        """The point estimates."""
        return {name: result for name, result in self.results.items() if isinstance(result, MixtureFit)}

    @property
    def posteriors(self) -> dict[str, Posterior]:
        """The posterior samples."""
        return {name: result for name, result in self.results.items() if isinstance(result, Posterior)}

    @property
    def samplers(self) -> dict[str, Posterior]:
        """Those of them that come from Markov chains, and have mixed or not."""
        return {name: one for name, one in self.posteriors.items() if not isinstance(one, ApproximatePosterior)}

    def estimates(self) -> "pd.DataFrame":
        """Numbers behind `summary`: a row per parameter, and for each engine ``estimate`` and ``sd`` (NaN for points).

        Diagonal and spherical covariances have rows for their variances only.
        """
        import pandas as pd

        columns = {}
        for name, result in self.results.items():
            mean, sd = moments(result)
            columns[name, "estimate"], columns[name, "sd"] = flatten(mean), flatten(sd)
        names = pd.Index(parameter_names(self.table, self.n_components), name="parameter")
        estimates = pd.DataFrame(columns, index=names)
        if self.family.orientation != "I":
            return estimates
        values = estimates.xs("estimate", axis=1, level=1).to_numpy()
        return estimates.loc[~(estimates.index.str.startswith("covariances") & (values == 0).all(axis=1)), :]

    def costs(self) -> "pd.DataFrame":
        """What each result is worth and what it cost: a row per figure, a column per engine.

        R-hat and ESS are the worst over label-invariant quantities; ESS per second leaves compile time out. Approximations draw
        independently, which says nothing of their truth: that is what Pareto k-hat is for (above 0.7: not to be trusted).
        """
        import pandas as pd

        columns = {}
        for name, result in self.results.items():
            sampled = name in self.samplers
            log_likelihoods = np.asarray(result.log_likelihood)
            columns[name] = {
                "log-likelihood": log_likelihoods.mean(),
                "log-likelihood sd": log_likelihoods.std() if isinstance(result, Posterior) else np.nan,
                "seconds compiling": result.clock.compile_seconds,
                "seconds running": result.clock.run_seconds,
                "worst R-hat": self.samplers[name].worst_rhat if sampled else np.nan,
                "smallest ESS": self.samplers[name].smallest_ess if sampled else np.nan,
                "divergences": _divergences(result),
                "ESS per second": self.samplers[name].smallest_ess / result.clock.run_seconds if sampled else np.nan,
                "Pareto k-hat": result.pareto_k if isinstance(result, ApproximatePosterior) else np.nan,
            }
        costs = pd.DataFrame(columns)
        return costs if any(self._approximations) else costs.drop(index="Pareto k-hat")

    def summary(self) -> "pd.DataFrame":
        """One table: parameter × engine, estimate ± posterior sd; then log-likelihood, cost and convergence."""
        import pandas as pd

        estimates, costs = self.estimates(), self.costs()
        shown = {name: plus_minus(estimates[name]["estimate"], estimates[name]["sd"]) for name in self.results}
        parameters = pd.DataFrame(shown, index=estimates.index)
        spread = costs.loc["log-likelihood sd"]
        head = pd.DataFrame([plus_minus(costs.loc["log-likelihood"], spread)], ["log-likelihood"], list(self.results))
        rest = costs.drop(index=["log-likelihood", "log-likelihood sd"])
        rest = rest.apply(lambda row: row.map(shown_as(str(row.name))), axis=1)
        return pd.DataFrame(pd.concat([parameters, head, rest])).rename_axis("parameter")

    def verdict(self) -> list[str]:
        """What the results support, in a few sentences."""
        lines = [f"{name}: {reason}" for name, reason in self.failures.items()]
        samplers = list(self.samplers.items())
        measure = next((item for item in samplers if item[1].mixed), samplers[0] if samplers else None)
        lines += [mixing_line(name, posterior) for name, posterior in samplers]
        if len(samplers) >= 2:
            lines.append(agreement_line(*samplers[0], *samplers[1]))
        for name, approximation in self._approximations.items():
            lines.append(trust_line(name, approximation, *(measure or (None, None))))
        for name, fit in self.fits.items():
            lines.append(point_line(name, fit, *measure) if measure else fit_line(name, fit))
        return lines

    def diagnose(self, search: bool = True) -> dict[str, Diagnosis]:
        """What each sampler's draws support, as `bayesgmm.diagnose` says; none where a single component leaves no labels."""
        samplers = self.samplers if self.n_components > 1 else {}
        return {name: diagnose(one, search=search, seed=self.seed) for name, one in samplers.items()}

    @property
    def _approximations(self) -> dict[str, ApproximatePosterior]:
        return {name: one for name, one in self.posteriors.items() if isinstance(one, ApproximatePosterior)}

    def plot(self) -> dict[str, Any]:
        """The report's pictures, as matplotlib figures by name."""
        from bayesgmm import plots

        figures = {
            "data": plots.plot_components(self.results).figure,
            "means": plots.plot_means(self.results)[0, 0].figure,
        }
        if self.samplers:
            figures["traces"] = plots.plot_traces(self.samplers)[0, 0].figure
        if self.fits:
            figures["ascent"] = plots.plot_ascent(self.fits).figure
        return figures

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained HTML report, and return its path."""
        from bayesgmm.comparison.report import write_report

        return write_report(self, Path(path))

    def save(self, directory: str | Path) -> list[Path]:
        """Write each result's DataTree as NetCDF (``em.nc``, …) and the summary as CSV; return the paths."""
        directory = Path(directory)
        written = [save_result(name, result, directory) for name, result in self.results.items()]
        written.append(directory / "summary.csv")
        self.summary().to_csv(written[-1])
        return written

    @property
    def engine_names(self) -> dict[str, str]:
        """What each column is, in words."""
        return {name: find_engine(name).describe(self.prior) for name in self.results}

    @property
    def title(self) -> str:
        """What was compared, in a few words."""
        covariances = "" if self.family.name == "VVV" else f", {self.family.label(self.table.dim)} covariances"
        return f"{self.n_components} components{covariances}, {self.table.num_rows} rows × {self.table.dim} features"

    def __repr__(self) -> str:
        return as_text(self.title, self.summary())

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{escape(line)}</li>" for line in self.verdict())
        return as_html(self.title, self.summary()) + f"<ul>{lines}</ul>"


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
    seed: Any = 0,
    save_to: str | Path | None = None,
    progress_bar: Progress = None,
) -> Comparison:
    """Run several engines on one mixture under one prior.

    Parameters
    ----------
    x, n_components
        Data (N, D) and K; see `fit_em`.
    engines
        Any of ``"mle"`` (EM without a prior), ``"em"`` (EM to the posterior mode), ``"cavi"``, ``"svi"``,
        ``"laplace"``, ``"gibbs"``, ``"nuts"``.
    covariance_type
        As for `sample_gibbs`.
    prior
        The one prior of all engines: ``"default"`` or a `Prior`. With None only ``"mle"`` and ``"em"`` can run.
    num_warmup, num_samples, num_chains
        For the samplers; approximations draw as many.
    tempering
        Replicas per chain of Gibbs; see `sample_gibbs`.
    n_init
        Starts of EM.
    seed
        int or JAX key; each engine's key follows from it and the engine's name.
    save_to
        Directory to which each result is written as soon as it is there.
    progress_bar
        True, False, None (a bar per engine if someone is watching) or a callable.

    Returns
    -------
    Comparison
        An engine that fails is listed in ``failures`` and the others still run. Ctrl-C while sampling keeps the draws
        so far and skips the engines not yet begun.

    Raises
    ------
    ArgumentError, DataError, PriorError
        Before any engine runs.
    FitError
        If no engine came to a result.
    """
    chosen = find_engines(engines)
    if any(engine.draws for engine in chosen):
        check_chain_arguments(num_warmup, num_samples, num_chains, prior)
    check_count("tempering", tempering)
    with scope("float64"):
        problem = prepare(x, n_components, prior, "float64", covariance_type)
    for engine in chosen:
        engine.check(problem.prior, problem.family, problem.table.dim)
    comparison = Comparison(problem.model, seed)
    settings = {
        "num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains, "tempering": tempering,
        "n_init": n_init,
    }  # fmt: skip
    with listening(progress_bar) as listener, interruptible() as stop:
        _run_all(comparison, problem, chosen, settings, listener, stop, save_to)
    names = [engine.name for engine in chosen]
    skipped = [name for name in names if name not in comparison.results and name not in comparison.failures]
    comparison.failures.update({name: "not run: stopped by Ctrl-C before its turn" for name in skipped})
    if not comparison.results:
        raise FitError("No engine came to a result. " + " ".join(f"{k}: {v}" for k, v in comparison.failures.items()))
    comparison.results = {name: comparison.results[name] for name in names if name in comparison.results}
    _warn(comparison)
    return comparison


def _run_all(
    comparison: Comparison, problem: Problem, engines: Sequence[Engine], settings: dict[str, Any], listener: Listener,
    stop: Event, save_to: str | Path | None,
) -> None:  # fmt: skip
    """Run the engines in the registry's order; an engine that fails is noted, and the others still run."""
    order = engine_names()
    for engine in sorted(engines, key=lambda engine: order.index(engine.name)):
        if stop.is_set():
            return
        name = engine.name
        try:
            result = engine.run(
                problem, problem.num_components, prior=problem.prior, covariance_type=problem.family.name,
                seed=jr.fold_in(as_key(comparison.seed), zlib.crc32(name.encode())), reference=_reference(comparison),
                progress_bar=listener, **engine.select(settings),
            )  # fmt: skip
        except SamplingInterrupted as cut:
            comparison.failures[name] = str(cut)
            return
        except FitError as error:
            comparison.failures[name] = str(error)
            continue
        comparison.results[name] = result
        if save_to is not None:
            save_result(name, result, Path(save_to))


def _divergences(result: Result) -> float:
    """Divergent transitions; NaN for an engine that has none."""
    if isinstance(result, Posterior) and "diverging" in result.sample_stats:
        return result.num_divergences
    return float("nan")


def save_result(name: str, result: Result, directory: Path) -> Path:
    """Write one result's DataTree as NetCDF."""
    path = directory / f"{name}.nc"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        result.to_datatree().to_netcdf(path, engine="h5netcdf")
    except OSError as error:
        raise ArgumentError(f"{path} could not be written ({error}). Choose another folder.") from None
    return path


def _reference(comparison: Comparison) -> Any:
    """What the numbering of components follows: the first result."""
    first = next(iter(comparison.results.values()), None)
    return first.reference if isinstance(first, Posterior) else first


def _warn(comparison: Comparison) -> None:
    for name, posterior in comparison.samplers.items():
        if not posterior.mixed:
            warnings.warn(mixing_line(name, posterior), MixingWarning, stacklevel=3)
