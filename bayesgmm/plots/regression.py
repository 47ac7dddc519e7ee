"""Regression from the joint mixture: one feature given another."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesgmm.errors import ArgumentError
from bayesgmm.plots.arguments import FIT, POSTERIOR, feature_indices, is_point, left_out, shared_table, styled
from bayesgmm.plots.classes import rows_shown
from bayesgmm.plots.style import axes_of, beside, engine_color, engine_style
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.formatting import for_figure

PLACES = 200
"""Values of the given feature at which the curves are computed."""
MEAN_BAND, BAND = 0.35, 0.13


@styled(FIT, POSTERIOR, several=True)
def plot_regression(results: Any, ax: Any = None, features: Any = None, level: float = 0.9) -> Axes:
    """Draw the mean of one feature given another, with the interval that holds `level` of the rows.

    For a posterior also the interval that holds the mean with probability `level`, over the draws. The rows are behind.
    Of more than 5,000 rows, some at equal steps are drawn; the title says so.

    Parameters
    ----------
    results
        A fit or a posterior, or several by name, on the same data.
    ax
        Axes to draw on; created if None.
    features
        Names or indices of the given feature and of the target, in this order; the first two by default.
    level
        Probability of the intervals.

    Raises
    ------
    ArgumentError
        If there are not two features, or `level` is not between 0 and 1.
    """
    level = check_level("level", level)
    table = shared_table(results)
    if table.dim < 2:
        raise ArgumentError(f"plot_regression needs two features, and the data have one ({table.features[0]}).")
    given, target = feature_indices(features, table.features, 2, exactly=2)
    low, high = np.nanmin(table.values[:, given]), np.nanmax(table.values[:, given])
    margin = 0.03 * (high - low)
    x = np.linspace(low - margin, high + margin, PLACES)
    curves = {name: _curves(result, (given, target), x, level) for name, result in results.items()}
    rows, _ = rows_shown(table)
    ax = axes_of(ax, 4.6)
    ax.scatter(*rows[:, [given, target]].T, s=9, color="#999999", alpha=0.6, linewidths=0, rasterized=True, zorder=1)
    handles = [Line2D([], [], color="#999999", marker="o", markersize=4, linestyle="", label="rows")]
    for number, (name, curve) in enumerate(curves.items()):
        handles += _drawn(name, number, x, curve, len(curves) == 1, f"{level:.4g}", ax)
    ax.set_xlabel(for_figure(table.features[given]))
    ax.set_ylabel(for_figure(table.features[target]))
    ax.set_title(left_out([given, target], table.features, len(rows), table.num_rows))
    beside(ax, handles)
    return ax


class Curves(NamedTuple):
    """The regression of one result at each place."""

    mean: np.ndarray
    rows: np.ndarray
    """Ends of the interval of a row, (N, 2)."""
    of_mean: np.ndarray | None
    """Ends of the interval of the mean over draws."""


def _curves(result: Any, pair: tuple[int, int], x: np.ndarray, level: float) -> Curves:
    found = result.regress(pair[1], x, on=pair[0])
    of_mean = None if is_point(result) else found.mean_interval(level)
    return Curves(found.mean, found.interval(level), of_mean)


def _drawn(name: str, number: int, x: np.ndarray, curves: Curves, alone: bool, level: str, ax: Axes) -> list[Any]:
    """Draw the regression of one result; returns what the legend says of it. Bands of several would hide each other."""
    color, short, thin = engine_color(name), for_figure(name, 20), engine_style(name, number, 0.9)
    handles: list[Any] = [Line2D([], [], label=f"{short}: mean", **engine_style(name, number))]
    if curves.of_mean is not None:
        ax.fill_between(x, *curves.of_mean.T, color=color, alpha=MEAN_BAND, linewidth=0, zorder=3)
        handles.append(Patch(color=color, alpha=MEAN_BAND, label=f"{short}: {level} interval of the mean"))
    if alone:
        ax.fill_between(x, *curves.rows.T, color=color, alpha=BAND, linewidth=0, zorder=2)
        handles.append(Patch(color=color, alpha=BAND, label=f"{short}: {level} interval of a row"))
    else:
        ax.plot(x, curves.rows, zorder=2, **thin)
        handles.append(Line2D([], [], label=f"{short}: {level} interval of a row", **thin))
    ax.plot(x, curves.mean, zorder=4, **engine_style(name, number))
    return handles
