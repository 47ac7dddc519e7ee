"""The density of a mixture in two features, as hills on a map."""

from typing import Any

import numpy as np
from matplotlib.axes import Axes

from bayesgmm.data.noise import num_gaussians
from bayesgmm.plots.classes import draws_of

GRID, DRAWS = 90, 40
"""Places along each axis, and draws over which the density is averaged."""
LEVELS = np.geomspace(0.004, 0.9, 9)
"""Heights of the lines, as shares of the summit: equal ratios, so that tails and summits both show."""


def draw_hills(result: Any, pair: tuple[int, int], ax: Axes) -> None:
    """Shade the density of a result (of a posterior: its mean over draws) within the limits of the axes."""
    (left, right), (low, high) = ax.get_xlim(), ax.get_ylim()
    x, y = np.linspace(left, right, GRID), np.linspace(low, high, GRID)
    density = density_on(result, pair, x, y)
    top = density.max()
    if not np.isfinite(top) or top <= 0.0:
        return
    colors = [(0.25, 0.3, 0.36, 0.035 + 0.022 * i) for i in range(len(LEVELS))]
    ax.contourf(x, y, density / top, levels=[*LEVELS, 1.0], colors=colors, zorder=0.5)
    ax.set_xlim(left, right)
    ax.set_ylim(low, high)


def density_on(result: Any, pair: tuple[int, int], x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """The marginal density of two features at places (y, x), without the noise; averaged over draws."""
    draws, num = draws_of(result, DRAWS), num_gaussians(result)
    places = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).T  # (2, places)
    total = np.zeros(places.shape[1])
    for weights, means, trils in zip(*draws, strict=True):
        for weight, mean, tril in zip(weights[:num], means[:num], trils[:num], strict=True):
            own = tril[list(pair)]
            root = np.linalg.cholesky(own @ own.T)
            whitened = np.linalg.solve(root, places - mean[list(pair), None])
            scale = 2.0 * np.pi * np.diagonal(root).prod()
            total += weight * np.exp(-0.5 * np.square(whitened).sum(axis=0)) / scale
    return total.reshape(len(y), len(x)) / len(draws.weights)
