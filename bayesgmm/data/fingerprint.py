"""A short description of data that another process can compare."""

import numpy as np

from bayesgmm.data.away import RowsAway
from bayesgmm.data.table import Table
from bayesgmm.runtime.fingerprint import fingerprint


def fingerprint_of_table(table: Table) -> str:
    """A hash of the values, and of what else is known of the rows."""
    if isinstance(table, RowsAway):
        return table.digest
    known = [part for part in (table.weights, table.labels, table.errors) if part is not None]
    if table.noise is not None:
        known += [np.asarray(table.noise.log_volume), table.noise.edges]
    return fingerprint(table.values, *known) if known else fingerprint(table.values)
