"""The table of fits of several families and numbers of components."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from bayesgmm.data.unseen import unseen_words
from bayesgmm.engines.em.ascent_state import PLANNED, STATUS
from bayesgmm.errors import ArgumentError
from bayesgmm.model.families import resolve_family
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import check_choice, check_count
from bayesgmm.runtime.formatting import as_html, as_text, criterion_name, for_html
from bayesgmm.runtime.programs import Stopwatch
from bayesgmm.runtime.written_tables import Written

if TYPE_CHECKING:
    import pandas as pd

CRITERIA = ("bic", "icl", "soft_icl", "aic", "aicc")
FIGURES = (*CRITERIA, "log_likelihood", "n_parameters", "n_iter", "status", "spurious")
SINGULAR = "singular covariances"
UNLIKE_LABELS = "not as many components as the labels say"


@dataclass(frozen=True)
class Cell:
    """One family with one number of components."""

    family: str
    n_components: int
    fit: MixtureFit | None
    """None if every start failed."""
    status: str
    spurious: bool
    """A component has no more rows than its part of the covariance needs: the likelihood is unreliable."""


@dataclass(frozen=True, repr=False)
class FitTable(Written):
    """Fits of several covariance families and numbers of components to one data set."""

    cells: tuple[Cell, ...]
    criterion: str
    interrupted: bool
    """Whether Ctrl-C ended the search early; families that were not yet searched are left out."""
    clock: Stopwatch
    seed: Any

    @cached_property
    def best(self) -> MixtureFit:
        """The fit with the smallest criterion among cells that are not spurious, else among all cells."""
        return self._ranked[0].fit  # pyright: ignore[reportReturnType]

    @cached_property
    def _ranked(self) -> list[Cell]:
        fitted = [cell for cell in self.cells if cell.fit is not None]
        return sorted(fitted, key=lambda cell: (cell.spurious, self._value(cell)))

    @property
    def _name(self) -> str:
        """The criterion as it is written."""
        return criterion_name(self.criterion)

    def _value(self, cell: Cell) -> float:
        return float("nan") if cell.fit is None else float(getattr(cell.fit, self.criterion)())

    def fit(self, covariance_type: str, n_components: int) -> MixtureFit:
        """The fit of one cell.

        Raises
        ------
        ArgumentError
            If the table has no such cell, or all starts of the cell failed.
        """
        name = resolve_family(covariance_type, self.best.table.dim).label(self.best.table.dim)
        n_components = check_count("n_components", n_components)
        cell = next((c for c in self.cells if (c.family, c.n_components) == (name, n_components)), None)
        if cell is None or cell.fit is None:
            why = "it was not requested" if cell is None else cell.status
            raise ArgumentError(f"There is no fit of {covariance_type} with {n_components} components: {why}.")
        return cell.fit

    def frame(self, figure: str | None = None) -> "pd.DataFrame":
        """One statistic of all cells, number of components × family; NaN if no start led to a fit.

        ``figure`` is the criterion by default, or ``"bic"``, ``"icl"``, ``"soft_icl"``, ``"aic"``, ``"aicc"``,
        ``"log_likelihood"``, ``"n_parameters"``, ``"n_iter"``, ``"status"`` or ``"spurious"``; anything else is an
        `ArgumentError`.
        """
        import pandas as pd

        figure = self.criterion if figure is None else check_choice("figure", figure, FIGURES)
        families = list(dict.fromkeys(cell.family for cell in self.cells))
        sizes = sorted({cell.n_components for cell in self.cells})
        values = {(cell.n_components, cell.family): _figure(cell, figure) for cell in self.cells}
        rows = [[values[size, family] for family in families] for size in sizes]
        return pd.DataFrame(rows, index=pd.Index(sizes, name="n_components"), columns=families)

    def to_dataframe(self) -> "pd.DataFrame":
        """A row per cell with all its figures: family, n_components, bic, icl, soft_icl and so on."""
        import pandas as pd

        rows = [
            {"family": cell.family, "n_components": cell.n_components, **{one: _figure(cell, one) for one in FIGURES}}
            for cell in self.cells
        ]
        return pd.DataFrame(rows)

    def _written(self) -> "pd.DataFrame":
        return self.ranking()

    def ranking(self, num: int = 5) -> "pd.DataFrame":
        """The `num` best models, best first; spurious cells come last."""
        import pandas as pd

        ranked = self._ranked[: check_count("num", num)]
        rows = [
            {"family": cell.family, "n_components": cell.n_components, self._name: self._value(cell),
             "log-likelihood": cell.fit.log_likelihood, "parameters": cell.fit.n_parameters}
            for cell in ranked if cell.fit is not None
        ]  # fmt: skip
        return pd.DataFrame(rows, index=pd.RangeIndex(1, len(rows) + 1, name="rank"))

    def plot(self, ax: Any = None) -> Any:
        """Plot the criterion against the number of components. See `bayesgmm.plots.plot_table`; returns axes."""
        from bayesgmm import plots

        return plots.plot_table(self, ax)

    def notes(self) -> list[str]:
        """Notes on the table: spurious cells that beat the best, cells without a fit, fits that did not converge."""
        lines = []
        best = self._value(self._ranked[0])
        better = [c for c in self._ranked if c.spurious and self._value(c) < best]
        if better:
            names = ", ".join(f"{c.family} {c.n_components}" for c in better[:6]) + (", …" if len(better) > 6 else "")
            lines.append(
                f"{len(better)} cells have a smaller {self._name} than the best, but a component with too "
                f"few rows for its covariance ({names}): likely spurious modes of the likelihood. "
                "prior='default' bounds the likelihood."
            )
        if unseen := unseen_words(self.best.table, self.best.n_components):
            lines.append(f"No value was seen of {unseen}: its mean and variance there are not estimated by any row.")
        failed = [cell for cell in self.cells if cell.fit is None]
        if failed:
            names = ", ".join(f"{c.family} {c.n_components} ({c.status})" for c in failed[:6])
            lines.append(
                f"No fit: {names}{', …' if len(failed) > 6 else ''}. {_remedy(failed, self.best.prior is None)}".strip()
            )
        open_ended = [c for c in self.cells if c.fit is not None and not c.fit.converged and not c.fit.interrupted]
        slow = [c for c in open_ended if c.status != STATUS[PLANNED]]
        if len(slow) < len(open_ended):
            lines.append("Fits by batches (online EM) end near their maxima. Fit the best ones with all rows, too.")
        if slow:
            names = ", ".join(f"{c.family} {c.n_components}" for c in slow[:6])
            lines.append(f"Stopped before convergence: {names}{', …' if len(slow) > 6 else ''}. Raise max_iter.")
        if self.interrupted:
            lines.append("Interrupted: the table contains the fits made before.")
        return lines

    def _title(self) -> str:
        best = self._ranked[0]
        count = len({cell.family for cell in self.cells})
        return (
            f"{count} covariance {'family' if count == 1 else 'families'}, {len(self.cells)} models, by "
            f"{self._name} (smaller is better): best is {self.best_model}, "
            f"{self._name} {self._value(best):.2f}"
        )

    @property
    def best_model(self) -> str:
        """The best model in words."""
        best = self._ranked[0]
        noise = "" if self.best.table.noise is None else " and noise"
        return f"{best.family} with {best.n_components} component{'' if best.n_components == 1 else 's'}{noise}"

    def __repr__(self) -> str:
        return "\n".join([as_text(self._title(), self.ranking()), *self.notes()])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{for_html(line)}</p>" for line in self.notes())
        return as_html(self._title(), self.ranking()) + notes


def _figure(cell: Cell, figure: str) -> Any:
    """One of `FIGURES` of a cell; NaN if it needs a fit and there is none."""
    if figure in ("status", "spurious"):
        return getattr(cell, figure)
    if cell.fit is None:
        return float("nan")
    found = getattr(cell.fit, figure)
    return found() if callable(found) else found


def _remedy(failed: list[Cell], flat: bool) -> str:
    """What to try where cells have no fit, without a prior (`flat`) or under one."""
    dependent = "Correct far rows, drop linearly dependent features, or leave out families with correlations. "
    bound = "prior='default' bounds the likelihood." if flat else "Use a prior with a larger scale."
    statuses = {cell.status for cell in failed} - {UNLIKE_LABELS}
    return (dependent * (SINGULAR in statuses) + bound * bool(statuses - {SINGULAR})).strip()
