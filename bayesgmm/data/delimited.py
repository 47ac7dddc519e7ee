"""Text with separators as a frame. Encoding, separator, marks and header are inferred where they are certain."""

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.marks import MISSING, find_marks, is_number
from bayesgmm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
SAMPLE = 1000
"""Records from which the layout is inferred; every other record must have the same number of fields."""
_BOMS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe\0\0": "utf-32", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


@dataclass
class Layout:
    """A separator, and what the first records of a text look like under it."""

    separator: str
    header: list[str]
    rows: list[list[str]]
    """Rows of the sample that have `width` fields."""
    width: int
    numbers: float
    """Fields that are numbers, in a row of the sample, on average."""
    text: float
    """Fields that are neither numbers nor missing."""

    @property
    def rank(self) -> tuple:
        """The layout of largest rank is right: a name for each field and numbers; most numbers; least text."""
        return len(self.header) == self.width and self.numbers >= 0.5, self.numbers, -self.text

    @property
    def numeric(self) -> list[int]:
        """Columns where most values are numbers."""
        columns = range(self.width)
        known = [sum(row[d].lower() not in MISSING for row in self.rows) for d in columns]
        return [d for d in columns if 2 * sum(is_number(row[d]) for row in self.rows) > known[d]]

    @property
    def bare(self) -> list[str]:
        """The names of columns of numbers, if these are numbers too, so that the first record is hardly a header."""
        names = [self.header[d] for d in self.numeric] if len(self.header) == self.width else []
        numbers = [name for name in names if is_number(name)]
        return numbers if all(is_number(name) or name.lower() in MISSING for name in names) else []


@dataclass
class Delimited:
    """A text with separators, as read."""

    frame: "pd.DataFrame"
    text: str
    layout: Layout
    notes: list[str]
    """What is not plain: separator, encoding, marks, and columns that were dropped."""
    options: dict[str, str | None]
    """Arguments of `pandas.read_csv` for the marks and the header that were inferred."""

    def line_of(self, row: int) -> int:
        """The line of the text on which a row of the frame ends."""
        first = 0 if "header" in self.options else 1
        return next(islice(_records(self.text, self.layout.separator), row + first, None))[0]


def read_delimited(raw: bytes, name: str, columns: list[str] | None) -> Delimited:
    """Read text with separators.

    Parameters
    ----------
    raw
        The bytes of the file.
    name
        Name of the file, for messages.
    columns
        Names that the user chose, which the header must have.

    Raises
    ------
    DataError
        If the text is binary or empty, a line has another number of fields, or marks or header are ambiguous.
    """
    text, notes = _decode(raw, name)
    given = re.match(r'\s*"?sep=([,;\t|])"?\n', text)  # Excel's own line
    layout = _layout(text := text[given.end() - 1 :] if given else text, given.group(1) if given else None, name)
    options: dict[str, str | None] = {}
    if layout.width == 1 and "\n\n" in text.strip():
        line = text.index("\n\n", len(text) - len(text.lstrip()))
        raise DataError(
            f"{name}, line {text.count(chr(10), 0, line) + 2}: empty, in a file with one column. Is a value missing? "
            "Remove the line, or fill in the value."
        )
    if layout.separator != "," and layout.width > 1:
        notes.append(f"separated by {SEPARATORS[layout.separator]}")
    if layout.bare and not set(columns or ()) & set(layout.header):
        _refuse_whole_names(layout, name)
        notes.append("no header")
        options["header"] = None
        layout.rows.insert(0, layout.header)
        layout.header = [f"x{d}" for d in range(layout.width)]
    numbers = [row[d] for d in layout.numeric for row in layout.rows if is_number(row[d])]
    decimal, thousands = find_marks(numbers, layout.separator, name)
    if decimal == ",":
        _refuse_numbered_rows(layout, name)
        notes.append("decimal commas")
        options["decimal"] = ","
    if thousands:
        notes.append(f"thousands marked by {thousands!r}")
        options["thousands"] = thousands
    frame = _parse(text, layout, options, name)
    return Delimited(_with_names(frame, layout, notes, name, columns), text, layout, notes, options)


