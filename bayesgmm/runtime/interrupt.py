"""Ctrl-C as a flag, so that long runs stop cleanly."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class Stop(threading.Event):
    """The flag; `number` is the signal that set it."""

    number: int = signal.SIGINT


_STOP: ContextVar[Stop | None] = ContextVar("stop", default=None)


@contextmanager
def interruptible(*signals: int) -> Iterator[Stop]:
    """Turn the first Ctrl-C (or the first of the given signals) into a flag; the second acts as usual.

    Nested blocks share the flag of the outer block, so a caller of several engines sees every Ctrl-C. Outside the main
    thread, Ctrl-C cannot be caught.
    """
    outer = _STOP.get()
    if outer is not None:
        yield outer
        return
    stop = Stop()
    if threading.current_thread() is not threading.main_thread():
        yield stop
        return

    # None: set outside Python, cannot be restored
    previous = {one: signal.getsignal(one) or signal.SIG_DFL for one in signals or (signal.SIGINT,)}

    def restore() -> None:
        for one, handler in previous.items():
            signal.signal(one, handler)

    def handle(number, frame):
        stop.number = number
        stop.set()
        restore()

    for one in previous:
        signal.signal(one, handle)
    token = _STOP.set(stop)
    try:
        yield stop
    finally:
        _STOP.reset(token)
        restore()


def check_stop() -> None:
    """Raise KeyboardInterrupt if the flag is set, where nothing can be kept of what is under way.

    A KeyboardInterrupt that Python raises itself is lost if a callback of JAX happens to run.
    """
    stop = _STOP.get()
    if stop is not None and stop.is_set():
        raise KeyboardInterrupt
