"""Costs of each relabelling method: arrays (draw, label, component).

All costs are nonnegative, and 0 means a perfect fit. Their sum over a permutation is the objective of the method.
"""

from collections.abc import Iterator

import numpy as np

from bayesgmm.numerics.assignment import inverse
from bayesgmm.relabelling.allocations import Allocations
from bayesgmm.results.draws import Draws

TINY = np.finfo(float).tiny
LEAST_VARIANCE = 1e-6
"""Least variance, as a share of the variance of the data. It keeps the density of a class of equal rows finite."""


def apart_from_noise(costs: np.ndarray, draws: Draws) -> np.ndarray:
    """The costs with those of an exchange with the noise (the last component) infinite; unchanged without noise."""
    gaussian = np.arange(draws.num_components) < draws.num_gaussians
    return costs if gaussian.all() else np.where(gaussian[:, None] == gaussian, costs, np.inf)


def noise_last(values: np.ndarray, draws: Draws) -> np.ndarray:
    """Numbers (…, component) to sort components by: infinite for the noise."""
    return np.where(np.arange(draws.num_components) < draws.num_gaussians, values, np.inf)


def disagreement(allocations: Allocations, pivot: np.ndarray) -> np.ndarray:
    """Half the number of rows that are either in class k of the pivot or in component j of the draw, but not in both.

    Over a permutation, each such row counts once.
    """
    size, num = allocations.draws.size, allocations.draws.num_components
    both = np.zeros((size, num, num))
    for rows, labels in allocations.labels():
        ours = pivot[rows]
        for k in range(num):
            here = labels[:, ours == k]
            for j in range(num):
                both[:, k, j] += np.count_nonzero(here == j, axis=1)
    in_pivot = np.bincount(pivot, minlength=num)
    return 0.5 * (in_pivot[:, None] + both.sum(axis=1, keepdims=True)) - both


def votes(labels: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Number of draws that give each label to each row, (label, row)."""
    names = np.take_along_axis(inverse(permutations).astype(np.uint8), labels, axis=1)
    return np.stack([np.count_nonzero(names == k, axis=0) for k in range(permutations.shape[1])])


def mean_probabilities(allocations: Allocations, permutations: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Mean class probabilities over relabelled draws (label, rows), and those of each draw (draw, component, rows)."""
    draws = np.arange(len(permutations))
    for _, block in allocations.probabilities():
        yield np.stack([block[draws, components].mean(axis=0) for components in permutations.T]), block


def own_entropy(allocations: Allocations) -> np.ndarray:
    """``Σ_n (p_nj log p_nj - p_nj)`` of each component, (draw, component). It does not depend on the permutation."""
    total = np.zeros((allocations.draws.size, allocations.draws.num_components))
    for _, block in allocations.probabilities():
        total += np.einsum("sjn,sjn->sj", block, np.log(np.maximum(block, TINY)) - 1.0)
    return total


def divergence(allocations: Allocations, permutations: np.ndarray, own: np.ndarray) -> np.ndarray:
    """``Σ_n p_nj log (p_nj / q_nk) + q_nk - p_nj`` (Stephens 2000, section 4.1).

    q is the mean of the class probabilities under the current permutations.
    """
    size, num = permutations.shape
    costs = np.repeat(own[:, None, :], num, axis=1)
    for average, block in mean_probabilities(allocations, permutations):
        logs = np.log(np.maximum(average, TINY))
        cross = (block.reshape(size * num, -1) @ logs.T).reshape(size, num, num)  # [draw, component, label]
        costs += average.sum(axis=1)[:, None] - cross.swapaxes(1, 2)
    return np.maximum(costs, 0.0)  # rounding


def sums_by_class(allocations: Allocations, draws: Draws) -> np.ndarray:
    """Count, sums and sums of squares of the standardised features of each class, (draw, component, 1 + 2 D)."""
    assert draws.table is not None
    x = draws.frame.rows(draws.table.filled)
    features = np.concatenate([np.ones((len(x), 1)), x, x**2], axis=1)
    sums = np.zeros((draws.size, draws.num_components, features.shape[1]))
    for rows, labels in allocations.labels():
        for j in range(draws.num_components):
            sums[:, j] += (labels == j).astype(float) @ features[rows]
    return sums


def misfit(sums: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Excess of minus twice the log density of the rows of each component, under the Gaussian of each label.

    The excess is measured against a Gaussian fitted to these rows alone. The Gaussian of a label is fitted to all rows
    with that label, over all draws. Its features are independent.
    """
    named = np.take_along_axis(sums, permutations[..., None], axis=1).sum(axis=0)
    costs = _minus_twice_log_density(sums[:, None], *_gaussian(named))
    own = _minus_twice_log_density(sums, *_gaussian(sums))
    return np.maximum(costs - own[:, None], 0.0)  # rounding


def _gaussian(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Centres and variances of classes, computed from `sums_by_class`."""
    dim = sums.shape[-1] // 2
    counts = np.maximum(sums[..., :1], TINY)
    centres = sums[..., 1 : dim + 1] / counts
    return centres, np.maximum(sums[..., dim + 1 :] / counts - centres**2, LEAST_VARIANCE)


def _minus_twice_log_density(sums: np.ndarray, centres: np.ndarray, variances: np.ndarray) -> np.ndarray:
    """``Σ_n |x_n - centre|² / variance + log variance`` over the rows of a class. Axes: label before component."""
    dim = centres.shape[-1]
    if centres.ndim == 2:
        centres, variances = centres[:, None], variances[:, None]
    rows, first, second = sums[..., :1], sums[..., 1 : dim + 1], sums[..., dim + 1 :]
    squares_about = second - 2.0 * centres * first + centres**2 * rows
    return (squares_about / variances + rows * np.log(variances)).sum(axis=-1)


def squares(points: np.ndarray, centres: np.ndarray) -> np.ndarray:
    """Squared distances of the components of each draw (draw, component, number) from centres (label, number)."""
    return ((points[:, None] - centres[:, None]) ** 2).sum(axis=3)
