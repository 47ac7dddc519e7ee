"""Print results in a terminal with rich."""

import errno
import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from bayesgmm.comparison.options import in_options
from bayesgmm.errors import visible
from bayesgmm.runtime.files import reason
from bayesgmm.runtime.formatting import blocks, cells_of, criterion_name, fitting, padded, shown_as, terminal_width

if TYPE_CHECKING:
    import pandas as pd
    from rich.text import Text

    from bayesgmm.comparison.comparison import Comparison
    from bayesgmm.diagnosis.judged import Judged
    from bayesgmm.diagnosis.number_of_components import NumberDiagnosis
    from bayesgmm.model_choice.selection import Selection
    from bayesgmm.results.posterior import Posterior
    from bayesgmm.selection.cells import FitTable


_aside: ContextVar[bool] = ContextVar("aside", default=False)


@contextmanager
def words_aside(aside: bool) -> Iterator[None]:
    """Within this block all words go to standard error, if `aside`: standard output is for data."""
    before = _aside.set(aside)
    try:
        yield
    finally:
        _aside.reset(before)


def say(*parts: Any, error: bool = False) -> None:
    """Print to standard output or error, in the signs that its encoding has. Strings are not wrapped; texts are.

    If standard output is full, the process ends with code 3, so files are to be written before. A closed pipe
    (``| head``) is no error.
    """
    error = error or _aside.get()
    stream = sys.stderr if error else sys.stdout
    if stream is None:  # the shell has closed it
        return
    from rich.console import Console

    collected = _Collected(stream)
    console = Console(file=collected, width=terminal_width())
    for part in parts:
        wide = isinstance(part, str) or getattr(part, "no_wrap", False)
        console.print(part, highlight=False, markup=False, soft_wrap=bool(wide))
    _write(stream, _encodable(collected.getvalue(), collected.encoding), error)


def put(text: str) -> None:
    """Print data to standard output as they are, in ASCII or UTF-8, also where words go aside."""
    if sys.stdout is not None:
        _write(sys.stdout, text, False)


def _write(stream: Any, text: str, error: bool) -> None:
    try:
        stream.write(text)
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
    say(Text.assemble(*words, no_wrap=True), error=True)


def print_comparison(comparison: "Comparison") -> None:
    """Print the table of engines, then the verdict; only the report has the covariances."""
    from rich.text import Text

    summary = comparison.summary()
    shown = cells_of(summary.loc[~summary.index.str.startswith("covariances")])
    titles = [Text(visible(f"{name}: {words}"), style="dim") for name, words in comparison.engine_names.items()]
    notes = [Text(line, style="dim") for line in (*comparison.notes(), "Covariances are in the report.")]
    say(
        Text(comparison.title, style="bold"), *_tables(shown, section="log-likelihood"), *titles, *notes,
        *_points(comparison.verdict()),
    )  # fmt: skip
    if comparison.has_reference:
        found = comparison.errors()
        _say_table(f"Errors against {found.reference}", found.shown(), found.notes)
    if comparison.scores is not None:
        _say_table("Held-out log score", comparison.scores.shown(), comparison.scores.notes)


def _say_table(title: str, table: "pd.DataFrame", notes: tuple[str, ...]) -> None:
    from rich.text import Text

    lines = [Text(visible(in_options(line)), style="dim") for line in notes]
    say(Text(f"\n{title}", style="bold"), *_tables(cells_of(table)), *lines)


def print_diagnosis(found: "Judged") -> None:
    """Print the verdict, then the label-invariant quantities."""
    from rich.text import Text

    say(Text(found.status, style="bold"), *_points(found.verdict()), *_tables(cells_of(_quantities(found))))


def print_number(found: "NumberDiagnosis") -> None:
    """Print the posterior of the number of components, then the verdict."""
    from rich.text import Text

    num, clusters = found.posterior.most_probable
    title = f"K = {num} and K₊ = {clusters} are most probable: {found.status}"
    table = found.posterior.posterior_of_k().shown().rename_axis("k")
    say(Text(title, style="bold"), *_tables(cells_of(table)), *_points(found.verdict()))


def _quantities(found: "Judged") -> "pd.DataFrame":
    import pandas as pd

    ess, rhat, rows = shown_as("smallest ESS"), shown_as("worst R-hat"), {}
    for name, row in found.summary().to_dict("index").items():
        mean, sd = fitting([row["mean"], row["sd"]], row["sd"])
        rows[name] = mean, sd, rhat(row["r_hat"]), ess(row["ess_bulk"]), ess(row["ess_tail"])
    names = ["mean", "sd", "R-hat", "bulk ESS", "tail ESS"]
    return pd.DataFrame.from_dict(rows, orient="index", columns=names).rename_axis("label-invariant quantity")


