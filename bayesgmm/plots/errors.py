"""Plot of errors against seconds: how far each engine lies from the reference, and what that cost."""

from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesgmm.errors import ArgumentError
from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import COMPONENT_COLORS, ENGINE_COLORS, axes_array
from bayesgmm.runtime.formatting import for_figure

MARKS = ("o", "s", "D", "^", "v", "P", "X", "p", "h", "*", "<", ">")
PANELS = {"error": "difference of means (posterior sds)", "distance": "Wasserstein distance (posterior sds)"}
LEAST = 1e-12
"""Errors and seconds are drawn from here on: a logarithm has no place for 0."""
ROOM = 1.6


@styled("Comparison", "Errors")
def plot_errors(errors: Any, axes: Any = None) -> np.ndarray:
    """Draw error against seconds, both logarithmic: on the left that of means, on the right that of distributions.

    Each engine has a mark at its seconds of computing, and a hollow one where the seconds of compiling are added. The
    line of a sampler shows how its error falls with the number of draws. Errors in the grey band cannot be told from
    the Monte Carlo error of the reference.

    Parameters
    ----------
    errors
        Result of `bayesgmm.compare` with a ``reference``, or of its `errors`.
    axes
        Array (1, 2) of axes to draw on; created if None.

    Returns
    -------
    numpy.ndarray
        The axes.

    Raises
    ------
    ArgumentError
        If the comparison has no reference.
    """
    found = errors.errors() if hasattr(errors, "errors") else errors
    if not len(found.table):
        raise ArgumentError("There is no engine beside the reference.")
    axes = axes_array(axes, 1, 2, 4.2)
    for ax, (column, label) in zip(axes[0], PANELS.items(), strict=True):
        _draw(ax, found, column)
        ax.set_ylabel(label)
        ax.set_xlabel("seconds")
    axes[0, 0].set_title(f"Error against {for_figure(found.reference, 30)}")
    axes[0, 1].legend(handles=_handles(found), loc="center left", bbox_to_anchor=(1.0, 0.5))
    return axes


def _draw(ax: Any, found: Any, column: str) -> None:
    ax.set_xscale("log")
    ax.set_yscale("log")
    heights = np.maximum(found.table[column].to_numpy(float), LEAST)
    floor = max(found.floor[column], LEAST) if np.isfinite(found.floor[column]) else LEAST
    lines = np.maximum(found.by_draws[column].to_numpy(float), LEAST)
    bottom = min([*heights, *lines, floor][: None if np.isfinite(found.floor[column]) else -1]) / ROOM
    ax.set_ylim(bottom, max([*heights, *lines]) * ROOM)
    if np.isfinite(found.floor[column]):
        ax.axhspan(bottom, floor, color="#E4E4E4", zorder=0, linewidth=0)
    for number, (name, row) in enumerate(found.table.iterrows()):
        look = _look(found, number)
        run, height = row["seconds"], heights[number]
        if not np.isfinite(run):
            ax.axhline(height, color=look["color"], linestyle=(0, (1.5, 1.5)), linewidth=1.2)
            continue
        curve = found.by_draws[found.by_draws["engine"] == name]
        ax.plot(
            curve["seconds"].clip(lower=LEAST), curve[column].clip(lower=LEAST), color=look["color"], linewidth=1.2,
            zorder=2,
        )  # fmt: skip
        ends = np.maximum([run, run + np.nan_to_num(row["seconds compiling"])], LEAST)
        ax.plot(ends, [height] * 2, color=look["color"], linestyle=":", linewidth=1.0, zorder=2)
        ax.plot(ends[1:], [height], markerfacecolor="white", markersize=6, zorder=3, **look)
        ax.plot(ends[:1], [height], markersize=7, zorder=4, **look)


def _look(found: Any, number: int) -> dict[str, Any]:
    """Colour and mark of an engine; columns of the user have colours that no engine has."""
    names = list(found.table.index)
    others = [name for name in names if name not in ENGINE_COLORS]
    name = names[number]
    color = (
        ENGINE_COLORS[name] if name in ENGINE_COLORS else COMPONENT_COLORS[others.index(name) % len(COMPONENT_COLORS)]
    )
    return {"color": color, "marker": MARKS[number % len(MARKS)], "linestyle": ""}


def _handles(found: Any) -> list[Any]:
    """The legend: a mark for each engine, then what the signs are."""
    handles: list[Any] = []
    for number, (name, row) in enumerate(found.table.iterrows()):
        look = _look(found, number)
        label = for_figure(str(name), 20)
        if not np.isfinite(row["seconds"]):
            look |= {"marker": "", "linestyle": (0, (1.5, 1.5))}
            label += ": seconds unknown"
        handles.append(Line2D([], [], label=label, **look))
    plain: dict[str, Any] = {"color": "#444444"}
    handles.append(Line2D([], [], linestyle=":", marker="o", markerfacecolor="white", label="with compiling", **plain))
    if len(found.by_draws):
        handles.append(Line2D([], [], linewidth=1.2, label="fewer draws", **plain))
    if np.isfinite(found.floor["error"]):
        handles.append(Patch(facecolor="#E4E4E4", label="Monte Carlo error\nof the reference"))
    return handles
