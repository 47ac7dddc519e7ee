"""The rows of a scatter plot, coloured by class, and its legend."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayesgmm.data.noise import num_gaussians
from bayesgmm.plots.arguments import Results, is_point
from bayesgmm.plots.classes import with_rows
from bayesgmm.plots.style import NOISE_COLOR, component_color, engine_style, listed
from bayesgmm.runtime.formatting import for_figure

OUTLINE = "#333333"
CROSS: dict[str, Any] = {"marker": "x", "color": NOISE_COLOR, "linewidths": 0.8, "alpha": 0.9}
"""A row of noise."""


def with_gaps(note: str, values: np.ndarray) -> str:
    """A note of what is left out, with the number of rows that have a gap in these features."""
    hidden = int(np.isnan(values).any(axis=1).sum())
    if not hidden:
        return note
    return f"{note}{note and '; '}{hidden} row{'s' * (hidden > 1)} with gaps not drawn"


def class_handles(results: Results) -> list[Any]:
    """The legend: the ellipses of each engine, then the colours of the components."""
    handles: list[Any] = []
    for i, (name, result) in enumerate(results.items()):
        words = "90 % ellipse" if is_point(result) else "90 % ellipse, mean and draws"
        handles.append(Line2D([], [], label=f"{for_figure(name, 20)}: {words}", **engine_style(name, i)))
    cross = {"marker": "+", "markersize": 8, "linestyle": "", "color": OUTLINE}
    return [*handles, Line2D([], [], label="mean of a component", **cross), *rows_handles(results, "rows")]


def rows_handles(results: Results, what: str) -> list[Any]:
    """The colours of the components, by the first result, and its noise."""
    name, first = next(iter(results.items()))
    style, shown = {"marker": "o", "markersize": 5, "linestyle": "", "alpha": 0.8}, with_rows(first)
    handles = [Line2D([], [], color=component_color(k), label=f"{k}", **style) for k in map(int, shown)]
    handles[0].set_label(f"{shown[0]}: {what} of component {shown[0]} by {for_figure(name, 20)}")
    handles = listed(handles)
    if empty := num_gaussians(first) - len(shown):
        handles.append(Line2D([], [], linestyle="", label=f"{empty} with less than a row: not drawn"))
    if first.table.noise is None:
        return handles
    share = 100.0 * float(np.asarray(first.params.weights)[..., -1].mean())
    cross = {"marker": CROSS["marker"], "markersize": 5, "linestyle": "", "color": CROSS["color"]}
    return [*handles, Line2D([], [], label=f"noise ({share:.3g} % by {for_figure(name, 20)})", **cross)]


def draw_rows(first: Any, values: np.ndarray, classes: np.ndarray, pair: tuple[int, int], ax: Axes) -> None:
    """Draw rows in two columns of ``values``, in the colours of their classes; grey crosses are rows of noise."""
    colors = np.array([component_color(int(k)) for k in range(int(classes.max()) + 1)])[classes]
    size = float(np.clip(4000.0 / len(values), 4.0, 14.0))
    order = np.random.default_rng(0).permutation(len(values))  # no class lies on top of the others
    clear = classes[order] >= num_gaussians(first)
    if clear.any():
        ax.scatter(*values[order[clear]][:, pair].T, s=2 * size, rasterized=True, zorder=1, **CROSS)
    order = order[~clear]
    ax.scatter(
        *values[order][:, pair].T, s=size, c=list(colors[order]), alpha=0.7, linewidths=0, rasterized=True, zorder=1
    )
