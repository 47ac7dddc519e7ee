"""The array type of the package: a JAX array on the device, or a NumPy array on the host."""

import jax
import numpy as np

Array = jax.Array | np.ndarray
"""JAX inside compiled code, NumPy in results. Annotations give the shape, as in ``Float[Array, "N D"]``."""

LARGEST, SMALLEST = 1e150, 1e-150
"""Values of this size and sds below this size are refused: their squares, added up, leave double precision."""


def sd(values: np.ndarray, axis: int | tuple[int, ...] | None = None, ddof: int = 0) -> np.ndarray:
    """The standard deviation, exactly 0 where all values are equal: their rounded mean may be another number."""
    return np.where(np.ptp(values, axis=axis) == 0, 0.0, values.std(axis=axis, ddof=ddof))
