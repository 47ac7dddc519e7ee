"""Search by EM for a mode that the draws do not show. R-hat cannot detect that all chains share one wrong mode."""

import warnings
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from bayesgmm.engines.em.ascent import BATCHED_ROWS, begin, run_ascents
from bayesgmm.engines.em.ascent_state import PRUNED, Ascent, usable
from bayesgmm.engines.em.fit_em import fit_em
from bayesgmm.engines.em.multistart import search
from bayesgmm.engines.starts import make_starts
from bayesgmm.engines.variational.laplace import log_mass
from bayesgmm.errors import FitError, LocalOptimumWarning, NotConvergedWarning, SpuriousComponentWarning
from bayesgmm.model.types import Params
from bayesgmm.problem import Problem, to_problem
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_key, split_key
from bayesgmm.runtime.dtypes import scope, to_numpy

STARTS = 32
HIGHER = 0.1
"""Modes whose log posteriors differ by less than this count as one mode."""
LITTLE = 0.05
"""A missed mode does not matter if its mass is below this share of the mass of the known modes."""
WEIGHED = 4
"""Modes, the highest first, whose mass is computed."""
TOL, ITERATIONS = 1e-3, 500


@dataclass(frozen=True)
class MissedMode:
    """A mode of the posterior that EM does not reach from the draws."""

    fit: MixtureFit
    higher_by: float
    """Its log posterior density minus that of the highest mode reached from the draws; it can be negative."""
    log_mass_ratio: float
    """Log ratio of its mass to that of the modes reached from the draws (Laplace approximation); NaN if it fails."""

    @property
    def matters(self) -> bool:
        """Whether its mass may be at least a twentieth of that of the known modes; True if the ratio is NaN."""
        return not self.log_mass_ratio < np.log(LITTLE)


def find_missed_mode(posterior: Posterior, seed: Any) -> MissedMode | None:
    """The mode of largest mass that EM finds from `STARTS` starts and does not reach from the draws.

    A lower mode counts too if it is broad: what matters is its share of the posterior, not its height. None if there is
    no such mode, or only lower ones of little mass. None also if EM has no mode to find under the prior, the
    prior is not known, or it fails.
    """
    if posterior.model.prior is None or not posterior.model.prior.has_mode:
        return None
    key_starts, key_run = split_key(as_key(seed))
    with scope("float64"):
        problem = to_problem(posterior.model, "float64")
        try:
            found = _modes(key_run, make_starts(key_starts, problem, STARTS), problem)
        except FitError:
            return None
        known = _modes(key_run, _from_draws(posterior, problem), problem)
        if not found or not known:
            return None
        missed = [mode for mode in found if all(abs(mode[0] - other[0]) > HIGHER for other in known)][:WEIGHED]
        if not missed:
            return None
        with np.errstate(invalid="ignore"):  # the mass of a mode may be unknown: NaN
            reached = np.logaddexp.reduce([_log_mass(theta, problem) for _, theta in known[:WEIGHED]])
        ratios = np.array([_log_mass(theta, problem) - reached for _, theta in missed])
    top = int(np.nan_to_num(ratios, nan=-np.inf).argmax()) if np.isfinite(ratios).any() else 0
    higher_by, ratio = float(missed[top][0] - known[0][0]), float(ratios[top])
    if higher_by <= HIGHER and not ratio >= np.log(LITTLE):
        return None
    return MissedMode(_fit(missed[top][1], problem, posterior), higher_by, ratio)


def _from_draws(posterior: Posterior, problem: Problem) -> Params:
    """Starts at draws, the highest first; an approximation stands for the mode of its highest draw alone."""
    flat = Params(*(np.asarray(part).reshape(-1, *part.shape[2:]) for part in posterior.params))
    log_posterior = posterior.log_likelihood + posterior.log_prior
    chains, draws = log_posterior.shape
    tops = np.arange(chains) * draws + log_posterior.argmax(axis=1)
    spread = np.linspace(0, log_posterior.size - 1, STARTS).astype(int)
    chosen = np.concatenate([tops, spread])[: max(STARTS, chains)]
    if isinstance(posterior, ApproximatePosterior):
        chosen = np.full(STARTS, int(np.argmax(log_posterior)))
    elif problem.rows.capacity > BATCHED_ROWS:
        chosen = tops
    return problem.frame.standardise(Params(*(part[chosen] for part in flat)))


def _modes(key: Any, starts: Params, problem: Problem) -> list[tuple[float, Params]]:
    """The distinct modes that EM reaches, with their objectives, the highest first; in standardised coordinates."""
    ascents: Ascent
    if problem.rows.capacity > BATCHED_ROWS and len(starts.weights) == STARTS:
        ascents, _ = search(key, starts, problem, TOL, ITERATIONS)
    else:
        begun = begin(starts, problem.standard_prior, True)
        ascents, _ = run_ascents(
            key, begun, problem.standard_prior, problem.rows, TOL, ITERATIONS, "em", True
        )  # fmt: skip
    ascents = to_numpy(ascents)
    good = usable(ascents) & (ascents.status != PRUNED)
    modes: list[tuple[float, Params]] = []
    for i in np.argsort(-np.where(good, ascents.objective, -np.inf), kind="stable")[: int(good.sum())]:
        if not modes or modes[-1][0] - ascents.objective[i] > HIGHER:
            modes.append((float(ascents.objective[i]), jax.tree.map(lambda leaf, i=i: leaf[i], ascents.params)))
    return modes


def _log_mass(theta: Params, problem: Problem) -> float:
    try:
        return log_mass(problem.frame.restore(theta), problem)
    except FitError:
        return float("nan")


def _fit(theta: Params, problem: Problem, posterior: Posterior) -> MixtureFit:
    """The fit of EM from a mode (standardised), in the user's units."""
    start = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem.frame.restore(theta))
    with warnings.catch_warnings():
        for category in (NotConvergedWarning, SpuriousComponentWarning, LocalOptimumWarning):
            warnings.simplefilter("ignore", category)
        return fit_em(
            posterior.model, posterior.n_components, init=start, covariance_type=posterior.family.name,
            prior=posterior.prior, progress_bar=False,
        )  # fmt: skip
