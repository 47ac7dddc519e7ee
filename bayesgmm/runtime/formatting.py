"""Tables for terminals and notebooks, names of the user in each medium, and the rounding of numbers."""

import shutil
from collections.abc import Callable, Iterable
from html import escape
from textwrap import fill, wrap
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bayesgmm.errors import visible

if TYPE_CHECKING:
    import pandas as pd


LONGEST_LABEL = 60
"""Longest label in a table or a figure, in characters."""
SHORTEST_LABEL = 8
"""Labels keep at least this width beside numbers."""
WIDEST_HEADING = 20
"""Headings of columns are folded at this width."""
MOST_DIGITS = 14
"""Numbers with more digits than this get an exponent."""
NARROWEST = 32
"""Tables are made for terminals of at least this width."""


def shortened(text: str, most: int = LONGEST_LABEL) -> str:
    """The text, without its middle if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 3 - 1]}…{text[len(text) - most // 3 :]}"


def listed(words: Iterable[str]) -> str:
    """Words with commas and a last “and”."""
    *rest, last = words
    return f"{', '.join(rest)} and {last}" if rest else last


def criterion_name(criterion: str) -> str:
    """An information criterion as it is written in tables and figures: BIC, soft ICL, AICc."""
    return {"soft_icl": "soft ICL", "aicc": "AICc"}.get(criterion, criterion.upper())


def for_terminal(label: Any) -> Any:
    """A label with a name of the user, as shown in a table at a terminal."""
    return shortened(visible(label)) if isinstance(label, str) else label


def for_html(text: str) -> str:
    """A text with a name of the user, as shown in HTML."""
    return escape(visible(text))


def for_figure(label: str, most: int = LONGEST_LABEL) -> str:
    """A label with a name of the user, as shown in a figure of matplotlib.

    There ``$`` begins a formula, and a legend omits what begins with an underscore.
    """
    shown = shortened(visible(label), most).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def for_tree(name: str) -> str:
    """A name of the user within the name of a variable of a DataTree, where ``/`` separates groups."""
    return name.replace("/", "\N{DIVISION SLASH}")


def as_text(title: str, frame: "pd.DataFrame") -> str:
    """Title and table as plain text, no wider than the terminal: what does not fit stands in further blocks."""
    width = terminal_width()
    title = "\n".join(map(wrapped, title.split("\n")))
    parts = [padded(block) for block in blocks(cells_of(frame), width)]
    tables = ["\n".join("".join(row).rstrip() for row in (*headings, *rows)) for headings, rows in parts]
    return (f"{title}\n" if title else "") + "\n\n".join(tables)


def wrapped(line: str) -> str:
    """A line of words, folded at the width of the terminal."""
    return fill(visible(line), terminal_width(), break_on_hyphens=False)


def as_html(title: str, frame: "pd.DataFrame") -> str:
    """Title and table as HTML for Jupyter."""
    head = f"<p><b>{for_html(title)}</b></p>" if title else ""
    return f"{head}{cells_of(frame).to_html(border=0)}"


def terminal_width() -> int:
    """Columns of the terminal; 80 if there is none."""
    return max(shutil.get_terminal_size().columns, NARROWEST)


def cells_of(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The table as strings, with labels for a terminal."""
    return rounded_cells(frame).rename(index=for_terminal, columns=for_terminal)


