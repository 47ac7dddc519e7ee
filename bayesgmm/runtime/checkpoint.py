"""Checkpoints on disk: the settings of a run, the state of its chains, and the draws so far.

A run resumes bit for bit after any interruption.

=====================  ======================================================================================
file                   contents
=====================  ======================================================================================
``run.json``           the settings (the ``question``): a run resumes only under the same settings
``state.npz``          the state of the chains after ``done`` steps
``draws-0000000.npz``  draws from this number on: arrays by name, leading axes (chain, draw), standardised
                       coordinates
``lock``               who uses the folder; the operating system frees it when that process ends
=====================  ======================================================================================

Each file is written whole or not at all (`files.write`), so that no interruption leaves a partial file. Draws are
written before the state that counts them.
"""

import io
import json
import os
import re
import time
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from bayesgmm.errors import CheckpointError, CheckpointWarning
from bayesgmm.runtime.files import as_path, reason, write
from bayesgmm.runtime.fingerprint import plain
from bayesgmm.runtime.lock import LOCK, Lock

SECONDS = 2.0
"""Least time between two saves, in seconds."""


class Checkpoint:
    """The folder of one run."""

    def __init__(self, folder: str | os.PathLike, question: dict[str, Any]):
        """Open the folder and lock it; create it if it does not exist. Leave the ``with`` block to unlock it.

        Raises
        ------
        ArgumentError
            If `folder` is not a path.
        CheckpointError
            If another run uses the folder, or it holds a run with other settings or other files, or cannot be written.
        """
        self.folder = as_path("checkpoint", folder)
        self._pending: list[dict[str, np.ndarray]] = []
        self._counted = 0
        self._names: list[str] = []
        self._last = time.monotonic()
        self.failed: str | None = None
        """Why saving stopped; None if it did not."""
        path = self.folder / "run.json"
        try:
            if not path.exists() and self.folder.exists() and any(map(_foreign, self.folder.iterdir())):
                raise CheckpointError(f"{self.folder} is not empty and holds no run. Choose another folder.")
            self.folder.mkdir(parents=True, exist_ok=True)
            self._lock = Lock(self.folder)
        except OSError as error:
            raise CheckpointError(f"{path} cannot be used ({error}). Choose another folder.") from None
        try:
            if path.exists():
                _compare(self.folder, _parsed(path.read_text()), question)
            else:
                write(path, json.dumps(question, indent=1, default=_plain_number).encode())
        except (OSError, ValueError) as error:
            self._lock.release()
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path} cannot be used ({error}). Choose another folder.") from None

    def __enter__(self) -> "Checkpoint":
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    @property
    def has_state(self) -> bool:
        """Whether the run was saved before."""
        return (self.folder / "state.npz").exists()

    def load(self, state: Any) -> tuple[Any, int, list[dict[str, np.ndarray]]]:
        """The saved state, its number of steps and the saved draws; the given `state` and no draws if nothing is saved.

        Raises
        ------
        CheckpointError
            If a file is damaged.
        """
        path = self.folder / "state.npz"
        if not path.exists():
            return state, 0, []
        leaves, structure = jax.tree.flatten(state)
        try:
            with open(path, "rb") as file, np.load(file) as saved:
                done, self._counted = int(saved["done"]), int(saved["counted"])
                found = [saved[f"leaf{i}"] for i in range(len(leaves))]
                self._names = saved["names"].tolist()
            blocks = []
            for draws in sorted(filter(_is_block, self.folder.iterdir())):
                if int(draws.stem[6:]) < self._counted:
                    with open(draws, "rb") as file, np.load(file) as saved:
                        blocks.append(dict(saved))
                    if sorted(blocks[-1]) != self._names:
                        raise ValueError(f"{draws.name} should hold {', '.join(self._names)}")
                    if len({array.shape[:2] for array in blocks[-1].values()}) != 1:
                        raise ValueError(f"the arrays in {draws.name} differ in length")
            kept = sum(_length(block) for block in blocks)
            if kept != self._counted:
                raise ValueError(f"it holds {kept} draws, but {self._counted} were counted")
            restored = [as_leaf(leaf, array) for leaf, array in zip(leaves, found, strict=True)]
        except Exception as error:
            raise CheckpointError(f"{self.folder} is damaged ({error}). Remove it and start again.") from None
        return jax.tree.unflatten(structure, restored), done, blocks

    def add(self, state: Any, done: int, draws: dict[str, np.ndarray] | None, now: bool = False) -> None:
        """Record a block of draws. Write it to disk if the last save is at least `SECONDS` ago, or `now`.

        A full disk stops the saving, not the run. A `CheckpointWarning` reports it.
        """
        if self.failed is not None:
            return
        if draws is not None:
            self._pending.append(draws)
        if not now and time.monotonic() - self._last < SECONDS:
            return
        try:
            if self._pending:
                joined = {name: np.concatenate([b[name] for b in self._pending], axis=1) for name in self._pending[0]}
                _save(self.folder / f"draws-{self._counted:07d}.npz", joined)
                self._counted += _length(joined)
                self._names = sorted(joined)
                self._pending = []
            leaves = {f"leaf{i}": plain(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
            about = {
                "done": np.asarray(done),
                "counted": np.asarray(self._counted),
                "names": np.asarray(self._names, str),
            }
            _save(self.folder / "state.npz", leaves | about)
        except OSError as error:
            self.failed = reason(error)
            _warn(self.folder, error)
        self._last = time.monotonic()


@dataclass(frozen=True)
class FrozenKey:
    """A random key on the host."""

    words: np.ndarray
    kind: str


def freeze(state: Any) -> Any:
    """The state as host arrays. They can be pickled, and keep double precision outside `scope`."""

    def host(leaf: Any) -> Any:
        return (
            FrozenKey(plain(leaf), str(jr.key_impl(leaf)))
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else np.asarray(leaf)
        )

    return jax.tree.map(host, state)


def thaw(state: Any) -> Any:
    """The inverse of `freeze`: the state on the device."""
    return jax.tree.map(
        lambda leaf: (
            jr.wrap_key_data(jnp.asarray(leaf.words), impl=leaf.kind)
            if isinstance(leaf, FrozenKey)
            else jnp.asarray(leaf)
        ),
        state,
    )


def read_lines(path: Path, question: dict[str, Any], *keys: tuple[str, ...]) -> list[dict[str, Any]]:
    """Read the lines that `append_line` wrote under the same settings; create the file if it does not exist.

    The first line of the file holds the settings. It is not returned. Each line has all of one of the tuples of keys.

    Raises
    ------
    CheckpointError
        If the file was written under other settings, or cannot be used.
    """
    try:
        if not path.exists():
            write(path, (json.dumps(question, default=_plain_number) + "\n").encode())
        text = path.read_text()
        if not text.endswith("\n"):  # the last line is incomplete
            text = text[: text.rfind("\n") + 1]
            write(path, text.encode())
        found, *lines = [_parsed(line) for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be used ({error}). Choose another folder.") from None
    _compare(path, found, question)
    if not all(isinstance(line, dict) and any(line.keys() >= set(some) for some in keys) for line in lines):
        raise CheckpointError(f"{path} is damaged (a line is not a result). Remove it and start again.")
    return lines


def append_line(path: Path, line: Any) -> bool:
    """Append one line of JSON. If the disk is full, warn with `CheckpointWarning` and return False."""
    try:
        with open(path, "a") as file:
            file.write(json.dumps(line) + "\n")
    except OSError as error:
        _warn(path, error)
        return False
    return True


def _warn(place: Path, error: OSError) -> None:
    warnings.warn(
        f"{place} can no longer be written ({reason(error)}). The run continues in memory and returns its result. "
        "Free disk space, and save the result.",
        CheckpointWarning, stacklevel=3,
    )  # fmt: skip


def _compare(place: Path, found: Any, question: dict[str, Any]) -> None:
    if not isinstance(found, dict):
        raise CheckpointError(f"{place} holds no run. Choose another folder.")
    other = [name for name in {**found, **question} if found.get(name) != question.get(name)]
    if other:
        differences = "; ".join(_difference(name, found.get(name), question.get(name)) for name in other)
        raise CheckpointError(
            f"{place} holds a run with other settings ({differences}). "
            "Choose another folder, or resume with the saved settings."
        )


def _difference(name: str, saved: Any, now: Any) -> str:
    """Two settings that differ, in words: those that a fingerprint stands for have no readable values."""
    if any(isinstance(value, str) and re.fullmatch("[0-9a-f]{16}", value) for value in (saved, now)):
        return f"other {name}"
    return f"{name}: saved {saved!r}, now {now!r}"


def _plain_number(value: Any) -> Any:
    """A NumPy number as a Python number, for JSON."""
    return value.item()


def _length(block: dict[str, np.ndarray]) -> int:
    return next(iter(block.values())).shape[1]


def as_leaf(like: Any, array: np.ndarray) -> jax.Array:
    """A saved array in place of a leaf of a state; ValueError if it is none such."""
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jr.wrap_key_data(jnp.asarray(array), impl=jr.key_impl(like))
    if array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(f"an array has shape {array.shape}, expected {like.shape}")
    return jnp.asarray(array)


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)  # pyright: ignore[reportArgumentType]
    write(path, buffer.getvalue())


def _parsed(text: str) -> Any:
    """A value from JSON; ValueError if it is not JSON, or is nested too deeply."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _is_block(path: Path) -> bool:
    return re.fullmatch(r"draws-\d{7,}\.npz", path.name) is not None


def _foreign(path: Path) -> bool:
    """Whether a file is none of those that a run leaves before its settings are written."""
    return path.suffix != ".part" and path.name != LOCK
