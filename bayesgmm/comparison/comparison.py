"""Fit one model by several engines under one prior, and compare the results."""

from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.comparison import tables
from bayesgmm.comparison.accuracy import Errors, errors_of
from bayesgmm.comparison.conclusions import verdict_of
from bayesgmm.comparison.held_out import HeldOut, held_out
from bayesgmm.comparison.tables import LEVEL, Result
from bayesgmm.data.table import Table
from bayesgmm.diagnosis.diagnosis import Diagnosis, diagnose
from bayesgmm.engines.engine import find_engine
from bayesgmm.model.families import Family
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.files import Output, tree_forms
from bayesgmm.runtime.formatting import as_html, as_text, for_html, wrapped
from bayesgmm.runtime.interrupt import check_stop
from bayesgmm.runtime.progress import Progress
from bayesgmm.runtime.written_tables import Written

if TYPE_CHECKING:
    import pandas as pd

    from bayesgmm.results.intervals import Intervals


@dataclass(repr=False)
class Comparison(Written):
    """Results of several engines on one data set, with tables and figures that compare them."""

    model: Model
    seed: Any
    results: dict[str, Result] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    """Engines without a result, and why."""
    interval: float | None = None
    """Share of the draws, or of samples, in the intervals of the summary; None shows sds."""
    em_intervals: str | None = None
    """Method of the intervals of point estimates, see `MixtureFit.intervals`; None: no intervals."""
    prior_name: str | None = None
    """``"default"`` if the prior was asked for by name."""
    settings: dict[str, Any] = field(default_factory=dict)
    """Lengths, starts and the like, as given to `compare`."""
    reference: str | None = None
    """Name of the column that stands for the truth; None without one."""
    reference_ran: bool = False
    """Whether an engine was run for it."""
    descriptions: dict[str, str] = field(default_factory=dict)
    """What the columns are that are not engines of the comparison."""
    remarks: list[str] = field(default_factory=list)
    """What the run of the reference warned of."""
    _fit_intervals: dict[tuple[str, float], "Intervals | str"] = field(default_factory=dict)
    _errors: Errors | None = field(default=None, init=False)
    scores: HeldOut | None = None
    """The latest result of `held_out`, which stands in the report and among the saved files."""

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

    def estimates(self, level: float | None = None) -> "pd.DataFrame":
        """The numbers of `summary`: a row per parameter; for each engine ``estimate``, ``sd``, ``lower``, ``upper``.

        The estimate of a posterior is its mean; ``lower`` and ``upper`` bound the equal-tailed interval that holds
        `level` of its draws (default: that of `compare`, or 0.95). Point estimates have NaN in these three, unless
        `compare` was asked for their intervals. Diagonal and spherical covariances have rows only for their variances.
        """
        return tables.estimates(self, self._level(level) or LEVEL)

    def fit_intervals(self, level: float) -> dict[str, "Intervals | str"]:
        """Intervals of the point estimates, or why there are none; empty if `compare` was not asked for them."""
        level = check_level("level", level)
        if self.em_intervals is None:
            return {}
        known = self._fit_intervals
        for name, fit in self.fits.items():
            if (name, level) not in known:
                known[name, level] = tables.interval_of(fit, self.em_intervals, level)
        return {name: known[name, level] for name in self.fits}

    def to_frame(self, level: float | None = None) -> "pd.DataFrame":
        """All numbers in one long table, as in ``summary.csv``: parameter, engine, estimate, sd, lower, upper.

        The rows of `costs` follow those of the parameters. `level` as for `estimates`.
        """
        return tables.long_table(self, self._level(level) or LEVEL)

    def to_dataframe(self) -> "pd.DataFrame":
        """The same as `to_frame`; every result has this name."""
        return self.to_frame()

    def costs(self) -> "pd.DataFrame":
        """Quality and cost of each result: a row per figure, a column per engine.

        R-hat and ESS are the worst over label-invariant quantities. ESS per second excludes compile time. Independent
        draws of approximations are assessed by Pareto k-hat (below 0.7: acceptable).
        """
        return tables.costs(self)

    def errors(self) -> Errors:
        """How far each column lies from the reference in label-invariant quantities, against the seconds that it took.

        The quantities: sorted weights, mean and sd of the mixture in each feature, log density at five rows. ``table``
        has a row per column (root mean square difference of means and mean Wasserstein distance, both in posterior sds
        of the reference; the error that Monte Carlo alone would give), ``by_quantity`` each quantity, ``by_draws`` how
        the error of a sampler falls with its draws. Raises `ArgumentError` if `compare` was given no reference.
        """
        self._errors = self._errors or errors_of(self)
        return self._errors

    def held_out(self, folds: int = 5, *, seed: Any = 0, progress_bar: Progress = None) -> HeldOut:
        """Held-out log score of every engine by K-fold: how well it predicts rows that it has not seen.

        Each engine is refitted without each fold, with the settings and the prior of `compare`. A fit predicts at its
        estimate (plug-in), draws by the average over them, and for comparison also at their mean.

        Parameters
        ----------
        folds
            Number of random folds of equal size, which all engines share.
        seed
            int or JAX key, for the folds and the refits.
        progress_bar
            As for `compare`.

        Returns
        -------
        HeldOut
            ``table`` has totals with standard errors, and paired differences to the best; ``by_row`` the log density of
            each row; ``failures`` the folds that failed. Ctrl-C keeps the folds that all engines have ended. The result
            is kept as ``scores``.

        Raises
        ------
        ArgumentError, DataError
            Before any refit, if the folds leave too few rows.
        FitError
            If every refit failed.
        SamplingInterrupted
            After Ctrl-C in the first fold.
        """
        self.scores = held_out(self, folds, seed, progress_bar)
        return self.scores

    def summary(self, interval: float | None = None) -> "pd.DataFrame":
        """One table: parameter × engine, estimate ± posterior sd; then log-likelihood, cost and convergence.

        With `interval`, such as 0.95 (default: that of `compare`), each cell has an interval in place of the sd: the
        equal-tailed one with this share of the draws; for a point estimate that which `compare` was asked for. All
        cells are strings; `estimates` and `to_frame` have the numbers.
        """
        return tables.summary(self, self._level(interval, "interval"))

    def notes(self, interval: float | None = None) -> list[str]:
        """What the cells of `summary` are. Raises `ArgumentError` if `interval` is not between 0 and 1."""
        return tables.notes(self, self._level(interval, "interval"))

    def _level(self, level: float | None, name: str = "level") -> float | None:
        """The level asked for here, or that of `compare`."""
        return self.interval if level is None else check_level(name, level)

    def verdict(self) -> list[str]:
        """The conclusions from the results, in a few sentences."""
        return verdict_of(self)

    def diagnose(self, search: bool = True) -> dict[str, Diagnosis]:
        """The diagnosis of each sampler by `bayesgmm.diagnose`; empty for a single component, which has no labels."""
        found = {}
        for name, one in self.samplers.items() if self.model.num_gaussians > 1 else ():
            check_stop()
            found[name] = diagnose(one, search=search, seed=self.seed)
        return found

    @property
    def has_reference(self) -> bool:
        """Whether there are draws of a reference, and a column beside it."""
        return self.truth is not None and len(self.results) > 1

    @property
    def truth(self) -> tuple[str, Posterior] | None:
        """The reference with its name, if there are draws of it."""
        found = self.posteriors.get(self.reference or "")
        return None if found is None or self.reference is None else (self.reference, found)

    @property
    def approximations(self) -> dict[str, ApproximatePosterior]:
        """The posterior samples of independent draws."""
        return {name: one for name, one in self.posteriors.items() if isinstance(one, ApproximatePosterior)}

    def plot(self) -> dict[str, Any]:
        """The figures of the report, as matplotlib figures with their names."""
        from bayesgmm import plots

        figures = {
            "data": plots.plot_components(self.results).figure,
            "means": plots.plot_means(self.results, intervals=tables.usable_intervals(self))[0, 0].figure,
        }
        if self.samplers:
            figures["traces"] = plots.plot_traces(self.samplers)[0, 0].figure
        if self.fits:
            figures["ascent"] = plots.plot_ascent(self.fits).figure
        if self.has_reference:
            figures["errors"] = plots.plot_errors(self)[0, 0].figure
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
        """Write the DataTree of each result as NetCDF (``em.nc``, …), and the tables as CSV; return the paths.

        A file that cannot be written goes to a temporary folder, and a `SaveWarning` says where.

        Raises
        ------
        ArgumentError
            If nothing can be written to the directory.
        """
        output = Output(directory, "directory")
        written = [output.save(name, tree_forms(result.to_datatree)) for name, result in self.results.items()]
        written += tables.save_tables(self, output)
        return [path for path in written if path is not None]

    @property
    def engine_names(self) -> dict[str, str]:
        """Description of each column."""
        return {name: self.descriptions.get(name) or find_engine(name).describe(self.prior) for name in self.results}

    @property
    def title(self) -> str:
        """Components, covariances, rows and features, in a few words."""
        words = f"{self.model.num_gaussians} components{' and noise' * (self.table.noise is not None)}"
        covariances = "" if self.family.name == "VVV" else f", {self.family.label(self.table.dim)} covariances"
        size = f"{self.table.num_rows} rows × {self.table.dim} features{self.model.aside}"
        return f"{words}{covariances}, {size}"

    def __repr__(self) -> str:
        return "\n".join([as_text(self.title, self.summary()), *map(wrapped, self.notes())])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{for_html(line)}</p>" for line in self.notes())
        lines = "".join(f"<li>{for_html(line)}</li>" for line in self.verdict())
        return as_html(self.title, self.summary()) + f"{notes}<ul>{lines}</ul>"
