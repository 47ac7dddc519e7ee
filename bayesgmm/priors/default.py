"""The default prior, scaled to the data, and the argument ``prior`` of the engines."""

import numpy as np

from bayesgmm.data.table import Table, as_table, check_table
from bayesgmm.errors import PriorError
from bayesgmm.model.families import Family, resolve_family
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.normal_inverse_wishart import NormalInverseWishart
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.shrinkage import default_df, proper_covariance
from bayesgmm.runtime.arguments import check_count, shown


def data_scaled_prior(center: np.ndarray, covariance: np.ndarray, num_components: int) -> Belief:
    """The documented default, scaled to the data (Fraley & Raftery 2007, section 4).

    ``weights ~ Dirichlet(1)``, ``Σ_k ~ IW(D + 2, S / K^(2/D))``, ``μ_k | Σ_k ~ N(mean of the data, Σ_k / 0.01)``.
    The prior mean of Σ_k has 1/K of the volume of the data covariance S.
    """
    dim = len(center)
    scale = covariance / num_components ** (2.0 / dim)
    return Belief(Dirichlet(1.0), NormalInverseWishart(center, 0.01, dim + 2.0, scale))


def default_prior(x, n_components: int, covariance_type: str = "full") -> Belief:
    """The prior of ``prior="default"``, in the user's units (Fraley & Raftery 2007, section 4).

    ``weights ~ Dirichlet(1)``, ``Σ_k ~ IW(D + 2, S / K^(2/D))`` and ``μ_k | Σ_k ~ N(x̄, Σ_k / 0.01)``. The data
    have mean x̄ and covariance S; where S is singular, its correlations are shrunk (`bayesgmm.priors.shrinkage`).
    With no more rows than features, df is 3 if ``covariance_type`` is "diag", EEI, VEI, EVI or VVI.
    """
    n_components = check_count("n_components", n_components)
    table = as_table(x)
    check_table(table, n_components)
    return prior_of_data(table, n_components, resolve_family(covariance_type, table.dim)).expand(
        n_components, table.dim
    )


def prior_of_data(table: Table, num_components: int, family: Family) -> Belief:
    """`data_scaled_prior` for a table and a family: proper, and not heavier than the rows."""
    prior = data_scaled_prior(table.moments()[0], proper_covariance(table), num_components)
    return prior._replace(components=prior.components._replace(df=default_df(table, family)))


def resolve_prior(prior: Belief | str | None, table: Table, num_components: int, family: Family) -> Belief | None:
    """The prior in full shape and in the user's units.

    ``"default"`` is built from the data; None stays None. Whether the prior is proper depends on the covariance family;
    see `Belief.taken_by`.
    """
    if prior is None:
        return None
    if isinstance(prior, str):
        if prior != "default":
            raise PriorError(
                f"Unknown prior {shown(prior)}. Use 'default', None (maximum likelihood) or a bayesgmm.Prior."
            )
        prior = prior_of_data(table, num_components, family)
    if not isinstance(prior, Belief):
        raise PriorError(f"The prior must be 'default', None or a bayesgmm.Prior, got {shown(prior)}.")
    return prior.expand(num_components, table.dim)
