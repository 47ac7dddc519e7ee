"""The rows of a table as engines take them: inside compiled programs, or passed over by the host."""

from bayesgmm.data.in_dask import RowsInDask
from bayesgmm.data.of_processes import RowsOfProcesses
from bayesgmm.data.on_disk.rows_on_disk import RowsOnDisk
from bayesgmm.data.table import Table
from bayesgmm.model.types import Frame
from bayesgmm.sweep.from_disk import RowsFromDisk
from bayesgmm.sweep.in_dask import RowsFromDask
from bayesgmm.sweep.kinds_of_rows import Rows, rows_of
from bayesgmm.sweep.of_processes import RowsSharedByProcesses
from bayesgmm.sweep.passed import HostRows


def any_rows(table: Table, frame: Frame, dtype: str, num_components: int) -> Rows | HostRows:
    """A table in standardised coordinates."""
    if isinstance(table, RowsOnDisk):
        return RowsFromDisk(table, frame, dtype)
    if isinstance(table, RowsInDask):
        return RowsFromDask(table, frame, dtype)
    if isinstance(table, RowsOfProcesses):
        return RowsSharedByProcesses(table, frame, dtype)
    return rows_of(table, frame, dtype, num_components)
