"""Which components nothing that is known of rows or parameters tells apart."""

import numpy as np

from bayesgmm.data.described import same_for_labels
from bayesgmm.data.table import Table
from bayesgmm.model.fixed import Fixed


def alike_components(table: Table, num_components: int, fixed: Fixed | None) -> np.ndarray:
    """Which pairs of components have the same in labels, noise and held parameters, (K, K)."""
    k = num_components - (table.noise is not None)
    alike = same_for_labels(table, num_components)
    alike[k:, :k] = alike[:k, k:] = False
    if fixed is not None:
        alike[:k, :k] &= fixed.alike
    return alike
