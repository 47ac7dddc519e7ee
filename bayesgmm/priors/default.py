"""The prior of ``prior="default"``: weak, and scaled to the data."""

import numpy as np

from bayesgmm.data.table import Table, as_table, check_table
from bayesgmm.errors import PriorError
from bayesgmm.model.families import Family, resolve_family
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.normal_inverse_wishart import NormalInverseWishart
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.shrinkage import proper_covariance
from bayesgmm.runtime.arguments import check_count, shown

ROWS_PER_FEATURE = 10
"""With fewer rows, D + 2 rows of prior for each variance are a large share of a component's rows."""


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
    have mean x̄ and covariance S. If S is singular (no more rows than features, dependent features), its correlations
    are shrunk (Schäfer & Strimmer 2005; `bayesgmm.priors.shrinkage`). With at most ten rows for each feature, df is 3
    where ``covariance_type`` has a variance for each feature and no correlations ("diag", EEI, VEI, EVI, VVI).
    """
    n_components = check_count("n_components", n_components)
    table = as_table(x)
    check_table(table, n_components)
    family = resolve_family(covariance_type, table.dim)
    return prior_of_data(table, n_components, family).expand(n_components, table.dim)


def prior_of_data(table: Table, num_components: int, family: Family) -> Belief:
    """`data_scaled_prior` for a table and a family: proper, and not heavier than the rows.

    A covariance that is singular is shrunk (`proper_covariance`). With df = D + 2 each variance of a diagonal family
    would have the weight of D + 2 rows, and the mean S_jj / (D K^(2/D)). With at most `ROWS_PER_FEATURE` rows for each
    feature, df is 3 instead, as for one feature, and the mean S_jj / K^(2/D).
    """
    prior = data_scaled_prior(table.moments()[0], proper_covariance(table), num_components)
    if family.orientation != "I" or family.shape == "I" or table.num_rows > ROWS_PER_FEATURE * table.dim:
        return prior
    return prior._replace(components=prior.components._replace(df=3.0))


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
