"""The order in which families are searched: two at a time, each once the families inside it are done."""

import contextvars
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor, as_completed

from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.progress import Listener
from bayesgmm.selection.grid_search import CONTAINS, GridSearch

WORKERS = 2
"""Families searched in parallel: one alone leaves a core idle on small data, where compiling dominates."""


def search_families(grid: GridSearch, names: list[str], stop, dtype: str, listener: Listener) -> tuple[set[str], bool]:
    """Search the families, `WORKERS` at a time, each once the families that it contains are done; then refine them.

    Returns the families that were searched, and whether Ctrl-C ended the search early.
    """
    done: list[str] = []

    def report(name: str) -> None:
        done.append(name)
        listener("fit", len(done), 2 * len(names), name if len(done) < 2 * len(names) else "")

    with ThreadPoolExecutor(WORKERS) as pool:
        cut = _search_all(pool, grid.run, names, CONTAINS, stop, dtype, report)
        found = [name for name in names if name in grid.found]
        # Families are refined in batches, so that later batches use the results of earlier ones. All families of a
        # batch read the same snapshot, so that the result does not depend on which of them ends first.
        for i in range(0, len(found), WORKERS):
            grid.freeze()
            cut |= _search_all(pool, grid.refine, found[i : i + WORKERS], {}, stop, dtype, report)
    return set(found), cut


def _search_all(
    pool: Executor, search: Callable[[str], bool], names: list[str], needs: Mapping[str, Sequence[str]], stop,
    dtype: str, report: Callable[[str], None],
) -> bool:  # fmt: skip
    """Search every family, each once the families that it needs are done; return whether Ctrl-C ended the search early.

    The result of a search depends only on the families that it needs, not on the order in which the others end.
    """

    def work(name: str) -> bool:
        with scope(dtype):  # JAX scopes are local to a thread
            return search(name)

    waiting, running, cut = list(names), {}, False
    while running or (waiting and not stop.is_set()):
        held = {*waiting, *running.values()}
        ready = [name for name in waiting if not stop.is_set() and not held.intersection(needs.get(name, ()))]
        for name in ready[: WORKERS - len(running)]:
            waiting.remove(name)
            running[pool.submit(contextvars.copy_context().run, work, name)] = name
        if not running:  # Ctrl-C came between the two looks at it
            break
        future = next(as_completed(running))
        name = running.pop(future)
        cut |= future.result()
        report(name)
    return cut or bool(waiting)
