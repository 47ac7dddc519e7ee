"""The data with the components of each engine."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesgmm.data.noise import num_gaussians
from bayesgmm.plots.arguments import (
    FIT,
    POSTERIOR,
    Results,
    feature_indices,
    is_point,
    left_out,
    shared_table,
    styled,
)
from bayesgmm.plots.classes import MOST_POINTS, class_of_rows, draws_of, numbered, rows_shown, with_rows
from bayesgmm.plots.directions import most_separating
from bayesgmm.plots.ellipses import draw_ellipses, gaussians_of
from bayesgmm.plots.hills import draw_hills
from bayesgmm.plots.rows import CROSS, class_handles, draw_rows, rows_handles, with_gaps
from bayesgmm.plots.style import (
    WIDTH,
    axes_of,
    beside,
    component_color,
    engine_color,
    engine_style,
    put_title,
    write_note,
)
from bayesgmm.runtime.formatting import for_figure

MOST_FEATURES = 5
MOST_CURVES = 400
"""Draws whose densities make a band."""


@styled(FIT, POSTERIOR, several=True)
def plot_components(results: Any, ax: Any = None, features: Any = None) -> Axes:
    """Draw the data, coloured by class, with the components of each engine.

    One feature: a histogram with the density of each engine. Two: a scatter plot with the ellipse that contains 90 % of
    each component, at the point estimate or the posterior mean; thin lines are the ellipses of 60 draws. The shades are
    the density of the first result, as hills on a map. More: a triangle of such scatter plots. Of more than five
    features it shows those that separate the components of the first result most, by the variance of the component
    means over the mean variance within components; `plot_projection` shows all features together.

    The numbers are those of the components. The colour of a row is its most probable component in the first result; a
    grey cross is a row of noise. Components of draws with less than a row on average are not drawn; under a
    `StickBreaking` prior components are numbered by cluster. Of more than 5,000 rows, some at equal steps are drawn;
    the title says so.

    Parameters
    ----------
    results
        A fit or a posterior, or several by name, on the same data.
    ax
        Axes to draw on; ignored for a triangle of scatter plots.
    features
        Names or indices of the features to show.

    Returns
    -------
    Axes
        The axes, or the first axes of the triangle.
    """
    results = numbered(results)
    whole = shared_table(results)
    table = whole.sample
    chosen, why = features_shown(results, features, MOST_FEATURES)
    if len(chosen) == 1:
        ax = axes_of(ax, 4.2)
        _densities(results, table.values, chosen[0], ax)
        ax.set_xlabel(for_figure(table.features[chosen[0]]))
        ax.set_ylabel("density")
        beside(ax, _density_handles(results))
        put_title(ax, with_gaps(left_out(chosen, table.features, why=why), table.values[:, chosen]))
        return ax
    values, _ = rows_shown(table)
    classes = class_of_rows(next(iter(results.values())), values)
    note = with_gaps(left_out(chosen, table.features, len(values), whole.num_rows, why=why), values[:, chosen])
    if len(chosen) > 2:
        return _triangle(results, values, classes, chosen, note)
    ax = axes_of(ax, 5.2)
    _scatter(results, values, classes, (chosen[0], chosen[1]), ax)
    beside(ax, class_handles(results))
    put_title(ax, note)
    return ax


def features_shown(results: Results, features: Any, most: int) -> tuple[list[int], str]:
    """The features that a picture shows: those that are named, else all, or those that separate the components most.

    The words say why some are left out if nobody named them.
    """
    names, first = shared_table(results).features, next(iter(results.values()))
    if features is not None or len(names) <= most:
        return feature_indices(features, names, most), ""
    return most_separating(gaussians_of(first), most), "that separate the components most"


def _triangle(results: Results, values: np.ndarray, classes: np.ndarray, chosen: list[int], note: str) -> Axes:
    size, names = len(chosen) - 1, shared_table(results).features
    figure, axes = plt.subplots(size, size, figsize=(WIDTH, 0.9 * WIDTH), layout="constrained", squeeze=False)
    for row, column in np.ndindex(axes.shape):
        ax: Any = axes[row, column]
        ax.set_visible(column <= row)
        if column <= row:
            _scatter(results, values, classes, (chosen[column], chosen[row + 1]), ax)
            first, second = (for_figure(names[chosen[i]], 72 // size) for i in (column, row + 1))
            ax.set_ylabel(second if column == 0 else "")
            ax.set_xlabel(first if row == size - 1 else "")
    figure.legend(handles=class_handles(results), loc="upper right")
    write_note(figure, note)
    return axes[0, 0]


def _scatter(results: Results, values: np.ndarray, classes: np.ndarray, pair: tuple[int, int], ax: Axes) -> None:
    first = next(iter(results.values()))
    draw_rows(first, values, classes, pair, ax)
    draw_ellipses(results, pair, ax)
    draw_hills(first, pair, ax)
    names = first.table.features
    ax.set_xlabel(for_figure(names[pair[0]], 40))
    ax.set_ylabel(for_figure(names[pair[1]], 40))


def _densities(results: Results, table: np.ndarray, feature: int, ax: Axes) -> None:
    table = table[~np.isnan(table[:, feature])]
    values = np.asarray(table[:, feature])
    margin = 0.08 * np.ptp(values)
    grid = np.linspace(values.min() - margin, values.max() + margin, 500)
    first = next(iter(results.values()))
    rows = table[:: max(1, -(-len(table) // MOST_POINTS))]
    classes = class_of_rows(first, rows)
    groups = [rows[classes == k, feature] for k in range(first.n_components)]
    colors = [component_color(k) for k in range(num_gaussians(first))] + [CROSS["color"]]
    bins = np.linspace(values.min(), values.max(), int(np.clip(2 * np.sqrt(len(values)), 10, 80)) + 1)
    share = 1.0 / (len(rows) * (bins[1] - bins[0]))
    ax.hist(
        groups, bins=list(bins), weights=[np.full(len(group), share) for group in groups], stacked=True, alpha=0.45,
        color=colors[: len(groups)], edgecolor="white", linewidth=0.3,
    )  # fmt: skip
    for i, (name, result) in enumerate(results.items()):
        draws = _density_draws(result, grid, feature)
        if not is_point(result):
            low, high = np.quantile(draws.sum(axis=2), [0.05, 0.95], axis=0)
            ax.fill_between(grid, low, high, color=engine_color(name), alpha=0.13, linewidth=0)
        ax.plot(grid, draws.sum(axis=2).mean(axis=0), **engine_style(name, i))
        if i == 0:
            _number_parts(grid, draws.mean(axis=0), with_rows(first), ax)
            if first.table.noise is not None:
                ax.plot(grid, draws.mean(axis=0)[:, -1], color=CROSS["color"], linewidth=1.0)
    ax.set_ylim(bottom=0)


def _number_parts(grid: np.ndarray, parts: np.ndarray, shown: np.ndarray, ax: Axes) -> None:
    """The density of each of these components, with its number at the top."""
    for k in map(int, shown):
        part = parts[:, k]
        ax.plot(grid, part, color=component_color(k), linewidth=1.0)
        top = int(part.argmax())
        ax.annotate(
            str(k), (grid[top], part[top]), xytext=(0, 2), textcoords="offset points", ha="center", va="bottom",
            fontsize=9, fontweight="bold",
            bbox={"boxstyle": "circle,pad=0.15", "fc": "white", "ec": component_color(k)},
        )  # fmt: skip


def _density_draws(result: Any, grid: np.ndarray, feature: int) -> np.ndarray:
    """Density of each component times its weight in one feature, (draw, grid, component)."""
    weights, means, trils = draws_of(result, MOST_CURVES)
    means, sds = means[:, None, :, feature], np.sqrt(np.square(trils[:, None, :, feature]).sum(axis=-1))
    densities = np.exp(-0.5 * ((grid[:, None] - means) / sds) ** 2) / (sds * np.sqrt(2 * np.pi))
    if result.table.noise is not None:
        densities[:, :, -1] = result.table.noise.density_of(feature, grid)
    return weights[:, None] * densities


def _density_handles(results: Results) -> list[Any]:
    handles: list[Any] = []
    for i, (name, result) in enumerate(results.items()):
        words = "density" if is_point(result) else "posterior mean of the density"
        handles.append(Line2D([], [], label=f"{for_figure(name, 20)}: {words}", **engine_style(name, i)))
        if not is_point(result):
            handles.append(Patch(color=engine_color(name), alpha=0.13, label=f"{for_figure(name, 20)}: 90 % band"))
    return handles + rows_handles(results, "rows and density")
