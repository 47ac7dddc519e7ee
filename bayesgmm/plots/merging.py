"""Plot of components merged into clusters: the entropy against the number of clusters."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import axes_of, put_title


@styled("Merging")
def plot_merging(merging: Any, ax: Any = None) -> Axes:
    """Draw the entropy of the classes against the number of clusters, with the two lines of the elbow.

    Each line fits one part of the points by least squares; the parts share the point of the elbow. The lines are drawn
    up to where they meet. A ring marks the suggested number. Of a posterior, bars hold 90 % of the entropies under
    single draws.

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
        ax.plot(sizes, middle, "_", color="#8A5A00", markersize=12, label="mean of single draws")
    name = "entropy" if merging.entropy_draws is None else "entropy of averaged probabilities"
    ax.plot(sizes, merging.entropy, "o", color="#0072B2", markersize=5, label=name, zorder=4)
    if merging.elbow is not None:
        _draw_lines(ax, merging.elbow, merging.n_components)
    ax.scatter(
        [merging.suggested], [merging.entropy[merging.suggested - 1]], s=150, facecolor="none", edgecolor="#111111",
        linewidth=1.4, zorder=6, label="suggested",
    )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("number of clusters")
    ax.set_ylabel("entropy of the classes (nats)")
    clusters = "1 cluster" if merging.suggested == 1 else f"{merging.suggested} clusters"
    why = ""
    if merging.elbow is not None and merging.suggested != merging.elbow.at:
        why = "\nThe entropy is negligible: all components are clusters, whatever the elbow"
    put_title(ax, f"{merging.n_components} components, {clusters} suggested{why}")
    ax.legend(loc="upper left")
    return ax


def _draw_lines(ax: Axes, elbow: Any, num: int) -> None:
    """The line before the elbow and that after it, from the ends to the place where they meet, if it is near."""
    (slope, start), (other, later) = elbow.before, elbow.after
    meet = (start - later) / (other - slope) if other != slope else float(elbow.at)
    left = right = float(elbow.at)
    if abs(meet - elbow.at) <= 1.0:
        left = right = meet
    for line, ends, color, words in (
        (elbow.before, (1.0, max(left, 1.0)), "#D55E00", "before"),
        (elbow.after, (min(right, num), num), "#333333", "after")
    ):  # fmt: skip
        heights = [line[0] * end + line[1] for end in ends]
        ax.plot(ends, heights, color=color, linewidth=1.6, label=f"least-squares line {words} the elbow", zorder=3)
