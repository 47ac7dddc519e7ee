"""The table that stands for rows on disk."""

from collections.abc import Iterator
from functools import cached_property
from typing import Any

import numpy as np

from bayesgmm.data.on_disk.source import Source
from bayesgmm.data.on_disk.survey import Survey, gathered, rows_of_part
from bayesgmm.data.table import CHUNK, Table
from bayesgmm.errors import DataError
from bayesgmm.runtime.fingerprint import fingerprint

ALL_ROWS = (
    "This needs all rows in memory, and these are on disk. EM, Gibbs, CAVI and SVI (in batches) read rows on disk; "
    "for the rest, read the data (pandas.read_parquet, numpy.load), or a sample of them."
)


class RowsOnDisk(Table):
    """Rows that are read part by part in each pass, and never held together: from `open_rows`.

    Engines take it as their data. It has the number of rows, the features, the moments and a sample of rows in memory.
    Whatever needs all rows at once raises `DataError`.
    """

    source: Source
    found: Survey
    rows_at_once: int | None

    def __init__(self, *parts: Any, **fields: Any):
        """Keep source, what the first pass found, and the rows at once. Fields come from `dataclasses.replace` only."""
        if fields:
            raise DataError(ALL_ROWS)
        source, found, rows_at_once = parts
        known: dict[str, Any] = {"source": source, "found": found, "rows_at_once": rows_at_once}
        known |= {"features": source.features, "named": source.named, "gaps": 0, "total": float(source.num_rows)}
        self.__dict__.update(known, _moments=(found.mean, found.covariance))

    def __repr__(self) -> str:
        return f"Rows on disk: {self.num_rows:,} rows × {self.dim} features ({', '.join(self.features)})"

    def __getattr__(self, name: str) -> Any:
        """Only the values are not there."""
        if name == "values":
            raise DataError(ALL_ROWS)
        raise AttributeError(name)

    @property
    def on_disk(self) -> bool:
        """True: each pass reads the rows."""
        return True

    @property
    def has_rows(self) -> bool:
        """False: they are not in memory, and are not saved with a result."""
        return False

    @property
    def plain(self) -> bool:
        """False: they are rows of a kind that an engine may refuse."""
        return False

    @property
    def num_rows(self) -> int:
        """N."""
        return self.source.num_rows

    @property
    def dim(self) -> int:
        """D."""
        return len(self.features)

    @property
    def counted(self) -> np.ndarray:
        """Refused: a number for each row."""
        raise DataError(ALL_ROWS)

    @cached_property
    def filled(self) -> np.ndarray:
        """The sample: for starts and pictures only."""
        return self.found.sample

    @property
    def sample(self) -> Table:
        """Some rows, drawn uniformly without replacement, in memory."""
        return Table(self.found.sample, self.features, self.named)

    @cached_property
    def digest(self) -> str:
        """A hash of number of rows and sample, the same wherever the files lie and whatever computes the moments."""
        return fingerprint(np.asarray(self.num_rows), self.found.sample)

    @property
    def far_rows(self) -> None:
        """Not looked for: the sample does not know the places of its rows."""

    def chunks(self, size: int = CHUNK) -> Iterator[np.ndarray]:
        """Rows (n, D) of at most `size` rows, in order, as they are read."""
        return gathered(self.source.checked(rows_of_part(self.dim)), size)

    def parts(self, size: int = CHUNK) -> Iterator[Table]:
        """Tables of at most `size` rows, in order, as they are read."""
        for values in self.chunks(size):
            yield Table(values, self.features, self.named)
