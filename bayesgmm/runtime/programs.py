"""Compiled programs, in memory and on disk, and a clock that separates compile time from run time."""

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from functools import wraps
from threading import Lock, Thread
from typing import Any, ClassVar

import jax

from bayesgmm.runtime.dtypes import neutral, scope
from bayesgmm.runtime.executables import from_bytes, program_key, to_bytes
from bayesgmm.runtime.fork import refuse_fork, watch_forks
from bayesgmm.runtime.program_folder import has_program, read_program, write_program


@dataclass
class Stopwatch:
    """Wall-clock seconds of a run; seconds spent compiling (or reading the compilation cache) are separate."""

    compile_seconds: float = 0.0
    total_seconds: float = 0.0

    @property
    def run_seconds(self) -> float:
        """Seconds not spent compiling; at least 0, because the compile times of parallel threads add up."""
        return max(self.total_seconds - self.compile_seconds, 0.0)


_WATCHES: ContextVar[tuple[Stopwatch, ...]] = ContextVar("watches", default=())


@contextmanager
def stopwatch() -> Iterator[Stopwatch]:
    """Time a block. Every `Program` that compiles inside it adds to ``compile_seconds``."""
    watch, start = Stopwatch(), time.perf_counter()
    token = _WATCHES.set((*_WATCHES.get(), watch))
    try:
        yield watch
    finally:
        _WATCHES.reset(token)
        watch.total_seconds = time.perf_counter() - start


def shape_of(leaf: Any) -> tuple:
    """What a program depends on of an array: shape, type, and whether its type is weak."""
    if isinstance(leaf, jax.ShapeDtypeStruct):
        return leaf.shape, str(leaf.dtype), bool(leaf.weak_type)
    kind = jax.typeof(leaf)
    return kind.shape, str(kind.dtype), bool(kind.weak_type)  # pyright: ignore[reportAttributeAccessIssue]


def shapes_of(arguments: Any) -> tuple[tuple, Any]:
    """What a program depends on of its arguments: `shape_of` each array, and the structure that holds them."""
    leaves, structure = jax.tree.flatten(arguments)
    return tuple(shape_of(leaf) for leaf in leaves), structure


def _context() -> tuple:
    """Settings of JAX, in this thread, that change a program and that `neutral` leaves as they are."""
    return tuple(getattr(jax.config, name, None) for name in CHANGED_IN_A_SESSION)


CHANGED_IN_A_SESSION = ("jax_enable_x64", "jax_default_device", "jax_default_matmul_precision")
_ahead: set[Hashable] = set()


def compile_ahead(name: str, arguments: Any, work: Callable[[], None]) -> None:
    """Prepare programs in another thread, once in this process for each name and shapes of the arguments.

    Meanwhile the caller goes on to what comes before. If `work` fails, so will the call that needs the program, and
    says why.
    """
    what = (name, *shapes_of(arguments), *_context())
    if what in _ahead or jax.config.jax_default_device is not None:  # pyright: ignore[reportAttributeAccessIssue]
        return
    _ahead.add(what)
    dtype = "float64" if jax.config.jax_enable_x64 else "float32"  # pyright: ignore[reportAttributeAccessIssue]

    def run() -> None:
        with suppress(Exception), scope(dtype):  # JAX scopes are local to a thread
            work()

    with suppress(RuntimeError):  # no more threads: the caller compiles
        Thread(target=run, name=f"bayesgmm {name}").start()


class Program:
    """A jitted function that is compiled before its first run, so that compile time is measured separately.

    Positional arguments are arrays; keyword arguments are static. Each combination of shapes, dtypes and static
    arguments is compiled once, on this machine: see `bayesgmm.runtime.program_folder`. ``num_compilations`` and
    ``num_loads`` count what this process has compiled and has read from disk. The `KEPT` most recently used programs of
    the process are kept in memory. Each takes some hundreds of the 65,530 memory maps that Linux grants a process, and
    LLVM fails when none are left.
    """

    KEPT = 64
    _kept: ClassVar[OrderedDict[Any, Callable]] = OrderedDict()
    _guard = Lock()

    def __init__(self, function: Callable, static: tuple[str, ...] = ()):
        self._function, self._static = function, static
        self._compiling = Lock()
        self.num_compilations = 0
        """How many times this program was compiled in this process."""
        self.num_loads = 0
        """How many times this program was read from disk in this process."""
        self.__doc__ = function.__doc__

    def __call__(self, *args, **static):
        """Run the program. Load or compile it first if these shapes are new."""
        refuse_fork()
        watch_forks()
        with neutral():
            return self._find(args, static)(*args)

    def prepare(self, *args, **static) -> None:
        """Load or compile the program without running it. Arguments may be `jax.ShapeDtypeStruct`."""
        with neutral():
            self._find(args, static)

    def known(self, *args, **static) -> bool:
        """Whether the program need not be compiled: it is in memory or on disk."""
        with neutral():
            if self._key(args, static) in self._kept:
                return True
            key = program_key(self._function, *shapes_of(args), static)
            return key is not None and has_program(key)

    def _key(self, args: tuple, static: dict[str, Any]) -> tuple:
        """The key of a program in memory."""
        return (self, *shapes_of(args), tuple(sorted(static.items())), *_context())

    def _find(self, args: tuple, static: dict[str, Any]) -> Callable:
        key = self._key(args, static)
        program = self._kept.get(key)
        if program is None:
            start = time.perf_counter()
            with self._compiling:  # otherwise two threads would compile the same program
                program = self._kept.get(key)
                if program is None:
                    program = self._load_or_compile(args, static, program_key(self._function, *shapes_of(args), static))
                    self._kept[key] = program
            for watch in _WATCHES.get():
                watch.compile_seconds += time.perf_counter() - start
        with self._guard:
            self._kept[key] = program
            self._kept.move_to_end(key)
            while len(self._kept) > self.KEPT:
                self._kept.popitem(last=False)
        return program

    def _load_or_compile(self, args: tuple, static: dict[str, Any], key: bytes | None) -> Callable:
        """The program from disk, or compiled and then written there. A program without a key is not written."""
        content = None if key is None else read_program(key)
        program = None if content is None else from_bytes(content)
        if program is not None:
            self.num_loads += 1
            return program
        lowered = self._fresh().lower(*args, **static)
        program = lowered.compile()
        self.num_compilations += 1
        content = None if key is None else to_bytes(lowered, program)
        if key is not None and content is not None:
            write_program(key, content)
        return program

    def _fresh(self):
        """A new jitted function for each compilation: JAX keeps a program only as long as its function exists."""

        @wraps(self._function)
        def function(*args, **static):
            return self._function(*args, **static)

        return jax.jit(function, static_argnames=self._static)
