"""What a study keeps of one result: estimates, intervals, and how far they are from the truth."""

from typing import Any, NamedTuple

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.errors import BayesGMMError, FitError
from bayesgmm.model.types import Params
from bayesgmm.partitions.distance import adjusted_rand, variation_of_information
from bayesgmm.problem import Model
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.datatree import invariants_of_theta
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.intervals import Intervals
from bayesgmm.results.parameters import flatten, parameter_names, tails
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import usable
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.per_row import log_densities


class Sample(NamedTuple):
    """A data set with its truth."""

    truth: Params
    z: np.ndarray
    data: Table
    test: Table
    """Other rows from the same truth."""


def measured(
    result: MixtureFit | Posterior, sample: Sample, level: float, em_intervals: str | None, rankable: bool
) -> dict[str, Any]:
    """All figures of one result, for JSON."""
    drawn = isinstance(result, Posterior)
    found = _posterior_figures(result, level) if drawn else _fit_figures(result, level, em_intervals)
    found |= _invariants_figures(result, level, rankable)
    labels = result.predict()
    truth_score = log_densities(as_draw(sample.truth), sample.test, result.frame).mean()
    return found | {
        "log_score": float(np.mean(result.score_samples(sample.test.values)) - truth_score),
        "adjusted_rand": adjusted_rand(labels, sample.z),
        "vi": variation_of_information(labels, sample.z),
        "seconds": result.clock.run_seconds,
        "compile_seconds": result.clock.compile_seconds,
    }


def invariants_of(params: Params, model: Model, rankable: bool) -> np.ndarray:
    """Label-invariant quantities of θ (chain, draw, …) as an array (draws, quantities), at fixed rows of the data.

    Without ``rankable`` the sorted weights are left out: if weights of the truth are equal, sorted draws lie to both
    sides of them, and no interval of the largest covers it.
    """
    found = invariants_of_theta(params, model.table, model.frame)
    kept = [part for name, part in found.items() if rankable or name != "sorted_weights"]
    return np.concatenate([np.reshape(part, (part.shape[0] * part.shape[1], -1)) for part in kept], axis=1)


def _invariants_figures(result: MixtureFit | Posterior, level: float, rankable: bool) -> dict[str, Any]:
    if isinstance(result, MixtureFit):
        return {"invariants": invariants_of(as_draw(result.params), result.model, rankable)[0].tolist()}
    draws = invariants_of(result.params, result.model, rankable)
    ends = np.quantile(draws, tails(level), axis=0).tolist()
    return {"invariants": draws.mean(axis=0).tolist(), "invariants_lower": ends[0], "invariants_upper": ends[1]}


def log_posterior_of(fit: MixtureFit) -> float:
    """Log-likelihood plus log prior density of an estimate, whatever its engine maximised."""
    with scope("float64"):
        return float(fit.log_likelihood + (0.0 if fit.prior is None else fit.model.log_prior(fit.params)))


def _fit_figures(fit: MixtureFit, level: float, em_intervals: str | None) -> dict[str, Any]:
    starts = sum(basin.hits for basin in fit.basins)
    found = {
        "estimate": flatten(fit.params).tolist(),
        "objective": log_posterior_of(fit),
        "sound": bool(fit.converged),
        "best_starts": fit.basins[0].hits / starts if starts else None,
        "iterations": float(sum(basin.hits * basin.mean_iterations for basin in fit.basins)),
    }
    if em_intervals is None:
        return found
    try:
        return found | _ends(fit.intervals(em_intervals, level), fit.model)
    except FitError as error:
        return found | {"no_interval": first_sentence(error)}


def _posterior_figures(posterior: Posterior, level: float) -> dict[str, Any]:
    sound = posterior.trusted if isinstance(posterior, ApproximatePosterior) else usable(posterior)
    return _ends(posterior.intervals("quantile", level), posterior.model) | {"sound": bool(sound)}


def _ends(intervals: Intervals, model: Model) -> dict[str, Any]:
    """Estimates, sds and ends in the order of `flatten`; NaN where the family has no such parameter."""
    table = intervals.table.reindex(parameter_names(model.table, model.num_components))
    return {name: table[name].to_list() for name in ("estimate", "sd", "lower", "upper")}


def as_draw(params: Params) -> Params:
    """θ with the leading axes (chain, draw)."""
    return Params(*(np.asarray(part)[None, None] for part in params))


def first_sentence(error: BaseException) -> str:
    """What went wrong, without the advice; of an error that is not ours its class too."""
    words = str(error).split(". ")[0].rstrip(".")
    return words if isinstance(error, BayesGMMError) else f"{type(error).__name__}: {words}"
