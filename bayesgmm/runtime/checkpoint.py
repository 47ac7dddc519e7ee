"""Checkpoints on disk: the settings of a run, the state of its chains, and the draws so far.

A run resumes bit for bit after any interruption.

=====================  ======================================================================================
file                   contents
=====================  ======================================================================================
``run.json``           the settings (the ``question``): a run resumes only under the same settings
``state.npz``          the state of the chains after ``done`` steps
``draws-0000000.npz``  draws from this number on: arrays by name, leading axes (chain, draw), standardised
                       coordinates
=====================  ======================================================================================

Each file is written to a temporary file and then renamed, so that no interruption leaves a partial file. Draws are
written before the state that counts them.
"""

import hashlib
import json
import os
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from bayesgmm.errors import CheckpointError, CheckpointWarning

SECONDS = 2.0
"""Least time between two saves, in seconds."""


class Checkpoint:
    """The folder of one run."""

    def __init__(self, folder: str | os.PathLike, question: dict[str, Any]):
        """Open the folder; create it if it does not exist.

        Raises
        ------
        CheckpointError
            If the folder holds a run with other settings or other files, or cannot be written.
        """
        self.folder = Path(folder)
        self._pending: list[dict[str, np.ndarray]] = []
        self._counted = 0
        self._last = time.monotonic()
        self.failed: str | None = None
        """Why saving stopped; None if it did not."""
        path = self.folder / "run.json"
        try:
            if path.exists():
                _compare(self.folder, json.loads(path.read_text()), question)
            elif self.folder.exists() and any(file.suffix != ".part" for file in self.folder.iterdir()):
                raise CheckpointError(f"{self.folder} is not empty and holds no run. Choose another folder.")
            else:
                self.folder.mkdir(parents=True, exist_ok=True)
                _replace(path, json.dumps(question, indent=1, default=_plain_number).encode())
        except (OSError, ValueError) as error:
            if isinstance(error, CheckpointError):
                raise
            raise CheckpointError(f"{path} cannot be used ({error}). Choose another folder.") from None

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
            blocks = []
            for draws in sorted(self.folder.glob("draws-*.npz")):
                if int(draws.stem[6:]) < self._counted:
                    with open(draws, "rb") as file, np.load(file) as saved:
                        blocks.append(dict(saved))
            kept = sum(_length(block) for block in blocks)
            if kept != self._counted:
                raise ValueError(f"it holds {kept} draws, but {self._counted} were counted")
            restored = [_as(leaf, array) for leaf, array in zip(leaves, found, strict=True)]
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
                self._pending = []
            leaves = {f"leaf{i}": _plain(leaf) for i, leaf in enumerate(jax.tree.leaves(state))}
            _save(self.folder / "state.npz", leaves | {"done": np.asarray(done), "counted": np.asarray(self._counted)})
        except OSError as error:
            self.failed = str(error)
            _warn(self.folder, error)
        self._last = time.monotonic()


@dataclass(frozen=True)
class _Key:
    """A random key on the host."""

    words: np.ndarray
    kind: str


def freeze(state: Any) -> Any:
    """The state as host arrays. They can be pickled, and keep double precision outside `scope`."""

    def host(leaf: Any) -> Any:
        return (
            _Key(_plain(leaf), str(jr.key_impl(leaf)))
            if jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
            else np.asarray(leaf)
        )

    return jax.tree.map(host, state)


def thaw(state: Any) -> Any:
    """The inverse of `freeze`: the state on the device."""
    return jax.tree.map(
        lambda leaf: (
            jr.wrap_key_data(jnp.asarray(leaf.words), impl=leaf.kind) if isinstance(leaf, _Key) else jnp.asarray(leaf)
        ),
        state,
    )


def fingerprint(*trees: Any) -> str:
    """A short hash of arrays (values, shapes and dtypes), and of functions and classes (names).

    Raises
    ------
    CheckpointError
        If a part is neither, because another process could not identify it.
    """
    digest = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        if callable(leaf):
            digest.update(full_name(leaf).encode())
            continue
        array = np.ascontiguousarray(_plain(leaf))
        if array.dtype.hasobject:
            raise CheckpointError(
                f"A checkpoint cannot identify an object of type {type(leaf).__name__}. Run without a checkpoint."
            )
        digest.update(f"{array.dtype}{array.shape}".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()[:16]


def full_name(function: Callable) -> str:
    """Module and qualified name of a function or class, so that another process can identify it.

    Raises
    ------
    CheckpointError
        If it has no name.
    """
    name = getattr(function, "__qualname__", None)
    if name is None or "<lambda>" in name:
        raise CheckpointError(
            f"A checkpoint must identify {function!r} by name, and it has none. Define it with def or class."
        )
    return f"{function.__module__}.{name}"


def read_lines(path: Path, question: dict[str, Any]) -> list[Any]:
    """Read the lines that `append_line` wrote under the same settings; create the file if it does not exist.

    The first line of the file holds the settings. It is not returned.

    Raises
    ------
    CheckpointError
        If the file was written under other settings, or cannot be used.
    """
    try:
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _replace(path, (json.dumps(question, default=_plain_number) + "\n").encode())
        text = path.read_text()
        if not text.endswith("\n"):  # the last line is incomplete
            text = text[: text.rfind("\n") + 1]
            _replace(path, text.encode())
        found, *lines = [json.loads(line) for line in text.splitlines()]
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path} cannot be used ({error}). Choose another folder.") from None
    _compare(path, found, question)
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
        f"{place} can no longer be written ({error}). The run continues in memory and returns its result. "
        "Free disk space, and save the result.",
        CheckpointWarning, stacklevel=3,
    )  # fmt: skip


def _compare(place: Path, found: Any, question: dict[str, Any]) -> None:
    if not isinstance(found, dict):
        raise CheckpointError(f"{place} holds no run. Choose another folder.")
    other = [name for name in {**found, **question} if found.get(name) != question.get(name)]
    if other:
        differences = "; ".join(f"{name}: saved {found.get(name)!r}, now {question.get(name)!r}" for name in other)
        raise CheckpointError(
            f"{place} holds a run with other settings ({differences}). "
            "Choose another folder, or resume with the saved settings."
        )


def _plain_number(value: Any) -> Any:
    """A NumPy number as a Python number, for JSON."""
    return value.item()


def _length(block: dict[str, np.ndarray]) -> int:
    return next(iter(block.values())).shape[1]


def _plain(leaf: Any) -> np.ndarray:
    if isinstance(leaf, jax.Array) and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key):
        leaf = jr.key_data(leaf)
    return np.asarray(leaf)


def _as(like: Any, array: np.ndarray) -> jax.Array:
    if jnp.issubdtype(like.dtype, jax.dtypes.prng_key):
        return jr.wrap_key_data(jnp.asarray(array), impl=jr.key_impl(like))
    if array.shape != like.shape or array.dtype != like.dtype:
        raise ValueError(f"an array has shape {array.shape}, expected {like.shape}")
    return jnp.asarray(array)


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    aside = path.with_suffix(".part")
    with open(aside, "wb") as file:
        np.savez(file, **arrays)  # pyright: ignore[reportArgumentType]
        file.flush()
        os.fsync(file.fileno())
    aside.replace(path)


def _replace(path: Path, content: bytes) -> None:
    aside = path.with_suffix(".part")
    aside.write_bytes(content)
    aside.replace(path)
