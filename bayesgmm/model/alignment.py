"""One common labelling for draws whose likelihood does not know the components' numbers."""

import numpy as np

from bayesgmm.model.types import Params
from bayesgmm.numerics.assignment import assign, renumber

BLOCK_VALUES = 2**22
"""Whitened differences (draw, component, component, feature) held at a time."""


def align(draws: Params, reference: Params) -> np.ndarray:
    """Number the components of each draw so that they fit a reference best.

    Calling the draw's component j by the reference's name k costs ``-π_k E_k[log π_j + log N(x; μ_j, Σ_j)]``, the
    expectation being over the reference's component k: minus the complete-data log-likelihood per row that is
    expected at the reference. The cheapest one-to-one naming is an assignment problem, solved exactly. (Stephens 2000 and
    Rodríguez & Walker 2014 minimise costs of this kind row by row; the expectation makes it independent of N.)

    Parameters
    ----------
    draws
        θ with any leading axes.
    reference
        θ without leading axes, in the same coordinates.

    Returns
    -------
    permutations
        Integers of shape ``(*b, K)``: the draw's component ``permutations[..., k]`` is to be called k.
    """
    batch, num = draws.weights.shape[:-1], draws.weights.shape[-1]
    flat = Params(*(np.asarray(part).reshape(-1, *part.shape[len(batch) :]) for part in draws))
    size = max(1, BLOCK_VALUES // (num * num * flat.means.shape[-1]))
    blocks = (Params(*(part[i : i + size] for part in flat)) for i in range(0, len(flat.weights), size))
    costs = np.concatenate([relabelling_costs(block, reference) for block in blocks])
    return assign(costs).reshape(*batch, num)


def relabelling_costs(draws: Params, reference: Params) -> np.ndarray:
    """Cost (…, K, K) of calling the draw's component j (last axis) by the reference's name k."""
    weights, means, covariances = (np.asarray(part) for part in (*reference[:2], reference.covariances))
    trils = np.asarray(draws.scale_trils)
    whiteners = np.linalg.inv(trils)
    precisions = whiteners.swapaxes(-1, -2) @ whiteners
    log_diagonals = np.log(np.diagonal(trils, axis1=-2, axis2=-1)).sum(axis=-1)
    shift = means[:, None, :] - np.asarray(draws.means)[..., None, :, :]  # (*b, K, K, D)
    white = np.einsum("...jde,...kje->...kjd", whiteners, shift)
    spread = np.einsum("...jde,ked->...kj", precisions, covariances)
    tiny = np.finfo(float).tiny  # a component may have lost all its weight; its name is still free to give
    constants = np.log(np.maximum(np.asarray(draws.weights), tiny)) - log_diagonals
    return weights[:, None] * (0.5 * spread + 0.5 * (white**2).sum(axis=-1) - constants[..., None, :])


def permute(draws: Params, permutations: np.ndarray) -> Params:
    """Renumber the components of each draw: component k of the result is ``permutations[..., k]`` of the draw."""
    return Params(*(renumber(np.asarray(part), permutations, permutations.ndim - 1) for part in draws))


def by_first_mean(params: Params) -> np.ndarray:
    """The order of components by the mean of the first feature: how point fits are numbered."""
    return np.argsort(np.asarray(params.means)[..., 0], axis=-1)
