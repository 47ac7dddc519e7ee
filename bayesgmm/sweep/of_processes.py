"""The pass over rows of several processes: each passes over its own, and the first one pools the statistics."""

import time
from functools import reduce
from itertools import pairwise

import jax
import numpy as np
from jaxtyping import Key

from bayesgmm.data.of_processes import RowsOfProcesses
from bayesgmm.data.on_disk.rows_on_disk import RowsOnDisk
from bayesgmm.data.on_disk.survey import speed
from bayesgmm.model.mixture import Scorer
from bayesgmm.model.types import Frame, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.fingerprint import fingerprint
from bayesgmm.runtime.group import Arrays
from bayesgmm.runtime.interrupt import check_stop
from bayesgmm.sweep.e_step import Assign
from bayesgmm.sweep.from_disk import RowsFromDisk
from bayesgmm.sweep.parts import blocks_at, stats_of_part, width_of_blocks
from bayesgmm.sweep.passed import HostRows, Passed, passed, pooled

PART_VALUES = 2**25
"""Values of a part in memory, at most: between two parts there is time to see whether the other processes are there."""


class RowsSharedByProcesses(HostRows):
    """Rows of several processes as engines pass over them. Every process makes the same passes, and gets all rows'."""

    place = "of several processes"

    def __init__(self, table: RowsOfProcesses, frame: Frame, dtype: str):
        """Copy own rows in memory into blocks, whose places are those among the rows of all processes."""
        super().__init__(table.num_rows, dtype)
        self.group = self._group = table.together
        own, first = table.own, table.first
        self._disk = self._parts = None
        if isinstance(own, RowsOnDisk):
            self._disk = RowsFromDisk(own, frame, dtype, first, table.num_rows)
        else:
            width = width_of_blocks(table.num_rows, table.dim)
            step = width * max(1, PART_VALUES // ((1 + table.dim) * width))
            edges = [0, *range(step - first % width, own.num_rows, step), own.num_rows]
            self._parts = [
                jax.device_put(blocks_at(first + a, own.values[a:b], frame, dtype, width)) for a, b in pairwise(edges)
            ]

    def total(self, lanes: tuple[Key[Array, "L"], Scorer], assign: Assign) -> Passed:
        """The pass for each key and scorer (leading axis: chains or starts), the same in all processes.

        Raises
        ------
        DataError
            In all processes, if one cannot read its rows.
        ProcessError
            If a process has ended, or asks for another pass.
        """
        start, num = time.perf_counter(), np.shape(lanes[1].offsets)
        said = f"{assign.__name__}, {num[0]} × {num[-1]} components, {self.dtype}, state {fingerprint(lanes)}"
        found = self._group.exchange(said, lambda: self._own(lanes, assign), _of_all)
        self.note = speed(self.num_rows, time.perf_counter() - start)
        self._check_stop()
        return passed(Stats(**found), self.num_rows, self.dtype)

    def _own(self, lanes: tuple[Key[Array, "L"], Scorer], assign: Assign) -> Arrays:
        if self._disk is not None:
            return self._disk.summed(lanes, assign, self._between)._asdict()
        found = None
        for part in self._parts or ():
            self._between()
            own = stats_of_part(lanes, part, assign)
            found = own if found is None else pooled(found, own)
        assert found is not None
        return found._asdict()

    def _between(self) -> None:
        self._group.check()
        check_stop()

    def _check_stop(self) -> None:
        """Ctrl-C ends the run in all processes: this one would not ask for the next pass."""
        try:
            check_stop()
        except KeyboardInterrupt:
            self._group.leave("was interrupted (Ctrl-C)")
            raise


def _of_all(parts: list[Arrays]) -> Arrays:
    return reduce(pooled, [Stats(**part) for part in parts])._asdict()
