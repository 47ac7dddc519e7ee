"""A pass over the rows with arrays of K_max components, that looks only at those in use.

The pass is compiled at a few sizes. Each pass takes the smallest that holds the K components; in a batch, that of the
largest K.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Int, PRNGKeyArray

from bayesgmm.model.mixture import PaddedScorer, Scorer
from bayesgmm.model.types import Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.sweep.kinds_of_rows import Rows

SMALLEST_SIZE, FACTOR = 12, 3
"""The sizes are 12, 36, 108, … and K_max."""


def sizes_up_to(most: int) -> tuple[int, ...]:
    """Numbers of components at which a pass is compiled."""
    sizes = [SMALLEST_SIZE * FACTOR**power for power in range(8)]
    return (*(size for size in sizes if size < most), most)


def sweep_in_use(sweep: Callable[..., Stats], key: PRNGKeyArray, padded: PaddedScorer, rows: Rows) -> Stats:
    """The statistics of ``sweep(key, scorer, rows)``; those of components that are not in use are 0."""
    most = len(padded.scorer.offsets)
    sizes = sizes_up_to(most)
    if len(sizes) == 1:
        return sweep(key, padded.scorer, rows)
    passes = [_of_first(size, most, sweep) for size in sizes]

    def choose(num: Int[Array, ""]) -> Int[Array, ""]:
        return jnp.searchsorted(jnp.asarray(sizes[:-1]), num)

    @custom_vmap
    def call(key, padded, rows):
        return lax.switch(choose(padded.num_components), passes, key, padded.scorer, rows)

    @call.def_vmap
    def _(axis_size, in_batched, key, padded, rows):
        axes = jax.tree.map(lambda batched: 0 if batched else None, in_batched)
        axes = (axes[0], axes[1].scorer, axes[2])
        lanes = [jax.vmap(one, in_axes=axes, axis_size=axis_size) for one in passes]
        stats = lax.switch(choose(jnp.max(padded.num_components)), lanes, key, padded.scorer, rows)
        return stats, jax.tree.map(lambda _: True, stats)

    return call(key, padded, rows)


def _of_first(size: int, most: int, sweep: Callable[..., Stats]) -> Callable[..., Stats]:
    def of_first(key: PRNGKeyArray, scorer: Scorer, rows: Rows) -> Stats:
        stats = sweep(key, Scorer(*(part[:size] for part in scorer)), rows)
        counts, means, scatters = (_padded(part, most - size) for part in stats[:3])
        return Stats(counts, means, scatters, stats.value)

    return of_first


def _padded(array: Array, added: int) -> Array:
    return jnp.pad(array, [(0, added), *[(0, 0)] * (array.ndim - 1)])
