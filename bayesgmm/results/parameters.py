"""The scalar parameters of a mixture: in one vector, and by name."""

import numpy as np

from bayesgmm.data.table import Table


def flatten(parts: tuple) -> np.ndarray:
    """Weights, means and upper triangles of covariances along the last axis, in the order of `parameter_names`."""
    weights, means, covariances = parts
    lead, upper = weights.shape[:-1], np.triu_indices(means.shape[-1])
    rest = means, covariances[..., upper[0], upper[1]]
    return np.concatenate([weights, *(part.reshape(*lead, -1) for part in rest)], axis=-1)


def parameter_names(table: Table, num: int) -> list[str]:
    """Names of the scalar parameters, in the notation of ArviZ."""
    names = table.features
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i:]]
    return [
        *(f"weights[{k}]" for k in range(num)),
        *(f"means[{k}, {name}]" for k in range(num) for name in names),
        *(f"covariances[{k}, {a}, {b}]" for k in range(num) for a, b in pairs),
    ]
