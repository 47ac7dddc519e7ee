"""Fit one model by several engines under one prior, and compare the results."""

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.diagnosis.diagnosis import Diagnosis, diagnose
from bayesgmm.engines.engine import find_engine
from bayesgmm.model.families import Family
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.parameters import estimates_of, parameter_names, spreads_of
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import (
    agreement_line,
    fit_line,
    khat_line,
    mixing_line,
    point_line,
    prior_line,
    usable,
)
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.files import Output, csv_form, tree_forms
from bayesgmm.runtime.formatting import as_html, as_text, for_html, intervals, placed, plus_minus, shown_as, wrapped
from bayesgmm.runtime.interrupt import check_stop

if TYPE_CHECKING:
    import pandas as pd


Result = MixtureFit | Posterior
LEVEL = 0.95
"""Share of the draws in an interval."""


@dataclass(repr=False)
class Comparison:
    """Results of several engines on one data set, with tables and figures that compare them."""

    model: Model
    seed: Any
    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Engines without a result, and why."""

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
        """The prior of all engines."""
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
        """The posterior samples from Markov chains."""
        return {name: one for name, one in self.posteriors.items() if not isinstance(one, ApproximatePosterior)}

    def estimates(self, level: float = LEVEL) -> "pd.DataFrame":
        """The numbers of `summary`: a row per parameter; for each engine ``estimate``, ``sd``, ``lower``, ``upper``.

        The estimate of a posterior is its mean; ``lower`` and ``upper`` bound the equal-tailed interval that holds
        `level` of its draws. Point estimates have NaN in these three. Diagonal and spherical covariances have rows only
        for their variances.
        """
        return self._estimates(check_level("level", level))

    def _estimates(self, level: float | None) -> "pd.DataFrame":
        """As `estimates`; without a level, which takes long for many parameters, there are no bounds."""
        import pandas as pd

        columns = {
            (name, part): values
            for name, result in self.results.items()
            for part, values in estimates_of(result.params, level).items()
        }
        names = pd.Index(parameter_names(self.table, self.n_components), name="parameter")
        estimates = pd.DataFrame(columns, index=names)
        if self.family.orientation != "I":
            return estimates
        values = estimates.xs("estimate", axis=1, level=1).to_numpy()
        return estimates.loc[~(estimates.index.str.startswith("covariances") & (values == 0).all(axis=1)), :]

    def to_frame(self, level: float = LEVEL) -> "pd.DataFrame":
        """All numbers in one long table, as in ``summary.csv``: parameter, engine, estimate, sd, lower, upper.

        The rows of `costs` follow those of the parameters.
        """
        import pandas as pd

        estimates = self.estimates(level)
        tables: dict[str, Any] = {name: pd.DataFrame(estimates[name]).to_dict("index") for name in self.results}
        costs: dict[Any, Any] = self.costs().to_dict()
        for name, table in tables.items():
            spread = costs[name].pop("log-likelihood sd")
            table |= {figure: {"estimate": value} for figure, value in costs[name].items() if value == value}
            table["log-likelihood"] |= {"sd": spread}
        labels = dict.fromkeys(label for table in tables.values() for label in table)
        rows = [
            {"parameter": label, "engine": name, **table[label]}
            for label in labels for name, table in tables.items() if label in table
        ]  # fmt: skip
        return pd.DataFrame(rows, columns=["parameter", "engine", "estimate", "sd", "lower", "upper"])

    def costs(self) -> "pd.DataFrame":
        """Quality and cost of each result: a row per figure, a column per engine.

        R-hat and ESS are the worst over label-invariant quantities. ESS per second excludes compile time.
        Approximations have independent draws, so R-hat and ESS do not assess them. Pareto k-hat does (below 0.7:
        acceptable).
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

    def summary(self, interval: float | None = None) -> "pd.DataFrame":
        """One table: parameter × engine, estimate ± posterior sd; then log-likelihood, cost and convergence.

        With `interval`, such as 0.95, each cell has the equal-tailed interval with this share of the draws in place of
        the sd. All cells are strings; `estimates` and `to_frame` have the numbers.
        """
        import pandas as pd

        interval = None if interval is None else check_level("interval", interval)
        estimates, costs = self._estimates(interval), self.costs()
        form = plus_minus if interval is None else intervals
        shown = {name: form(*(column for _, column in estimates[name].items())) for name in self.posteriors}
        names = parameter_names(self.table, self.n_components)
        for name, fit in self.fits.items():
            spreads = pd.Series(spreads_of(fit.params), names)[estimates.index]
            shown[name] = list(map(placed, estimates[name]["estimate"], spreads))
        parameters = pd.DataFrame(shown, index=estimates.index)[list(self.results)]
        spread = costs.loc["log-likelihood sd"]
        head = pd.DataFrame([plus_minus(costs.loc["log-likelihood"], spread)], ["log-likelihood"], list(self.results))
        rest = costs.drop(index=["log-likelihood", "log-likelihood sd"])
        rest = rest.apply(lambda row: row.map(shown_as(str(row.name))), axis=1)
        return pd.DataFrame(pd.concat([parameters, head, rest])).rename_axis("parameter")

    def notes(self, interval: float | None = None) -> list[str]:
        """What the cells of `summary` are. Raises `ArgumentError` if `interval` is not between 0 and 1."""
        interval = None if interval is None else check_level("interval", interval)
        fits, posteriors = ", ".join(self.fits), ", ".join(self.posteriors)
        lines = []
        if posteriors:
            what = "posterior sd" if interval is None else f"equal-tailed {interval:.4g} interval of the draws"
            lines.append(f"{posteriors}: posterior mean {'±' if interval is None else 'and'} {what}.")
        if fits:
            lines.append(f"{fits}: the estimate.")
        if fits and posteriors:
            lines.append(
                "The log-likelihood of an estimate is that at the estimate; that of a posterior is the mean over its "
                "draws, which lies below the maximum."
            )
        return lines

    def verdict(self) -> list[str]:
        """The conclusions from the results, in a few sentences."""
        lines = [f"{name}: {reason}" for name, reason in self.failures.items()]
        samplers = list(self.samplers.items())
        measure = next((item for item in samplers if item[1].mixed), None)
        measure = measure or next((item for item in samplers if usable(item[1])), samplers[0] if samplers else None)
        lines += [mixing_line(name, posterior) for name, posterior in samplers]
        if len(samplers) >= 2:
            lines.append(agreement_line(*samplers[0], *samplers[1]))
        for name, approximation in self._approximations.items():
            lines.append(khat_line(name, approximation, *(measure or (None, None))))
        for name, fit in self.fits.items():
            lines.append(point_line(name, fit, *measure) if measure else fit_line(name, fit))
        under = [(name, fit) for name, fit in self.fits.items() if fit.prior is not None] + (
            [measure] if measure else []
        )
        of_prior = prior_line(*under[0]) if under else None
        return [*lines, of_prior] if of_prior else lines

    def diagnose(self, search: bool = True) -> dict[str, Diagnosis]:
        """The diagnosis of each sampler by `bayesgmm.diagnose`; empty for a single component, which has no labels."""
        found = {}
        for name, one in self.samplers.items() if self.n_components > 1 else ():
            check_stop()
            found[name] = diagnose(one, search=search, seed=self.seed)
        return found

    @property
    def _approximations(self) -> dict[str, ApproximatePosterior]:
        return {name: one for name, one in self.posteriors.items() if isinstance(one, ApproximatePosterior)}

    def plot(self) -> dict[str, Any]:
        """The figures of the report, as matplotlib figures with their names."""
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

    def to_html(self, path: str | PathLike) -> Path:
        """Write a self-contained HTML report, and return its path.

        Raises
        ------
        ArgumentError
            If the path cannot be written.
        """
        from bayesgmm.comparison.report import write_report

        return write_report(self, path)

    def save(self, directory: str | PathLike) -> list[Path]:
        """Write the DataTree of each result as NetCDF (``em.nc``, …) and the summary as CSV; return the paths.

        A file that cannot be written goes to a temporary folder, and a `SaveWarning` says where.

        Raises
        ------
        ArgumentError
            If nothing can be written to the directory.
        """
        output = Output(directory, "directory")
        written = [output.save(name, tree_forms(result.to_datatree)) for name, result in self.results.items()]
        written.append(output.save("summary", csv_form(self.to_frame, index=False)))
        return [path for path in written if path is not None]

    @property
    def engine_names(self) -> dict[str, str]:
        """Description of each column."""
        return {name: find_engine(name).describe(self.prior) for name in self.results}

    @property
    def title(self) -> str:
        """Components, covariances, rows and features, in a few words."""
        covariances = "" if self.family.name == "VVV" else f", {self.family.label(self.table.dim)} covariances"
        return f"{self.n_components} components{covariances}, {self.table.num_rows} rows × {self.table.dim} features"

    def __repr__(self) -> str:
        return "\n".join([as_text(self.title, self.summary()), *map(wrapped, self.notes())])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{for_html(line)}</p>" for line in self.notes())
        lines = "".join(f"<li>{for_html(line)}</li>" for line in self.verdict())
        return as_html(self.title, self.summary()) + f"{notes}<ul>{lines}</ul>"


def _divergences(result: Result) -> float:
    """Number of divergent transitions; NaN for an engine that does not record them."""
    if isinstance(result, Posterior) and "diverging" in result.sample_stats:
        return result.num_divergences
    return float("nan")
