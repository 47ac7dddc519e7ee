"""Rows in arrays on disk: files of NumPy, and arrays of Zarr."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from bayesgmm.data.on_disk.source import Part, Source, chosen, reason, refuse_text
from bayesgmm.data.paths import short
from bayesgmm.errors import DataError

KINDS = "iufb"
"""Kinds of NumPy that are real numbers."""


class Layout(NamedTuple):
    """What the header of a ``.npy`` file says."""

    dtype: np.dtype
    shape: tuple[int, ...]
    by_columns: bool
    """Whether each column is in one piece (Fortran order)."""
    offset: int
    """Where the values begin, in bytes."""

    @property
    def width(self) -> int:
        """Values of a row; a record is one."""
        return self.shape[1] if len(self.shape) == 2 else 1


class Arrays(Source):
    """Rows of ``.npy`` files, by ordinary reads: a file that is cut during a run gives an error.

    A memory map would end the process, with a signal of the system.
    """

    def __init__(self, files: list[Path], wanted: list[str] | None):
        """Read the headers only."""
        features, named = (), False
        self._layouts = [_layout(path) for path in files]
        first = _columns(self._layouts[0], files[0])[0]
        for path, one in zip(files, self._layouts, strict=True):
            present, named = _columns(one, path)
            names = tuple(chosen(wanted, present, path))
            if features and (names != features or present != first):
                raise DataError(f"{short(path)} has other columns than {short(files[0])}. Give files of one table.")
            features = names
            kinds = {name: str(one.dtype[name] if one.dtype.names else one.dtype) for name in present}
            numeric = [name for name in present if np.dtype(kinds[name]).kind in KINDS]
            refuse_text({name: kinds[name] for name in names if name not in numeric}, numeric, path)
        super().__init__(files, features, named, [one.shape[0] for one in self._layouts])

    def parts(self, size: int) -> Iterator[Part]:
        """All rows in order, in parts of at most `size` rows."""
        for number, (path, layout) in enumerate(zip(self.files, self._layouts, strict=True)):
            present, _ = _columns(layout, path)
            with open(path, "rb", buffering=0) as file:
                for first in range(0, layout.shape[0], size):
                    count = min(size, layout.shape[0] - first)
                    yield Part(
                        _read(file, layout, first, count, [present.index(f) for f in self.features]), number, first
                    )


def _layout(path: Path) -> Layout:
    try:
        found = np.load(path, mmap_mode="r", allow_pickle=False)
    except Exception as error:  # NumPy raises what its parser meets
        objects = "object" in str(error).lower()
        advice = "Save it as numbers (x.astype(float))." if objects else "It may be cut: write it again."
        raise DataError(f"{short(path)} could not be read as an array of NumPy ({reason(error)}). {advice}") from None
    if not isinstance(found, np.memmap) or found.ndim not in (1, 2):
        raise DataError(f"{short(path)} must hold one array of shape (rows, features), got {np.shape(found)}.")
    by_columns = found.ndim == 2 and found.flags.f_contiguous and not found.flags.c_contiguous
    return Layout(found.dtype, found.shape, by_columns, found.offset)


def _read(file: BinaryIO, layout: Layout, first: int, count: int, places: list[int]) -> list[np.ndarray]:
    """The values (count,) of the features in these columns."""
    each = layout.dtype.itemsize
    if layout.by_columns:
        return [
            _values(file, layout.dtype, layout.offset + (d * layout.shape[0] + first) * each, count) for d in places
        ]
    width = layout.width
    values = _values(file, layout.dtype, layout.offset + first * width * each, count * width).reshape(count, width)
    if layout.dtype.names:
        return [values[layout.dtype.names[d]][:, 0] for d in places]
    return [values[:, d] for d in places]


def _values(file: BinaryIO, dtype: np.dtype, start: int, count: int) -> np.ndarray:
    """So many values from a place of a file on."""
    values = np.empty(count, dtype)
    left = memoryview(values.view(np.uint8))
    file.seek(start)
    while len(left):
        done = file.readinto(left)  # pyright: ignore[reportAttributeAccessIssue]
        if not done:
            raise DataError(f"{short(Path(file.name))} ends before its last row: it was cut. Write it again.")
        left = left[done:]
    return values


def _columns(layout: Layout, path: Path) -> tuple[list[str], bool]:
    """Names of the columns, and whether the file has them."""
    if layout.dtype.names:
        if len(layout.shape) != 1:
            raise DataError(f"{short(path)} has records in an array of shape {layout.shape}. Give one record a row.")
        return list(layout.dtype.names), True
    return [f"x{d}" for d in range(layout.width)], False


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
