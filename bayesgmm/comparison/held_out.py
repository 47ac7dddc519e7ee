"""Held-out log score by K-fold: what each engine predicts for rows that it has not seen."""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesgmm.checking.refits import STUCK, without
from bayesgmm.data.kinds import WEIGHTS, check_rows
from bayesgmm.data.table import Table
from bayesgmm.engines.engine import Engine, find_engine
from bayesgmm.errors import (
    ArgumentError,
    BayesGMMError,
    DataError,
    FitError,
    MixingWarning,
    NotConvergedWarning,
    SamplingInterrupted,
    SpuriousComponentWarning,
)
from bayesgmm.model.types import Params
from bayesgmm.problem import Model
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_key, check_count, derived_key, host_generator, named_key, split_key
from bayesgmm.runtime.files import reason
from bayesgmm.runtime.formatting import as_html, as_text, for_html, plus_minus, wrapped
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.progress import Progress, listening
from bayesgmm.sweep.per_row import average_over_draws

if TYPE_CHECKING:
    import pandas as pd

PLUG_IN, AVERAGED = "plug-in", "averaged"
Scores = dict[tuple[str, str], np.ndarray]
"""Log density of each row by engine and prediction, (N,); NaN where there is none."""


@dataclass(frozen=True, repr=False)
class HeldOut:
    """Log scores of held-out rows, in nats and in the units of the data: higher is better."""

    table: "pd.DataFrame"
    """A row per engine and prediction: ``log score``, ``se``, ``difference`` to the best, ``se of difference``,
    ``rows``."""
    by_row: "pd.DataFrame"
    """``log p(x_n | rows of the other folds)``: a row per row of the data, a column per engine and prediction; NaN
    where the fold failed."""
    folds: np.ndarray
    """The fold of each row, (N,)."""
    failures: dict[str, dict[int, str]]
    """Why an engine has no score in a fold, by engine and fold."""
    notes: tuple[str, ...]
    interrupted: bool
    """Whether Ctrl-C was pressed before all folds had ended; complete folds are kept."""

    def shown(self) -> "pd.DataFrame":
        """The table as strings, best first."""
        import pandas as pd

        table = self.table.sort_values("log score", ascending=False)
        cells = {
            "log score ± se": plus_minus(table["log score"], table["se"]),
            "difference ± se": plus_minus(table["difference"], table["se of difference"]),
            "rows": [str(count) for count in table["rows"]],
        }
        return pd.DataFrame(cells, pd.Index([f"{name}, {kind}" for name, kind in table.index], name="prediction"))

    def __repr__(self) -> str:
        return "\n".join([as_text("Held-out log score", self.shown()), *map(wrapped, self.notes)])

    def _repr_html_(self) -> str:
        return as_html("Held-out log score", self.shown()) + "".join(f"<p>{for_html(line)}</p>" for line in self.notes)


def held_out(comparison: Any, folds: int, seed: Any, progress_bar: Progress) -> HeldOut:
    """Refit every engine without each fold, and score the rows of the fold; see `Comparison.held_out`."""
    names = [name for name in comparison.results if name not in comparison.descriptions]
    model, key = comparison.model, as_key(seed)
    count = check_folds(folds, model.table, model.num_components)
    key_folds, key_runs = split_key(key)
    parts = host_generator(key_folds).permutation(model.table.num_rows)
    check_rows("held_out", (WEIGHTS,), model.table, "Score new rows by score_samples.")
    places = [np.sort(part) for part in np.array_split(parts, count)]
    models = [_model_without(model, rows, number) for number, rows in enumerate(places)]
    run = _Refits(comparison, key_runs)
    with listening(progress_bar) as listener, interruptible() as stop:
        total, done, complete = count * len(names), 0, 0
        for fold, rows in enumerate(places):
            for name in names:
                listener("held out", done, total, f"fold {fold + 1} of {count}: {name}")
                run.predict(name, fold, models[fold], rows)
                if stop.is_set():
                    break
                done += 1
            if stop.is_set():
                run.forget(fold, rows)
                break
            complete += 1
        listener("held out", done, total, "")
    if stop.is_set() and not complete:
        raise SamplingInterrupted(f"Stopped in the first of {count} folds. No fold is complete, so there is no score.")
    return _result(comparison, run, places, complete)


