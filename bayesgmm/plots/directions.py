"""The features, and the directions in the space of features, that separate the components of a mixture most."""

from typing import NamedTuple

import numpy as np

from bayesgmm.model.types import Params
from bayesgmm.runtime.formatting import for_figure

LEAST = 1e-8
"""Eigenvalues from which a direction separates components; those of the means lie between 0 and 1."""
SOURCES = ("means", "covariances", "spread")
"""What the directions are found from, in this order."""


class Moments(NamedTuple):
    """Moments of a mixture, in the units of the data."""

    mean: np.ndarray
    """(D,)"""
    between: np.ndarray
    """Covariance of the component means, (D, D)."""
    within: np.ndarray
    """Mean covariance of the components, (D, D)."""
    unequal: np.ndarray
    """``Σ_k π_k (Σ_k − W) Σ⁻¹ (Σ_k − W)``, with W the matrix ``within`` and Σ the covariance of the mixture, (D, D)."""


class Directions(NamedTuple):
    """Two directions."""

    basis: np.ndarray
    """As columns, (D, 2). Along each the pooled standard deviation within components is 1."""
    shares: np.ndarray
    """Share of each in the sum of the eigenvalues of its source, (2,)."""
    sources: tuple[str, ...]
    """What each was found from, of `SOURCES`."""


def moments_of(params: Params) -> Moments:
    """Moments of a mixture with these parameters, of which the weights may have any sum (a noise is left out)."""
    weights, means, covariances = (np.asarray(part, float) for part in (*params[:2], params.covariances))
    weights = weights / weights.sum()
    mean = weights @ means
    away = means - mean
    between, within = (away.T * weights) @ away, np.einsum("k,kij->ij", weights, covariances)
    other = covariances - within
    solved = np.linalg.solve(between + within, other)
    return Moments(mean, between, within, np.einsum("k,kij,kjl->il", weights, other, solved))


def separation_of(params: Params) -> np.ndarray:
    """Variance between components over the mean variance within components, of each feature, (D,)."""
    found = moments_of(params)
    return np.diagonal(found.between) / np.diagonal(found.within)


def most_separating(params: Params, most: int) -> list[int]:
    """The features, at most so many, in which the components are separated most, in the order of the columns."""
    return sorted(np.argsort(-separation_of(params), kind="stable")[:most].tolist())


def directions_of(params: Params) -> Directions:
    """The two directions that separate the components most (Scrucca 2010, with MclustDR's λ = 1).

    They solve ``B Σ⁻¹ B v = l Σ v`` for the largest l, where B is the covariance of the component means and Σ that of
    the mixture: the directions of sliced inverse regression and of linear discriminants. Where the means span fewer
    than two (two components, or equal means), further ones solve the same problem for differences of covariances,
    ``Σ_k π_k (Σ_k − W) Σ⁻¹ (Σ_k − W)``, and at last are principal components of the scaled features. All are
    orthogonal in Σ, and do not depend on the units of the features.
    """
    found = moments_of(params)
    total = found.between + found.within
    scale = np.sqrt(np.diagonal(total))
    root = np.linalg.cholesky(total / np.outer(scale, scale))
    whitener = np.linalg.inv(root) / scale  # whitener Σ whitenerᵀ = 1
    between = whitener @ found.between @ whitener.T
    kernels = (between @ between, whitener @ found.unequal @ whitener.T, root.T @ root)
    chosen, shares, sources = np.empty((len(scale), 0)), [], []
    for kernel, source in zip(kernels, SOURCES, strict=True):
        rest = np.eye(len(scale)) - chosen @ chosen.T
        values, vectors = np.linalg.eigh(rest @ kernel @ rest)
        order = [i for i in np.argsort(-values) if values[i] > LEAST][: 2 - chosen.shape[1]]
        chosen = np.concatenate([chosen, vectors[:, order]], axis=1)
        shares += list(values[order] / max(float(np.trace(rest @ kernel)), LEAST))
        sources += [source] * len(order)
    basis = whitener.T @ chosen
    basis = basis / np.sqrt(np.einsum("di,de,ei->i", basis, found.within, basis))
    largest = np.abs(basis * scale[:, None]).argmax(axis=0)
    return Directions(basis * np.sign(basis[largest, [0, 1]]), np.array(shares), tuple(sources))


def words_of(found: Directions, params: Params, features: tuple[str, ...], most: int) -> list[str]:
    """What each direction is, for its axis: where it comes from, and the features with the largest coefficients."""
    scaled = found.basis * np.sqrt(np.diagonal(moments_of(params).within))[:, None]
    words = []
    for i, source in enumerate(found.sources):
        order = np.argsort(-np.abs(scaled[:, i]), kind="stable")[:most]
        parts = [f"{'−' if scaled[d, i] < 0 else '+'} {for_figure(features[d], 16)}" for d in order]
        more = ", …" * (len(features) > most)
        words.append(f"direction {i + 1} ({source}, {100 * found.shares[i]:.0f} %)\n{', '.join(parts)}{more}")
    return words
