"""From the lines of a study to figures with Monte Carlo errors."""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.studies.replicate import Plan, objective_name
from bayesgmm.studies.truths import Cell

REACHED = 1e-3
"""A fit has reached the best optimum if its objective is at most this far below."""
ROLES = ("weights", "means", "covariances", "invariants")
PER_RESULT = (
    "log_score", "adjusted_rand", "vi", "sound", "best_starts", "reached", "iterations", "seconds", "compile_seconds",
)  # fmt: skip
"""Figures with one value per result."""


class Column(NamedTuple):
    """The results of one engine in one cell. Arrays have a row per replicate that did not fail."""

    lines: list[dict[str, Any]]
    found: list[dict[str, Any]]
    failures: list[str]

    def array(self, name: str, source: str = "found") -> np.ndarray:
        """A figure as floats; NaN where it is missing."""
        rows = [line.get(name) for line in getattr(self, source)]
        width = next((len(row) for row in rows if isinstance(row, list)), None)
        blank = np.nan if width is None else [np.nan] * width
        return np.array([blank if row is None else row for row in rows], float)


def columns_of(cells: list[Cell], plan: Plan, lines: dict[tuple[str, int], Any]) -> dict[tuple[str, str], Column]:
    """The results by (cell, engine), replicates in order."""
    ordered: dict[str, list[dict[str, Any]]] = {cell.label: [] for cell in cells}
    for label, number in sorted(lines, key=lambda key: key[1]):
        ordered[label].append(lines[label, number])
    found = {}
    for label, of_cell in ordered.items():
        for engine in plan.engines:
            good = [line for line in of_cell if "failure" not in line["engines"][engine]]
            failures = [line["engines"][engine]["failure"] for line in of_cell if line not in good]
            found[label, engine] = Column(good, [line["engines"][engine] for line in good], failures)
    return found


def sizes_of(cell: Cell, plan: Plan) -> tuple[int, int]:
    """K and D of a cell."""
    if plan.truths.fixed:
        means = plan.truths.fixed[dict(cell.design)["truth"]].means
        return means.shape[0], means.shape[1]
    place = dict(cell.design)
    return place["n_components"], place["n_features"]


def roles_of(num: int, dim: int) -> np.ndarray:
    """The role of each parameter, in the order of `flatten`."""
    counts = num, num * dim, num * dim * (dim + 1) // 2
    return np.repeat(ROLES[:3], counts)


def units_of(truth: np.ndarray, num: int, dim: int) -> np.ndarray:
    """What errors of the parameters are divided by, (replicate, parameter): sds of the component; 1 for weights."""
    upper = np.triu_indices(dim)
    covariances = truth[:, num * (1 + dim) :].reshape(len(truth), num, -1)
    sds = np.sqrt(covariances[:, :, upper[0] == upper[1]])
    products = sds[:, :, upper[0]] * sds[:, :, upper[1]]
    parts = np.ones((len(truth), num)), sds.reshape(len(truth), -1), products.reshape(len(truth), -1)
    return np.concatenate(parts, axis=1)


class Figure(NamedTuple):
    """A mean over replicates."""

    value: float
    se: float
    num: int


def mean_of(values: np.ndarray) -> Figure:
    """Mean, Monte Carlo standard error and number of the values that are not NaN."""
    kept = values[np.isfinite(values)]
    if not len(kept):
        return Figure(np.nan, np.nan, 0)
    error = kept.std(ddof=1) / np.sqrt(len(kept)) if len(kept) > 1 else np.nan
    return Figure(float(kept.mean()), float(error), len(kept))


def share_of(values: np.ndarray) -> Figure:
    """The mean of shares. If all are 0, or all 1, two of each are added for the error (Agresti & Coull 1998)."""
    found = mean_of(values)
    if found.num == 0 or found.se > 0:
        return found
    share = (found.value * found.num + 2.0) / (found.num + 4.0)
    return found._replace(se=float(np.sqrt(share * (1.0 - share) / (found.num + 4.0))))


def bias_of(error: np.ndarray) -> Figure:
    """Root mean square over parameters of their mean errors; its standard error is that of theirs.

    Not their mean: errors of opposite sign would cancel, and those of the weights always do.
    """
    each = [figure for figure in map(mean_of, error.T) if figure.num > 0]
    if not each:
        return Figure(np.nan, np.nan, 0)
    value, se = (float(np.sqrt(np.mean([getattr(one, part) ** 2 for one in each]))) for part in ("value", "se"))
    return Figure(value, se, max(one.num for one in each))


def root_of(square: Figure) -> Figure:
    """The square root of a mean square, with its standard error by the delta method."""
    root = np.sqrt(square.value)
    return Figure(float(root), float(square.se / (2 * root)) if root > 0 else np.nan, square.num)


