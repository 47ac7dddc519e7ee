"""The rows that a command reads: into memory, or left on disk."""

from typing import TYPE_CHECKING

from bayesgmm.comparison.terminal import say
from bayesgmm.errors import ArgumentError, visible

if TYPE_CHECKING:
    from bayesgmm.data.table import Table


def read_table(
    data: str, columns: str | None, from_disk: bool, weights: str | None, labels: str | None, quiet: bool
) -> "Table":
    """The table of a file, with a line about what was read.

    Raises
    ------
    ArgumentError
        If rows on disk are to have weights or labels.
    DataError
        If the file cannot be read.
    """
    from bayesgmm.data.files import read_file, wanted_columns
    from bayesgmm.data.on_disk.open_rows import open_rows

    if not from_disk:
        return read_file(data, columns, _say, weights, labels)
    if weights is not None or labels is not None:
        raise ArgumentError("--weights and --labels are not taken together with --from-disk. Leave one out.")
    table = open_rows(data, columns=wanted_columns(columns), progress_bar=not quiet)
    _say(f"Opened {data}: {table.num_rows:,} rows, {table.dim} columns ({', '.join(table.features)}), left on disk.")
    return table


def _say(line: str) -> None:
    say(visible(line), error=True)
