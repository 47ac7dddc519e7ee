"""Rows with gaps or errors of measurement, as a pass reads them.

Rows are grouped by what was seen of them (`Patterns`), so that a pass costs little more than on complete rows. With
errors, or with nearly as many patterns as rows, each row has its own algebra (`Incomplete`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.data.moments import patterns_of
from bayesgmm.data.noise import standard_log_density
from bayesgmm.data.table import Table
from bayesgmm.model.mixture import Scorer
from bayesgmm.model.types import Frame
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import root_of
from bayesgmm.sweep.completion import Completed, complete_pattern, complete_rows
from bayesgmm.sweep.rows import EXACT, FEWEST, Blocks, chunk_rows, log_labels, padded_size

OWN_ALGEBRA, PER_BLOCK = 8, 200
"""Work of a row with its own algebra, and of a block besides its rows, in rows of a pattern."""


class Incomplete(NamedTuple):
    """Rows in blocks, each row with its own mask and errors."""

    blocks: Blocks
    """Standardised values, 0 in gaps."""
    seen: Float[Array, "C D n"]
    """1 where a value was seen; 0 in gaps and padding."""
    roots: Float[Array, "C D D n"] | None
    """R with ``R Rᵀ`` the covariance of a row's errors, standardised; None: no errors."""

    @property
    def weights(self) -> Float[Array, "C n"] | None:
        """How often each row counts; None: once."""
        return self.blocks.weights

    @property
    def noise(self) -> Float[Array, ""] | None:
        """Log density of the noise, the last component; None: all components are Gaussians."""
        return self.blocks.noise

    @property
    def num_rows(self) -> Int[Array, ""]:
        """Number of rows."""
        return self.blocks.num_rows

    @property
    def num_blocks(self) -> int | Array:
        """Number of blocks that hold rows."""
        return self.blocks.num_blocks

    @property
    def capacity(self) -> int:
        """Number of rows, padding included."""
        return self.blocks.capacity

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.blocks.dtype

    def completed(self, index, scorer: Scorer, key: PRNGKeyArray | None) -> Completed:
        """Scores and true rows of block `index`; see `bayesgmm.sweep.completion`."""
        roots = None if self.roots is None else jnp.asarray(self.roots)[index]
        return complete_rows(scorer, self.blocks.block(index)[1:], jnp.asarray(self.seen)[index], roots, key)

    def take(self, rows: Int[Array, "B"]) -> "Incomplete":
        """These rows only, as one block."""
        at, place = rows // self.seen.shape[2], rows % self.seen.shape[2]
        seen = jnp.asarray(self.seen)[at, :, place].T[None]
        roots = None if self.roots is None else jnp.moveaxis(jnp.asarray(self.roots)[at, :, :, place], 0, -1)[None]
        return Incomplete(self.blocks.take(rows), seen, roots)