def by_row(values: np.ndarray) -> np.ndarray:
    """The mean of each row over what is not NaN; NaN for a row of NaN."""
    known = np.isfinite(values)
    counts = known.sum(axis=1)
    return np.where(counts > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(counts, 1), np.nan)


def role_figures(column: Column, num: int, dim: int, fixed: bool) -> Iterator[tuple[str, str, Figure]]:
    """(role, quantity, figure) of bias, RMSE, coverage and width, each averaged over the parameters of a role."""
    for role, (truth, unit, estimate, lower, upper) in _by_role(column, num, dim).items():
        error = (estimate - truth) / unit
        if fixed:
            yield role, "bias", bias_of(error)
        yield role, "rmse", root_of(mean_of(by_row(error**2)))
        inside = np.where(np.isfinite(lower), (lower <= truth) & (truth <= upper), np.nan)
        yield role, "coverage", share_of(by_row(inside))
        yield role, "width", mean_of(by_row((upper - lower) / unit))


def _by_role(column: Column, num: int, dim: int) -> dict[str, tuple[np.ndarray, ...]]:
    if not column.lines:
        return {}
    truth, roles = column.array("truth", "lines"), roles_of(num, dim)
    ends = (_like(truth, column.array(name)) for name in ("estimate", "lower", "upper"))
    of_theta = truth, units_of(truth, num, dim), *ends
    found = {role: tuple(part[:, roles == role] for part in of_theta) for role in ROLES[0 if num > 1 else 1 : 3]}
    exact = column.array("invariants", "lines")
    names = ("invariants", "invariants_lower", "invariants_upper")
    found["invariants"] = (exact, np.ones_like(exact), *(_like(exact, column.array(name)) for name in names))
    return found


def _like(truth: np.ndarray, values: np.ndarray) -> np.ndarray:
    """A figure that no replicate has, as NaN of the right shape."""
    return values if values.shape == truth.shape else np.full_like(truth, np.nan)


def result_figures(column: Column, with_prior: bool) -> Iterator[tuple[str, Figure]]:
    """(quantity, figure) of everything with one value per result."""
    for name in PER_RESULT:
        values = reached(column, with_prior) if name == "reached" else column.array(name)
        yield name, mean_of(values)
    total = len(column.found) + len(column.failures)
    yield "failed", mean_of(np.repeat([0.0, 1.0], [len(column.found), len(column.failures)]))
    yield "no_interval", mean_of(np.array([float("no_interval" in found) for found in column.found]))
    yield "replicates", Figure(float(total), np.nan, total)


def reached(column: Column, with_prior: bool) -> np.ndarray:
    """Whether each point estimate is as high as EM from the truth leads; NaN for draws."""
    name = objective_name(with_prior)
    yardstick = [line.get("from_truth", {}).get(name) for line in column.lines]
    best = np.array([-np.inf if one is None else one for one in yardstick], float)
    mine = column.array("objective")
    return np.where(np.isfinite(mine), mine >= best - REACHED, np.nan)


def each_parameter(column: Column, num: int, dim: int) -> Iterator[dict[str, float]]:
    """Bias, RMSE, coverage and width of each parameter, in its own units, with standard errors."""
    truth = column.array("truth", "lines")
    estimate, lower, upper = (_like(truth, column.array(name)) for name in ("estimate", "lower", "upper"))
    for j in range(truth.shape[1] if truth.ndim == 2 else 0):
        error, ends = estimate[:, j] - truth[:, j], (lower[:, j], upper[:, j])
        inside = np.where(np.isfinite(ends[0]), (ends[0] <= truth[:, j]) & (truth[:, j] <= ends[1]), np.nan)
        figures = {
            "bias": mean_of(error), "rmse": root_of(mean_of(error**2)), "coverage": mean_of(inside),
            "width": mean_of(ends[1] - ends[0]),
        }  # fmt: skip
        parts = {name: {name: figure.value, f"{name}_se": figure.se} for name, figure in figures.items()}
        yield {"truth": float(truth[0, j]), **{k: v for part in parts.values() for k, v in part.items()}}


def distance(engines: dict[str, Any], first: str, second: str) -> float | None:
    """Mean |difference| of the estimates of two engines, in sds of the second; None if one of them has none."""
    if "estimate" not in engines[first] or "sd" not in engines[second]:
        return None
    one, other, sd = (
        np.array(engines[name][part], float)
        for name, part in ((first, "estimate"), (second, "estimate"), (second, "sd"))
    )
    known = np.isfinite(one) & np.isfinite(other) & (sd > 0)
    return float((np.abs(one - other)[known] / sd[known]).mean()) if known.any() else None