@dataclass
class _Refits:
    """Refits of the engines of a comparison, and what came of them."""

    comparison: Any
    key: Any
    scores: Scores = field(default_factory=dict)
    failures: dict[str, dict[int, str]] = field(default_factory=dict)
    doubts: dict[tuple[str, str], int] = field(default_factory=dict)
    """In how many folds a refit of an engine has a fault, in words."""

    def predict(self, name: str, fold: int, model: Model, rows: np.ndarray) -> None:
        """Refit one engine to the rows of a model, and score the rows that are left out."""
        table: Table = self.comparison.table
        try:
            result = self._refit(find_engine(name), name, fold, model)
            for kind, values in _scores(result, table.take(rows)).items():
                column = self.scores.setdefault((name, kind), np.full(table.num_rows, np.nan))
                column[rows] = values
            for words in _doubts(result):
                self.doubts[name, words] = self.doubts.get((name, words), 0) + 1
        except BayesGMMError as error:
            self.failures.setdefault(name, {})[fold] = str(error)
        except Exception as error:  # the scores of the other engines are kept
            self.failures.setdefault(name, {})[fold] = f"it failed ({type(error).__name__}: {reason(error)})."

    def forget(self, fold: int, rows: np.ndarray) -> None:
        """Drop a fold that not all engines have ended."""
        for column in self.scores.values():
            column[rows] = np.nan
        for found in self.failures.values():
            found.pop(fold, None)

    def _refit(self, engine: Engine, name: str, fold: int, model: Model) -> MixtureFit | Posterior:
        before, settings = self.comparison.results[name], engine.select(self.comparison.settings)
        key = derived_key(named_key(self.key, name), fold)
        with warnings.catch_warnings():
            for category in (MixingWarning, NotConvergedWarning, SpuriousComponentWarning):
                warnings.simplefilter("ignore", category)  # counted, and told in the notes
            return engine.run(
                model, model.num_components, prior=model.prior, covariance_type=model.family.name, seed=key,
                reference=before.reference if isinstance(before, Posterior) else None, progress_bar=False, **settings,
            )  # fmt: skip


def check_folds(folds: Any, table: Table, num_components: int) -> int:
    """The number of folds, if each leaves enough rows to fit.

    Raises
    ------
    ArgumentError
        If they leave too few rows.
    """
    folds, rows, dim = check_count("folds", folds, least=2), table.num_rows, table.dim
    if folds > rows:
        raise ArgumentError(f"folds={folds} is more than the {rows} rows. Use between 2 and {rows} folds.")
    left = rows - -(-rows // folds)
    if left <= dim or left < num_components:
        raise ArgumentError(
            f"folds={folds} of {rows} rows leaves {left} rows to fit {num_components} components in {dim} "
            f"dimensions. Use between 2 and {rows} folds; more folds leave more rows."
        )
    return folds


def _model_without(model: Model, rows: np.ndarray, number: int) -> Model:
    try:
        return model.on_rows(without(model.table, rows))
    except DataError as error:
        raise DataError(f"Without the rows of fold {number} there is no fit: {error} Use more folds.") from None


def _scores(result: MixtureFit | Posterior, rows: Table) -> dict[str, np.ndarray]:
    """Log density of rows: at the estimate, and for draws also averaged over them."""
    if isinstance(result, MixtureFit):
        return {PLUG_IN: result.score_samples(rows)}
    return {
        AVERAGED: result.score_samples(rows),
        PLUG_IN: average_over_draws(_mean_of(result.params), rows, result.frame)[1],
    }


def _mean_of(params: Params) -> Params:
    """The posterior mean of weights, means and covariances, as one draw."""
    parts = (params.weights, params.means, params.covariances)
    weights, means, covariances = (np.asarray(part).mean(axis=(0, 1)) for part in parts)
    mean = Params(weights, means, np.linalg.cholesky(covariances))
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None, None], mean)


