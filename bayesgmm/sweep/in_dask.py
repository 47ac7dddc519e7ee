"""The pass over rows in Dask: each worker passes over the partitions that it holds, and the statistics are pooled.

With a cluster, the standardised blocks of each partition are made once and stay with the workers; Dask makes them again
where a worker dies. A pass is one task for each worker. Without a cluster, partitions are computed one after another in
each pass.

Statistics are pooled along a fixed binary tree over the partitions: a worker pools the branches of which it holds all
leaves, and this process the rest. So the sums are the same to the last bit wherever partitions lie.
"""

import pickle
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import jax
import jax.random as jr
import numpy as np
from jaxtyping import Key

from bayesgmm.data.in_dask import Partitions, RowsInDask, values_here, values_of
from bayesgmm.data.on_disk.survey import speed
from bayesgmm.model.mixture import Scorer
from bayesgmm.model.types import Frame, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.cluster import active_client
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.e_step import Assign
from bayesgmm.sweep.on_workers import Spread
from bayesgmm.sweep.parts import ASSIGNS, blocks_at, stats_of_part, width_of_blocks
from bayesgmm.sweep.passed import HostRows, Passed, passed, pooled
from bayesgmm.sweep.rows import Blocks

Branch = tuple[int, int]
"""The partitions from the first number to before the second."""


class RowsFromDask(HostRows):
    """Rows in Dask as engines pass over them, in standardised coordinates."""

    place = "in Dask"

    def __init__(self, table: RowsInDask, frame: Frame, dtype: str):
        """Keep the partitions. Nothing is computed before the first pass."""
        super().__init__(table.num_rows, dtype)
        self._known, self._frame = table.known_partitions, frame
        self._width = width_of_blocks(table.num_rows, table.dim)
        self._spread: Spread | None = None

    def total(self, lanes: tuple[Key[Array, "L"], Scorer], assign: Assign) -> Passed:
        """The pass for each key and scorer (leading axis: chains or starts).

        Raises
        ------
        ClusterError
            If workers died repeatedly, or the cluster is gone.
        DataError
            If a partition cannot be computed.
        """
        start, client, count = time.perf_counter(), active_client(), len(self._known.tasks)
        if client is None and self._spread is None:
            found = self._here(lanes, assign)
        else:
            self._spread = self._spread or self._sent_out(client)
            packed = pack(lanes)
            branches = self._spread.run(stats_of_branches, packed, count, self.dtype.name, assign.__name__)
            found = pool_tree((0, count), {}, branches.get)
        assert found is not None
        self.note = speed(self.num_rows, time.perf_counter() - start)
        return passed(found, self.num_rows, self.dtype)

    def _sent_out(self, client: Any) -> Spread:
        """Blocks of each partition, made by the workers."""
        import dask

        make, known = dask.delayed(blocks_of_partition), self._known  # pyright: ignore
        about = known.features, known.named, self._frame, self.dtype.name, self._width
        tasks = [make(task, first, *about) for task, first in zip(known.tasks, known.firsts, strict=True)]
        return Spread(client, tasks, known.lengths)

    def _here(self, lanes: tuple[Key[Array, "L"], Scorer], assign: Assign) -> Stats | None:
        """The pass in this process. A thread makes the blocks of the next partition meanwhile."""
        parts = ahead(self._blocks, len(self._known.tasks))

        def leaf(branch: Branch) -> Stats | None:
            return stats_of_part(lanes, next(parts), assign) if branch[1] - branch[0] == 1 else None

        return pool_tree((0, len(self._known.tasks)), {}, leaf)

    def _blocks(self, index: int) -> Blocks:
        known: Partitions = self._known
        return blocks_at(
            known.firsts[index], values_here(known, index), self._frame, self.dtype.name, self._width, power_of_two
        )


def power_of_two(count: int) -> int:
    """The size class of a number of blocks: few, because partitions may differ in size, and each is a compilation."""
    return 1 << (count - 1).bit_length()


def blocks_of_partition(
    partition: Any, first: int, features: tuple[str, ...], named: bool, frame: Frame, dtype: str, width: int
) -> Blocks:
    """A task: the blocks of a partition, whose first row has the number `first` among all."""
    return blocks_at(first, values_of(partition, features, named), Frame(*frame), dtype, width, power_of_two)


def stats_of_branches(
    numbers: tuple[int, ...], packed: bytes, count: int, dtype: str, assign: str, *parts: Blocks
) -> dict[Branch, Stats]:
    """A task: statistics of the parts with these numbers, pooled along the tree over `count` parts."""
    here, found = dict(zip(numbers, parts, strict=True)), {}
    with scope(dtype):
        lanes = unpack(packed)

        def leaf(branch: Branch) -> Stats | None:
            at, after = branch
            return stats_of_part(lanes, here[at], ASSIGNS[assign]) if after - at == 1 and at in here else None

        whole = pool_tree((0, count), found, leaf)
    return found if whole is None else {(0, count): whole}


def pool_tree(branch: Branch, apart: dict[Branch, Stats], known: Callable[[Branch], Stats | None]) -> Stats | None:
    """Statistics of a branch, pooled from those of its halves; None if some are not known: then `apart` gets the rest.

    ``known`` gives the statistics of a branch, if it has them.
    """
    found = known(branch)
    first, after = branch
    if found is not None or after - first == 1:
        return found
    halves = (first, (first + after) // 2), ((first + after) // 2, after)
    one, two = (pool_tree(half, apart, known) for half in halves)
    if one is not None and two is not None:
        return pooled(one, two)
    apart.update({half: stats for half, stats in zip(halves, (one, two), strict=True) if stats is not None})
    return None


def pack(lanes: tuple[Key[Array, "L"], Scorer]) -> bytes:
    """Keys and scorers in a form that other processes can read."""
    keys, scorer = lanes
    return pickle.dumps((np.asarray(jr.key_data(keys)), jax.tree.map(np.asarray, scorer)))


def unpack(packed: bytes) -> tuple[Key[Array, "L"], Scorer]:
    """What was packed. Call inside ``dtypes.scope``."""
    words, scorer = pickle.loads(packed)
    return jr.wrap_key_data(words, impl="threefry2x32"), scorer


def ahead(make: Callable[[int], Blocks], count: int) -> Iterator[Blocks]:
    """``make(0)``, ``make(1)``, …: a thread makes the next while the last is in use."""
    with ThreadPoolExecutor(1, "bayesgmm rows") as pool:
        following = pool.submit(make, 0)
        for i in range(1, count + 1):
            found = following.result()
            if i < count:
                following = pool.submit(make, i)
            yield found
