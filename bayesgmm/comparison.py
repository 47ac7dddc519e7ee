"""Every engine on one model, under one prior, side by side."""

import warnings
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jax.random as jr
import numpy as np

from bayesgmm.chains import check_chain_arguments
from bayesgmm.conjugate import Belief
from bayesgmm.data import Table, as_table
from bayesgmm.em import fit_em
from bayesgmm.errors import ArgumentError, FitError, MixingWarning, SamplingInterrupted
from bayesgmm.gibbs import sample_gibbs
from bayesgmm.interrupt import interruptible
from bayesgmm.labels import align, permute
from bayesgmm.posterior import Posterior
from bayesgmm.problem import as_key, check_count, check_table, resolve_prior
from bayesgmm.progress import Progress, listening
from bayesgmm.results import MixtureFit
from bayesgmm.tables import as_html, as_text, plus_minus, shown_as
from bayesgmm.verdict import agreement_line, fit_line, flatten, mixing_line, moments, parameter_names, point_line

if TYPE_CHECKING:
    import pandas as pd

ENGINES = {
    "mle": "EM, maximum likelihood (flat prior)",
    "em": "EM, maximum a posteriori",
    "gibbs": "Gibbs sampling",
    "nuts": "NUTS with z summed out",
}
POINT_ENGINES = ("mle", "em")


Result = MixtureFit | Posterior


