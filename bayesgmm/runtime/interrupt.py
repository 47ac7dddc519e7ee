"""Ctrl-C as a flag, so that long runs stop cleanly."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_STOP: ContextVar[threading.Event | None] = ContextVar("stop", default=None)


@contextmanager
def interruptible() -> Iterator[threading.Event]:
    """Turn the first Ctrl-C into a flag; the second raises KeyboardInterrupt as usual.

    Nested blocks share the flag of the outer block, so a caller of several engines sees every Ctrl-C. Outside the main
    thread, Ctrl-C cannot be caught.
    """
    outer = _STOP.get()
    if outer is not None:
        yield outer
        return
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    previous = signal.getsignal(signal.SIGINT) or signal.SIG_DFL  # None: set outside Python, cannot be restored

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
