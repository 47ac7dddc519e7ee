"""Read data files: text with separators, Parquet, or a built-in data set by name."""

import bz2
import csv
import gzip
import io
import lzma
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.data.convert import as_doubles
from bayesgmm.data.datasets import SOURCES, load_dataset
from bayesgmm.data.delimited import Delimited, read_delimited
from bayesgmm.data.marks import to_numbers
from bayesgmm.data.paths import printable, read_bytes, short
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

READERS = {
    ".xlsx": "pandas.read_excel", ".xls": "pandas.read_excel", ".ods": "pandas.read_excel", ".dta": "pandas.read_stata",
    ".sav": "pandas.read_spss", ".sas7bdat": "pandas.read_sas", ".feather": "pandas.read_feather",
    ".arrow": "pandas.read_feather", ".json": "pandas.read_json", ".npy": "numpy.load", ".npz": "numpy.load",
    ".nc": "xarray.open_dataset", ".orc": "pandas.read_orc", ".rds": "pyreadr.read_r", ".rdata": "pyreadr.read_r",
}  # fmt: skip
"""Files that are not read, and the function that reads them to a frame or an array."""
_UNPACK = {".gz": gzip.decompress, ".bz2": bz2.decompress, ".xz": lzma.decompress}


def read_file(
    path: str | Path, columns: list[str] | str | None = None, say: Callable[[str], object] | None = None
) -> Table:
    """Read text with separators (.csv, .tsv, .txt, …), a Parquet file, or a built-in data set by name.

    Parameters
    ----------
    path
        The file, perhaps packed (.gz, .bz2, .xz, .zip); or a name such as ``"faithful"``.
    columns
        The features to keep, as a list or separated by commas (with quotes around names that hold commas); all columns
        by default.
    say
        Called with one line about what was read. Without it, text with decimal commas, with thousands marks or without
        a header is refused, since nobody would see that these were inferred.

    Raises
    ------
    DataError
        If the file is missing, unreadable, ambiguous or empty, a column does not exist, or `as_table` refuses the data.
        The message has the line, and the call that reads such a file.
    """
    text, wanted = None, _wanted(columns)
    if str(path) in SOURCES:
        frame, notes = load_dataset(str(path)), []
    else:
        raw, suffix = _contents(Path(path))
        if suffix in (".parquet", ".pq"):
            frame, notes = _parquet(raw, path), []
        else:
            text = read_delimited(raw, short(path), wanted and [str(columns), *wanted])
            frame, notes = text.frame, text.notes
            if text.options and say is None:
                _refuse_inferred(text, path)
    if wanted is not None:
        frame = frame.rename(columns=lambda name: str(name).strip())
        frame = _chosen(frame, [columns] if columns in list(frame.columns) else wanted)
    if frame.empty:
        raise DataError(f"{short(path)} has no rows. Check the file and its separator.")
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError(f"Two columns are called {_quoted(twice)} in {short(path)}. Give each a different name.")
    table = as_table(_checked(frame, path) if text is None else _numbers(frame, text, path))
    if say is not None:
        names = _quoted(table.features[:8]) + (", …" if table.dim > 8 else "")
        about = [
            f"{table.num_rows} rows",
            f"{table.dim} column{'s' * (table.dim > 1)} ({names})",
            *dict.fromkeys(notes),
        ]
        say(printable(f"Read {short(path)}: {', '.join(about)}."))
    return table


def _contents(path: Path) -> tuple[bytes, str]:
    """The bytes of a file, unpacked, and its suffix in lower case without that of the packing."""
    suffix = path.suffix.lower()
    raw = read_bytes(path, DataError, f"Check the path, or choose a built-in data set: {', '.join(SOURCES)}.")
    if suffix in READERS:
        call = READERS[suffix]
        raise DataError(f"Files {suffix} are not read. Read it with {call}, and pass the result or save it as CSV.")
    return _unpacked(raw, path, suffix)


