"""How rows are read: copied once into blocks, or read in place from the user's array."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from bayesgmm.model.types import Frame
from bayesgmm.numerics.arrays import Array

VIEW_BYTES = 2**26
"""Data larger than this are read in place if possible, and not copied into blocks."""


def chunk_rows(dim: int) -> int:
    """Rows per block: few enough to keep the products φ of a block in cache, enough to hide the loop overhead."""
    products = (dim + 1) * (dim + 2) // 2
    return min(max(2 ** round(math.log2(2**21 / products)), 256), 4096)


class Blocks(NamedTuple):
    """Rows copied once into feature-major blocks, in standardised coordinates."""

    x: Float[Array, "C D1 n"]
    """Each block is x̃: the first line is 1 for a row and 0 for padding of the last block; then come the features."""

    @property
    def num_blocks(self) -> int:
        """Number of blocks."""
        return self.x.shape[0]

    @property
    def capacity(self) -> int:
        """Number of rows, padding included."""
        return self.x.shape[0] * self.x.shape[2]

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.x.dtype

    def block(self, index) -> Float[Array, "D1 n"]:
        """x̃ of block `index`."""
        return jnp.asarray(self.x)[index]

    def take(self, rows: Int[Array, "B"]) -> "Blocks":
        """These rows only, as one block."""
        width = self.x.shape[2]
        return Blocks(jnp.asarray(self.x)[rows // width, :, rows % width].T[None])


class View(NamedTuple):
    """Rows left in the user's array. Each block is standardised when it is read.

    JAX uses host memory without a copy only from a 64-byte boundary on. The rows that begin before the first boundary
    (at most eight) are therefore in ``head``, and ``flat`` may start in the middle of a row.
    """

    flat: Float[Array, "M"]
    head: Float[Array, "H D"]
    start: Array
    """Index in ``flat`` where the first whole row begins."""
    center: Float[Array, "D"]
    scale: Float[Array, "D"]

    @property
    def num_rows(self) -> int:
        """Rows in ``flat``."""
        return self.flat.shape[0] // self.head.shape[1]

    @property
    def num_blocks(self) -> int:
        """Number of blocks: the head, then blocks of `chunk_rows`."""
        return 1 + -(-self.num_rows // chunk_rows(self.head.shape[1]))

    @property
    def capacity(self) -> int:
        """Number of rows."""
        return self.num_rows + self.head.shape[0]

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.flat.dtype

    def block(self, index) -> Float[Array, "D1 n"]:
        """x̃ of block `index`.

        Block 0 is the head. The last block overlaps the block before it, and masks the rows that both contain.
        """
        num_head, dim = self.head.shape
        width = chunk_rows(dim)
        first = jnp.minimum((index - 1) * width, self.num_rows - width)
        body = lax.dynamic_slice(self.flat, (self.start + first * dim,), (width * dim,)).reshape(width, dim)
        head = jnp.zeros_like(body).at[:num_head].set(self.head)
        rows = jnp.arange(width)
        mask = jnp.where(index == 0, rows < num_head, first + rows >= (index - 1) * width)
        x = (jnp.where(index == 0, head, body) - self.center) / self.scale
        return jnp.concatenate([mask[None].astype(self.dtype), jnp.where(mask, x.T, 0.0)])

    def take(self, rows: Int[Array, "B"]) -> Blocks:
        """These rows only, as one block."""
        num_head, dim = self.head.shape
        place = jnp.maximum(rows - num_head, 0)[:, None] * dim + self.start + jnp.arange(dim)
        own = self.flat[place]
        if num_head:
            own = jnp.where((rows < num_head)[:, None], self.head[jnp.minimum(rows, num_head - 1)], own)
        x = (own - self.center) / self.scale
        return Blocks(jnp.concatenate([jnp.ones((1, len(rows)), self.dtype), x.T])[None])


Rows = Blocks | View
"""The data as a pass reads them.

A pytree with ``num_blocks``, ``capacity``, ``dtype``, ``block(i)`` and ``take(rows)``.
"""


def to_rows(x: np.ndarray, frame: Frame, dtype: str | type = np.float64, chunk: int | None = None) -> Rows:
    """(N, D) host data as `Rows` in standardised coordinates: a `View` if large and possible, otherwise `Blocks`."""
    adoptable = x.flags.c_contiguous and x.dtype == np.dtype(dtype) and len(x) >= 2 * chunk_rows(x.shape[1])
    if x.nbytes > VIEW_BYTES and adoptable:
        return _to_view(x, frame)
    return _to_blocks(x, frame, dtype, chunk or chunk_rows(x.shape[1]))


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
    blocks = np.zeros((count, 1 + dim, width), dtype)
    for i in range(count):
        block = frame.rows(x[i * width : (i + 1) * width])
        blocks[i, 0, : len(block)] = 1.0
        blocks[i, 1:, : len(block)] = block.T
    return Blocks(jax.device_put(blocks))
