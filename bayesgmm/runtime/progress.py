"""Progress of long runs: a line for each at a terminal or in a notebook, or a callable of the user."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import numpy as np

from bayesgmm.errors import ArgumentError, BayesGMMError
from bayesgmm.runtime.checks import shown
from bayesgmm.runtime.processes import is_first
from bayesgmm.runtime.progress_display import at_terminal, board, in_kernel

Listener = Callable[[str, int, int, str], None]
"""Called with the label of the engine, steps done, total steps, and a short note (such as a count of divergences)."""

Progress = bool | Listener | None
"""True: progress is shown; False: it is not; None: at a terminal or in a notebook only; or a `Listener`."""

_NESTED: ContextVar[bool] = ContextVar("nested", default=False)


@contextmanager
def listening(progress: Progress) -> Iterator[Listener]:
    """Turn the argument of the user into a `Listener` for the duration of a run.

    A run inside another one, such as a simulation of `calibrate`, shows progress only if it is asked to. Of processes
    that share a run, only the first one shows it.
    """
    check_progress(progress)
    if not callable(progress) and not is_first():
        progress = False
    if progress is None:
        progress = not _NESTED.get() and (in_kernel() or at_terminal())
    token = _NESTED.set(True)
    try:
        if callable(progress):
            yield _guarded(progress)
        elif progress:
            with board() as shown_there:
                yield shown_there.report
        else:
            yield lambda label, done, total, note: None
    finally:
        _NESTED.reset(token)


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
