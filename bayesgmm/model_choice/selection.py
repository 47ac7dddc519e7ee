"""The result of `select`: one table, one picture, and what the criteria say together."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.model_choice.answers import Answer, Candidate, best_of_each
from bayesgmm.model_choice.words import agreed, conclusion
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import check_choice, check_count
from bayesgmm.runtime.formatting import as_html, as_text, fitting, for_html, significant, wrapped
from bayesgmm.runtime.programs import Stopwatch
from bayesgmm.runtime.written_tables import Written
from bayesgmm.selection.cells import FitTable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class Selection(Written):
    """Candidates (a covariance family with a number of components), and the answer of each criterion."""

    candidates: tuple[Candidate, ...]
    """In ascending order of K."""
    answers: dict[str, Answer]
    """By the name of the criterion."""
    fits: FitTable | None
    """The table of fits; None if no criterion needs one."""
    posteriors: dict[Candidate, Posterior]
    """Draws of each candidate, if a criterion needs them; see `posterior`."""
    remarks: tuple[str, ...]
    """What happened on the way: candidates without a fit, chains that have not mixed."""
    interrupted: bool
    """Whether Ctrl-C was pressed before all criteria were complete."""
    clock: Stopwatch
    seed: Any

    def best(self, criterion: str) -> Candidate:
        """The choice of one criterion: ``family`` and ``n_components``.

        Raises
        ------
        ArgumentError
            If there is no such criterion, or it has no answer.
        """
        found = self.answers[check_choice("criterion", criterion, self.answers)]
        if found.best is None:
            raise ArgumentError(f"There is no best model by this criterion. {found.words}")
        return found.best

    @property
    def agreed(self) -> int | None:
        """The K that no criterion rules out (of several, that which most choose); None if there is none."""
        return agreed(list(self.answers.values()))

    def conclusion(self) -> list[str]:
        """What the criteria say together, then each with how sure it is."""
        return conclusion(list(self.answers.values()))

    def fit(self, n_components: int, family: str | None = None) -> MixtureFit:
        """The fit with K components.

        Raises
        ------
        ArgumentError
            If there is none, or several families and none is named.
        """
        if self.fits is None:
            raise ArgumentError("No criterion needed fits, so that there are none. Add criterion 'bic'.")
        return self.fits.fit(self._candidate(n_components, family).family, check_count("n_components", n_components))

    def posterior(self, n_components: int, family: str | None = None) -> Posterior:
        """The posterior with K components. Raises as `fit` does."""
        found = self.posteriors.get(self._candidate(n_components, family))
        if found is None:
            raise ArgumentError(f"There are no draws with {n_components} components. Add criterion 'loo'.")
        return found

    def to_dataframe(self) -> "pd.DataFrame":
        """A row per candidate, with the value of each criterion, its difference from the best, and standard errors."""
        import pandas as pd

        columns: dict[str, Any] = {
            "n_components": [one.n_components for one in self.candidates],
            "family": [one.family for one in self.candidates],
        }
        for name, answer in self.answers.items():
            columns[name] = answer.values
            parts = {"se": answer.errors, "difference": answer.differences,
                     "difference_se": answer.errors_of_differences}  # fmt: skip
            columns |= {f"{name}_{part}": values for part, values in parts.items() if np.isfinite(values).any()}
            columns |= {f"{name}_{part}": values for part, values in answer.more.items()}
            columns[f"{name}_best"] = [one == answer.best for one in self.candidates]
        return pd.DataFrame(columns)

    def summary(self) -> "pd.DataFrame":
        """The table as it is shown: each value with its difference from the best, which is marked.

        With several families, the best family of each K by each criterion.
        """
        import pandas as pd

        shown = [self.candidates[i] for i in self._shown()]
        several = len({one.family for one in self.candidates}) > 1
        labels = [f"{one.n_components} {one.family}" if several else str(one.n_components) for one in shown]
        cells: dict[str, list[str]] = {}
        for answer in self.answers.values():
            cells |= {name: [column[i] for i in self._shown()] for name, column in _cells(answer).items()}
        return pd.DataFrame(cells, index=pd.Index(labels, name="K"))

    def notes(self) -> list[str]:
        """What happened on the way, and what limits single criteria."""
        lines = [*self.remarks, *(note for answer in self.answers.values() for note in answer.notes)]
        return [*lines, *["Interrupted: criteria that were not complete have no answer."] * self.interrupted]

    def plot(self, axes: Any = None) -> Any:
        """Plot every criterion against K. See `bayesgmm.plots.plot_selection`; returns an array of axes."""
        from bayesgmm import plots

        return plots.plot_selection(self, axes)

    def _candidate(self, n_components: int, family: str | None) -> Candidate:
        """The candidate of these words."""
        size = check_count("n_components", n_components)
        families = list(dict.fromkeys(one.family for one in self.candidates))
        if family is None and len(families) > 1:
            raise ArgumentError(f"There are several families. Name one of {', '.join(families)}.")
        own = families[0] if family is None else check_choice("family", family, families)
        if Candidate(own, size) not in self.candidates:
            sizes = ", ".join(map(str, dict.fromkeys(one.n_components for one in self.candidates)))
            raise ArgumentError(f"{size} components were not requested. There are {sizes}.")
        return Candidate(own, size)

    def _shown(self) -> list[int]:
        """Candidates in the shown table: for each K the best family by each criterion."""
        if len({one.family for one in self.candidates}) == 1:
            return list(range(len(self.candidates)))
        found = set()
        for answer in self.answers.values():
            found |= set(best_of_each(self.candidates, answer.values, answer.larger_is_better))
            found |= {self.candidates.index(answer.best)} if answer.best is not None else set()
        return sorted(found)

    def _title(self) -> str:
        return self.conclusion()[0]

    def __repr__(self) -> str:
        lines = [*self.conclusion()[1:], *self.notes()]
        return "\n".join([as_text(self._title(), self.summary()), *map(wrapped, lines)])

    def _repr_html_(self) -> str:
        lines = "".join(f"<p>{for_html(line)}</p>" for line in [*self.conclusion()[1:], *self.notes()])
        return as_html(self._title(), self.summary()) + lines


def _cells(answer: Answer) -> dict[str, list[str]]:
    """The columns of one criterion as strings."""
    columns = {answer.title: [_value(answer, i) for i in range(len(answer.candidates))]}
    if np.isfinite(answer.differences).any():
        columns[f"Δ {answer.title}"] = [_difference(answer, i) for i in range(len(answer.candidates))]
    for name, values in answer.more.items():
        columns[f"{name} ({answer.title})"] = [significant(value, 2) for value in values]
    return columns


def _value(answer: Answer, i: int) -> str:
    if not np.isfinite(answer.values[i]):
        return "← best" if answer.candidates[i] == answer.best else "–"
    value = f"{answer.values[i]:.{answer.decimals}f}"
    best = answer.candidates[i] == answer.best and not np.isfinite(answer.differences[i])
    return f"{value} ← best" if best else value


def _difference(answer: Answer, i: int) -> str:
    """The difference from the best, with its standard error if it has one."""
    difference, error = answer.differences[i], answer.errors_of_differences[i]
    if answer.candidates[i] == answer.best:
        return "best"
    if not np.isfinite(difference):
        return "–"
    return (
        f"{difference:+.{answer.decimals}f}"
        if not np.isfinite(error)
        else " ± ".join(fitting([difference, error], error))
    )
