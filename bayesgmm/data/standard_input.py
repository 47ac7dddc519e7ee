"""Data on standard input, which the command line calls ``-``."""

import io
import sys
from typing import Any

from bayesgmm.errors import DataError
from bayesgmm.runtime.memory import free_memory

SIGN, NAME = "-", "standard input"
SHARE = 8
"""The data may take this part of the free memory (1/8): text takes several times as much while it is read."""
ADVICE = "Pipe a table into it, such as `cat data.csv | bayesgmm fit -`, or give a file."


def read_standard_input() -> bytes:
    """All bytes of standard input, which can be read once.

    Raises
    ------
    DataError
        If standard input is a terminal, closed, empty, or too large.
    """
    try:
        if sys.stdin is None or sys.stdin.closed:
            raise DataError(f"- stands for standard input, which is closed. {ADVICE}")
        if sys.stdin.isatty():
            raise DataError(f"- stands for standard input, which is a terminal here. {ADVICE}")
        raw = _all_of(sys.stdin.buffer)
    except OSError as error:
        raise DataError(f"Standard input could not be read ({error.strerror or error}). {ADVICE}") from None
    if not raw.strip():
        raise DataError(f"Standard input is empty. {ADVICE}")
    return raw


def _all_of(stream: Any) -> bytes:
    most, found = free_memory() / SHARE, io.BytesIO()
    while block := stream.read(2**20):
        found.write(block)
        if found.tell() > most:
            raise DataError(
                f"Standard input holds more than {most / 1e9:.2g} GB, an eighth of the free memory. Pipe a part of it."
            )
    return found.getvalue()