def rounded_cells(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The table as strings, with its labels as they are."""
    if hasattr(frame, "shown"):
        frame = frame.shown()  # pyright: ignore[reportAttributeAccessIssue, reportCallIssue]
    return frame.map(lambda cell: significant(float(cell)) if isinstance(cell, (float, np.floating)) else str(cell))


class Block(NamedTuple):
    """Columns of a table that fit the terminal, and the width that its labels may have."""

    cells: "pd.DataFrame"
    most: int


def blocks(cells: "pd.DataFrame", width: int, gap: int = 2) -> list[Block]:
    """The table split into groups of columns that fit the width, so that no number is cut."""
    from rich.cells import cell_len

    used = [cell_len(str(name)) for name in (*cells.index, cells.index.name or "", cells.columns.name or "")]
    sizes = [_column_size(cells.iloc[:, j]) for j in range(cells.shape[1])]
    label = min(max(used), max(min(3 * width // 5, width - max(sizes, default=0) - gap), SHORTEST_LABEL))
    groups, room = [[]], width - label
    for j, size in enumerate(sizes):
        if groups[-1] and size + gap > room:
            groups.append([])
            room = width - label
        groups[-1].append(j)
        room -= size + gap
    return [Block(cells.iloc[:, group], label) for group in groups]


def _column_size(column: "pd.Series") -> int:
    """Width of a column. A long heading does not widen it: it is folded."""
    from rich.cells import cell_len

    words = _folded(str(column.name), WIDEST_HEADING)
    return max(map(cell_len, (*words, *column)))


def _folded(heading: str, size: int) -> list[str]:
    return wrap(heading, size) or [""]


def _within(text: str, most: int) -> str:
    """The text, shortened to a number of columns of the terminal; some characters take two."""
    from rich.cells import cell_len

    sizes = range(min(len(text), most), 0, -1)
    return next((short for size in sizes if cell_len(short := shortened(text, size)) <= most), "")


def padded(block: Block) -> tuple[list[list[str]], list[list[str]]]:
    """Rows of headings and rows of one block: labels to the left, cells to the right with a gap before them."""
    from rich.cells import cell_len

    cells, most = block
    sizes = [_column_size(cells.iloc[:, j]) for j in range(cells.shape[1])]
    corner, *labels = (
        _within(str(label), most) for label in (cells.columns.name or cells.index.name or "", *cells.index)
    )
    left = max(map(cell_len, (corner, *labels)))
    folded = [_folded(str(name), max(size, WIDEST_HEADING)) for name, size in zip(cells.columns, sizes, strict=True)]
    depth = max(map(len, folded), default=1)
    heads = zip(*([""] * (depth - len(words)) + words for words in folded), strict=True)

    def row(label: str, values: Iterable[str]) -> list[str]:
        right = [" " * (2 + size - cell_len(cell)) + cell for cell, size in zip(values, sizes, strict=True)]
        return [label + " " * (left - cell_len(label)), *right]

    headings = [row(corner if i == depth - 1 else "", words) for i, words in enumerate(heads)]
    return headings, [row(label, values) for label, values in zip(labels, cells.to_numpy(), strict=True)]


def significant(value: float, digits: int = 4) -> str:
    """A number with `digits` significant digits; with an exponent only below 1e-4 and from 1e7 on."""
    if value != value:
        return "–"
    if value == 0:
        return "0"
    if 1e-4 <= abs(value) < 1e7:
        whole = len(str(int(abs(value)))) if abs(value) >= 1 else 0
        if whole >= digits:
            return f"{value:.0f}" if whole > digits else f"{value:.1f}"
        return f"{value:#.{digits}g}" if abs(value) < 1 else f"{value:.{digits - whole}f}"
    return f"{value:.{digits - 1}e}"


def array_words(values: Any) -> str:
    """An array of any shape as nested brackets of `significant` numbers."""
    values = np.asarray(values)
    if values.ndim == 0:
        return significant(float(values))
    return "[" + ", ".join(array_words(value) for value in values) + "]"


def fitting(values: Any, sd: float) -> list[str]:
    """Numbers with the decimals of the second digit of their standard deviation; `significant` ones without it."""
    values = [float(value) for value in np.atleast_1d(values)]
    largest = max(map(abs, values), default=0.0)
    if not (np.isfinite(sd) and sd > 0 and np.isfinite(largest)):
        return [significant(value) for value in values]
    last = _power(sd) - 1  # power of ten of the second digit, after rounding
    first = _power(max(largest, sd))
    if last >= -7 and first + max(-last, 0) < MOST_DIGITS:
        return [f"{value:.{max(-last, 0)}f}" for value in values]
    power = min(first, 300)
    digits = min(first - last, 15)
    return [f"{value / 10.0**power:.{digits}f}e{power:+03d}" for value in values]


def _power(value: float) -> int:
    """Power of ten of the first of two digits, after rounding."""
    return int(f"{value:.1e}".split("e")[1])


def placed(value: float, spread: float) -> str:
    """A `significant` number, with more digits where its distance from others of this spread would not be seen."""
    return fitting(value, spread)[0] if abs(value) > 1000 * spread else significant(value)


def plus_minus(estimates, sds) -> list[str]:
    """Estimates with their standard deviations to two digits; only the estimate where the deviation is NaN."""
    pairs = zip(estimates, sds, strict=True)
    return [significant(mean) if sd != sd else " ± ".join(fitting([mean, sd], sd)) for mean, sd in pairs]


def intervals(estimates, sds, lower, upper) -> list[str]:
    """Estimates with intervals; only the estimate where there is none."""
    shown = []
    for mean, sd, low, high in zip(estimates, sds, lower, upper, strict=True):
        middle, *ends = fitting([mean, low, high] if low == low else [mean], sd)
        shown.append(f"{middle} [{ends[0]}, {ends[1]}]" if ends else middle)
    return shown


def shown_as(figure: str) -> Callable[[float], str]:
    """The function that rounds one row of a table of costs."""
    decimals = {"worst R-hat": 3, "smallest ESS": 0, "divergences": 0}.get(figure)
    if decimals is None:
        return lambda value: significant(value, 3)
    return lambda value: "–" if value != value else f"{value:.{decimals}f}"


def file_size(num_bytes: float) -> str:
    """A number of bytes in kB, MB or GB."""
    for unit in ("kB", "MB"):
        num_bytes /= 1000
        if num_bytes < 999.5:
            return f"{num_bytes:.3g} {unit}"
    return f"{num_bytes / 1000:.3g} GB"
