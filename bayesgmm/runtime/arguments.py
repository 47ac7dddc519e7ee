"""Checks of arguments that many functions take (counts and seeds), and the random keys that follow from a seed."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Key, PRNGKeyArray

from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program


def check_count(name: str, value: Any, least: int = 1) -> None:
    """Raise `ArgumentError` if a count is not an integer or is below `least`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {value!r}.")


def as_key(seed) -> PRNGKeyArray:
    """A JAX key from an int, or the given key (typed, or raw with two words)."""
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        with scope("float64"):  # otherwise only 32 bits of the seed would be kept
            return _KEY(np.asarray(int(seed) % 2**63))
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    if np.shape(seed) == (2,):
        return jr.wrap_key_data(jnp.asarray(seed, jnp.uint32))
    raise ArgumentError(f"seed must be an int or a JAX key, got {seed!r}.")


def split_key(key: PRNGKeyArray, num: int = 2) -> tuple[PRNGKeyArray, ...]:
    """`num` independent keys, as ``jax.random.split`` gives them. On the host, where each operation is a program."""
    return _SPLIT(key, num=num)


def key_array(key: PRNGKeyArray, num: int) -> Key[Array, "num"]:
    """`num` independent keys as one array, as ``jax.random.split`` gives them."""
    return _KEYS(key, num=num)


def derived_key(key: PRNGKeyArray, number: int) -> PRNGKeyArray:
    """A key of its own for each number, as ``jax.random.fold_in`` gives it."""
    return _FOLD(key, np.asarray(number, np.uint32))


def host_generator(key: PRNGKeyArray) -> np.random.Generator:
    """A NumPy generator with its seed from a JAX key."""
    return np.random.default_rng(np.asarray(jr.key_data(key)))


class Keys(NamedTuple):
    """The independent keys of one call of an engine."""

    start: PRNGKeyArray
    """For the starts."""
    run: PRNGKeyArray
    """For the draws, or the random part of the run."""
    tree: PRNGKeyArray
    """For the predictive groups of the DataTree."""


def _split(key: PRNGKeyArray, num: int) -> tuple[PRNGKeyArray, ...]:
    return tuple(jr.split(key, num))


def _key(seed: Any) -> PRNGKeyArray:
    return jr.key(seed)


def _keys(key: PRNGKeyArray, num: int) -> Key[Array, "num"]:
    return jr.split(key, num)


def _fold(key: PRNGKeyArray, number: Any) -> PRNGKeyArray:
    return jr.fold_in(key, number)


_KEY = Program(_key)
_SPLIT = Program(_split, static=("num",))
_KEYS = Program(_keys, static=("num",))
_FOLD = Program(_fold)


def split_seed(seed: Any) -> Keys:
    """Split a seed into the keys of one call."""
    return Keys(*split_key(as_key(seed), 3))
