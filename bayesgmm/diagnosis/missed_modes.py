"""Is there a mode that no chain has been to? R-hat is fine when all chains share one wrong mode; EM can tell."""

import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from bayesgmm.engines.em.em import fit_em
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
"""A mode is another one if it is higher than all that the draws lead to by more than this."""
LITTLE = 0.05
"""Share of the known mode's mass below which a missed mode does not matter."""


@dataclass(frozen=True)
class MissedMode:
    """A mode of the posterior that none of the draws leads to."""

    fit: MixtureFit
    higher_by: float
    """Its log posterior density less that of the highest mode that the draws lead to."""
    log_mass_ratio: float
    """Log of its share of the posterior over that mode's, by Laplace's method; NaN where that does not serve."""

    @property
    def matters(self) -> bool:
        """Whether it may hold more than a twentieth of what the known mode holds."""
        return not self.log_mass_ratio < np.log(LITTLE)


def look_for_more(posterior: Posterior, seed: Any) -> MissedMode | None:
    """The highest mode that EM finds from `STARTS` starts, if the highest draw of no chain leads to it.

    None too where EM cannot climb under the prior.
    """
    if not posterior.prior.has_mode:
        return None
    settings = {"covariance_type": posterior.family.name, "prior": posterior.prior, "progress_bar": False}
    with warnings.catch_warnings():
        for told in (NotConvergedWarning, SpuriousComponentWarning):
            warnings.simplefilter("ignore", told)
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
    """The highest of the modes to which the highest draw of each chain leads."""
    log_posterior = posterior.log_likelihood + posterior.log_prior
    chains = range(1 if isinstance(posterior, ApproximatePosterior) else posterior.num_chains)
    fits = []
    for chain in chains:
        place = chain, int(log_posterior[chain].argmax())
        start = Params(*(part[place] for part in posterior.params))
        fits.append(fit_em(posterior.model, posterior.n_components, init=start, **settings))
    return max(fits, key=lambda fit: fit.objective)


def _log_mass_ratio(one: MixtureFit, other: MixtureFit, posterior: Posterior) -> float:
    with scope("float64"):
        problem = to_problem(posterior.model, "float64")
        try:
            return log_mass(one.params, problem) - log_mass(other.params, problem)
        except FitError:
            return float("nan")
