"""What counts as an array here: on the device, or on the host."""

import jax
import numpy as np

Array = jax.Array | np.ndarray
"""JAX inside compiled code, NumPy in results; annotations say the shape, as in ``Float[Array, "N D"]``."""
