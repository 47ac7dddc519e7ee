"""Search by EM for a mode that no chain reached. R-hat cannot detect that all chains share one wrong mode."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesgmm.engines.em.fit_em import fit_em
from bayesgmm.engines.variational.laplace import log_mass
from bayesgmm.errors import FitError, NotConvergedWarning, SpuriousComponentWarning
from bayesgmm.model.types import Params
from bayesgmm.problem import to_problem
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.dtypes import scope

STARTS = 32
HIGHER = 0.1
"""A mode counts as missed if its log posterior exceeds that of all modes reached from the draws by more than this."""
LITTLE = 0.05
"""A missed mode does not matter if its mass is below this share of the mass of the known mode."""


@dataclass(frozen=True)
class MissedMode:
    """A mode of the posterior that EM does not reach from the draws."""

    fit: MixtureFit
    higher_by: float
    """Its log posterior density minus that of the known mode, the highest mode reached from the draws."""
    log_mass_ratio: float
    """Log ratio of its mass to that of the known mode (Laplace approximation); NaN if it fails."""

    @property
    def matters(self) -> bool:
        """Whether its mass may be at least a twentieth of that of the known mode; True if the ratio is NaN."""
        return not self.log_mass_ratio < np.log(LITTLE)


def find_missed_mode(posterior: Posterior, seed: Any) -> MissedMode | None:
    """The highest mode that EM finds from `STARTS` starts, if EM from the highest draw of each chain does not reach it.

    None also if EM has no mode to find under the prior, or if it fails.
    """
    if not posterior.prior.has_mode:
        return None
    settings = {"covariance_type": posterior.family.name, "prior": posterior.prior, "progress_bar": False}
    with warnings.catch_warnings():
        for category in (NotConvergedWarning, SpuriousComponentWarning):
            warnings.simplefilter("ignore", category)
        try:
            best = fit_em(posterior.model, posterior.n_components, n_init=STARTS, seed=seed, **settings)
            known = _highest_known(posterior, settings)
        except FitError:
            return None
    higher_by = best.objective - known.objective
    if higher_by <= HIGHER:
        return None
    return MissedMode(best, float(higher_by), _log_mass_ratio(best, known, posterior))


def _highest_known(posterior: Posterior, settings: dict[str, Any]) -> MixtureFit:
    """The highest mode that EM reaches from the highest draw of each chain."""
    log_posterior = posterior.log_likelihood + posterior.log_prior
    chains = range(1 if isinstance(posterior, ApproximatePosterior) else posterior.num_chains)
    fits = []
    for chain in chains:
        index = chain, int(log_posterior[chain].argmax())
        start = Params(*(part[index] for part in posterior.params))
        fits.append(fit_em(posterior.model, posterior.n_components, init=start, **settings))
    return max(fits, key=lambda fit: fit.objective)


def _log_mass_ratio(one: MixtureFit, other: MixtureFit, posterior: Posterior) -> float:
    with scope("float64"):
        problem = to_problem(posterior.model, "float64")
        try:
            return log_mass(one.params, problem) - log_mass(other.params, problem)
        except FitError:
            return float("nan")
