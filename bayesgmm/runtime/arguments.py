"""Checks of arguments that many functions take, and the random keys that follow from a seed."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.core import Tracer
from jaxtyping import Key, PRNGKeyArray

from bayesgmm.errors import ArgumentError, BayesGMMError
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.dtypes import neutral
from bayesgmm.runtime.programs import Program

MOST_DRAWS = 2**31 - 1
"""Largest count of steps or draws: what a 32-bit integer holds."""


def shown(value: Any) -> str:
    """A wrong argument in a message: short, on one line, and also if it cannot show itself."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # the repr of a foreign object may fail in any way
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"


def check_count(name: str, value: Any, least: int = 1, most: int | None = MOST_DRAWS, why: str = "") -> int:
    """A count as an int, or an `ArgumentError` if it is no integer, or outside of `least` … `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {shown(value)}.")
    if most is not None and value > most:
        raise ArgumentError(f"{name} must be at most {most}{why and f' ({why})'}, got {shown(value)}.")
    return int(value)


def check_number(
    name: str, value: Any, low: float = -np.inf, high: float = np.inf, *, open_low: bool = False,
    open_high: bool = False,
) -> float:  # fmt: skip
    """A finite real number as a float, or an `ArgumentError` if it is none, or outside of the interval."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    real = real and abs(value) <= np.finfo(float).max
    if not real or not low <= value <= high or (open_low and value == low) or (open_high and value == high):
        ends = f"{'above' if open_low else 'at least'} {low:g}" if low > -np.inf else ""
        ends += " and " if ends and high < np.inf else ""
        ends += f"{'below' if open_high else 'at most'} {high:g}" if high < np.inf else ""
        raise ArgumentError(f"{name} must be a finite number{ends and f' {ends}'}, got {shown(value)}.")
    return float(value)


def check_flag(name: str, value: Any) -> bool:
    """True or False, or an `ArgumentError`."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(f"{name} must be True or False, got {shown(value)}.")
    return bool(value)


def check_choice(name: str, value: Any, choices: Iterable[str], other: str = "") -> str:
    """One of a few words, or an `ArgumentError`. ``other`` says what else the argument may be."""
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(choices)}{other}, got {shown(value)}.")
    return str(value)


def check_names(names: Iterable[str], allowed: Iterable[str], function: str) -> None:
    """Refuse arguments that a function does not take, and list those that it takes."""
    allowed = sorted(allowed)
    unknown = [name for name in names if name not in allowed]
    if unknown:
        takes = f"It takes {', '.join(allowed)}." if allowed else "It takes none."
        raise ArgumentError(f"{function} takes no argument {', '.join(map(shown, unknown))}. {takes}")


def check_memory(what: str, num_bytes: float, advice: str = "Use fewer.") -> None:
    """Refuse an array that this machine has no memory for."""
    if num_bytes > memory():
        raise ArgumentError(
            f"{what} would take about {num_bytes / 2**30:,.0f} GB, more than this machine has. {advice}"
        )


def memory() -> float:
    """Memory of this machine, in bytes; infinite if unknown."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return float("inf")


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


def as_path(name: str, value: Any) -> Path:
    """A path from a string or a path, or an `ArgumentError`."""
    try:
        text = os.fspath(value)
    except TypeError:
        text = None
    if not isinstance(text, str) or not text or "\0" in text:
        raise ArgumentError(f"{name} must be a path, as a string or pathlib.Path, got {shown(value)}.")
    return Path(text)


def as_key(seed: Any) -> PRNGKeyArray:
    """A JAX key from an int, a JAX key (typed or raw) or a ``numpy.random.SeedSequence``.

    The generator is always threefry. From a key of another generator its words are taken.

    Raises
    ------
    ArgumentError
        If it is none of these, or an array of keys.
    """
    if isinstance(seed, (int, np.integer)) and not isinstance(seed, bool):
        number = int(seed) % 2**63
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
