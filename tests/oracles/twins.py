"""Slow NumPy reference implementations, written from textbooks; they share no code with the package."""

import itertools

import numpy as np
from scipy.special import gammaln, logsumexp, multigammaln
from scipy.stats import dirichlet, invwishart, multivariate_normal


def log_joint(weights, means, covariances, x):
    columns = [
        np.log(w) + multivariate_normal(m, s).logpdf(x) for w, m, s in zip(weights, means, covariances, strict=True)
    ]
    return np.stack([np.atleast_1d(c) for c in columns], axis=1)


def em_step(weights, means, covariances, x):
    scores = log_joint(weights, means, covariances, x)
    r = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    n = r.sum(axis=0)
    new_means = (r.T @ x) / n[:, None]
    new_covariances = []
    for k in range(len(n)):
        d = x - new_means[k]
        new_covariances.append((r[:, k, None] * d).T @ d / n[k])
    return n / len(x), new_means, np.array(new_covariances)


def log_prior(params, concentration, loc, strength, df, scale):
    total = dirichlet.logpdf(params.weights / params.weights.sum(), concentration)
    for mean, covariance in zip(params.means, params.covariances, strict=True):
        total += invwishart.logpdf(covariance, df, scale) + multivariate_normal(loc, covariance / strength).logpdf(mean)
    return total


def log_evidence_niw(x, loc, strength, df, scale):
    """log p(x) of one component under normal-inverse-Wishart (Murphy 2012, eq. 4.224 solved for the evidence)."""
    n, d = x.shape
    if n == 0:
        return 0.0
    mean = x.mean(axis=0)
    scatter = (x - mean).T @ (x - mean)
    post = scale + scatter + strength * n / (strength + n) * np.outer(mean - loc, mean - loc)
    return (
        -0.5 * n * d * np.log(np.pi)
        + 0.5 * d * (np.log(strength) - np.log(strength + n))
        + multigammaln(0.5 * (df + n), d) - multigammaln(0.5 * df, d)
        + 0.5 * df * np.linalg.slogdet(scale)[1] - 0.5 * (df + n) * np.linalg.slogdet(post)[1]
    )  # fmt: skip


def enumerate_labelings(x, num_components, concentration, loc, strength, df, scale, family="VVV"):
    """All K^N labelings with their posterior probabilities, θ integrated out."""
    labelings = np.array(list(itertools.product(range(num_components), repeat=len(x))))
    alpha = np.full(num_components, concentration)
    logs = []
    for z in labelings:
        counts = np.bincount(z, minlength=num_components)
        log_z = gammaln(alpha.sum()) - gammaln(alpha.sum() + len(x)) + (gammaln(alpha + counts) - gammaln(alpha)).sum()
        if family == "VVV":
            given_z = sum(log_evidence_niw(x[z == k], loc, strength, df, scale) for k in range(num_components))
        else:
            given_z = log_evidence_family(x, z, num_components, family, loc, strength, df, scale)
        logs.append(log_z + given_z)
    logs = np.array(logs)
    return labelings, np.exp(logs - logsumexp(logs)), logsumexp(logs)


def log_evidence_family(x, z, num_components, family, loc, strength, df, scale):
    """log p(x | z) of a conjugate family, with means and covariances integrated out.

    It integrates each Σ once, over all rows that share it.
    Free: IW(df, scale). Diagonal: IG(df/2, scale_jj/2). Spherical: IG(df/2, s/2), s the mean of the diagonal of scale.
    """
    dim = x.shape[1]
    total = 0.0
    groups = [list(range(num_components))] if family[0] == "E" else [[k] for k in range(num_components)]
    for group in groups:
        spread, rows = np.zeros((dim, dim)), 0
        for k in group:
            own = x[z == k]
            n = len(own)
            if n == 0:
                continue
            rows += n
            mean = own.mean(axis=0)
            spread += (own - mean).T @ (own - mean) + strength * n / (strength + n) * np.outer(mean - loc, mean - loc)
            total += 0.5 * dim * np.log(strength / (strength + n))
        total -= 0.5 * rows * dim * np.log(2 * np.pi)
        if family[2] != "I":
            total += multigammaln(0.5 * (df + rows), dim) - multigammaln(0.5 * df, dim)
            total += (
                0.5 * df * np.linalg.slogdet(scale / 2)[1]
                - 0.5 * (df + rows) * np.linalg.slogdet((scale + spread) / 2)[1]
            )
            continue
        if family[1] == "I":
            starts, gains, freedom = [np.diag(scale).mean() / 2], [np.trace(spread) / 2], rows * dim
        else:
            starts, gains, freedom = np.diag(scale) / 2, np.diag(spread) / 2, rows
        for b, gain in zip(starts, gains, strict=True):
            a, more = 0.5 * df, 0.5 * freedom
            total += gammaln(a + more) - gammaln(a) + a * np.log(b) - (a + more) * np.log(b + gain)
    return total


def label_stats(x, labels, num_components):
    """Counts, means and scatters of a labelling, row by row."""
    from bayesgmm.model.types import Stats

    dim = x.shape[1]
    counts, means, scatters = (
        np.zeros(num_components),
        np.zeros((num_components, dim)),
        np.zeros((num_components, dim, dim)),
    )
    for k in range(num_components):
        rows = [row for row, label in zip(x, labels, strict=True) if label == k]
        counts[k] = len(rows)
        if rows:
            means[k] = sum(rows) / len(rows)
            scatters[k] = sum(np.outer(row - means[k], row - means[k]) for row in rows)
    return Stats(counts, means, scatters, np.zeros(()))
