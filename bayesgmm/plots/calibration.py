"""Ranks of simulation-based calibration against the uniform distribution."""

from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes

from bayesgmm.errors import ArgumentError
from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import axes_of, beside
from bayesgmm.runtime.formatting import for_figure

LEVEL = 0.01
MOST_LISTED = 8
"""Most quantities that the legend lists."""


@styled("Calibration")
def plot_calibration(calibration: Any, ax: Any = None) -> Axes:
    """Draw the empirical distribution function of the ranks of θ, minus the uniform one, for each quantity.

    If the engine is calibrated, the simultaneous band contains a whole curve with 99 % probability (Säilynoja,
    Bürkner & Vehtari 2022). Curves of quantities whose adjusted p-value is below 1 % are coloured. A curve that rises
    above 0 and then falls below 0 shows draws that are too narrow. A curve that stays on one side of 0 shows draws that
    are too high (above) or too low (below).

    Raises
    ------
    ArgumentError
        With fewer than two simulations, because the band is then not defined.
    """
    from arviz_stats.ecdf_utils import ecdf_pit

    if calibration.num_sims < 2:
        raise ArgumentError(
            f"{calibration.num_sims} simulations are too few to draw. Calibrate with more (n_sims=200)."
        )
    ax = axes_of(ax, 4.0)
    summary = calibration.summary()
    points = lower = upper = np.empty(0)
    wrong = fine = 0
    each = "each other quantity" if (summary["adjusted"] < LEVEL).any() else "each quantity"
    for name in summary.sort_values("p", ascending=False).index:
        points, curve, lower, upper = ecdf_pit(calibration.pit[name].to_numpy(), 1.0 - LEVEL, 1000)
        style: dict[str, Any] = {"color": "#999999", "linewidth": 0.7}
        if summary["adjusted"][name] < LEVEL:
            style = {"color": plt.get_cmap("tab10")(wrong % 10), "linewidth": 1.4}
            style["label"] = for_figure(str(name), 30) if wrong < MOST_LISTED else None
            wrong += 1
        else:
            style["label"] = each if fine == 0 else None
            fine += 1
        ax.plot(points, curve - points, **style)
    ax.fill_between(points, lower - points, upper - points, color="#56B4E9", alpha=0.25, linewidth=0, label="99 % band")
    ax.axhline(0.0, color="#666666", linewidth=0.8)
    ax.set_xlim(0.0, 1.0)
    ax.set_xlabel("rank of θ among its posterior draws, as a share")
    ax.set_ylabel("ECDF − uniform")
    counts = f"{calibration.num_sims} simulations, {len(summary)} quantities"
    ax.set_title(f"{for_figure(calibration.engine)}: {counts}: {calibration.status}")
    if wrong > MOST_LISTED:
        ax.plot([], [], linestyle="", label=f"and {wrong - MOST_LISTED} more")
    beside(ax, ax.get_legend_handles_labels()[0])
    return ax
