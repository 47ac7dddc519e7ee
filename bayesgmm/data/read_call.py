"""Calls of pandas that read a file which is not read here. A call is advised only if it gave a table when tried."""

import io
import re
import unicodedata
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from bayesgmm.data.table import as_table

DECIMALS = (".", ",", "٫")
THOUSANDS = ("", ",", ".", "'", "’", "\xa0", "\u202f", " ", "٬")
FEW = 3
"""Most different texts in a column of numbers that are advised as spellings of a missing value."""
LONGEST = 1000
"""Longest call that is advised."""


@dataclass
class Source:
    """A text with separators, and the arguments of `pandas.read_csv` that every call about it needs."""

    raw: bytes
    """Its bytes, unpacked."""
    name: str
    """Its name for messages."""
    options: dict[str, Any] = field(default_factory=dict)
    comments: dict[int, str] = field(default_factory=dict)
    """Lines that were left out as comments, by their number from 0."""

    def call(self, drop: Iterable[Any] = (), dropna: bool = False, **more: Any) -> str | None:
        """The text of a call, in which `path` is the file; None if it does not give a table of numbers.

        Parameters
        ----------
        drop
            Columns to drop.
        dropna
            Whether to drop rows with missing values.
        more
            Further arguments of `pandas.read_csv`; empty ones are left out.
        """
        import pandas as pd

        options = {key: value for key, value in (self.options | more).items() if value not in ("", {}, [])}
        tried: dict[str, Any] = {key: value for key, value in options.items() if key != "compression"}
        drop = list(drop)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                frame = pd.read_csv(io.BytesIO(self.raw), low_memory=False, **tried).drop(columns=drop)
                as_table(frame.dropna() if dropna else frame)
                if not dropna and (frame.isna().all(axis=0).any() or frame.isna().all(axis=1).any()):
                    return None  # a row or column without a value is no part of the table
        except Exception:  # a wrong call ends in any way
            return None
        arguments = ", ".join(["path", *(f"{key}={value!r}" for key, value in options.items())])
        call = f"pandas.read_csv({arguments})" + f".drop(columns={drop!r})" * bool(drop) + ".dropna()" * dropna
        return call if len(call) <= LONGEST else None


@dataclass(frozen=True)
class Convert:
    """A function from the text of a cell to a number, which shows itself as code."""

    affix: str
    """Characters around the number."""
    replaced: tuple[tuple[str, str], ...]
    missing: bool
    """Whether a cell may be empty."""

    def __call__(self, text: str) -> float:
        """The number of a cell."""
        text = text.strip(self.affix) if self.affix else text
        for old, new in self.replaced:
            text = text.replace(old, new)
        return float(text or "nan") if self.missing else float(text)

    def __repr__(self) -> str:
        strip = f".strip({self.affix!r})" if self.affix else ""
        steps = strip + "".join(f".replace{pair!r}" for pair in self.replaced) + " or 'nan'" * self.missing
        return f"lambda v: float(v{steps})" if steps else "float"


def conversions(texts: Iterable[str]) -> dict[str, Convert]:
    """How the texts of a column may be read as numbers, by the mark of thousands; several if it is in doubt.

    A number may have a currency sign, a sign such as ``%``, or a unit after a blank, the same in all cells.
    """
    stripped = [text.strip() for text in texts]
    values = list(dict.fromkeys(filter(None, stripped)))
    numbers, affixes = [], set()
    for value in values:
        part = re.fullmatch(r"(\D*?)([+\-−.,٫]?\d(?:.*\d)?[.,٫]?)(\D*)", value)
        if part is None or not _is_affix(part[1], part[3]):
            return {}
        numbers.append(part[2])
        affixes |= {(part[1], part[3])} - {("", "")}
    if not values or len({(before.strip(), after.strip()) for before, after in affixes}) > 1:
        return {}
    affix = "".join(dict.fromkeys(char for before, after in sorted(affixes) for char in before + after))
    readings: dict[tuple, tuple[str, Convert]] = {}
    for thousands, decimal in product(THOUSANDS, DECIMALS):
        if thousands != decimal and all(_matches(number, thousands, decimal) for number in numbers):
            pairs = ((thousands, ""), (decimal, "."), ("−", "-"))
            used = tuple(
                (old, new) for old, new in pairs if old not in ("", new) and any(old in one for one in numbers)
            )
            convert = Convert(affix, used, len(stripped) > len(list(filter(None, stripped))))
            readings.setdefault(tuple(map(convert, values)), (thousands, convert))
    return dict(readings.values())


def _is_affix(before: str, after: str) -> bool:
    unit = after.strip()
    signs = all(unicodedata.category(char) == "Sc" or char in "%‰°" for char in unit)
    return all(unicodedata.category(char) == "Sc" for char in before.strip()) and (signs or after[:1].isspace())


def _matches(number: str, thousands: str, decimal: str) -> bool:
    groups = rf"[1-9]\d{{0,2}}(?:{re.escape(thousands)}\d{{3}})+|" if thousands else ""
    return (
        re.fullmatch(rf"[+\-−]?(?:(?:{groups}\d+)(?:{re.escape(decimal)}\d*)?|{re.escape(decimal)}\d+)", number)
        is not None
    )


def _is_value(text: str) -> bool:
    """Whether a text among numbers is a value in another form, such as 0x10, 1_000, (1.0) or true."""
    return (
        re.fullmatch(r"[\W_]*(\d|0x)[\dA-F_.,]*([DE][+-]?\d+)?[\W_]*|true|false|yes|no", text.strip(), re.I) is not None
    )


def repairs(source: Source, columns: dict[Any, tuple[list[str], list[str]]], **more: Any) -> str:
    """What to call for columns that are not numeric, in words; empty if nothing that was tried gives a table.

    Parameters
    ----------
    source
        The file.
    columns
        By name, all texts of the column, and those of them that are no numbers.
    more
        Arguments of `pandas.read_csv` for the other columns.
    """
    converters: dict[Any, dict[str, Convert]] = {}
    spellings: set[str] = set()
    drop, missing = [], False
    for name, (texts, bad) in columns.items():
        if found := conversions(texts):
            converters[name] = found
            missing = missing or any(not text.strip() for text in texts)
        elif len(set(bad)) <= FEW and 2 * len(bad) <= len(texts):
            if any(map(_is_value, bad)):
                return ""
            spellings |= set(bad)
        else:
            drop.append(name)
    calls, dropna = {}, False
    for last in (False, True):  # of two readings the first has no mark of thousands
        chosen = {name: list(found.values())[-last] for name, found in converters.items()}
        arguments = {"converters": chosen, "na_values": sorted(spellings), **more}
        call = source.call(drop, **arguments)
        if call is None and (spellings or missing):  # a row without any value is no row of the table
            call, dropna = source.call(drop, True, **arguments), True
        calls |= {call: None} if call else {}
    if not calls:
        return ""
    marks = ", ".join(map(repr, sorted(spellings)))
    words = [f"converts {', '.join(map(str, converters))}"] if converters else []
    words += (
        [f"drops the rows with {marks}" if dropna else f"takes {marks} for values that were not seen"] if marks else []
    )
    words += [f"drops {', '.join(map(str, drop))}"] if drop else []
    doubt = " if marks are of decimals, or with " if len(calls) == 2 else ""
    end = " if they are of thousands" if doubt else ""
    return f"Read it with {doubt.join(calls)}{end}, which {' and '.join(words)}, and pass the frame."
