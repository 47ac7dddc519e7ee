"""Double precision inside the package, and JAX's other settings as the package needs them, whatever users have set."""

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer

from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.checks import shown
from bayesgmm.runtime.fork import refuse_fork

try:
    from jax._src.core import trace_state_clean
except ImportError:  # private to JAX

    def trace_state_clean() -> bool:
        """Whether no function is being traced: not known in this version."""
        return True


NEUTRAL = {
    "debug_nans": False, "debug_infs": False, "debug_key_reuse": False, "check_tracer_leaks": False,
    "disable_jit": False, "numpy_dtype_promotion": "standard", "numpy_rank_promotion": "allow",
    "default_prng_impl": "threefry2x32", "threefry_partitionable": True, "enable_custom_prng": False,
    "legacy_prng_key": "allow", "transfer_guard_host_to_device": "allow", "transfer_guard_device_to_host": "allow",
    "transfer_guard_device_to_device": "allow",
}  # fmt: skip
"""Settings of JAX that would stop correct code (NaN and ∞ occur on purpose) or change the results for a seed.

The names are those of JAX's context managers; its options have the prefix ``jax_``.
"""
_OPTIONS = tuple(f"jax_{name}" for name in NEUTRAL)
ERRSTATE = {"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"}
"""NumPy's reaction to floating-point errors, as it is by default."""


@contextmanager
def neutral() -> Iterator[None]:
    """Open a scope with `NEUTRAL` settings of JAX and NumPy. What the user has set is back at its end.

    Only what differs is set, because each setting that is entered costs a microsecond.
    """
    now = [getattr(jax.config, option, None) for option in _OPTIONS]
    differing = [name for name, value in zip(NEUTRAL, now, strict=True) if value not in (None, NEUTRAL[name])]
    if not differing and np.geterr() == ERRSTATE:
        yield
        return
    with ExitStack() as stack:
        for name in differing:
            stack.enter_context(getattr(jax, name)(NEUTRAL[name]))
        stack.enter_context(np.errstate(**ERRSTATE))  # pyright: ignore[reportArgumentType]
        yield


@contextmanager
def scope(dtype: str | type | np.dtype = "float64") -> Iterator[str]:
    """Open a scope in which JAX computes in `dtype`, with `neutral` settings. It yields ``"float64"`` or ``"float32"``.

    The scope ends with the ``with`` block; ``jax.config`` outside it does not change. Compiled functions are cached
    separately for each precision, so neither evicts the other.

    Raises
    ------
    ArgumentError
        If `dtype` is neither.
    ForkError
        If this process was forked while JAX was running.
    """
    name = check_dtype(dtype)
    refuse_fork()
    with neutral(), jax.enable_x64(name == "float64"):
        yield name


def check_dtype(dtype: object) -> str:
    """The name of a precision, or an `ArgumentError`."""
    try:
        kind = np.dtype(dtype)  # pyright: ignore[reportArgumentType, reportCallIssue]
    except Exception:  # foreign objects fail in their own ways
        kind = None
    if (
        not isinstance(dtype, (str, type, np.dtype))
        or kind is None
        or kind.name not in ("float64", "float32")
        or not kind.isnative
    ):
        raise ArgumentError(f"dtype must be 'float64' or 'float32', got {shown(dtype)}.")
    return kind.name


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
    arguments and under the user's settings. With NumPy arrays, lists or numbers only, it runs in a `scope` and returns
    NumPy arrays.
    """

    @functools.wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> R:
        if on_device_already((args, kwargs)):
            args, kwargs = in_users_precision((args, kwargs))
            return function(*args, **kwargs)
        with scope("float64"):
            return to_numpy(function(*args, **kwargs))

    return wrapped


def in_users_precision[T](tree: T) -> T:
    """Doubles of NumPy as arrays of JAX where it has single precision only, so that their dtype is asked of nothing."""
    if jax.config.jax_enable_x64:
        return tree
    return jax.tree.map(
        lambda leaf: jnp.asarray(leaf) if isinstance(leaf, np.ndarray) and leaf.dtype == np.float64 else leaf, tree
    )


def on_device_already(tree: object) -> bool:
    """Whether a tree of arguments holds arrays of JAX other than keys, or a function is being traced."""
    if not trace_state_clean():
        return True
    leaves = jax.tree.leaves(tree)
    return any(isinstance(leaf, Tracer) or (isinstance(leaf, jax.Array) and not is_key(leaf)) for leaf in leaves)


def is_key(array: jax.Array) -> bool:
    """Whether an array is a JAX key, typed or raw."""
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key) or array.dtype == np.uint32
