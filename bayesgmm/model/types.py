"""The values that the layers exchange: pytrees, so ``vmap``, ``scan`` and ``shard`` work."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import gram


class Params(NamedTuple):
    """θ: the parameters of a Gaussian mixture. Leading axes ``*b`` are draws, chains or starts."""

    weights: Float[Array, "*b K"]
    means: Float[Array, "*b K D"]
    scale_trils: Float[Array, "*b K D D"]
    """Lower Cholesky factors of the covariances."""

    @property
    def covariances(self) -> Float[Array, "*b K D D"]:
        """Σ_k = L_k L_kᵀ."""
        trils = self.scale_trils
        return trils @ trils.swapaxes(-1, -2) if isinstance(trils, np.ndarray) else gram(trils)

    @classmethod
    def of(cls, weights, means, covariances) -> "Params":
        """Build θ from covariance matrices (NumPy; shapes ``(K,)``, ``(K, D)``, ``(K, D, D)``)."""
        trils = np.linalg.cholesky(np.asarray(covariances, float))
        return cls(np.asarray(weights, float), np.asarray(means, float), trils)


class Stats(NamedTuple):
    """Sufficient statistics: all that an engine gets from one pass over the data."""

    counts: Float[Array, "K"]
    """Σ_n z_nk: the (expected) number of rows in each component."""
    means: Float[Array, "K D"]
    """Mean row of each component."""
    scatters: Float[Array, "K D D"]
    """Scatter of each component about its mean."""
    value: Float[Array, ""]
    """Objective of the pass: the log-likelihood, or the classification log-likelihood if z was maximised."""


class Frame(NamedTuple):
    """Standardised coordinates ``(x - center) / scale``, in which the engines compute."""

    center: Float[Array, "D"]
    scale: Float[Array, "D"]

    @classmethod
    def around(cls, center: np.ndarray, scale: np.ndarray) -> "Frame":
        """A frame near this center and scale with exact arithmetic.

        The scale is a power of 2, and the center is a multiple of the scale. Then ``(x - center) / scale`` is exact,
        unless x has digits below the precision of the center. Data near 0 may have such digits; their center is 0.
        """
        scale = np.exp2(np.round(np.log2(scale)))
        steps = np.round(center / scale)
        return cls(scale * np.where(np.abs(steps) <= 2.0, 0.0, steps), scale)  # pyright: ignore[reportArgumentType]

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Rows (N, D) in the user's units → standardised rows."""
        return (values - self.center) / self.scale

    def standardise(self, params: Params) -> Params:
        """θ in the user's units → θ in standardised coordinates."""
        means = (params.means - self.center) / self.scale
        return Params(params.weights, means, params.scale_trils / self.scale[:, None])

    def restore(self, params: Params) -> Params:
        """θ in standardised coordinates → θ in the user's units (the factor stays lower triangular)."""
        means = params.means * self.scale + self.center
        return Params(params.weights, means, params.scale_trils * self.scale[:, None])

    @property
    def log_volume(self) -> Float[Array, ""]:
        """``log |d user / d standardised|``: subtract it from a log density of one row to get the user's units."""
        xp = np if isinstance(self.scale, np.ndarray) else jnp
        return xp.asarray(xp.log(self.scale).sum())