class Patterns(NamedTuple):
    """Rows in blocks, each block of rows of which the same features were seen."""

    blocks: Blocks
    which: Int[Array, "C"]
    """The pattern of each block."""
    seen: Float[Array, "P D"]
    """1 for the features that were seen."""
    places: Int[Array, "M"]
    """Where each row is: its place in the blocks one after another."""
    held: Int[Array, ""]
    """Number of blocks that hold rows."""

    @property
    def weights(self) -> Float[Array, "C n"] | None:
        """How often each row counts; None: once."""
        return self.blocks.weights

    @property
    def noise(self) -> Float[Array, ""] | None:
        """Log density of the noise, the last component; None: all components are Gaussians."""
        return self.blocks.noise

    @property
    def num_rows(self) -> Int[Array, ""]:
        """Number of rows."""
        return self.blocks.num_rows

    @property
    def num_blocks(self) -> int | Array:
        """Number of blocks that hold rows; a Python integer if it is known from the shape."""
        return len(self.which) if len(self.which) <= EXACT else self.held

    @property
    def capacity(self) -> int:
        """Number of rows, padding at their end included: the size class."""
        return len(self.places)

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.blocks.dtype

    def seen_in(self, index) -> Float[Array, "D"]:
        """1 for the features that were seen in block `index`."""
        return jnp.asarray(self.seen)[jnp.asarray(self.which)[index]]

    def completed(self, index, scorer: Scorer, key: PRNGKeyArray | None) -> Completed:
        """Scores and true rows of block `index`; see `bayesgmm.sweep.completion`."""
        return complete_pattern(scorer, self.blocks.block(index)[1:], self.seen_in(index), key)

    def take(self, rows: Int[Array, "B"]) -> Incomplete:
        """These rows only, as one block."""
        at = jnp.asarray(self.places)[rows]
        seen = jnp.asarray(self.seen)[jnp.asarray(self.which)[at // self.blocks.x.shape[2]]]
        return Incomplete(self.blocks.take(at), seen.T[None], None)


def to_incomplete(table: Table, frame: Frame, dtype: str, num_components: int) -> Incomplete | Patterns:
    """A table with gaps or errors in standardised coordinates."""
    seen = ~np.isnan(table.values)
    patterns, which = patterns_of(seen)
    counts, most = np.bincount(which), chunk_rows(table.dim)
    widths = [width for width in (FEWEST * 2**i for i in range(8)) if width <= most]
    work = {width: int((-(-counts // width) * (width + PER_BLOCK)).sum()) for width in widths}
    width = min(work, key=lambda width: work[width])
    if table.errors is None and work[width] <= OWN_ALGEBRA * table.num_rows + PER_BLOCK:
        return _to_patterns(table, frame, dtype, num_components, patterns, which, width)
    return _to_own(table, seen, frame, dtype, num_components)


def _to_patterns(table, frame: Frame, dtype, num_components: int, patterns, which, width: int) -> Patterns:
    order = np.argsort(which, kind="stable")
    counts = np.bincount(which)
    held = -(-counts // width)
    first = np.concatenate([[0], np.cumsum(held)[:-1]]) * width
    within = np.arange(len(order)) - np.repeat(np.cumsum(counts) - counts, counts)
    places = np.empty(len(order), int)
    places[order] = np.repeat(first, counts) + within
    num_blocks = padded_size(int(held.sum()))
    blocks = to_weighted_blocks(table, frame, dtype, num_components, places, (num_blocks, width))
    pattern_of = np.zeros(num_blocks, int)
    pattern_of[: held.sum()] = np.repeat(np.arange(len(patterns)), held)
    seen = np.ones((padded_size(len(patterns)), table.dim), dtype)
    seen[: len(patterns)] = patterns
    room = np.zeros(padded_size(table.num_rows, FEWEST), int)
    room[: table.num_rows] = places
    return Patterns(blocks, *jax.device_put((pattern_of, seen, room, np.asarray(held.sum()))))


def _to_own(table: Table, mask: np.ndarray, frame: Frame, dtype, num_components: int) -> Incomplete:
    dim, num = table.dim, table.num_rows
    width = min(padded_size(num, FEWEST), max(FEWEST, min(1024, chunk_rows(dim))))
    shape = padded_size(-(-num // width)), width
    blocks = to_weighted_blocks(table, frame, dtype, num_components, np.arange(num), shape)
    seen = in_blocks(mask.astype(dtype), np.arange(num), shape)
    roots = None
    if table.errors is not None:
        roots = in_blocks(error_roots(table, frame).astype(dtype), np.arange(num), shape)
    return Incomplete(blocks, *jax.device_put((seen, roots)))


def error_roots(table: Table, frame: Frame) -> np.ndarray:
    """R with ``R Rᵀ`` the standardised covariance of each row's errors, (N, D, D); 0 in gaps."""
    assert table.errors is not None
    seen = ~np.isnan(table.values)
    inner = table.errors / (frame.scale[:, None] * frame.scale) * (seen[:, :, None] & seen[:, None, :])
    return root_of(inner)


def in_blocks(rows: np.ndarray, places: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Something of each row (N, …) in blocks (C, …, n); 0 where there is no row."""
    flat = np.zeros((shape[0] * shape[1], *rows.shape[1:]), rows.dtype)
    flat[places] = rows
    return np.ascontiguousarray(np.moveaxis(flat.reshape(*shape, *rows.shape[1:]), 1, -1))


def to_weighted_blocks(
    table: Table, frame: Frame, dtype, num_components: int, places, shape: tuple[int, int]
) -> Blocks:
    """Values, weights and classes at these places."""
    values = np.nan_to_num(frame.rows(table.values), nan=0.0).astype(dtype)
    x = in_blocks(np.concatenate([np.ones((len(values), 1), dtype), values], axis=1), places, shape)
    weights = None if table.weights is None else in_blocks(table.weights.astype(dtype), places, shape)
    labels = log_labels(table, num_components)
    labels = None if labels is None else in_blocks(labels.astype(dtype), places, shape)
    noise = standard_log_density(table.noise, frame.scale)
    noise = None if noise is None else noise.astype(dtype)
    return Blocks(*jax.device_put((x, np.asarray(table.num_rows), weights, labels, noise)))
