"""Ellipses of components, with their numbers."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import LineCollection
from matplotlib.patches import Ellipse

from bayesgmm.data.noise import num_gaussians
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.plots.arguments import Results, is_point
from bayesgmm.plots.classes import draws_of, with_rows
from bayesgmm.plots.style import engine_color, engine_style, number_badge

MASS = 0.9
RADIUS = float(np.sqrt(-2.0 * np.log1p(-MASS)))
"""90 % of a bivariate Gaussian lies within this many standard deviations."""
SIDES = ((6, 6), (-6, 6), (-6, -6), (6, -6), (14, 0), (-14, 0))
"""Where a number may stand beside its mean, in points; the first side with enough `ROOM` is taken."""
ROOM = 9.0
CLOUD = 60
"""Draws whose ellipses are drawn."""
NEAR = 0.06
"""Numbers of two results nearer than this share of the axes stand only once."""


def mean_params(result: Any) -> Params:
    """The point estimate, or the posterior mean of weights, means and covariances after relabelling."""
    if is_point(result):
        return result.params
    weights, means, covariances = result.params.weights, result.params.means, result.params.covariances
    return Params.of(weights.mean(axis=(0, 1)), means.mean(axis=(0, 1)), covariances.mean(axis=(0, 1)))


def gaussians_of(result: Any) -> Params:
    """The same of the Gaussian components only, without a noise."""
    return Params(*(np.asarray(part)[: num_gaussians(result)] for part in mean_params(result)))


def draw_ellipses(results: Results, pair: tuple[int, int], ax: Axes) -> None:
    """Draw the components of all results in two features."""
    centers: list[tuple[int, np.ndarray]] = []
    for i, (name, result) in enumerate(results.items()):
        params, shown = mean_params(result), with_rows(result)
        style = engine_style(name, i, 1.5) | {"zorder": 3}
        if not is_point(result):
            _draw_cloud(draws_of(result, CLOUD), shown, result.table.total, pair, engine_color(name), ax)
        for k in map(int, shown):
            center, covariance = np.asarray(params.means[k])[list(pair)], np.asarray(params.covariances[k])
            ax.add_patch(ellipse_of(center, covariance[np.ix_(pair, pair)], style))
            ax.plot(*center, marker="+", color=engine_color(name), markersize=8, markeredgewidth=1.4, zorder=4)
            centers.append((k, center))
    ax.autoscale_view()
    _write_numbers(centers, ax)


def _draw_cloud(draws: Params, shown: np.ndarray, total: float, pair: tuple[int, int], color: str, ax: Axes) -> None:
    """The ellipses of these components in some draws: thin lines, dense where the posterior is.

    A component with less than a row in a draw is left out there, and the lines do not change the limits of the axes.
    """
    angles = np.linspace(0.0, 2.0 * np.pi, 73)
    circle = RADIUS * np.stack([np.cos(angles), np.sin(angles)])
    trils = np.asarray(draws.scale_trils)[:, shown][..., list(pair), :]
    roots = np.linalg.cholesky(trils @ trils.swapaxes(-1, -2))
    lines = np.asarray(draws.means)[:, shown][..., list(pair), None] + roots @ circle
    lines = lines[np.asarray(draws.weights)[:, shown] * total >= 1.0].swapaxes(1, 2)
    cloud = LineCollection(list(lines), colors=color, linewidths=0.6, alpha=0.12, zorder=2)
    ax.add_collection(cloud, autolim=False)


def _write_numbers(centers: list[tuple[int, np.ndarray]], ax: Axes) -> None:
    """The number of each component beside its mean, once where the means of several results coincide."""
    extent = np.array([np.ptp(ax.get_xlim()), np.ptp(ax.get_ylim())])
    points = 72.0 / ax.figure.dpi * np.array(ax.get_window_extent().size) / extent
    means: list[tuple[int, np.ndarray]] = []
    places: list[np.ndarray] = []
    for k, center in centers:
        if any(k == other and (np.abs(center - mean) < NEAR * extent).all() for other, mean in means):
            continue
        free = [np.array(shift) + center * points for shift in SIDES]
        room = [min((float(np.abs(one - other).max()) for other in places), default=np.inf) for one in free]
        side = next((i for i, size in enumerate(room) if size > ROOM), int(np.argmax(room)))
        means.append((k, center))
        places.append(free[side])
        ax.annotate(
            str(k), (float(center[0]), float(center[1])), xytext=SIDES[side], textcoords="offset points", ha="center",
            va="center", fontsize=8, fontweight="bold", zorder=5,
            bbox=number_badge(k),
        )  # fmt: skip


def ellipse_of(center: Array, covariance: Array, style: dict) -> Ellipse:
    """The ellipse that contains 90 % of a Gaussian in two features."""
    values, vectors = np.linalg.eigh(covariance)
    width, height = 2.0 * RADIUS * np.sqrt(np.maximum(values, 0.0))
    angle = np.degrees(np.arctan2(vectors[1, 0], vectors[0, 0]))
    return Ellipse((float(center[0]), float(center[1])), width, height, angle=angle, fill=False, **style)
