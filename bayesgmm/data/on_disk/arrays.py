"""Rows in arrays on disk: memory maps of NumPy, and arrays of Zarr."""

import mmap
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.data.on_disk.source import Part, Source, chosen, reason, refuse_text
from bayesgmm.data.paths import short
from bayesgmm.errors import DataError

KINDS = "iufb"
"""Kinds of NumPy that are real numbers."""


class Maps(Source):
    """Rows of ``.npy`` files, which are mapped and not read whole."""

    def __init__(self, files: list[Path], wanted: list[str] | None):
        """Read the headers only."""
        features, named = (), False
        maps = [_mapped(path) for path in files]
        for path, one in zip(files, maps, strict=True):
            present, named = _columns(one, path)
            names = tuple(chosen(wanted, present, path))
            if features and (names != features or present != _columns(maps[0], files[0])[0]):
                raise DataError(f"{short(path)} has other columns than {short(files[0])}. Give files of one table.")
            features = names
            kinds = {name: str(_column(one, name, present).dtype) for name in present}
            numeric = [name for name in present if np.dtype(kinds[name]).kind in KINDS]
            refuse_text({name: kinds[name] for name in names if name not in numeric}, numeric, path)
        super().__init__(files, features, named, [len(one) for one in maps])

    def parts(self, size: int) -> Iterator[Part]:
        """All rows in order, in parts of at most `size` rows."""
        for number, path in enumerate(self.files):
            whole = _mapped(path)
            present, _ = _columns(whole, path)
            for first in range(0, len(whole), size):
                some = whole[first : first + size]
                yield Part([np.asarray(_column(some, name, present)) for name in self.features], number, first)
                _forget(whole)


def _mapped(path: Path) -> np.ndarray:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises what its parser meets
        raise DataError(
            f"{short(path)} could not be read as an array of NumPy ({reason(error)}). It may be cut: write it again."
        ) from None
    if not isinstance(found, np.ndarray) or found.ndim not in (1, 2):
        raise DataError(f"{short(path)} must hold one array of shape (rows, features), got {np.shape(found)}.")
    return found


def _forget(whole: np.ndarray) -> None:
    """Take the pages that were read out of the memory of this process; the system keeps them while it has space."""
    mapped = getattr(whole, "_mmap", None)
    if mapped is not None and hasattr(mmap, "MADV_DONTNEED"):
        with suppress(OSError, ValueError):
            mapped.madvise(mmap.MADV_DONTNEED)


def _columns(array: Any, path: Path) -> tuple[list[str], bool]:
    """Names of the columns, and whether the file has them."""
    if array.dtype.names:
        if array.ndim != 1:
            raise DataError(f"{short(path)} has records in an array of shape {array.shape}. Give one record a row.")
        return list(array.dtype.names), True
    return [f"x{d}" for d in range(1 if array.ndim == 1 else array.shape[1])], False


def _column(array: np.ndarray, name: str, present: list[str]) -> np.ndarray:
    if array.dtype.names:
        return array[name]
    return array if array.ndim == 1 else array[:, present.index(name)]


class Zarr(Source):
    """Rows of an array of Zarr, (N, D) or (N,); or of a group with an array (N,) for each feature."""

    def __init__(self, path: Path | None, opened: Any, wanted: list[str] | None):
        """Read the description of the arrays only."""
        self._arrays: dict[str, Any] | None = dict(opened.arrays()) if hasattr(opened, "arrays") else None
        self._whole, self._called = opened, short(path) if path else "the array of Zarr"
        if self._arrays is None:
            if opened.ndim not in (1, 2):
                raise DataError(f"{self._called} must have shape (rows, features), got {opened.shape}.")
            present = [f"x{d}" for d in range(1 if opened.ndim == 1 else opened.shape[1])]
            kinds, lengths = dict.fromkeys(present, str(opened.dtype)), {opened.shape[0]}
        else:
            present = sorted(self._arrays)
            names = chosen(wanted, present, self._called)
            kinds = {name: str(one.dtype) for name, one in self._arrays.items()}
            lengths = {self._arrays[name].shape for name in names}
            if len(lengths) != 1 or len(next(iter(lengths))) != 1:
                shapes = ", ".join(f"{name} {self._arrays[name].shape}" for name in names)
                raise DataError(
                    f"{self._called} must hold an array (rows,) for each feature, of one length: {shapes or 'none'}. "
                    "Choose them by columns=[…]."
                )
            lengths = next(iter(lengths))
        names = chosen(wanted, present, self._called)
        numeric = [name for name in present if np.dtype(kinds[name]).kind in KINDS]
        refuse_text({name: kinds[name] for name in names if name not in numeric}, numeric, self._called)
        self._places = [present.index(name) for name in names]
        files = [] if path is None else [path]
        super().__init__(files, tuple(names), self._arrays is not None, [int(next(iter(lengths)))])

    def parts(self, size: int) -> Iterator[Part]:
        """All rows in order, in parts of whole chunks of the array: about `size` rows, or one chunk if that is more."""
        one = self._whole if self._arrays is None else self._arrays[self.features[0]]
        own = max(1, int(one.chunks[0]))
        step = max(size // own, 1) * own
        for first in range(0, self.num_rows, step):
            some = slice(first, min(first + step, self.num_rows))
            yield Part(self._read(some), 0, first)

    def place(self, file: int, row: int) -> str:
        """Where a row is, in words."""
        return f"row {row:,} of {self._called}"

    def _read(self, rows: slice) -> list[np.ndarray]:
        if self._arrays is not None:
            return [np.asarray(self._arrays[name][rows]) for name in self.features]
        values = np.asarray(self._whole[rows])
        return [values] if values.ndim == 1 else [values[:, d] for d in self._places]
