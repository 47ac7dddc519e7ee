"""A short description of data that another process can compare."""

from bayesgmm.data.table import Table
from bayesgmm.runtime.fingerprint import fingerprint


def fingerprint_of_table(table: Table) -> str:
    """A hash of the values, and of what else is known of the rows."""
    known = [part for part in (table.weights, table.labels, table.errors) if part is not None]
    return fingerprint(table.values, *known) if known else fingerprint(table.values)
