"""The default prior where rows are too few or features dependent: its scale is positive definite, its weight small."""

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.model.families import Family

LEAST = 1e-3
"""Smallest share: the matrix is positive definite also where correlations are estimated without error."""


def proper_covariance(table: Table) -> np.ndarray:
    """The covariance (D, D) of the data; where it is singular, its correlations are shrunk (`shrinkage`).

    Where ``table.dependence`` finds nothing, it is ``table.moments()[1]`` itself. Variances are never changed.
    """
    covariance = table.moments()[1]
    if table.dependence is None:
        return covariance
    shrunk = (1.0 - shrinkage(table)) * covariance
    np.fill_diagonal(shrunk, np.diagonal(covariance))
    return shrunk


def default_df(table: Table, family: Family) -> float:
    """Degrees of freedom of the default prior: D + 2, and 3 for variances of each feature that no more rows tell.

    With D + 2 each variance of a diagonal family has the weight of D + 2 rows, about a mean of S_jj / (D K^(2/D)): as
    soon as the rows are no more than the features, more than all rows together. With 3, as for one feature, the prior
    mean is S_jj / K^(2/D). Spherical families pool D features in a variance, so that D + 2 is little there.
    """
    of_each_feature = family.orientation == "I" and family.shape != "I"
    return 3.0 if of_each_feature and table.total <= table.dim else table.dim + 2.0


def shrinkage(table: Table) -> float:
    """The share λ by which correlations are shrunk towards 0, between `LEAST` and 1.

    ``λ = Σ_{i≠j} Var(r_ij) / Σ_{i≠j} r_ij²`` minimises the expected squared error of the correlations (Ledoit & Wolf
    2003), with the variances estimated from the rows (Schäfer & Strimmer 2005, eq. 9 and table 2, target D). It does
    not depend on units.
    """
    table = table.sample
    total, counted = table.total, table.counted
    mean, covariance = table.moments()
    z = (table.filled - mean) / np.sqrt(np.diagonal(covariance))
    products = (z.T * counted) @ z / total
    variances = (np.square(z).T * counted) @ np.square(z) / total - np.square(products)
    between = ~np.eye(table.dim, dtype=bool)
    # With means w of products, r = w N / (N - 1) and Var(r) = N² / (N - 1)³ times their variance: N - 1 remains.
    errors, sizes = variances[between].sum(), np.square(products[between]).sum()
    share = errors / sizes / max(total - 1.0, 1.0) if sizes > 0.0 else 1.0
    return float(np.clip(share, LEAST, 1.0))
