"""How much the components of a mixture overlap: the probability that a row is classified into another component.

``ω[i, j] = P(π_i N(x; μ_i, Σ_i) < π_j N(x; μ_j, Σ_j) | x from component i)`` (Maitra & Melnykov 2010, section 2).
With ``x = μ_i + r L_i u``, a direction u and a radius r, both sides are quadratic in r. So the probability given u is
that of one or two intervals of the chi distribution with D degrees of freedom, and only the directions are averaged:
two of them if D = 1, equally spaced ones if D = 2, and a Sobol sequence otherwise.
"""

import functools
from typing import Any

import numpy as np
from scipy.special import gammainc
from scipy.stats import norm, qmc

from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params, check_params
from bayesgmm.runtime.checks import shown

ROUNDING = 1e-13
"""Coefficients below this are 0: those of equal components are left by rounding."""
FINE, COARSE = 14, 10
"""log₂ of the number of directions, for `overlap` and for a search over mixtures."""


def overlap(params: Any) -> np.ndarray:
    """Probabilities of misclassification between each pair of components, as in MixSim.

    Parameters
    ----------
    params
        `Params` of one mixture, or a fit.

    Returns
    -------
    array (K, K)
        ``[i, j]``: the probability that a row of component i has a higher density, times weight, in component j. The
        diagonal is 0; between equal components it is one half. MixSim's overlap of a pair is ``[i, j] + [j, i]``.

    Raises
    ------
    ArgumentError
        If these are not the parameters of one mixture, a weight is 0, or values are beyond double precision.

    Notes
    -----
    Exact with one or two features; with more, directions are averaged over 32,768 points, which leaves a relative error
    of about 1e-3.
    """
    given = getattr(params, "params", params)
    if not isinstance(given, Params):
        raise ArgumentError(f"params must be a bayesgmm.Params or a fit, got {shown(params)}.")
    found = check_params(given)
    if found.weights.ndim != 1:
        raise ArgumentError(f"overlap takes one mixture, got parameters with leading axes {found.weights.shape[:-1]}.")
    if (found.weights <= 0).any():
        raise ArgumentError("overlap needs weights above 0: no row comes from a component of weight 0.")
    with np.errstate(over="ignore", invalid="ignore"):
        shares = misclassification(found)
    if not np.isfinite(shares).all():
        raise ArgumentError("The overlap is beyond double precision. Rescale the means and covariances.")
    return shares


def mean_overlap(params: Params, log2: int = FINE) -> float:
    """The overlap of a pair of components, ``ω[i, j] + ω[j, i]``, on average over the pairs; 0 if K = 1."""
    num = len(params.weights)
    return float(misclassification(params, log2).sum() * 2 / max(num * (num - 1), 1))


def misclassification(params: Params, log2: int = FINE) -> np.ndarray:
    """`overlap` of checked parameters."""
    num, dim = params.means.shape
    found = np.zeros((num, num))
    for i in range(num):
        for j in range(num):
            if i != j:
                found[i, j] = _pair(params, i, j, *_directions(dim, log2))
    return found


@functools.cache
def _directions(dim: int, log2: int) -> tuple[np.ndarray, np.ndarray]:
    """Directions (n, D) of unit length, and their weights."""
    if dim == 1:
        u = np.array([[1.0], [-1.0]])
    elif dim == 2:
        angles = 2 * np.pi * np.arange(2 ** (log2 - 2)) / 2 ** (log2 - 2)
        u = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    else:
        points = norm.ppf(qmc.Sobol(dim, rng=np.random.default_rng(0)).random_base2(log2))
        u = points / np.linalg.norm(points, axis=1, keepdims=True)
        u = np.concatenate([u, -u])
    return u, np.full(len(u), 1.0 / len(u))


def _pair(params: Params, i: int, j: int, directions: np.ndarray, shares: np.ndarray) -> float:
    """ω[i, j]: the share of radii at which ``a r² + b r + c`` is above 0, averaged over directions."""
    weights, means, trils = params
    whitened = np.linalg.solve(trils[j], np.column_stack([means[i] - means[j], trils[i]]))
    gap, image = whitened[:, 0], directions @ whitened[:, 1:].T
    if not np.isfinite(gap @ gap):
        return np.nan
    log_scales = np.log(np.diagonal(trils[[i, j]], axis1=1, axis2=2)).sum(axis=1)
    a = 0.5 * (1.0 - (image**2).sum(axis=1))
    b = -image @ gap
    c = np.log(weights[j]) - np.log(weights[i]) + log_scales[0] - log_scales[1] - 0.5 * gap @ gap
    a, b, c = (np.where(np.abs(part) < ROUNDING, 0.0, part) for part in (a, b, c))
    return float(shares @ _share_above(a, b, c, len(gap)))


def _share_above(a: np.ndarray, b: np.ndarray, c: np.ndarray, dim: int) -> np.ndarray:
    """``P(a r² + b r + c > 0)`` for r from the chi distribution; a tie for all r counts half."""
    square = b * b - 4.0 * a * c
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        q = -0.5 * (b + np.where(b < 0, -1.0, 1.0) * np.sqrt(np.maximum(square, 0.0)))
        ends = np.stack([np.where(a == 0, -np.inf, q / a), np.where(q == 0, np.where(a == 0, -np.inf, 0.0), c / q)])
    low, high = np.sort(ends, axis=0)
    below = gammainc(0.5 * dim, 0.5 * np.square(np.maximum([low, high], 0.0)))
    beyond = np.where(a != 0, a, np.where(b != 0, b, c)) > 0  # the sign as r → ∞
    between = np.where(square > 0, below[1] - below[0], 0.0)
    shares = np.where(beyond, 1.0 - between, between)
    return np.where((a == 0) & (b == 0) & (c == 0), 0.5, shares)
