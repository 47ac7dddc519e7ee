"""Arrays and seeds as arguments, and the random keys of a seed; for simple values see `bayesgmm.runtime.checks`."""

import zlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Key, PRNGKeyArray

from bayesgmm.errors import ArgumentError, BayesGMMError
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.checks import as_list as as_list
from bayesgmm.runtime.checks import check_choice as check_choice
from bayesgmm.runtime.checks import check_count as check_count
from bayesgmm.runtime.checks import check_flag as check_flag
from bayesgmm.runtime.checks import check_names as check_names
from bayesgmm.runtime.checks import check_number as check_number
from bayesgmm.runtime.checks import shown as shown
from bayesgmm.runtime.dtypes import neutral
from bayesgmm.runtime.memory import memory
from bayesgmm.runtime.programs import Program


def check_memory(what: str, num_bytes: float, advice: str = "Use fewer.") -> None:
    """Refuse an array that this machine has no memory for."""
    if num_bytes > memory():
        raise ArgumentError(
            f"{what} would take about {num_bytes / 2**30:,.0f} GB, more than this machine has. {advice}"
        )


def as_array(name: str, value: Any, error: type[BayesGMMError] = ArgumentError) -> np.ndarray:
    """An array on the host, or an `error` if the value is ragged or no array at all."""
    try:
        with neutral():
            return np.asarray(value)
    except Exception as problem:  # foreign objects fail in their own ways
        raise error(f"{name} is no array ({shown(problem)}).") from None


def as_floats(name: str, value: Any, error: type[BayesGMMError] = ArgumentError) -> np.ndarray:
    """Real numbers as an array of doubles, or an `error` if they are text, complex, ragged or anything else."""
    array = as_array(name, value, error)
    if array.dtype.kind not in "fiu" or np.ma.is_masked(value):
        raise error(f"{name} must be a number or an array of real numbers, got {shown(value)}.")
    return array.astype(float)


def as_key(seed: Any) -> PRNGKeyArray:
    """A JAX key from an int of any size, a JAX key (typed or raw) or a ``numpy.random.SeedSequence``.

    The generator is always threefry. From a key of another generator its words are taken.

    Raises
    ------
    ArgumentError
        If it is none of these, or an array of keys.
    """
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        number = int(seed)
        if not 0 <= number < 2**63:  # a word of its own for the sign
            return as_key(np.random.SeedSequence([int(number < 0), abs(number)]))
        return _KEY(np.array([number >> 32, number & 0xFFFFFFFF], np.uint32))
    if isinstance(seed, np.random.SeedSequence):
        return _KEY(seed.generate_state(2, np.uint32))
    if isinstance(seed, Tracer):  # a key in compiled code
        return seed
    words = _words_of(seed)
    if words is None:
        raise ArgumentError(f"seed must be an int, one JAX key or a numpy.random.SeedSequence, got {shown(seed)}.")
    return _KEY(words if len(words) == 2 else np.random.SeedSequence(words.tolist()).generate_state(2, np.uint32))


def _words_of(seed: Any) -> np.ndarray | None:
    """The words of one JAX key; None if it is no key."""
    if not isinstance(seed, (jax.Array, np.ndarray)):
        return None
    with neutral():
        if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
            return np.asarray(jr.key_data(seed)).ravel() if seed.shape == () else None
        return np.asarray(seed) if seed.dtype == np.uint32 and seed.shape in ((2,), (4,)) else None


def choose_rows(num_rows: int, most: int, key: Any) -> np.ndarray | None:
    """Numbers of a random sample of `most` rows, in order; None stands for all rows, if there are no more."""
    return None if num_rows <= most else np.sort(host_generator(key).choice(num_rows, most, replace=False))


def split_key(key: PRNGKeyArray, num: int = 2) -> tuple[PRNGKeyArray, ...]:
    """`num` independent keys, as ``jax.random.split`` gives them. On the host, where each operation is a program."""
    return _SPLIT(key, num=num)


def key_array(key: PRNGKeyArray, num: int) -> Key[Array, "num"]:
    """`num` independent keys as one array, as ``jax.random.split`` gives them."""
    return _KEYS(key, num=num)


def derived_key(key: PRNGKeyArray, number: int) -> PRNGKeyArray:
    """A key of its own for each number, as ``jax.random.fold_in`` gives it."""
    return _FOLD(key, np.asarray(number, np.uint32))


def named_key(key: PRNGKeyArray, name: str) -> PRNGKeyArray:
    """A key of its own for each name, the same in every process."""
    return derived_key(key, zlib.crc32(name.encode()))


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


def _key(words: Any) -> PRNGKeyArray:
    return jr.wrap_key_data(words, impl="threefry2x32")


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
