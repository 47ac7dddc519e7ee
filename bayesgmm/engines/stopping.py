"""When an ascent is over: what is left of it is estimated to be below the tolerance, or below rounding."""

import jax.numpy as jnp

from bayesgmm.numerics.arrays import Array
from bayesgmm.sweep.rows import Rows


def rounding(objective: Array, rows: Rows) -> Array:
    """The least difference that a sum of this size, over so many rows, can show."""
    return 16.0 * jnp.finfo(rows.dtype).eps * (jnp.abs(objective) + rows.capacity)


def aitken_settled(gain: Array, last_gain: Array, tol: Array) -> Array:
    """Whether Aitken's estimate of what is left is below ``tol`` (Böhning et al. 1994).

    With gains that shrink by a ratio a, what is left is gain · a / (1 - a). NaN never settles.
    """
    ratio = gain / last_gain
    left = gain * ratio / (1.0 - ratio)
    return jnp.isfinite(last_gain) & (ratio >= 0.0) & (ratio < 1.0) & (gain >= 0.0) & (left < tol)
