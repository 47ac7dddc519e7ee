"""Plot of the posteriors of the number of components and of the number of clusters, beside their priors."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import COMPONENT_COLORS, axes_of, within_one

SHOWN = 0.005
"""Numbers with less posterior probability, of K and of K₊, are cut off at the right."""
ROOM = 1.25
"""Height of the axes, times that of what is drawn."""
PARTS = (
    ("components", "components: K", COMPONENT_COLORS[3]),
    ("clusters", "clusters: K₊ (components with rows)", COMPONENT_COLORS[0]),
)


@styled("TelescopingPosterior")
def plot_posterior_of_k(found: Any, ax: Any = None) -> Axes:
    """Draw the posteriors of K and K₊ as bars with twice their Monte Carlo errors, and their priors as steps.

    Parameters
    ----------
    found
        Result of `bayesgmm.sample_telescoping`.
    ax
        Axes to draw on; created if None.
    """
    ax = axes_of(ax, 3.6)
    table = found.posterior_of_k()
    posteriors = table[["posterior_components", "posterior_clusters"]].to_numpy(float)
    last = int(np.flatnonzero(posteriors.max(axis=1) >= SHOWN)[-1]) + 1
    table, k = table.iloc[:last], table.index.to_numpy()[:last]
    for (name, words, color), shift in zip(PARTS, (-0.2, 0.2), strict=True):
        errors = 2.0 * table[f"error_{name}"].to_numpy(float)
        heights = table[f"posterior_{name}"].to_numpy(float)
        bars = {"width": 0.38, "color": color, "label": words, "zorder": 2}
        ax.bar(k + shift, heights, **bars)
        ax.errorbar(
            k + shift, heights, yerr=within_one(heights, errors), fmt="none", ecolor="#333333", elinewidth=1.0, zorder=3
        )
        prior = table[f"prior_{name}"].to_numpy(float)
        label = f"prior of {words.split()[1]}"
        ax.plot(
            k + shift, prior, color=color, marker="D", markersize=4, markeredgecolor="#333333", markeredgewidth=0.8,
            linestyle=":", linewidth=1.2, label=label, zorder=4,
        )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=20))
    ax.set_xlim(0.4, last + 0.6)
    top = ax.get_ylim()[1]
    ax.set_ylim(0.0, ROOM * top)  # the legend stands above all bars
    ax.set_yticks([tick for tick in ax.get_yticks() if 0.0 <= tick <= min(top, 1.0)])
    ax.set_ylabel("probability")
    ax.set_xlabel("k")
    num, clusters = found.most_probable
    ax.set_title(f"Most probable: K = {num}, K₊ = {clusters}")
    handles, labels = ax.get_legend_handles_labels()
    order = [labels.index(word) for word in sorted(labels, key=lambda word: ("K₊" in word, "prior" in word))]
    ax.legend([handles[i] for i in order], [labels[i] for i in order], loc="upper right", ncols=2)
    return ax
