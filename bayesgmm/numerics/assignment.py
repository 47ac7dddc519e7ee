"""The assignment problem, for many small cost matrices at once: which name each component is to bear."""

from itertools import permutations as orders

import numpy as np

FEW = 4
"""Up to so many components all K! permutations are tried; beyond, each draw that is in doubt is an assignment problem of its own."""


def assign(costs: np.ndarray) -> np.ndarray:
    """The cheapest one-to-one naming of each draw.

    Parameters
    ----------
    costs
        ``costs[…, k, j]``: what it costs to call the draw's component j by the name k. Shape ``(*b, K, K)``.

    Returns
    -------
    permutations
        Integers of shape ``(*b, K)``: the draw's component ``permutations[…, k]`` is to be called k.
    """
    num = costs.shape[-1]
    flat = costs.reshape(-1, num, num)
    if num <= FEW:
        found = _by_trial(flat)
    else:
        found = flat.argmin(axis=2)
        unsettled = np.flatnonzero((np.sort(found, axis=1) != np.arange(num)).any(axis=1))
        if len(unsettled):
            from scipy.optimize import linear_sum_assignment  # half a second to load, and seldom needed

            for i in unsettled:
                found[i] = linear_sum_assignment(flat[i])[1]
    return found.reshape(*costs.shape[:-2], num)


def _by_trial(costs: np.ndarray) -> np.ndarray:
    every = np.array(list(orders(range(costs.shape[1]))))
    totals = costs[:, np.arange(costs.shape[1]), every].sum(axis=2)  # (draw, naming)
    return every[totals.argmin(axis=1)]


def cost_of(costs: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Cost of each draw's naming: ``Σ_k costs[…, k, permutations[…, k]]``."""
    return np.take_along_axis(costs, permutations[..., None], axis=-1)[..., 0].sum(axis=-1)


def exchange_ratios(costs: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """How nearly two names could have been exchanged, for each draw and pair of names: ``(*b, K, K)``, zero on the diagonal.

    The ratio of what the two names cost as they are given to what they would cost exchanged. Costs must not be negative, and 0
    must mean a perfect fit: then 0 says that there is no doubt, and 1 that the exchange would fit as well.
    """
    named = np.take_along_axis(
        costs, permutations[..., None, :], axis=-1
    )  # [k, l]: the component now called l, called k
    own = np.diagonal(named, axis1=-2, axis2=-1)
    given = own[..., :, None] + own[..., None, :]
    exchanged = named + named.swapaxes(-1, -2)
    ratios = np.where(exchanged > 0, given / np.where(exchanged > 0, exchanged, 1.0), 1.0)
    return np.minimum(ratios, 1.0) * (1.0 - np.eye(costs.shape[-1]))


def renumber(values: np.ndarray, permutations: np.ndarray, axis: int) -> np.ndarray:
    """Bring the components along `axis` of each draw into the order of their names; leading axes are those of the draws."""
    index = permutations.reshape(
        *permutations.shape[:-1], *[1] * (values.ndim - permutations.ndim), permutations.shape[-1]
    )
    index = np.moveaxis(index, -1, axis)
    return np.take_along_axis(values, np.broadcast_to(index, index.shape), axis=axis)


def inverse(permutations: np.ndarray) -> np.ndarray:
    """The name of each component of the draw: ``inverse(p)[…, p[…, k]] = k``."""
    return np.argsort(permutations, axis=-1)
