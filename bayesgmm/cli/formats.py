"""The table of a command in Markdown or LaTeX on standard output."""

from typing import Any

from bayesgmm.comparison.terminal import put
from bayesgmm.errors import ArgumentError

TEXT = "text"
FORMATS = (TEXT, "markdown", "latex")


def check_format(form: str, as_json: bool) -> None:
    """Refuse a format that is none, or a second content for standard output.

    Raises
    ------
    ArgumentError
        If the format is unknown, or is asked for together with ``--json``.
    """
    if form not in FORMATS:
        raise ArgumentError(f"--format must be one of {', '.join(FORMATS)}; got {form[:100]!r}.")
    if form != TEXT and as_json:
        raise ArgumentError(f"--format {form} and --json both write to standard output. Choose one.")


def print_written(form: str, found: Any) -> None:
    """Print the table of a result in Markdown or LaTeX, if the format asks for it."""
    if form != TEXT:
        put(found.to_markdown() if form == "markdown" else found.to_latex())
