"""Rows in a Dask array or dataframe: partitions are checked where they lie, and one table stands for all of them."""

from collections.abc import Iterator
from functools import reduce
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.data.away import SAMPLE, RowsAway, Sums, Survey
from bayesgmm.data.convert import as_doubles
from bayesgmm.data.on_disk.source import Part
from bayesgmm.data.on_disk.survey import check_spreads, gathered
from bayesgmm.data.table_type import CHUNK
from bayesgmm.errors import DataError
from bayesgmm.numerics.arrays import LARGEST
from bayesgmm.runtime.arguments import as_key, host_generator
from bayesgmm.runtime.cluster import on_workers

JOINED = 16
"""Partitions, or groups of them, whose results one task joins."""


class Partitions(NamedTuple):
    """A collection of Dask as its partitions, in order, without the empty ones."""

    tasks: tuple[Any, ...]
    """What computes each: a `dask.delayed.Delayed`."""
    numbers: tuple[int, ...]
    """The number of each in the collection, which messages name."""
    lengths: tuple[int, ...]
    """Rows of each."""
    features: tuple[str, ...]
    named: bool
    collection: Any
    """What the user gave. Tasks of a persisted one do not keep its data with the workers; this object does."""

    @property
    def firsts(self) -> list[int]:
        """The number of the first row of each among all rows."""
        return np.cumsum([0, *self.lengths])[:-1].tolist()


class RowsInDask(RowsAway):
    """Rows in a Dask array or dataframe. Workers pass over their own partitions; the rows are never held together."""

    partitions: Partitions | None
    """None after pickling: tasks belong to the cluster of their process."""
    place = "in Dask"
    refusal = (
        "This needs all rows in memory, and these are in Dask. EM, CAVI, Gibbs and NUTS take rows in Dask; for the "
        "rest, compute them if they fit in memory (x.compute()), or take a sample of them (bayesgmm.rows(x).sample)."
    )

    def __repr__(self) -> str:
        among = "" if self.partitions is None else f" in {len(self.partitions.tasks)} partitions"
        return f"Rows in Dask: {self.num_rows:,} rows × {self.dim} features ({', '.join(self.features)}){among}"

    def __getstate__(self) -> dict[str, Any]:
        """For pickle: without the partitions."""
        return self.__dict__ | {"partitions": None}

    def __dask_tokenize__(self) -> str:
        """For Dask, which tells apart by this the results whose methods a graph calls."""
        return self.digest

    @property
    def known_partitions(self) -> Partitions:
        """The partitions, or a `DataError` if the table was pickled."""
        if self.partitions is None:
            raise DataError("These rows were in a Dask cluster, and the result was copied without them. Give x again.")
        return self.partitions

    def chunks(self, size: int = CHUNK) -> Iterator[np.ndarray]:
        """Rows (n, D) of at most `size` rows, in order: one partition at a time comes to this process."""
        known = self.known_partitions
        return gathered((Part(list(values_here(known, i).T), 0, 0) for i in range(len(known.tasks))), size)


def values_here(known: Partitions, index: int) -> np.ndarray:
    """The values (n, D) of one partition, in this process."""
    import dask

    task = dask.delayed(values_of)(known.tasks[index], known.features, known.named)  # pyright: ignore
    with on_workers(f"computing partition {known.numbers[index]}"):
        return dask.compute(task)[0]  # pyright: ignore


def rows_in_dask(x: Any) -> RowsInDask:
    """Check a Dask array or dataframe, and compute what engines need before the first pass.

    The partitions are computed once for moments, checks and a sample of rows, and once before that for their numbers
    of rows if Dask does not know them.

    Raises
    ------
    DataError
        If a column holds no numbers, a value is missing, infinite or huge (the message has the partition and the row),
        there are no rows, or a partition cannot be computed.
    ClusterError
        If the cluster failed.
    """
    known = _partitions(x)
    found = _survey(known)
    if found.complaint is not None:
        raise DataError(found.complaint)
    num = found.sums.num
    covariance = found.sums.scatter / num
    check_spreads(covariance, found.highs - found.lows, known.features)
    survey = Survey(found.sums.mean, covariance, found.kept)
    return RowsInDask(known.features, known.named, num, survey, {"partitions": known})


def _partitions(x: Any) -> Partitions:
    import dask

    kind, given = type(x).__name__, x
    library = type(x).__module__
    if library.startswith("dask.dataframe") and hasattr(x, "to_delayed"):
        tasks, features, named = _of_frame(x.to_frame() if x.ndim == 1 else x, x.name if x.ndim == 1 else "frame")
        lengths: list[float] = [np.nan] * len(tasks)
    elif library.startswith("dask.array"):
        x = _matrix(x)
        features, named = tuple(f"x{i}" for i in range(x.shape[1])), False
        tasks, lengths = x.to_delayed().ravel().tolist(), list(x.chunks[0])
    else:
        raise DataError(f"x is a {kind} of Dask. Give a dask.array or a dask.dataframe of numbers.")
    if np.isnan(lengths).any():
        with on_workers("counting the rows of the partitions"):
            lengths = list(dask.compute(*(dask.delayed(len)(task) for task in tasks)))  # pyright: ignore
    held = [i for i, length in enumerate(lengths) if length > 0]
    if not held or not features:
        raise DataError(f"The {kind} of Dask has no {'rows' if features else 'columns'}.")
    return Partitions(
        tuple(tasks[i] for i in held), tuple(held), tuple(int(lengths[i]) for i in held), features, named, given
    )  # fmt: skip


