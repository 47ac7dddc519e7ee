"""Plot of the table of fits: the criterion against the number of components, by family."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from bayesgmm.data.noise import num_gaussians
from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import COMPONENT_COLORS, axes_of, beside
from bayesgmm.runtime.formatting import criterion_name

MOST_COLOURED = 5
GREY = "#C9C9C9"


@styled("FitTable")
def plot_table(table: Any, ax: Any = None) -> Axes:
    """Draw the criterion against the number of components, with the best families in colour.

    Smaller is better. Hollow marks are cells that are flagged as spurious. A ring marks the best model.

    Parameters
    ----------
    table
        Result of `bayesgmm.fit_table`.
    ax
        Axes to draw on; created if None.
    """
    ax = axes_of(ax, 4.6)
    values, spurious = table.frame(), table.frame("spurious").to_numpy(bool)
    trusted = np.where(spurious, np.inf, values.to_numpy(float))
    order = np.argsort(np.nan_to_num(trusted, nan=np.inf).min(axis=0))
    coloured = list(order[:MOST_COLOURED])
    sizes = values.index.to_numpy()
    for j, family in enumerate(values.columns):
        place = coloured.index(j) if j in coloured else None
        color = GREY if place is None else COMPONENT_COLORS[place]
        column = values[family].to_numpy(float)
        ax.plot(
            sizes, column, color=color, linewidth=1.0 if place is None else 1.8,
            zorder=2 if place is None else 4 - place / 10, label=family if place is not None else None,
        )  # fmt: skip
        for flagged, face in ((False, color), (True, "white")):
            chosen = spurious[:, j] == flagged
            ax.scatter(
                sizes[chosen],
                column[chosen],
                s=16,
                facecolor=face,
                edgecolor=color,
                zorder=5 if place is not None else 3,
            )
    best = table.best
    height = getattr(best, table.criterion)()
    ax.scatter([num_gaussians(best)], [height], s=150, facecolor="none", edgecolor="#111111", linewidth=1.4, zorder=6)
    _name_lines(ax, [str(values.columns[j]) for j in coloured], values.shape[1] - len(coloured), bool(spurious.any()))
    # Values far above the best are not of interest: the axis cuts them off.
    shown = values.to_numpy(float)
    top = max(np.nanquantile(shown, 0.6), np.nanmax(shown[:, coloured], axis=1).min())
    cut = bool(np.nanmax(shown) > height + 1.5 * (top - height))
    if cut:
        ax.set_ylim(min(np.nanmin(shown), height) - 0.08 * (top - height), height + 1.5 * (top - height))
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("number of components")
    ax.set_ylabel(f"{criterion_name(table.criterion)} (smaller is better)")
    ax.set_title("; ".join([f"Best: {table.best_model}", *["much worse models are cut off"] * cut]))
    return ax


def _name_lines(ax: Axes, best: list[str], others: int, spurious: bool) -> None:
    """A legend of all marks, to the right of the axes."""
    handles = [
        Line2D([], [], color=color, linewidth=1.8, label=name)
        for name, color in zip(best, COMPONENT_COLORS, strict=False)
    ]
    if others:
        words = "1 other family" if others == 1 else f"{others} other families"
        handles.append(Line2D([], [], color=GREY, linewidth=1.0, label=words))
    mark: dict[str, Any] = {"linestyle": "", "marker": "o", "markerfacecolor": "none"}
    handles.append(Line2D([], [], markersize=10, color="#111111", label="best model", **mark))
    if spurious:
        handles.append(Line2D([], [], markersize=4, color="#666666", label="spurious", **mark))
    legend = beside(ax, handles, title="closest to the best", alignment="left")
    legend.get_title().set_fontsize(8)
