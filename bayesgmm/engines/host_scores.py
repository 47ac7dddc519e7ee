"""Scores of few rows in NumPy, by which starts and moves are chosen: nothing is compiled."""

import numpy as np
from jaxtyping import Float

from bayesgmm.model.types import Params


def log_joint(params: Params, x: np.ndarray) -> Float[np.ndarray, "K N"]:
    """``log π_k + log N(x_n; μ_k, Σ_k)`` without its constant, of complete rows (N, D)."""
    with np.errstate(divide="ignore"):
        logs = np.log(params.weights) - np.log(np.diagonal(params.scale_trils, axis1=1, axis2=2)).sum(axis=1)
    white = np.linalg.inv(params.scale_trils) @ (x.T - params.means[:, :, None])
    return logs[:, None] - 0.5 * np.einsum("kdn,kdn->kn", white, white)


def log_sum(scores: np.ndarray) -> np.ndarray:
    """Log of the sum of exponentials over the first axis."""
    top = scores.max(axis=0)
    return top + np.log(np.exp(scores - top).sum(axis=0))
