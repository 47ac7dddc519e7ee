"""Traces of chains, and the ascent of EM."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from bayesgmm.data.noise import num_gaussians
from bayesgmm.plots.arguments import FIT, POSTERIOR, feature_indices, has_chains, shared_table, styled
from bayesgmm.plots.style import NOISE_COLOR, axes_array, axes_of, chain_color, component_color, engine_color
from bayesgmm.plots.words import mixing_title
from bayesgmm.runtime.formatting import for_figure

MOST_LISTED = 10
"""Most chains or components that a legend lists."""


@styled(POSTERIOR, several=True)
def plot_traces(posteriors: Any, axes: Any = None, features: Any = None) -> np.ndarray:
    """Draw traces side by side: log posterior (a line per chain), then weights and means of one feature per component.

    The log posterior is label-invariant: assess mixing there. The other rows are relabelled. A component that jumps
    between levels indicates label switching or several modes.

    Parameters
    ----------
    posteriors
        A posterior, or several by name.
    axes
        Array of shape (3, number of posteriors).
    features
        Name or index of the feature whose means are drawn; the first by default.

    Returns
    -------
    ndarray of Axes
    """
    names = shared_table(posteriors).features
    feature = feature_indices(features, names, 1, exactly=1)[0]
    axes = axes_array(axes, 3, len(posteriors), 6.0, sharex="col", sharey="row")
    for column, (name, posterior) in enumerate(posteriors.items()):
        _draw_column(axes[:, column], name, posterior, feature)
    which = f"\n(1 of {len(names)} features)" if len(names) > 1 else ""
    for row, label in enumerate(("log posterior", "weights", f"means of {for_figure(names[feature], 20)}{which}")):
        axes[row, 0].set_ylabel(label)
    most = max(posterior.num_chains for posterior in posteriors.values())
    _legend(axes[0, -1], [(f"chain {i}", chain_color(i)) for i in range(most)])
    most = max(num_gaussians(posterior) for posterior in posteriors.values())
    noise = [("noise", NOISE_COLOR)] * any(posterior.table.noise is not None for posterior in posteriors.values())
    _legend(axes[1, -1], [(f"component {k}", component_color(k)) for k in range(most)] + noise)
    return axes


@styled(FIT, several=True)
def plot_ascent(fits: Any, ax: Any = None) -> Axes:
    """Draw the gap between the objective and its maximum after each M-step.

    On the log scale, the linear convergence of EM is a straight line. The last step, where the gap is 0, is not drawn.

    Parameters
    ----------
    fits
        A fit, or several by name.
    ax
        Axes to draw on; created if None.
    """
    ax = axes_of(ax, 3.2)
    for name, fit in fits.items():
        left = fit.trace.max() - fit.trace
        steps = np.flatnonzero(left > 0)
        label = for_figure(name) if len(steps) else f"{for_figure(name)}: at its maximum from the start"
        ax.plot(
            steps, left[steps], marker="o", markersize=2.5, linewidth=1.2, color=engine_color(name), label=label
        )  # fmt: skip
    if any(len(line.get_xdata()) for line in ax.get_lines()):
        ax.set_yscale("log")
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.set_xlabel("M-steps")
    ax.set_ylabel("maximum − objective")
    ax.legend()
    return ax


def _draw_column(axes: np.ndarray, name: str, posterior: Any, feature: int) -> None:
    log_posterior = posterior.log_likelihood + posterior.log_prior
    width = 0.4 if posterior.num_samples > 300 else 0.8
    for chain in range(posterior.num_chains):
        axes[0].plot(log_posterior[chain], linewidth=width, alpha=0.8, color=chain_color(chain))
        for k in range(num_gaussians(posterior)):
            style = {"linewidth": width, "alpha": 0.7, "color": component_color(k)}
            axes[1].plot(posterior.params.weights[chain, :, k], **style)
            axes[2].plot(posterior.params.means[chain, :, k, feature], **style)
        if posterior.table.noise is not None:
            axes[1].plot(posterior.params.weights[chain, :, -1], linewidth=width, alpha=0.7, color=NOISE_COLOR)
    axes[0].set_title(f"{for_figure(name, 30)}: {_draws_words(posterior)}", color=engine_color(name))
    axes[2].set_xlabel("draw")


def _draws_words(posterior: Any) -> str:
    count, size = posterior.num_chains, posterior.num_samples
    if not has_chains(posterior):
        return f"{count * size:,} independent draws"
    words = mixing_title(posterior.worst_rhat, posterior.smallest_ess, count)
    return f"{count} {'chain' if count == 1 else 'chains'},\n{words}"


def _legend(ax: Axes, entries: list[tuple[str, str]]) -> None:
    """A legend to the right of the axes."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=color, label=label) for label, color in entries[:MOST_LISTED]]
    if len(entries) > MOST_LISTED:
        handles.append(Line2D([], [], linestyle="", label=f"and {len(entries) - MOST_LISTED} more"))
    ax.legend(handles=handles, loc="upper left", bbox_to_anchor=(1.0, 1.0))
