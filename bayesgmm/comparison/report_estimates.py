"""The estimates as the report shows them: weights, means, standard deviations and correlations, by component."""

from itertools import combinations
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesgmm.comparison import tables
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import sd
from bayesgmm.plots.style import NOISE_COLOR, component_color
from bayesgmm.results.intervals import Intervals
from bayesgmm.results.parameters import tails

if TYPE_CHECKING:
    import pandas as pd

MOST_OPEN = 12
"""A section with more rows than this is folded."""


class Group(NamedTuple):
    """Rows below one heading."""

    heading: str
    """Empty: none."""
    color: str
    rows: list[tuple[str, str, list[str]]]
    """Label, colour of a dot before it (empty: none), and a cell for each engine."""


class Section(NamedTuple):
    """One kind of parameter."""

    title: str
    groups: list[Group]

    @property
    def num_rows(self) -> int:
        """Rows with numbers."""
        return sum(len(group.rows) for group in self.groups)

    @property
    def is_open(self) -> bool:
        """Whether its rows are few enough to be shown at once."""
        return self.num_rows <= MOST_OPEN


def sections(comparison: Any) -> list[Section]:
    """Weights, means, standard deviations and correlations; the last without those that the family fixes at zero."""
    level, num, own = comparison.interval, comparison.n_components, comparison.model.num_gaussians
    dim, cells = comparison.table.dim, [list(row) for row in comparison.summary().to_numpy()]
    rows = [(_label(comparison, k), NOISE_COLOR if k >= own else component_color(k), cells[k]) for k in range(num)]
    means = [cells[num + k * dim : num + (k + 1) * dim] for k in range(own)]
    made = [Section("Weights", [Group("", "", rows)]), _section(comparison, "Means", means)]
    spreads = derived(comparison, level)
    names = {"sds": "Standard deviations", "correlations": "Correlations"}
    for kind, title in names.items():
        table = spreads.loc[kind] if kind in spreads.index.get_level_values(0) else None
        if table is not None:
            made.append(_section(comparison, title, _cells_by_component(comparison, table, level, kind), kind))
    return made


def _section(comparison: Any, title: str, cells: list[list[list[str]]], kind: str = "means") -> Section:
    """A group for each component; with one row in each, a single group."""
    features, pooled = comparison.table.features, kind != "means" and comparison.family.pooled
    pairs = [f"{a} and {b}" for i, a in enumerate(features) for b in features[i + 1 :]]
    labels = pairs if kind == "correlations" else list(features)
    heads = ["All components"] if pooled else [_label(comparison, k).capitalize() for k in range(len(cells))]
    colors = [""] if pooled else [component_color(k) for k in range(len(cells))]
    if len(labels) == 1:
        rows = [(head, color, own[0]) for head, color, own in zip(heads, colors, cells, strict=False)]
        return Section(f"{title}: {labels[0]}", [Group("", "", rows)])
    groups = [
        Group(head, color, [(label, "", row) for label, row in zip(labels, own, strict=True)])
        for head, color, own in zip(heads, colors, cells, strict=False)
    ]
    return Section(title, groups)


def _label(comparison: Any, k: int) -> str:
    return f"component {k}" if k < comparison.model.num_gaussians else "noise"


def _cells_by_component(
    comparison: Any, table: "pd.DataFrame", level: float | None, kind: str
) -> list[list[list[str]]]:
    """Cells (component, row, engine)."""
    wide = dict.fromkeys(comparison.fits, np.full(len(table), np.inf))
    columns = tables.cells(comparison, table, level, wide)
    if kind == "correlations":
        for name in comparison.fits:
            estimates, sds = table[name]["estimate"], table[name]["sd"]
            columns[name] = [
                cell if sd == sd else f"{value:.3f}"
                for cell, value, sd in zip(columns[name], estimates, sds, strict=True)
            ]
    rows = [list(row) for row in zip(*columns.values(), strict=True)]
    size = len(rows) // comparison.model.num_gaussians
    return [rows[start : start + size] for start in range(0, len(rows), size)]


def derived(comparison: Any, level: float | None) -> "pd.DataFrame":
    """Standard deviations and correlations of every component, in the form of `tables.estimates`.

    Rows are (``"sds"`` or ``"correlations"``, number), ordered by component. Draws give mean, sd and quantiles of the
    standard deviation itself. Point estimates with intervals have those of `Intervals.of_sd` and `of_correlation`.
    """
    import pandas as pd

    columns: dict[tuple[str, str], np.ndarray] = {}
    shapes = [part.shape[-1] for part in spreads(next(iter(comparison.results.values())).params, comparison)]
    for name, result in comparison.results.items():
        for part, values in _parts(spreads(result.params, comparison), level).items():
            columns[name, part] = values
    for name, one in comparison.fit_intervals(level or tables.LEVEL).items():
        if isinstance(one, Intervals):
            _add_intervals(columns, name, one, comparison, level)
    index = pd.MultiIndex.from_tuples(
        [(kind, i) for kind, size in zip(("sds", "correlations"), shapes, strict=True) for i in range(size)]
    )
    table = pd.DataFrame(columns, index=index)
    return table if comparison.family.orientation != "I" else table.loc[["sds"]]


def spreads(params: Params, comparison: Any) -> tuple[np.ndarray, np.ndarray]:
    """Standard deviations (…, K·D) and correlations (…, K·D(D-1)/2) of the Gaussians."""
    covariances = np.asarray(params.covariances)[..., : comparison.model.num_gaussians, :, :]
    sds = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    upper = np.triu_indices(sds.shape[-1], 1)
    correlations = covariances[..., upper[0], upper[1]] / (sds[..., upper[0]] * sds[..., upper[1]])
    return sds.reshape(*sds.shape[:-2], -1), correlations.reshape(*sds.shape[:-2], -1)


def _parts(values: tuple[np.ndarray, np.ndarray], level: float | None) -> dict[str, np.ndarray]:
    """Estimate, sd and, given a level, the ends of the interval."""
    both, ends = np.concatenate(values, axis=-1), () if level is None else ("lower", "upper")
    if both.ndim == 1:
        return {"estimate": both} | {part: np.full_like(both, np.nan) for part in ("sd", *ends)}
    found = {"estimate": both.mean(axis=(0, 1)), "sd": sd(both, axis=(0, 1))}
    if level is None:
        return found
    return found | dict(zip(ends, np.quantile(both, tails(level), axis=(0, 1)), strict=True))


def _add_intervals(columns: Any, name: str, one: Intervals, comparison: Any, level: float | None) -> None:
    """Put the sds and ends of a point estimate in their place."""
    features, components = comparison.table.features, range(comparison.model.num_gaussians)
    found = [one.of_sd(k, a) for k in components for a in features]
    found += [one.of_correlation(k, a, b) for k in components for a, b in combinations(features, 2)]
    for part in ("sd",) if level is None else ("sd", "lower", "upper"):
        columns[name, part] = np.array([np.nan if ends is None else getattr(ends, part) for ends in found])
