"""Whether data, family and prior make a problem whose covariances are not singular."""

from bayesgmm.data.table import Table
from bayesgmm.errors import DataError
from bayesgmm.model.families import Family
from bayesgmm.priors.prior import Belief


def well_posed(table: Table, family: Family, prior: Belief | str | None) -> bool:
    """Whether the covariances of the components are not singular because the covariance of the data is.

    Diagonal and spherical covariances need no more than a variance in each feature, and priors have a positive definite
    scale. The default prior takes its scale from the data, which far rows make meaningless.
    """
    if family.orientation == "I" or isinstance(prior, Belief) or table.dependence is None:
        return True
    return prior is not None and table.dependence != table.far_rows


def check_well_posed(table: Table, family: Family, prior: Belief | str | None) -> None:
    """Refuse data where the model is not `well_posed`.

    Raises
    ------
    DataError
        If the family has correlations, and there is no prior, or the default one whose scale is that of far rows.
    """
    if well_posed(table, family, prior):
        return
    own = "a prior of your own with a positive definite scale (bayesgmm.NormalInverseWishart)"
    far = table.dependence == table.far_rows
    model, remedy = "maximum likelihood", f"use {own}" if far else f"use prior='default', or {own}"
    if prior is not None:
        model, remedy = "prior='default', whose scale is the covariance of the data,", f"use {own}"
    raise DataError(
        f"{table.dependence}; or {remedy}. Under {model} {family.label(table.dim)} covariances of these data are "
        "singular."
    )
