"""Double precision inside the package, without changing the user's JAX configuration."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.errors import ArgumentError


def scope(dtype: str | type | np.dtype = "float64") -> AbstractContextManager:
    """Open a scope in which JAX computes in `dtype` (``"float64"`` or ``"float32"``).

    The scope ends with the ``with`` block; ``jax.config`` outside it does not change. Compiled functions are cached
    separately for each precision, so neither evicts the other.
    """
    name = np.dtype(dtype).name
    if name not in ("float64", "float32"):
        raise ArgumentError(f"dtype must be 'float64' or 'float32', got {name!r}.")
    return jax.enable_x64(name == "float64")


def to_numpy(tree):
    """Move a pytree of JAX arrays to the host, so that doubles keep their precision after the scope ends."""
    return jax.tree.map(np.asarray, tree)


def on_device(tree, dtype: str):
    """A pytree on the device: floating-point leaves in `dtype`, others unchanged."""

    def put(leaf):
        if isinstance(leaf, jax.Array):
            return leaf.astype(dtype) if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf
        leaf = np.asarray(leaf)
        return jax.device_put(leaf.astype(dtype) if np.issubdtype(leaf.dtype, np.floating) else leaf)

    return jax.tree.map(put, tree)


def double_on_host[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Make a pure JAX function compute in double precision for NumPy arguments.

    With JAX arrays (or under ``jit``, ``grad``, ``vmap``), the function runs unchanged, in the precision of its
    arguments. With NumPy arrays or lists only, it runs in double precision and returns NumPy arrays.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        leaves = jax.tree.leaves((args, kwargs))
        if any(isinstance(leaf, jax.Array) and not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
               for leaf in leaves):  # fmt: skip
            return function(*args, **kwargs)
        with scope("float64"):
            return to_numpy(function(*args, **kwargs))

    return wrapped
