"""Draws before and after relabelling: traces and ranks of both."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from bayesgmm.data.noise import num_gaussians
from bayesgmm.model.alignment import permute
from bayesgmm.numerics.assignment import inverse
from bayesgmm.numerics.chains import figures_of
from bayesgmm.plots.arguments import POSTERIOR, feature_indices, styled
from bayesgmm.plots.directions import most_separating
from bayesgmm.plots.ellipses import gaussians_of
from bayesgmm.plots.ranks import band, independent_draws, ranks
from bayesgmm.plots.style import LINES, axes_array, component_color, listed, write_note
from bayesgmm.runtime.formatting import for_figure

MOST_LINES = 4000
"""Draws along a trace; of more, some at equal steps are drawn."""
MOST_POINTS = 200
ROWS = ("raw", "relabelled")


@styled(POSTERIOR)
def plot_relabelling(posterior: Any, axes: Any = None, features: Any = None) -> np.ndarray:
    """Draw the means of one feature as the sampler numbered them, over the same draws relabelled, with their ranks.

    On the left are traces, one chain after another. On the right is, for each component and chain, the distribution
    function of its ranks among all draws, minus the uniform one (as in `plot_ranks`). Chains that number the components
    differently, or switch, depart from 0 in the upper panel. Where they still do in the lower one, relabelling cannot
    help: the chains differ in more than labels. The band holds all curves of a panel with 99 % probability if chains
    have mixed. The titles have the worst R-hat of the components. Means far beyond the central 90 % of all draws (those
    of components without rows, as a rule) are cut off.

    Parameters
    ----------
    posterior
        Draws of chains, such as those of `bayesgmm.sample_gibbs` or `bayesgmm.sample_nuts`.
    axes
        Array (2, 2) of axes to draw on; created if None.
    features
        Name or index of the feature whose means are drawn; the one that separates the components most by default.

    Returns
    -------
    ndarray of Axes
    """
    names = posterior.table.features
    if features is None:
        feature = most_separating(gaussians_of(posterior), 1)[0]
    else:
        feature = feature_indices(features, names, 1, exactly=1)[0]
    own, num = axes is None, num_gaussians(posterior)
    axes = axes_array(axes, 2, 2, 5.0, sharex="col", sharey="col", width_ratios=(2, 1))
    raw = permute(posterior.params, inverse(posterior.permutations.astype(int)))
    for row, (words, params) in enumerate(zip(ROWS, (raw, posterior.params), strict=True)):
        draws = np.moveaxis(np.asarray(params.means)[:, :, :num, feature], 2, 0)  # (component, chain, draw)
        _trace(axes[row, 0], draws)
        rhat = _ranks(axes[row, 1], draws)
        axes[row, 0].set_title(words)
        axes[row, 1].set_title("R-hat not defined" if np.isnan(rhat) else f"worst R-hat {rhat:.3f}", fontsize=9)
        axes[row, 0].set_ylabel(f"mean of {for_figure(names[feature], 24)}")
        axes[row, 1].set_ylabel("ECDF − uniform")
    axes[1, 0].set_xlabel("draw, chains one after another")
    axes[1, 1].set_xlabel("rank, as a share")
    if own:
        figure = axes[0, 0].figure
        figure.legend(handles=_handles(num, posterior.num_chains), loc="outside lower center", ncols=6)
        write_note(figure, _words(posterior))
    return axes


def _words(posterior: Any) -> str:
    """How often labels switched."""
    permutations = posterior.permutations.astype(int)
    size = permutations.shape[-1]
    switches = int((np.diff(permutations, axis=1) != 0).any(axis=-1).sum())
    kinds = len(np.unique(permutations.reshape(-1, size), axis=0))
    of = f"{for_figure(posterior.algorithm, 20)}: "
    if kinds == 1:
        return of + "all draws have one numbering, so that relabelling changes at most the order"
    times = {0: "never switch within a chain", 1: "switch once within a chain"}
    return of + f"{kinds} numberings; labels {times.get(switches, f'switch {switches:,} times within chains')}"


def _trace(ax: Axes, draws: np.ndarray) -> None:
    """Traces of components, the chains one after another."""
    _, num_chains, size = draws.shape
    step = max(1, -(-num_chains * size // MOST_LINES))
    for k, own in enumerate(draws):
        for chain, values in enumerate(own):
            at = chain * size + np.arange(size)
            ax.plot(at[::step], values[::step], color=component_color(k), linewidth=0.6, alpha=0.85)
    for chain in range(1, num_chains):
        ax.axvline(chain * size - 0.5, color="#555555", linewidth=0.8, linestyle=(0, (2, 2)))
    ax.set_xlim(-0.5, num_chains * size - 0.5)
    low, high = np.quantile(draws, [0.05, 0.95])
    margin = 0.5 * (high - low)
    low, high = max(low - margin, draws.min()), min(high + margin, draws.max())
    room = 0.04 * (high - low) or 0.5
    ax.set_ylim(low - room, high + room)


def _ranks(ax: Axes, draws: np.ndarray) -> float:
    """Curves of the ranks of each component and chain, with their band; the worst R-hat."""
    num, num_chains, _ = draws.shape
    at = np.linspace(0.0, 1.0, MOST_POINTS + 1)
    size = 2.0 * min(independent_draws(own) for own in draws)
    ax.fill_between(at, *band(at, num_chains, size, num), color="#B9C0C8", alpha=0.45, linewidth=0)
    ax.axhline(0.0, color="#888888", linewidth=0.6)
    for k, own in enumerate(draws):
        for chain, values in enumerate(ranks(own)):
            curve = np.searchsorted(np.sort(values), at, side="right") / len(values) - at
            style = {"color": component_color(k), "linestyle": LINES[chain % len(LINES)], "linewidth": 0.9}
            ax.plot(at, curve, **style)
    ax.set_xlim(0.0, 1.0)
    ax.set_xticks([0.0, 0.5, 1.0])
    found = [figures_of(own)["r_hat"] for own in draws]
    return float(np.nanmax(found)) if np.isfinite(found).any() else float("nan")


def _handles(num: int, num_chains: int) -> list[Any]:
    handles = listed([Line2D([], [], color=component_color(k), label=f"component {k}") for k in range(num)])
    handles += [
        Line2D([], [], color="#444444", linestyle=LINES[chain], linewidth=0.9, label=f"chain {chain}")
        for chain in range(min(num_chains, len(LINES)))
    ]
    return [*handles, Patch(color="#B9C0C8", alpha=0.45, label="99 % band")]
