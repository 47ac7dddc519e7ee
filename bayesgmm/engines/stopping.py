"""Stopping criteria of an ascent: the remaining gain is estimated to be below the tolerance, or below rounding."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from bayesgmm.numerics.arrays import Array


def rounding(objective, num_rows, dtype):
    """The smallest difference that a sum of this size over this many rows can resolve; host or device."""
    return 16.0 * np.finfo(dtype).eps * (abs(objective) + num_rows)


def aitken_settled(gain, last_gain, tol) -> Bool[Array, ""]:
    """Whether the Aitken estimate of the remaining gain is below ``tol`` (Böhning et al. 1994).

    If gains shrink by a ratio a, the remaining gain is gain · a / (1 - a). With NaN the result is False.
    """
    ratio = gain / last_gain
    left = gain * ratio / (1.0 - ratio)
    return jnp.isfinite(last_gain) & (ratio >= 0.0) & (ratio < 1.0) & (gain >= 0.0) & (left < tol)
