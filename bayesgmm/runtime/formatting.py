"""Tables for terminals and notebooks, names of the user in each medium, and the rounding of numbers."""

from collections.abc import Callable
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import visible

if TYPE_CHECKING:
    import pandas as pd


LONGEST_LABEL = 60
"""Longest label in a table or a figure, in characters."""


def shortened(text: str, most: int = LONGEST_LABEL) -> str:
    """The text, without its middle if it is longer than `most` characters."""
    if len(text) <= most:
        return text
    return f"{text[: most - most // 3 - 1]}…{text[-(most // 3) :]}"


def for_terminal(label: Any) -> Any:
    """A label with a name of the user, as shown in a table at a terminal."""
    return shortened(visible(label)) if isinstance(label, str) else label


def for_html(text: str) -> str:
    """A text with a name of the user, as shown in HTML."""
    return escape(visible(text))


def for_figure(label: str) -> str:
    """A label with a name of the user, as shown in a figure of matplotlib.

    There ``$`` begins a formula, and a legend omits what begins with an underscore.
    """
    shown = shortened(visible(label)).replace("$", r"\$")
    return f" {shown}" if shown.startswith("_") else shown


def for_tree(name: str) -> str:
    """A name of the user within the name of a variable of a DataTree, where ``/`` separates groups."""
    return name.replace("/", "\N{DIVISION SLASH}")


def as_text(title: str, frame: "pd.DataFrame") -> str:
    """Title and table as plain text."""
    import pandas as pd

    title = "\n".join(map(visible, title.split("\n")))
    with pd.option_context("display.unicode.east_asian_width", True):
        return f"{title}\n{_shown(frame).to_string(float_format=significant)}"


def as_html(title: str, frame: "pd.DataFrame") -> str:
    """Title and table as HTML for Jupyter."""
    return f"<p><b>{for_html(title)}</b></p>{_shown(frame).to_html(float_format=significant, border=0)}"


def _shown(frame: "pd.DataFrame") -> "pd.DataFrame":
    """The table with labels for a terminal."""
    return frame.rename(index=for_terminal, columns=for_terminal)


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


def plus_minus(estimates, sds) -> list[str]:
    """Estimates with their standard deviations to two digits; only the estimate where the deviation is NaN."""
    return [
        significant(mean) if sd != sd else f"{significant(mean)} ± {significant(sd, 2)}"
        for mean, sd in zip(estimates, sds, strict=True)
    ]


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
