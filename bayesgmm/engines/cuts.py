"""Cuts of a group of rows in two, along one axis. They follow gaps, whatever the scale of the group."""

from typing import NamedTuple

import numpy as np


class Cut(NamedTuple):
    """A cut of weighted rows in two parts."""

    gain: float
    """Gain of the classification log-likelihood along the axis, less log n for its two further parameters (BIC)."""
    below: np.ndarray
    """Which rows are in the first part, (N,)."""


def best_cut(x: np.ndarray, shares: np.ndarray | None = None) -> Cut | None:
    """The cut of highest gain, along the features and the principal axes of the group; None if there is none.

    Along an axis with variance s² the gain is ``½ (n log s² - n₁ log s₁² - n₂ log s₂²) + n₁ log(n₁/n) + n₂ log(n₂/n)``:
    two ordered classes with variances of their own (Scott & Symons 1971) in place of one. Each variance counts one more
    row at the distance s / √n, so that a part of equal rows has no infinite gain.

    Parameters
    ----------
    x
        Rows of shape (N, D).
    shares
        Share of each row in the group, (N,); by default 1.
    """
    shares = np.ones(len(x)) if shares is None else shares
    total = shares.sum()
    if len(x) < 2 or total < 2.0:
        return None
    centred = x - shares @ x / total
    axes = _principal_axes(centred, shares)
    values = np.concatenate([centred, centred @ axes], axis=1)
    order = np.argsort(values, axis=0, kind="stable")
    values = np.take_along_axis(values, order, axis=0)
    weights = shares[order]
    counts, sums = np.cumsum(weights, axis=0), np.cumsum(weights * values, axis=0)
    squares = np.cumsum(weights * values**2, axis=0)
    spread = squares[-1] / total
    first = _part(counts[:-1], sums[:-1], squares[:-1], total, spread)
    second = _part(total - counts[:-1], sums[-1] - sums[:-1], squares[-1] - squares[:-1], total, spread)
    with np.errstate(divide="ignore", invalid="ignore"):
        gains = first + second + 0.5 * total * np.log(spread)
    real = (values[1:] > values[:-1]) & (counts[:-1] >= 1.0) & (total - counts[:-1] >= 1.0) & np.isfinite(gains)
    if not real.any():
        return None
    gains = np.where(real, gains, -np.inf)
    place, axis = np.unravel_index(np.argmax(gains), gains.shape)
    below = np.zeros(len(x), bool)
    below[order[: place + 1, axis]] = True
    return Cut(float(gains[place, axis] - np.log(total)), below)


def _principal_axes(centred: np.ndarray, shares: np.ndarray) -> np.ndarray:
    """Orthonormal principal axes of weighted rows, in columns; of fewer rows than features, as many axes as rows."""
    if len(centred) < centred.shape[1]:
        return np.linalg.svd(np.sqrt(shares)[:, None] * centred, full_matrices=False)[2].T
    return np.linalg.eigh((shares[:, None] * centred).T @ centred)[1]


def _part(counts: np.ndarray, sums: np.ndarray, squares: np.ndarray, total: float, spread: np.ndarray) -> np.ndarray:
    """The term of each possible part of a cut."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scatter = np.maximum(squares - sums**2 / counts, 0.0)
        return counts * (np.log(counts / total) - 0.5 * np.log((scatter + spread / total) / (counts + 1.0)))


def cut_in_order(x: np.ndarray, num_parts: int) -> np.ndarray | None:
    """Labels (N,) after `num_parts` - 1 cuts, each of the group that gains most; None if the rows cannot be cut so."""
    labels = np.zeros(len(x), int)
    cuts = {0: best_cut(x)}
    for new in range(1, num_parts):
        possible = {group: cut for group, cut in cuts.items() if cut is not None}
        if not possible:
            return None
        chosen, cut = max(possible.items(), key=lambda pair: pair[1].gain)
        labels[np.flatnonzero(labels == chosen)[~cut.below]] = new
        for group in (chosen, new):
            cuts[group] = best_cut(x[labels == group])
    return labels
