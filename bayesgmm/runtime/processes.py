"""Which processes share a run: those of `jax.distributed`, or of `join_processes`.

JAX's coordinator only brings the processes together: see `bayesgmm.runtime.group`.
"""

import atexit
import os
import secrets
import sys
from typing import Any

import jax

from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.arguments import check_count, check_number
from bayesgmm.runtime.checks import shown
from bayesgmm.runtime.group import Group, words_of
from bayesgmm.runtime.links import accept_all, connect, listen
from bayesgmm.version import __version__

_joined: Group | None = None
_alone = False
"""Whether `join_processes` has said that there is one process."""
_of_jax = False


def join_processes(address: str, num_processes: int, process_id: int, *, timeout: float = 300.0) -> None:
    """Make this process one of several that share a run, without `jax.distributed`.

    Call it once in each process; then ``rows(x, processes=True)`` and ``open_rows(path, processes=True)`` hold rows of
    all of them. After `jax.distributed.initialize` it is not needed. The difference: JAX ends every process at once if
    process 0 dies. With this function the others end with a `ProcessError`. Who can reach the port can take part, so
    use it within a trusted network, as with `jax.distributed`.

    Parameters
    ----------
    address
        ``"host:port"``: where process 0 runs, as the others reach it, and a port that is free there.
    num_processes
        Number of processes, the same in all; with one there is nothing to wait for.
    process_id
        The number of this one, from 0.
    timeout
        Seconds to wait for the others.

    Raises
    ------
    ArgumentError
        If an argument is out of its range, or this process has joined others already.
    ProcessError
        If the others do not come in time, have another number of processes, or run another version.
    """
    global _joined, _alone
    host, _, port = address.rpartition(":") if isinstance(address, str) else ("", "", "")
    if not (host and port.isdecimal() and 0 < int(port) < 2**16):
        raise ArgumentError(f"address must be 'host:port', such as 'node1:5000', got {shown(address)}.")
    count = check_count("num_processes", num_processes)
    index = check_count("process_id", process_id, least=0, most=count - 1)
    timeout = check_number("timeout", timeout, 0.0)
    if _joined is not None and _joined.usable:
        raise ArgumentError("This process has joined others already. Call join_processes once.")
    if count == 1:
        _alone = True
        return
    token = f"{count:016d}".encode()
    if index == 0:
        try:
            server = listen(int(port))
        except OSError as error:
            raise ArgumentError(
                f"Port {port} cannot be used here ({error}). Choose another, in all processes."
            ) from None
        links = accept_all(server, count, token, timeout)
    else:
        links = {0: connect(host.strip("[]"), int(port), index, token, timeout)}
    _joined = _greeted(Group(index, count, links))


def group() -> Group | None:
    """The processes that this one has joined, by `join_processes` or `jax.distributed`; None if it is alone.

    The first call waits for the others.
    """
    global _joined, _of_jax
    if _joined is None and jax.distributed.is_initialized() and jax.process_count() > 1:
        _joined, _of_jax = _greeted(_through_jax()), True
    return _joined if _joined is not None and _joined.count > 1 else None


def has_joined() -> bool:
    """Whether this process knows how many share its run, be it the only one."""
    return _alone or _joined is not None or jax.distributed.is_initialized()


def is_first() -> bool:
    """Whether this is process 0, or alone: it writes files and shows progress."""
    return _joined is None or _joined.index == 0


def _greeted(found: Group) -> Group:
    """The group, whose processes have the same versions."""
    about = f"bayesgmm {__version__} with JAX {jax.__version__}"
    found.exchange(about, dict, lambda parts: {})
    return found


def _through_jax(timeout: float = 300.0) -> Group:
    """The processes of `jax.distributed`. Its coordinator tells them where the first one listens."""
    from jax._src import distributed

    state: Any = distributed.global_state
    index, count = jax.process_index(), jax.process_count()
    if index == 0:
        server, token = listen(0), secrets.token_hex(8)
        state.client.key_value_set("bayesgmm", f"{server.getsockname()[1]} {token}")
        return Group(index, count, accept_all(server, count, token.encode(), timeout))
    port, token = state.client.blocking_key_value_get("bayesgmm", int(1000 * timeout)).split()
    host = state.coordinator_address.rpartition(":")[0].strip("[]")
    return Group(index, count, {0: connect(host, int(port), index, token.encode(), timeout)})


@atexit.register
def _at_exit() -> None:
    """Say why this process ends, and if others may need JAX's coordinator, which is in process 0, end after them."""
    if _joined is None:
        return
    if (error := getattr(sys, "last_value", None)) is not None:
        _joined.leave(f"failed ({words_of(error)})")
    if not _joined.usable and _joined.index == 0 and _of_jax:
        _joined.outlive(10.0)
    _joined.close()


def _in_fork() -> None:
    global _joined
    if _joined is not None:
        _joined.close()
        _joined = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_in_fork)
