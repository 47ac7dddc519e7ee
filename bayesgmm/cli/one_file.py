"""The single file that a command writes."""

import os
import tempfile

from bayesgmm.comparison.endings import finish
from bayesgmm.comparison.terminal import put, say
from bayesgmm.errors import ArgumentError, visible
from bayesgmm.runtime.files import Output, as_path, reason


def one_file(out: str | None, suffix: str) -> tuple[Output, str | None]:
    """The folder of the file of ``--out``, checked before the run, and its name without suffix; None without a file.

    Raises
    ------
    ArgumentError
        If the path has another suffix, is a folder or too long, or its folder takes no files.
    """
    if out is None:
        return Output(tempfile.gettempdir(), "--out"), None  # the current folder may be read-only
    path = as_path("--out", out)
    if path.suffix != suffix or os.path.isdir(path):
        raise ArgumentError(f"--out is a file that ends in {suffix} here, such as new{suffix}; got {out[:200]!r}.")
    output = Output(path.parent, "--out")
    try:
        os.stat(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise ArgumentError(f"--out {out[:200]!r} cannot be written ({reason(error)}). Choose another path.") from None
    return output, path.stem


def put_csv(text: str, num_rows: int, output: Output, name: str | None) -> None:
    """Print a table, or write it to the file of ``--out``."""
    if name is None:
        put(text)
        return
    if written := output.save(name, {".csv": text.encode}):
        say(f"{num_rows} rows: {visible(str(written))}", error=True)
    finish(output)
