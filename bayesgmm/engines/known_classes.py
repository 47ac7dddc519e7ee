"""Known classes and starts: component k is class k, and a row of known class is in its component."""

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.engines.host_scores import log_joint, log_sum
from bayesgmm.model.types import Params
from bayesgmm.numerics.assignment import assign
from bayesgmm.problem import Problem
from bayesgmm.sweep.rows import log_labels

MOST_ROWS = 2_000
"""About the most rows of known class by which a θ is numbered."""
FLOOR = -10.0
"""Log probability that stands for an excluded class where a θ is numbered."""


def class_shares(table: Table, num_components: int) -> np.ndarray | None:
    """What the labels say of each row as shares of the classes, (K, N), adding up to 1; None: there are no labels."""
    logs = log_labels(table, num_components)
    return None if logs is None else (np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)).T


def informative(known: np.ndarray) -> np.ndarray:
    """Of which rows the labels say something, (N,)."""
    return known.min(axis=0) < known.max(axis=0)


def certain(known: np.ndarray) -> np.ndarray:
    """Of which rows the class is known, (N,)."""
    return known.max(axis=0) == 1.0


def all_known(table: Table) -> bool:
    """Whether the class of each row that counts is known.

    Then there is nothing to search for, and the first M-step is the maximum in most families: an extrapolation would
    only move off.
    """
    if table.labels is None:
        return False
    counts = slice(None) if table.weights is None else table.weights > 0
    labels = table.labels[counts]
    return bool((labels >= 0).all() if labels.ndim == 1 else ((labels > 0).sum(axis=1) == 1).all())


def under_labels(shares: np.ndarray, known: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """A division (K, N) with its groups numbered as agrees best with the labels, and labelled rows in their classes.

    A row that was left out joins if its label says something.
    """
    groups = shares[assign(-(known * counted) @ shares.T)]
    both = groups * known
    total = both.sum(axis=0)
    joins = (shares.sum(axis=0) > 0) | informative(known)
    return np.where(total > 0, both / np.where(total > 0, total, 1.0), known * joins)


def numbered_by_labels(starts: Params, problem: Problem) -> np.ndarray:
    """Log probability of the labels if role k is taken by component j, (start, k, j), up to a constant for each k.

    Exact for rows of known class: ``log p(z_n = j | x_n, θ)``. For other labels, their log probability averaged over
    the classes under θ. With many such rows, some of them stand for all.
    """
    table, num = problem.table, problem.num_components
    known = class_shares(table, num)
    if known is None:
        return np.zeros((len(starts.weights), num, num))
    rows = informative(known) & (table.counted > 0)
    chosen = np.flatnonzero(rows)
    step = max(1, len(chosen) // MOST_ROWS)
    chosen = chosen[::step]
    x, known = problem.frame.rows(table.filled[chosen]), known[:, chosen]
    counted = step * table.counted[chosen]
    return np.stack([_one(Params(*(np.asarray(part[i], float) for part in starts)), x, known, counted)
                     for i in range(len(starts.weights))])  # fmt: skip


def _one(theta: Params, x: np.ndarray, known: np.ndarray, counted: np.ndarray) -> np.ndarray:
    scores = log_joint(theta, x)
    logs = np.maximum(scores - log_sum(scores), -1e6)
    sure = certain(known)
    exact = (known * counted)[:, sure] @ logs[:, sure].T
    with np.errstate(divide="ignore"):
        labels = np.maximum(np.log(known / known.max(axis=0)), FLOOR)
    return exact + (labels * counted)[:, ~sure] @ np.exp(logs[:, ~sure]).T
