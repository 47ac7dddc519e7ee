"""The tables of a comparison: estimates with their spreads and intervals, costs, and the summary of both."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.comparison.manifest import manifest
from bayesgmm.comparison.reference import same_prior
from bayesgmm.errors import ArgumentError, FitError
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.given_posterior import GivenPosterior
from bayesgmm.results.intervals import TITLES, Intervals
from bayesgmm.results.parameters import estimates_of, parameter_names, spreads_of
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.with_noise import of_gaussians
from bayesgmm.runtime.files import Output, csv_form
from bayesgmm.runtime.formatting import intervals, placed, plus_minus, shown_as

if TYPE_CHECKING:
    import pandas as pd

Result = MixtureFit | Posterior
LEVEL = 0.95
"""Share of the draws in an interval, if none is given."""


def interval_of(fit: MixtureFit, method: str, level: float) -> Intervals | str:
    """The intervals of a fit, or why there are none."""
    try:
        return fit.intervals(method, level)
    except (FitError, ArgumentError) as error:  # no interval there, or no such bootstrap of this engine
        return str(error)


def save_tables(comparison: Any, output: Output) -> list[Path | None]:
    """Write the summary and a manifest; with a reference also the errors, and held-out scores if there are any."""
    written = [output.save("summary", csv_form(comparison.to_frame, index=False))]
    written.append(output.save("manifest", {".json": lambda: manifest(comparison)}))
    if comparison.has_reference:
        written.append(output.save("errors", csv_form(lambda: comparison.errors().table)))
        written.append(output.save("errors_by_quantity", csv_form(lambda: comparison.errors().by_quantity)))
    if comparison.scores is not None:
        written.append(output.save("held_out", csv_form(lambda: comparison.scores.table)))
        written.append(output.save("held_out_by_row", csv_form(lambda: comparison.scores.by_row)))
    return written


def usable_intervals(comparison: Any) -> dict[str, Intervals]:
    """The intervals of point estimates that there are, for the picture."""
    return {name: one for name, one in comparison.fit_intervals(LEVEL).items() if isinstance(one, Intervals)}


def estimates(comparison: Any, level: float | None) -> "pd.DataFrame":
    """A row per parameter; for each engine ``estimate``, ``sd``, and with a level ``lower`` and ``upper``."""
    import pandas as pd

    names = pd.Index(parameter_names(comparison.table, comparison.n_components), name="parameter")
    columns = {
        (name, part): pd.Series(values, names)
        for name, result in comparison.results.items()
        for part, values in estimates_of(result.params, level).items()
    }
    parts = ("sd",) if level is None else ("sd", "lower", "upper")
    for name, found in comparison.fit_intervals(level or LEVEL).items():
        if isinstance(found, Intervals):
            columns |= {(name, part): found.table[part].reindex(names) for part in parts}
    table = pd.DataFrame(columns, index=names)
    table = table.loc[[of_gaussians(name, comparison.table, comparison.n_components) for name in names], :]
    if comparison.family.orientation != "I":
        return table
    values = table.xs("estimate", axis=1, level=1).to_numpy()
    return table.loc[~(table.index.str.startswith("covariances") & (values == 0).all(axis=1)), :]


def long_table(comparison: Any, level: float) -> "pd.DataFrame":
    """All numbers: parameter, engine, estimate, sd, lower, upper; the rows of costs follow those of the parameters."""
    import pandas as pd

    found = estimates(comparison, level)
    tables: dict[str, Any] = {name: pd.DataFrame(found[name]).to_dict("index") for name in comparison.results}
    figures: dict[Any, Any] = costs(comparison).to_dict()
    for name, table in tables.items():
        spread = figures[name].pop("log-likelihood sd")
        table |= {figure: {"estimate": value} for figure, value in figures[name].items() if value == value}
        table["log-likelihood"] |= {"sd": spread}
    labels = dict.fromkeys(label for table in tables.values() for label in table)
    rows = [
        {"parameter": label, "engine": name, **table[label]}
        for label in labels for name, table in tables.items() if label in table
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["parameter", "engine", "estimate", "sd", "lower", "upper"])


def costs(comparison: Any) -> "pd.DataFrame":
    """Quality and cost of each result: a row per figure, a column per engine."""
    import pandas as pd

    columns = {}
    for name, result in comparison.results.items():
        sampled = comparison.samplers.get(name)
        log_likelihoods, seconds = np.asarray(result.log_likelihood), result.clock.run_seconds
        columns[name] = {
            "log-likelihood": log_likelihoods.mean(),
            "log-likelihood sd": log_likelihoods.std() if isinstance(result, Posterior) else np.nan,
            "seconds compiling": result.clock.compile_seconds,
            "seconds running": seconds,
            "worst R-hat": np.nan if sampled is None else sampled.worst_rhat,
            "smallest ESS": np.nan if sampled is None else sampled.smallest_ess,
            "divergences": _divergences(result),
            "ESS per second": np.nan if sampled is None else sampled.smallest_ess / seconds,
            "Pareto k-hat": result.pareto_k
            if isinstance(result, ApproximatePosterior) and np.isfinite(result.pareto_k)
            else np.nan,
        }
    table = pd.DataFrame(columns)
    approximate = any(isinstance(result, ApproximatePosterior) for result in comparison.results.values())
    return table if approximate else table.drop(index="Pareto k-hat")


def summary(comparison: Any, level: float | None) -> "pd.DataFrame":
    """Parameter × engine as strings, with sds or, given a level, intervals; then log-likelihood and costs."""
    import pandas as pd

    found, figures = estimates(comparison, level), costs(comparison)
    names = parameter_names(comparison.table, comparison.n_components)
    spreads = {name: pd.Series(spreads_of(fit.params), names)[found.index] for name, fit in comparison.fits.items()}
    shown = cells(comparison, found, level, spreads)
    parameters = pd.DataFrame(shown, index=found.index)
    spread = figures.loc["log-likelihood sd"]
    head = pd.DataFrame(
        [plus_minus(figures.loc["log-likelihood"], spread)], ["log-likelihood"], list(comparison.results)
    )
    rest = figures.drop(index=["log-likelihood", "log-likelihood sd"])
    rest = rest.apply(lambda row: row.map(shown_as(str(row.name))), axis=1)
    return pd.DataFrame(pd.concat([parameters, head, rest])).rename_axis("parameter")


def cells(comparison: Any, found: "pd.DataFrame", level: float | None, spreads: Any) -> dict[str, list[str]]:
    """The cells of each engine, from a table as `estimates` makes it: with sds or, given a level, with intervals.

    `spreads` has, for each point estimate, the spread of the others beside which each number stands (∞: none).
    """
    form = plus_minus if level is None else intervals
    shown = {name: form(*(column for _, column in found[name].items())) for name in comparison.results}
    for name in comparison.fits:
        plain = map(placed, found[name]["estimate"], spreads[name])
        sds = found[name]["sd"]
        shown[name] = [cell if sd == sd else one for cell, sd, one in zip(shown[name], sds, plain, strict=True)]
    return shown


def notes(comparison: Any, level: float | None) -> list[str]:
    """What the cells of the summary are."""
    fits, posteriors = ", ".join(comparison.fits), ", ".join(comparison.posteriors)
    lines = [f"{name} has no column: verdict() says why." for name in comparison.failures]
    if posteriors:
        what = "posterior sd" if level is None else f"equal-tailed {level:.4g} interval of the draws"
        lines.append(f"{posteriors}: posterior mean {'±' if level is None else 'and'} {what}.")
    found = comparison.fit_intervals(level or LEVEL)
    for name, one in found.items():
        if isinstance(one, Intervals):
            what = "± sd" if level is None else f"and {one.level:.4g} interval"
            lines.append(f"{name}: estimate {what}, {TITLES[one.method]}.")
            lines += [f"{name}: {note}" for note in one.notes]
        else:
            lines.append(f"{name}: the estimate without an interval. {one}")
    if fits and not found:
        lines.append(f"{fits}: the estimate.")
    lines += _given_notes(comparison)
    if fits and posteriors:
        lines.append(
            "The log-likelihood of an estimate is that at the estimate; that of a posterior is the mean over its "
            "draws, which lies below the maximum."
        )
    return lines


def _given_notes(comparison: Any) -> list[str]:
    """What is not known of columns of the user, or differs in them."""
    unknown = [name for name, one in comparison.posteriors.items() if isinstance(one, GivenPosterior)]
    lines = [f"{', '.join(unknown)}: draws of other software, under a prior that is not known here."] if unknown else []
    own = [name for name in comparison.descriptions if name in comparison.results and name not in unknown]
    other = [name for name in own if not same_prior(comparison.results[name].model.prior, comparison.prior)]
    return [*lines, f"{', '.join(other)}: under another prior than the engines."] if other else lines


def _divergences(result: Result) -> float:
    """Number of divergent transitions; NaN for an engine that does not record them."""
    if isinstance(result, Posterior) and "diverging" in result.sample_stats:
        return result.num_divergences
    return float("nan")
