"""Paths of θ over the log posterior."""

from typing import Any

import jax
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params
from bayesgmm.plots.arguments import shared_table, styled
from bayesgmm.plots.style import axes_of, beside, engine_color
from bayesgmm.runtime.checks import as_list, shown
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import for_figure
from bayesgmm.sweep.per_row import log_densities

GRID = 45
"""Points of the grid in each direction."""
BELOW = (0.5, 2.0, 5.0, 10.0, 20.0, 40.0, 80.0, 160.0, 320.0, 640.0)
"""Contours lie this far below the highest log posterior of the picture."""
MARGIN = 0.15
VALUES = 2**23
"""Log densities (θ, row) held in memory at a time."""


@styled("Walk", several=True)
def plot_paths(walks: Any, ax: Any = None, coordinates: Any = None) -> Axes:
    """Draw walks over the contours of the log posterior in two means.

    The other parameters of the surface are those at the end of the first walk, so that a path of another walk need not
    end on a summit of this surface. Each walk begins at a circle and ends at a star.

    Parameters
    ----------
    walks
        A walk, or several by name, on the same data and with the same number of components.
    ax
        Axes to draw on; created if None.
    coordinates
        Two means as (component, feature), the feature by name or index: ``[(0, "waiting"), (1, "waiting")]``. By
        default the first feature of components 0 and 1, or the first two features of a single component.

    Raises
    ------
    ArgumentError
        If the walks differ in their components, or there are no two such means.
    """
    places = places_of(walks, coordinates)
    ax = axes_of(ax, 5.2)
    for name, path in draw_surface(walks, places, ax).items():
        color = engine_color(name)
        ax.plot(*path, color=color, linewidth=0.9, alpha=0.8, marker=".", markersize=2.5)
        ax.plot(*path[:, 0], marker="o", markersize=7, markerfacecolor="white", color=color)
        ax.plot(*path[:, -1], marker="*", markersize=11, color=color)
    ax.set_title(f"{ax.get_title(loc='left')}, other parameters as at the end of {for_figure(next(iter(walks)), 20)}")
    handles = [Line2D([], [], color=engine_color(name), label=for_figure(name, 20)) for name in walks]
    dark: dict[str, Any] = {"color": "#444444", "linestyle": ""}
    handles.append(Line2D([], [], marker="o", markerfacecolor="white", label="start", **dark))
    handles.append(Line2D([], [], marker="*", markersize=9, label="end", **dark))
    beside(ax, handles)
    return ax


def places_of(walks: Any, coordinates: Any) -> list[tuple[int, int]]:
    """The two means (component, feature) of a picture of several walks.

    Raises
    ------
    ArgumentError
        If the walks differ in their components, or there are no two such means.
    """
    table, shapes = shared_table(walks), [np.shape(one.params.means)[1:] for one in walks.values()]
    if len(set(shapes)) > 1:
        raise ArgumentError("The walks must have equal numbers of components; those given differ.")
    return _places(coordinates, table, shapes[0][0])


def draw_surface(walks: Any, places: list[tuple[int, int]], ax: Axes) -> dict[str, np.ndarray]:
    """Draw the contours of the log posterior over which the walks pass; returns the path (2, step) of each."""
    first = next(iter(walks.values()))
    paths = {name: np.stack([one.params.means[:, k, d] for k, d in places]) for name, one in walks.items()}
    seen = np.concatenate(list(paths.values()), axis=1)
    sds = np.array([np.linalg.norm(first.params.scale_trils[-1, k, d]) for k, d in places])
    margin = np.maximum(MARGIN * np.ptp(seen, axis=1), 0.1 * sds)
    ends = zip(seen.min(axis=1) - margin, seen.max(axis=1) + margin, strict=True)
    grid = [np.linspace(low, high, GRID) for low, high in ends]
    surface = _surface(first, places, grid)
    levels = np.unique(surface.max() - np.array(BELOW))
    ax.contour(
        *grid, surface, levels=levels[levels > surface.min()], colors="#BBBBBB", linewidths=0.7, linestyles="solid"
    )
    labels = [f"mean of {for_figure(first.table.features[d], 30)}, component {k}" for k, d in places]
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    ax.set_title(f"Contours: {'log-likelihood' if first.model.prior is None else 'log posterior'}")
    return paths


def _places(coordinates: Any, table: Table, num: int) -> list[tuple[int, int]]:
    """The two means, as numbers of component and feature."""
    if coordinates is None:
        if num == 1 and table.dim == 1:
            raise ArgumentError("One component of one feature has a single mean; a path needs two.")
        return [(0, 0), (1, 0)] if num > 1 else [(0, 0), (0, 1)]
    given = [tuple(as_list("coordinates", one)) for one in as_list("coordinates", coordinates)]
    numbers = {**{name: d for d, name in enumerate(table.features)}, **{d: d for d in range(table.dim)}}
    known = [
        (one[0], numbers[one[1]])
        for one in given
        if len(one) == 2 and _whole(one[0], num) and isinstance(one[1], str | int) and one[1] in numbers
    ]
    if len(known) != 2 or len(given) != 2 or known[0] == known[1]:
        raise ArgumentError(
            f"coordinates must be two different means as (component, feature), with components 0 to {num - 1} and "
            f"features {', '.join(map(for_figure, table.features[:8]))}; got {shown(coordinates)}."
        )
    return known


def _whole(value: Any, below: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < below


def _surface(walk: Any, places: list[tuple[int, int]], grid: list[np.ndarray]) -> np.ndarray:
    """The log posterior on the grid, with rows along the second coordinate."""
    last = jax.tree.map(lambda leaf: leaf[-1], walk.params)
    count = GRID * GRID
    means = np.repeat(last.means[None], count, axis=0)
    for (k, d), values in zip(places, np.meshgrid(*grid), strict=True):
        means[:, k, d] = values.ravel()
    weights, trils = (np.repeat(leaf[None], count, axis=0) for leaf in (last.weights, last.scale_trils))
    params, model = Params(weights, means, trils), walk.model
    size = max(1, VALUES // count)
    parts = model.table.parts(size)
    total = sum((log_densities(params, part, model.frame) @ part.counted for part in parts), np.zeros(count))
    if model.prior is not None:
        with scope("float64"):
            total = total + np.asarray(jax.vmap(model.family_prior.log_kernel)(params))
    return total.reshape(GRID, GRID)
