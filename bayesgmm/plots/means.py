"""How sure the posterior is of each mean, engine beside engine."""

from collections.abc import Mapping
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayesgmm.plots.style import engine_color, styled
from bayesgmm.results import MixtureFit, Posterior

MOST_FEATURES = 6


@styled
def plot_means(results: Mapping[str, MixtureFit | Posterior], axes: Any = None) -> Axes:
    """Draw, for each feature, every component's mean: 50 % and 94 % intervals for draws, a mark for point estimates.

    Parameters
    ----------
    results
        Fits and posteriors by name, on the same data.
    axes
        Array of axes, one per feature shown (at most six).

    Returns
    -------
    Axes
        The axes of the first feature.
    """
    first = next(iter(results.values()))
    table, num = first.table, first.n_components
    shown = min(table.dim, MOST_FEATURES)
    if axes is None:
        height = 1.1 + 0.24 * num * (len(results) + 1)
        _, axes = plt.subplots(1, shown, figsize=(max(4.5, 3.2 * shown), height), layout="constrained", sharey=True)
    axes = np.atleast_1d(axes)
    for d, ax in enumerate(axes):
        for i, (name, result) in enumerate(results.items()):
            for k in range(num):
                _draw_mean(ax, result, k, d, k * (len(results) + 1) + i, engine_color(name))
        ax.set_xlabel(f"mean of {table.features[d]}")
        ax.grid(axis="y", visible=False)
    middle = (len(results) - 1) / 2
    axes[0].set_yticks(np.arange(num) * (len(results) + 1) + middle, [f"component {k}" for k in range(num)])
    axes[0].invert_yaxis()
    handles = [_handle(name, result) for name, result in results.items()]
    axes[0].figure.legend(handles=handles, loc="outside upper center", ncols=len(handles))
    return axes[0]


def _draw_mean(ax: Axes, result: MixtureFit | Posterior, k: int, d: int, y: float, color: str) -> None:
    if isinstance(result, MixtureFit):
        ax.plot(result.params.means[k, d], y, marker="D", markersize=5, color=color)
        return
    draws = result.params.means[:, :, k, d].ravel()
    low, lower, middle, upper, high = np.quantile(draws, [0.03, 0.25, 0.5, 0.75, 0.97])
    ax.plot([low, high], [y, y], color=color, linewidth=1.4, solid_capstyle="round")
    ax.plot([lower, upper], [y, y], color=color, linewidth=4.5, solid_capstyle="round")
    ax.plot(middle, y, marker="o", markersize=4, markerfacecolor="white", markeredgecolor=color)


def _handle(name: str, result: MixtureFit | Posterior) -> Line2D:
    if isinstance(result, MixtureFit):
        return Line2D([], [], color=engine_color(name), marker="D", linestyle="", label=f"{name}: estimate")
    return Line2D([], [], color=engine_color(name), linewidth=3, label=f"{name}: 50 % and 94 % interval")