@dataclass(repr=False)
class Comparison:
    """Results of several engines on one data set, with the tables and pictures that set them side by side."""

    table: Table
    n_components: int
    prior: Belief | None
    seed: Any
    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Engines that did not end in a result, and why."""

    @property
    def fits(self) -> dict[str, MixtureFit]:
        """The point estimates."""
        return {name: result for name, result in self.results.items() if isinstance(result, MixtureFit)}

    @property
    def posteriors(self) -> dict[str, Posterior]:
        """The posterior samples."""
        return {name: result for name, result in self.results.items() if isinstance(result, Posterior)}

    def estimates(self) -> "pd.DataFrame":
        """Numbers behind `summary`: a row per parameter, and for each engine ``estimate`` and ``sd`` (NaN for points)."""
        import pandas as pd

        columns = {}
        for name, result in self.results.items():
            mean, sd = moments(result)
            columns[name, "estimate"], columns[name, "sd"] = flatten(mean), flatten(sd)
        return pd.DataFrame(columns, index=pd.Index(parameter_names(self.table, self.n_components), name="parameter"))

    def costs(self) -> "pd.DataFrame":
        """What each result is worth and what it cost: a row per figure, a column per engine.

        R-hat and ESS are the worst over label-invariant quantities; ESS per second leaves compile time out.
        """
        import pandas as pd

        columns = {}
        for name, result in self.results.items():
            sampled = isinstance(result, Posterior)
            log_likelihood = result.log_likelihood.mean() if sampled else result.log_likelihood
            columns[name] = {
                "log-likelihood": log_likelihood,
                "log-likelihood sd": result.log_likelihood.std() if sampled else np.nan,
                "seconds compiling": result.clock.compile_seconds,
                "seconds running": result.clock.run_seconds,
                "worst R-hat": result.worst_rhat if sampled else np.nan,
                "smallest ESS": result.smallest_ess if sampled else np.nan,
                "divergences": result.num_divergences if name == "nuts" and sampled else np.nan,
                "ESS per second": result.smallest_ess / result.clock.run_seconds if sampled else np.nan,
            }
        return pd.DataFrame(columns)

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
        lines += [mixing_line(name, posterior) for name, posterior in self.posteriors.items()]
        if len(self.posteriors) >= 2:
            (first, one), (second, two) = list(self.posteriors.items())[:2]
            lines.append(agreement_line(first, one, second, two))
        for name, fit in self.fits.items():
            if not self.posteriors:
                lines.append(fit_line(name, fit))
            else:
                lines.append(point_line(name, fit, *next(iter(self.posteriors.items()))))
        return lines

    def plot(self) -> dict[str, Any]:
        """The report's pictures, as matplotlib figures by name."""
        from bayesgmm import plots

        figures = {
            "data": plots.plot_components(self.results).figure,
            "means": plots.plot_means(self.results)[0, 0].figure,
        }
        if self.posteriors:
            figures["traces"] = plots.plot_traces(self.posteriors)[0, 0].figure
        if self.fits:
            figures["ascent"] = plots.plot_ascent(self.fits).figure
        return figures

    def to_html(self, path: str | Path) -> Path:
        """Write a self-contained HTML report, and return its path."""
        from bayesgmm.report import write_report

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
        flat = {"em": ENGINES["mle"]} if self.prior is None else {}
        return {name: (ENGINES | flat)[name] for name in self.results}

    @property
    def title(self) -> str:
        """What was compared, in a few words."""
        return f"{self.n_components} components, {self.table.num_rows} rows × {self.table.dim} features"

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
    prior: Belief | str | None = "default",
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
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
        Any of ``"mle"`` (EM without a prior), ``"em"`` (EM to the posterior mode), ``"gibbs"``, ``"nuts"``.
    prior
        The one prior of all engines: ``"default"`` or a `Prior`. With None only ``"mle"`` and ``"em"`` can run.
    num_warmup, num_samples, num_chains
        For the samplers.
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
    engines = check_engines(engines)
    if any(name not in POINT_ENGINES for name in engines):
        check_chain_arguments(num_warmup, num_samples, num_chains, prior)
    check_count("n_components", n_components)
    table = as_table(x)
    check_table(table, n_components)
    own = resolve_prior(prior, table, n_components)
    comparison = Comparison(table, n_components, own, seed)
    chains = {"num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains}
    with listening(progress_bar) as listener, interruptible() as stop:
        for name in sorted(engines, key=("em", "mle", "gibbs", "nuts").index):
            if stop.is_set():
                break
            shared = {"seed": jr.fold_in(as_key(seed), zlib.crc32(name.encode())), "progress_bar": listener}
            try:
                result = _run(name, table, n_components, own, n_init, chains, _reference(comparison), shared)
            except SamplingInterrupted as cut:
                comparison.failures[name] = str(cut)
                break
            except FitError as error:
                comparison.failures[name] = str(error)
                continue
            comparison.results[name] = result
            if save_to is not None:
                save_result(name, result, Path(save_to))
    skipped = [name for name in engines if name not in comparison.results and name not in comparison.failures]
    comparison.failures.update({name: "not run: stopped by Ctrl-C before its turn" for name in skipped})
    if not comparison.results:
        raise FitError("No engine came to a result. " + " ".join(f"{k}: {v}" for k, v in comparison.failures.items()))
    comparison.results = {name: comparison.results[name] for name in engines if name in comparison.results}
    _warn(comparison)
    return comparison


def save_result(name: str, result: Result, directory: Path) -> Path:
    """Write one result's DataTree as NetCDF."""
    path = directory / f"{name}.nc"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        result.to_datatree().to_netcdf(path, engine="h5netcdf")
    except OSError as error:
        raise ArgumentError(f"{path} could not be written ({error}). Choose another folder.") from None
    return path


def _run(
    name: str,
    table: Table,
    n_components: int,
    prior: Belief | None,
    n_init: int,
    chains: dict,
    reference: Any,
    shared: dict,
) -> Result:
    if name == "gibbs":
        return sample_gibbs(table, n_components, prior=prior, reference=reference, **chains, **shared)
    if name == "nuts":
        from bayesgmm.nuts import sample_nuts  # NumPyro loads only when NUTS is asked for

        return sample_nuts(table, n_components, prior=prior, reference=reference, **chains, **shared)
    listener = shared["progress_bar"]
    shared = shared | {"progress_bar": lambda label, done, total, note: listener(name, done, total, note)}
    fit = fit_em(table, n_components, prior=None if name == "mle" else prior, n_init=n_init, **shared)
    return fit if reference is None else _renumber(fit, reference)


def _reference(comparison: Comparison) -> Any:
    """What the numbering of components follows: the first result."""
    first = next(iter(comparison.results.values()), None)
    return first.reference if isinstance(first, Posterior) else first


def _renumber(fit: MixtureFit, reference: Any) -> MixtureFit:
    target = reference.params if isinstance(reference, MixtureFit) else reference
    return replace(fit, params=permute(fit.params, align(fit.params, target)))


def check_engines(engines: Sequence[str]) -> list[str]:
    """The engines asked for, once each; an unknown one is refused."""
    names = [engines] if isinstance(engines, str) else list(dict.fromkeys(engines))
    unknown = [name for name in names if name not in ENGINES]
    if unknown or not names:
        problem = f"Unknown engine {', '.join(map(repr, unknown))}." if unknown else "No engine was named."
        raise ArgumentError(f"{problem} Choose from {', '.join(ENGINES)}.")
    return names


def _warn(comparison: Comparison) -> None:
    for name, posterior in comparison.posteriors.items():
        if not posterior.mixed:
            warnings.warn(mixing_line(name, posterior), MixingWarning, stacklevel=3)
