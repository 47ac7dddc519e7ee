"""Exact posterior of a mixture with weights by breaking sticks on a few rows, by enumeration of all z."""

from itertools import product

import numpy as np
from scipy.special import betaln, logsumexp

from oracles.mixtures_of_mixtures import Exact


class Sticks:
    """Sums over z in 1 … K for each row. ``own``: loc, strength, df and scale, as in `Exact`."""

    def __init__(self, x, alpha, first, own, pooled=False):
        marginal = object.__new__(Exact)
        marginal.x, marginal.prior, marginal.pooled = np.append(x, np.nan), own, pooled
        alpha, first = np.asarray(alpha, float), np.asarray(first, float)
        num, logs, labels = len(alpha) + 1, [], []
        for z in product(range(num), repeat=len(x)):
            counts = np.bincount(z, minlength=num)
            after = counts.sum() - np.cumsum(counts)
            log_z = (betaln(first + counts[:-1], alpha + after[:-1]) - betaln(first, alpha)).sum()
            blocks = [np.flatnonzero(np.equal(z, k)) for k in range(num) if counts[k]]
            logs.append(log_z + marginal.log_marginal(blocks))
            labels.append(z)
        self.log_evidence = logsumexp(logs)
        self.weights, self.z, self.num = np.exp(np.array(logs) - self.log_evidence), np.array(labels), num
        counts = (self.z[:, :, None] == np.arange(num)).sum(axis=1)
        after = len(x) - np.cumsum(counts, axis=1)
        stick = (first + counts[:, :-1]) / (first + alpha + counts[:, :-1] + after[:, :-1])
        self.clusters = self.weights @ ((counts > 0).sum(axis=1)[:, None] == np.arange(num + 1))
        left = np.cumprod(np.pad(1.0 - stick, ((0, 0), (1, 0)), constant_values=1.0), axis=1)
        self.mean_weights = self.weights @ (np.pad(stick, ((0, 0), (0, 1)), constant_values=1.0) * left)

    def together(self, i, j):
        return float(self.weights @ (self.z[:, i] == self.z[:, j]))

    def in_component(self, i, k):
        return float(self.weights @ (self.z[:, i] == k))
