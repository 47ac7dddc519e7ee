"""Double precision inside our calls, without touching the user's JAX configuration."""

import functools
from collections.abc import Callable
from contextlib import AbstractContextManager

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.errors import ArgumentError


def scope(dtype: str | type | np.dtype = "float64") -> AbstractContextManager:
    """Open a scope in which JAX computes in `dtype` (``"float64"`` or ``"float32"``).

    The scope ends with the ``with`` block; ``jax.config`` outside it is untouched. Compiled functions
    are keyed on the scope, so neither precision evicts the other.
    """
    name = np.dtype(dtype).name
    if name not in ("float64", "float32"):
        raise ArgumentError(f"dtype must be 'float64' or 'float32', got {name!r}.")
    return jax.enable_x64(name == "float64")


def to_numpy(tree):
    """Hand a pytree of JAX arrays to the host, so that doubles survive the end of the scope."""
    return jax.tree.map(np.asarray, tree)


def on_device(tree, dtype: str):
    """A pytree on the device: floating-point leaves in `dtype`, others as they are."""

    def put(leaf):
        leaf = leaf if isinstance(leaf, jax.Array) else np.asarray(leaf)
        return jnp.asarray(leaf, dtype if jnp.issubdtype(leaf.dtype, jnp.floating) else leaf.dtype)

    return jax.tree.map(put, tree)


def double_on_host[**P, R](function: Callable[P, R]) -> Callable[P, R]:
    """Let a pure JAX function serve NumPy callers in double precision.

    Called with JAX arrays (or under ``jit``, ``grad``, ``vmap``) the function runs as written, in the caller's own
    precision. Called with NumPy arrays or lists only, it runs in double and returns NumPy arrays.
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
