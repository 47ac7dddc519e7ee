"""Classes of which no value was seen in a feature."""

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.runtime.formatting import for_terminal


def unseen_words(table: Table, num_components: int, held: tuple[int, ...] = ()) -> str:
    """Which features have no value in any row that may be of a class, in words; empty if there are none.

    Components whose means are `held` need no value.
    """
    labels = table.labels
    if labels is None or table.gaps == 0:
        return ""
    may = labels > 0 if labels.ndim == 2 else (labels[:, None] == np.arange(num_components)) | (labels < 0)[:, None]
    seen = (may * table.counted[:, None]).T @ ~np.isnan(table.values)  # (K, D)
    found = []
    for k, values in enumerate(seen):
        names = [for_terminal(table.features[d]) for d in np.flatnonzero(values == 0.0)]
        if names and k not in held:
            found.append(f"{', '.join(names)} in class {k}")
    return "; ".join(found)
