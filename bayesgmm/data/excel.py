"""Workbooks of Excel: the sheet that holds data, as a frame."""

import io
import re
import warnings
import zipfile
import zlib
from typing import TYPE_CHECKING, Any

from bayesgmm.data.layout import counts
from bayesgmm.data.marks import is_number
from bayesgmm.errors import DataError
from bayesgmm.runtime.memory import free_memory

if TYPE_CHECKING:
    import pandas as pd

OLE = b"\xd0\xcf\x11\xe0"
"""First bytes of old workbooks (.xls), and of new ones that a password protects."""
SHARE = 8
"""The unpacked workbook may take this part of the free memory (1/8)."""


def read_excel(raw: bytes, name: str) -> tuple["pd.DataFrame", list[str]]:
    """The table in the only sheet that holds data, and notes; its first row has the names.

    Parameters
    ----------
    raw
        The bytes of the workbook.
    name
        Its name for messages.

    Raises
    ------
    DataError
        If openpyxl is missing, the workbook is damaged or protected, several sheets hold data or none, or the first
        row has no names. The message has the call of pandas that reads such a workbook.
    """
    sheets = {title: sheet for title, frame in _sheets(raw, name).items() if not (sheet := _cut(frame)).empty}
    if not sheets:
        raise DataError(f"{name} has no rows: its sheets are empty.")
    titles = list(sheets)
    if len(titles) > 1:
        raise DataError(
            f"{len(titles)} sheets of {name} hold data: {', '.join(map(repr, titles))}. Read one of them with "
            f"pandas.read_excel(path, sheet_name={titles[0]!r}), and pass the frame or save it as CSV."
        )
    return _with_names(sheets[titles[0]], name, titles[0])


def _sheets(raw: bytes, name: str) -> dict[str, "pd.DataFrame"]:
    """All cells of all sheets; empty cells are NaN."""
    import pandas as pd

    if raw.startswith(OLE):
        raise DataError(
            f"{name} is protected by a password, or a workbook of Excel before 2007. Save it as .xlsx without a "
            "password, or as CSV."
        )
    _refuse_large(raw, name)
    _refuse_open_formulas(raw, name)
    try:
        with warnings.catch_warnings():  # openpyxl: of styles and extensions, which hold no numbers
            warnings.simplefilter("ignore")
            return pd.read_excel(io.BytesIO(raw), sheet_name=None, header=None, engine="openpyxl")
    except ImportError:
        raise DataError(
            f"{name} cannot be read, because workbooks of Excel need openpyxl: pip install 'bayesgmm[excel]'. Or save "
            "the sheet as CSV."
        ) from None
    except Exception as error:  # openpyxl's errors, and those of XML and ZIP, have no common base besides Exception
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise DataError(
            f"{name} could not be read as a workbook of Excel ({reason}). Save it again, or as CSV."
        ) from None


def _refuse_large(raw: bytes, name: str) -> None:
    """Refuse a workbook that is far larger when unpacked."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            size = sum(member.file_size for member in archive.infolist())
    except (OSError, ValueError, zipfile.BadZipFile):
        return  # the reader says what is wrong
    if size > free_memory() / SHARE:
        raise DataError(
            f"{name} holds {size / 1e9:.2g} GB when unpacked, more than an eighth of the free memory. Save the sheet "
            "as CSV, and read a part of it: pandas.read_csv(path, nrows=100_000)."
        )


_OPEN = re.compile(
    rb'<c (?![^>]*t="str")(?:[^>]*?\br="(\w+)")?[^>]*><f\b[^>]*?(?:/>|>[^<]*</f>)\s*(?:<v\s*/>|<v></v>)?\s*</c>'
)
"""A cell with a formula and without its result."""


def _refuse_open_formulas(raw: bytes, name: str) -> None:
    """Refuse formulas without results, which would be read as empty cells."""
    try:
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            found = (_OPEN.search(archive.read(part)) for part in archive.namelist() if "worksheets/sheet" in part)
            cell = next(filter(None, found), None)
    except (OSError, ValueError, RuntimeError, NotImplementedError, zlib.error, zipfile.BadZipFile):
        return  # the reader says what is wrong
    if cell:
        where = f"cell {cell[1].decode()} of {name}" if cell[1] else f"a cell of {name}"
        raise DataError(
            f"There is a formula without its result in {where}: the program that wrote the workbook did not compute "
            "it. Open it in Excel or LibreOffice, and save it; or write values."
        )


def _cut(frame: "pd.DataFrame") -> "pd.DataFrame":
    """A sheet without empty rows and columns around its cells."""
    filled = frame.notna().to_numpy()
    if not filled.any():
        return frame.iloc[:0, :0]
    rows, columns = (filled.any(axis=axis).nonzero()[0] for axis in (1, 0))
    return frame.iloc[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _with_names(sheet: "pd.DataFrame", name: str, title: str) -> tuple["pd.DataFrame", list[str]]:
    """The rows below the names; row names and empty columns without a name are dropped, as in text."""
    header = ["" if value != value else str(value).strip() for value in sheet.iloc[0].tolist()]
    body, notes = sheet.iloc[1:].infer_objects().reset_index(drop=True), []
    if body.empty:
        raise DataError(f"{name} has no rows: sheet {title!r} has a single one, and the first row must be the names.")
    if all(is_number(one) for one in header if one):
        raise DataError(
            f"The first row of {name} has numbers, not names. Read it with pandas.read_excel(path, header=None), and "
            "pass the frame; or add names."
        )
    kept = []
    for d, own in enumerate(header):
        if own:
            kept.append(d)
        elif body.iloc[:, d].isna().all():
            notes.append("empty column without a name dropped")
        elif d == 0 and _row_names(body.iloc[:, 0]):
            notes.append("row names dropped")
        else:
            above = " Or delete the title above the names." if sum(map(bool, header)) == 1 < len(header) else ""
            raise DataError(
                f"Column {d + 1} of sheet {title!r} in {name} has no name in the first row. Give it one.{above}"
            )
    return body.iloc[:, kept].set_axis([header[d] for d in kept], axis=1), notes


def _row_names(column: Any) -> bool:
    """Whether a first column without a name has row names: 0, 1, 2, … or 1, 2, …, or distinct texts or dates."""
    values = column.tolist()
    if column.dtype.kind == "M":
        return bool(column.is_unique)
    if any(isinstance(value, str) for value in values):
        return column.is_unique and not any(is_number(str(value)) for value in values)
    return column.dtype.kind in "iuf" and not column.isna().any() and counts(values)
