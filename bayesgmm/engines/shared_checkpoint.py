"""The checkpoint of a run of several processes: the first one reads and writes it for the others."""

from pathlib import Path
from typing import Any

import jax
import numpy as np

from bayesgmm.runtime.checkpoint import Checkpoint, as_leaf
from bayesgmm.runtime.fingerprint import plain
from bayesgmm.runtime.group import Arrays, Group
from bayesgmm.sweep.passed import HostRows


def checkpoint_of(folder: Path, question: dict[str, Any], rows: Any) -> Checkpoint:
    """The folder of a run over these rows, locked.

    Raises
    ------
    CheckpointError
        If another run uses the folder, or it holds one with other settings; in all processes that share the rows.
    """
    group = rows.group if isinstance(rows, HostRows) else None
    return Checkpoint(folder, question) if group is None else SharedCheckpoint(folder, question, group)


class SharedCheckpoint(Checkpoint):
    """The folder of a run, in the file system of the first process; the others need no access to it."""

    def __init__(self, folder: Path, question: dict[str, Any], group: Group):
        """Open it in the first process."""
        self._group = group
        self.folder, self.failed = folder, None
        super_init = super().__init__

        def own() -> Arrays:
            if group.index == 0:
                super_init(folder, question)
            return {}

        group.exchange("the checkpoint of a run", own, lambda parts: {})

    def __exit__(self, *_: object) -> None:
        if self._group.index == 0:
            super().__exit__()

    def load(self, state: Any) -> tuple[Any, int, list[dict[str, np.ndarray]]]:
        """The state that the first process has saved, in all processes; see `Checkpoint.load`."""
        leaves, structure = jax.tree.flatten(state)
        found = self._group.exchange("the saved state", lambda: self._saved(state), lambda parts: parts[0])
        kept = [found[f"leaf{i}"] for i in range(len(leaves))]
        restored = [as_leaf(leaf, array) for leaf, array in zip(leaves, kept, strict=True)]
        blocks = [{} for _ in range(int(found["blocks"]))]
        for name, array in found.items():
            if name.startswith("block "):
                _, number, of_what = name.split(" ", 2)
                blocks[int(number)][of_what] = array
        return jax.tree.unflatten(structure, restored), int(found["done"]), blocks

    def add(self, state: Any, done: int, draws: dict[str, np.ndarray] | None, now: bool = False) -> None:
        """Save in the first process; see `Checkpoint.add`."""
        if self._group.index == 0:
            super().add(state, done, draws, now)

    def _saved(self, state: Any) -> Arrays:
        if self._group.index > 0:
            return {}
        state, done, blocks = super().load(state)
        leaves = {f"leaf{i}": plain(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
        draws = {f"block {i} {name}": array for i, block in enumerate(blocks) for name, array in block.items()}
        return {"done": np.asarray(done), "blocks": np.asarray(len(blocks)), **leaves, **draws}
