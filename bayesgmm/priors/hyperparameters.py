"""Hyperparameters as users give them: expanded to full shape, checked, padded and described."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bayesgmm.errors import PriorError
from bayesgmm.numerics.linalg import fault_of_matrix
from bayesgmm.runtime.arguments import as_floats
from bayesgmm.runtime.formatting import array_words


def in_full(name: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    """A hyperparameter in full shape: a number for a matrix means that multiple of the identity.

    Raises
    ------
    PriorError
        If it is not an array of real numbers, or its shape does not fit.
    """
    value = as_floats(f"The prior's {name}", value, PriorError)
    k, d = shape[0], shape[-1]
    if len(shape) == 3:
        if value.ndim == 1:
            raise PriorError(
                f"The prior's {name} must be a number or a matrix of shape ({d}, {d}), got shape {value.shape}."
            )
        if value.shape[-2:] == (1, 1) and d > 1:
            raise PriorError(
                f"The prior's {name} is 1 × 1, but the data have {d} features. Rebuild it, or use 'default'."
            )
        value = np.where(np.eye(d) > 0, value, 0.0) if value.ndim == 0 else value
    try:
        return np.broadcast_to(value, shape).copy()
    except ValueError:
        raise PriorError(
            f"The prior's {name} has shape {value.shape}, which does not fit {k} components"
            f"{f' in {d} dimensions' if len(shape) > 1 else ''}: expected a shape that broadcasts to {shape}. Rebuild "
            "the prior for these data, or use 'default'."
        ) from None


def fault_of_inverse_wishart(df: np.ndarray, scale: np.ndarray) -> str | None:
    """Why ``IW(df, scale)`` is not a probability distribution; None if it is one."""
    dim = scale.shape[-1]
    if (df <= dim - 1).any():
        return f"the inverse-Wishart needs df > D - 1 = {dim - 1}, got {df.min():g}"
    return fault_of_matrix("inverse-Wishart scale", scale)


def pad_components(values: Any, num_components: int) -> np.ndarray:
    """A hyperparameter (K, …) as a new array for more components, with 0 for those beyond K."""
    values = np.asarray(values, float)
    return np.pad(values, [(0, num_components - len(values))] + [(0, 0)] * (values.ndim - 1))


def describe_components(
    hyperparameters: dict[str, Any], lines: Callable[[str, dict[str, Any]], list[str]]
) -> list[str]:
    """Lines for each component. If all have the same hyperparameters, the lines appear once, for k."""
    leaves = [np.asarray(leaf) for leaf in jax.tree.leaves(hyperparameters)]
    same = all((leaf == leaf[:1]).all() for leaf in leaves)
    found = []
    for k in range(1 if same else len(leaves[0])):
        own = jax.tree.map(lambda leaf, k=k: np.asarray(leaf)[k], hyperparameters)
        found += lines("k" if same else str(k), own)
    return found


def as_call(part: Any) -> str:
    """A part of a prior as users write it: its class and fields."""
    fields = part._asdict().items() if hasattr(part, "_asdict") else vars(part).items()
    values = (f"{name} = {as_call(one) if hasattr(one, '_asdict') else array_words(one)}" for name, one in fields)
    return f"{type(part).__name__}({', '.join(values)})"
