"""Covariances and factors of precisions in the shapes that scikit-learn gives them, by its covariance type."""

from typing import Any

import numpy as np

from bayesgmm.model.types import Params

FAMILY = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}


def in_shape(covariances: np.ndarray, kind: str) -> np.ndarray:
    """Covariances (K, D, D) as (K, D, D), (D, D), (K, D) or (K,)."""
    if kind == "full":
        return covariances
    if kind == "tied":
        return covariances.mean(axis=0)
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    return variances.copy() if kind == "diag" else variances.mean(axis=1)


def in_full(values: Any, kind: str, num: int, dim: int) -> np.ndarray:
    """Matrices (K, D, D) from covariances, precisions or factors in the shape of their type."""
    values = np.asarray(values, float)
    if kind == "full":
        return values
    if kind == "tied":
        return np.broadcast_to(values, (num, dim, dim))
    diagonals = values if kind == "diag" else np.broadcast_to(values[:, None], (num, dim))
    return diagonals[:, :, None] * np.eye(dim)


def precision_factors(covariances: np.ndarray, kind: str) -> np.ndarray:
    """Upper factors U of the precisions, ``P = U Uᵀ``, in the shape of their type."""
    if kind in ("diag", "spherical"):
        return 1.0 / np.sqrt(covariances)
    return np.triu(np.linalg.inv(np.linalg.cholesky(covariances)).swapaxes(-1, -2))


def precisions(factors: np.ndarray, kind: str) -> np.ndarray:
    """Precisions from their factors."""
    return factors @ factors.swapaxes(-1, -2) if kind in ("full", "tied") else factors**2


def theta(weights: np.ndarray, means: np.ndarray, factors: np.ndarray, kind: str) -> Params:
    """θ from scikit-learn's attributes. The weights need not sum to 1: they carry what scores have besides."""
    num, dim = means.shape
    trils = np.tril(np.linalg.inv(in_full(factors, kind, num, dim).swapaxes(1, 2)))
    return Params(*(np.asarray(part, float) for part in (weights, means, trils)))  # pyright: ignore[reportArgumentType]