def _unpacked(raw: bytes, path: Path, suffix: str) -> tuple[bytes, str]:
    try:
        if suffix in _UNPACK:
            return _UNPACK[suffix](raw), path.with_suffix("").suffix.lower()
        if suffix != ".zip":
            return raw, suffix
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = [name for name in archive.namelist() if not name.endswith("/") and "__MACOSX" not in name]
            if len(members) != 1:
                raise DataError(f"{short(path)} holds {len(members)} files. Unpack it, and give the path of one.")
            return archive.read(members[0]), Path(members[0]).suffix.lower()
    except DataError:
        raise
    except (OSError, EOFError, ValueError, RuntimeError, zlib.error, lzma.LZMAError, zipfile.BadZipFile) as error:
        raise DataError(
            f"{short(path)} could not be unpacked ({error}). Check that it is a {suffix} file, complete and without a "
            "password."
        ) from None


def _parquet(raw: bytes, path: str | Path) -> "pd.DataFrame":
    import pandas as pd

    try:
        return pd.read_parquet(io.BytesIO(raw))
    except ImportError:
        raise DataError(
            f"{short(path)} cannot be read, because Parquet files need pyarrow: pip install 'bayesgmm[parquet]'. "
            "Or save the table as CSV."
        ) from None
    except Exception as error:  # pyarrow's errors have no common base besides Exception
        reason = (str(error) or type(error).__name__).splitlines()[0]
        raise DataError(f"{short(path)} could not be read as a Parquet file ({reason}). Write it again.") from None


def _checked(frame: "pd.DataFrame", path: str | Path) -> "pd.DataFrame":
    """The frame, if each column has numbers."""
    refused = []
    for name in frame.columns:
        try:
            as_doubles(frame[name])
        except DataError:
            refused.append(name)
    if refused:
        raise DataError(f"Not numeric: {_quoted(refused)} in {short(path)}. Choose other columns with --columns.")
    return frame


def _refuse_inferred(text: Delimited, path: str | Path) -> None:
    what = " and ".join(note for note in text.notes if "comma" in note or "thousands" in note or "header" in note)
    options = {"sep": text.layout.separator if text.layout.separator != " " else r"\s+"} | text.options
    call = ", ".join(f"{key}={value!r}" for key, value in options.items())
    first = " The first row has numbers, not names." if "header" in text.options else ""
    raise DataError(
        f"{short(path)} has {what}, so far as can be inferred.{first} Read it with pandas.read_csv(path, {call}), and "
        "pass the frame. The command line reads it, and prints what it read."
    )


def _wanted(columns: list[str] | str | None) -> list[str] | None:
    """Names of the columns to keep; a text is split at commas outside of quotes."""
    if not columns:
        return None
    names = next(csv.reader([columns], skipinitialspace=True)) if isinstance(columns, str) else columns
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise DataError(f"No column is named in {columns!r}. Give names, separated by commas.")
    return names


def _quoted(names: Iterable) -> str:
    """Names as ``columns`` takes them: those with a comma in quotes."""
    return ", ".join(f'"{name}"' if "," in str(name) else str(name) for name in names)


def _chosen(frame: Any, names: list) -> Any:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"No column {_quoted(missing)}. Choose from {_quoted(frame.columns)}.")
    return frame[names]


def _numbers(frame: "pd.DataFrame", text: Delimited, path: str | Path) -> "pd.DataFrame":
    """Columns that pandas left as text: as numbers, or the line of the first value that is none."""
    marks = text.options.get("decimal") or ".", text.options.get("thousands")
    converted = {}
    for d, name in enumerate(frame.columns):
        column = frame.iloc[:, d]
        if column.dtype.kind in "iufb":
            continue
        converted[name], bad = to_numbers(column, *marks)
        if bad.any():
            first = int(bad.argmax())
            raise DataError(
                f"Not numeric: {name}, with {str(column.iloc[first])[:40]!r} in line {text.line_of(first)} of "
                f"{short(path)} ({bad.sum()} of {len(column)} values). Correct them, or choose other columns with "
                "--columns." + (" The first row has numbers, so it is no header." if "header" in text.options else "")
            )
    return frame.assign(**converted)
