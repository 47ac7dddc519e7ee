"""How rows are read: copied once into blocks, or read in place from the user's array.

The number of rows is data, not shape: arrays are padded to one of a few sizes, the loop runs over the blocks that hold
rows, and padding is masked. So all data sets of one size class share their compiled programs.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from bayesgmm.data.table import Table
from bayesgmm.model.types import Frame
from bayesgmm.numerics.arrays import Array

VIEW_BYTES = 2**26
"""Data larger than this are read in place if possible, and not copied into blocks."""
FEWEST = 32
"""The smallest size class, in rows."""
EXACT = 8
"""Up to this count, every count is its own size class. So the loop over few blocks has a length known when compiled."""
FINE = 16
"""Size classes per octave for data that are read in place: the rows beyond the class, at most 1 in 16, are copied."""


def padded_size(count: int, least: int = 1) -> int:
    """The size class of a count, at least `least`: the smallest of 4, 5, 6, 7 times a power of 2 that holds it."""
    return -_stepped(-max(count, least), 4)


def _stepped(count: int, steps: int) -> int:
    """A count rounded down to one of `steps` values per octave; up, with both signs changed."""
    unit = 2 ** max((abs(count) - (count < 0)).bit_length() - steps.bit_length(), 0)
    return count // unit * unit


def chunk_rows(dim: int) -> int:
    """Rows per block: few enough to keep the products φ of a block in cache, enough to hide the loop overhead."""
    products = (dim + 1) * (dim + 2) // 2
    return min(max(2 ** round(math.log2(2**21 / products)), 256), 4096)


class Blocks(NamedTuple):
    """Rows copied once into feature-major blocks, in standardised coordinates."""

    x: Float[Array, "C D1 n"]
    """Each block is x̃: the first line is 1 for a row and 0 for padding; then come the features."""
    num_rows: Int[Array, ""]
    """Number of rows. They fill the blocks in order."""
    weights: Float[Array, "C n"] | None = None
    """How often each row counts, 0 for padding; None: once."""
    labels: Float[Array, "C K n"] | None = None
    """Log probability of what is known of each row's class, under each class; None: nothing is known."""
    noise: Float[Array, ""] | None = None
    """Log density of the noise, the last component; None: all components are Gaussians."""
    first: Int[Array, ""] | None = None
    """Number of the first block among those of all rows, if these are a part of them; None: 0."""

    @property
    def num_blocks(self) -> int | Array:
        """Number of blocks that hold rows; a Python integer if it is known from the shape."""
        return self.x.shape[0] if self.x.shape[0] <= EXACT else -(-self.num_rows // self.x.shape[2])

    @property
    def capacity(self) -> int:
        """Number of rows, padding included: the size class."""
        return self.x.shape[0] * self.x.shape[2]

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.x.dtype

    def block(self, index) -> Float[Array, "D1 n"]:
        """x̃ of block `index`."""
        return jnp.asarray(self.x)[index]

    def number(self, index) -> Any:
        """Number of block `index` among those of all rows: random numbers follow it."""
        return index if self.first is None else self.first + index

    def counted(self, index, block: Float[Array, "D1 n"]) -> Float[Array, "n"]:
        """How often each row of a block counts; 0 for padding."""
        return block[0] if self.weights is None else jnp.asarray(self.weights)[index]

    def take(self, rows: Int[Array, "B"]) -> "Blocks":
        """These rows only, as one block."""
        at, place = rows // self.x.shape[2], rows % self.x.shape[2]
        weights = None if self.weights is None else jnp.asarray(self.weights)[at, place][None]
        labels = None if self.labels is None else jnp.asarray(self.labels)[at, :, place].T[None]
        return Blocks(jnp.asarray(self.x)[at, :, place].T[None], jnp.asarray(len(rows)), weights, labels, self.noise)


class View(NamedTuple):
    """Most rows left in the user's array, and the others in `Blocks`. Each block is standardised when it is read.

    JAX uses host memory without a copy only from a 64-byte boundary on. If the data do not begin at one, the first
    block is copied to ``rest``, as are the rows beyond the size class, and ``flat`` begins just before the second.
    """

    flat: Float[Array, "M"]
    start: Int[Array, ""]
    """Index in ``flat`` where its first block begins."""
    num_head: Int[Array, ""]
    """Number of rows in ``rest`` that come before those in ``flat``: a block, or none."""
    rest: Blocks
    center: Float[Array, "D"]
    scale: Float[Array, "D"]
    weights: None = None
    """Each row counts once."""
    labels: None = None
    """No class is known."""
    noise: None = None
    """All components are Gaussians."""

    @property
    def width(self) -> int:
        """Rows per block."""
        return self.rest.x.shape[2]

    @property
    def whole(self) -> int:
        """Number of blocks in ``flat``, all full."""
        return self.flat.shape[0] // (self.width * self.center.shape[0])

    @property
    def num_rows(self) -> Int[Array, ""]:
        """Number of rows."""
        return self.rest.num_rows + self.whole * self.width

    @property
    def num_blocks(self) -> Array:
        """Number of blocks: those in ``flat``, then those in ``rest``."""
        return -(-self.rest.num_rows // self.width) + self.whole

    @property
    def capacity(self) -> int:
        """Number of rows, padding included: the size class."""
        return self.whole * self.width + self.rest.capacity

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.flat.dtype

    def block(self, index) -> Float[Array, "D1 n"]:
        """x̃ of block `index`."""
        width, dim = self.width, self.center.shape[0]

        def in_place(index):
            first = self.start + index * width * dim
            body = lax.dynamic_slice(self.flat, (first,), (width * dim,)).reshape(width, dim)
            ones = jnp.ones((1, width), self.dtype)
            return jnp.concatenate([ones, ((body - self.center) / self.scale).T])

        return lax.cond(index < self.whole, in_place, lambda index: self.rest.block(index - self.whole), index)

    def number(self, index) -> Any:
        """Number of block `index` in the order of the rows, as in `Blocks`: the first may be that of ``rest``."""
        moved = jnp.where(index < self.whole, index + 1, jnp.where(index == self.whole, 0, index))
        return jnp.where(self.num_head > 0, moved, index)

    def counted(self, index, block: Float[Array, "D1 n"]) -> Float[Array, "n"]:
        """1 for each row of a block; 0 for padding."""
        return block[0]

    def take(self, rows: Int[Array, "B"]) -> Blocks:
        """These rows only, as one block."""
        inside = rows - self.num_head
        held = self.whole * self.width
        here = (inside >= 0) & (inside < held)
        place = jnp.clip(inside, 0, held - 1)[:, None] * self.center.shape[0] + self.start
        own = (self.flat[place + jnp.arange(self.center.shape[0])] - self.center) / self.scale
        others = self.rest.take(jnp.where(inside < 0, rows, jnp.where(here, 0, rows - held)))
        x = jnp.concatenate([jnp.ones((1, len(rows)), self.dtype), own.T])
        return others._replace(x=jnp.where(here, x, others.x))


Complete = Blocks | View
"""Complete rows as a pass reads them.

A pytree with ``num_rows``, ``num_blocks``, ``capacity``, ``dtype``, ``noise``, ``block(i)`` and ``take(rows)``.
"""


def log_labels(table: Table, num_components: int) -> np.ndarray | None:
    """Log probability of what is known of each row's class, under each class, (N, K); None: nothing is known."""
    if table.labels is None:
        return None
    known = table.labels
    if known.ndim == 1:
        known = np.where(known[:, None] < 0, True, known[:, None] == np.arange(num_components))
    with np.errstate(divide="ignore"):
        return np.log(known)


def to_rows(x: np.ndarray, frame: Frame, dtype: str | type = np.float64, chunk: int | None = None) -> Complete:
    """(N, D) host data in standardised coordinates: a `View` if large and possible, otherwise `Blocks`."""
    adoptable = x.flags.c_contiguous and x.dtype == np.dtype(dtype) and len(x) >= 4 * chunk_rows(x.shape[1])
    if x.nbytes > VIEW_BYTES and adoptable:
        return _to_view(x, frame)
    return to_blocks(x, frame, dtype, chunk or chunk_rows(x.shape[1]))


def _to_view(x: np.ndarray, frame: Frame) -> View:
    dim, width = x.shape[1], chunk_rows(x.shape[1])
    flat = x.reshape(-1)
    before, aligned = -flat.ctypes.data % 64 // flat.itemsize, 64 // flat.itemsize
    num_head = width if before else 0
    start = (num_head * dim - before) % aligned
    begin = num_head * dim - start
    # Some rows are left over, so that `flat` may end anywhere; a block, so that no shape depends on the address.
    whole = _stepped((len(x) - width - -(-(aligned - 1) // dim)) // width, FINE)
    last = num_head + whole * width
    rest = to_blocks(np.concatenate([x[:num_head], x[last:]]), frame, x.dtype, width, 3 + whole // (FINE - 1))
    parts = flat[begin : begin + whole * width * dim + aligned - 1]
    start, head = np.asarray(start), np.asarray(num_head)
    return View(*jax.device_put((parts, start, head, rest, *(np.asarray(part, x.dtype) for part in frame))))


def to_blocks(x: np.ndarray, frame: Frame, dtype: str | type | np.dtype, chunk: int, least: int = 1) -> Blocks:
    """Copy the rows into blocks of `chunk` rows (of their size class, if they are fewer); at least `least` blocks."""
    num, dim = x.shape
    width = chunk if least > 1 else min(padded_size(num, FEWEST), chunk)
    count = -(-num // width)
    blocks = untouched((padded_size(count, least), 1 + dim, width), np.dtype(dtype))
    for i in range(count):
        block = frame.rows(x[i * width : (i + 1) * width])
        blocks[i, 0, : len(block)] = 1.0
        blocks[i, 1:, : len(block)] = block.T
    return Blocks(*jax.device_put((blocks, np.asarray(num))))


def untouched(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """Zeros that JAX takes over without a copy, so that blocks without rows cost no memory."""
    raw = np.zeros(math.prod(shape) * dtype.itemsize + 64, np.uint8)
    first = -raw.ctypes.data % 64
    return raw[first : first + math.prod(shape) * dtype.itemsize].view(dtype).reshape(shape)