def _doubts(result: MixtureFit | Posterior) -> Iterator[str]:
    """What is wrong with a refit."""
    if isinstance(result, MixtureFit):
        if not result.converged:
            yield "EM has not converged"
    elif isinstance(result, ApproximatePosterior):
        if not result.trusted:
            yield "Pareto k-hat is above 0.7 (the approximation is not reliable)"
    elif not result.worst_rhat <= STUCK:
        yield f"R-hat is above {STUCK} (the chains have not mixed)"


def _result(comparison: Any, run: _Refits, places: list[np.ndarray], complete: int) -> HeldOut:
    import pandas as pd

    failures = {name: found for name, found in run.failures.items() if found}
    scores = {column: values for column, values in run.scores.items() if np.isfinite(values).any()}
    if not scores:
        reasons = " ".join(f"{name}: {next(iter(found.values()))}" for name, found in failures.items())
        raise FitError(f"No engine has a score in any fold. {reasons}")
    by_row = pd.DataFrame(scores, pd.RangeIndex(comparison.table.num_rows, name="row"))
    by_row.columns = by_row.columns.set_names(["engine", "prediction"])
    folds = np.empty(comparison.table.num_rows, int)
    for fold, rows in enumerate(places):
        folds[rows] = fold
    notes = _notes(comparison, run, failures, len(places), complete)
    return HeldOut(_table(scores), by_row, folds, failures, notes, complete < len(places))


def _table(scores: Scores) -> "pd.DataFrame":
    """Totals with their standard errors, and paired differences to the best over the rows that both have."""
    import pandas as pd

    counts = {column: int(np.isfinite(values).sum()) for column, values in scores.items()}
    best = max(scores, key=lambda column: (counts[column], np.nansum(scores[column])))
    rows = {}
    for column, values in scores.items():
        total, error = _sum(values)
        difference, error_of_difference = _sum(values - scores[best])
        rows[column] = {
            "log score": total, "se": error, "difference": difference, "se of difference": error_of_difference,
            "rows": counts[column],
        }  # fmt: skip
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.index = pd.MultiIndex.from_tuples(list(rows), names=["engine", "prediction"])
    return table


def _sum(values: np.ndarray) -> tuple[float, float]:
    """The sum of the values that there are, and its standard error, √N times their sd."""
    found = values[np.isfinite(values)]
    if found.size < 2:
        return float(found.sum()) if found.size else float("nan"), float("nan")
    return float(found.sum()), float(np.sqrt(found.size) * found.std(ddof=1))


def _notes(
    comparison: Any, run: _Refits, failures: dict[str, dict[int, str]], count: int, complete: int
) -> tuple[str, ...]:
    lines = [
        f"log score: the sum over rows of log p(row | rows of the other folds), {count} folds that all engines share; "
        "higher is better. plug-in: at the estimate (of draws: their mean); averaged: over the draws. The difference "
        "is to the best, row by row, with the standard error of that difference.",
    ]
    if complete < count:
        lines.append(f"Stopped after {complete} of {count} folds: only their rows are scored.")
    for name, found in failures.items():
        first, why = next(iter(found.items()))
        lines.append(f"{name}: {len(found)} of {complete} folds failed, first fold {first}: {why}")
    if failures:
        lines.append("A log score over fewer rows cannot be compared; its difference is over the rows that both have.")
    lines += [f"{name}: {words} in {found} of {complete} folds." for (name, words), found in run.doubts.items()]
    given = [name for name in comparison.results if name in comparison.descriptions]
    if given:
        lines.append(f"{', '.join(given)}: not refitted, so that there is no score.")
    lines += [f"{name}: no score, as it has no result: {why}" for name, why in comparison.failures.items()]
    return tuple(lines)
