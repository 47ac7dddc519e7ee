"""Errors and warnings at the end of EM."""

import warnings

import numpy as np

from bayesgmm.engines.em.ascent_state import COLLAPSED, EMPTY, MAX_ITER, ROUNDING, STATUS, Ascent
from bayesgmm.errors import (
    CollapseError,
    FitError,
    LocalOptimumWarning,
    NotConvergedWarning,
    SpuriousComponentWarning,
)
from bayesgmm.problem import Problem
from bayesgmm.results.fit import MixtureFit


def raise_failure(ascents: Ascent, problem: Problem) -> None:
    """Raise the error of a search in which every start failed."""
    names = [STATUS[int(status)] for status in ascents.status]
    counted = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    advice = (
        "Use prior='default' (MAP), under which the density is bounded; or fewer components, or more starts (n_init)."
        if problem.prior is None
        else "Use fewer components, or a prior with a larger scale."
    )
    in_single = " float32 resolves less than float64: try float64 first." if problem.dtype == "float32" else ""
    if np.isin(ascents.status, (COLLAPSED, EMPTY)).any():
        raise CollapseError(
            f"No start led to a fit ({counted} of {len(names)}). With free covariances the likelihood is unbounded "
            f"where a component collapses onto too few points. {advice}{in_single}"
        )
    raise FitError(f"No start led to a fit ({counted} of {len(names)}). Check the scale of the data. {advice}")


def warn_of(fit: MixtureFit, counts: np.ndarray, tol: float, gain: float) -> None:
    """Warn of what a user should know about this fit."""
    if gain > 0.0:
        warnings.warn(
            "The given start led to an optimum that is not the highest: with two components merged and one split, a "
            f"few iterations end higher by {gain:.3g}. Fit without a start to search for a higher one.",
            LocalOptimumWarning, stacklevel=4,
        )  # fmt: skip
    if fit.status == STATUS[MAX_ITER] and tol > 0:
        warnings.warn(
            f"EM stopped at max_iter={fit.n_iter} before its objective settled. Raise max_iter or tol.",
            NotConvergedWarning, stacklevel=4,
        )  # fmt: skip
    if fit.interrupted:
        warnings.warn("EM was interrupted. This is the best θ so far.", NotConvergedWarning, stacklevel=4)
    elif fit.status == STATUS[ROUNDING]:
        coarse = fit.settings["dtype"] == "float32"
        advice = (
            "at this precision the log-likelihood cannot resolve gains as small as tol. Use dtype='float64', or a "
            "larger tol"
            if coarse
            else "rounding errors of nearly singular covariances exceed its gains. Give the features similar units, "
            "drop nearly collinear ones, or use prior='default'"
        )
        warnings.warn(f"EM stopped where {advice}.", NotConvergedWarning, stacklevel=4)
    unbounded = fit.prior and fit.prior.components.unbounded_because(fit.family, fit.table.values)
    if unbounded:
        warnings.warn(
            f"{unbounded}. This fit is a local mode. The posterior is proper: sample it, or raise hyper_df or df.",
            SpuriousComponentWarning, stacklevel=4,
        )  # fmt: skip
    few, family = fit.family.rows_needed(fit.table.dim), fit.family.label(fit.table.dim)
    if fit.prior is None and counts.min() <= few:
        warnings.warn(
            f"A component rests on {counts.min():.1f} rows, no more than the {few} that its covariance ({family}) "
            "needs. This is likely a spurious mode of the likelihood. Use prior='default', or fewer components.",
            SpuriousComponentWarning, stacklevel=4,
        )  # fmt: skip
