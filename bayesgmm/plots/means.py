"""Posterior uncertainty of each component mean, by engine."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bayesgmm.data.noise import num_gaussians
from bayesgmm.errors import ArgumentError
from bayesgmm.plots.arguments import (
    FIT,
    POSTERIOR,
    Results,
    feature_indices,
    features_note,
    is_point,
    shared_table,
    styled,
)
from bayesgmm.plots.classes import numbered
from bayesgmm.plots.style import axes_array, engine_color, write_note
from bayesgmm.runtime.formatting import for_figure

MOST_FEATURES = 4
ENDS = (0.025, 0.25, 0.5, 0.75, 0.975)
DARK = "#444444"


@styled(FIT, POSTERIOR, several=True)
def plot_means(results: Any, axes: Any = None, features: Any = None, intervals: Any = None) -> np.ndarray:
    """Draw the mean of each component and feature: 50 % and 95 % intervals for draws, a diamond for a point estimate.

    Each panel has a separate scale, so that differences between engines are visible even if components are far apart.

    Parameters
    ----------
    results
        A fit or a posterior, or several by name, on the same data, with equal numbers of components.
    axes
        Array of axes of shape (components, features shown).
    features
        Names or indices of the features to show; the first four by default.
    intervals
        Intervals of point estimates by name, such as ``{"em": fit.intervals()}``.

    Returns
    -------
    ndarray of Axes
    """
    results = numbered(results)
    table, num = shared_table(results), num_gaussians(next(iter(results.values())))
    if any(num_gaussians(result) != num for result in results.values()):
        raise ArgumentError("plot_means takes results with equal numbers of components; those in results differ.")
    shown = feature_indices(features, table.features, MOST_FEATURES)
    intervals = check_intervals(intervals, results)
    own = axes is None
    axes = axes_array(axes, num, len(shown), 0.8 + num * max(1.0, 0.55 + 0.2 * len(results)), sharey=True)
    for (k, column), ax in np.ndenumerate(axes):
        for i, (name, result) in enumerate(results.items()):
            _draw_mean(ax, result, k, shown[column], i, engine_color(name))
            if name in intervals:
                row = intervals[name].table.loc[f"means[{k}, {table.features[shown[column]]}]"]
                ax.plot([row["lower"], row["upper"]], [i, i], color=engine_color(name), linewidth=1.4, marker="|")
        ax.grid(axis="y", visible=False)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set_ylim(len(results) - 0.4, -0.6)
        ax.set_yticks(range(len(results)), [for_figure(name, 20) for name in results])
        if column == 0:
            ax.set_ylabel(f"component {k}")
        if k == 0:
            space = "\n" if len(shown) > 2 else " "
            ax.set_title(f"mean of{space}{for_figure(table.features[shown[column]], max(64 // len(shown), 8))}")
    figure = axes[0, 0].figure
    if own:
        figure.legend(handles=interval_handles(results, intervals), loc="outside lower center", ncols=4)
        write_note(figure, features_note(shown, table.features))
    return axes


def interval_handles(results: Results, intervals: Any) -> list[Line2D]:
    """The legend of estimates, medians and intervals."""
    handles = []
    if any(is_point(result) for result in results.values()):
        handles.append(Line2D([], [], linestyle="", marker="D", markersize=5, color=DARK, label="estimate"))
    for level in sorted({one.level for one in intervals.values()}):
        label = f"{100 * level:.3g} % interval of the estimate"
        handles.append(Line2D([], [], color=DARK, linewidth=1.4, marker="|", label=label))
    if not all(is_point(result) for result in results.values()):
        middle = {"marker": "o", "markersize": 4, "markerfacecolor": "white", "markeredgecolor": DARK}
        handles += [
            Line2D([], [], linestyle="", label="posterior median", **middle),
            Line2D([], [], color=DARK, linewidth=4.5, label="50 % interval"),
            Line2D([], [], color=DARK, linewidth=1.4, label="95 % interval"),
        ]
    return handles


def check_intervals(intervals: Any, results: Results) -> dict[str, Any]:
    """The argument ``intervals``: those of fits in `results`, by name."""
    if intervals is None:
        return {}
    fits = [name for name, result in results.items() if is_point(result)]
    if not isinstance(intervals, dict) or not all(type(one).__name__ == "Intervals" for one in intervals.values()):
        raise ArgumentError("intervals must be a dict of fit.intervals() by the names of the results.")
    if intervals.keys() - set(fits):
        raise ArgumentError(f"intervals must be of point estimates in results, here {', '.join(fits) or 'none'}.")
    return intervals


def _draw_mean(ax: Axes, result: Any, k: int, d: int, y: float, color: str) -> None:
    if is_point(result):
        ax.plot(result.params.means[k, d], y, marker="D", markersize=5, color=color)
        return
    draws = result.params.means[:, :, k, d].ravel()
    low, lower, middle, upper, high = np.quantile(draws, ENDS)
    ax.plot([low, high], [y, y], color=color, linewidth=1.4, solid_capstyle="butt")
    ax.plot([lower, upper], [y, y], color=color, linewidth=4.5, solid_capstyle="butt")
    ax.plot(middle, y, marker="o", markersize=4, markerfacecolor="white", markeredgecolor=color)
