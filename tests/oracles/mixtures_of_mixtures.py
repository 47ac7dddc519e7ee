"""Exact posteriors of a mixture of finite mixtures on a few rows of one feature, by enumeration of all z."""

from itertools import product

import numpy as np
from scipy.special import gammaln


class Exact:
    """Sums over K = 1 … most, over z in 1 … K for each row, and over values of the concentration.

    ``masses``: prior of K. ``gammas``: weight and γ_K, as a function of K, for each node of the concentration.
    ``prior``: loc, strength, df and scale of the normal-inverse-chi-squared prior, in one dimension.
    """

    def __init__(self, x, masses, nodes, prior, pooled=False, points=(0.0,)):
        self.x, self.prior, self.pooled = np.asarray(x), prior, pooled
        rows = len(x)
        logs, numbers, clusters, together, densities, values = [], [], [], [], [], []
        marginals = {}
        for num, mass in enumerate(masses, 1):
            for z in product(range(num), repeat=rows) if mass > 0 else ():
                blocks = [np.flatnonzero(np.equal(z, k)) for k in range(num)]
                key = tuple(sorted(map(tuple, blocks)))
                filled = sorted((block for block in blocks if len(block)), key=min)
                if key not in marginals:
                    own = self.log_marginal(filled)
                    at = [
                        [np.exp(self.log_marginal(self._with(filled, j), point) - own) for j in range(len(filled) + 1)]
                        for point in points
                    ]
                    marginals[key] = own, np.array(at)
                log_marginal, at = marginals[key]
                sizes = np.array([len(block) for block in filled])
                for weight, value, gamma_of in nodes:
                    gamma = gamma_of(num)
                    log_z = gammaln(gamma * num) - gammaln(gamma * num + rows)
                    log_z += (gammaln(sizes + gamma) - gammaln(gamma)).sum()
                    logs.append(np.log(mass) + np.log(weight) + log_z + log_marginal)
                    shares = np.append(sizes + gamma, (num - len(filled)) * gamma) / (rows + gamma * num)
                    densities.append(at @ shares)
                    numbers.append(num)
                    clusters.append(len(filled))
                    together.append(z[0] == z[1])
                    values.append(value)
        weights = np.exp(np.array(logs) - np.max(logs))
        self.weights = weights / weights.sum()
        self.numbers, self.clusters = np.array(numbers), np.array(clusters)
        self.together = float(self.weights @ np.array(together))
        self.density = self.weights @ np.array(densities)
        self.log_value = float(self.weights @ np.log(values))

    def _with(self, filled, j):
        """The blocks with a new row, -1, in block j."""
        blocks = [*filled, np.array([], int)]
        blocks[j] = np.append(blocks[j], -1)
        return [block for block in blocks if len(block)]

    def log_marginal(self, blocks, point=0.0):
        loc, strength, df, scale = self.prior
        x = np.append(self.x, point)
        total, rows, scatter = 0.0, 0, 0.0
        for block in blocks:
            values, num = x[block], len(block)
            own = ((values - values.mean()) ** 2).sum()
            own += strength * num / (strength + num) * (values.mean() - loc) ** 2
            total += 0.5 * np.log(strength / (strength + num)) - 0.5 * num * np.log(np.pi)
            rows, scatter = rows + num, scatter + own
            if not self.pooled:
                total += self._of_variance(df, scale, num, own)
        return total + (self._of_variance(df, scale, rows, scatter) if self.pooled else 0.0)

    @staticmethod
    def _of_variance(df, scale, num, scatter):
        found = gammaln(0.5 * (df + num)) - gammaln(0.5 * df)
        return found + 0.5 * df * np.log(scale) - 0.5 * (df + num) * np.log(scale + scatter)

    def of_components(self, k):
        return float(self.weights @ (self.numbers == k))

    def of_clusters(self, k):
        return float(self.weights @ (self.clusters == k))
