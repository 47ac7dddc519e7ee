"""The one pass over the data. Everything that touches rows happens here, and only here.

A block of rows becomes scores, scores become assignments, and assignments are added up into statistics, so that an
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
"""Rows per block: small enough for the scores of a block to stay in cache, large enough to hide the loop."""

VIEW_BYTES = 2**26
"""Data larger than this are read where they lie, if they can be, rather than copied into blocks."""

Assign = Callable[[PRNGKeyArray, Float[Array, "K n"]], tuple[Float[Array, "K n"], Float[Array, "n"]]]
"""Scores → (assignments z, the row's share of the objective)."""


class Blocks(NamedTuple):
    """Rows copied once into feature-major blocks, in standardised coordinates."""

    x: Float[Array, "C D n"]
    mask: Float[Array, "C n"]
    """1 for a row, 0 for the padding of the last block."""

    @property
    def num_blocks(self) -> int:
        """Blocks in all."""
        return self.x.shape[0]

    @property
    def capacity(self) -> int:
        """Rows in all, padding included."""
        return self.x.shape[0] * self.x.shape[2]

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.x.dtype

    def block(self, index) -> tuple[Float[Array, "D n"], Float[Array, "n"]]:
        """Block `index` and its mask."""
        return jnp.asarray(self.x)[index], jnp.asarray(self.mask)[index]


class View(NamedTuple):
    """Rows left where the user's array holds them, standardised as each block is read.

    JAX adopts host memory only from a 64-byte boundary on, so the rows that begin before the first boundary (eight at most)
    are kept apart in ``head``, and ``flat`` starts in the middle of a row.
    """

    flat: Float[Array, "M"]
    head: Float[Array, "H D"]
    start: Array
    """Where in ``flat`` the first whole row begins."""
    center: Float[Array, "D"]
    scale: Float[Array, "D"]

    @property
    def num_rows(self) -> int:
        """Rows in ``flat``."""
        return self.flat.shape[0] // self.head.shape[1]

    @property
    def num_blocks(self) -> int:
        """Blocks in all: the head, then blocks of `CHUNK` rows."""
        return 1 + -(-self.num_rows // CHUNK)

    @property
    def capacity(self) -> int:
        """Rows in all."""
        return self.num_rows + self.head.shape[0]

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.flat.dtype

    def block(self, index) -> tuple[Float[Array, "D n"], Float[Array, "n"]]:
        """Block `index` and its mask.

        Block 0 is the head; the last block overlaps the one before, and masks what that one saw.
        """
        num_head, dim = self.head.shape
        first = jnp.minimum((index - 1) * CHUNK, self.num_rows - CHUNK)
        body = lax.dynamic_slice(self.flat, (self.start + first * dim,), (CHUNK * dim,)).reshape(CHUNK, dim)
        head = jnp.zeros_like(body).at[:num_head].set(self.head)
        rows = jnp.arange(CHUNK)
        mask = jnp.where(index == 0, rows < num_head, first + rows >= (index - 1) * CHUNK)
        x = (jnp.where(index == 0, head, body) - self.center) / self.scale
        return x.T, mask.astype(self.dtype)


Rows = Blocks | View
"""The data as the sweep reads them: any pytree with ``num_blocks``, ``capacity``, ``dtype`` and ``block(index)``."""


def to_rows(x: np.ndarray, frame: Frame, dtype: str | type = np.float64, chunk: int = CHUNK) -> Rows:
    """(N, D) host data as `Rows` in standardised coordinates: a `View` if they are large and allow it, else `Blocks`."""
    adoptable = x.flags.c_contiguous and x.dtype == np.dtype(dtype) and len(x) >= 2 * CHUNK
    return _to_view(x, frame) if x.nbytes > VIEW_BYTES and adoptable else _to_blocks(x, frame, dtype, chunk)


def _to_view(x: np.ndarray, frame: Frame) -> View:
    dim = x.shape[1]
    flat = x.reshape(-1)
    before = -flat.ctypes.data % 64 // flat.itemsize
    num_head = -(-before // dim)
    parts = (flat[before:], x[:num_head], np.asarray(num_head * dim - before), frame.center, frame.scale)
    return View(*jax.device_put(parts))


def _to_blocks(x: np.ndarray, frame: Frame, dtype: str | type, chunk: int) -> Blocks:
    num, dim = x.shape
    width = min(num, chunk)
    count = -(-num // width)
    blocks, mask = np.zeros((count, dim, width), dtype), np.zeros((count, width), dtype)
    for i in range(count):
        block = (x[i * width : (i + 1) * width] - frame.center) / frame.scale
        blocks[i, :, : len(block)] = block.T
        mask[i, : len(block)] = 1.0
    return Blocks(jax.device_put(blocks), jax.device_put(mask))


@partial(jax.jit, static_argnames="assign")
def sweep(key: PRNGKeyArray, scorer: Scorer, rows: Rows, assign: Assign) -> Stats:
    """One pass: rows → scores → assignments → statistics of each component, and the pass's objective."""

    def block_sums(index):
        x, mask = rows.block(index)
        y = scorer.residuals(x)
        z, value = assign(jr.fold_in(key, index), scorer.scores(y))
        z = z * mask
        weighted = z[:, None, :] * y
        second = jnp.einsum("kdn,ken->kde", weighted, y, precision=lax.Precision.HIGHEST)
        # where, not a product: the objective of a padded row may be -inf.
        return z.sum(1), weighted.sum(2), second, jnp.sum(jnp.where(mask > 0, value * mask, 0.0))

    if rows.num_blocks == 1:
        return _from_whitened(scorer, *block_sums(0))
    start = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), jax.eval_shape(block_sums, 0))
    sums, _ = lax.scan(
        lambda total, index: (jax.tree.map(jnp.add, total, block_sums(index)), None), start, jnp.arange(rows.num_blocks)
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
