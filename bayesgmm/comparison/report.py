"""A self-contained HTML report of a comparison."""

import base64
import re
from importlib.resources import files
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from bayesgmm.comparison import report_words as words
from bayesgmm.comparison.citing import bibtex, papers, software
from bayesgmm.comparison.manifest import call_of, data_words, versions
from bayesgmm.comparison.options import in_options
from bayesgmm.comparison.report_estimates import MOST_OPEN, sections
from bayesgmm.comparison.report_math import formula
from bayesgmm.errors import ArgumentError, SamplingInterrupted, visible
from bayesgmm.plots.style import NOISE_COLOR, component_color
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
ALTERNATIVES = {
    "data": "Scatter plot of the rows with the ellipses of the components, for {engines}.",
    "means": "Intervals of the mean of each component in each feature, for {engines}.",
    "traces": "Lines of the log posterior and of parameters against the draw, for each chain of {samplers}.",
    "ranks": "Curves of the ranks of each chain against the uniform distribution, for {engine}.",
    "errors": "Points of the error of each engine against its seconds, for {engines}.",
    "ascent": "Falling lines of the remaining increase of the objective against the M-step, for {fits}.",
}
"""What each picture shows, for those who do not see it."""


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


def report(comparison: Any, command: str | None = None) -> bytes:
    """The report as HTML in UTF-8.

    Parameters
    ----------
    comparison
        A `Comparison`.
    command
        The command line that makes it again, if one made it.
    """
    from jinja2 import Environment, PackageLoader, select_autoescape

    environment = Environment(
        loader=PackageLoader("bayesgmm.comparison", "."), autoescape=select_autoescape(default=True)
    )
    environment.filters |= {
        "png": _png, "name": shortened, "formula": formula, "cell": _cell, "color": _color, "minus": _minus
    }  # fmt: skip
    environment.finalize = lambda value: visible(value) if type(value) is str else value  # not the output of a macro
    with interruptible():
        try:
            return environment.get_template("report.html.j2").render(**_context(comparison, command)).encode()
        except SamplingInterrupted:  # Ctrl-C reached the search for missed modes
            raise KeyboardInterrupt from None


def _context(comparison: Any, command: str | None) -> dict[str, Any]:
    figures, scores = comparison.plot(), comparison.scores
    errors_figure = figures.pop("errors", None)
    pictures = {name: (figure, CAPTIONS[name], _alternative(name, comparison)) for name, figure in figures.items()}
    summary = comparison.summary()
    costs = [str(label) for label in summary.index[list(summary.index).index("log-likelihood") :]]
    return {
        "style": Markup(files("bayesgmm.comparison").joinpath("report.css").read_text("utf-8")),
        "title": words.title(comparison),
        "question": words.question(comparison),
        "mixture": words.mixture(comparison),
        "verdict": words.without_code(comparison, [in_options(line) for line in comparison.verdict()]),
        "facts": words.data_facts(comparison),
        "features": words.feature_rows(comparison),
        "most_open": MOST_OPEN,
        "model": words.model_lines(comparison),
        "components": comparison.model.num_gaussians,
        "known": comparison.table.labels is not None,
        "noise": comparison.table.noise is not None,
        **_prior_words(comparison),
        "engines": comparison.engine_names,
        "sections": sections(comparison),
        "notes": [line.replace("verdict() says why", "the answer above says why") for line in comparison.notes()],
        "correlations": words.correlation_note(comparison),
        "pictures": [pictures[name] for name in ("data", "means") if name in pictures],
        "progress": [pictures[name] for name in ("traces", "ascent") if name in pictures],
        "errors": _errors(comparison, errors_figure),
        "held_out": None if scores is None else (list(scores.shown().columns), _rows(scores.shown()), scores.notes),
        "costs": [(label, words.COSTS[label], list(summary.loc[label])) for label in costs],
        "settings": words.settings(comparison),
        **_convergence(comparison),
        "versions": versions(),
        "command": command,
        "call": call_of(comparison),
        "seed": comparison.seed if isinstance(comparison.seed, int) else None,
        "fingerprint": data_words(comparison.table)["fingerprint"],
        "software": software(),
        "bibtex": bibtex(),
        "papers": papers(comparison),
    }


def _prior_words(comparison: Any) -> dict[str, Any]:
    """The lines of the prior, and what is held."""
    prior, fixed, family = comparison.prior, comparison.model.fixed, comparison.family
    return {
        "prior": None if prior is None else prior.describe(family),
        "prior_name": comparison.prior_name,
        "flat": [name for name, fit in comparison.fits.items() if fit.prior is None],
        "held": None if fixed is None else fixed.words(),
        "family": None if family.name == "VVV" else family.label(comparison.table.dim),
    }


def _convergence(comparison: Any) -> dict[str, Any]:
    """Diagnoses with their pictures, convergence of label-invariant quantities, and where the starts of EM ended."""
    return {
        "diagnoses": [
            (name, found.status, [in_options(line) for line in found.verdict()], found.plot_ranks())
            for name, found in comparison.diagnose().items()
        ],
        "rank_caption": CAPTIONS["ranks"],
        "rank_alternative": ALTERNATIVES["ranks"],
        "basins": {name: _rows(_basin_strings(fit.basin_table())) for name, fit in comparison.fits.items()},
        "convergence": {name: _rows(_strings(post.convergence)) for name, post in comparison.samplers.items()},
        "convergence_columns": ["mean", "sd", "mcse", "ESS bulk", "ESS tail", "R-hat"],
    }


def _alternative(name: str, comparison: Any) -> str:
    """The alternative text of a picture."""
    whose = {"engines": comparison.results, "samplers": comparison.samplers, "fits": comparison.fits}
    return ALTERNATIVES[name].format(**{word: ", ".join(names) for word, names in whose.items()})


def _errors(comparison: Any, figure: Any) -> dict[str, Any] | None:
    """Table, notes and picture of the errors, if there is a reference."""
    if figure is None:
        return None
    found = comparison.errors()
    shown = found.shown()
    picture = figure, CAPTIONS["errors"], _alternative("errors", comparison)
    about = {"picture": picture, "reference": found.reference, "notes": found.notes}
    return about | {"columns": list(shown.columns), "rows": _rows(shown)}


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


def _color(k: int) -> str:
    """Colour of a component in the pictures; that of the noise for no number."""
    return component_color(k) if k >= 0 else NOISE_COLOR


def _minus(text: str) -> str:
    """Numbers with the sign of mathematics in place of a hyphen."""
    return re.sub(r"(?<!\w)-(?=[\d∞])|(?<=\de)-", "−", text)


def _cell(text: str) -> Markup:
    """A cell in which the spread or the interval is set apart, and goes to a line of its own if there is no room."""
    text = _minus(visible(text))
    estimate, sign, rest = text.partition(" ± ")
    if sign:
        return Markup('<b>{}</b> <span class="sd">± {}</span>').format(escape(estimate), escape(rest))
    estimate, sign, rest = text.partition(" [")
    if sign:
        return Markup('<b>{}</b> <span class="sd">[{}</span>').format(escape(estimate), escape(rest))
    return Markup("<b>{}</b>").format(escape(text))
