"""The first pass over rows on disk: checks, moments, and a sample of rows for starts and pictures."""

import time
from collections.abc import Callable, Iterator

import numpy as np

from bayesgmm.data.away import SAMPLE, Sums, Survey
from bayesgmm.data.on_disk.source import Part, Source
from bayesgmm.errors import DataError
from bayesgmm.numerics.arrays import LARGEST, SMALLEST
from bayesgmm.runtime.pass_meter import speed

PART = 2**17
"""Rows that are read at a time, at most."""
PART_VALUES = 2**22
"""Values that are read at a time, at most."""


def survey(source: Source, rng: np.random.Generator, report: Callable[[int, int, str], None]) -> Survey:
    """Read all rows once.

    Raises
    ------
    DataError
        If a value is missing, infinite or too large (the message has the file and the row), or a file cannot be read.
    """
    num, dim = source.num_rows, len(source.features)
    picked = np.arange(num) if num <= SAMPLE else np.sort(rng.choice(num, SAMPLE, replace=False))
    kept, at, start = np.empty((len(picked), dim)), 0, time.perf_counter()
    sums, lows, highs = Sums(0, np.zeros(dim), np.zeros((dim, dim))), np.full(dim, np.inf), np.full(dim, -np.inf)
    for part in source.checked(rows_of_part(dim)):
        x = np.stack([np.asarray(column, np.float64) for column in part.columns])  # (D, n)
        _check_values(x, part, source)
        lows, highs = np.minimum(lows, x.min(axis=1)), np.maximum(highs, x.max(axis=1))
        mean = x.mean(axis=1)
        some = picked[at : np.searchsorted(picked, sums.num + part.num_rows)] - sums.num
        kept[at : at + len(some)] = x[:, some].T
        x -= mean[:, None]
        sums, at = sums.plus(Sums(part.num_rows, mean, x @ x.T)), at + len(some)
        report(sums.num, num, speed(sums.num, time.perf_counter() - start))
    check_spreads(sums.scatter / num, highs - lows, source.features)
    return Survey(sums.mean, sums.scatter / num, kept)


def rows_of_part(dim: int) -> int:
    """Rows of so many features that are read at a time."""
    return max(1, min(PART, PART_VALUES // dim))


def _check_values(x: np.ndarray, part: Part, source: Source) -> None:
    """Refuse gaps, infinite and huge values, with their place."""
    sizes = np.abs(x).max(axis=1)
    if (sizes < LARGEST).all():  # NaN and ∞ are not
        return
    rows = np.flatnonzero(~(np.abs(x) < LARGEST).all(axis=0))
    row = int(rows[0])
    d = int(np.flatnonzero(~(np.abs(x[:, row]) < LARGEST))[0])
    place = f"{source.features[d]} is {{}} in {source.place(part.file, part.first + row)}, counting from 0."
    value = x[d, row]
    if np.isnan(value):
        raise DataError(
            f"{place.format('missing (NaN)')} Rows on disk must be complete. Drop such rows when the files are "
            "written, or read the data into memory, where gaps are taken."
        )
    if np.isinf(value):
        raise DataError(f"{place.format('infinite')} Correct or drop this row.")
    raise DataError(
        f"{place.format(f'{value:.3g}')} Its square exceeds double precision. Divide the column by "
        f"{10.0 ** np.floor(np.log10(abs(value))):.0e}, or drop that row."
    )


def check_spreads(covariance: np.ndarray, spreads: np.ndarray, features: tuple[str, ...]) -> None:
    """Refuse a feature that varies, but by so little that its variance underflows."""
    for name, variance, spread in zip(features, np.diagonal(covariance), spreads, strict=True):
        if variance < SMALLEST**2 and spread > 0.0:
            raise DataError(
                f"{name} varies by only {spread:.3g}, whose square is below double precision. Subtract its mean, and "
                f"divide the column by {10.0 ** np.floor(np.log10(spread)):.0e}."
            )


def gathered(parts: Iterator[Part], size: int) -> Iterator[np.ndarray]:
    """Rows (n, D) as doubles, in pieces of exactly `size` rows but for the last."""
    piece, filled = np.empty((0, 0)), 0
    for part in parts:
        x, first = np.stack([np.asarray(column, np.float64) for column in part.columns], axis=1), 0
        while first < len(x):
            if filled == 0:
                piece = np.empty((size, x.shape[1]))
            count = min(size - filled, len(x) - first)
            piece[filled : filled + count] = x[first : first + count]
            filled, first = filled + count, first + count
            if filled == size:
                yield piece
                filled = 0
    if filled:
        yield piece[:filled]
