"""The table that stands for rows on disk."""

from collections.abc import Iterator

import numpy as np

from bayesgmm.data.away import RowsAway, Survey
from bayesgmm.data.on_disk.source import Source
from bayesgmm.data.on_disk.survey import gathered, rows_of_part
from bayesgmm.data.table import CHUNK


class RowsOnDisk(RowsAway):
    """Rows that are read part by part in each pass, and never held together: from `open_rows`."""

    source: Source
    rows_at_once: int | None
    place = "on disk (open_rows)"
    has_batches = True
    refusal = (
        "This needs all rows in memory, and these are on disk. EM, CAVI, Gibbs, NUTS and SVI (in batches) read rows on "
        "disk; for the rest, read the data (pandas.read_parquet, numpy.load), or a sample of them."
    )

    @classmethod
    def of(cls, source: Source, found: Survey, rows_at_once: int | None) -> "RowsOnDisk":
        """Source, what the first pass found, and the rows at once."""
        own = {"source": source, "rows_at_once": rows_at_once}
        return cls(source.features, source.named, source.num_rows, found, own)

    def __repr__(self) -> str:
        return f"Rows on disk: {self.num_rows:,} rows × {self.dim} features ({', '.join(self.features)})"

    def chunks(self, size: int = CHUNK) -> Iterator[np.ndarray]:
        """Rows (n, D) of at most `size` rows, in order, as they are read."""
        return gathered(self.source.checked(rows_of_part(self.dim)), size)
