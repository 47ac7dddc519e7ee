"""The layout of a text with separators: the separator, the line of the names, and the number of fields."""

import csv
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

import numpy as np

from bayesgmm.data.marks import MISSING, is_number
from bayesgmm.errors import DataError

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars", " ": "blanks"}
SAMPLE = 1000
"""Records from which the layout is inferred; every other record must have the same number of fields."""
MOST_ABOVE = 20
"""Most records above the header."""
_BETWEEN = re.compile(r"\d[;|\t][+-]?[.,]?\d")


@dataclass
class Layout:
    """A separator, and what the first records of a text look like under it."""

    separator: str
    header: list[str]
    rows: list[list[str]]
    """Rows of the sample that have `width` fields."""
    above: list[list[str]]
    """Records above the header, such as a title."""
    line: int
    """Line of the header."""
    width: int
    numbers: float
    """Fields that are numbers, in a row of the sample, on average."""
    near: float
    """Fields that have a digit, but are no numbers."""
    text: float
    """Fields that are neither numbers nor missing."""
    cut: bool
    """Whether a field holds another separator between digits, as where commas are decimal marks."""

    @property
    def rank(self) -> tuple:
        """The layout of largest rank is right: a name for each field and numbers; most numbers; least text."""
        return (
            len(self.header) == self.width and self.numbers >= 0.5 and not self.cut,
            self.numbers,
            self.near,
            -self.text,
        )

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


def records_of(text: str, separator: str) -> Iterator[tuple[int, list[str]]]:
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


def find_layout(text: str, given: str | None, name: str) -> Layout:
    """The layout of largest rank.

    Parameters
    ----------
    text
        The text.
    given
        The separator, if it is known.
    name
        Name of the file, for messages.

    Raises
    ------
    DataError
        If there are no rows.
    """
    return max(
        (_layout(text, separator, name) for separator in ((given,) if given else SEPARATORS)), key=lambda one: one.rank
    )


def _layout(text: str, separator: str, name: str) -> Layout:
    lines, found = zip(*islice(records_of(text, separator), SAMPLE + 1), strict=True)
    if len(found) == 1:
        raise DataError(f"{name} has no rows: it has a single line, and the first line must be the names.")
    width = Counter(map(len, found[1:])).most_common(1)[0][0]
    first = _first_names(found, width)
    header, rows = [value.strip() for value in found[first]], found[first + 1 :]
    while len(header) > width and not header[-1]:
        header.pop()
    whole = [[value.strip() for value in row] for row in rows if len(row) == width]
    fields = [value for row in whole for value in row]
    rest = [value for value in fields if not is_number(value) and value.lower() not in MISSING]
    near = sum(any(char.isdigit() for char in value) for value in rest)
    numbers = sum(map(is_number, fields))
    return Layout(
        separator, header, whole, list(found[:first]), lines[first], width, numbers / len(rows), near / len(rows),
        len(rest) / len(rows), separator in ", " and any(_BETWEEN.search(value) for value in rest),
    )  # fmt: skip


def _first_names(records: tuple[list[str], ...], width: int) -> int:
    """Which record has the names: the last of the first ones without a number that has a text in each field.

    The record after it must have numbers. The first record is the header if no other is.
    """
    for j in range(1, min(MOST_ABOVE, len(records) - 1)):
        if any(is_number(value.strip()) for value in records[j]):
            break
        texts = len(records[j]) == width and all(value.strip().lower() not in MISSING for value in records[j])
        if texts and any(is_number(value.strip()) for value in records[j + 1]):
            return j
    return 0


def counts(values: Iterable) -> bool:
    """Whether values count from 0 or from 1."""
    import pandas as pd

    numbers = pd.Series(pd.to_numeric(pd.Series(list(values)), errors="coerce")).to_numpy(float)
    return bool(numbers[0] in (0.0, 1.0) and np.array_equal(numbers, numbers[0] + np.arange(numbers.size)))
