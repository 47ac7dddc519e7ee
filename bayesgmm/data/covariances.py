"""Checks of the covariances of errors of measurement."""

import numpy as np

from bayesgmm.errors import ArgumentError


def refuse_indefinite(covariances: np.ndarray) -> None:
    """Refuse covariances (N, D, D) that are not symmetric or not positive semi-definite."""
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    size = np.sqrt(np.maximum(variances, 0.0))
    scale = np.where(size > 0, size, 1.0)
    inner = covariances / (scale[:, :, None] * scale[:, None, :])
    lopsided = np.abs(inner - inner.swapaxes(1, 2)).max(axis=(1, 2)) > 1e-6
    bad = lopsided | (np.linalg.eigvalsh(0.5 * (inner + inner.swapaxes(1, 2)))[:, 0] < -1e-8)
    if bad.any():
        row, why = int(np.flatnonzero(bad)[0]), "symmetric" if lopsided.any() else "positive semi-definite"
        raise ArgumentError(
            f"{bad.sum()} covariances of errors are not {why} (the first: row {row}). Check their units and order."
        )
