"""One mixture per known class: discriminant analysis by mixtures (Hastie & Tibshirani 1996)."""

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.order import same_features
from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.checks import shown
from bayesgmm.runtime.formatting import as_html, as_text, for_html
from bayesgmm.runtime.written_tables import Written
from bayesgmm.selection.cells import FitTable

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True, repr=False)
class ClassMixtures(Written):
    """A mixture for each class, and the shares of the classes: a density, and a rule that classifies new rows."""

    classes: tuple[Any, ...]
    """What the classes are called, in order."""
    tables: tuple[FitTable, ...]
    """The table of fits of each class; `fits` are their best."""
    shares: np.ndarray
    """Share of each class among the rows of known class, (C,)."""
    table: Table
    """The rows of known class."""
    labels: np.ndarray
    """The class of each of them as its place in ``classes``, (N,)."""
    num_unknown: int
    """Rows whose class is not known. They were not used."""

    @cached_property
    def fits(self) -> tuple[MixtureFit, ...]:
        """The best fit of each class."""
        return tuple(table.best for table in self.tables)

    def fit(self, name: Any) -> MixtureFit:
        """The fit of the class of this name. Raises `ArgumentError` if there is none."""
        return self.fits[self._place(name)]

    def _place(self, name: Any) -> int:
        for place, known in enumerate(self.classes):
            if isinstance(name, type(known) | str | int | float) and name == known:
                return place
        raise ArgumentError(f"There is no class {shown(name)}. Choose one of {', '.join(map(str, self.classes))}.")

    @property
    def log_likelihood(self) -> float:
        """Log-likelihood of rows and classes together, ``Σ_n log (share · density)`` of the row's own class."""
        within = sum(fit.log_likelihood for fit in self.fits)
        return float(within + self._counts @ np.log(self.shares))

    @property
    def n_parameters(self) -> int:
        """Free parameters: those of the fits, and C - 1 shares."""
        return sum(fit.n_parameters for fit in self.fits) + len(self.fits) - 1

    def bic(self) -> float:
        """BIC of rows and classes together; smaller is better."""
        return -2.0 * self.log_likelihood + self.n_parameters * float(np.log(self.table.total))

    @property
    def _counts(self) -> np.ndarray:
        return self.shares * self.table.total

    def predict_proba(self, x: Any = None) -> np.ndarray:
        """Probability of each class for each row of x (default: the rows of the fit), (N, C).

        Raises
        ------
        DataError
            If x has other features, or a row is so far from every class that its density is 0 in double precision.
        """
        scores = self._scores(x)
        top = scores.max(axis=1, keepdims=True)
        parts = np.exp(scores - top)
        return parts / parts.sum(axis=1, keepdims=True)

    def predict(self, x: Any = None) -> np.ndarray:
        """The name of the most probable class of each row of x (default: the rows of the fit), (N,)."""
        return np.asarray(self.classes)[self._scores(x).argmax(axis=1)]

    def score_samples(self, x: Any = None) -> np.ndarray:
        """Log density of each row of x whatever its class (default: the rows of the fit), (N,)."""
        scores = self._scores(x)
        top = scores.max(axis=1)
        return top + np.log(np.exp(scores - top[:, None]).sum(axis=1))

    def _scores(self, x: Any) -> np.ndarray:
        """``log share_c + log p(x_n | c)``, (N, C)."""
        new = replace(same_features(x, self.table), labels=None)
        return np.stack([fit.score_samples(new) for fit in self.fits], axis=1) + np.log(self.shares)

    def confusion(self) -> "pd.DataFrame":
        """Rows of each class (index) by the class that is predicted (columns), for the rows of the fit.

        With weights a row counts as often as its weight says.
        """
        import pandas as pd

        counts = np.zeros((len(self.classes), len(self.classes)))
        np.add.at(counts, (self.labels, self._scores(None).argmax(axis=1)), self.table.counted)
        counts = counts.astype(int) if (counts == np.round(counts)).all() else counts
        return pd.DataFrame(counts, pd.Index(self.classes, name="class"), pd.Index(self.classes, name="predicted"))

    def summary(self) -> "pd.DataFrame":
        """A row per class: its rows, share, family, components, log-likelihood, and errors on the rows of the fit.

        Rows and errors are counted as in `confusion`. The errors are NaN if the rows were left out when it was saved.
        """
        import pandas as pd

        num = len(self.classes)
        counts = np.bincount(self.labels, self.table.weights, num)
        confusion = self.confusion().to_numpy() if self.table.has_rows else np.full((num, num), np.nan)
        rows = [
            {"rows": counts[c], "share": self.shares[c], "family": fit.family.label(self.table.dim),
             "components": fit.n_components, "log-likelihood": fit.log_likelihood,
             "errors": counts[c] - confusion[c, c]}
            for c, fit in enumerate(self.fits)
        ]  # fmt: skip
        return pd.DataFrame(rows, pd.Index([str(name) for name in self.classes], name="class"))

    def notes(self) -> list[str]:
        """Rows that were not used, and the notes of the tables of the classes."""
        unused = [f"{self.num_unknown} rows of unknown class were not used."] if self.num_unknown else []
        parts = zip(self.classes, self.tables, strict=True)
        return unused + [f"Class {name}: {line}" for name, table in parts for line in table.notes()]

    def _title(self) -> str:
        return (
            f"{len(self.classes)} classes with a mixture each: {self.table.num_rows} rows of known class, "
            f"log-likelihood {self.log_likelihood:.3f}, BIC {self.bic():.2f}"
        )

    def __repr__(self) -> str:
        return "\n".join([as_text(self._title(), self.summary()), *self.notes()])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{for_html(line)}</p>" for line in self.notes())
        return as_html(self._title(), self.summary()) + notes


