"""Plots of fits and draws. Each function takes results, and optionally axes, and returns axes or figures."""

from bayesgmm.plots.calibration import plot_calibration
from bayesgmm.plots.checks import plot_check, plot_khat, plot_pit, plot_predictive_checks, plot_sensitivity
from bayesgmm.plots.components import plot_components
from bayesgmm.plots.errors import plot_errors
from bayesgmm.plots.film import animate
from bayesgmm.plots.intervals import plot_intervals
from bayesgmm.plots.means import plot_means
from bayesgmm.plots.merging import plot_merging
from bayesgmm.plots.model_choice import plot_selection
from bayesgmm.plots.numbers import plot_posterior_of_k
from bayesgmm.plots.partitions import plot_similarity, plot_uncertainty
from bayesgmm.plots.paths import plot_paths
from bayesgmm.plots.point_process import plot_point_process
from bayesgmm.plots.profile import plot_profile
from bayesgmm.plots.projection import plot_projection
from bayesgmm.plots.ranks import plot_ranks
from bayesgmm.plots.regression import plot_regression
from bayesgmm.plots.relabelling import plot_relabelling
from bayesgmm.plots.selection import plot_table
from bayesgmm.plots.studies import plot_cost, plot_coverage, plot_parting
from bayesgmm.plots.traces import plot_ascent, plot_traces

__all__ = [
    "animate", "plot_ascent", "plot_calibration", "plot_check", "plot_components", "plot_cost", "plot_coverage",
    "plot_errors", "plot_intervals", "plot_khat", "plot_means", "plot_merging", "plot_parting", "plot_paths",
    "plot_pit", "plot_point_process", "plot_posterior_of_k", "plot_predictive_checks", "plot_profile",
    "plot_projection", "plot_ranks", "plot_regression", "plot_relabelling", "plot_selection",
    "plot_sensitivity", "plot_similarity", "plot_table", "plot_traces", "plot_uncertainty",
]  # fmt: skip
