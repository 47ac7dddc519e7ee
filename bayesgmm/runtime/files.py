"""Files that are written whole or not at all, and the folder for the results of a run.

The content is made in memory, because HDF5 ends the process if the disk is full. It goes to a temporary file in the
same folder, which is then renamed: an earlier file of that name stays until the new one is complete.
"""

import errno
import io
import os
import secrets
import shutil
import tempfile
import time
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.errors import ArgumentError, SaveWarning

Content = Callable[[], Any]
"""Makes the bytes of a file."""
ABANDONED = 3600.0
"""Age in seconds of a temporary file that no process is still writing."""


def as_path(name: str, value: Any) -> Path:
    """A path from the argument `name`.

    Raises
    ------
    ArgumentError
        If it is not a str or a `pathlib.Path`, is blank, or holds characters that no file name can hold.
    """
    text = os.fspath(value) if isinstance(value, os.PathLike) else value
    if not isinstance(text, str):
        raise ArgumentError(f"{name} must be a path (str or pathlib.Path), got {value!r}.")
    try:
        possible = b"\0" not in os.fsencode(text)
    except UnicodeEncodeError:
        possible = False
    if not possible:
        raise ArgumentError(f"{name} holds a character that no file name can hold: {text!r}. Choose another path.")
    if not text.strip():
        raise ArgumentError(f"{name} is blank. Give a path, such as '.' for the current folder.")
    return Path(text)


def write(path: Path, content: Any) -> None:
    """Write bytes to a file, whole or not at all; create its folder if necessary.

    Raises
    ------
    OSError
        If the file cannot be written. An earlier file is then unchanged.
    """
    path = Path(os.path.realpath(path))  # a link stays a link
    if path.exists():
        if not path.is_file():  # a pipe or a device
            path.write_bytes(content)
            return
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, "The file is read-only", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    part = part_of(path.parent)
    try:
        with open(part, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    _remove_abandoned(path.parent)


def tree_forms(make: Callable[[], Any]) -> dict[str, Content]:
    """A DataTree as NetCDF; as ``.npz`` (draws, statistics and data only) if that fails."""
    return {".nc": lambda: _netcdf(make()), ".npz": lambda: _arrays(make())}


def csv_form(make: Callable[[], Any], index: bool = True) -> dict[str, Content]:
    """A DataFrame as CSV."""
    return {".csv": lambda: make().to_csv(index=index).encode("utf-8", "backslashreplace")}


def reason(error: BaseException) -> str:
    """Why a file could not be written."""
    return (isinstance(error, OSError) and error.strerror) or str(error) or type(error).__name__


class Output:
    """The folder for the results of one run. What cannot be written there goes to a temporary folder."""

    def __init__(self, folder: Any, argument: str = "save_to"):
        """Check the folder; the first file creates it.

        Raises
        ------
        ArgumentError
            If `folder` is not a path, or no file can be written there.
        """
        self.folder = as_path(argument, folder)
        self.problems: list[str] = []
        """Which files are not in the folder, why, and where they are instead."""
        self._aside: Path | None = None
        try:
            _refuse_unwritable(self.folder)
        except OSError as error:
            raise ArgumentError(
                f"The folder {self.folder} cannot be used ({reason(error)}). Choose another {argument}."
            ) from None

    def save(self, name: str, forms: Mapping[str, Content]) -> Path | None:
        """Write one file; if this fails, in the temporary folder; then the next form. A `SaveWarning` reports it.

        Parameters
        ----------
        name
            Its name without suffix.
        forms
            What makes its content, by suffix; the best form first.

        Returns
        -------
        Path or None
            Where it is; None if it could not be written anywhere.
        """
        first = None
        for suffix, make in forms.items():
            try:
                content = make()
            except Exception as error:
                first = first or error
                continue
            for place in (lambda: self.folder, self._temporary):
                try:
                    path = place() / f"{name}{suffix}"
                    write(path, content)
                except (OSError, ValueError) as error:
                    first = first or error
                    continue
                if first is not None:
                    self._report(name + next(iter(forms)), first, path)
                return path
        self._report(name + next(iter(forms)), first, None)
        return None

    def _temporary(self) -> Path:
        if self._aside is None:
            self._aside = Path(tempfile.mkdtemp(prefix="bayesgmm-"))
        return self._aside

    def _report(self, name: str, error: BaseException | None, instead: Path | None) -> None:
        path = self.folder / name
        words = f"{path} could not be written ({reason(error) if error else 'no content'})."
        with suppress(OSError):
            words += " The file of that name is from an earlier run." if path.exists() and path != instead else ""
        words += f" It is in {instead} instead." if instead else " It is saved nowhere."
        self.problems.append(words)
        warnings.warn(words, SaveWarning, stacklevel=4)


def _netcdf(tree: Any) -> bytes:
    """NetCDF with a checksum for each chunk of numbers, so that damaged numbers are an error of HDF5 when read."""
    checked = {}
    for node in tree.subtree:
        variables = node.to_dataset(inherit=False).variables
        numbers = [
            name for name, array in variables.items() if array.size and array.ndim and array.dtype.kind in "biufc"
        ]
        checked[node.path] = {name: {"fletcher32": True} for name in numbers}
    buffer = io.BytesIO()
    tree.to_netcdf(buffer, engine="h5netcdf", encoding=checked)
    return buffer.getvalue()  # a view of the buffer that xarray returns can outlive it, and then ends the process


def _arrays(tree: Any) -> bytes:
    """The arrays of some groups of a DataTree as an npz file: ``posterior/means``, and so on."""
    groups = {name: tree[name] for name in ("posterior", "sample_stats", "observed_data") if name in tree.children}
    found = {f"{group}/{name}": array.values for group, node in groups.items() for name, array in node.items()}
    for node in groups.values():
        found |= {name: np.asarray(array.values) for name, array in node.coords.items() if name == "feature"}
    buffer = io.BytesIO()
    plain = {name: _plain(values) for name, values in found.items()}
    np.savez_compressed(buffer, **plain)  # pyright: ignore[reportArgumentType]
    return buffer.getvalue()


def _plain(values: np.ndarray) -> np.ndarray:
    """An array that needs no pickle."""
    return values.astype(str) if values.dtype.kind not in "biufcU" else values


def _refuse_unwritable(folder: Path) -> None:
    """Raise OSError if the folder, or the nearest one above it that exists, takes no new file."""
    folder = folder.absolute()
    nearest = next(place for place in (folder, *folder.parents) if place.exists() or place.is_symlink())
    if not nearest.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, f"{nearest} is not a folder")
    part = part_of(nearest)
    with open(part, "xb"):
        pass
    part.unlink()


def part_of(folder: Path) -> Path:
    """A new name for a temporary file or folder; short, because file systems limit the length."""
    return folder / f".bayesgmm-{secrets.token_hex(8)}.part"


def _remove_abandoned(folder: Path) -> None:
    """Remove temporary files of processes that were killed."""
    with suppress(OSError):
        for path in folder.glob(".bayesgmm-*.part"):
            with suppress(OSError):
                if time.time() - path.stat().st_mtime > ABANDONED:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()
