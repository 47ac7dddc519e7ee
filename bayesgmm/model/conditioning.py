"""Marginals and conditionals of Gaussian components on the host (NumPy), for draws of θ: leading axes ``*b``.

Both come from one triangular factor of the chosen features, which a QR decomposition of rows of the Cholesky factor
gives: no covariance is formed or inverted. Bishop (2006), section 2.3.
"""

import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from bayesgmm.model.types import Params


def marginal(params: Params, kept: list[int]) -> Params:
    """θ of the features ``kept``, in this order: ``N(μ_a, Σ_aa)`` for each component (Bishop 2006, eq. 2.98)."""
    return Params(params.weights, params.means[..., kept], _factor(np.asarray(params.scale_trils), kept))


class Split(NamedTuple):
    """Each component as ``p(x_a) p(x_b | x_a)``: given features a, target features b."""

    given: Params
    """Weights, means and factors of the given features: the factor is L_aa."""
    target_means: Float[np.ndarray, "*b K T"]
    slopes: Float[np.ndarray, "*b K T A"]
    """``L_ba = Σ_ba L_aaᵀ⁻¹``: slopes on the whitened given features."""
    target_trils: Float[np.ndarray, "*b K T T"]
    """``L_bb``, with ``L_bb L_bbᵀ = Σ_bb - Σ_ba Σ_aa⁻¹ Σ_ab`` (Bishop 2006, eq. 2.82)."""

    def at(self, x: Float[np.ndarray, "N A"]) -> tuple[np.ndarray, np.ndarray]:
        """``log p(x_a, z = k)`` (*b, K, N) and the conditional means (*b, K, T, N) of eq. 2.81, for rows of x_a."""
        trils = np.asarray(self.given.scale_trils)
        z = whitened(trils, _centred(self.given, x))
        means = self.target_means[..., None] + np.einsum("...ta,a...n->...tn", self.slopes, z)
        return _with_weights(np.asarray(self.given.weights), log_normal(trils, z)), means


def split(params: Params, given: list[int], target: list[int]) -> Split:
    """The components of θ split into the features ``given`` and ``target``; other features are integrated out."""
    num = len(given)
    factor, means = _factor(np.asarray(params.scale_trils), [*given, *target]), np.asarray(params.means)
    known = Params(params.weights, means[..., given], factor[..., :num, :num])
    return Split(known, means[..., target], factor[..., num:, :num], factor[..., num:, num:])


def log_joint(params: Params, x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "*b K N"]:
    """``log π_k + log N(x_n; μ_k, Σ_k)`` under every draw; -inf for a weight of 0."""
    trils = np.asarray(params.scale_trils)
    return _with_weights(np.asarray(params.weights), log_normal(trils, whitened(trils, _centred(params, x))))


def log_normal(trils: np.ndarray, z: Float[np.ndarray, "D *b K N"]) -> Float[np.ndarray, "*b K N"]:
    """Log density of Gaussians with these factors, at rows that are whitened."""
    log_volumes = np.log(np.diagonal(trils, axis1=-2, axis2=-1)).sum(axis=-1) + 0.5 * len(z) * math.log(2 * math.pi)
    with np.errstate(over="ignore"):
        return -log_volumes[..., None] - 0.5 * np.square(z).sum(axis=0)


def whitened(trils: np.ndarray, residuals: Float[np.ndarray, "D *b K N"]) -> Float[np.ndarray, "D *b K N"]:
    """``L_k⁻¹ (x_n - μ_k)`` by forward substitution, which overwrites the residuals."""
    for d in range(len(residuals)):
        if d:
            residuals[d] -= np.einsum("...e,e...n->...n", trils[..., d, :d], residuals[:d])
        residuals[d] /= trils[..., d, d, None]
    return residuals


def _centred(params: Params, x: Float[np.ndarray, "N D"]) -> Float[np.ndarray, "D *b K N"]:
    return np.stack([x[:, d] - params.means[..., d, None] for d in range(x.shape[1])])


def _with_weights(weights: np.ndarray, logs: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        return np.log(weights)[..., None] + logs


def log_sum(values: np.ndarray, axis: int | tuple[int, ...]) -> np.ndarray:
    """``log Σ exp``; -inf where all are."""
    top = values.max(axis=axis, keepdims=True)
    top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.log(np.exp(values - top).sum(axis=axis)) + top.squeeze(axis)


def _factor(trils: np.ndarray, features: list[int]) -> np.ndarray:
    """Lower Cholesky factor of the covariance of these features, in this order."""
    upper = np.linalg.qr(trils[..., features, :].swapaxes(-1, -2), mode="r")
    signs = np.sign(np.diagonal(upper, axis1=-2, axis2=-1))
    return np.tril((upper * signs[..., :, None]).swapaxes(-1, -2))
