"""What the checks of a model need of a posterior."""

from typing import Any

from bayesgmm.data.kinds import UNLIKE_SIMULATED, WEIGHTS, check_rows
from bayesgmm.errors import ArgumentError
from bayesgmm.results.from_draws import as_posterior, draws_of_one_model
from bayesgmm.results.posterior import Posterior

FEWEST_DRAWS = 100
"""Fewest draws to estimate the tail of the weights."""


def check_posterior(posterior: Any, what: str = "loo", refused: tuple[str, ...] = (WEIGHTS,)) -> Posterior:
    """The posterior, read if it is draws of other software (`bayesgmm.from_draws`).

    Raises
    ------
    ArgumentError, DrawsError, DataError
        If there are no draws, or too few, or the rows are of a kind that the check does not take.
    """
    posterior = as_posterior(posterior)
    if not isinstance(posterior, Posterior):
        raise ArgumentError(
            f"This is a {type(posterior).__name__}, not a posterior. A model check needs draws. Use "
            f"{draws_of_one_model(posterior) or 'sample_gibbs, sample_nuts, fit_cavi, fit_svi or fit_laplace'}."
        )
    draws = posterior.num_chains * posterior.num_samples
    if draws < FEWEST_DRAWS:
        raise ArgumentError(f"{draws} draws are too few for a check. It needs at least {FEWEST_DRAWS}. Draw more.")
    advice = "az.loo(posterior.datatree) leaves out each row with all its copies."
    if refused == UNLIKE_SIMULATED and posterior.table.weights is None:
        advice = "It compares rows with simulated ones. bg.loo takes rows with gaps and errors."
    check_rows(what, refused, posterior.table, advice)
    return posterior
