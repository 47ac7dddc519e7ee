"""Plot of components merged into clusters: the entropy against the number of clusters."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import axes_of


@styled("Merging")
def plot_merging(merging: Any, ax: Any = None) -> Axes:
    """Draw the entropy of the classes against the number of clusters, with the two lines that meet at the elbow.

    A ring marks the suggested number. Of a posterior, bars hold 90 % of the entropies under single draws.

    Parameters
    ----------
    merging
        Result of `bayesgmm.merge`.
    ax
        Axes to draw on; created if None.
    """
    ax = axes_of(ax, 4.2)
    sizes = np.arange(1, merging.n_components + 1)
    if merging.entropy_draws is not None:
        low, high = np.quantile(merging.entropy_draws, [0.05, 0.95], axis=0)
        middle = merging.entropy_draws.mean(axis=0)
        ax.vlines(sizes, low, high, color="#E69F00", linewidth=4, alpha=0.5, label="90 % of single draws")
        ax.plot(sizes, middle, "_", color="#B8860B", markersize=12, label="mean of single draws")
    name = "entropy" if merging.entropy_draws is None else "entropy of averaged probabilities"
    ax.plot(sizes, merging.entropy, "o-", color="#0072B2", linewidth=1.8, markersize=5, label=name, zorder=4)
    elbow = merging.elbow
    if elbow is not None and merging.suggested == elbow.at:
        for number, (line, part) in enumerate(
            ((elbow.before, sizes[: elbow.at]), (elbow.after, sizes[elbow.at - 1 :]))
        ):
            label = "two lines that meet at the elbow" if number == 0 else None
            style = {"color": "#D55E00", "linestyle": "--", "linewidth": 1.4, "zorder": 5}
            ax.plot(part, line[0] * part + line[1], label=label, **style)
    ax.scatter(
        [merging.suggested], [merging.entropy[merging.suggested - 1]], s=150, facecolor="none", edgecolor="#111111",
        linewidth=1.4, zorder=6, label="suggested",
    )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("number of clusters")
    ax.set_ylabel("entropy of the classes (nats)")
    clusters = "1 cluster" if merging.suggested == 1 else f"{merging.suggested} clusters"
    ax.set_title(f"{merging.n_components} components, {clusters} suggested")
    ax.legend(loc="upper left")
    return ax
