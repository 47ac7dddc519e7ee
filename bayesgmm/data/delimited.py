"""Text with separators as a frame. Encoding, separator, marks and header are inferred where they are certain."""

import io
import re
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from bayesgmm.data import doubts
from bayesgmm.data.comments import refuse_commented_rows
from bayesgmm.data.decoding import decode
from bayesgmm.data.layout import SAMPLE, SEPARATORS, Layout, counts, find_layout, records_of
from bayesgmm.data.marks import DoubtError, find_marks, is_number
from bayesgmm.data.read_call import Source
from bayesgmm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

UNNAMED = "Unnamed: 0"
"""What pandas calls a first column without a name, such as the index of a frame that it wrote."""


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

    source: Source

    def line_of(self, row: int) -> int:
        """The line of the text on which a row of the frame ends."""
        first = 0 if "header" in self.options else 1
        return next(islice(records_of(self.text, self.layout.separator), row + first, None))[0]


def read_delimited(source: Source, columns: list[str] | None) -> Delimited:
    """Read text with separators.

    Parameters
    ----------
    source
        The bytes of the file, and its name.
    columns
        Names that the user chose, which the header must have.

    Raises
    ------
    DataError
        If the text is binary or empty, a line has another number of fields, or marks or header are ambiguous.
    """
    name = source.name
    text, notes = decode(source)
    given = re.match(r'\s*"?sep=([,;\t|])"?\n', text)  # Excel's own line
    layout = find_layout(text := text[given.end() - 1 :] if given else text, given.group(1) if given else None, name)
    _complete(source, layout, bool(given))
    doubts.refuse_lines_above(layout, source)
    notes += filter(None, [refuse_commented_rows(layout, source)])
    options: dict[str, str | None] = {}
    if layout.width == 1 and "\n\n" in text.strip():
        doubts.refuse_empty_line(text, name)
    if layout.separator != "," and layout.width > 1:
        notes.append(f"separated by {SEPARATORS[layout.separator]}")
    chosen = set(columns or ()) & set(layout.header)
    if not chosen:
        doubts.refuse_numbers_among_names(layout, source)
    if layout.bare and not chosen:
        doubts.refuse_whole_names(layout, source)
        notes.append("no header")
        options["header"] = None
        layout.rows.insert(0, layout.header)
        layout.header = [f"x{d}" for d in range(layout.width)]
    numbers = [row[d] for d in layout.numeric for row in layout.rows if is_number(row[d])]
    try:
        decimal, thousands = find_marks(numbers, layout.separator)
    except DoubtError as doubt:
        raise doubts.marks_in_doubt(doubt.args, text, layout, source, "header" not in options) from None
    if decimal == ",":
        doubts.refuse_numbered_rows(layout, source)
        notes.append("decimal commas")
        options["decimal"] = ","
    if thousands:
        notes.append(f"thousands marked by {thousands!r}")
        options["thousands"] = thousands
    frame = _parse(text, layout, options, source)
    return Delimited(_with_names(frame, layout, notes, source, columns), text, layout, notes, options, source)


def _complete(source: Source, layout: Layout, given: bool) -> None:
    """Add the arguments that every call of pandas about this text needs."""
    if given:
        source.options["skiprows"] = [0, *source.options["skiprows"]] if "skiprows" in source.options else 1
    if layout.separator != ",":
        source.options["sep"] = r"\s+" if layout.separator == " " else layout.separator


def _parse(text: str, layout: Layout, options: dict[str, str | None], source: Source) -> "pd.DataFrame":
    """All rows; the columns are numbered."""
    import pandas as pd

    has_header = "header" not in options
    first = next(records_of(text, layout.separator))[0] if has_header else 0
    start = 0
    for _ in range(first):
        start = text.index("\n", start) + 1
    _count_rows(text, layout, has_header, source, SAMPLE)
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
        _count_rows(text, layout, has_header, source)
        raise DataError(
            f"{source.name} could not be read ({str(error).strip()}). Give a CSV file with a header row."
        ) from None
    last = frame[layout.width - 1]
    if (last.isna() | (last == "")).any():  # a value is missing, or the row is too short
        frame = frame[: _count_rows(text, layout, has_header, source)]
    return frame


def _count_rows(text: str, layout: Layout, has_header: bool, source: Source, most: int | None = None) -> int:
    """Number of rows up to the last that is not empty; every one of them must have the same number of fields."""
    used = 0
    records = islice(records_of(text, layout.separator), int(has_header), most)
    for row, (line, fields) in enumerate(records, 1):
        if len(fields) != layout.width or not 0 <= layout.width - len(layout.header) <= 1:
            call = source.call(skiprows=[line - 1]) if has_header and len(layout.header) == layout.width else None
            raise DataError(
                f"{source.name}, line {line}: {len(fields)} field(s), where the header has {len(layout.header)} names, "
                f"most rows have {layout.width}. Correct the line. Put text that holds a separator in quotes; with "
                f"decimal commas, separate by semicolons.{f' {call} leaves the line out.' if call else ''}"
            )
        used = row if any(field.strip() for field in fields) else used
    return used


def _with_names(
    frame: "pd.DataFrame", layout: Layout, notes: list[str], source: Source, columns: list[str] | None
) -> Any:
    """The columns with their names; row names and empty columns without a name are dropped."""
    names, short = layout.header, len(layout.header) < layout.width
    if short:
        names = [*names, ""] if _empty(frame[layout.width - 1]) else ["", *names]
    elif names[0] == UNNAMED and _row_names(frame[0], layout):
        names = ["", *names[1:]]
    kept = list(range(layout.width))
    for d in [d for d in kept if not names[d]]:
        if _empty(frame[d]):
            kept.remove(d)
            notes.append("empty column without a name dropped")
        elif d == 0 and _row_names(frame[0], layout):
            kept.remove(d)
            notes.append("row names dropped")
        elif short:
            call = source.call(index_col=0)
            raise DataError(
                f"{source.name}: the header has {len(layout.header)} names, the rows have {layout.width} fields. "
                f"Complete the header{f', or, if the first are row names, pass {call}' if call else ''}."
            )
        elif not columns:
            raise DataError(
                f"Column {d + 1} of {source.name} is without a name (an index?). Give it a name, or choose the "
                "features with --columns."
            )
    return frame[kept].set_axis([names[d] for d in kept], axis=1)


def _empty(column: Any) -> bool:
    return bool((column.isna() | (column.astype(str).str.strip() == "")).all())


def _row_names(column: Any, layout: Layout) -> bool:
    """Whether a first column without a name has row names: 0, 1, 2, … or 1, 2, …, or distinct texts."""
    if not is_number(layout.rows[0][0]):
        return column.is_unique and not any(map(is_number, column.astype(str)))
    return counts(column)
