"""The default prior of the components of a mixture whose number of components is not known."""

from typing import Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.errors import PriorError
from bayesgmm.model.families import Family
from bayesgmm.priors.default import data_scaled_prior, default_df
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.hierarchical import HierarchicalInverseWishart
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.shrinkage import proper_covariance
from bayesgmm.runtime.checks import shown

TYPICAL = 4
"""Number of components that stands in the scale of the covariances, where these have no prior of their scale."""


def prior_for_any_number(table: Table, family: Family) -> Belief:
    """A prior of the components that does not depend on their number.

    Free and tied covariances: the prior of Frühwirth-Schnatter, Malsiner-Walli & Grün (2021, section 5), with R_d the
    range of feature d: ``μ_k ~ N(middle of the range, diag(R_d²))``, ``Σ_k ~ IW(D + 4, C)`` and ``C ~ Wishart(D,
    (D + 4) / (100 D) diag(R_d²))``. Diagonal and spherical covariances: `default_prior` of four components.
    """
    if family.orientation == "I":
        prior = data_scaled_prior(table.moments()[0], proper_covariance(table), TYPICAL)
        return prior._replace(components=prior.components._replace(df=default_df(table, family)))
    low, high = np.nanmin(table.values, axis=0), np.nanmax(table.values, axis=0)
    dim, squares = table.dim, np.diag((high - low) ** 2)
    scale = (dim + 4.0) / (100.0 * dim) * squares
    return Belief(Dirichlet(1.0), HierarchicalInverseWishart(0.5 * (low + high), squares, dim + 4.0, dim, scale))


def resolved(prior: Any, table: Table, family: Family) -> Belief:
    """The prior as given, or the default for these data.

    Raises
    ------
    PriorError
        If it is neither, or flat.
    """
    if prior is None:
        raise PriorError(
            "sample_telescoping needs a proper prior: under the flat prior (prior=None) the posterior of K is not "
            "defined. Use prior='default' or a bayesgmm.Prior."
        )
    if isinstance(prior, str) and prior == "default":
        return prior_for_any_number(table, family)
    if not isinstance(prior, Belief):
        raise PriorError(f"The prior must be 'default' or a bayesgmm.Prior, got {shown(prior)}.")
    return prior
