"""The one pass over the data. Everything that touches rows happens here, and only here.

A chunk of rows becomes scores, scores become assignments, and assignments are added up into statistics, so that an
N × K array never exists. The residuals are whitened per component before they are squared, so that a cluster much
tighter than its distance from the centre loses no digits.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.arrays import Array
from bayesgmm.mixture import Scorer
from bayesgmm.types import Frame, Stats

CHUNK = 4096
"""Rows per chunk: small enough for the scores of a chunk to stay in cache, large enough to hide the loop."""

Assign = Callable[[PRNGKeyArray, Float[Array, "K n"]], tuple[Float[Array, "K n"], Float[Array, "n"]]]
"""Scores → (assignments z, the row's share of the objective)."""


class Rows(NamedTuple):
    """The data in the layout of the sweep: chunks of feature-major rows, in standardised coordinates."""

    x: Float[Array, "C D n"]
    mask: Float[Array, "C n"]
    """1 for a row, 0 for the padding of the last chunk."""


def to_rows(x: np.ndarray, frame: Frame, dtype: str | type = np.float64, chunk: int = CHUNK) -> Rows:
    """Standardise (N, D) host data into `Rows`: one copy of the data, handed to the CPU device without another."""
    num, dim = x.shape
    width = min(num, chunk)
    chunks = -(-num // width)
    blocks = _aligned((chunks, dim, width), dtype)
    mask = _aligned((chunks, width), dtype)
    for i in range(chunks):
        block = (x[i * width : (i + 1) * width] - frame.center) / frame.scale
        blocks[i, :, : len(block)] = block.T
        blocks[i, :, len(block) :] = 0.0
        mask[i] = np.arange(width) < len(block)
    return Rows(jax.device_put(blocks), jax.device_put(mask))


def _aligned(shape: tuple[int, ...], dtype) -> np.ndarray:
    """Uninitialised array on a 64-byte boundary, which JAX's CPU device adopts instead of copying."""
    size = int(np.prod(shape)) * np.dtype(dtype).itemsize
    raw = np.empty(size + 64, np.uint8)
    start = -raw.ctypes.data % 64
    return raw[start : start + size].view(dtype).reshape(shape)


@partial(jax.jit, static_argnames="assign")
def sweep(key: PRNGKeyArray, scorer: Scorer, rows: Rows, assign: Assign) -> Stats:
    """One pass: rows → scores → assignments → statistics of each component, and the pass's objective."""

    def chunk_sums(index, x, mask):
        y = scorer.residuals(x)
        z, value = assign(jr.fold_in(key, index), scorer.scores(y))
        z = z * mask
        weighted = z[:, None, :] * y
        second = jnp.einsum("kdn,ken->kde", weighted, y, precision=lax.Precision.HIGHEST)
        # where, not a product: the objective of a padded row may be -inf.
        return z.sum(1), weighted.sum(2), second, jnp.sum(jnp.where(mask > 0, value * mask, 0.0))

    chunks = rows.x.shape[0]
    if chunks == 1:
        sums = chunk_sums(0, rows.x[0], rows.mask[0])
    else:
        start = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(chunk_sums, 0, rows.x[0], rows.mask[0])
        )
        sums, _ = lax.scan(
            lambda total, chunk: (jax.tree.map(jnp.add, total, chunk_sums(*chunk)), None),
            start,
            (jnp.arange(chunks), rows.x, rows.mask),
        )
    return _from_whitened(scorer, *sums)


def _from_whitened(scorer: Scorer, counts, first, second, value) -> Stats:
    """Carry sums of whitened residuals back to the coordinates of the data."""
    safe = jnp.where(counts > 0, counts, 1.0)
    mean = first / safe[:, None]
    centred = second - counts[:, None, None] * (mean[:, :, None] * mean[:, None, :])
    means = scorer.locs + jnp.einsum("kde,ke->kd", scorer.trils, mean)
    scatters = jnp.einsum("kde,kef,kgf->kdg", scorer.trils, centred, scorer.trils, precision=lax.Precision.HIGHEST)
    return Stats(counts, means, scatters, value)


def num_rows(rows: Rows) -> Float[Array, ""]:
    """N: the number of rows that are not padding."""
    return jnp.sum(rows.mask)
