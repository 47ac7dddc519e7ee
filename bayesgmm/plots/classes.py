"""The rows that a plot shows, and the class of each."""

from typing import Any

import numpy as np
from scipy.linalg import solve_triangular

from bayesgmm.data.noise import num_gaussians
from bayesgmm.data.table import Table
from bayesgmm.model.types import Params

MOST_POINTS = 5000
MOST_DRAWS = 100


def numbered(results: dict[str, Any]) -> dict[str, Any]:
    """The results, with the draws of a posterior by stick numbered by cluster."""
    return {name: one.by_cluster() if hasattr(one, "by_cluster") else one for name, one in results.items()}


def with_rows(result: Any) -> np.ndarray:
    """The Gaussians that a picture shows: all of a point estimate; of draws those with at least a row on average."""
    weights = np.asarray(result.params.weights)[..., : num_gaussians(result)]
    if weights.ndim == 1:
        return np.arange(len(weights))
    shares = weights.mean(axis=tuple(range(weights.ndim - 1)))
    found = np.flatnonzero(shares * result.table.total >= 1.0)
    return found if len(found) else np.array([shares.argmax()])


def rows_shown(table: Table, most: int = MOST_POINTS) -> tuple[np.ndarray, int]:
    """At most so many rows at equal steps, and the step. Gaps are NaN: a point with a gap is not drawn."""
    step = max(1, -(-table.num_rows // most))
    return np.asarray(table.values[::step], float), step


def draws_of(result: Any, most: int) -> Params:
    """At most so many draws of θ at equal steps, with one axis for draws; a point estimate is one draw."""
    params = Params(*(np.asarray(part) for part in result.params))
    lead = params.weights.ndim - 1
    flat = [part.reshape(-1, *part.shape[lead:]) for part in params]
    step = max(1, -(-len(flat[0]) // most))
    return Params(*(part[::step] for part in flat))


def class_of_rows(result: Any, rows: np.ndarray) -> np.ndarray:
    """The most probable component of each row, averaged over at most 100 draws."""
    draws, noise = draws_of(result, MOST_DRAWS), result.table.noise
    total = np.zeros((len(rows), draws.weights.shape[1]))
    for weights, means, trils in zip(*draws, strict=True):
        scores = np.stack([_log_joint(rows, *one) for one in zip(weights, means, trils, strict=True)], axis=1)
        if noise is not None:
            scores[:, -1] = _log(weights[-1]) + 0.5 * rows.shape[1] * np.log(2.0 * np.pi) - noise.log_volume
        scores = np.exp(scores - scores.max(axis=1, keepdims=True))
        total += scores / scores.sum(axis=1, keepdims=True)
    return total.argmax(axis=1)


def _log_joint(rows: np.ndarray, weight: Any, mean: Any, tril: Any) -> np.ndarray:
    whitened = solve_triangular(tril, np.nan_to_num(rows - mean).T, lower=True)  # for colours: a gap is at the mean
    return _log(weight) - np.log(np.diagonal(tril)).sum() - 0.5 * np.square(whitened).sum(axis=0)


def _log(weight: Any) -> float:
    return float(np.log(max(weight, np.finfo(float).tiny)))
