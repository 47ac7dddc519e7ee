"""Traces of chains, and the ascent of EM."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bayesgmm.plots.style import axes_array, axes_of, component_color, engine_color, styled
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.formatting import for_figure


@styled
def plot_traces(posteriors: Mapping[str, Posterior], axes: Any = None) -> np.ndarray:
    """Draw traces side by side: log posterior (a line per chain), then weights and first-feature means per component.

    The log posterior is label-invariant: assess mixing there. The other rows are relabelled. A component that jumps
    between levels indicates label switching or several modes.

    Parameters
    ----------
    posteriors
        Draws by name.
    axes
        Array of shape (3, number of posteriors).

    Returns
    -------
    ndarray of Axes
    """
    axes = axes_array(axes, 3, len(posteriors), 6.0, sharex="col", sharey="row")
    for column, (name, posterior) in enumerate(posteriors.items()):
        _draw_column(axes[:, column], name, posterior)
    feature = next(iter(posteriors.values())).table.features[0]
    for row, label in enumerate(("log posterior", "weights", f"means of {for_figure(feature)}")):
        axes[row, 0].set_ylabel(label)
    return axes


@styled
def plot_ascent(fits: Mapping[str, MixtureFit], ax: Any = None) -> Axes:
    """Draw the gap between the objective and its maximum after each M-step.

    On the log scale, the linear convergence of EM is a straight line.
    """
    ax = axes_of(ax, 3.2)
    for name, fit in fits.items():
        left = fit.trace.max() - fit.trace
        steps = np.flatnonzero(left > 0)
        ax.plot(
            steps,
            left[steps],
            marker="o",
            markersize=2.5,
            linewidth=1.2,
            color=engine_color(name),
            label=for_figure(name),
        )
    ax.set_yscale("log")
    ax.set_xlabel("M-steps")
    ax.set_ylabel("maximum − objective")
    ax.legend()
    return ax


def _draw_column(axes: np.ndarray, name: str, posterior: Posterior) -> None:
    log_posterior = posterior.log_likelihood + posterior.log_prior
    for chain in range(posterior.num_chains):
        axes[0].plot(log_posterior[chain], linewidth=0.5, alpha=0.8, label=f"chain {chain}")
        for k in range(posterior.n_components):
            style = {"linewidth": 0.4, "alpha": 0.7, "color": component_color(k)}
            axes[1].plot(posterior.params.weights[chain, :, k], **style)
            axes[2].plot(posterior.params.means[chain, :, k, 0], **style)
    verdict = "mixed" if posterior.mixed else "not mixed"
    axes[0].set_title(f"{for_figure(name)}: {posterior.num_chains} chains, {verdict}", color=engine_color(name))
    axes[2].set_xlabel("draw")
