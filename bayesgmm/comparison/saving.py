"""The files of the command line, each of which may fail without loss of the others."""

from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from bayesgmm.comparison.terminal import say
from bayesgmm.errors import BayesGMMError
from bayesgmm.runtime.files import Output, csv_form, tree_forms

if TYPE_CHECKING:
    from bayesgmm.comparison.comparison import Comparison
    from bayesgmm.diagnosis.judged import Judged
    from bayesgmm.model_choice.selection import Selection
    from bayesgmm.selection.cells import FitTable


def save_report(comparison: "Comparison", output: Output, command: str) -> Path | None:
    """Write the report, with the command that makes it again; None if it is not written, or was stopped."""
    from bayesgmm.comparison.report import report

    say("Writing the report …", error=True)
    _draw_to_files()
    with suppress(KeyboardInterrupt):
        return output.save("report", {".html": lambda: report(comparison, command)})


def score(comparison: "Comparison", folds: int, seed: int, progress_bar: bool) -> BayesGMMError | None:
    """Score held-out rows; the error if that fails, so that the rest is written and printed before."""
    try:
        comparison.held_out(folds, seed=seed, progress_bar=progress_bar)
    except BayesGMMError as error:
        return error
    return None


def save_table(found: "FitTable", output: Output) -> None:
    """Write the table, its figure, and the best model."""
    output.save("table", csv_form(found.frame))
    output.save("best", csv_form(found.best.summary))
    output.save("best", tree_forms(lambda: found.best.datatree))
    _draw_to_files()
    from bayesgmm import plots
    from bayesgmm.plots.style import png

    def best() -> bytes:
        picture = plots.plot_components({"best": found.best}).figure
        picture.suptitle(found.best_model, fontsize="medium")
        return png(picture)

    output.save("table", {".png": lambda: png(plots.plot_table(found).figure)})
    output.save("best", {".png": best})


def save_selection(found: "Selection", output: Output) -> None:
    """Write the table of a selection, and its figure."""
    output.save("select", csv_form(found.to_dataframe))
    _draw_to_files()
    from bayesgmm import plots
    from bayesgmm.plots.style import png

    output.save("select", {".png": lambda: png(plots.plot_selection(found)[0, 0].figure)})


def save_diagnosis(found: "Judged", output: Output) -> None:
    """Write the figures, and the relabelled draws if there are any."""
    for name, make in found.trees().items():
        output.save(name, tree_forms(make))
    _draw_to_files()
    from bayesgmm.plots.style import png

    for name, figure in found.plot().items():
        output.save(name, {".png": partial(png, figure)})


def _draw_to_files() -> None:
    import matplotlib as mpl

    mpl.use("Agg")
