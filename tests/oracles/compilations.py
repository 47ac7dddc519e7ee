"""Count what a block compiles: whole programs, and single operations outside them."""

from contextlib import contextmanager
from unittest import mock

import jax

from bayesgmm.runtime.programs import Program

EVENT = "/jax/core/compile/backend_compile_duration"
_counts = []


def _listen(event, duration, **kwargs):
    if event == EVENT:
        for count in _counts:
            count.append("one operation")


jax.monitoring.register_event_duration_secs_listener(_listen)


@contextmanager
def compilations():
    """A list of what was compiled, or read from disk, inside the block."""
    found = []
    original = Program._load_or_compile

    def watched(self, args, static, key):
        found.append(self._function.__qualname__)
        return original(self, args, static, key)

    _counts.append(found)
    try:
        with mock.patch.object(Program, "_load_or_compile", watched):
            yield found
    finally:
        _counts.remove(found)
