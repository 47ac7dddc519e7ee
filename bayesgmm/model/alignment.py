"""One common labelling for all draws. The likelihood does not depend on the numbering of the components."""

import numpy as np

from bayesgmm.model.types import Params
from bayesgmm.numerics.assignment import assign, renumber
from bayesgmm.numerics.linalg import all_diagonal

BLOCK_VALUES = 2**22
"""Numbers of whiteners and whitened differences (draw, component, …, feature) held in memory at a time."""
FARTHEST = 1e200
"""Cost where the components are so far apart that it overflows."""


def align(draws: Params, reference: Params, among: np.ndarray | None = None) -> np.ndarray:
    """Relabel the components of each draw to best match a reference.

    Giving the reference label k to component j of the draw costs ``-π_k E_k[log π_j + log N(x; μ_j, Σ_j)]``. The
    expectation is over component k of the reference. The total cost is minus the complete-data log-likelihood per row,
    in expectation under the reference. The permutation of least cost is the exact solution of an assignment problem.
    (Stephens 2000 and Rodríguez & Walker 2014 minimise similar costs row by row. The expectation makes the cost
    independent of N.)

    Parameters
    ----------
    draws
        θ with any leading axes.
    reference
        θ without leading axes, in the same coordinates.
    among
        Which pairs of components may exchange their labels, (K, K); None: all.

    Returns
    -------
    permutations
        Integers of shape ``(*b, K)``: component ``permutations[..., k]`` of the draw receives label k.
    """
    batch, num, dim = draws.weights.shape[:-1], *draws.means.shape[-2:]
    flat = Params(*(np.asarray(part).reshape(-1, *part.shape[len(batch) :]) for part in draws))
    size = max(1, BLOCK_VALUES // (num * max(num, dim) * dim))
    blocks = (Params(*(part[i : i + size] for part in flat)) for i in range(0, len(flat.weights), size))
    costs = np.concatenate([relabelling_costs(block, reference) for block in blocks])
    if among is not None:
        costs = np.where(among, costs, np.inf)
    return assign(costs).reshape(*batch, num)


def relabelling_costs(draws: Params, reference: Params) -> np.ndarray:
    """Cost (…, K, K) of giving the reference label k to component j of the draw (last axis)."""
    weights, means = (np.asarray(part) for part in reference[:2])
    trils = np.asarray(draws.scale_trils)
    log_diagonals = np.log(np.diagonal(trils, axis1=-2, axis2=-1)).sum(axis=-1)
    shift = means[:, None, :] - np.asarray(draws.means)[..., None, :, :]  # (*b, K, K, D)
    tiny = np.finfo(float).tiny  # a component may have weight 0; its cost must be finite
    constants = np.log(np.maximum(np.asarray(draws.weights), tiny)) - log_diagonals
    with np.errstate(over="ignore", invalid="ignore"):  # the reference may be anywhere
        spread, squares = _squares(trils, reference, shift)
        costs = weights[:, None] * (0.5 * spread + 0.5 * squares - constants[..., None, :])
    return np.nan_to_num(costs, nan=FARTHEST, posinf=FARTHEST)


def _squares(trils: np.ndarray, reference: Params, shift: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """``tr(Σ_j⁻¹ S_k)`` and ``|L_j⁻¹ shift_kj|²`` (…, K, K), of factors L_j of Σ_j and covariances S_k (reference)."""
    if all_diagonal(trils):
        inverse = 1.0 / np.diagonal(trils, axis1=-2, axis2=-1)
        variances = (np.asarray(reference.scale_trils) ** 2).sum(axis=-1)
        white = inverse[..., None, :, :] * shift
        return np.einsum("...jd,kd->...kj", inverse**2, variances), (white**2).sum(axis=-1)
    whiteners = np.linalg.inv(trils)
    precisions = whiteners.swapaxes(-1, -2) @ whiteners
    white = np.einsum("...jde,...kje->...kjd", whiteners, shift)
    return np.einsum("...jde,ked->...kj", precisions, np.asarray(reference.covariances)), (white**2).sum(axis=-1)


def permute(draws: Params, permutations: np.ndarray) -> Params:
    """Relabel the components of each draw: component k of the result is ``permutations[..., k]`` of the draw."""
    return Params(*(renumber(np.asarray(part), permutations, permutations.ndim - 1) for part in draws))


def by_first_mean(params: Params, among: np.ndarray) -> np.ndarray:
    """The order of one θ's components by the mean of the first feature, among those that may exchange their labels.

    Point fits use this numbering.
    """
    firsts, order = np.asarray(params.means)[:, 0], np.arange(len(among))
    for members in np.unique(among, axis=0):
        order[members] = np.flatnonzero(members)[np.argsort(firsts[members], kind="stable")]
    return order
