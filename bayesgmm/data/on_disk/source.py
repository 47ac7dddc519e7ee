"""What a format of files must give so that its rows can be read part by part."""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.data.paths import short
from bayesgmm.errors import DataError


class Part(NamedTuple):
    """Rows of one file that follow one another."""

    columns: list[np.ndarray]
    """The values of each feature, (n,) each, as the file has them: whole numbers, floating point or booleans."""
    file: int
    """The number of the file, in the order of `Source.files`."""
    first: int
    """The number of the first row in that file, from 0."""

    @property
    def num_rows(self) -> int:
        """Rows of this part."""
        return len(self.columns[0])


class Source:
    """Files that hold one table. A format has its own `parts`, and `place` if its files have inner parts with names."""

    def __init__(self, files: list[Path], features: tuple[str, ...], named: bool, num_rows: list[int]):
        """Keep names and sizes, and what the file system says of the files now."""
        self.files, self.features, self.named = files, features, named
        self.rows_of_files = num_rows
        self.num_rows = sum(num_rows)
        self._stamps = [stamp(path) for path in files]

    def parts(self, size: int) -> Iterator[Part]:
        """All rows in order, in parts of at most about `size` rows."""
        raise NotImplementedError

    def place(self, file: int, row: int) -> str:
        """Where a row of a file is, in words."""
        return f"row {row:,} of {short(self.files[file])}" if self.files else f"row {row:,}"

    def checked(self, size: int) -> Iterator[Part]:
        """`parts`, with errors that name the file.

        Raises
        ------
        DataError
            If a file cannot be read, has changed since it was opened, or does not have the rows that it says it has.
        """
        counts, at = [0] * len(self.rows_of_files), 0
        self.refuse_changes()
        try:
            for part in self.parts(size):
                at = part.file
                counts[at] += part.num_rows
                yield part
        except DataError:
            raise
        except (Exception, SystemError) as error:  # errors of pyarrow, NumPy and Zarr have no common base
            self.refuse_changes()
            raise self._unreadable(at, counts, error) from error
        self.refuse_changes()
        for i, (found, said) in enumerate(zip(counts, self.rows_of_files, strict=True)):
            if found != said:
                raise DataError(f"{self._name(i)} has {found:,} rows, but its header says {said:,}. Write it again.")

    def refuse_changes(self) -> None:
        """Refuse to go on with files that are not as they were when they were opened."""
        for path, before in zip(self.files, self._stamps, strict=True):
            if stamp(path) != before:
                raise DataError(
                    f"{short(path)} has changed since it was opened (bayesgmm.open_rows), so that passes would not see "
                    "the same rows. Open the rows again when nothing writes to them; a checkpoint of the run stays."
                )

    def _unreadable(self, file: int, counts: list[int], error: BaseException) -> DataError:
        if counts[file] >= self.rows_of_files[file] and file + 1 < len(counts):
            file += 1
        after = f" after row {counts[file]:,}" if counts[file] else ""
        return DataError(f"{self._name(file)} could not be read{after} ({reason(error)}). Write it again.")

    def _name(self, file: int) -> str:
        return short(self.files[file]) if self.files else "The data set"


def stamp(path: Path) -> Any:
    """Size and time of the last change of a file, or of all files below a folder; None if it is gone."""
    try:
        if not path.is_dir():
            found = os.stat(path)
            return found.st_size, found.st_mtime_ns
        inner = [os.stat(one) for one in path.rglob("*") if one.is_file()]
        return len(inner), sum(one.st_size for one in inner), max((one.st_mtime_ns for one in inner), default=0)
    except OSError:
        return None


def reason(error: BaseException) -> str:
    """The first line of what another library says."""
    return (str(error) or type(error).__name__).strip().splitlines()[0][:200]


def chosen(wanted: list[str] | None, present: list[str], path: Path | str) -> list[str]:
    """The columns to read of those that are there, in the order of the user; all if nothing is wanted.

    Raises
    ------
    DataError
        If a column is missing, or two have one name.
    """
    if twice := sorted({name for name in present if present.count(name) > 1}):
        raise DataError(f"Two columns of {short(path)} are called {', '.join(twice)}. Give each a different name.")
    if wanted is None:
        return present
    if missing := [name for name in wanted if name not in present]:
        raise DataError(f"{short(path)} has no column {', '.join(missing)}. Choose from {', '.join(present)}.")
    return wanted


def refuse_text(kinds: dict[str, str], numeric: list[str], path: Path | str) -> None:
    """Refuse columns that hold no numbers, from their kinds in words, and name those that do."""
    if not kinds:
        return
    others = f"Choose others by columns={numeric!r}" if numeric else "Give columns of numbers"
    wrong = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
    raise DataError(f"Not numeric in {short(path)}: {wrong}. {others}.")
