"""The table that stands for rows of several processes: each holds its own, in memory or on disk."""

import os
from collections.abc import Callable
from functools import reduce
from typing import Any

import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.data.away import SAMPLE, RowsAway, Sums, Survey, summed
from bayesgmm.data.kinds import GAPS, WORDS, kinds_of
from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.runtime.group import Arrays, Group
from bayesgmm.runtime.processes import group, has_joined

LAUNCHERS = ("SLURM_STEP_NUM_TASKS", "OMPI_COMM_WORLD_SIZE", "PMI_SIZE")
"""Where launchers say how many processes they have started."""


class RowsOfProcesses(RowsAway):
    """The rows of all processes, in the order of processes; this one holds `own`."""

    own: Table
    first: int
    """Rows of the processes before this one."""
    counts: tuple[int, ...]
    """Rows of each process."""
    group: Group | None
    """None in a copy that another process got."""
    place = "of several processes"
    refusal = (
        "This needs all rows in memory, and each process has its own. EM, CAVI, Gibbs and NUTS pass over rows of "
        "several processes. Give the rows of this process where a function takes rows (fit.predict(x)), or take a "
        "sample."
    )

    def __repr__(self) -> str:
        parts = (
            f"{self.counts[0]:,} to {self.counts[-1]:,}" if len(set(self.counts)) > 1 else f"{self.counts[0]:,} each"
        )
        return (
            f"Rows of {len(self.counts)} processes: {self.num_rows:,} rows ({parts}) × {self.dim} features "
            f"({', '.join(self.features)})"
        )

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: connections belong to this process."""
        return self.__dict__ | {"group": None}

    @property
    def together(self) -> Group:
        """The processes, for an exchange.

        Raises
        ------
        DataError
            In a copy that another process got.
        """
        if self.group is None:
            raise DataError("These rows were copied from another process, without its connections. Make them here.")
        return self.group

    def chunks(self, size: int = 0) -> Any:
        """Refused: this process has its own rows only."""
        raise DataError(self.refusal)

    def summed(self, of_part: Callable[[Table, int], np.ndarray]) -> np.ndarray:
        """As of all rows. Every process must ask."""
        found = self.together.exchange(
            "a sum over the rows", lambda: {"sum": summed(self.own, of_part, self.first)},
            lambda parts: {"sum": np.sum([part["sum"] for part in parts], axis=0)},
        )  # fmt: skip
        return found["sum"]


def rows_of_processes[T: Table](make: Callable[[], T], key: PRNGKeyArray) -> T | RowsOfProcesses:
    """The rows that ``make`` gives in each process, in the order of processes; if this process is alone, its result.

    Raises
    ------
    DataError
        In all processes, if the rows of one cannot be used, or have other features. The message has its number.
    ArgumentError
        If this process has joined no others.
    ProcessError
        If one has ended.
    """
    members = group()
    if members is None:
        _refuse_strangers()
        return make()
    held: list[T] = []

    def own() -> Arrays:
        table = _plain(make())
        mean, covariance = table.moments()
        held.append(table)
        return {
            "num": np.asarray(table.num_rows), "named": np.asarray(table.named), "mean": mean, "covariance": covariance,
            "features": np.asarray(table.features),
        }  # fmt: skip

    found = members.exchange(f"rows with a sample drawn by seed {jr.key_data(key).tolist()}", own, _together)
    table, counts = held[0], found["counts"]
    sample = members.exchange(
        "a sample of the rows", lambda: {"rows": _share(table, counts, members.index, key)},
        lambda parts: {"rows": np.concatenate([part["rows"] for part in parts])},
    )["rows"]  # fmt: skip
    before = int(counts[: members.index].sum())
    kept = {"own": table, "first": before, "counts": tuple(counts.tolist()), "group": members}
    survey = Survey(found["mean"], found["covariance"], sample)
    return RowsOfProcesses(table.features, table.named, int(counts.sum()), survey, kept)


def _refuse_strangers() -> None:
    """Refuse to be alone without knowing it."""
    if has_joined():
        return
    for name in LAUNCHERS:
        count = os.environ.get(name, "1")
        if count.isdecimal() and int(count) > 1:
            raise ArgumentError(
                f"{count} processes were started together ({name}), and this one does not know the others. Call "
                "jax.distributed.initialize() at the start of the script, or bayesgmm.join_processes."
            )
    raise ArgumentError(
        "processes=True, and this process has joined no others. Call jax.distributed.initialize() or "
        "bayesgmm.join_processes(address, num_processes, process_id) first; with num_processes=1 if it is the only one."
    )


def _plain[T: Table](table: T) -> T:
    if isinstance(table, RowsOfProcesses):
        raise ArgumentError("These rows are those of all processes already. Leave out processes=True.")
    wrong = [kind for kind in kinds_of(table) if not table.on_disk]
    if wrong == [GAPS]:
        row, column = np.argwhere(np.isnan(table.values))[0]
        raise DataError(
            f"{table.features[column]} is missing (NaN) in row {row:,} of the rows of this process, counting from 0. "
            "Rows of several processes must be complete. Drop such rows."
        )
    if wrong:
        raise DataError(f"Rows of several processes cannot have {WORDS[wrong[0]]}. Drop such rows, or leave them out.")
    return table


def _together(parts: list[Arrays]) -> Arrays:
    """Numbers of rows and moments of all; refused if the features differ."""
    first = parts[0]["features"].tolist()
    for index, part in enumerate(parts):
        if part["features"].tolist() != first:
            raise DataError(
                f"Process {index} has the features {', '.join(part['features'])}, and process 0 has "
                f"{', '.join(first)}. Give all processes the same columns in the same order."
            )
        if bool(part["named"]) != bool(parts[0]["named"]):
            raise DataError(
                f"The columns have names in process {index if part['named'] else 0} and none in process "
                f"{0 if part['named'] else index}. Give all processes the same kind of table."
            )
    sums = reduce(Sums.plus, [Sums(int(p["num"]), p["mean"], p["covariance"] * int(p["num"])) for p in parts])
    counts = np.asarray([int(part["num"]) for part in parts])
    return {"counts": counts, "mean": sums.mean, "covariance": sums.scatter / sums.num}


def _share(table: Table, counts: np.ndarray, index: int, key: PRNGKeyArray) -> np.ndarray:
    """What this process adds to a sample of all rows, drawn uniformly without replacement: some of its own sample."""
    total, words = int(counts.sum()), np.asarray(jr.key_data(key)).ravel().tolist()
    num = int(counts[index])
    if total > SAMPLE:
        picked = np.random.default_rng(words).choice(total, SAMPLE, replace=False)
        ends = np.cumsum(counts)
        num = int(((picked >= ends[index] - counts[index]) & (picked < ends[index])).sum())
    known = table.sample.values
    some = np.random.default_rng([*words, index]).choice(len(known), num, replace=False)
    return known[np.sort(some)]
