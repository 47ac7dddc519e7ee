"""The exchange among processes that share a run: the first one pools what each sends, and all get the same answer.

A connection between two processes ends at once where one of them does, and is as fast as the network.
"""

import ctypes
import selectors
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NoReturn

import numpy as np

from bayesgmm import errors
from bayesgmm.errors import BayesGMMError, ProcessError
from bayesgmm.runtime.checks import shown
from bayesgmm.runtime.links import ENDED, ERROR, VALUE, Link, Message

Arrays = dict[str, np.ndarray]
AGAIN = "Start all processes again with the same call: a run with checkpoint= goes on where it was saved."


class Group:
    """The processes of a run, numbered from 0, as one of them sees them."""

    def __init__(self, index: int, count: int, links: dict[int, Link]):
        """The first process has a link to each of the others; they have one to the first."""
        self.index, self.count = index, count
        self._links = links
        self._ended: tuple[str, int] | None = None

    @property
    def usable(self) -> bool:
        """Whether all processes are there, as far as is known."""
        return self._ended is None

    def exchange(self, said: str, own: Callable[[], Arrays], pool: Callable[[list[Arrays]], Arrays]) -> Arrays:
        """What `pool`, in the first process, makes of the arrays that `own` gives in each; the same in all.

        ``said`` is what this exchange is about, in words: it must be the same in all processes.

        Raises
        ------
        BayesGMMError
            In all processes, if `own` raises it in one of them, with the number of that process.
        ProcessError
            If a process has ended, or the processes do not say the same.
        """
        self._refuse_ended()
        try:
            mine = Message(VALUE, said, own())
        except ProcessError:
            raise
        except BayesGMMError as error:
            mine = Message(ERROR, [self.index, type(error).__name__, str(error)], {})
        except BaseException as error:
            self.leave(f"failed ({words_of(error)})")
            raise
        try:
            answer = self._pool(mine, pool) if self.index == 0 else self._ask(mine)
        except ProcessError:
            raise
        except BaseException as error:  # such as Ctrl-C while it waits
            self.leave(f"failed ({words_of(error)})")
            raise
        if answer.kind == ERROR:
            _raise(*answer.said)
        return answer.arrays

    def check(self) -> None:
        """Raise `ProcessError` if another process has ended. For long work between two exchanges."""
        self._refuse_ended()
        for index in self._readable(wait=False):
            if self._links[index].peek() in (b"", ENDED):
                self._receive(index)

    def leave(self, why: str) -> None:
        """End the run of all processes, because this one cannot go on."""
        if self._ended is None:
            self._end(self.index, why)

    def _pool(self, mine: Message, pool: Callable[[list[Arrays]], Arrays]) -> Message:
        found = {0: mine}
        while len(found) < self.count:
            for index in self._readable():
                found[index] = self._receive(index)
        messages = [found[index] for index in range(self.count)]
        answer = next((one for one in messages if one.kind == ERROR), None) or _difference(messages)
        if answer is None:
            try:
                answer = Message(VALUE, "pooled", pool([one.arrays for one in messages]))
            except BayesGMMError as error:
                answer = Message(ERROR, [None, type(error).__name__, str(error)], {})
        for index, link in self._links.items():
            try:
                link.send(answer)
            except OSError:
                self._lost(index)
        return answer

    def _ask(self, mine: Message) -> Message:
        with suppress(OSError):  # what the first process said before it closed is still to be read
            self._links[0].send(mine)
        return self._receive(0)

    def _readable(self, wait: bool = True) -> list[int]:
        with selectors.DefaultSelector() as selector:
            for index, link in self._links.items():
                selector.register(link, selectors.EVENT_READ, index)
            return sorted(key.data for key, _ in selector.select(None if wait else 0))

    def _receive(self, index: int) -> Message:
        try:
            message = self._links[index].receive()
        except OSError:
            self._lost(index)
        if message.kind == ENDED:
            self._end(*message.said)
            self._refuse_ended()
        return message

    def _lost(self, index: int) -> NoReturn:
        self._end(index, "ended before the others (it was killed, failed, or its machine is gone; see its output)")
        raise self._error()

    def _end(self, index: int, why: str) -> None:
        """Tell the others. The links stay open until this process ends."""
        self._ended = why, index
        for link in self._links.values():
            with suppress(OSError):
                link.send(Message(ENDED, [index, why], {}))
        leave_jax()

    def _refuse_ended(self) -> None:
        if self._ended is not None:
            raise self._error()

    def _error(self) -> ProcessError:
        why, index = self._ended or ("ended", 0)
        return ProcessError(f"Process {index} of {self.count} {why}. {AGAIN}", index)

    def close(self) -> None:
        """Close without a word, at the end of the process or in a fork of it."""
        for link in self._links.values():
            link.line.close()

    def outlive(self, seconds: float) -> None:
        """Wait until the others have closed their links, but not for long."""
        end = time.monotonic() + seconds
        for link in self._links.values():
            with suppress(OSError):
                while (left := end - time.monotonic()) > 0:
                    link.line.settimeout(left)
                    if not link.line.recv(2**16):
                        break


def words_of(error: BaseException) -> str:
    """An error of any library, on one line."""
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _difference(messages: list[Message]) -> Message | None:
    """The error if a process says something else than the first."""
    said = messages[0].said
    for index, one in enumerate(messages):
        if one.said != said:
            text = (
                f"asks for something else than process 0 ({shown(one.said)}; process 0: {shown(said)}). All processes "
                "must make the same calls with the same arguments and seed; only the rows are their own. Results also "
                "differ in the last digits between kinds of processors, and between versions of JAX."
            )
            return Message(ERROR, [index, "ProcessError", text], {})
    return None


def _raise(index: int | None, name: str, text: str) -> NoReturn:
    """The error of a process, in each."""
    kind = getattr(errors, name, None)
    if index is not None and kind is ProcessError:
        raise ProcessError(f"Process {index} {text}", index)
    known = kind if isinstance(kind, type) and issubclass(kind, BayesGMMError) else ProcessError
    raise known(text if index is None else f"Process {index}: {text}")


def leave_jax() -> None:
    """Do not wait for a process that is gone at the end of this one, as `jax.distributed` does for minutes."""
    with suppress(Exception):
        from jax._src import distributed

        state: Any = distributed.global_state
        for name in ("client", "service", "preemption_sync_manager"):
            if (one := getattr(state, name)) is not None:
                ctypes.pythonapi.Py_IncRef(ctypes.py_object(one))  # its destructor would wait, too
                setattr(state, name, None)
