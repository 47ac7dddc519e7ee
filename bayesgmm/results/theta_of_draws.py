"""θ from the variables of draws that other software made."""

import numpy as np

from bayesgmm.errors import DrawsError
from bayesgmm.model.types import Params

SPREADS = ("covariances", "scale_trils", "variances", "sds")
"""Forms in which draws may hold Σ_k: matrices, Cholesky factors, variances, or standard deviations."""


def params_of(variables: dict[str, np.ndarray], names: dict[str, str]) -> Params | None:
    """θ from the names of the variables; None if a part of it is missing.

    Raises
    ------
    DrawsError
        If weights are no probabilities, or covariances in whatever form are not positive definite and symmetric.
    """
    spreads = [name for name in SPREADS if name in names] or SPREADS  # only the one that is named, if one is
    found = {ours: variables.get(names.get(ours, ours)) for ours in ("weights", "means", *spreads)}
    weights, means = found["weights"], found["means"]
    if "weights" in names and weights is not None and weights.ndim != 3:
        raise DrawsError(
            f"{names['weights']} has shape {weights.shape}; weights must be (chain, draw, component). Is it another "
            "part of θ?"
        )
    spread = next((name for name in spreads if found[name] is not None), None)
    if weights is not None and weights.ndim == 3 and not is_simplex(weights, 1e-4):
        raise DrawsError(
            f"{names.get('weights', 'weights')} must be at least 0 and sum to 1 over components in each draw."
        )
    if weights is None or means is None or spread is None or weights.ndim != 3:
        return None
    means = means.reshape(*weights.shape, -1)
    values, dim = found[spread], means.shape[-1]
    assert values is not None
    name = names.get(spread, spread)
    each = (1, dim) if spread in ("variances", "sds") else (dim**2,)
    if values.size // weights.size not in each:
        raise DrawsError(
            f"{name} holds {values.size // weights.size} numbers for each component; with {dim} features {spread} must "
            f"hold {' or '.join(map(str, dict.fromkeys(each)))}. Say in names which of {', '.join(SPREADS)} it is."
        )
    if spread in ("variances", "sds"):
        if values.min() <= 0.0:
            raise DrawsError(f"{name} must be above 0, but its smallest value is {values.min():.3g}.")
        sds = np.sqrt(values) if spread == "variances" else values
        # One number per component is a spherical covariance.
        trils = sds.reshape(*weights.shape, -1, 1) * np.eye(dim)
    else:
        trils = _trils(values.reshape(*weights.shape, dim, dim), spread, name)
    return Params(weights, means, trils)  # pyright: ignore[reportArgumentType]


def is_simplex(values: np.ndarray, tolerance: float) -> bool:
    """Whether values are at least 0 and sum to 1 along the last axis."""
    return bool(values.min() >= 0.0 and np.abs(values.sum(axis=-1) - 1.0).max() <= tolerance)


def _trils(matrices: np.ndarray, spread: str, name: str) -> np.ndarray:
    """Lower Cholesky factors with positive diagonals: as given, or of covariances."""
    if spread == "scale_trils":
        if np.triu(matrices, 1).any() or np.diagonal(matrices, axis1=-2, axis2=-1).min() <= 0.0:
            raise DrawsError(
                f"{name} has a matrix that is no Cholesky factor: it must be lower triangular, with a diagonal above 0."
                " If these are upper triangular, transpose them; if they are covariances, say so in names."
            )
        return matrices
    sds = np.sqrt(np.abs(np.diagonal(matrices, axis1=-2, axis2=-1)))
    gap = np.abs(matrices - np.swapaxes(matrices, -1, -2))
    if (gap > 1e-5 * sds[..., :, None] * sds[..., None, :]).any():
        raise DrawsError(f"{name} has a matrix that is not symmetric, so it is not a covariance. Is it scale_trils?")
    try:
        return np.linalg.cholesky(matrices)
    except np.linalg.LinAlgError:
        raise DrawsError(
            f"{name} has a matrix that is not positive definite, so it is not a covariance. If these are "
            "precisions, invert them. If they are Cholesky factors, give them as scale_trils in names."
        ) from None
