"""Plots of a diagnosis: ranks of label-invariant quantities, and the relabelled components of the draws."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bayesgmm.errors import ArgumentError
from bayesgmm.plots.style import WIDTH, axes_of, component_color, labeller, styled
from bayesgmm.relabelling.result import IN_DOUBT, Relabelling
from bayesgmm.runtime.formatting import for_figure

MOST_POINTS = 2000
FEWEST_DRAWS = 4
SHOWN = ("log_posterior", "sorted_weights", "mixture_sd", "log_density", "allocation_entropy")


def can_rank(view: Any) -> bool:
    """Whether there are at least two chains, of at least `FEWEST_DRAWS` draws."""
    return view.sizes["chain"] > 1 and view.sizes["draw"] >= FEWEST_DRAWS


@styled
def plot_ranks(view: Any) -> Figure:
    """Rank plots of the label-invariant quantities (ArviZ): distribution function of each chain's ranks minus uniform.

    If p is below α, black dots mark the differences between chains. The test assumes independent draws (for 4 × 1,000
    draws with autocorrelation 0.6 it rejects 43 % at level 1 %), so the chains are thinned first.

    Parameters
    ----------
    view
        Result of `label_invariant_view`.

    Raises
    ------
    ArgumentError
        With a single chain, or fewer than four draws.
    """
    import arviz as az
    import xarray as xr

    if not can_rank(view):
        raise ArgumentError(
            f"{view.sizes['chain']} chain(s) of {view.sizes['draw']} draws cannot be ranked. Rank plots need two "
            f"chains of {FEWEST_DRAWS} draws. Run four chains."
        )
    names = [name for name in SHOWN if name in view] or list(view.data_vars)
    tree = xr.DataTree.from_dict({"posterior": view[names]})
    grid = az.plot_rank(
        tree,
        var_names=names,
        backend="matplotlib",
        col_wrap=4,
        thin=True,
        labeller=labeller(24),
        figure_kwargs={"figsize": (WIDTH, 6.5)},
    )
    figure = grid.viz["figure"].item()
    figure.set_layout_engine("constrained")
    return figure


@styled
def plot_point_process(relabelling: Relabelling, ax: Any = None) -> Axes:
    """Draw each component of each draw as a point, coloured by label; draws with labels in doubt are hollow.

    The axes are the first two features of the means, or mean and weight for a single feature (the point-process
    representation of Frühwirth-Schnatter 2006, section 3.7.1).
    """
    ax = axes_of(ax, 4.6)
    draws, num = relabelling.draws, relabelling.draws.num_components
    name = draws.means_name or next(iter(draws.variables))
    points = relabelling.variables[name].reshape(draws.size, num, -1)
    labels = _axis_labels(relabelling, name)
    if points.shape[2] == 1:
        weights = None if draws.params is None else np.take_along_axis(
            np.asarray(draws.params.weights).reshape(draws.size, num), relabelling.permutations.reshape(-1, num), axis=1
        )  # fmt: skip
        second = np.broadcast_to(np.arange(draws.size)[:, None], points.shape[:2]) if weights is None else weights
        points = np.stack([points[..., 0], second], axis=2)
        labels = [labels[0], "draw" if weights is None else "weight"]
    step = max(1, draws.size // MOST_POINTS)
    doubtful = relabelling.ambiguity.ravel()[::step] > IN_DOUBT
    for k in range(num):
        x, y = points[::step, k, :2].T
        color = component_color(k)
        ax.scatter(
            x[~doubtful],
            y[~doubtful],
            s=7,
            color=color,
            alpha=0.45,
            linewidths=0,
            label=f"component {k}",
            rasterized=True,
        )
        ax.scatter(
            x[doubtful], y[doubtful], s=9, facecolor="none", edgecolor=color, alpha=0.6, linewidths=0.6, rasterized=True
        )
    ax.set_xlabel(labels[0])
    ax.set_ylabel(labels[1])
    ax.set_title(f"{relabelling.method}: {relabelling.share_in_doubt:.1%} of draws in doubt (hollow)")
    legend = ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    for handle in legend.legend_handles:
        if handle is not None:
            handle.set_alpha(1.0)
    return ax


def _axis_labels(relabelling: Relabelling, name: str) -> list[str]:
    table = relabelling.draws.table
    features = table.features if table is not None and name == relabelling.draws.means_name else ("0", "1")
    if table is None:
        return [f"{for_figure(name)}[{i}]" for i in range(2)]
    return [f"mean of {for_figure(feature)}" for feature in features[:2]]
