"""The profile of the objective in one scalar, with its interval."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from scipy.interpolate import PchipInterpolator

from bayesgmm.plots.arguments import styled
from bayesgmm.plots.style import axes_of, beside, engine_color
from bayesgmm.runtime.formatting import for_figure


@styled("Profile")
def plot_profile(profile: Any, ax: Any = None) -> Axes:
    """Draw how far the profile falls below the fit, with its interval, and the interval from the information.

    Parameters
    ----------
    profile
        What `fit.profile` returns.
    ax
        Axes to draw on; created if None.
    """
    ax = axes_of(ax, 3.8)
    values, falls = profile.curve["value"].to_numpy(), profile.curve["objective"].to_numpy() - profile.objective
    near = falls > -3.0 * profile.drop
    values, falls = values[near], falls[near]
    color, other = engine_color("em"), engine_color("laplace")
    lower, upper = np.clip((profile.lower, profile.upper), values.min(), values.max())
    ax.axvspan(float(lower), float(upper), color=color, alpha=0.08, linewidth=0)
    ax.axhline(-profile.drop, color="#888888", linestyle=(0, (4, 2)), linewidth=1.0)
    grid = np.linspace(values[0], values[-1], 300)
    ax.plot(grid, PchipInterpolator(values, falls)(grid), color=color, linewidth=1.4)
    ax.plot(values, falls, color=color, marker=".", markersize=4, linestyle="")
    ax.plot([profile.estimate], [0.0], marker="o", color=color, markersize=6)
    height = -profile.drop * 1.25
    ax.plot(profile.wald, [height, height], color=other, marker="|", markersize=9, linewidth=1.6)
    ax.set_ylim(min(float(falls.min()), 1.1 * height), max(0.08 * profile.drop, 1.1 * float(falls.max())))
    ax.set_xlabel(for_figure(profile.parameter, 60))
    ax.set_ylabel("objective − that of the fit")
    shown = f"{profile.level:.4g}"
    handles = [
        Line2D([], [], color=color, marker=".", label="profile"),
        Line2D([], [], color=color, marker="o", linestyle="", label="fit"),
        Line2D([], [], color="#888888", linestyle=(0, (4, 2)), label=f"fall of {profile.drop:.3g}: χ² at {shown}"),
        Patch(color=color, alpha=0.08, label=f"{shown} interval from the profile"),
        Line2D([], [], color=other, marker="|", label=f"{shown} interval from the information"),
    ]
    beside(ax, handles)
    return ax