def named_classes(labels: Any, num_rows: int) -> tuple[tuple[Any, ...], np.ndarray]:
    """Names of the classes in order, and the class of each row as its place there, -1 where unknown.

    Raises
    ------
    ArgumentError
        If the labels are not one name or number for each row, or none is known.
    """
    import pandas as pd

    try:
        column = pd.Series(np.asarray(labels, object).tolist(), dtype=object)
    except (TypeError, ValueError, OverflowError):
        column = pd.Series(dtype=object)
    if np.ndim(np.asarray(labels, object)) != 1 or len(column) != num_rows:
        raise ArgumentError(f"labels must have shape ({num_rows},), one class for each row; got {shown(labels)}.")
    known = column.notna() & ~column.map(lambda name: isinstance(name, int | float) and name == -1)
    names = list(dict.fromkeys(column[known]))
    if not names:
        raise ArgumentError("labels hold no class: all are -1 or missing.")
    if not all(isinstance(name, str | int | float) for name in names) or len({isinstance(n, str) for n in names}) > 1:
        raise ArgumentError("labels must be names (text) or numbers of classes, and not both.")
    if any(isinstance(name, float) and not np.isfinite(name) for name in names):
        raise ArgumentError("labels hold an infinite number, which names no class.")
    names = sorted(names)
    places = {name: place for place, name in enumerate(names)}
    return tuple(names), np.array([places[name] if k else -1 for name, k in zip(column, known, strict=True)])


def check_rows_of_classes(classes: tuple[Any, ...], table: Table, labels: np.ndarray) -> None:
    """Refuse classes of which no row counts, or with fewer rows than features need.

    Raises
    ------
    DataError
        If there is such a class.
    """
    counted = np.ones(table.num_rows) if table.weights is None else table.weights > 0
    for place, name in enumerate(classes):
        rows = int(counted[labels == place].sum())
        if rows < 2:
            raise DataError(f"Class {name} has {rows} row(s) that count. A mixture of its own needs at least 2.")
