"""Plots of a partition: posterior co-clustering, and the uncertainty of each row."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D

from bayesgmm.errors import ArgumentError
from bayesgmm.plots.arguments import feature_indices, left_out, styled
from bayesgmm.plots.classes import rows_shown
from bayesgmm.plots.style import WIDTH, axes_of, beside, component_color, listed
from bayesgmm.runtime.formatting import for_figure

MOST_ROWS = 400
LITTLE = 0.1
"""Point sizes are scaled by the largest uncertainty, or by this value if it is larger."""
SHADES = LinearSegmentedColormap.from_list("together", ["#FFFFFF", "#9DC3E6", "#0072B2", "#0B2545"])


@styled("Partition")
def plot_similarity(partition: Any, ax: Any = None) -> Axes:
    """Draw the posterior similarity matrix as a heat map, with rows sorted by cluster and then by uncertainty.

    Lines separate the clusters. Of more than 400 rows, 400 at equal steps in this order are shown.
    """
    ax = axes_of(ax, 0.6 * WIDTH, 0.72 * WIDTH)
    order = np.lexsort((partition.uncertainty, partition.labels))
    rows = order[np.linspace(0, len(order) - 1, min(len(order), MOST_ROWS)).round().astype(int)]
    image = ax.imshow(partition.similarity(rows), cmap=SHADES, vmin=0.0, vmax=1.0, interpolation="nearest")
    edges = np.flatnonzero(np.diff(partition.labels[rows])) + 0.5
    for edge in edges:
        ax.axhline(edge, color="#D55E00", linewidth=0.6)
        ax.axvline(edge, color="#D55E00", linewidth=0.6)
    bounds = np.concatenate([[-0.5], edges, [len(rows) - 0.5]])
    shown = np.flatnonzero(np.diff(bounds) >= 0.03 * len(rows))
    names = partition.labels[rows][np.ceil(bounds[shown]).astype(int)]
    ax.set_yticks((bounds[shown] + bounds[shown + 1]) / 2.0, [str(name) for name in names])
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.grid(False)
    ax.spines[:].set_visible(False)
    ax.set_ylabel("cluster")
    ax.set_xlabel(f"{len(rows)} rows" if len(rows) == len(order) else f"{len(rows)} of {len(order)} rows")
    ax.set_title(f"Posterior similarity, {partition.num_clusters} clusters")
    bar = ax.figure.colorbar(image, ax=ax, shrink=0.8)
    bar.set_label("co-clustering probability")
    bar.outline.set_visible(False)
    return ax


@styled("Partition")
def plot_uncertainty(partition: Any, ax: Any = None, features: Any = None) -> Axes:
    """Draw the data coloured by cluster; rows with higher uncertainty have larger and paler points.

    One feature: uncertainty against the feature. More: a scatter plot of two. Of more than 5,000 rows, some at equal
    steps are drawn. The title says what is left out.

    Parameters
    ----------
    partition
        Result of `bayesgmm.partition`, with the data.
    ax
        Axes to draw on; created if None.
    features
        Names or indices of one or two features; the first two by default.

    Raises
    ------
    ArgumentError
        If the partition has no data, or there are no such features.
    """
    if partition.table is None:
        raise ArgumentError("This plot needs the data. Pass them to bg.partition as x=.")
    table, (values, step) = partition.table, rows_shown(partition.table)
    chosen = feature_indices(features, table.features, 2)
    if len(chosen) > 2:
        raise ArgumentError(f"plot_uncertainty takes one or two features, got {len(chosen)}.")
    ax = axes_of(ax, 5.0)
    labels, doubt = partition.labels[::step], partition.uncertainty[::step]
    scaled = doubt / max(doubt.max(), LITTLE)
    order, area = np.argsort(scaled), min(1.0, np.sqrt(300 / len(labels)))
    flat = len(chosen) == 1
    points = np.stack([values[:, chosen[0]], doubt if flat else values[:, chosen[1]]], axis=1)
    colors = np.array([component_color(int(k)) for k in labels])
    ax.scatter(
        *points[order].T, s=area * (16.0 + (0.0 if flat else 70.0) * scaled[order]), c=list(colors[order]),
        alpha=0.75 if flat else 0.9 - 0.45 * scaled[order], linewidths=0, rasterized=True,
    )  # fmt: skip
    ax.set_xlabel(for_figure(table.features[chosen[0]]))
    ax.set_ylabel("uncertainty" if flat else for_figure(table.features[chosen[1]]))
    if flat:
        ax.set_ylim(bottom=-0.03 * ax.get_ylim()[1])
    note = "uncertainty" if flat else "larger and paler points have higher uncertainty,"
    note_out = left_out(chosen, table.features, len(values), table.num_rows)
    title = f"{partition.num_clusters} clusters; {note} up to {doubt.max():.2g}"
    ax.set_title(title + (f"\n{note_out}" if note_out else ""))
    _name_clusters(partition, ax)
    return ax


def _name_clusters(partition: Any, ax: Axes) -> None:
    sizes = np.bincount(partition.labels)
    handles = [
        Line2D([], [], marker="o", linestyle="", color=component_color(k), label=f"{k}: {size} rows")
        for k, size in enumerate(sizes)
    ]
    beside(ax, listed(handles))
