"""Tables for papers and notes: Markdown and LaTeX, with the digits that a terminal shows."""

import re
from typing import TYPE_CHECKING, Any

from bayesgmm.errors import visible
from bayesgmm.runtime.formatting import rounded_cells

if TYPE_CHECKING:
    import pandas as pd

_LATEX = {
    "\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "–": "--", "−": "$-$", "…": r"\dots{}",
    "∞": r"$\infty$", "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", "`": r"\textasciigrave{}",
}  # fmt: skip
_JOINED = ("--", "''", ",,")
"""Signs that LaTeX would set as one, such as a dash."""
_NUMBER = re.compile(r"(?<![\w.])(-?)(\d+(?:\.\d+)?)(?:e([+-]\d+))?(?![\w.])")
_IN_MARKDOWN = re.compile(r"([\\`*|<>~]|(?<![^\W_])_|_(?![^\W_]))")
"""Signs of Markdown; an underscore within a word is none."""


class Written:
    """A result whose table can be written for a paper."""

    def to_markdown(self) -> str:
        """The table of `summary` in Markdown, as GitHub and Pandoc read it, with the digits that it shows."""
        return markdown(self._written())

    def to_latex(self) -> str:
        r"""The table of `summary` in LaTeX, for ``\usepackage{booktabs}``, with the digits that it shows."""
        return latex(self._written())

    def _written(self) -> "pd.DataFrame":
        own: Any = self
        return own.summary()


def markdown(frame: "pd.DataFrame") -> str:
    """A table in Markdown: labels to the left, cells to the right."""
    from rich.cells import cell_len

    rows = [[_markdown(cell) for cell in row] for row in _grid(frame)]
    sizes = [max(3, *map(cell_len, column)) for column in zip(*rows, strict=True)]

    def line(row: list[str]) -> str:
        padded = [" " * (size - cell_len(cell)) + cell for cell, size in zip(row, sizes, strict=True)]
        padded[0] = row[0] + " " * (sizes[0] - cell_len(row[0]))
        return f"| {' | '.join(padded)} |"

    rule = f"|{'|'.join([':' + '-' * (sizes[0] + 1), *('-' * (size + 1) + ':' for size in sizes[1:])])}|"
    return "\n".join([line(rows[0]), rule, *map(line, rows[1:])]) + "\n"


def latex(frame: "pd.DataFrame") -> str:
    """A table in LaTeX with the rules of booktabs."""
    head, *body = _grid(frame)
    rows = [[_latex(label), *map(_latex_cell, cells)] for label, *cells in body]
    lines = [" & ".join(_latex(cell) for cell in head), *(" & ".join(row) for row in rows)]
    lines = [(f"{{}}{line}" if line.startswith(("[", "*")) else line) + r" \\" for line in lines]
    start = rf"\begin{{tabular}}{{l{'r' * frame.shape[1]}}}"
    return "\n".join([start, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", r"\end{tabular}", ""])


def _grid(frame: "pd.DataFrame") -> list[list[str]]:
    """Headings and rows as text, each with its label first."""
    cells = rounded_cells(frame)
    corner = str(cells.columns.name or cells.index.name or "")
    heads = [corner, *map(str, cells.columns)]
    labels = map(str, cells.index)
    return [heads, *([label, *map(str, row)] for label, row in zip(labels, cells.to_numpy(), strict=True))]


def _markdown(text: str) -> str:
    return _IN_MARKDOWN.sub(r"\\\1", visible(text)).replace("](", r"]\(")


def _latex(text: str) -> str:
    text = visible(text)
    return "".join(_LATEX.get(char, char) + "{}" * (text[i : i + 2] in _JOINED) for i, char in enumerate(text))


def _latex_cell(text: str) -> str:
    """A cell, with its numbers in the signs of mathematics where text would show them wrongly."""

    def number(found: re.Match) -> str:
        minus, digits, power = found.groups()
        if power is not None:
            return rf"${minus}{digits} \times 10^{{{int(power)}}}$"
        return f"${minus}{digits}$" if minus else digits

    return _NUMBER.sub(number, _latex(text))
