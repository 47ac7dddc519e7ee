"""A lock on a folder, so that no two runs write to it at the same time."""

import os
import socket
import time
from contextlib import suppress
from pathlib import Path

from bayesgmm.errors import CheckpointError

LOCK = "lock"
"""Name of the file that is locked while a run uses its folder."""


class Lock:
    """A folder that one run at a time may use. The operating system frees it when the process ends, even if killed."""

    def __init__(self, folder: Path):
        """Lock the folder; create it if it does not exist.

        Raises
        ------
        CheckpointError
            If another run has locked it.
        """
        path = folder / LOCK
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._file = open(path, "a+", encoding="utf-8")  # noqa: SIM115
        except OSError:  # a folder that is only read needs no lock
            self._file = None
            return
        try:
            _lock(self._file.fileno())
        except (BlockingIOError, PermissionError):
            self._file.seek(0)
            holder = self._file.read(200).strip() or "another process"
            self._file.close()
            raise CheckpointError(
                f"{folder} is in use by {holder}. Wait for it to end, or choose another folder."
            ) from None
        except OSError:  # the file system has no locks
            return
        with suppress(OSError):  # the disk may be full
            self._file.truncate(0)
            self._file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.ctime()}\n")
            self._file.flush()

    def release(self) -> None:
        """Let others use the folder."""
        if self._file is not None:
            with suppress(OSError):
                self._file.close()

    def __enter__(self) -> "Lock":
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


def _lock(number: int) -> None:
    """Lock an open file, or raise OSError at once."""
    try:
        import fcntl
    except ImportError:  # Windows locks bytes; one far behind the text leaves the text readable
        import msvcrt

        os.lseek(number, 2**30, os.SEEK_SET)
        msvcrt.locking(number, msvcrt.LK_NBLCK, 1)  # pyright: ignore[reportAttributeAccessIssue]
        return
    fcntl.flock(number, fcntl.LOCK_EX | fcntl.LOCK_NB)
