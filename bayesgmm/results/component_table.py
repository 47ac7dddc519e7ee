"""A mixture as a table, a column per component."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.runtime.formatting import plus_minus

if TYPE_CHECKING:
    import pandas as pd


def component_table(mixture: Any) -> "pd.DataFrame":
    """Weights, means and standard deviations of the components (± sd over draws), and those of the whole mixture."""
    import pandas as pd

    names, rows = _figures(mixture)
    whole = [1.0, *np.stack([mixture.mean, np.sqrt(np.diagonal(mixture.covariance))], axis=1).ravel()]
    middles = [mixture.weights_of_draws @ row for row in rows]
    if mixture.num_draws == 1:
        table = pd.DataFrame(np.array(middles), names).astype(object)
    else:
        pairs = zip(rows, middles, strict=True)
        spreads = [np.sqrt(mixture.weights_of_draws @ (row - middle) ** 2) for row, middle in pairs]
        table = pd.DataFrame([plus_minus(*cells) for cells in zip(middles, spreads, strict=True)], names)
    table.columns.name = "component"
    return table.assign(all=np.array(whole, object))


def _figures(mixture: Any) -> tuple[list[str], list[np.ndarray]]:
    """Names of the rows of the table, and their values in each draw, (S, K)."""
    weights, means, trils = mixture.draws
    names, rows = ["weight"], [weights]
    for d, name in enumerate(mixture.features):
        names += [f"mean[{name}]", f"sd[{name}]"]
        rows += [means[..., d], np.sqrt(np.square(trils[..., d, :]).sum(axis=-1))]
    return names, rows
