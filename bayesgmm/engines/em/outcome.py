"""Errors and warnings at the end of EM."""

import warnings

import numpy as np

from bayesgmm.data.unseen import unseen_words
from bayesgmm.engines.em.ascent_state import COLLAPSED, EMPTY, MAX_ITER, ROUNDING, STATUS, Ascent
from bayesgmm.engines.em.moves import equal_pair
from bayesgmm.engines.stopping import rounding
from bayesgmm.errors import (
    CollapseError,
    FitError,
    LocalOptimumWarning,
    NotConvergedWarning,
    SpuriousComponentWarning,
)
from bayesgmm.problem import Problem
from bayesgmm.results.fit import MixtureFit

POINT = 1e-3
"""A variance below this share of that of the errors is called a point."""


def raise_failure(ascents: Ascent, problem: Problem) -> None:
    """Raise the error of a search in which every start failed."""
    names = [STATUS[int(status)] for status in ascents.status]
    counted = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    advice = (
        "Use prior='default' (MAP), under which the density is bounded; or fewer components, or more starts (n_init)."
        if problem.prior is None
        else "Use fewer components, or a prior with a larger scale."
    )
    if problem.prior is None and problem.table.labels is not None:
        advice = "Use prior='default' (MAP), under which the density is bounded: a known class may have too few rows."
    in_single = " float32 resolves less than float64: try float64 first." if problem.dtype == "float32" else ""
    if np.isin(ascents.status, (COLLAPSED, EMPTY)).any():
        label, far = problem.family.label(problem.table.dim), problem.table.far_rows
        why = (
            f"With {label} covariances the likelihood is unbounded where a component collapses onto too few points."
            if problem.prior is None
            else f"A component with {label} covariances collapses onto too few points for this prior."
        )
        raise CollapseError(
            f"No start led to a fit ({counted} of {len(names)}). {why} {f'{far}.' if far else advice}{in_single}"
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
        name = fit.algorithm.upper()
        warnings.warn(f"{name} was interrupted. This is the best θ so far.", NotConvergedWarning, stacklevel=4)
    elif fit.status == STATUS[ROUNDING]:
        warnings.warn(f"EM stopped where {_rounding_words(fit, tol)}.", NotConvergedWarning, stacklevel=4)
    unbounded = fit.prior and fit.prior.components.unbounded_because(fit.family, fit.table.filled)
    if unbounded:
        warnings.warn(
            f"{unbounded}. This fit is a local mode. The posterior is proper: sample it, or raise hyper_df or df.",
            SpuriousComponentWarning, stacklevel=4,
        )  # fmt: skip
    _warn_of_points(fit)
    if unseen := unseen_words(fit.table, fit.n_components, fit.model.held.means):
        source = "not estimated by any row" if fit.prior is None else "those of the prior"
        warnings.warn(
            f"No value was seen of {unseen}: its mean and variance there are {source}. Drop the feature, leave the "
            "class out, or hold what is known of it (fixed=).",
            SpuriousComponentWarning, stacklevel=4,
        )  # fmt: skip
        return
    in_a_feature, free = "", fit.model.held.free("covariances", fit.model.num_gaussians)
    few, family = fit.family.rows_needed(fit.table.dim), fit.family.label(fit.table.dim)
    if fit.prior is None and fit.table.gaps and counts.min() > few:
        counts, in_a_feature = _counts_of_values(fit), " in a feature"
    counts = counts[free]  # a held covariance needs no rows
    if fit.prior is None and counts.min(initial=np.inf) <= few:
        warnings.warn(
            f"A component rests on {counts.min():.1f} rows{in_a_feature}, no more than the {few} that its covariance "
            f"({family}) needs. This is likely a spurious mode of the likelihood. Use prior='default', or fewer "
            "components.",
            SpuriousComponentWarning, stacklevel=4,
        )  # fmt: skip


def _warn_of_points(fit: MixtureFit) -> None:
    """Warn of components whose whole spread is explained by the errors of measurement."""
    errors, free = fit.table.errors, fit.model.held.free("covariances", fit.model.num_gaussians)
    if errors is None or fit.prior is not None or not len(free):
        return
    sizes = np.diagonal(errors, axis1=1, axis2=2)
    typical = np.median(np.where(np.isfinite(sizes), sizes, 0.0), axis=0)
    variances = np.diagonal(np.asarray(fit.params.covariances), axis1=1, axis2=2)[free]
    points = np.unique(free[(variances < POINT * typical).any(axis=1)])
    if len(points):
        warnings.warn(
            f"Without the errors of measurement, component {', '.join(map(str, points))} has a variance below "
            f"{POINT:g} of theirs: the errors explain its whole spread, and the likelihood is highest at a point. "
            "Check the size of the errors, or use prior='default' or a prior of your own.",
            SpuriousComponentWarning, stacklevel=5,
        )  # fmt: skip


def _counts_of_values(fit: MixtureFit) -> np.ndarray:
    """Rows of each component in which a feature was seen, (K, D)."""
    seen = ~np.isnan(fit.table.values)
    return (fit.predict_proba() * fit.table.counted[:, None]).T @ seen


def warned_of_merger(fit: MixtureFit) -> MixtureFit:
    """The fit; with a warning if an annealing ended where two components are equal."""
    pair = equal_pair(fit.params)
    if pair is not None:
        warnings.warn(
            f"Components {pair[0]} and {pair[1]} are equal: the annealing merged them, and EM cannot part them. Start "
            "at a larger beta_start, or use algorithm='em'.",
            LocalOptimumWarning, stacklevel=4,
        )  # fmt: skip
    return fit


def _rounding_words(fit: MixtureFit, tol: float) -> str:
    """What EM could not resolve, and what to try: `stopping.rounding`, or a fall of the objective by more than that."""
    if fit.settings["dtype"] == "float32":
        return (
            "at this precision the log-likelihood cannot resolve gains as small as tol. Use dtype='float64', or a "
            "larger tol"
        )
    # The objective of the iterations leaves out the constant of the prior, which is of the size of the rest.
    value, of_prior = fit.log_likelihood + fit.model.log_volume, abs(fit.model.prior_constant)
    noise = float(rounding(abs(value) + of_prior, fit.table.num_rows, np.float64))
    if noise >= tol and of_prior > abs(value):
        return (
            f"gains as small as tol are rounding: the log density of the prior is of size {of_prior:.1g}. Use smaller "
            "hyperparameters (concentration, df), or a larger tol"
        )
    if noise >= tol:
        return f"gains as small as tol are rounding in an objective of this size. Use a tol of {2 * noise:.1g} or more"
    if fit.table.far_rows:
        return f"rounding errors exceed its gains. {fit.table.far_rows}"
    remedy = "prior='default'" if fit.prior is None else "a prior with a larger scale"
    return (
        "rounding errors of nearly singular covariances exceed its gains. Drop nearly collinear features, or use "
        f"{remedy}, fewer components, or covariance_type='diag'"
    )
