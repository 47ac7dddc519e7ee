"""Print results in a terminal with rich."""

import errno
import io
import os
import sys
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from bayesgmm.errors import visible
from bayesgmm.runtime.files import reason
from bayesgmm.runtime.formatting import as_text, for_terminal, shown_as, significant

if TYPE_CHECKING:
    from rich.table import Table
    from rich.text import Text

    from bayesgmm.comparison.comparison import Comparison
    from bayesgmm.diagnosis.diagnosis import Diagnosis
    from bayesgmm.selection.fit_table import FitTable


def say(*parts: Any, error: bool = False) -> None:
    """Print to standard output or error, with ``?`` for what its encoding lacks. Strings are not wrapped; texts are.

    If standard output is full, the process ends with code 3, so files are to be written before. A closed pipe
    (``| head``) is no error.
    """
    stream = sys.stderr if error else sys.stdout
    if stream is None:  # the shell has closed it
        return
    from rich.console import Console

    collected = _Collected(stream)
    console = Console(file=collected)
    for part in parts:
        console.print(part, highlight=False, markup=False, soft_wrap=isinstance(part, str))
    text, encoding = collected.getvalue(), collected.encoding
    try:
        stream.write(text.encode(encoding, "replace").decode(encoding))
        stream.flush()
    except OSError as failed:
        _mute(stream)
        if failed.errno not in (errno.EPIPE, errno.EINVAL) and not error:  # EINVAL: a closed pipe of Windows
            say(f"Standard output could not be written ({reason(failed)}).", error=True)
            sys.exit(3)


def report_error(error: BaseException) -> None:
    """Print the type and the message of an error to standard error."""
    from rich.text import Text

    words = (type(error).__name__, "bold red"), ": ", visible(str(error))
    say(Text.assemble(*words, no_wrap=True, overflow="ignore"), error=True)


def print_comparison(comparison: "Comparison") -> None:
    """Print the table of engines, then the verdict; only the report has the covariances."""
    from rich.table import Table
    from rich.text import Text

    summary = comparison.summary()
    table = Table("parameter", *map(str, summary.columns), title=Text(comparison.title), title_justify="left")
    _align_right(table)
    for label, row in summary.iterrows():
        if str(label) == "log-likelihood":
            table.add_section()
        if not str(label).startswith("covariances"):
            table.add_row(Text(for_terminal(str(label))), *map(str, row))
    titles = [Text(visible(f"{name}: {words}"), style="dim") for name, words in comparison.engine_names.items()]
    say(table, *titles, Text("Covariances are in the report.", style="dim"), *_points(comparison.verdict()))


def print_diagnosis(found: "Diagnosis") -> None:
    """Print the verdict, then the label-invariant quantities."""
    from rich.table import Table
    from rich.text import Text

    table = Table("label-invariant quantity", "mean", "sd", "R-hat", "bulk ESS", "tail ESS")
    _align_right(table)
    ess, rhat = shown_as("smallest ESS"), shown_as("worst R-hat")
    for name, row in found.summary().to_dict("index").items():
        cells = significant(row["mean"]), significant(row["sd"], 2), rhat(row["r_hat"])
        table.add_row(Text(for_terminal(str(name))), *cells, ess(row["ess_bulk"]), ess(row["ess_tail"]))
    say(Text(found.status, style="bold"), *_points(found.verdict()), table)


def print_table(found: "FitTable") -> None:
    """Print the criterion of every family and K, then the best model and the notes."""
    from rich.table import Table
    from rich.text import Text

    name, best = found.criterion.upper(), found.best
    values, spurious = found.frame(), found.frame("spurious")
    table = Table(
        "family", *(f"K={size}" for size in values.index), title=f"{name}, smaller is better", title_justify="left"
    )
    _align_right(table)
    for family in values.columns:
        row = []
        for size in values.index:
            value = values.loc[size, family]
            shown = "–" if value != value else f"{value:.1f}" + ("†" if spurious.loc[size, family] else "")
            chosen = (family, size) == (best.family.label(best.table.dim), best.n_components)
            row.append(Text(shown, style="bold reverse" if chosen else ""))
        table.add_row(str(family), *row)
    parts: list[Any] = [table]
    if spurious.to_numpy().any():
        parts.append(Text("† a component has too few rows for its covariance: unreliable", style="dim"))
    say(*parts, as_text(best._title(), best.summary().T), *_points(found.notes()))


def _points(lines: list[str]) -> list["Text"]:
    from rich.text import Text

    return [Text(f"• {visible(line)}") for line in lines]


def _align_right(table: "Table") -> None:
    for column in table.columns[1:]:
        column.justify = "right"


class _Collected(io.StringIO):
    """What a console prints for a stream, in the manner that the stream can show."""

    def __init__(self, stream: Any):
        super().__init__()
        self._stream = stream

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return getattr(self._stream, "encoding", None) or "utf-8"

    def isatty(self) -> bool:
        return self._stream.isatty()


def _mute(stream: IO[str]) -> None:
    """Let what is left in the stream go nowhere, so that Python does not fail on it at its end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
