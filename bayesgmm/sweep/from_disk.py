"""The pass over rows on disk: chunks of blocks, read ahead by a thread while the device computes the last one."""

import math
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from functools import partial
from typing import Any

import jax
import numpy as np
from jaxtyping import Float, Key

from bayesgmm.data.on_disk.rows_on_disk import RowsOnDisk
from bayesgmm.model.mixture import Scorer
from bayesgmm.model.types import Frame, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.pass_meter import Meter
from bayesgmm.sweep.e_step import Assign
from bayesgmm.sweep.mini_batches import Cut
from bayesgmm.sweep.parts import stats_of_part, width_of_blocks
from bayesgmm.sweep.passed import HostRows, Passed, passed, pooled
from bayesgmm.sweep.rows import FEWEST, Blocks, chunk_rows, padded_size, untouched

AHEAD = 2
"""Chunks that are ready before the device asks for them, at most."""
CHUNK_VALUES = 2**20
"""Values of a chunk, about: few enough to stay in cache between the thread that makes them and the device."""


class RowsFromDisk(HostRows):
    """Rows on disk as engines pass over them, in standardised coordinates."""

    place = "read from disk"

    def __init__(self, table: RowsOnDisk, frame: Frame, dtype: str, first: int = 0, among: int | None = None):
        """Choose the sizes of blocks, as in memory (so that the same keys draw the same z), and of chunks.

        If these rows are a part: `first` is the number of the first one, `among` how many they are together.
        """
        super().__init__(table.num_rows, dtype)
        self._source, self._frame = table.source, frame
        width = width_of_blocks(among or table.num_rows, table.dim)
        self._block, self._before = divmod(first, width)
        wanted = table.rows_at_once or CHUNK_VALUES // (1 + table.dim)
        count = min(max(1, -(-wanted // width)), -(-(self._before + table.num_rows) // width))
        self._shape = count, 1 + table.dim, width

    def total(self, lanes: tuple[Key[Array, "L"], Scorer], assign: Assign) -> Passed:
        """The pass for each key and scorer (leading axis: chains or starts), with one reading of the rows."""
        return passed(self.summed(lanes, assign), self.num_rows, self.dtype)

    def summed(
        self, lanes: tuple[Key[Array, "L"], Scorer], assign: Assign, between: Callable[[], None] = lambda: None
    ) -> Stats:
        """The statistics of these rows for each key and scorer, with a call of `between` before each chunk."""
        meter, found, before = Meter(self.num_rows, self.watch), None, self._before
        with closing(self._chunks()) as chunks:
            for chunk in chunks:
                between()
                own = stats_of_part(lanes, chunk, assign)
                found = own if found is None else pooled(found, own)
                meter.add(int(chunk.num_rows) - before)
                before = 0
        assert found is not None
        self.note = meter.speed
        return found

    def batches(self, size: int) -> Generator[Cut]:
        """Mini-batches of `size` rows (the last one has the rest) in one pass, in order; several at a time.

        Each is valid until the next one is asked for. The pass tells its progress as `total` does.
        """
        width = min(padded_size(size, FEWEST), chunk_rows(self._shape[1] - 1))
        lines = -(-size // width)
        most = max(1, math.prod(self._shape[::2]) // (lines * width))
        shape = (min(most, padded_size(-(-self.num_rows // size))), lines, self._shape[1], width)
        memory = [untouched(shape, self.dtype) for _ in range(AHEAD + 1)]
        meter = Meter(self.num_rows, self.watch)
        with closing(read_ahead(partial(self._fill, size=size), memory)) as chunks:
            for chunk in chunks:
                yield Cut(jax.device_put(chunk.x), np.asarray(chunk.num_rows))
                meter.add(int(np.sum(chunk.num_rows)))
        self.note = meter.speed

    def _chunks(self) -> Generator[Blocks]:
        """Chunks in order. Each is valid until the next one is asked for: its memory is used again."""
        return read_ahead(self._fill, [untouched(self._shape, self.dtype) for _ in range(AHEAD + 1)])

    def _fill(self, next_buffer: Callable[[], np.ndarray], put: Callable[[Any], None], size: int | None = None) -> None:
        """Fill buffers with rows, in order, and give each away with the number of its rows.

        With `size`, buffers have a leading axis of batches of so many rows each, and each batch has its number of rows.
        """
        capacity = size or self._shape[0] * self._shape[2]
        first, filler, buffer = 0 if size else self._block, None, None
        for part in self._source.checked(min(capacity, 2**17) if size is None else 2**17):
            taken = 0
            while taken < part.num_rows:
                if filler is None:
                    buffer = next_buffer()
                    filler = _Filler(buffer[None] if size is None else buffer, capacity, self._put)
                    if size is None and first == self._block and self._before:
                        filler.skip(self._before)
                taken += filler.add(part.columns, taken)
                if filler.full:
                    put((buffer, filler.counts if size else filler.counts[0], first))
                    filler, first = None, first + self._shape[0]
        if filler is not None:
            filler.end()
            put((buffer, filler.counts if size else filler.counts[0], first))

    def _put(self, buffer: Float[np.ndarray, "C D1 n"], at: int, columns: list[np.ndarray]) -> None:
        """Standardised values into the places from `at` on. Scales are powers of 2, so that a product is a quotient."""
        for d, column in enumerate(columns):
            center, inverse = self._frame.center[d], 1.0 / self._frame.scale[d]
            for line, values in places(buffer[:, 1 + d], at, column):
                if line.dtype == np.float64:
                    np.subtract(values, center, out=line, dtype=np.float64, casting="unsafe")
                    np.multiply(line, inverse, out=line)
                else:
                    line[:] = (np.asarray(values, np.float64) - center) * inverse
        for line, values in places(buffer[:, 0], at, columns[0]):
            del values
            line[:] = 1.0


class _Filler:
    """Fills one buffer (pieces, blocks, features, rows); a piece holds `capacity` rows."""

    def __init__(self, buffer: np.ndarray, capacity: int, write: Callable[..., None]):
        self.buffer, self.capacity, self.write = buffer, capacity, write
        self.counts = np.zeros(len(buffer), int)
        self.piece = 0

    def skip(self, count: int) -> None:
        """Leave the first places of the present piece to rows of other parts: zeros."""
        _pad(self.buffer[self.piece], 0)
        self.counts[self.piece] = count

    @property
    def full(self) -> bool:
        """Whether no row fits any more."""
        return self.piece == len(self.buffer)

    def add(self, columns: list[np.ndarray], first: int) -> int:
        """Write rows from this one on, as many as fit in the present piece; returns their number."""
        at = int(self.counts[self.piece])
        more = min(self.capacity - at, len(columns[0]) - first)
        self.write(self.buffer[self.piece], at, [column[first : first + more] for column in columns])
        self.counts[self.piece] += more
        if at + more == self.capacity:
            self.end()
        return more

    def end(self) -> None:
        """Pad the present piece."""
        _pad(self.buffer[self.piece], int(self.counts[self.piece]))
        self.piece += 1


def places(lines: Float[np.ndarray, "C n"], at: int, values: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Where values go that fill lines one after another, from place `at` on: views of the same shape, at most three."""
    width = lines.shape[1]
    line, within, done = at // width, at % width, 0
    if within:
        done = min(width - within, len(values))
        yield lines[line, within : within + done], values[:done]
        line += 1
    whole = (len(values) - done) // width
    if whole:
        yield lines[line : line + whole], values[done : done + whole * width].reshape(whole, width)
        line, done = line + whole, done + whole * width
    if done < len(values):
        yield lines[line, : len(values) - done], values[done:]


def _pad(buffer: Float[np.ndarray, "C D1 n"], filled: int) -> None:
    """Zeros in the places without rows: sums of products must not see what was there before."""
    line, within = divmod(filled, buffer.shape[2])
    buffer[line + 1 :] = 0.0
    if line < len(buffer):
        buffer[line, :, within:] = 0.0


def read_ahead(fill: Callable[..., None], memory: list[np.ndarray]) -> Generator[Blocks]:
    """The chunks that ``fill(next_buffer, put)`` makes in a thread of its own, in order.

    The thread waits where all buffers are full, and ends with the iteration, also if that is closed before its end. Its
    errors are raised here.
    """
    buffers, ready, ended = queue.Queue[Any](), queue.Queue[Any](), threading.Event()
    for one in memory:
        buffers.put(one)

    def next_buffer() -> np.ndarray:
        found = buffers.get()
        if ended.is_set():
            raise _Ended
        return found

    def run() -> None:
        try:
            fill(next_buffer, ready.put)
            ready.put(None)
        except BaseException as error:  # for the caller, who waits for it
            ready.put(error)

    thread = threading.Thread(target=run, name="bayesgmm rows", daemon=True)
    thread.start()
    try:
        while (found := ready.get()) is not None:
            if isinstance(found, BaseException):
                raise found
            buffer, count, first = found
            yield Blocks(buffer, np.asarray(count), first=np.asarray(first))
            buffers.put(buffer)
    finally:
        ended.set()
        buffers.put(None)  # the thread may wait for a buffer
        thread.join()


class _Ended(BaseException):
    """The caller asks for no more chunks."""
