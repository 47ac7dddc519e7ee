"""Components merged into clusters by the entropy of the classification (Baudry et al. 2010).

A cluster that is not Gaussian takes several components. BIC counts the components. Merging counts the clusters: at
each step the two clusters whose union lowers the entropy most are joined, and the density stays the same.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import xlogy  # pyright: ignore[reportAttributeAccessIssue]

from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params
from bayesgmm.partitions.merged import Merging
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.from_draws import as_posterior
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import check_count
from bayesgmm.sweep.per_row import responsibilities

MOST_VALUES = 2**28
"""Probabilities (draw, number of clusters, component, row) that are summed for the spread over draws."""
FEWEST_DRAWS = 20
BLOCK = 256
"""Rows whose probabilities under every draw are in memory at a time."""


def merge(result: Any, *, max_draws: int = 1000) -> Merging:
    """Merge components into clusters, one pair at a time, by the entropy of the classes (Baudry et al. 2010).

    With ``t_nk`` the probability of component k for row n, the entropy is ``-Σ_n Σ_k t_nk log t_nk``. Each step joins
    the two clusters with ``t_nk + t_nl`` for which it falls most, from K clusters to 1. A fall is large where two
    components share rows, and small where they are apart: the suggested number of clusters is at the elbow of the curve
    (two straight lines that meet, as `clustCombi` of R's mclust fits them). Components that hardly share a row, with an
    entropy below 0.01 nats per row, are clusters already.

    Parameters
    ----------
    result
        A `MixtureFit`, a `Posterior` (with the probabilities averaged over draws), or draws of other software. A noise
        component stays apart.
    max_draws
        Of a posterior, the most draws (at equal steps) by which the spread of the entropy is assessed.

    Returns
    -------
    Merging
        ``merges``, ``entropy``, ``suggested``, ``components(n)``, ``labels(n)``, ``predict_proba(n, x)``, ``plot()``;
        of a posterior also ``entropy_draws`` and ``suggested_by_draws``.

    Raises
    ------
    ArgumentError
        If `result` is neither a fit nor draws, or `max_draws` is no count.
    """
    max_draws = check_count("max_draws", max_draws)
    result = as_posterior(result)
    if not isinstance(result, MixtureFit | Posterior):
        raise ArgumentError(
            f"merge takes a fit or a posterior, such as bg.fit_em(x, 4); got a {type(result).__name__}."
        )
    counted = np.asarray(result.table.counted, float)
    probabilities = result.predict_proba()
    groups, entropy = merged(probabilities[:, : result.model.num_gaussians], counted)
    entropy = entropy + entropy_of(probabilities[:, result.model.num_gaussians :], counted)
    draws = _over_draws(result, groups, counted, max_draws) if isinstance(result, Posterior) else None
    return Merging(result, groups, entropy, draws)


def merged(
    probabilities: Float[np.ndarray, "N K"], counted: Float[np.ndarray, "N"]
) -> tuple[Int[np.ndarray, "K K"], Float[np.ndarray, "K"]]:
    """The cluster of each component for 1 … K clusters (row G - 1 for G clusters), and the entropy for each number.

    Clusters are numbered by their first component.
    """
    num = probabilities.shape[1]
    groups, entropy = np.empty((num, num), int), np.empty(num)
    labels, parts = np.arange(num), probabilities
    for size in range(num, 0, -1):
        groups[size - 1], entropy[size - 1] = labels, entropy_of(parts, counted)
        if size > 1:
            first, second = _best_pair(parts, counted)
            labels = np.where(labels == second, first, labels)
            labels = labels - (labels > second)
            parts = np.delete(parts, second, axis=1)
            parts[:, first] = sums_of(probabilities, labels)[:, first]
    return groups, entropy


def _best_pair(parts: Float[np.ndarray, "N G"], counted: Float[np.ndarray, "N"]) -> tuple[int, int]:
    """The two clusters whose union lowers the entropy most (Baudry et al. 2010, eq. 6); the first of equal pairs."""
    own = counted @ xlogy(parts, parts)
    falls = np.full((len(own), len(own)), -np.inf)
    for k in range(len(own) - 1):
        both = parts[:, k : k + 1] + parts[:, k + 1 :]
        falls[k, k + 1 :] = counted @ xlogy(both, both) - own[k] - own[k + 1 :]
    first, second = np.unravel_index(int(falls.argmax()), falls.shape)
    return int(first), int(second)


def sums_of(probabilities: Float[np.ndarray, "... K"], labels: Int[np.ndarray, "K"]) -> Float[np.ndarray, "... G"]:
    """Probabilities of clusters: those of their components, added up."""
    joined = np.eye(int(labels.max()) + 1)[labels]
    return probabilities @ joined


def entropy_of(parts: Float[np.ndarray, "N G"], counted: Float[np.ndarray, "N"]) -> float:
    """``-Σ_n Σ_k t_nk log t_nk`` in nats; a row counts as often as its weight says."""
    return max(0.0, float(-(counted @ xlogy(parts, parts)).sum()))  # -0 by rounding, where one cluster has all


def _over_draws(
    posterior: Posterior, groups: Int[np.ndarray, "K K"], counted: np.ndarray, most: int
) -> Float[np.ndarray, "S K"]:
    """The entropy for 1 … K clusters under draws of θ, with the clusters of the averaged probabilities."""
    num = len(groups)
    flat = Params(*(np.asarray(part).reshape(-1, *part.shape[2:]) for part in posterior.params))
    room = max(FEWEST_DRAWS, MOST_VALUES // (num * num * len(counted)))
    chosen = np.linspace(0, len(flat.weights) - 1, min(len(flat.weights), most, room)).round().astype(int)
    draws = Params(*(part[None, chosen] for part in flat))
    total, done = np.zeros((len(chosen), num)), 0
    for block in responsibilities(draws, posterior.table, posterior.frame, BLOCK):
        weights = counted[done : done + block.shape[2]]
        shares = block[:, :num].swapaxes(1, 2)  # (draw, row, component)
        noise = block[:, num:].swapaxes(1, 2)
        for size in range(num):
            parts = np.concatenate([sums_of(shares, groups[size]), noise], axis=2)
            total[:, size] -= xlogy(parts, parts).sum(axis=2) @ weights
        done += block.shape[2]
    return total
