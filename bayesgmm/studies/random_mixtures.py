"""Random mixtures of a given overlap, as MixSim draws them (Maitra & Melnykov 2010)."""

from typing import Any

import numpy as np
from scipy.optimize import brentq

from bayesgmm.errors import ArgumentError
from bayesgmm.model.overlap import COARSE, mean_overlap
from bayesgmm.model.types import Params
from bayesgmm.runtime.arguments import as_key, check_choice, check_count, check_number, host_generator

COVARIANCES = ("full", "tied", "diag", "spherical")
MOST_TRIES = 5
"""Mixtures that are drawn until one can have the overlap."""
MOST_SPREAD = 1e4
"""Largest factor of the covariances that is tried."""
MOST_COMPONENTS, MOST_FEATURES = 100, 1000
FLATTEST = 0.9
"""Largest eccentricity ``√(1 - λ_min / λ_max)`` of a covariance, as in MixSim."""


def random_mixture(
    n_components: int,
    n_features: int,
    *,
    overlap: float = 0.01,
    imbalance: float = 1.0,
    covariance_type: str = "full",
    seed: Any = 0,
) -> Params:
    """Draw a mixture whose pairs of components have this overlap on average.

    Means are uniform on a cube, and covariances are random. Then one factor for all covariances is found that gives
    the overlap.

    Parameters
    ----------
    n_components, n_features
        K and D.
    overlap
        ``ω[i, j] + ω[j, i]``, the two probabilities of misclassification, on average over pairs (`overlap`). Above 0
        and below 1. 0.001 is well separated, 0.1 is hard. One component has none, whatever is asked for.
    imbalance
        The largest weight divided by the smallest; weights fall geometrically.
    covariance_type
        ``"full"``, ``"tied"`` (one covariance), ``"diag"`` or ``"spherical"``.
    seed
        int or JAX key.

    Returns
    -------
    Params
        The mean variance within components is 1.

    Raises
    ------
    ArgumentError
        If an argument is impossible, or no mixture of this kind has so much overlap.
    """
    num = check_count("n_components", n_components, most=MOST_COMPONENTS)
    dim = check_count("n_features", n_features, most=MOST_FEATURES)
    overlap = check_number("overlap", overlap, low=0.0)
    imbalance = check_number("imbalance", imbalance, low=1.0)
    check_choice("covariance_type", covariance_type, COVARIANCES)
    if not 0 < overlap < 1:
        raise ArgumentError(f"overlap must be above 0 and below 1, got {overlap:g}.")
    weights = imbalance ** -(np.arange(num) / max(num - 1, 1))
    weights /= weights.sum()
    rng = host_generator(as_key(seed))
    reached = 0.0
    for _ in range(MOST_TRIES):
        means, covariances = rng.random((num, dim)), _covariances(rng, num, dim, covariance_type)
        found, most = _scaled(weights, means, covariances, overlap)
        if found is not None:
            return found
        reached = max(reached, most)
    raise ArgumentError(
        f"None of {MOST_TRIES} random mixtures of {num} components and {dim} features ({covariance_type}, imbalance "
        f"{imbalance:g}) can have a mean overlap of {overlap:g}, however wide their components are: the highest was "
        f"{reached:.3g}. Use a lower overlap, fewer components or covariance_type='tied'."
    )


def _covariances(rng: np.random.Generator, num: int, dim: int, kind: str) -> np.ndarray:
    """Random covariances (K, D, D)."""
    if kind == "spherical":
        return rng.uniform(0.2, 1.0, (num, 1, 1)) * np.eye(dim)
    if kind == "diag":
        return rng.uniform(0.2, 1.0, (num, dim, 1)) * np.eye(dim)
    roots = rng.normal(size=(num if kind == "full" else 1, dim, dim + 1))
    values, axes = np.linalg.eigh(roots @ roots.swapaxes(1, 2) / (dim + 1))
    values = np.maximum(values, values[:, -1:] * (1.0 - FLATTEST**2))
    found = (axes * values[:, None, :]) @ axes.swapaxes(1, 2)
    return np.array(np.broadcast_to(0.5 * (found + found.swapaxes(1, 2)), (num, dim, dim)))


def _scaled(
    weights: np.ndarray, means: np.ndarray, covariances: np.ndarray, wanted: float
) -> tuple[Params | None, float]:
    """The mixture with its covariances times the factor that gives the overlap, or None; and the highest overlap."""

    def of(spread: float) -> Params:
        unit = np.sqrt(np.trace(covariances, axis1=1, axis2=2).mean() / means.shape[1])
        trils = np.linalg.cholesky(covariances) / unit
        return Params(weights, means / (unit * np.sqrt(spread)), trils)  # pyright: ignore[reportArgumentType]

    if len(weights) == 1:
        return of(1.0), 0.0
    low, high, seen = 0.0, 2.0**-10, 0.0
    while (seen := max(seen, mean_overlap(of(high), COARSE))) < wanted and high < MOST_SPREAD:
        low, high = high, 4.0 * high
    if seen < wanted:
        return None, seen
    below = low if low > 0 else 1e-12 * high  # so narrow that nothing overlaps

    def excess(log_spread: float) -> float:
        return mean_overlap(of(np.exp(log_spread)), COARSE) - wanted

    return of(np.exp(brentq(excess, np.log(below), np.log(high), xtol=1e-6))), wanted  # pyright: ignore
