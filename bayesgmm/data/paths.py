"""The bytes of a file that a user names."""

import os
import stat
from pathlib import Path

from bayesgmm.errors import BayesGMMError
from bayesgmm.runtime.memory import free_memory


def read_bytes(path: str | Path, error: type[BayesGMMError], advice: str) -> bytes:
    """The bytes of a regular file; an error of the given type otherwise. Pipes and devices are not opened."""
    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            if status.st_size <= free_memory():
                return Path(path).read_bytes()
            reason = f"it has {status.st_size / 1e9:.3g} GB, more than the free memory"
        else:
            reason = "it is a folder" if stat.S_ISDIR(status.st_mode) else "it is a pipe or device, not a file"
    except FileNotFoundError:
        raise error(f"No file {short(path)}. {advice}") from None
    except (OSError, ValueError) as problem:
        reason = getattr(problem, "strerror", None) or str(problem)
    raise error(f"{short(path)} could not be read ({reason}). {advice}")


def printable(text: str) -> str:
    """Text without control characters, which could reach a terminal."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def short(path: str | Path) -> str:
    """A path for a message."""
    text = printable(str(path))
    return text if len(text) <= 200 else f"{text[:80]}…{text[-80:]}"
