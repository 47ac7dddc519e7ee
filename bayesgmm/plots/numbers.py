"""Plot of the posteriors of the number of components and of the number of clusters, beside their priors."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from bayesgmm.numerics.chains import figures_of
from bayesgmm.numerics.mixing import MIXED, UNKNOWN, mixing_state
from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import COMPONENT_COLORS, axes_of, narrow, put_title, within_one
from bayesgmm.plots.words import mixing_title

SHOWN, MOST = 0.004, 30
"""Numbers with less posterior probability, of K and of K₊, are left out at the right, and those above the second."""
ROOM = 1.08
"""Height of the axes, times that of what is drawn."""
PARTS = (
    ("components", "K, components", COMPONENT_COLORS[3]),
    ("clusters", "K₊, those with rows", COMPONENT_COLORS[0]),
)
DARK = "#333333"


@styled("TelescopingPosterior")
def plot_posterior_of_k(found: Any, ax: Any = None) -> Axes:
    """Draw the posteriors of K and K₊ as bars with twice their Monte Carlo errors, and their priors as dotted lines.

    A dot is the share in one chain. The title says if the chains differ in K or K₊: then all probabilities are unsure.
    Error bars are cut off at 0 and 1. The label of the axis has the probability of numbers beyond the right end.

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
    last = min(int(np.flatnonzero(posteriors.max(axis=1) >= SHOWN)[-1]) + 1, MOST)
    table, k = table.iloc[:last], table.index.to_numpy()[:last]
    for (name, _, color), shift in zip(PARTS, (-0.2, 0.2), strict=True):
        errors = 2.0 * table[f"error_{name}"].to_numpy(float)
        heights = table[f"posterior_{name}"].to_numpy(float)
        ax.bar(k + shift, heights, width=0.38, color=color, zorder=2)
        ax.errorbar(
            k + shift, heights, yerr=within_one(heights, errors), fmt="none", ecolor=DARK, elinewidth=1.0, zorder=3
        )
        _draw_chains(ax, found.num_components if name == "components" else found.num_clusters, k, shift)
        ax.plot(
            k + shift, table[f"prior_{name}"].to_numpy(float), color=color, marker="D", markersize=3,
            markeredgecolor=DARK, markeredgewidth=0.7, linestyle=":", linewidth=1.1, zorder=4,
        )  # fmt: skip
    ax.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8 if narrow(ax) else 20))
    ax.set_xlim(0.4, last + 0.6)
    ax.set_ylim(0.0, min(1.0, ax.get_ylim()[1]) * ROOM)
    ax.set_yticks([tick for tick in ax.get_yticks() if 0.0 <= tick <= min(ax.get_ylim()[1], 1.0)])
    ax.set_ylabel("probability")
    beyond = 1.0 - posteriors[:last].sum(axis=0)
    rest = f" (P(K > {last}) = {beyond[0]:.2g}, not shown)" if beyond[0] > 1e-9 else ""
    ax.set_xlabel(f"k{rest}")
    put_title(ax, _title(found))
    ax.legend(handles=_handles(), loc="upper right", handlelength=1.2, labelspacing=0.3, borderaxespad=0.2)
    return ax


def _draw_chains(ax: Axes, drawn: np.ndarray, k: np.ndarray, shift: float) -> None:
    """The share of the draws with each number in each chain, where there are several."""
    if len(drawn) < 2:
        return
    shares = (drawn[:, :, None] == k).mean(axis=1)
    places = np.broadcast_to(k + shift, shares.shape)
    seen = shares.max(axis=0) >= SHOWN
    ax.scatter(places[:, seen], shares[:, seen], s=5, color=DARK, alpha=0.55, linewidths=0, zorder=5)


def _title(found: Any) -> str:
    """The most probable numbers, and whether the chains agree about them."""
    num, clusters = found.most_probable
    line = f"Most probable: K = {num}, K₊ = {clusters}"
    figures = [figures_of(np.asarray(drawn, float)) for drawn in (found.num_components, found.num_clusters)]
    rhat = max((one["r_hat"] for one in figures if one["r_hat"] == one["r_hat"]), default=np.nan)
    ess = min(
        (min(one["ess_bulk"], one["ess_tail"]) for one in figures if one["r_hat"] == one["r_hat"]), default=np.nan
    )
    chains = len(found.num_components)
    if mixing_state(rhat, ess, chains) in (MIXED, UNKNOWN):
        return line
    return f"{line}\nChains differ in K or K₊: {mixing_title(rhat, ess, chains)}"


def _handles() -> list[Any]:
    """A short legend: both kinds of bars, and one entry each for priors and chains."""
    plain: dict[str, Any] = {"color": DARK}
    return [
        *(Patch(color=color, label=words) for _, words, color in PARTS),
        Line2D([], [], linestyle=":", marker="D", markersize=3, label="priors", **plain),
        Line2D([], [], linestyle="", marker="o", markersize=2.5, alpha=0.55, label="single chains", **plain),
    ]
