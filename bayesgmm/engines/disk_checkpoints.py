"""Checkpoints of EM and CAVI over rows on disk or in Dask: the state of a run between two passes."""

from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from typing import Any

import jax
import numpy as np

from bayesgmm.engines.run_identity import run_identity
from bayesgmm.engines.shared_checkpoint import checkpoint_of
from bayesgmm.errors import ArgumentError
from bayesgmm.problem import Problem
from bayesgmm.runtime.checkpoint import Checkpoint
from bayesgmm.runtime.files import as_path
from bayesgmm.runtime.fingerprint import fingerprint


def open_checkpoint(
    folder: str | PathLike | None, problem: Problem, algorithm: str, settings: dict[str, Any], seed: Any
) -> AbstractContextManager[Checkpoint | None]:
    """The folder of a run, locked; None if there is none.

    Raises
    ------
    ArgumentError
        If the rows are in memory, where runs end before they could be saved.
    CheckpointError
        If the folder holds another run, or cannot be used.
    """
    if folder is None:
        return nullcontext()
    place = as_path("checkpoint", folder)
    if not problem.table.on_disk:
        raise ArgumentError(
            f"checkpoint saves {algorithm.upper()} over rows on disk (open_rows), in Dask or of several processes. For "
            "rows in memory leave it out."
        )
    return checkpoint_of(place, _identity(problem, algorithm, settings, seed), problem.rows)


def _identity(problem: Problem, algorithm: str, settings: dict[str, Any], seed: Any) -> dict[str, Any]:
    """Everything that determines the path, in short form."""
    settings = {name: value for name, value in settings.items() if name != "algorithm"}
    plain = {name: value for name, value in settings.items() if isinstance(value, str | int | float | bool | None)}
    others = {name: fingerprint(_arrays(value)) for name, value in settings.items() if name not in plain}
    return run_identity(
        problem.model, algorithm, seed, **plain, **others, n_components=problem.num_components,
        dtype=problem.dtype,
    )  # fmt: skip


def _arrays(value: Any) -> Any:
    return jax.tree.map(np.asarray, value)
