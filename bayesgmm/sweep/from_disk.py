"""The pass over rows on disk: chunks of blocks, read ahead by a thread while the device computes the last one."""

import queue
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from typing import Any

import numpy as np
from jaxtyping import Float, Key

from bayesgmm.data.on_disk.rows_on_disk import RowsOnDisk
from bayesgmm.data.on_disk.survey import speed
from bayesgmm.model.mixture import Scorer
from bayesgmm.model.types import Frame, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.sweep.e_step import Assign
from bayesgmm.sweep.parts import stats_of_part, width_of_blocks
from bayesgmm.sweep.passed import HostRows, Passed, passed, pooled
from bayesgmm.sweep.rows import Blocks, untouched

AHEAD = 2
"""Chunks that are ready before the device asks for them, at most."""
CHUNK_VALUES = 2**20
"""Values of a chunk, about: few enough to stay in cache between the thread that makes them and the device."""


class RowsFromDisk(HostRows):
    """Rows on disk as engines pass over them, in standardised coordinates."""

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
        start = time.perf_counter()
        found = self.summed(lanes, assign)
        self.note = speed(self.num_rows, time.perf_counter() - start)
        return passed(found, self.num_rows, self.dtype)

    def summed(
        self, lanes: tuple[Key[Array, "L"], Scorer], assign: Assign, between: Callable[[], None] = lambda: None
    ) -> Stats:
        """The statistics of these rows for each key and scorer, with a call of `between` before each chunk."""
        found = None
        with closing(self._chunks()) as chunks:
            for chunk in chunks:
                between()
                own = stats_of_part(lanes, chunk, assign)
                found = own if found is None else pooled(found, own)
        assert found is not None
        return found

    def _chunks(self) -> Generator[Blocks]:
        """Chunks in order. Each is valid until the next one is asked for: its memory is used again."""
        return read_ahead(self._fill, [untouched(self._shape, self.dtype) for _ in range(AHEAD + 1)])

    def _fill(self, next_buffer: Callable[[], np.ndarray], put: Callable[[Any], None]) -> None:
        """Fill buffers with rows, in order, and give each away with the number of its rows."""
        count, _, width = self._shape
        capacity, filled, first, before, buffer = count * width, 0, self._block, self._before, None
        for part in self._source.checked(min(capacity, 2**17)):
            taken = 0
            while taken < part.num_rows:
                if buffer is None:
                    buffer, filled = next_buffer(), before
                    buffer[0, :, :before], before = 0.0, 0
                more = min(capacity - filled, part.num_rows - taken)
                self._put(buffer, filled, [column[taken : taken + more] for column in part.columns])
                filled, taken = filled + more, taken + more
                if filled == capacity:
                    put((buffer, filled, first))
                    buffer, first = None, first + count
        if buffer is not None:
            _pad(buffer, filled)
            put((buffer, filled, first))

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
