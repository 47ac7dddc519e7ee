"""The bytes of a data file, unpacked. What a file is, its first bytes say; its suffix counts if they do not."""

import bz2
import gzip
import io
import lzma
import zipfile
import zlib
from pathlib import Path
from typing import Any

from bayesgmm.data.datasets import SOURCES
from bayesgmm.data.paths import read_bytes, short
from bayesgmm.data.standard_input import SIGN, read_standard_input
from bayesgmm.errors import DataError
from bayesgmm.runtime.memory import free_memory

READERS = {
    ".xls": "pandas.read_excel", ".xlsb": "pandas.read_excel", ".ods": "pandas.read_excel", ".dta": "pandas.read_stata",
    ".sav": "pandas.read_spss", ".sas7bdat": "pandas.read_sas", ".json": "pandas.read_json", ".npz": "numpy.load",
    ".nc": "xarray.open_dataset", ".orc": "pandas.read_orc", ".rds": "pyreadr.read_r", ".rdata": "pyreadr.read_r",
}  # fmt: skip
"""Files that are not read, and the function that reads them to a frame or an array."""
KINDS = {
    b"\x1f\x8b": ".gz", b"BZh": ".bz2", b"\xfd7zXZ\0": ".xz", b"PK\x03\x04": ".zip", b"PAR1": ".parquet",
    b"\x89HDF": ".nc", b"\x93NUMPY": ".npy", b"\xd0\xcf\x11\xe0": ".xls", b"ARROW1": ".feather",
}  # fmt: skip
"""First bytes of files, and the suffix of such files."""
PACKED = {".gz": "gzip", ".bz2": "bz2", ".xz": "xz", ".zip": "zip"}
"""Suffixes of packed files, and their names in pandas."""
SHARE = 8
"""The unpacked bytes may take this part of the free memory (1/8): text takes several times as much while it is read."""


def contents(given: str | Path) -> tuple[bytes, str, str]:
    """The bytes of a file, or of standard input for the text ``-``, unpacked.

    Returns
    -------
    raw
        The bytes.
    suffix
        The suffix in lower case, without that of the packing.
    packing
        Its name in pandas, if the suffix does not say it; else empty.

    Raises
    ------
    DataError
        If there is no such file, it is of a kind that is not read, or it cannot be unpacked.
    """
    path = Path(given)
    suffix = path.suffix.lower()
    advice = f"Check the path, or choose a built-in data set: {', '.join(SOURCES)}."
    raw = read_standard_input() if given == SIGN else read_bytes(path, DataError, advice)
    kind = _kind(raw, path, suffix)
    if kind not in PACKED:
        return raw, kind, ""
    raw, inside = _unpacked(raw, path, kind)
    inner = _kind(raw, path, suffix if suffix not in PACKED else inside)
    if inner in PACKED:
        raise DataError(f"{short(path)} is packed twice. Unpack it, and give the path of the file in it.")
    return raw, inner, "" if kind == suffix else PACKED[kind]


def _kind(raw: bytes, path: Path, suffix: str) -> str:
    """The suffix that such a file has."""
    kind = (
        suffix if suffix in READERS else next((kind for start, kind in KINDS.items() if raw.startswith(start)), suffix)
    )
    if suffix in (".xlsx", ".xlsm") and kind in (".zip", ".xls"):
        return suffix  # a workbook, perhaps with a password
    if kind == ".zip" and _is_workbook(raw):
        kind = ".xlsx"
    if kind in READERS:
        what = (
            f"{short(path)} is a file {kind}, which is not read" if kind != suffix else f"Files {suffix} are not read"
        )
        raise DataError(f"{what}. Read it with {READERS[kind]}, and pass the result or save it as CSV.")
    return kind


def _is_workbook(raw: bytes) -> bool:
    """Whether an archive is a workbook of Excel itself, and does not hold one."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            return "[Content_Types].xml" in archive.namelist() and any(n.startswith("xl/") for n in archive.namelist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def _unpacked(raw: bytes, path: Path, kind: str) -> tuple[bytes, str]:
    """The bytes in a packed file, and the suffix of their name."""
    packed, inside = io.BytesIO(raw), path.with_suffix("").suffix.lower()
    try:
        if kind == ".gz":
            return _read(gzip.GzipFile(fileobj=packed), path), inside
        if kind == ".bz2":
            return _read(bz2.BZ2File(packed), path), inside
        if kind == ".xz":
            return _read(lzma.LZMAFile(packed), path), inside
        with zipfile.ZipFile(packed) as archive:
            members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if len(members) != 1:
                raise DataError(f"{short(path)} holds {len(members)} files. Unpack it, and give the path of one.")
            return _read(archive.open(members[0]), path), Path(members[0]).suffix.lower()
    except DataError:
        raise
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{short(path)} could not be unpacked ({error}). Check that it is a {kind} file, complete and without a "
            "password."
        ) from None


def _read(stream: Any, path: Path) -> bytes:
    """All bytes of a stream, unless they take more than their share of the free memory."""
    most, found = free_memory() / SHARE, io.BytesIO()
    with stream:
        while block := stream.read(2**20):
            found.write(block)
            if found.tell() > most:
                raise DataError(
                    f"{short(path)} holds more than {most / 1e9:.2g} GB when unpacked, which is an eighth of the free "
                    "memory. Read a part of it, such as pandas.read_csv(path, nrows=100_000), and pass the frame."
                )
    return found.getvalue()
