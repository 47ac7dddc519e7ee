"""Connections between the processes of a run: messages over TCP. No message can run code where it arrives."""

import json
import socket
import struct
import time
from contextlib import suppress
from typing import Any, NamedTuple, NoReturn

import numpy as np

from bayesgmm.errors import ProcessError

VALUE, ERROR, ENDED = b"V", b"E", b"X"
"""Kinds of messages: arrays; an error of the user, after which all go on; the end of a process, and so of the run."""
SILENT = 25
"""Seconds after which a machine that does not answer counts as gone. A process that is only slow answers."""
_HEAD, _HELLO = struct.Struct("!cQ"), struct.Struct("!8s16sI")
_MAGIC = b"bayesgmm"


class Message(NamedTuple):
    """What one process sends to another."""

    kind: bytes
    said: Any
    """For arrays: what they are, which must be the same in all processes. Else the number of a process, and words."""
    arrays: dict[str, np.ndarray]


class Link:
    """One connection."""

    def __init__(self, line: socket.socket):
        """Have the operating system find out whether the other machine is there."""
        self.line = line
        line.settimeout(None)
        if line.family != socket.AF_UNIX:
            line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            wanted = {"KEEPIDLE": SILENT - 15, "KEEPINTVL": 5, "KEEPCNT": 3, "USER_TIMEOUT": 1000 * SILENT}
            for name, value in wanted.items():
                if hasattr(socket, f"TCP_{name}"):
                    line.setsockopt(socket.IPPROTO_TCP, getattr(socket, f"TCP_{name}"), value)

    def fileno(self) -> int:
        """For `selectors`."""
        return self.line.fileno()

    def close(self) -> None:
        """End the connection; the other side sees it."""
        with suppress(OSError):
            self.line.shutdown(socket.SHUT_RDWR)
        self.line.close()

    def send(self, message: Message) -> None:
        """Send all of it; OSError if the other side is gone."""
        self.line.sendall(packed(message))

    def receive(self) -> Message:
        """The next message, waited for.

        Raises
        ------
        OSError
            If the other side is gone.
        """
        kind, size = _HEAD.unpack(self._bytes(_HEAD.size))
        return unpacked(kind, self._bytes(size))

    def peek(self) -> bytes:
        """The kind of the message that waits; empty if the other side is gone. Only if there is something to read."""
        try:
            return self.line.recv(1, socket.MSG_PEEK)
        except OSError:
            return b""

    def _bytes(self, size: int) -> bytearray:
        found, at = bytearray(size), 0
        view = memoryview(found)
        while at < size:
            got = self.line.recv_into(view[at:])
            if got == 0:
                raise ConnectionResetError("closed")
            at += got
        return found


def packed(message: Message) -> bytes:
    """A message as bytes: a head in JSON, and the numbers."""
    arrays = {name: np.asarray(array, order="C") for name, array in message.arrays.items()}
    about = {name: (array.dtype.str, array.shape) for name, array in arrays.items()}
    head = json.dumps([message.said, about]).encode()
    body = struct.pack("!I", len(head)) + head + b"".join(array.tobytes() for array in arrays.values())
    return _HEAD.pack(message.kind, len(body)) + body


def unpacked(kind: bytes, body: bytearray) -> Message:
    """The inverse of `packed`."""
    end = 4 + struct.unpack("!I", body[:4])[0]
    said, about = json.loads(body[4:end])
    arrays = {}
    for name, (dtype, shape) in about.items():
        count = int(np.prod(shape, dtype=int))
        arrays[name] = np.frombuffer(body, np.dtype(dtype), count, end).reshape(shape)
        end += arrays[name].nbytes
    return Message(kind, said, arrays)


def listen(port: int) -> socket.socket:
    """A socket on which the first process waits for the others; port 0: any that is free."""
    return socket.create_server(("", port), backlog=128)


def accept_all(server: socket.socket, count: int, token: bytes, timeout: float) -> dict[int, Link]:
    """The links to processes 1 to count - 1. Whoever does not know the token is sent away.

    Raises
    ------
    ProcessError
        If not all have come in time, or one has another number of processes.
    """
    links: dict[int, Link] = {}
    end = time.monotonic() + timeout
    with server:
        while len(links) < count - 1:
            server.settimeout(max(end - time.monotonic(), 0.001))
            try:
                line, _ = server.accept()
                line.settimeout(5.0)
                magic, their_token, index = _HELLO.unpack(line.recv(_HELLO.size, socket.MSG_WAITALL))
            except TimeoutError:
                if time.monotonic() < end:
                    continue
                missing = [one for one in range(1, count) if one not in links]
                names = f"{', '.join(map(str, missing[:8]))}{', …' * (len(missing) > 8)}"
                raise ProcessError(
                    f"Process {names} of {count} did not join within {timeout:g} s. Start all processes, with the same "
                    "address and number of processes, and let the network pass that port.", missing[0],
                ) from None  # fmt: skip
            except (OSError, struct.error):
                continue
            if magic == _MAGIC and their_token != token and their_token.isdigit() and token.isdigit():
                _refuse(line, index, int(their_token), count)
            if magic == _MAGIC and their_token == token and 0 < index < count and index not in links:
                links[index] = Link(line)
            else:
                line.close()
    return links


def _refuse(line: socket.socket, index: int, theirs: int, ours: int) -> NoReturn:
    """A process that counts the processes otherwise: neither could begin."""
    with suppress(OSError):
        why = f"was started with num_processes={ours}, and process {index} with {theirs}"
        Link(line).send(Message(ENDED, [0, why], {}))
    line.close()
    raise ProcessError(
        f"Process {index} was started with num_processes={theirs}, and this one with {ours}. Give all the same number.",
        index,
    )


def connect(host: str, port: int, index: int, token: bytes, timeout: float) -> Link:
    """The link of process `index` to the first process, which may start later.

    Raises
    ------
    ProcessError
        If it does not answer in time.
    """
    end = time.monotonic() + timeout
    while True:
        try:
            line = socket.create_connection((host, port), timeout=5.0)
            line.sendall(_HELLO.pack(_MAGIC, token, index))
            return Link(line)
        except OSError as error:
            if time.monotonic() > end:
                raise ProcessError(
                    f"Process 0 did not answer at {host}:{port} within {timeout:g} s ({error}). Start it, and let the "
                    "network pass that port.", 0,
                ) from None  # fmt: skip
        time.sleep(0.1)