def _matrix(x: Any) -> Any:
    """An array (N, D) of numbers, each of whose chunks has all features."""
    if x.ndim not in (1, 2):
        raise DataError(f"The data must have shape (rows, features); got a Dask array of {x.ndim} dimensions.")
    if x.dtype.kind not in "iufb":
        raise DataError(
            f"The Dask array holds {x.dtype}, and a Gaussian mixture needs numbers. Choose numeric columns, or convert "
            "them: x.astype(float)."
        )
    x = x[:, None] if x.ndim == 1 else x
    return x.rechunk({1: -1}) if len(x.chunks[1]) > 1 else x


def _of_frame(x: Any, name: Any) -> tuple[list[Any], tuple[str, ...], bool]:
    """Partitions and names of a dataframe; a Series without a name has none."""
    names = tuple(map(str, x.columns))
    if twice := sorted({one for one in names if names.count(one) > 1}):
        raise DataError(f"Two columns are called {', '.join(twice)}. Give each feature a different name.")
    kinds = dict(zip(names, x.dtypes, strict=True))
    wrong = {one: kind for one, kind in kinds.items() if getattr(kind, "kind", "O") not in "iufb"}
    if wrong:
        rest = [label for label, one in zip(x.columns, names, strict=True) if one not in wrong]
        advice = f"Choose the others (x[{rest!r}])" if rest else "Give columns of numbers"
        listing = ", ".join(f"{one} ({kind})" for one, kind in wrong.items())
        raise DataError(f"Not numeric: {listing}. A Gaussian mixture needs numbers. {advice}.")
    named = name is not None and name != ""
    return list(x.to_delayed()), names if named else ("x0",), named


class Found(NamedTuple):
    """What one pass says of some partitions."""

    sums: Sums
    lows: np.ndarray
    highs: np.ndarray
    kept: np.ndarray
    """Their rows of the sample."""
    complaint: str | None = None
    """What is wrong with the first partition that cannot be taken."""


def _survey(known: Partitions) -> Found:
    """One pass over all partitions, whose results neighbours join in a tree.

    The sample is that of `open_rows` for the same rows, however they are divided.
    """
    import dask

    num, rng = sum(known.lengths), host_generator(as_key(0))
    picked = np.arange(num) if num <= SAMPLE else np.sort(rng.choice(num, SAMPLE, replace=False))
    look, join = dask.delayed(survey_partition), dask.delayed(_join)  # pyright: ignore
    found = []
    for i, first in enumerate(known.firsts):
        length = known.lengths[i]
        own = picked[np.searchsorted(picked, first) : np.searchsorted(picked, first + length)] - first
        found.append(look(known.tasks[i], known.numbers[i], length, first, known.features, known.named, own))
    while len(found) > 1:
        found = [join(found[i : i + JOINED]) for i in range(0, len(found), JOINED)]
    with on_workers("reading the partitions"):
        return dask.compute(*found)[0]  # pyright: ignore


def survey_partition(
    partition: Any, number: int, length: int, first: int, features: tuple[str, ...], named: bool, picked: np.ndarray
) -> Found:
    """What one partition says; `first` is the number of its first row, and `picked` are its rows of the sample."""
    dim = len(features)
    try:
        x = values_of(partition, features, named)
        if len(x) != length:
            raise DataError(f"It has {len(x):,} rows, but Dask says {length:,}. Correct the chunks of x.")
    except DataError as error:
        nothing = np.zeros(0)
        return Found(Sums(0, nothing, nothing), nothing, nothing, nothing, f"Partition {number} of x: {error}")
    complaint = None if (np.abs(x).max(axis=0) < LARGEST).all() else _bad_value(x, number, first, features)
    with np.errstate(all="ignore"):
        mean = x.mean(axis=0)
        apart = x - mean
        sums = Sums(length, mean, apart.T @ apart)
    return Found(sums, x.min(axis=0), x.max(axis=0), x[picked].reshape(-1, dim), complaint)


def values_of(partition: Any, features: tuple[str, ...], named: bool) -> np.ndarray:
    """The values (n, D) of a computed partition.

    Raises
    ------
    DataError
        If it has other features than the collection says, or no numbers.
    """
    values, names = as_doubles(partition)
    values = values[:, None] if values.ndim == 1 else values
    if values.ndim != 2 or values.shape[1] != len(features):
        raise DataError(f"Its shape is {values.shape}, but x has {len(features)} features.")
    if named and names is not None and names != features:
        raise DataError(f"Its columns are {', '.join(names)}, but x has {', '.join(features)}.")
    return values


def _bad_value(x: np.ndarray, number: int, first: int, features: tuple[str, ...]) -> str:
    """The first gap, infinite or huge value of a partition, in words with its place."""
    row, d = (int(place) for place in np.argwhere(~(np.abs(x) < LARGEST))[0])
    value = x[row, d]
    place = f"in row {row:,} of partition {number} of x (row {first + row:,} of all), counting from 0."
    if np.isnan(value):
        return (
            f"{features[d]} is missing (NaN) {place} Rows in Dask must be complete. Drop such rows: x.dropna() of a "
            "dataframe, x[~dask.array.isnan(x).any(axis=1)] of an array. Gaps are taken in memory only."
        )
    if np.isinf(value):
        return f"{features[d]} is infinite {place} Correct or drop this row."
    unit = 10.0 ** np.floor(np.log10(abs(value)))
    return (
        f"{features[d]} is {value:.3g} {place} Its square exceeds double precision. Divide the column by {unit:.0e}, "
        "or drop that row."
    )


def _join(found: list[Found]) -> Found:
    return reduce(_both, found)


def _both(one: Found, two: Found) -> Found:
    if one.complaint is not None or two.complaint is not None:
        return one if one.complaint is not None else two
    lows, highs = np.minimum(one.lows, two.lows), np.maximum(one.highs, two.highs)
    return Found(one.sums.plus(two.sums), lows, highs, np.concatenate([one.kept, two.kept]))
