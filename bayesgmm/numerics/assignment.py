"""The assignment problem for many small cost matrices at once: which label each component receives."""

from itertools import permutations as orders

import numpy as np

FEW = 4
"""With at most this many components, all K! permutations are tried. With more, `linear_sum_assignment` solves each draw
whose row minima do not form a permutation."""


def assign(costs: np.ndarray) -> np.ndarray:
    """The permutation of least cost for each draw.

    Parameters
    ----------
    costs
        ``costs[…, k, j]``: the cost of giving label k to component j of the draw. Shape ``(*b, K, K)``.

    Returns
    -------
    permutations
        Integers of shape ``(*b, K)``: component ``permutations[…, k]`` of the draw receives label k.
    """
    num = costs.shape[-1]
    flat = costs.reshape(-1, num, num)
    if num <= FEW:
        found = _by_trial(flat)
    else:
        found = flat.argmin(axis=2)
        unsettled = np.flatnonzero((np.sort(found, axis=1) != np.arange(num)).any(axis=1))
        if len(unsettled):
            from scipy.optimize import linear_sum_assignment  # takes half a second to load, rarely needed

            for i in unsettled:
                found[i] = linear_sum_assignment(flat[i])[1]
    return found.reshape(*costs.shape[:-2], num)


def _by_trial(costs: np.ndarray) -> np.ndarray:
    every = np.array(list(orders(range(costs.shape[1]))))
    totals = costs[:, np.arange(costs.shape[1]), every].sum(axis=2)  # (draw, permutation)
    return every[totals.argmin(axis=1)]


def cost_of(costs: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Cost of the permutation of each draw: ``Σ_k costs[…, k, permutations[…, k]]``."""
    return np.take_along_axis(costs, permutations[..., None], axis=-1)[..., 0].sum(axis=-1)


def exchange_ratios(costs: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Cost of each pair of labels relative to its cost after an exchange: ``(*b, K, K)``, zero on the diagonal.

    The ratio divides the cost of the two labels as given by their cost when exchanged. Costs must not be negative, and
    a cost of 0 must mean a perfect fit. A ratio of 0 then means no ambiguity. A ratio of 1 means that the exchange fits
    equally well.
    """
    # [k, l]: the cost of giving label k to the component that has label l
    named = np.take_along_axis(costs, permutations[..., None, :], axis=-1)
    own = np.diagonal(named, axis1=-2, axis2=-1)
    given = own[..., :, None] + own[..., None, :]
    exchanged = named + named.swapaxes(-1, -2)
    ratios = np.where(exchanged > 0, given / np.where(exchanged > 0, exchanged, 1.0), 1.0)
    return np.minimum(ratios, 1.0) * (1.0 - np.eye(costs.shape[-1]))


def renumber(values: np.ndarray, permutations: np.ndarray, axis: int) -> np.ndarray:
    """Sort the components along `axis` of each draw by their labels. The leading axes are those of the draws."""
    index = permutations.reshape(
        *permutations.shape[:-1], *[1] * (values.ndim - permutations.ndim), permutations.shape[-1]
    )
    index = np.moveaxis(index, -1, axis)
    return np.take_along_axis(values, np.broadcast_to(index, index.shape), axis=axis)


def inverse(permutations: np.ndarray) -> np.ndarray:
    """The label of each component of the draw: ``inverse(p)[…, p[…, k]] = k``."""
    return np.argsort(permutations, axis=-1)
