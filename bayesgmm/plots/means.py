"""Posterior uncertainty of each component mean, by engine."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesgmm.plots.style import axes_array, engine_color, styled
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.formatting import for_figure

MOST_FEATURES = 4


@styled
def plot_means(results: Mapping[str, MixtureFit | Posterior], axes: Any = None) -> np.ndarray:
    """Draw the mean of each component and feature: 50 % and 94 % intervals for draws, a diamond for a point estimate.

    Each panel has a separate scale, so that differences between engines are visible even if components are far apart.

    Parameters
    ----------
    results
        Fits and posteriors by name, on the same data.
    axes
        Array of axes of shape (components, features shown); at most four features are shown.

    Returns
    -------
    ndarray of Axes
    """
    first = next(iter(results.values()))
    table, num = first.table, first.n_components
    shown = min(table.dim, MOST_FEATURES)
    axes = axes_array(axes, num, shown, 0.5 + num * (0.55 + 0.2 * len(results)), sharey=True)
    for (k, d), ax in np.ndenumerate(axes):
        for i, (name, result) in enumerate(results.items()):
            _draw_mean(ax, result, k, d, i, engine_color(name))
        ax.grid(axis="y", visible=False)
        ax.xaxis.set_major_locator(MaxNLocator(4))
        ax.set_ylim(len(results) - 0.4, -0.6)
        ax.set_yticks(range(len(results)), [for_figure(name) for name in results])
        if d == 0:
            ax.set_ylabel(f"component {k}")
        if k == 0:
            ax.set_title(f"mean of {for_figure(table.features[d], 80 // shown - 2)}")
    return axes


def _draw_mean(ax: Axes, result: MixtureFit | Posterior, k: int, d: int, y: float, color: str) -> None:
    if isinstance(result, MixtureFit):
        ax.plot(result.params.means[k, d], y, marker="D", markersize=5, color=color)
        return
    draws = result.params.means[:, :, k, d].ravel()
    low, lower, middle, upper, high = np.quantile(draws, [0.03, 0.25, 0.5, 0.75, 0.97])
    ax.plot([low, high], [y, y], color=color, linewidth=1.4, solid_capstyle="round")
    ax.plot([lower, upper], [y, y], color=color, linewidth=4.5, solid_capstyle="round")
    ax.plot(middle, y, marker="o", markersize=4, markerfacecolor="white", markeredgecolor=color)