def print_posterior(found: "Posterior", level: float, verdict: list[str]) -> None:
    """Print mean, sd, interval and quality of each parameter but the covariances, then the verdict."""
    import pandas as pd
    from rich.text import Text

    table = found.summary(level)
    ends = [name for name in table.columns if name.endswith("%")]
    quality = {"ess_bulk": "bulk ESS", "ess_tail": "tail ESS", "r_hat": "R-hat"}
    known = [name for name in quality if name in table.columns]
    ess, rhat, rows = shown_as("smallest ESS"), shown_as("worst R-hat"), {}
    for name, row in table.loc[~table.index.str.startswith("covariances")].to_dict("index").items():
        numbers = fitting([row["mean"], row["sd"], *(row[end] for end in ends)], row["sd"])
        rows[name] = *numbers, *((rhat if one == "r_hat" else ess)(row[one]) for one in known)
    columns = ["mean", "sd", *ends, *(quality[one] for one in known)]
    cells = pd.DataFrame.from_dict(rows, orient="index", columns=columns).rename_axis("parameter")
    note = Text("Covariances: --out FILE.nc, or --json.", style="dim")
    say(Text(visible(repr(found).partition("\n")[0]), style="bold"), *_tables(cells_of(cells)), note, *_points(verdict))


def print_table(found: "FitTable") -> None:
    """Print the criterion of every family and K, then the best model and the notes."""
    from rich.text import Text

    best = found.best
    values, spurious = found.frame().T.rename_axis("family"), found.frame("spurious").T
    values.columns = spurious.columns = [f"K={size}" for size in values.columns]
    marks = spurious.map(lambda flag: "†" if flag else "")
    cells = [values.map(lambda value, d=d: "–" if value != value else f"{value:.{d}f}") + marks for d in (1, 0)]
    width = terminal_width()
    one_block = [table for table in cells if len(blocks(table, width)) == 1]
    chosen = best.family.label(best.table.dim), f"K={best.n_components}"
    parts: list[Any] = [Text(f"{criterion_name(found.criterion)}, smaller is better", style="bold")]
    parts += _tables((one_block or cells)[0], chosen)
    if spurious.to_numpy().any():
        parts.append(Text("† a component has too few rows for its covariance: unreliable", style="dim"))
    say(*parts, repr(best), *_points(found.notes()))


def print_selection(found: "Selection") -> None:
    """Print what the criteria say together, the table, and the sentence of each criterion."""
    from rich.text import Text

    first, *others = found.conclusion()
    table = _tables(cells_of(found.summary()))
    say(Text(visible(in_options(first)), style="bold"), *table, *_points([*others, *found.notes()]))


def _tables(cells: "pd.DataFrame", chosen: tuple[str, str] | None = None, section: str = "") -> "list[Text]":
    """A table of strings in blocks that fit the terminal. Cell `chosen` stands out; a line precedes row `section`."""
    from rich.cells import cell_len
    from rich.text import Text

    lines = []
    for i, block in enumerate(blocks(cells, terminal_width())):
        headings, rows = padded(block)
        rule = Text("─" * sum(map(cell_len, headings[0])), style="dim")
        lines += [Text("")] * bool(i) + [Text("".join(row), style="bold") for row in headings] + [rule]
        for label, row in zip(block.cells.index, rows, strict=True):
            lines += [rule] if label == section else []
            marked = [(label, name) == chosen for name in block.cells.columns]
            line = Text(row[0])
            for cell, mark in zip(row[1:], marked, strict=True):
                line.append(cell[:2]).append(cell[2:], style="bold reverse" if mark else "")
            lines.append(line)
    for line in lines:
        line.no_wrap = True
    return lines


def _points(lines: list[str]) -> list["Text"]:
    from rich.text import Text

    return [Text(f"• {visible(in_options(line))}") for line in lines]


PLAIN = {
    "±": "+/-",
    "–": "-",
    "−": "-",
    "—": "-",
    "…": "...",
    "•": "*",
    "†": "*",
    "×": "x",
    "₊": "+",
    "⁻": "-",
    "→": "->",
}
"""What stands for signs of ours where an encoding lacks them."""


def _encodable(text: str, encoding: str) -> str:
    """The text in signs that an encoding has: near ones for ours, ``?`` for others."""
    for sign, plain in PLAIN.items():
        if sign in text and sign.encode(encoding, "replace") == b"?":
            text = text.replace(sign, plain)
    return text.encode(encoding, "replace").decode(encoding)


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


def _mute(stream: Any) -> None:
    """Let what is left in the stream go nowhere, so that Python does not fail on it at its end."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
