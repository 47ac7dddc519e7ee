"""Progress of long runs: a rich bar at a terminal or in Jupyter, or a callable of the user."""

import importlib.util
import io
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import IO, Any, cast

import numpy as np

from bayesgmm.errors import ArgumentError, BayesGMMError
from bayesgmm.runtime.checks import shown

Listener = Callable[[str, int, int, str], None]
"""Called with the label of the engine, steps done, total steps, and a short note (such as a count of divergences)."""

Progress = bool | Listener | None
"""True: a bar; False: no output; None: a bar at a terminal or in Jupyter only; or a `Listener`."""


@contextmanager
def listening(progress: Progress) -> Iterator[Listener]:
    """Turn the argument of the user into a `Listener` for the duration of a run."""
    check_progress(progress)
    if progress is None:
        progress = _someone_is_watching()
    if callable(progress):
        yield _guarded(progress)
    elif progress:
        with bars() as listener:
            yield listener
    else:
        yield lambda label, done, total, note: None


def _guarded(listener: Listener) -> Listener:
    """A listener of the user, whose errors say where they come from."""

    def guarded(label: str, done: int, total: int, note: str) -> None:
        try:
            listener(label, done, total, note)
        except BayesGMMError:
            raise
        except Exception as error:
            raise ArgumentError(
                f"The callable given as progress_bar failed ({type(error).__name__}: {shown(str(error))}). It is "
                "called with four arguments: label, steps done, steps in all, note."
            ) from error

    return guarded


def check_progress(progress: object) -> None:
    """Refuse what is no `Progress`."""
    if not (progress is None or isinstance(progress, (bool, np.bool_)) or callable(progress)):
        raise ArgumentError(f"progress_bar must be True, False, None or a callable, got {shown(progress)}.")


@contextmanager
def bars() -> Iterator[Listener]:
    """A rich progress bar per label."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description:<6}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
        TextColumn("elapsed, about"), TimeRemainingColumn(), TextColumn("left"), TextColumn("{task.fields[note]}"),
    )  # fmt: skip
    with Progress(*columns, console=Console(file=cast(IO[str], _Standing(sys.stderr or io.StringIO())))) as display:
        tasks = {}

        def listener(label: str, done: int, total: int, note: str) -> None:
            if label not in tasks:
                tasks[label] = display.add_task(label, total=total, note=note)
            display.update(tasks[label], completed=done, total=total, note=note)

        yield listener


class _Standing:
    """Standard error, for what may be lost: a run goes on if it is closed or full."""

    def __init__(self, stream: Any):
        self._stream = stream

    def write(self, text: str) -> int:
        with suppress(OSError, UnicodeError, ValueError):
            self._stream.write(text)
            self._stream.flush()
        return len(text)

    def flush(self) -> None:
        """Done by `write`."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def _someone_is_watching() -> bool:
    if "ipykernel" in sys.modules:
        return importlib.util.find_spec("ipywidgets") is not None
    return sys.stderr is not None and sys.stderr.isatty()
