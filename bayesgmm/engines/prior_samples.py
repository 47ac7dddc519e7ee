"""Prior predictive simulation: draws of θ from the prior, and data from them."""

from typing import TYPE_CHECKING, Any

from bayesgmm.engines.checks import check_chain_arguments, check_sampled
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import prepare
from bayesgmm.results.datatree import prior_tree
from bayesgmm.runtime.arguments import as_key, split_key
from bayesgmm.runtime.dtypes import scope

if TYPE_CHECKING:
    import xarray as xr


def sample_prior(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    fixed: Any = None,
    num_samples: int = 500,
    seed: Any = 0,
) -> "xr.DataTree":
    """Draw θ from the prior, and from each θ as many rows as in the data (prior predictive draws).

    Parameters
    ----------
    x, n_components, covariance_type, prior, fixed
        As for `sample_gibbs`. The data set the number of rows, the features and the default prior.
    num_samples
        Number of draws of θ.
    seed
        int or JAX key.

    Returns
    -------
    xarray.DataTree
        Groups ``prior``, ``prior_predictive`` (dims chain, draw, obs, feature) and ``observed_data``, for ArviZ.

    Raises
    ------
    DataError, PriorError, ArgumentError
        If an input cannot be used.
    """
    check_chain_arguments(0, num_samples, 1, prior)
    num_samples = int(num_samples)
    with scope("float64"):
        problem = prepare(x, n_components, prior, covariance_type=covariance_type, fixed=fixed)
    check_sampled(problem.model, 1, num_samples)
    return prior_tree(split_key(as_key(seed)), problem.model.family_prior, problem.table, num_samples)
