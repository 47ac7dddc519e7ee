"""Where progress is shown: in a notebook, at a terminal, or as lines in a file or pipe."""

import io
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import monotonic
from typing import IO, Any, cast

from bayesgmm.errors import visible
from bayesgmm.runtime.formatting import for_html, shortened

INTERVAL = 0.25
"""Least seconds between two updates of a notebook."""
WIDE = 80
"""Columns of a terminal that has space for a bar."""
LONGEST = 30
"""Longest label, in characters."""


class Run:
    """Progress of one label."""

    def __init__(self, label: str, start: float):
        self.label = shortened(visible(label), LONGEST)
        self.start = self.last = start
        self.stepped = start
        """When the number of steps last changed; a report can have another note only."""
        self.first: tuple[float, int] | None = None
        self.done = self.total = 0
        self.note = ""

    def report(self, done: int, total: int, note: str) -> None:
        """Keep the last report and its time."""
        now = monotonic()
        self.stepped = now if done != self.done or self.first is None else self.stepped
        self.last, self.done, self.total, self.note = now, done, total, visible(note)
        self.first = self.first or (self.last, done)

    def words(self, live: bool) -> str:
        """``2000/2000 in 3.1 s``; with the time left while it is live."""
        now = monotonic() if live and self.done < self.total else None
        parts = [f"{self.done}/{self.total} in {duration((now or self.last) - self.start)}"]
        left = None if now is None else self._left(now)
        if left is not None:
            parts.append(f"about {duration(left)} left")
        return ", ".join([*parts, self.note] if self.note else parts)

    def _left(self, now: float) -> float | None:
        """Seconds left at the mean speed since the first report, which contains the compilation."""
        since, done = self.first or (now, self.done)
        if self.done <= done:
            return None
        speed = (self.done - done) / (self.stepped - since or 1e-9)
        return max((self.total - self.done) / speed - (now - self.stepped), 0.0)


def duration(seconds: float) -> str:
    """``3.1 s``, ``42 s`` or ``1:05:09``."""
    if seconds < 59.5:
        return f"{seconds:.1f} s" if seconds < 9.95 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Board:
    """The runs in the order of their first report; the last one to report is live. Any thread may report."""

    def __init__(self):
        self.runs: dict[str, Run] = {}
        self.live: Run | None = None
        self.closed = False
        self._lock = threading.Lock()
        self._last = monotonic()

    def report(self, label: str, done: int, total: int, note: str) -> None:
        """A `Listener`. The time of a label counts from the report before its first one."""
        with self._lock:
            if self.closed:
                return
            if label not in self.runs:
                self.runs[label] = Run(label, self._last)
            self.live = self.runs[label]
            self.live.report(done, total, note)
            self._last = self.live.last
            self.show()

    def close(self) -> None:
        """Show the last state of every run."""
        with self._lock:
            self.closed, self.live = True, None
            self.show()

    def show(self) -> None:
        """Show the runs. Called after each report, and at the end."""
        raise NotImplementedError

    def words(self, run: Run) -> str:
        """What stands beside the label."""
        return run.words(run is self.live)


class Notebook(Board):
    """One display of plain text and HTML, which is updated in place. It needs no widgets."""

    def __init__(self):
        super().__init__()
        self._handle: Any = None
        self._shown = monotonic()

    def show(self) -> None:
        """Display a few times a second at most, and at the end; a run goes on if its front end is gone."""
        if not self.runs or (not self.closed and monotonic() - self._shown < INTERVAL):
            return
        from IPython.display import display

        lines = [(run, self.words(run)) for run in self.runs.values()]
        html = "<br>".join(self._html(run, words) for run, words in lines)
        both = {
            "text/plain": "\n".join(f"{run.label} {words}" for run, words in lines),
            "text/html": f'<div style="font-family: monospace">{html}</div>',
        }
        with suppress(Exception):
            if self._handle is None:
                self._handle = display(both, raw=True, display_id=True)
            else:
                self._handle.update(both, raw=True)
        self._shown = monotonic()

    def _html(self, run: Run, words: str) -> str:
        bar = f'<progress value="{run.done}" max="{run.total}"></progress> ' if run is self.live else ""
        return f"{for_html(run.label)} {bar}{for_html(words)}"


class Lines(Board):
    """One line for each run that has ended."""

    def __init__(self, stream: "Standing"):
        super().__init__()
        self._stream = stream
        self._printed: set[str] = set()

    def show(self) -> None:
        """Print the runs that have ended since the last call; at the end also those that were cut."""
        for name, run in self.runs.items():
            ended = self.closed or (run is not self.live and run.done >= run.total)
            if ended and name not in self._printed:
                self._stream.write(f"{run.label} {self.words(run)}\n")
                self._printed.add(name)


class Terminal(Board):
    """Lines of rich that move, with bars if there is space."""

    def __init__(self, stream: "Standing"):
        super().__init__()
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
        from rich.table import Column
        from rich.text import Text

        board = self

        class Words(ProgressColumn):
            def render(self, task: Any) -> Text:
                return Text(board.words(task.fields["run"]), overflow="fold")

        console = Console(file=cast(IO[str], stream))
        label = TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True))
        bars = [BarColumn(bar_width=20)] if console.width >= WIDE else []
        self._tasks: dict[str, Any] = {}
        self._progress = Progress(label, *bars, Words(), console=console)
        self._progress.start()

    def show(self) -> None:
        """Update the bars; the numbers and times follow by themselves."""
        for name, run in self.runs.items():
            if name not in self._tasks:
                self._tasks[name] = self._progress.add_task(run.label, total=run.total, run=run)
            self._progress.update(self._tasks[name], completed=run.done, total=run.total)
        if self.closed:
            self._progress.stop()


class Standing:
    """Standard error, for what may be lost: a run goes on if it is closed or full."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        """Write at once, with question marks for what the stream cannot encode."""
        encoding = getattr(self._stream, "encoding", None) or "utf-8"
        with suppress(OSError, LookupError, UnicodeError, ValueError):
            self._stream.write(text.encode(encoding, "replace").decode(encoding))
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Done by `write`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def in_kernel() -> bool:
    """Whether this is the kernel of a notebook (Jupyter, VS Code, Colab, nbconvert, papermill)."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None and hasattr(ipython, "get_ipython") else None
    return getattr(shell, "kernel", None) is not None


def at_terminal() -> bool:
    """Whether standard error is a terminal."""
    with suppress(ValueError):  # it is closed
        return sys.stderr is not None and sys.stderr.isatty()
    return False


@contextmanager
def board() -> Iterator[Board]:
    """The board that fits where the process runs, for the duration of a run."""
    if in_kernel():
        shown: Board = Notebook()
    else:
        stream = Standing(sys.stderr or io.StringIO())
        shown = Terminal(stream) if at_terminal() else Lines(stream)
    try:
        yield shown
    finally:
        shown.close()
