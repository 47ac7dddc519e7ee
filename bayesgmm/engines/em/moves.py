"""Moves away from an optimum: two components are merged, and a third is split (Ueda, Nakano, Ghahramani & Hinton 2000).

A plain ascent can end at a saddle: two components are equal and share a group of rows, while another component covers
two groups. No small step helps there, but one such move does.
"""

from typing import NamedTuple

import numpy as np

from bayesgmm.engines.cuts import Cut, best_cut
from bayesgmm.engines.host_scores import log_joint, log_sum
from bayesgmm.engines.starts import class_params
from bayesgmm.model.types import Params, Stats

MOST_MERGES = 24
"""Pairs of components whose merger is tried, the closest first."""
MOST_RESPLIT = 6
"""Of these, pairs that are also split again themselves."""
AT_RANDOM, PAIRS_AT_RANDOM = 2, 4
"""Of so many moves one is a division at random, of one of the closest pairs. Components that cross have no gap."""


class Move(NamedTuple):
    """A merger of the components `kept` and `free`, after which `split` is cut in two; `free` is the second part."""

    gain: float
    merged: Params
    split: int
    free: int
    shares: np.ndarray
    """Share of each row in the component that is cut, (N,)."""
    below: np.ndarray
    """Which rows are in the first part, (N,)."""


def moves(params: Params, x: np.ndarray, most: int, promising: bool = True) -> list[Params]:
    """θ after at most `most` moves, all in standardised coordinates, on the host.

    A move is promising if the gain of its cut (`bayesgmm.engines.cuts`; a lower bound for separated parts) exceeds the
    log-likelihood that the merger loses; the most promising ones come first. A merged pair may also be split itself, in
    another way. Both terms are for free covariances, and clusters that cross have no cut. So without ``promising`` the
    others follow, and divisions of the closest pairs by the nearer of two rows, drawn at random (the same each time).
    """
    num = len(params.weights)
    if num < 2 or len(x) < 2:
        return []
    scores = log_joint(params, x)
    totals = log_sum(scores)
    shares = np.exp(scores - totals)
    cuts = [_cut(x, one) for one in shares]
    found, pairs = [], _closest(params)
    for turn, pair in enumerate(pairs):
        merged = _merged(params, *pair)
        loss = (totals - log_sum(_with_merged(scores, *pair, log_joint(_only(merged, pair[0]), x)[0]))).sum()
        found += [
            Move(cut.gain - loss, merged, k, pair[1], shares[k], cut.below)
            for k, cut in enumerate(cuts)
            if cut is not None and k not in pair
        ]
        both = shares[list(pair)].sum(axis=0)
        again = _cut(x, both) if turn < MOST_RESPLIT else None
        if again is not None:
            found.append(Move(again.gain - loss, merged, pair[0], pair[1], both, again.below))
    found = sorted(found, key=lambda move: -move.gain)
    if promising:
        return _split([move for move in found if move.gain > 0][:most], x)
    by_chance = _at_random(params, x, shares, pairs[:PAIRS_AT_RANDOM], most // AT_RANDOM)
    return _split([*found[: most - len(by_chance)], *by_chance], x)


def _at_random(params: Params, x: np.ndarray, shares: np.ndarray, pairs: list[tuple[int, int]], count: int):
    """Divisions of pairs of components, in turn, by the nearer of two of their rows, in the metric of the merger."""
    made, draws = [], np.random.default_rng(0)
    for turn in range(count):
        kept, free = pairs[turn % len(pairs)]
        both = shares[kept] + shares[free]
        if np.count_nonzero(both > 1e-6) < 2:
            continue
        first, second = draws.choice(len(x), 2, replace=False, p=both / both.sum())
        merged = _merged(params, kept, free)
        y = np.linalg.solve(merged.scale_trils[kept], x.T)
        below = ((y - y[:, [first]]) ** 2).sum(axis=0) < ((y - y[:, [second]]) ** 2).sum(axis=0)
        if min(both[below].sum(), both[~below].sum()) >= 1.0:
            made.append(Move(0.0, merged, kept, free, both, below))
    return made


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


def _split(made: list[Move], x: np.ndarray) -> list[Params]:
    """θ after each of these moves."""
    if not made:
        return []
    shares, below = (np.stack([getattr(move, name) for move in made]) for name in ("shares", "below"))
    parts = np.stack([shares * below, shares * ~below], axis=1)
    counts = parts.sum(axis=2)
    middles = parts @ x / counts[..., None]
    centred = x - middles[:, :, None]
    scatters = np.swapaxes(parts[..., None] * centred, 2, 3) @ centred
    thetas = []
    for move, *stats in zip(made, counts, middles, scatters, strict=True):
        local = class_params(Stats(*stats, np.zeros(())), shrink=True)  # pyright: ignore
        weights, means, trils = (np.array(part) for part in move.merged)
        both = [move.split, move.free]
        weights[both] = weights[move.split] * stats[0] / stats[0].sum()
        means[both], trils[both] = local.means, local.scale_trils
        thetas.append(Params(weights / weights.sum(), means, trils))  # pyright: ignore[reportArgumentType]
    return thetas


def _only(params: Params, k: int) -> Params:
    return Params(*(part[k : k + 1] for part in params))


def _with_merged(scores: np.ndarray, kept: int, free: int, merged: np.ndarray) -> np.ndarray:
    changed = scores.copy()
    changed[kept], changed[free] = merged, -np.inf
    return changed
