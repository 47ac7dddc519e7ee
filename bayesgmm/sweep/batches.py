"""Rows and components in batches, as distributions of NumPyro have them, brought to passes over rows."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp

from bayesgmm.numerics.arrays import Array

EVENTS = (1, 2, 3, 1)
"""Axes of log weights (K), means (K, D), Cholesky factors (K, D, D) and rows (D) behind the batch."""


def over_batches(
    function: Callable, log_weights: Array | None, means: Array, trils: Array, x: Array, shape: tuple[int, ...]
) -> Array:
    """``function(log_weights, means, trils, x)`` for every batch, without repeating work that batches share.

    ``shape`` is that of all rows, to which the leading axes of the others broadcast. Axes along which the components do
    not differ become rows of one call; the others become a `jax.vmap`. Log weights may be left out.

    Returns
    -------
    An array (``shape``, …): the function has the rows as the first axis of its result.
    """
    trils = jnp.broadcast_to(trils, (*trils.shape[:-3], means.shape[-2], *trils.shape[-2:]))  # one for all components
    own = [i for i in range(len(shape)) if max(_size(means, 2, i, shape), _size(trils, 3, i, shape)) > 1]
    order = own + [i for i in range(len(shape)) if i not in own]
    parts = [
        _split(part, num, own, shape)
        for part, num in zip((log_weights, means, trils, x), EVENTS, strict=True)
        if part is not None
    ]
    parts[-3:-1] = (part[:, 0] for part in parts[-3:-1])  # components have no rows
    lanes = [0 if part.shape[0] > 1 else None for part in parts]
    parts = [part if lane == 0 else part[0] for part, lane in zip(parts, lanes, strict=True)]
    mapped = function if lanes.count(None) == len(lanes) else jax.vmap(function, in_axes=lanes)
    found = mapped(*parts)
    tail = found.shape[1 if mapped is function else 2 :]
    found = found.reshape(*(shape[i] for i in order), *tail)
    return jnp.moveaxis(found, range(len(shape)), order)


def _size(part: Array, num_event: int, axis: int, shape: tuple[int, ...]) -> int:
    """Length of a part along an axis of the batch; 1 if it has no such axis."""
    place = axis - (len(shape) - (part.ndim - num_event))
    return part.shape[place] if place >= 0 else 1


def _split(part: Array, num_event: int, own: list[int], shape: tuple[int, ...]) -> Array:
    """A part as (batches of components, rows, …); an axis along which it does not differ has length 1."""
    axes = range(len(shape))
    sizes = [_size(part, num_event, i, shape) for i in axes]
    event = part.shape[part.ndim - num_event :]
    groups = own, [i for i in axes if i not in own]
    lengths = dict.fromkeys(axes, 1)
    for group in groups:
        if any(sizes[i] != 1 for i in group):
            lengths |= {i: shape[i] for i in group}
    part = jnp.broadcast_to(part.reshape(*sizes, *event), (*lengths.values(), *event))
    part = jnp.moveaxis(part, [*groups[0], *groups[1]], axes)
    counts = (math.prod(lengths[i] for i in group) for group in groups)
    return part.reshape(*counts, *event)
