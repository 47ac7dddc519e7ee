"""Which rows are noise at first, and starts with a noise component after the Gaussians."""

import numpy as np
from jaxtyping import Float
from scipy.special import gammaln

from bayesgmm.data.noise import Noise
from bayesgmm.engines.host_scores import log_joint, log_sum
from bayesgmm.model.types import Params
from bayesgmm.problem import Problem

NEIGHBOURS = 12
"""Neighbours by which a row is near others or not."""
MOST_NOISE = 0.75
"""Largest share of the rows that are noise at first."""
ITERATIONS = 50


def first_guess(noise: Noise, x: np.ndarray, num_gaussians: int) -> np.ndarray:
    """Which of the rows x (N, D) are noise at first, (N,): as the user says, or the rows without near neighbours.

    The distance d to the k-th neighbour of a row in a uniform field of points has ``d^D ~ Gamma(k, rate)``. Two such
    rates, of noise and of clusters, are fitted by EM (Byers & Raftery 1998). Distances are in units of the median
    absolute deviation. At most `MOST_NOISE` of the rows are noise, the farthest ones.
    """
    if noise.guess is not None:
        return noise.guess
    num = min(NEIGHBOURS, len(x) - 1)
    if num < 1:
        return np.zeros(len(x), bool)
    logs = x.shape[1] * _log_distances(x, num)
    shares = _noise_shares(logs, num)
    least = max(int(np.ceil((1.0 - MOST_NOISE) * len(x))), min(len(x), num_gaussians * (x.shape[1] + 1)))
    order = np.argsort(-logs, kind="stable")
    guess = np.zeros(len(x), bool)
    guess[order[: len(x) - least]] = True
    return guess & (shares > 0.5)


def _log_distances(x: np.ndarray, num: int) -> np.ndarray:
    """Log distance of each row to its neighbour of this number; that of equal rows is finite."""
    from scipy.spatial import KDTree

    middle = np.median(x, axis=0)
    spread = np.median(np.abs(x - middle), axis=0)
    scaled = (x - middle) / np.where(spread > 0, spread, np.maximum(x.std(axis=0), np.finfo(float).tiny))
    far = KDTree(scaled).query(scaled, k=num + 1)[0][:, -1]
    positive = far[far > 0]
    return np.log(np.maximum(far, positive.min() if len(positive) else 1.0))


def _noise_shares(logs: np.ndarray, num: int) -> np.ndarray:
    """Probability of each row to be noise, from the logs of ``d^D``: EM of two gamma distributions of this shape."""
    split = logs > np.quantile(logs, 0.9)
    shares = np.where(split, 0.9, 0.1)
    for _ in range(ITERATIONS):
        parts = [
            np.log(max(part.mean(), 1e-12)) + _log_gamma(logs, num, part) for part in (shares, 1.0 - shares)
        ]  # fmt: skip
        shares = np.exp(parts[0] - np.logaddexp(*parts))
    return shares


def _log_gamma(logs: np.ndarray, num: int, part: np.ndarray) -> np.ndarray:
    """Log density of ``d^D`` under the rate that fits this part of the rows best."""
    with np.errstate(divide="ignore"):
        log_total = log_sum((logs + np.log(part))[:, None])[0]
    log_rate = np.log(num * max(part.sum(), 1e-12)) - log_total
    return num * log_rate + (num - 1) * logs - np.exp(np.minimum(log_rate + logs, 700.0)) - gammaln(num)


def with_noise(gaussians: Params, problem: Problem, share: float | np.ndarray) -> Params:
    """Standardised θ of the Gaussians (any leading axes) with the noise after them, of this weight."""
    components = problem.standard_prior.components
    lead = np.shape(gaussians.weights)[:-1]
    share = np.broadcast_to(np.asarray(share, float), lead)[..., None]

    def last(values: np.ndarray, of_noise: np.ndarray, axes: int) -> np.ndarray:
        one = np.broadcast_to(of_noise, (*lead, 1, *np.shape(of_noise)))
        return np.concatenate([values, one.astype(values.dtype)], axis=-axes)

    weights, means, trils = (np.asarray(part) for part in gaussians)
    total = weights.sum(axis=-1, keepdims=True)
    weights = np.concatenate([weights / total * (1.0 - share), share], axis=-1).astype(weights.dtype)
    mean, tril = np.asarray(components.mean), np.asarray(components.tril)
    return Params(weights, last(means, mean, 2), last(trils, tril, 3))  # pyright: ignore[reportArgumentType]


def noise_shares(params: Params, problem: Problem, x: np.ndarray) -> Float[np.ndarray, "N"]:
    """Probability of each standardised row to be noise under θ (standardised, on the host)."""
    noise = problem.table.noise
    assert noise is not None
    volume = noise.log_volume - float(problem.frame.log_volume)
    scores = log_joint(Params(*(part[:-1] for part in params)), x) - 0.5 * x.shape[1] * np.log(2.0 * np.pi)
    own = np.full(len(x), np.log(max(float(params.weights[-1]), np.finfo(float).tiny)) - volume)
    return np.exp(own - log_sum(np.concatenate([scores, own[None]])))
