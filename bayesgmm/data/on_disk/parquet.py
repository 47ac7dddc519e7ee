"""Rows in Parquet files: one, or all of a folder with the same columns."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.data.on_disk.source import Part, Source, chosen, reason, refuse_text
from bayesgmm.data.paths import short
from bayesgmm.errors import DataError

BUFFER = 2**20
"""Bytes of a column that are read from a file at a time: a row group may be larger than the memory."""


class Parquet(Source):
    """Rows of Parquet files."""

    def __init__(self, files: list[Path], wanted: list[str] | None):
        """Read the footers only."""
        footers = [_footer(path) for path in files]
        names = columns_of(footers[0].schema_arrow, wanted, files[0])
        for path, footer in zip(files, footers, strict=True):
            _check(footer.schema_arrow, path, names, files[0], wanted is None)
        super().__init__(files, tuple(names), True, [footer.metadata.num_rows for footer in footers])
        self._groups = [
            np.cumsum([0, *(one.metadata.row_group(i).num_rows for i in range(one.metadata.num_row_groups))])
            for one in footers
        ]
        for one in footers:
            one.close()

    def parts(self, size: int) -> Iterator[Part]:
        """All rows in order, in parts of at most about `size` rows."""
        for number, path in enumerate(self.files):
            with _open(path) as file:
                first = 0
                for batch in file.iter_batches(size, columns=list(self.features)):
                    yield Part([numbers_of(batch.column(name)) for name in self.features], number, first)
                    first += batch.num_rows

    def place(self, file: int, row: int) -> str:
        """Where a row of a file is, in words, with its row group."""
        group = int(np.searchsorted(self._groups[file], row, side="right")) - 1
        return f"{super().place(file, row)} (row group {group}, row {row - self._groups[file][group]:,} there)"


def columns_of(schema: Any, wanted: list[str] | None, path: Path | str) -> list[str]:
    """The columns to read: as `chosen`, and without the index of pandas if nothing is wanted."""
    return chosen(wanted, without_index(schema) if wanted is None else schema.names, path)


def without_index(schema: Any) -> list[str]:
    """Names of the columns but for the index of pandas, which numbers the rows; all if there is nothing else.

    pandas writes an index without a name as ``__index_level_0__``.
    """
    stated = json.loads((schema.metadata or {}).get(b"pandas", b"{}")).get("index_columns", [])
    index = {name for name in stated if isinstance(name, str)}
    left = [name for name in schema.names if name not in index and not re.fullmatch(r"__index_level_\d+__", name)]
    return left or schema.names


def _open(path: Path) -> Any:
    from pyarrow import parquet

    return parquet.ParquetFile(path, memory_map=False, buffer_size=BUFFER, pre_buffer=False)


def _footer(path: Path) -> Any:
    try:
        return _open(path)
    except Exception as error:  # the errors of pyarrow have no common base
        raise DataError(
            f"{short(path)} could not be read as a Parquet file ({reason(error)}). It may be cut off: write it again."
        ) from None


def _check(schema: Any, path: Path, names: list[str], model: Path, exactly: bool) -> None:
    """Refuse a file without the columns of the first one, with others if all are taken, or with text in them."""
    missing = [name for name in names if name not in schema.names]
    more = [name for name in without_index(schema) if name not in names] if exactly else []
    if missing or more:
        what = f"lacks {', '.join(missing)}" if missing else f"has {', '.join(more)} too"
        raise DataError(
            f"{short(path)} has other columns than {short(model)}: it {what}. Choose the columns that all files have "
            "by columns=[…]."
        )
    numeric = [name for name in schema.names if is_number(schema.field(name).type)]
    refuse_text({name: str(schema.field(name).type) for name in names if name not in numeric}, numeric, path)


def is_number(kind: Any) -> bool:
    """Whether a type of Arrow holds real numbers."""
    from pyarrow import types

    tests = (types.is_integer, types.is_floating, types.is_boolean, types.is_decimal)
    return any(test(kind) for test in tests)


def numbers_of(column: Any) -> np.ndarray:
    """An array of Arrow as an array of NumPy, without a copy if possible. Missing values are NaN."""
    from pyarrow import types

    if types.is_decimal(column.type):
        column = column.cast("float64")
    if column.null_count or types.is_boolean(column.type):
        column = column.cast("float64") if not types.is_boolean(column.type) else column.cast("int8").cast("float64")
    return column.to_numpy(zero_copy_only=False)
