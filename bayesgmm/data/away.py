"""The table that stands for rows which are not in the memory of this process: on disk, or with other processes."""

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.data.table_type import CHUNK, Table
from bayesgmm.errors import DataError
from bayesgmm.runtime.fingerprint import fingerprint

SAMPLE = 2**14
"""Rows that are kept in memory, at most, for starts and pictures."""


class Survey(NamedTuple):
    """What one pass says of the rows."""

    mean: np.ndarray
    covariance: np.ndarray
    """Divided by the number of rows."""
    sample: np.ndarray
    """Some rows (at most `SAMPLE`), in their order."""


class Sums(NamedTuple):
    """Number, mean and scatter of rows."""

    num: int
    mean: np.ndarray
    scatter: np.ndarray

    def plus(self, other: "Sums") -> "Sums":
        """Those of both (Chan, Golub & LeVeque 1983)."""
        num = self.num + other.num
        apart, share = other.mean - self.mean, other.num / num
        scatter = self.scatter + other.scatter + self.num * share * np.outer(apart, apart)
        return Sums(num, self.mean + share * apart, scatter)


class RowsAway(Table):
    """Rows over which the host makes each pass, and that are never held together in this process.

    Engines take it as their data. It has the number of rows, the features, the moments and a sample of rows in memory.
    Whatever needs all rows at once raises `DataError`.
    """

    found: Survey
    place = "elsewhere"
    has_batches = False
    refusal: str = "This needs all rows in memory, and they are elsewhere. Take a sample of them."
    """What a user is told who needs all rows in memory."""

    def __init__(self, *parts: Any, **fields: Any):
        """Keep features, whether they were named, and what the first pass found, and what a kind of rows adds."""
        if fields:  # from `dataclasses.replace` only
            raise DataError(self.refusal)
        features, named, num_rows, found, own = parts
        known: dict[str, Any] = {"features": features, "named": named, "found": found, "gaps": 0, **own}
        self.__dict__.update(known, _num_rows=num_rows, total=float(num_rows), _moments=(found.mean, found.covariance))

    def __getattr__(self, name: str) -> Any:
        """Only the values are not there."""
        if name == "values":
            raise DataError(self.refusal)
        raise AttributeError(name)

    @property
    def on_disk(self) -> bool:
        """True: the host makes each pass."""
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
        return self._num_rows

    @property
    def dim(self) -> int:
        """D."""
        return len(self.features)

    @property
    def counted(self) -> np.ndarray:
        """Refused: a number for each row."""
        raise DataError(self.refusal)

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
        """A hash of number of rows and sample, the same wherever the rows lie and whatever computes the moments."""
        return fingerprint(np.asarray(self.num_rows), self.found.sample)

    @property
    def far_rows(self) -> None:
        """Not looked for: the sample does not know the places of its rows."""

    def summed(self, of_part: Callable[[Table, int], np.ndarray]) -> np.ndarray:
        """The sum over all rows of what this gives for a part of them and the number of its first row."""
        return summed(self, of_part, 0)

    def chunks(self, size: int = CHUNK) -> Iterator[np.ndarray]:
        """Rows (n, D) of at most `size` rows, in order, as they are read."""
        raise NotImplementedError

    def parts(self, size: int = CHUNK) -> Iterator[Table]:
        """Tables of at most `size` rows, in order, as they are read."""
        for values in self.chunks(size):
            yield Table(values, self.features, self.named)


def summed(table: Table, of_part: Callable[[Table, int], np.ndarray], first: int) -> np.ndarray:
    """The sum over the rows of a table, whose first has this number, of what `of_part` gives for a part of them."""
    total: Any = 0.0
    for part in table.parts():
        total = total + of_part(part, first)
        first += part.num_rows
    return total