def _decode(raw: bytes, name: str) -> tuple[str, list[str]]:
    """The text with plain line ends and without comments, and a note if it is not in UTF-8."""
    codecs = [codec for bom, codec in _BOMS.items() if raw.startswith(bom)][:1] or ["utf-8", "cp1252", "latin-1"]
    for codec in codecs:
        try:
            text = raw.decode(codec)
            break
        except UnicodeError:
            continue
    else:
        raise DataError(f"{name} starts as {codecs[0]}, but is damaged. Save it again as UTF-8.")
    if "\0" in text:
        raise DataError(f"{name} is not text: it has zero bytes. Give a CSV or Parquet file; save UTF-16 as UTF-8.")
    text = text.replace("\r\n", "\n").replace("\r", "\n")
    if "#" in text:
        text = re.sub(r"^[ \t]*#.*", " ", text, flags=re.MULTILINE)  # a blank line keeps the numbers of the others
    if not text.strip():
        raise DataError(f"{name} is empty. Check that it was written completely.")
    note = "not UTF-8, read as latin-1" if codec in ("cp1252", "latin-1") else f"encoding {codec}"
    return text, [] if codec.startswith("utf-8") else [note]


def _records(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
    """Number of the line on which a record ends, and its fields; empty lines are skipped."""
    lines = (match.group() for match in re.finditer(r".*\n|.+", text))
    if separator == " ":
        lines = (re.sub(r"[ \t]+", " ", line.strip(" \t\n")) for line in lines)
    reader = csv.reader(lines, delimiter=separator, skipinitialspace=True)
    try:
        for fields in reader:
            if len(fields) > 1 or (fields and fields[0].strip()):
                yield reader.line_num, fields
    except csv.Error as error:
        raise DataError(f"Line {reader.line_num} is not one of a table with separators ({error}).") from None


def _layout(text: str, given: str | None, name: str) -> Layout:
    found = []
    for separator in (given,) if given else SEPARATORS:
        header, *rows = [fields for _, fields in islice(_records(text, separator), SAMPLE + 1)]
        if not rows:
            raise DataError(f"{name} has no rows: it has a single line, and the first line must be the names.")
        width = Counter(map(len, rows)).most_common(1)[0][0]
        while len(header) > width and not header[-1].strip():
            header.pop()
        whole = [[value.strip() for value in row] for row in rows if len(row) == width]
        fields = [value for row in whole for value in row]
        numbers = sum(map(is_number, fields))
        text_fields = len(fields) - numbers - sum(value.lower() in MISSING for value in fields)
        names = [value.strip() for value in header]
        found.append(Layout(separator, names, whole, width, numbers / len(rows), text_fields / len(rows)))
    return max(found, key=lambda layout: layout.rank)


def _refuse_whole_names(layout: Layout, name: str) -> None:
    """A first row of whole numbers may be names (years) or data."""
    if all(value.isdigit() for value in layout.bare):
        raise DataError(
            f"The first row of {name} has numbers ({', '.join(layout.bare[:4])}), not names. If they are names, choose "
            "them with --columns. If they are data, add a header row, or pass pandas.read_csv(path, header=None)."
        )


def _refuse_numbered_rows(layout: Layout, name: str) -> None:
    """A single column with values 1,5 2,7 3,9 … may hold decimal commas, or numbers of rows and a feature."""
    if layout.width == 1 and _counts([row[0].partition(",")[0] for row in layout.rows]):
        raise DataError(
            f"{name} has one name and rows such as {layout.rows[0][0]}: a decimal comma, or two columns? Read it with "
            'pandas.read_csv(path, sep=";", decimal=",") or pandas.read_csv(path, index_col=0), and pass the frame.'
        )


def _parse(text: str, layout: Layout, options: dict[str, str | None], name: str) -> "pd.DataFrame":
    """All rows; the columns are numbered."""
    import pandas as pd

    has_header = "header" not in options
    first = next(_records(text, layout.separator))[0] if has_header else 0
    start = 0
    for _ in range(first):
        start = text.index("\n", start) + 1
    _count_rows(text, layout, has_header, name, SAMPLE)
    how: dict[str, Any] = (
        {"dtype": str, "keep_default_na": False} if options.get("thousands") else {"low_memory": False}
    )
    try:
        frame = pd.read_csv(
            io.BytesIO(text[start:].encode()), sep=r"\s+" if layout.separator == " " else layout.separator, header=None,
            names=list(range(layout.width)), index_col=False, skipinitialspace=True,
            decimal=options.get("decimal") or ".",
            **how,
        )  # fmt: skip
    except (ValueError, OverflowError) as error:
        _count_rows(text, layout, has_header, name)
        raise DataError(
            f"{name} could not be read ({str(error).strip()}). Give a CSV file with a header row."
        ) from None
    last = frame[layout.width - 1]
    if (last.isna() | (last == "")).any():  # a value is missing, or the row is too short
        frame = frame[: _count_rows(text, layout, has_header, name)]
    return frame


def _count_rows(text: str, layout: Layout, has_header: bool, name: str, most: int | None = None) -> int:
    """Number of rows up to the last that is not empty; every one of them must have the same number of fields."""
    used = 0
    records = islice(_records(text, layout.separator), int(has_header), most)
    for row, (line, fields) in enumerate(records, 1):
        if len(fields) != layout.width or not 0 <= layout.width - len(layout.header) <= 1:
            raise DataError(
                f"{name}, line {line}: {len(fields)} field(s), where the header has {len(layout.header)} names, most "
                f"rows have {layout.width}. Correct the line. Put text that holds a separator in quotes; with decimal "
                "commas, separate by semicolons."
            )
        used = row if any(field.strip() for field in fields) else used
    return used


def _with_names(frame: "pd.DataFrame", layout: Layout, notes: list[str], name: str, columns: list[str] | None) -> Any:
    """The columns with their names; row names and empty columns without a name are dropped."""
    names, short = layout.header, len(layout.header) < layout.width
    if short:
        names = [*names, ""] if _empty(frame[layout.width - 1]) else ["", *names]
    kept = list(range(layout.width))
    for d in [d for d in kept if not names[d]]:
        if _empty(frame[d]):
            kept.remove(d)
            notes.append("empty column without a name dropped")
        elif d == 0 and _row_names(frame[0], layout):
            kept.remove(d)
            notes.append("row names dropped")
        elif short:
            raise DataError(
                f"{name}: the header has {len(layout.header)} names, the rows have {layout.width} fields. If the first "
                "are row names, pass pandas.read_csv(path, index_col=0); otherwise complete the header."
            )
        elif not columns:
            raise DataError(
                f"Column {d + 1} of {name} is without a name (an index?). Give it a name, or choose the features with "
                "--columns."
            )
    return frame[kept].set_axis([names[d] for d in kept], axis=1)


def _empty(column: Any) -> bool:
    return bool((column.isna() | (column.astype(str).str.strip() == "")).all())


def _row_names(column: Any, layout: Layout) -> bool:
    """Whether a first column without a name has row names: 0, 1, 2, … or 1, 2, …, or distinct texts."""
    if not is_number(layout.rows[0][0]):
        return column.is_unique and not any(map(is_number, column.astype(str)))
    return _counts(column)


def _counts(values: Iterable) -> bool:
    """Whether values count from 0 or from 1."""
    import pandas as pd

    numbers = pd.Series(pd.to_numeric(pd.Series(list(values)), errors="coerce")).to_numpy(float)
    return bool(numbers[0] in (0.0, 1.0) and np.array_equal(numbers, numbers[0] + np.arange(numbers.size)))
