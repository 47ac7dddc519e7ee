"""Mean and covariance of a table; with gaps, by maximum likelihood of one Gaussian."""

import numpy as np

from bayesgmm.numerics.arrays import SMALLEST

ITERATIONS, TOLERANCE = 500, 1e-9
"""Most iterations of EM for one Gaussian, and the change of the standardised moments at which they end."""


def weighted_moments(chunks, total: float) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D; divided by the total weight) of complete rows, by two passes.

    ``chunks()`` gives pairs of rows and their weights (None: one each).
    """
    mean = np.sum([_weighed(rows, weights).sum(axis=0) for rows, weights in chunks()], axis=0) / total
    scatter = np.zeros((len(mean), len(mean)))
    for rows, weights in chunks():
        centred = rows - mean
        scatter += _weighed(centred, weights).T @ centred
    return mean, scatter / total


def _weighed(rows: np.ndarray, weights: np.ndarray | None) -> np.ndarray:
    return rows if weights is None else weights[:, None] * rows


def patterns_of(seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The distinct rows of a mask (P, D), and the number of the pattern of each row (N,)."""
    packed = np.packbits(seen, axis=1)
    _, first, which = np.unique(packed, axis=0, return_index=True, return_inverse=True)
    return seen[first], which.reshape(-1)


def gaussian_moments(values: np.ndarray, weights: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """Mean (D,) and covariance (D, D) of rows with gaps: the maximum of the likelihood of one Gaussian.

    By EM (Little & Rubin 2019, section 11.2), from the moments of what was seen of each feature. Each feature must
    have been seen somewhere.
    """
    count = np.ones(len(values)) if weights is None else weights
    seen = ~np.isnan(values)
    share = np.maximum(count @ seen, np.finfo(float).tiny)  # the caller refuses a feature of which nothing was seen
    centre = count @ np.where(seen, values, 0.0) / share
    apart = np.where(seen, values - centre, 0.0)
    spread = np.sqrt(count @ apart**2 / share)
    if not (spread > SMALLEST).all():  # a constant feature: the caller refuses it
        return centre, np.diag(spread**2)
    apart = apart / spread
    patterns, which = patterns_of(seen)
    sums = [_sums(apart[which == p], count[which == p]) for p in range(len(patterns))]
    mean, covariance, total = np.zeros(len(centre)), np.eye(len(centre)), count.sum()
    for _ in range(ITERATIONS):
        first, second = np.zeros_like(mean), np.zeros_like(covariance)
        for pattern, (weight, mean_seen, scatter_seen) in zip(patterns, sums, strict=True):
            slopes, rest = conditional(covariance, pattern)
            middle = mean + slopes @ (mean_seen - mean)
            first += weight * middle
            second += slopes @ scatter_seen @ slopes.T + weight * (rest + np.outer(middle, middle))
        new = first / total
        changed = second / total - np.outer(new, new)
        moved = max(np.abs(new - mean).max(), np.abs(changed - covariance).max())
        mean, covariance = new, 0.5 * (changed + changed.T)
        if moved < TOLERANCE:
            break
    return centre + spread * mean, covariance * np.outer(spread, spread)


def _sums(rows: np.ndarray, count: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    weight = count.sum()
    mean = count @ rows / max(weight, np.finfo(float).tiny)
    centred = rows - mean
    return weight, mean, (count[:, None] * centred).T @ centred


def conditional(covariance: np.ndarray, seen: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Slopes (D, D) of all features on those seen (columns of the others are 0), and the covariance that is left."""
    slopes = np.zeros_like(covariance)
    if seen.any():
        inner = covariance[np.ix_(seen, seen)]
        slopes[:, seen] = np.linalg.lstsq(inner, covariance[seen], rcond=None)[0].T
        slopes[seen] = np.eye(len(covariance))[seen]
    rest = covariance - slopes @ covariance @ slopes.T
    rest[seen], rest[:, seen] = 0.0, 0.0
    return slopes, rest


def filled(values: np.ndarray, mean: np.ndarray, covariance: np.ndarray) -> np.ndarray:
    """Rows with each gap replaced by its conditional mean under one Gaussian: for starts and pictures only."""
    seen = ~np.isnan(values)
    patterns, which = patterns_of(seen)
    found = np.where(seen, values, mean)
    for p in np.flatnonzero(~patterns.all(axis=1)):
        rows, slopes = which == p, conditional(covariance, patterns[p])[0]
        found[rows] = np.where(seen[rows], values[rows], mean + (found[rows] - mean) @ slopes.T)
    return found
