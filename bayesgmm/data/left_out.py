"""The table of a result that was saved without its rows."""

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.data.fingerprint import fingerprint_of_table
from bayesgmm.data.noise import Noise
from bayesgmm.data.order import same_features
from bayesgmm.data.table import Table
from bayesgmm.errors import DataError


class Totals(NamedTuple):
    """What stays known of rows that are left out."""

    num_rows: int
    total: float
    """Σ of their weights."""
    gaps: int
    about: str
    """What else is known of them, in words (`Table.about`)."""
    fingerprint: str


def totals_of(table: Table) -> Totals:
    """The totals of a table, which may be without its rows already."""
    if isinstance(table, RowsLeftOut):
        return table.totals
    return Totals(table.num_rows, table.total, table.gaps, table.about, fingerprint_of_table(table))


class RowsLeftOut(Table):
    """Names of the features and totals. Whatever needs the rows raises `DataError`."""

    def __init__(self, features: tuple[str, ...], named: bool, noise: Noise | None, totals: Totals):
        """Keep what is known, and no rows."""
        known: dict[str, Any] = {"features": features, "named": named, "noise": noise, "totals": totals}
        self.__dict__.update(known, total=totals.total, gaps=totals.gaps)

    totals: Totals

    def __getattribute__(self, name: str) -> Any:
        """Any attribute but the rows."""
        if name in ("values", "weights", "labels", "errors"):
            raise DataError(
                "This result was saved without its rows, which this needs. Load it again with them: "
                "bayesgmm.load(path, data=x)."
            )
        return super().__getattribute__(name)

    @property
    def has_rows(self) -> bool:
        """False: they are left out."""
        return False

    @property
    def num_rows(self) -> int:
        """N."""
        return self.totals.num_rows

    @property
    def dim(self) -> int:
        """D."""
        return len(self.features)

    @property
    def about(self) -> str:
        """What was known of the rows beside their values, or missing."""
        return self.totals.about

    def with_rows(self, x: Any) -> Table:
        """The whole table from its rows x, with the weights, labels and errors that they had.

        Raises
        ------
        DataError
            If these are other rows.
        """
        new = same_features(x, self)
        new = replace(new, values=_read_only(new.values), features=self.features, named=self.named, noise=self.noise)
        if fingerprint_of_table(new) != self.totals.fingerprint:
            raise DataError(
                f"These are not the rows of the saved result, which has {self.totals.num_rows} rows{self.aside}. Give "
                "the same rows in the same order; weights, labels and errors by data=bayesgmm.rows(x, weights=…)."
            )
        return new


def _read_only(values: np.ndarray) -> np.ndarray:
    values = values.view()
    values.flags.writeable = False
    return values
