"""Moves away from an optimum: two components are merged, and a third is split (Ueda, Nakano, Ghahramani & Hinton 2000).

A plain ascent can end at a saddle: two components are equal and share a group of rows, while another component covers
two groups. No small step helps there, but one such move does.
"""

import numpy as np

from bayesgmm.engines.cuts import Cut, best_cut
from bayesgmm.engines.host_scores import log_joint, log_sum
from bayesgmm.engines.starts import class_params
from bayesgmm.model.types import Params, Stats

MOST_MERGES = 24
"""Pairs of components whose merger is tried, the closest first."""
MOST_RESPLIT = 6
"""Of these, pairs that are also split again themselves."""


def moves(params: Params, x: np.ndarray, most: int) -> list[Params]:
    """θ after the most promising moves, best first; all in standardised coordinates, on the host.

    A merged pair may also be split itself, in another way. A move is promising if the gain of its cut
    (`bayesgmm.engines.cuts`; a lower bound for separated parts) exceeds the log-likelihood that the merger loses. Both
    are for free covariances.
    """
    num = len(params.weights)
    if num < 2 or len(x) < 2:
        return []
    scores = log_joint(params, x)
    totals = log_sum(scores)
    shares = np.exp(scores - totals)
    cuts = [_cut(x, one) for one in shares]
    found = []
    for turn, pair in enumerate(_closest(params)):
        merged = _merged(params, *pair)
        loss = (totals - log_sum(_with_merged(scores, *pair, log_joint(_only(merged, pair[0]), x)[0]))).sum()
        found += [
            (cut.gain - loss, merged, k, pair[1], shares[k], cut)
            for k, cut in enumerate(cuts)
            if cut is not None and k not in pair
        ]
        again = _cut(x, shares[list(pair)].sum(axis=0)) if turn < MOST_RESPLIT else None
        if again is not None:
            found.append((again.gain - loss, merged, pair[0], pair[1], shares[list(pair)].sum(axis=0), again))
    found = sorted((move for move in found if move[0] > 0), key=lambda move: -move[0])[:most]
    return [_split(merged, k, free, x, part, cut) for _, merged, k, free, part, cut in found]


def equal_pair(params: Params) -> tuple[int, int] | None:
    """Two components with weight that are the same Gaussian, to within a thousandth of a standard deviation."""
    used: list[int] = np.flatnonzero(params.weights > 0).tolist()
    for n, i in enumerate(used):
        for j in used[n + 1 :]:
            whitener = np.linalg.inv(params.scale_trils[i])
            shift = whitener @ (params.means[j] - params.means[i])
            change = whitener @ params.scale_trils[j] - np.eye(len(shift))
            if np.abs(shift).max() < 1e-3 and np.abs(change).max() < 1e-3:
                return i, j
    return None


def _cut(x: np.ndarray, shares: np.ndarray) -> Cut | None:
    some = shares > 1e-6
    cut = best_cut(x[some], shares[some])
    if cut is None:
        return None
    below = np.zeros(len(x), bool)
    below[np.flatnonzero(some)[cut.below]] = True
    return Cut(cut.gain, below)


def _closest(params: Params) -> list[tuple[int, int]]:
    """Pairs of components, the most overlapping first, by Bhattacharyya's distance."""
    covariances = np.asarray(params.covariances)
    first, second = np.triu_indices(len(params.weights), 1)
    between = 0.5 * (covariances[first] + covariances[second])
    means = np.asarray(params.means)
    shift = means[first] - means[second]
    reach = np.einsum("nd,nd->n", shift, np.linalg.solve(between, shift[..., None])[..., 0]) / 8.0
    logs = np.linalg.slogdet(covariances)[1]
    distances = reach + 0.5 * (np.linalg.slogdet(between)[1] - 0.5 * (logs[first] + logs[second]))
    order = np.argsort(distances, kind="stable")[:MOST_MERGES]
    return [(int(first[i]), int(second[i])) for i in order]


def _merged(params: Params, kept: int, free: int) -> Params:
    """θ in which `kept` has the moments of both, and `free` has weight 0."""
    weights, means, trils = (np.array(part) for part in params)
    both = [kept, free]
    total = weights[both].sum()
    shares = weights[both] / total if total > 0 else np.full(2, 0.5)
    mean = shares @ means[both]
    shift = means[both] - mean
    covariance = np.einsum("i,ide->de", shares, params.covariances[both] + shift[:, :, None] * shift[:, None, :])
    weights[both], means[kept], trils[kept] = (total, 0.0), mean, np.linalg.cholesky(covariance)
    return Params(weights, means, trils)  # pyright: ignore[reportArgumentType]


def _split(params: Params, k: int, free: int, x: np.ndarray, shares: np.ndarray, cut: Cut) -> Params:
    """θ in which the two parts of component k are components `k` and `free`."""
    weights, means, trils = (np.array(part) for part in params)
    parts = np.stack([shares * cut.below, shares * ~cut.below])
    counts = parts.sum(axis=1)
    middles = parts @ x / counts[:, None]
    centred = x[None] - middles[:, None]
    scatters = np.einsum("pn,pnd,pne->pde", parts, centred, centred)
    stats = Stats(counts, middles, scatters, np.zeros(()))  # pyright: ignore[reportArgumentType]
    local = class_params(stats, shrink=True)
    both = [k, free]
    weights[both] = weights[k] * counts / counts.sum()
    means[both], trils[both] = local.means, local.scale_trils
    return Params(weights / weights.sum(), means, trils)  # pyright: ignore[reportArgumentType]


def _only(params: Params, k: int) -> Params:
    return Params(*(part[k : k + 1] for part in params))


def _with_merged(scores: np.ndarray, kept: int, free: int, merged: np.ndarray) -> np.ndarray:
    changed = scores.copy()
    changed[kept], changed[free] = merged, -np.inf
    return changed
