"""A self-contained HTML report of a comparison."""

import base64
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.comparison.manifest import call_of, versions
from bayesgmm.errors import ArgumentError, SamplingInterrupted, visible
from bayesgmm.results.given_posterior import GivenPosterior
from bayesgmm.runtime.files import as_path, reason, write
from bayesgmm.runtime.formatting import shortened, significant
from bayesgmm.runtime.interrupt import check_stop, interruptible

if TYPE_CHECKING:
    import pandas as pd


CAPTIONS = {
    "data": "The data, coloured by the most probable component in the first result, and the components of each engine.",
    "means": "Component means: estimates (95 % intervals if asked for), medians with 50 % and 95 % intervals of draws.",
    "traces": "Traces after warm-up. Assess mixing on the log posterior, which is label-invariant. "
    "The rows below use the common labelling.",
    "ranks": "Ranks of each half of each chain among all draws: distribution function minus the uniform one. Chains "
    "that have mixed stay near 0, inside the band. R-hat and ESS, above each panel, decide.",
    "errors": "Error against seconds, both logarithmic: of means on the left, of distributions on the right. Full "
    "marks: seconds of computing; hollow marks: with compiling.",
    "ascent": "Ascent of EM: the remaining increase of the objective after each M-step.",
}


def write_report(comparison: Any, path: str | PathLike) -> Path:
    """Write the report to `path`; create its folder if necessary.

    Raises
    ------
    ArgumentError
        If the path cannot be written.
    """
    place = as_path("path", path)
    html = report(comparison)
    try:
        write(place, html)
    except OSError as error:
        raise ArgumentError(
            f"The report could not be written to {place} ({reason(error)}). Choose another path."
        ) from None
    return place


def report(comparison: Any) -> bytes:
    """The report as HTML in UTF-8."""
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("bayesgmm.comparison", "."), autoescape=select_autoescape(default=True)
    )
    environment.filters |= {"png": _png, "name": shortened}
    environment.finalize = lambda value: visible(value) if type(value) is str else value  # not the output of a macro
    with interruptible():
        try:
            return environment.get_template("report.html.j2").render(**_context(comparison)).encode()
        except SamplingInterrupted:  # Ctrl-C reached the search for missed modes
            raise KeyboardInterrupt from None


def _context(comparison: Any) -> dict[str, Any]:
    figures, scores = comparison.plot(), comparison.scores
    errors_figure = figures.pop("errors", None)
    return {
        "title": (
            f"{comparison.model.num_gaussians} Gaussian components{_noise_words(comparison)}"
            f"{_family_words(comparison)}{_held_words(comparison)}, {len(comparison.results)} engines"
        ),
        "table": comparison.table,
        "engines": comparison.engine_names,
        "verdict": comparison.verdict(),
        "summary": _rows(comparison.summary()),
        "summary_columns": list(comparison.results),
        "notes": comparison.notes(),
        "first_cost": "log-likelihood",
        "figures": [(CAPTIONS[name], figure) for name, figure in figures.items()],
        "errors": _errors(comparison, errors_figure),
        "held_out": None if scores is None else (list(scores.shown().columns), _rows(scores.shown()), scores.notes),
        "diagnoses": [
            (comparison.engine_names[name], found.status, found.verdict(), found.plot_ranks())
            for name, found in comparison.diagnose().items()
        ],
        "rank_caption": CAPTIONS["ranks"],
        "basins": {name: _rows(_basin_strings(fit.basin_table())) for name, fit in comparison.fits.items()},
        "convergence": {name: _rows(_strings(post.convergence)) for name, post in comparison.samplers.items()},
        "convergence_columns": ["mean", "sd", "mcse", "ESS bulk", "ESS tail", "R-hat"],
        "prior": (comparison.prior.describe(comparison.family) if comparison.prior else ["Flat: maximum likelihood."])
        + ([] if comparison.model.fixed is None else [f"Held: {comparison.model.fixed.words()}"]),
        "call": call_of(comparison),
        "settings": _settings(comparison),
        "versions": ", ".join(f"{name} {number}" for name, number in versions().items()),
    }


def _errors(comparison: Any, figure: Any) -> dict[str, Any] | None:
    """Table, notes and picture of the errors, if there is a reference."""
    if figure is None:
        return None
    found = comparison.errors()
    shown = found.shown()
    about = {"figure": figure, "caption": CAPTIONS["errors"], "reference": found.reference, "notes": found.notes}
    return about | {"columns": list(shown.columns), "rows": _rows(shown)}


def _held_words(comparison: Any) -> str:
    return "" if comparison.model.fixed is None else f", held: {comparison.model.fixed.words()}"


def _noise_words(comparison: Any) -> str:
    return " and noise" if comparison.table.noise is not None else ""


def _family_words(comparison: Any) -> str:
    family = comparison.family
    return "" if family.name == "VVV" else f", {family.label(comparison.table.dim)} covariances"


def _rows(frame: "pd.DataFrame") -> list[tuple[str, list[str]]]:
    return [(str(label), [str(value) for value in row]) for label, row in zip(frame.index, frame.values, strict=True)]


def _strings(frame: "pd.DataFrame") -> "pd.DataFrame":
    shown = frame.map(significant)
    shown["r_hat"] = frame["r_hat"].map(lambda value: "–" if value != value else f"{value:.3f}")
    for name in ("ess_bulk", "ess_tail"):
        shown[name] = frame[name].map(lambda value: "–" if value != value else f"{value:.0f}")
    return shown


def _basin_strings(frame: "pd.DataFrame") -> "pd.DataFrame":
    shown = frame.astype(object)
    shown["objective"] = frame["objective"].map(lambda value: f"{value:.3f}")
    shown["mean_iterations"] = frame["mean_iterations"].map(lambda value: f"{value:.0f}")
    return shown


def _png(figure: Any) -> str:
    from bayesgmm.plots.style import png

    check_stop()
    return base64.b64encode(png(figure)).decode("ascii")


def _settings(comparison: Any) -> list[str]:
    lines = []
    for name, post in comparison.posteriors.items():
        if name not in comparison.samplers:
            lines.append(f"{name}: {post.num_chains * post.num_samples} independent draws from the approximation")
            continue
        cut = " (interrupted)" if post.interrupted else ""
        if isinstance(post, GivenPosterior):
            lines.append(f"{name}: {post.num_chains} chains × {post.num_samples} draws, given")
            continue
        lines.append(f"{name}: {post.num_chains} chains × ({post.num_warmup} warm-up + {post.num_samples} kept){cut}")
    for name, fit in comparison.fits.items():
        starts = sum(basin.hits for basin in fit.basins)
        lines.append(f"{name}: best of {starts} starts, {fit.status} after {fit.n_iter} M-steps")
    return lines
