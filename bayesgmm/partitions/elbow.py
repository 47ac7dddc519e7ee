"""The elbow of a curve: two straight lines that meet, fitted by least squares."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float


class Elbow(NamedTuple):
    """Two lines that share the point of number ``at``."""

    at: int
    """The number of clusters at which the lines meet."""
    before: tuple[float, float]
    """Slope and intercept of the line over 1 … `at` clusters."""
    after: tuple[float, float]
    """Slope and intercept of the line over `at` … K clusters."""


def elbow_of(heights: Float[np.ndarray, "K"]) -> Elbow | None:
    """The change point of a curve over 1 … K: the two lines with the smallest sum of squares (as in R's mclust).

    Each line has at least two points, and the point of change belongs to both; None if K is below 3.
    """
    num = len(heights)
    sizes = np.arange(1, num + 1)
    best, least = None, np.inf
    for at in range(2, num):
        lines = [_line(sizes[part], heights[part]) for part in (slice(0, at), slice(at - 1, num))]
        total = sum(squares for _, squares in lines)
        if total < least:
            best, least = Elbow(at, lines[0][0], lines[1][0]), total
    return best


def _line(x: np.ndarray, y: np.ndarray) -> tuple[tuple[float, float], float]:
    """Slope and intercept by least squares, and the sum of squares that is left."""
    away = x - x.mean()
    slope = float(away @ (y - y.mean()) / (away @ away))
    intercept = float(y.mean() - slope * x.mean())
    return (slope, intercept), float(((slope * x + intercept - y) ** 2).sum())
