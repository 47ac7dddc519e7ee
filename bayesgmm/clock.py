"""Compiled programs, and the clock that tells compiling from running."""

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from threading import Lock
from typing import Any

import jax


@dataclass
class Stopwatch:
    """Wall seconds of a run, with the seconds spent compiling (or reading the compilation cache) apart."""

    compile_seconds: float = 0.0
    total_seconds: float = 0.0

    @property
    def run_seconds(self) -> float:
        """Seconds spent on anything but compiling (none, where threads compiled at the same time)."""
        return max(self.total_seconds - self.compile_seconds, 0.0)


_WATCHES: ContextVar[tuple[Stopwatch, ...]] = ContextVar("watches", default=())


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block; every `Program` that compiles inside it adds to ``compile_seconds``."""
    watch, start = Stopwatch(), time.perf_counter()
    token = _WATCHES.set((*_WATCHES.get(), watch))
    try:
        yield watch
    finally:
        _WATCHES.reset(token)
        watch.total_seconds = time.perf_counter() - start


class Program:
    """A jitted function that is compiled ahead of its first run, so that compile time is a figure of its own.

    Positional arguments are arrays, keyword arguments are static. One compilation per combination of shapes, dtypes
    and static arguments; ``num_compilations`` counts them. The `KEPT` last used are kept: a process has room for some
    hundreds of programs only, and then dies.
    """

    KEPT = 16

    def __init__(self, function: Callable, static: tuple[str, ...] = ()):
        self._jitted = jax.jit(function, static_argnames=static)
        self._compiled: OrderedDict[Any, Callable] = OrderedDict()
        self._compiling = Lock()
        self.num_compilations = 0
        """How many times this program was compiled in this process."""
        self.__doc__ = function.__doc__

    def __call__(self, *args, **static):
        """Run the program, compiling it first if these shapes are new."""
        leaves, structure = jax.tree.flatten(args)
        shapes = tuple(jax.typeof(leaf) for leaf in leaves)
        key = (shapes, structure, tuple(sorted(static.items())), jax.config.jax_enable_x64)  # pyright: ignore[reportAttributeAccessIssue]
        with self._compiling:  # or two threads would compile the same
            if key not in self._compiled:
                start = time.perf_counter()
                self._compiled[key] = self._jitted.lower(*args, **static).compile()
                for watch in _WATCHES.get():
                    watch.compile_seconds += time.perf_counter() - start
                self.num_compilations += 1
                if len(self._compiled) > self.KEPT:
                    self._compiled.popitem(last=False)
            self._compiled.move_to_end(key)
            program = self._compiled[key]
        return program(*args)
