"""Arguments of distributions: shapes that must match, arrays of one precision."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, inverse_tril, transposed
from bayesgmm.runtime.arguments import as_floats

MATRICES = ("covariance_matrix", "precision_matrix", "scale_tril")
Shape = tuple[int, ...]


def one_of(**given: Any) -> dict[str, Any]:
    """The one argument that is given, as an array, or an `ArgumentError`."""
    found = {name: value for name, value in given.items() if value is not None}
    if len(found) != 1:
        what = " and ".join(found) if found else "none of them"
        raise ArgumentError(f"Give exactly one of {', '.join(given)}: you gave {what}.")
    return {name: array(name, value) for name, value in found.items()}


def array(name: str, value: Any) -> Any:
    """Real numbers as an array, of JAX or of NumPy as they are given, or an `ArgumentError`."""
    if not isinstance(value, jax.Array):
        array = as_floats(name, value)
        return array.astype(value.dtype) if isinstance(value, np.ndarray) and value.dtype.kind == "f" else array
    if not (jnp.issubdtype(value.dtype, jnp.floating) or jnp.issubdtype(value.dtype, jnp.integer)):
        raise ArgumentError(f"{name} must be an array of real numbers, got {value.dtype}.")
    return value


def shapes_of(shapes: dict[str, Shape]) -> tuple[Shape, Shape]:
    """Batch and event shape.

    Raises
    ------
    ArgumentError
        If shapes do not match; the message says which.
    """
    means = shapes["means"]
    if len(means) < 2 or 0 in means[-2:]:
        raise ArgumentError(f"means must have the shape (…, K, D), got {means}.")
    num, dim = means[-2:]
    batches = {"means": means[:-2]}
    for name, shape in shapes.items():
        if name in MATRICES:
            if shape[-3:] not in ((num, dim, dim), (1, dim, dim)):
                raise ArgumentError(
                    f"{name} has shape {shape}; beside means of shape {means} it must be (…, {num}, {dim}, {dim}), or "
                    f"(…, 1, {dim}, {dim}) for one matrix that all components share."
                )
            batches[name] = shape[:-3]
        elif name != "means":
            if shape[-1:] != (num,):
                raise ArgumentError(f"{name} has shape {shape}; beside means of shape {means} it must be (…, {num}).")
            batches[name] = shape[:-1]
    try:
        return np.broadcast_shapes(*batches.values()), (dim,)
    except ValueError:
        found = ", ".join(f"{name} {shape}" for name, shape in batches.items())
        raise ArgumentError(f"The batch axes do not broadcast: {found}.") from None


def broadcast(name: str, shape: Shape, batch: Shape) -> Shape:
    """The common batch shape, or an `ArgumentError` with the name of what does not match."""
    try:
        return np.broadcast_shapes(shape, batch)
    except ValueError:
        raise ArgumentError(f"The batch axes {shape} of {name} do not broadcast with {batch}.") from None


def floats(value: Any) -> Array:
    """Floating-point numbers as an array of JAX, in the precision of its configuration."""
    with np.errstate(over="ignore"):  # beyond the precision: infinite
        value = jnp.asarray(value)
    return value if jnp.issubdtype(value.dtype, jnp.floating) else value.astype(float)


def alike(*parts: Any) -> list[Array]:
    """Arrays of one precision: that of JAX's promotion."""
    arrays = [floats(part) for part in parts]
    return [array.astype(jnp.result_type(*arrays)) for array in arrays]


def tril_of_precision(matrix: Array) -> Array:
    """Lower Cholesky factor of the inverse: the inverse of U with ``U Uᵀ`` the matrix, transposed."""
    return inverse_tril(transposed(cholesky(matrix[..., ::-1, ::-1])[..., ::-1, ::-1]))


def of_class(parts: Array, z: Array, num_event: int) -> Array:
    """What belongs to class z, (…, K, event) → (…, event)."""
    axis = -num_event - 1
    parts = parts.reshape((1,) * (z.ndim - (parts.ndim - num_event - 1)) + parts.shape)
    return jnp.squeeze(jnp.take_along_axis(parts, z.reshape(z.shape + (1,) * (num_event + 1)), axis=axis), axis)
