"""Decimal and thousands marks of numbers written as text."""

import re
from collections.abc import Iterable
from typing import Any

import numpy as np

MISSING = {"", "na", "n/a", "nan", "-nan", "null", "none", "<na>", "#n/a", "#nv"}
"""Spellings of a missing value, in lower case."""
_POINT = re.compile(r"[+-]?((\d+\.?\d*|\.\d+)(e[+-]?\d+)?|inf(inity)?)", re.IGNORECASE | re.ASCII)
_COMMA = re.compile(r"[+-]?(\d+,\d*|,\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)
APART = "'’\xa0\u202f"
"""Marks that only ever stand between thousands."""
_GROUPS = re.compile(rf"[+-]?[1-9]\d{{0,2}}([.,{APART}])\d{{3}}(\1\d{{3}})*((?!\1)[.,]\d+)?", re.ASCII)
"""Three digits behind a mark: thousands, or decimals that happen to be three."""


class DoubtError(Exception):
    """Marks have no meaning, or several: the values that show it."""


def is_plain(value: str) -> bool:
    """Whether the text is a number as Python writes it."""
    return _POINT.fullmatch(value) is not None


def is_number(value: str) -> bool:
    """Whether the text is a number, with a decimal point or comma, with or without thousands marks."""
    return any(pattern.fullmatch(value) for pattern in (_POINT, _COMMA, _GROUPS))


def find_marks(values: Iterable[str], separator: str) -> tuple[str, str | None]:
    """The decimal mark and the thousands mark (None without) that give every number one meaning.

    ``1.234`` between semicolons is in doubt, since files with semicolons come from places with decimal commas.

    Raises
    ------
    DoubtError
        If values contradict each other (two values), or one has two meanings, such as ``1,234``.
    """
    decimals, groups, doubtful = {}, {}, {}  # by mark, a value that shows it
    for value in values:
        marks = re.findall(f"[.,{APART}]", value)
        if len(set(marks)) == 2:
            decimals.setdefault(marks[-1], value)
            groups.setdefault(marks[0], value)
        elif len(marks) > 1 or (marks and marks[0] in APART):
            groups.setdefault(marks[0], value)
        elif marks:
            in_doubt = _GROUPS.fullmatch(value) and (marks[0] == "," or separator == ";")
            (doubtful if in_doubt else decimals).setdefault(marks[0], value)
    if len(decimals) == 2 or len(groups) == 2 or decimals.keys() & groups.keys():
        raise DoubtError(*list(dict.fromkeys([*decimals.values(), *groups.values()]))[:2])
    decimal = next(iter(decimals), None) or ("." if "," in groups else "," if "." in groups else None)
    if groups and decimal is None:
        decimal = next(iter(doubtful), None)
    for mark, value in doubtful.items():
        if mark != decimal and mark not in groups:
            raise DoubtError(value)
    return decimal or ".", next(iter(groups), None)


def to_numbers(column: Any, decimal: str, thousands: str | None) -> tuple[Any, np.ndarray]:
    """A column of texts as numbers, and where a text is neither one with these marks nor missing.

    pandas itself would read 1.5 as 15 if the point marks thousands.
    """
    import pandas as pd

    texts = column.map(str).str.strip().mask(column.isna(), "")
    groups = rf"|[1-9][0-9]{{0,2}}({re.escape(thousands)}[0-9]{{3}})+" if thousands else ""
    number = rf"[+-]?(([0-9]+{groups})({re.escape(decimal)}[0-9]*)?|{re.escape(decimal)}[0-9]+)(e[+-]?[0-9]+)?"
    missing = texts.str.lower().isin(MISSING)
    bad = ~(missing | texts.str.fullmatch(number, case=False))
    plain = texts.str.replace(thousands, "", regex=False) if thousands else texts
    return pd.to_numeric(plain.str.replace(decimal, ".", regex=False).mask(missing), errors="coerce"), bad.to_numpy(
        bool
    )
