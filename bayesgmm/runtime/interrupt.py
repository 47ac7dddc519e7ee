"""Ctrl-C as a flag, so that long work can end in good order."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_STOP: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag, the second into the usual KeyboardInterrupt.

    Inside another such block the flag is that block's, so that a caller of several engines learns of a Ctrl-C wherever it fell.
    Outside the main thread Ctrl-C is not ours to take.
    """
    outer = _STOP.get()
    if outer is not None:
        yield outer
        return
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    previous = signal.getsignal(signal.SIGINT) or signal.SIG_DFL  # None: set outside Python, and not ours to restore

    def handle(number, frame):
        stop.set()
        signal.signal(signal.SIGINT, previous)

    signal.signal(signal.SIGINT, handle)
    token = _STOP.set(stop)
    try:
        yield stop
    finally:
        _STOP.reset(token)
        signal.signal(signal.SIGINT, previous)
