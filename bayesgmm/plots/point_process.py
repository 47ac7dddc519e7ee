"""The relabelled components of the draws, each as a point."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayesgmm.plots.arguments import feature_indices, left_out, styled
from bayesgmm.plots.style import axes_of, beside, component_color, listed
from bayesgmm.runtime.formatting import for_figure

MOST_DRAWS = 2000
FAR = 1.0
"""Points farther from the central 90 % than this many times its width are outside of the picture."""


@styled("Relabelling")
def plot_point_process(relabelling: Any, ax: Any = None, features: Any = None) -> Axes:
    """Draw each component of each draw as a point, coloured by label; draws with labels in doubt are hollow.

    The axes are two features of the means, or mean and weight for a single feature (the point-process representation of
    Frühwirth-Schnatter 2006, section 3.7.1). Of more than 2,000 draws, some at equal steps are shown.

    Parameters
    ----------
    relabelling
        Result of `bayesgmm.relabel`.
    ax
        Axes to draw on; created if None.
    features
        Names or indices of two features; the first two by default.
    """
    ax = axes_of(ax, 4.6)
    draws, num = relabelling.draws, relabelling.draws.num_gaussians
    name = draws.means_name or next(iter(draws.variables))
    points = relabelling.variables[name].reshape(draws.size, draws.num_components, -1)[:, :num]
    names = _names(relabelling, name, points.shape[2])
    chosen = feature_indices(features, names, 2, exactly=min(2, len(names)))
    of = "mean of " if draws.table is not None and name == draws.means_name else ""
    labels, points = [of + for_figure(names[i], 44) for i in chosen], points[..., chosen]
    if len(names) == 1:
        weights = _weights(relabelling)
        every_draw = np.broadcast_to(np.arange(draws.size)[:, None], points.shape[:2])
        second = every_draw if weights is None else weights[:, :num]
        points = np.stack([points[..., 0], second], axis=2)
        labels.append("draw" if weights is None else "weight")
    step = -(-draws.size // MOST_DRAWS)
    points, doubtful = points[::step], relabelling.in_doubt.ravel()[::step]
    for k in range(num):
        style = {"color": component_color(k), "s": 7, "alpha": 0.45, "linewidths": 0, "rasterized": True}
        ax.scatter(*points[~doubtful, k].T, **style)
        style = style | {"facecolor": "none", "s": 9, "alpha": 0.6, "linewidths": 0.6, "edgecolor": style.pop("color")}
        ax.scatter(*points[doubtful, k].T, **style)
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    title = f"{relabelling.method}: {relabelling.share_in_doubt:.1%} of draws in doubt"
    far = _look_closer(ax, points)
    more = "; ".join(part for part in (left_out(chosen, names, len(points), draws.size, "draws"), far) if part)
    ax.set_title(title + (f"\n{more}" if more else ""))
    beside(ax, _handles(num, bool(doubtful.any())))
    return ax


def _look_closer(ax: Axes, points: np.ndarray) -> str:
    """Limit the axes where few points lie far away, such as means of components without rows; how many are outside."""
    flat = points.reshape(-1, 2)
    low, high = np.quantile(flat, [0.05, 0.95], axis=0)
    reach = FAR * (high - low)
    outside = ((flat < low - reach) | (flat > high + reach)).any(axis=1)
    if not outside.any():
        return ""
    kept = flat[~outside]
    room = 0.05 * np.ptp(kept, axis=0)
    ax.set_xlim(kept[:, 0].min() - room[0], kept[:, 0].max() + room[0])
    ax.set_ylim(kept[:, 1].min() - room[1], kept[:, 1].max() + room[1])
    return f"{int(outside.sum()):,} of {len(flat):,} points lie outside"


def _weights(relabelling: Any) -> np.ndarray | None:
    draws, num = relabelling.draws, relabelling.draws.num_components
    if draws.params is None:
        return None
    weights = np.asarray(draws.params.weights).reshape(draws.size, num)
    return np.take_along_axis(weights, relabelling.permutations.reshape(-1, num), axis=1)


def _handles(num: int, doubtful: bool) -> list[Line2D]:
    style: dict[str, Any] = {"linestyle": "", "marker": "o", "markersize": 4}
    handles = listed([Line2D([], [], color=component_color(k), label=f"component {k}", **style) for k in range(num)])
    if doubtful:
        handles.append(Line2D([], [], color="#666666", fillstyle="none", label="labels in doubt", **style))
    return handles


def _names(relabelling: Any, name: str, size: int) -> tuple[str, ...]:
    """What the numbers of a component are called."""
    table = relabelling.draws.table
    if table is not None and name == relabelling.draws.means_name:
        return table.features
    return tuple(f"{name}[{i}]" for i in range(size)) if size > 1 else (name,)
