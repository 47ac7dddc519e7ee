"""Lines that begin with ``#``: comments are left out; rows whose first field is an error of Excel are kept."""

import re

from bayesgmm.data.layout import Layout, records_of
from bayesgmm.data.marks import is_number
from bayesgmm.data.read_call import Source
from bayesgmm.errors import DataError

ERRORS = ("N/A", "NV", "REF!", "BEZUG!", "VALUE!", "WERT!", "DIV/0!", "NAME?", "NUM!", "ZAHL!", "NULL!")
"""Errors that spreadsheets write for a value, in English and German, after ``#``."""
_COMMENT = re.compile(
    rf"^[ \t]*#(?!(?:{'|'.join(map(re.escape, ERRORS))})[ \t]*(?:[,;|\t]|$)).*", re.MULTILINE | re.IGNORECASE
)


def without_comments(text: str, source: Source) -> str:
    """The text with a blank line for each comment, so that the others keep their numbers; the source keeps them."""
    source.comments = {text.count("\n", 0, found.start()): found.group() for found in _COMMENT.finditer(text)}
    if not source.comments:
        return text
    text = _COMMENT.sub(" ", text)
    # pandas cuts off what follows a # anywhere in a line.
    source.options |= {"skiprows": [*source.comments]} if "#" in text else {"comment": "#"}
    return text


def refuse_commented_rows(layout: Layout, source: Source) -> str:
    """Refuse comments that may be rows; a note of those among the rows, or an empty text.

    Raises
    ------
    DataError
        If a line below the names begins with ``#``, and has as many fields as a row and numbers in them.
    """
    below = {number: line for number, line in source.comments.items() if number >= layout.line}
    rows = [number for number, line in below.items() if _like_row(line, layout)]
    if rows:
        call = source.call()
        more = f" ({len(rows)} such lines)" if len(rows) > 1 else ""
        raise DataError(
            f"{source.name}, line {rows[0] + 1}: it begins with #, and has as many fields as a row{more}. If it is a "
            f"row, write its first field without #.{f' If it is a comment, {call} leaves it out.' if call else ''}"
        )
    return f"{len(below)} line{'s' * (len(below) > 1)} with # left out" if below else ""


def _like_row(line: str, layout: Layout) -> bool:
    _, fields = next(records_of(line, layout.separator))
    return len(fields) == layout.width > 1 and any(is_number(field.strip()) for field in fields[1:])
