"""Run the replicates of a study: here, or on workers; with a checkpoint, and in any order."""

import warnings
from collections.abc import Iterator
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, Executor, wait
from pathlib import Path
from threading import Event
from typing import Any

from bayesgmm.errors import ArgumentError, StudyWarning
from bayesgmm.runtime.checkpoint import append_line, read_lines
from bayesgmm.runtime.progress import Listener
from bayesgmm.studies.identity import identity
from bayesgmm.studies.replicate import Plan, run_replicate
from bayesgmm.studies.truths import Cell

FILE = "replicates.jsonl"
BLOCK = 10
"""Most replicates that a worker gets at a time."""
RETRIES = 3
"""How often a Dask cluster runs a block again whose worker died."""
PATIENCE = 0.25
"""Seconds between looks at whether Ctrl-C was pressed."""

Block = tuple[Cell, list[int]]


def run_all(
    plan: Plan, cells: list[Cell], num_replicates: int, folder: Path | None, workers: Any, listener: Listener,
    stop: Event,
) -> dict[tuple[str, int], Any]:  # fmt: skip
    """Run all replicates that the checkpoint does not hold. Returns the line of each (cell, replicate)."""
    wanted = {(cell.label, r): cell for cell in cells for r in range(num_replicates)}
    path = None if folder is None else folder / FILE
    saved = [] if path is None else read_lines(path, identity(plan), ("cell", "replicate", "engines"))
    lines = {(line["cell"], line["replicate"]): line for line in saved}
    blocks = _blocks(cells, num_replicates, lines, 1 if workers is None else BLOCK)
    done = sum(key in lines for key in wanted)
    for line in _results(plan, blocks, workers, stop):
        lines[line["cell"], line["replicate"]] = line
        if path is not None and not append_line(path, line):
            path = None
        done += 1
        failed = sum("failure" in found for found in line["engines"].values())
        listener("study", done, len(wanted), f"{line['cell']}: {failed} failed" if failed else line["cell"])
    return {key: line for key, line in lines.items() if key in wanted}


def run_block(plan: Plan, cell: Cell, numbers: list[int]) -> list[dict[str, Any]]:
    """The replicates that one worker runs at a time."""
    return [run_replicate(plan, cell, number) for number in numbers]


def _blocks(cells: list[Cell], num_replicates: int, lines: dict, size: int) -> list[Block]:
    """What is left to run: replicate by replicate over all cells, so that every cell has results early."""
    blocks = []
    for first in range(0, num_replicates, size):
        for cell in cells:
            numbers = range(first, min(first + size, num_replicates))
            left = [r for r in numbers if (cell.label, r) not in lines]
            blocks += [(cell, left)] if left else []
    return blocks


def _results(plan: Plan, blocks: list[Block], workers: Any, stop: Event) -> Iterator[dict[str, Any]]:
    """Lines as they come."""
    if workers is None:
        for cell, numbers in blocks:
            if stop.is_set():
                return
            found = run_block(plan, cell, numbers)
            if stop.is_set():
                return  # an interrupted run is not a replicate
            yield from found
    else:
        yield from workers(plan, blocks, stop)


def on_executor(executor: Executor) -> Any:
    """Workers of a ``concurrent.futures`` executor."""

    def workers(plan: Plan, blocks: list[Block], stop: Event) -> Iterator[dict[str, Any]]:
        left = {executor.submit(run_block, plan, cell, numbers) for cell, numbers in blocks}
        try:
            while left and not stop.is_set():
                ended, left = wait(left, PATIENCE, FIRST_COMPLETED)
                for future in ended:
                    yield from future.result()
        except BrokenExecutor as error:
            warnings.warn(
                f"The workers are gone ({error}). The study ends early with the replicates so far. A worker may have "
                "been killed, for example because memory ran out: use fewer workers, and checkpoint=.",
                StudyWarning, stacklevel=2,
            )  # fmt: skip
        finally:
            for future in left:
                future.cancel()

    return workers


def on_dask(client: Any) -> Any:
    """Workers of a Dask cluster. A block whose worker dies runs again on another."""
    try:
        return on_executor(client.get_executor(pure=False, retries=RETRIES))
    except AttributeError:
        raise ArgumentError(f"client must be a dask.distributed.Client, got {type(client).__name__}.") from None


def on_joblib(n_jobs: int) -> Any:
    """Workers of joblib, with the backend that ``joblib.parallel_config`` has set."""
    try:
        from joblib import Parallel, delayed
    except ImportError:
        raise ArgumentError("n_jobs needs joblib. Install it (pip install joblib), or give executor=.") from None

    def workers(plan: Plan, blocks: list[Block], stop: Event) -> Iterator[dict[str, Any]]:
        tasks = (delayed(run_block)(plan, cell, numbers) for cell, numbers in blocks)
        results: Any = Parallel(n_jobs=n_jobs, return_as="generator_unordered")(tasks)
        try:
            for lines in results:
                yield from lines
                if stop.is_set():
                    return
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # of tasks that a stop cancels
                results.close()

    return workers
