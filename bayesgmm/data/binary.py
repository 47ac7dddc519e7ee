"""Files of tables that are no text: Parquet, Arrow IPC (Feather), and arrays of NumPy."""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.excel import read_excel
from bayesgmm.errors import DataError

if TYPE_CHECKING:
    import pandas as pd


def _parquet(raw: bytes) -> "pd.DataFrame":
    import pandas as pd
    from pyarrow import parquet

    names = parquet.read_schema(io.BytesIO(raw)).names
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f"Two columns are called {', '.join(twice)}. Give each a different name.")
    return pd.read_parquet(io.BytesIO(raw))


def _arrow(raw: bytes) -> "pd.DataFrame":
    """The file format of Arrow IPC, which Feather is, or its format of a stream."""
    import pyarrow as pa

    is_file = raw.startswith(b"ARROW1")
    with (pa.ipc.open_file if is_file else pa.ipc.open_stream)(io.BytesIO(raw)) as source:
        return source.read_all().to_pandas()


def _npy(raw: bytes) -> "pd.DataFrame":
    """Rows first; its columns are x0, x1, … Objects, which are pickles, are not read."""
    import pandas as pd

    values = np.load(io.BytesIO(raw), allow_pickle=False)
    if values.dtype.names:
        return pd.DataFrame({name: values[name] for name in values.dtype.names})
    if values.ndim not in (1, 2):
        raise ValueError(f"its array has shape {values.shape}, not (rows, features)")
    values = values.reshape(len(values), -1)
    return pd.DataFrame(values, columns=[f"x{d}" for d in range(values.shape[1])])


BINARY: dict[str, tuple[str, Callable[[bytes], Any], str]] = {
    ".parquet": ("a Parquet file", _parquet, "parquet"), ".pq": ("a Parquet file", _parquet, "parquet"),
    ".feather": ("a Feather file", _arrow, "parquet"), ".arrow": ("an Arrow IPC file", _arrow, "parquet"),
    ".npy": ("an array of NumPy", _npy, ""),
}  # fmt: skip
"""By suffix: what the file is, its reader, and the extra of bayesgmm that the reader needs."""
SUFFIXES = (*BINARY, ".xlsx", ".xlsm")


def read_binary(raw: bytes, suffix: str, name: str) -> tuple["pd.DataFrame", list[str]]:
    """The table in a file that is no text, and notes of what is not plain.

    Parameters
    ----------
    raw
        The bytes of the file, unpacked.
    suffix
        One of `SUFFIXES`.
    name
        Its name for messages.

    Raises
    ------
    DataError
        If a package is missing, or the file is damaged or of another kind.
    """
    if suffix not in BINARY:
        return read_excel(raw, name)
    what, read, extra = BINARY[suffix]
    try:
        return read(raw), []
    except ImportError:
        raise DataError(
            f"{name} cannot be read, because {what} needs pyarrow: pip install 'bayesgmm[{extra}]'. "
            "Or save the table as CSV."
        ) from None
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    except Exception as error:  # the errors of pyarrow and NumPy have no common base besides Exception
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise DataError(f"{name} could not be read as {what} ({reason}). Write it again.") from None
