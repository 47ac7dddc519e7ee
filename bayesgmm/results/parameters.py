"""The scalar parameters of a mixture: in one vector, and by name."""

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import sd


def flatten(params: Params) -> np.ndarray:
    """Weights, means and upper triangles of covariances along the last axis, in the order of `parameter_names`."""
    weights, means, covariances = map(np.asarray, (params.weights, params.means, params.covariances))
    lead, upper = weights.shape[:-1], np.triu_indices(means.shape[-1])
    rest = means, covariances[..., upper[0], upper[1]]
    return np.concatenate([weights, *(part.reshape(*lead, -1) for part in rest)], axis=-1)


def tails(level: float) -> tuple[float, float]:
    """Probabilities below the two ends of an equal-tailed interval."""
    return (1.0 - level) / 2.0, (1.0 + level) / 2.0


def estimates_of(params: Params, level: float | None) -> dict[str, np.ndarray]:
    """Estimate and sd of each scalar parameter, and with `level` the ends of its interval; NaN for a point estimate."""
    values, ends = flatten(params), () if level is None else ("lower", "upper")
    if values.ndim == 1:
        return {"estimate": values} | {part: np.full_like(values, np.nan) for part in ("sd", *ends)}
    found = {"estimate": values.mean(axis=(0, 1)), "sd": sd(values, axis=(0, 1))}
    return (
        found if level is None else found | dict(zip(ends, np.quantile(values, tails(level), axis=(0, 1)), strict=True))
    )


def spreads_of(params: Params) -> np.ndarray:
    """The standard deviation of its component for each mean, in the order of `flatten`; ∞ for other parameters."""
    sds = np.sqrt(np.diagonal(params.covariances, axis1=-2, axis2=-1))
    others = np.full_like(np.asarray(params.covariances), np.inf)
    return flatten(Params(np.full_like(np.asarray(params.weights), np.inf), sds, others))


def parameter_names(table: Table, num: int) -> list[str]:
    """Names of the scalar parameters, in the notation of ArviZ."""
    names = table.features
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i:]]
    return [
        *(f"weights[{k}]" for k in range(num)),
        *(f"means[{k}, {name}]" for k in range(num) for name in names),
        *(f"covariances[{k}, {a}, {b}]" for k in range(num) for a, b in pairs),
    ]
