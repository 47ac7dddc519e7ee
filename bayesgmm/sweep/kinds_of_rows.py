"""Every kind of rows that a pass reads, and which of them a table needs."""

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.model.types import Frame
from bayesgmm.runtime.devices import on_host
from bayesgmm.sweep.incomplete import Incomplete, Patterns, to_incomplete, to_weighted_blocks
from bayesgmm.sweep.rows import FEWEST, Blocks, Complete, chunk_rows, padded_size, to_blocks, to_rows
from bayesgmm.sweep.sharded import Sharded, shard

Rows = Complete | Incomplete | Patterns | Sharded
"""The data as a pass reads them: complete, with gaps or errors, or shared among devices.

A pytree with ``num_rows``, ``num_blocks``, ``capacity``, ``dtype``, ``weights``, ``noise`` and ``take(rows)``.
"""


def rows_of(table: Table, frame: Frame, dtype: str, num_components: int) -> Rows:
    """A table in standardised coordinates, as a pass reads it. Rows of which more is known than values are copied."""
    if table.mesh is not None:
        with on_host():  # a single device may not hold them all
            rows = _in_blocks(table, frame, dtype, num_components)
        return shard(rows, table.mesh)
    return to_rows(table.values, frame, dtype) if table.plain else _in_blocks(table, frame, dtype, num_components)


def _in_blocks(table: Table, frame: Frame, dtype: str, num_components: int) -> Blocks | Incomplete | Patterns:
    if table.plain:
        return to_blocks(table.values, frame, dtype, chunk_rows(table.dim))
    if not table.complete:
        return to_incomplete(table, frame, dtype, num_components)
    width = min(padded_size(table.num_rows, FEWEST), chunk_rows(table.dim))
    shape = padded_size(-(-table.num_rows // width)), width
    return to_weighted_blocks(table, frame, dtype, num_components, np.arange(table.num_rows), shape)
