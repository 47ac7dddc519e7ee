"""Intervals of the scalar parameters: of point fits by large-sample theory or refits, of posteriors by their draws."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.special import expit
from scipy.stats import norm

from bayesgmm.curvature.information import Curvature, Estimated, by_information, by_sandwich
from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import sd
from bayesgmm.problem import Model
from bayesgmm.results.digits import SummaryTable
from bayesgmm.results.parameters import estimates_of, flatten, parameter_names, tails
from bayesgmm.results.with_noise import of_gaussians
from bayesgmm.runtime.arguments import check_memory
from bayesgmm.runtime.formatting import as_html, as_text
from bayesgmm.runtime.written_tables import Written

if TYPE_CHECKING:
    import pandas as pd

NEAR = 2.0
"""Components are near one another if no mean differs by more than this many standard errors."""
MOST_GAIN = 1e-2
"""A Newton step that gains more than this in log-likelihood means that the estimate is not at the maximum."""
THEORY: dict[str, Callable[[Params, Model, Curvature], Estimated]] = {
    "information": by_information,
    "sandwich": by_sandwich,
}
METHODS = (*THEORY, "bootstrap", "weighted", "parametric")
TITLES = {
    "information": "observed information", "sandwich": "sandwich (robust to a wrong model)",
    "bootstrap": "bootstrap of rows", "weighted": "weighted-likelihood bootstrap", "parametric": "parametric bootstrap",
    "quantile": "equal-tailed interval of the draws", "hdi": "highest density interval of the draws",
}  # fmt: skip


class Ends(NamedTuple):
    """Standard error and interval of a function of the parameters."""

    sd: float
    lower: float
    upper: float


@dataclass(frozen=True, repr=False)
class Intervals(Written):
    """Estimates, standard deviations and intervals of weights, means and covariances (each covariance once)."""

    table: "pd.DataFrame"
    """A row per parameter: ``estimate``, ``sd``, ``lower``, ``upper``; for draws also ``median``."""
    method: str
    level: float
    notes: tuple[str, ...]
    """What limits these intervals, in sentences."""
    covariance: np.ndarray
    """Covariance of the parameters, in the order of the rows: of the estimator, or of the draws."""

    def of_sd(self, k: int, feature: str) -> "Ends | None":
        """The standard deviation of a feature in component k: ends are the roots of those of the variance.

        The sd of the estimator is by the delta method. None without a row of this variance.
        """
        row = f"covariances[{k}, {feature}, {feature}]"
        if row not in self.table.index:
            return None
        estimate, sd, lower, upper = self.table.loc[row, ["estimate", "sd", "lower", "upper"]].to_numpy(float)
        root = np.sqrt(estimate)
        return Ends(float(sd / (2.0 * root)), *(float(np.sqrt(max(end, 0.0))) for end in (lower, upper)))

    def of_correlation(self, k: int, first: str, second: str) -> "Ends | None":
        """The correlation of two features in component k: symmetric on the scale of atanh, by the delta method.

        Features are in the order of the data. None without rows of these covariances, and at a correlation of 1.
        """
        rows = [f"covariances[{k}, {a}, {b}]" for a, b in ((first, first), (second, second), (first, second))]
        places = self.table.index.get_indexer(rows)
        if (places < 0).any() or len(self.covariance) != len(self.table):
            return None
        one, other, both = self.table["estimate"].to_numpy(float)[places]
        scale = np.sqrt(one * other)
        middle = both / scale
        if abs(middle) >= 1.0:
            return None
        gradient = np.array([-0.5 * middle / one, -0.5 * middle / other, 1.0 / scale])
        sd = float(np.sqrt(max(gradient @ self.covariance[np.ix_(places, places)] @ gradient, 0.0)))
        half = float(norm.ppf(tails(self.level)[1])) * sd / (1.0 - middle**2)
        return Ends(sd, *(float(np.tanh(np.arctanh(middle) + move)) for move in (-half, half)))

    def _written(self) -> "pd.DataFrame":
        return self.table

    def _title(self) -> str:
        return "\n".join([f"{self.level:.4g} intervals, {TITLES[self.method]}", *self.notes])

    def __repr__(self) -> str:
        return as_text(self._title(), self.table)

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.table)


def by_theory(params: Params, model: Model, found: Curvature, method: str, level: float) -> Intervals:
    """Intervals of a point estimate from the covariance of its estimator, given the `curvature` at θ.

    They are symmetric for means and covariances, for the logit of a weight, and for the log of a variance, so that no
    end is impossible. Raises as `by_information`.
    """
    covariance, sds, gain = THEORY[method](params, model, found)
    estimates = flatten(params)
    lower, upper = _ends(estimates, sds, model, float(norm.ppf(tails(level)[1])))
    rows = {"estimate": estimates, "sd": sds, "lower": lower, "upper": upper}
    notes = _naming_notes(params, model, covariance)
    if gain > MOST_GAIN:
        notes = (
            f"The estimate is not at the maximum of the objective: a Newton step gains {gain:.2g}. The theory of these "
            "intervals is about the maximum: let EM converge from there.", *notes,
        )  # fmt: skip
    return _intervals(rows, model, method, level, notes, covariance)


def by_refits(params: Params, model: Model, refits: np.ndarray, method: str, level: float, note: str) -> Intervals:
    """Percentile intervals of a point estimate from parameters (replicate, parameter) of refits (Efron 1979)."""
    covariance = covariance_of(refits)
    lower, upper = np.quantile(refits, tails(level), axis=0)
    rows = {"estimate": flatten(params), "sd": sd(refits, axis=0, ddof=1), "lower": lower, "upper": upper}
    outside = int(((rows["estimate"] < lower) | (rows["estimate"] > upper)).sum())
    notes = [note, *_naming_notes(params, model, covariance)]
    if outside:
        why = ", since the prior pulls every replicate once more" if model.prior is not None else ""
        notes.append(
            f"{outside} estimate{'s lie' if outside > 1 else ' lies'} outside the interval: the replicates are "
            f"biased{why}. Use method='information', or the draws of a sampler."
        )
    return _intervals(rows, model, method, level, notes, covariance)


def of_draws(params: Params, model: Model, method: str, level: float) -> Intervals:
    """Intervals of a posterior: equal-tailed, or the shortest that hold the share of the draws (highest density)."""
    draws = flatten(params).reshape(-1, len(parameter_names(model.table, model.num_components)))
    check_enough("draws", len(draws), level)
    rows = estimates_of(params, level)
    ends = (rows["lower"], rows["upper"]) if method == "quantile" else shortest(draws, level)
    rows = rows | {"median": np.median(draws, axis=0)} | dict(zip(("lower", "upper"), ends, strict=True))
    rows = {part: rows[part] for part in ("estimate", "sd", "median", "lower", "upper")}
    kept = _kept(rows["estimate"], model)
    return _intervals(rows, model, method, level, (), covariance_of(draws[:, kept]))


def covariance_of(draws: np.ndarray) -> np.ndarray:
    """Covariance of the columns.

    Raises
    ------
    ArgumentError
        If it does not fit in memory.
    """
    num = draws.shape[1]
    what = f"The covariance of {num:,} parameters"
    check_memory(what, 8.0 * num**2, "Use fewer features, or summary(), which needs none.")
    return np.atleast_2d(np.cov(draws.T))


def least_for(level: float) -> int:
    """Fewest replicates or draws that have one beyond each end of an interval."""
    return int(np.ceil(2 / (1 - level) - 1e-9))


def check_enough(what: str, num: int, level: float) -> None:
    """Refuse too few replicates or draws for the ends of an interval."""
    least = least_for(level)
    if num < least:
        raise ArgumentError(
            f"{num} {what} cannot tell where the outer {1 - level:.2g} begin. Use at least {least}, or a lower level."
        )


def shortest(draws: np.ndarray, level: float) -> tuple[np.ndarray, np.ndarray]:
    """The shortest interval of each column that holds this share of its draws (Chen & Shao 1999)."""
    ordered = np.sort(draws, axis=0)
    span = min(int(np.ceil(level * len(ordered))), len(ordered) - 1)
    widths = ordered[span:] - ordered[: len(ordered) - span]
    first, columns = widths.argmin(axis=0), np.arange(draws.shape[1])
    return ordered[first, columns], ordered[first + span, columns]


def _ends(estimates: np.ndarray, sds: np.ndarray, model: Model, z: float) -> tuple[np.ndarray, np.ndarray]:
    """Both ends, each on the scale of its parameter."""
    lower, upper = estimates - z * sds, estimates + z * sds
    num, dim = model.num_components, model.table.dim
    weights = estimates[:num]
    inside = (weights > 0) & (weights < 1)
    share = weights[inside]
    logit, step = np.log(share / (1 - share)), z * sds[:num][inside] / (share * (1 - share))
    lower[:num][inside], upper[:num][inside] = (expit(logit + move) for move in (-step, step))
    rows, columns = np.triu_indices(dim)
    variances = num + num * dim + np.flatnonzero(np.tile(rows == columns, num))
    ratio = np.exp(z * sds[variances] / estimates[variances])
    lower[variances], upper[variances] = estimates[variances] / ratio, estimates[variances] * ratio
    return lower, upper


def _naming_notes(params: Params, model: Model, covariance: np.ndarray) -> tuple[str, ...]:
    """Pairs of components that sampling could exchange: no mean tells them apart."""
    num, dim = np.shape(params.means)
    near = []
    for k in range(num):
        for j in k + 1 + np.flatnonzero(model.interchangeable[k, k + 1 :]):
            ours, theirs = (num + i * dim + np.arange(dim) for i in (k, j))
            variances = np.diagonal(covariance)[ours] + np.diagonal(covariance)[theirs] - 2 * covariance[ours, theirs]
            gap = np.abs(params.means[k] - params.means[j])
            if (gap <= NEAR * np.sqrt(np.maximum(variances, 0.0))).all():
                near.append(f"{k} and {j}")
    if not near:
        return ()
    return (
        f"The means of components {', '.join(near)} differ by less than {NEAR:g} standard errors: another sample could "
        "exchange them, and these intervals do not hold for one of them alone.",
    )


def _intervals(rows: dict, model: Model, method: str, level: float, notes: Any, covariance: np.ndarray) -> Intervals:
    names = parameter_names(model.table, model.num_components)
    kept = _kept(rows["estimate"], model)
    cells = {names[i]: {part: float(values[i]) for part, values in rows.items()} for i in kept}
    shown = SummaryTable.of(cells, "parameter")
    whole = len(covariance) > len(kept)
    return Intervals(shown, method, level, tuple(notes), covariance[np.ix_(kept, kept)] if whole else covariance)


def _kept(estimates: np.ndarray, model: Model) -> np.ndarray:
    """Indices of the parameters of a family: those that are diagonal have no covariances of two features."""
    num, dim = model.num_components, model.table.dim
    place = np.arange(len(estimates))
    if model.table.noise is not None:
        names = parameter_names(model.table, num)
        place = np.array([i for i in place if of_gaussians(names[i], model.table, num)])
    if model.family.orientation != "I" or dim == 1:
        return place
    return place[(place < num * (1 + dim)) | (estimates[place] != 0)]
