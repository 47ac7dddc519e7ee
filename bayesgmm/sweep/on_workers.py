"""Blocks of rows that stay with the workers of a Dask cluster, and tasks that run where they lie."""

import time
from collections.abc import Callable, Sequence
from typing import Any

from bayesgmm.runtime.cluster import on_workers
from bayesgmm.sweep.rows import Blocks, untouched

PATIENCE = 2.0
"""Seconds between looks at which workers there are."""
UNEVEN = 0.1
"""Difference of the rows of two workers, as a share of the mean, up to which blocks stay where they are."""
BROADCAST = 2**20
"""Bytes of arguments from which they are sent to the workers once, apart from the tasks."""


class Spread:
    """Blocks on the workers of a cluster. They are kept there as long as this object exists."""

    def __init__(self, client: Any, tasks: list[Any], rows: Sequence[int]):
        """Make the blocks where their partitions lie, and even out the rows of the workers."""
        self._client, self._rows = client, list(rows)
        self._workers: tuple[str, ...] = ()
        self._looked = -PATIENCE
        with on_workers("standardising the partitions", client):
            self._blocks = client.compute(tasks)
            self._wait()

    def run(self, task: Callable[..., dict], packed: bytes, *arguments: Any) -> dict:
        """``task(numbers, packed, *arguments, *blocks)`` on each worker for its blocks; what all of them return.

        Raises
        ------
        ClusterError
            If workers died repeatedly, or the cluster is gone.
        DataError
            If blocks cannot be computed again.
        """
        with on_workers("passing over the rows", self._client):
            self._look()
            sent: Any = packed
            if len(packed) * len(self._groups) > BROADCAST:
                sent = self._client.scatter(packed, broadcast=True, hash=False)
            futures = [
                self._client.submit(
                    task, tuple(numbers), sent, *arguments, *(self._blocks[i] for i in numbers),
                    workers=[worker], allow_other_workers=True, pure=False,
                )
                for worker, numbers in self._groups.items()
            ]  # fmt: skip
            found: dict = {}
            for part in self._client.gather(futures):
                found.update(part)
        return found

    def _wait(self) -> None:
        from distributed import wait

        wait(self._blocks)
        for future in self._blocks:
            if future.status == "error":
                future.result()

    def _look(self) -> None:
        """Look from time to time which workers there are. If others, even out the rows, and see where blocks lie."""
        if time.monotonic() - self._looked < PATIENCE:
            return
        self._looked = time.monotonic()
        workers = tuple(sorted(self._client.nthreads()))
        if workers == self._workers or not workers:
            return
        owners = self._owners(workers)
        wanted = evened(owners, self._rows, workers)
        if moves := [i for i, worker in enumerate(wanted) if worker != owners[i]]:
            for i in moves:
                self._blocks[i] = self._client.submit(
                    again, self._blocks[i], workers=[wanted[i]], allow_other_workers=True, pure=False
                )
            self._wait()
            owners = self._owners(workers)
        self._workers = workers
        self._groups = {worker: [i for i, own in enumerate(owners) if own == worker] for worker in sorted({*owners})}

    def _owners(self, workers: tuple[str, ...]) -> list[str]:
        """The worker of each block. Of one that is being made again, the first: Dask decides later."""
        held = self._client.who_has(self._blocks)
        return [min({*held.get(future.key, ())} & {*workers}, default=workers[0]) for future in self._blocks]


def again(blocks: Blocks) -> Blocks:
    """A task: blocks that came from another worker, in memory that XLA takes over without a copy."""
    memory = untouched(blocks.x.shape, blocks.x.dtype)
    count = -(-int(blocks.num_rows) // blocks.x.shape[2])
    memory[:count] = blocks.x[:count]
    return blocks._replace(x=memory)


def evened(owners: Sequence[str], rows: Sequence[int], workers: Sequence[str]) -> list[str]:
    """The worker of each block after blocks went from workers with many rows to those with few, as few as possible."""
    found, loads = list(owners), dict.fromkeys(workers, 0)
    for worker, count in zip(owners, rows, strict=True):
        loads[worker] += count
    while True:
        most, least = max(workers, key=loads.__getitem__), min(workers, key=loads.__getitem__)
        gap = loads[most] - loads[least]
        movable = [i for i, worker in enumerate(found) if worker == most and rows[i] < gap]
        if gap * len(workers) <= UNEVEN * sum(rows) or not movable:
            return found
        chosen = min(movable, key=lambda i: (abs(2 * rows[i] - gap), rows[i]))
        found[chosen] = least
        loads[most], loads[least] = loads[most] - rows[chosen], loads[least] + rows[chosen]
