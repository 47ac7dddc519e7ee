"""Pictures of fits and draws: each function takes results, and axes if the caller has some, and returns the axes."""

from bayesgmm.plots.calibration import plot_calibration
from bayesgmm.plots.components import plot_components
from bayesgmm.plots.means import plot_means
from bayesgmm.plots.selection import plot_table
from bayesgmm.plots.traces import plot_ascent, plot_traces

__all__ = ["plot_ascent", "plot_calibration", "plot_components", "plot_means", "plot_table", "plot_traces"]
