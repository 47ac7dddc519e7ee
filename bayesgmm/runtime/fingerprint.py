"""Short descriptions of arrays and functions that another process can compare."""

import hashlib
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from bayesgmm.errors import CheckpointError
from bayesgmm.runtime.arguments import as_key


def fingerprint(*trees: Any) -> str:
    """A short hash of arrays (values, shapes and dtypes), of functions and classes (names), and of their structure.

    Raises
    ------
    CheckpointError
        If a part is neither, because another process could not identify it.
    """
    digest = hashlib.sha256(str(jax.tree.structure(trees)).encode())  # with the names of its classes
    for leaf in jax.tree.leaves(trees):
        if callable(leaf):
            digest.update(full_name(leaf).encode())
            continue
        array = np.ascontiguousarray(plain(leaf))
        if array.dtype.hasobject:
            raise CheckpointError(
                f"A checkpoint cannot identify an object of type {type(leaf).__name__}. Run without a checkpoint."
            )
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def fingerprint_of_seed(seed: Any) -> Any:
    """A seed that another process can compare: an int as it is, and a key or sequence by its key."""
    return int(seed) if isinstance(seed, int | np.integer) else fingerprint(as_key(seed))


def full_name(function: Callable) -> str:
    """Module and qualified name of a function or class, so that another process can identify it.

    Raises
    ------
    CheckpointError
        If it has no name.
    """
    name = getattr(function, "__qualname__", None)
    if name is None or "<lambda>" in name:
        raise CheckpointError(
            f"A checkpoint must identify {function!r} by name, and it has none. Define it with def or class."
        )
    return f"{function.__module__}.{name}"


def plain(leaf: Any) -> np.ndarray:
    """A leaf as an array on the host; of a random key, its words."""
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jr.key_data(leaf)
    return np.asarray(leaf)
