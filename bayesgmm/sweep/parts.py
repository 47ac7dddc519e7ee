"""The pass over a part of the rows: a compiled program, whose statistics the host pools.

A part knows its place among all rows. Its blocks are those of all rows, so that z of a row is the same however the rows
are divided: a part that begins within a block has zeros in the places of the rows before it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from jax import lax
from jaxtyping import Float, Key

from bayesgmm.model.mixture import Scorer
from bayesgmm.model.types import Frame, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.e_step import Assign, average, draw, maximise
from bayesgmm.sweep.rows import FEWEST, Blocks, chunk_rows, padded_size, untouched
from bayesgmm.sweep.statistics import sweep

ASSIGNS: dict[str, Assign] = {one.__name__: one for one in (average, maximise, draw)}
"""Updates of z by name: static arguments of programs are words."""


def width_of_blocks(num_rows: int, dim: int) -> int:
    """Rows of each block, as in memory: the same keys draw the same z. `num_rows` is that of all parts."""
    return min(padded_size(num_rows, FEWEST), chunk_rows(dim))


def blocks_at(
    first: int,
    values: Float[np.ndarray, "n D"],
    frame: Frame,
    dtype: str,
    width: int,
    size: Callable[[int], int] = padded_size,
) -> Blocks:
    """Rows as blocks on the host, in standardised coordinates; `first` is the number of the first among all rows.

    ``size`` gives the size class of the number of blocks.
    """
    before, dim = first % width, values.shape[1]
    end = before + len(values)
    blocks = untouched((size(-(-end // width)), 1 + dim, width), np.dtype(dtype))
    at = 0
    for i in range(-(-end // width)):
        start, stop = max(before - i * width, 0), min(end - i * width, width)
        part = frame.rows(values[at : at + stop - start])
        blocks[i, 0, start:stop] = 1.0
        blocks[i, 1:, start:stop] = part.T
        at += stop - start
    return Blocks(blocks, np.asarray(end), first=np.asarray(first // width))


def stats_of_part(lanes: tuple[Key[Array, "L"], Scorer], part: Blocks, assign: Assign) -> Stats:
    """Statistics of a part for each key and scorer (leading axis), in double precision on the host."""
    return Stats(*(np.asarray(leaf, np.float64) for leaf in _PART(lanes, jax.device_put(part), assign=assign.__name__)))


def _of_lanes(lanes: tuple[Key[Array, "L"], Scorer], part: Blocks, assign: str) -> Stats:
    return lax.map(partial(_of_lane, part=part, assign=ASSIGNS[assign]), lanes)


def _of_lane(lane: tuple[Any, Scorer], part: Blocks, assign: Assign) -> Stats:
    return sweep(*lane, part, assign)


_PART = Program(_of_lanes, static=("assign",))
