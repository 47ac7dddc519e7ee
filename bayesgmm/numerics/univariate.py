"""Mixtures of Gaussians in one dimension, on the host: cdf, quantiles, turning points, densest sets."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from scipy.special import ndtr, ndtri

from bayesgmm.numerics.roots import bracketed_roots

BLOCK_VALUES = 2**20
"""Values (place, component) held in memory at a time."""
REACH, NODES_PER_SD = 6.0, 8.0
"""How far each component is searched for turning points, in its sd, and at how many places."""
LOWEST = 2.0**11
"""Largest fall of the log density below its top that `densest_set` tries."""


class Univariate(NamedTuple):
    """Mixtures with M components each; row r has the weights and means of mixture r. Weights sum to 1."""

    weights: Float[np.ndarray, "R M"]
    means: Float[np.ndarray, "R M"]
    sds: Float[np.ndarray, "M"]

    def mirrored(self) -> "Univariate":
        """The mixtures of ``-Y``."""
        return self._replace(means=-self.means)

    def cdf(self, y: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """``P(Y ≤ y)`` at each place y, in the mixture of each row."""
        return np.concatenate([
            (weights * ndtr((at[:, None] - means) / self.sds)).sum(axis=1)
            for at, weights, means in self._blocks(y, rows)
        ])  # fmt: skip

    def log_density(self, y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log density at each place, and its derivative."""
        values, slopes = [], []
        for at, weights, means in self._blocks(y, rows):
            z = (at[:, None] - means) / self.sds
            with np.errstate(divide="ignore"):
                parts = np.log(weights) - np.log(self.sds) - 0.5 * z**2
            top = parts.max(axis=1, keepdims=True)
            shares = np.exp(parts - top)
            total = shares.sum(axis=1)
            values.append(top[:, 0] + np.log(total) - 0.5 * np.log(2 * np.pi))
            slopes.append((shares * (-z / self.sds)).sum(axis=1) / total)
        return np.concatenate(values), np.concatenate(slopes)

    def _blocks(self, y: np.ndarray, rows: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        size = max(1, BLOCK_VALUES // self.means.shape[1])
        for first in range(0, max(len(y), 1), size):
            own = rows[first : first + size] if len(self.means) > 1 else slice(None)
            yield y[first : first + size], self.weights[own], self.means[own]


def quantiles(mixture: Univariate, probabilities: Float[np.ndarray, "L"]) -> Float[np.ndarray, "R L"]:
    """The quantiles of each mixture at each probability: roots of the distribution function.

    The smaller tail is solved for, on the log scale, so that small tails keep their relative precision.
    """
    num = len(mixture.means)
    found = np.empty((num, len(probabilities)))
    for level, p in enumerate(probabilities):
        upper = p > 0.5
        lower = _lower_quantiles(mixture.mirrored() if upper else mixture, 1.0 - p if upper else p)
        found[:, level] = -lower if upper else lower
    return found


def _lower_quantiles(mixture: Univariate, tail: float) -> np.ndarray:
    """The quantile of each mixture at one probability of at most 1/2; the components' own quantiles bracket it."""
    own = mixture.means + mixture.sds * ndtri(tail)
    held = mixture.weights > 0
    low, high = np.where(held, own, np.inf).min(axis=1), np.where(held, own, -np.inf).max(axis=1)
    mean = (mixture.weights * mixture.means).sum(axis=1)
    variance = (mixture.weights * (mixture.sds**2 + (mixture.means - mean[:, None]) ** 2)).sum(axis=1)

    def excess(y: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        below, (density, _) = mixture.cdf(y, rows), mixture.log_density(y, rows)
        with np.errstate(divide="ignore", over="ignore"):
            logs = np.log(below)
            return logs - np.log(tail), np.exp(density - logs)

    return bracketed_roots(excess, low, high, mean + np.sqrt(variance) * ndtri(tail))


def turning_points(mixture: Univariate) -> np.ndarray:
    """Modes and antimodes of one mixture, in order: the first, third … and last are modes.

    They lie between the smallest and the largest mean. Nodes stand at `NODES_PER_SD` to the sd of the narrowest
    component that reaches there; in a gap that no component reaches the density is convex and has one antimode.
    """
    nodes = _nodes(mixture)
    slope = lambda y: mixture.log_density(y, np.zeros(len(y), int))[1]  # noqa: E731
    rising = slope(nodes) >= 0
    rising[0], rising[-1] = True, False
    changes = np.flatnonzero(rising[:-1] != rising[1:])
    signs = np.where(rising[changes], -1.0, 1.0)
    bisect = lambda y, which: (signs[which] * slope(y), np.zeros(len(y)))  # noqa: E731
    return bracketed_roots(bisect, nodes[changes], nodes[changes + 1], tolerance=0.0)


def _nodes(mixture: Univariate) -> np.ndarray:
    """Places from the smallest mean to the largest, as dense as the components that reach there are narrow."""
    means, sds = mixture.means[0], np.broadcast_to(mixture.sds, mixture.means[0].shape)
    edges = np.unique(np.concatenate([means - REACH * sds, means + REACH * sds]))
    narrowest = np.full(len(edges) - 1, np.inf)
    first, last = np.searchsorted(edges, means - REACH * sds), np.searchsorted(edges, means + REACH * sds)
    for k in np.argsort(-sds):
        narrowest[first[k] : last[k]] = sds[k]
    counts = np.concatenate([[0.0], np.cumsum(np.diff(edges) * NODES_PER_SD / narrowest)])
    nodes = np.interp(np.linspace(0.0, counts[-1], int(np.ceil(counts[-1])) + 1), counts, edges)
    low, high = means.min(), means.max()
    return np.concatenate([[low], np.unique(nodes[(nodes > low) & (nodes < high)]), [high]])


def densest_set(mixture: Univariate, level: float) -> tuple[Float[np.ndarray, "I 2"], float]:
    """The intervals where the density of one mixture is highest, with probability `level`; and the log density there.

    The log density c at the ends solves ``P(log f(Y) ≥ c) = level`` (Hyndman 1996, section 2).
    """
    from scipy.optimize import brentq

    turns = turning_points(mixture)
    heights, _ = mixture.log_density(turns, np.zeros(len(turns), int))
    top, fall = float(heights.max()), 1.0
    excess = lambda c: _excess(mixture, _intervals(mixture, turns, heights, c), level)  # noqa: E731
    while fall < LOWEST and excess(top - fall) < 0:
        fall *= 2.0
    found = top - fall
    if excess(found) > 0:
        found = float(brentq(excess, found, top, xtol=1e-14, rtol=8.9e-16))  # pyright: ignore[reportArgumentType]
    intervals = _intervals(mixture, turns, heights, found)
    return (intervals if len(intervals) else turns[[heights.argmax()] * 2][None, :]), found


def _excess(mixture: Univariate, intervals: np.ndarray, level: float) -> float:
    """Probability of the intervals minus the level; for a level above 1/2 by what they leave out."""
    if not len(intervals):
        return -level
    ends = intervals.ravel()
    below = mixture.cdf(ends, np.zeros(len(ends), int))
    if level <= 0.5:
        return float((below[1::2] - below[::2]).sum()) - level
    above = float(mixture.mirrored().cdf(-ends[-1:], np.zeros(1, int))[0])
    return (1.0 - level) - (float(below[0]) + float((below[2::2] - below[1:-1:2]).sum()) + above)


def _intervals(mixture: Univariate, turns: np.ndarray, heights: np.ndarray, c: float) -> np.ndarray:
    """Where the log density is at least c: between turning points it is monotone, and crosses c at most once."""
    spread = float(np.max(mixture.sds))
    places = np.concatenate(
        [[_outside(mixture, turns[0], -spread, c)], turns, [_outside(mixture, turns[-1], spread, c)]]
    )
    above = np.concatenate([[False], heights > c, [False]])
    piece = np.flatnonzero(above[:-1] != above[1:])
    signs = np.where(above[piece], -1.0, 1.0)

    def excess(y: np.ndarray, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        value, slope = mixture.log_density(y, np.zeros(len(y), int))
        return signs[which] * (value - c), signs[which] * slope

    return bracketed_roots(excess, places[piece], places[piece + 1]).reshape(-1, 2)


def _outside(mixture: Univariate, turn: float, step: float, c: float) -> float:
    """A place beyond the outermost turning point where the log density is below c."""
    while mixture.log_density(np.array([turn + step]), np.zeros(1, int))[0][0] >= c:
        step *= 2.0
    return turn + step
