"""Mixtures of two components in two features, written out in long double, in the coordinates of a covariance family."""

import numpy as np

K, D = 2, 2
LONG = np.longdouble


def clusters():
    """Two elliptic clusters of other sizes and directions, well apart."""
    rng = np.random.default_rng(5)
    one = rng.normal(size=(120, 2)) @ [[1.5, 0.4], [0.0, 0.6]]
    two = rng.normal(size=(80, 2)) @ [[0.5, -0.3], [0.0, 1.2]] + [4.0, 3.0]
    return np.concatenate([one, two])


def log_likelihood(eta, x):
    """Σ log p(x | θ) in long double, from (π_0, means, (Σ_11, Σ_12, Σ_22) of each component): no linear algebra."""
    eta = np.asarray(eta, LONG)
    weight, means, spreads = eta[0], eta[1:5].reshape(K, D), eta[5:].reshape(K, 3)
    total = np.zeros(len(x), LONG)
    for share, mean, (a, b, c) in zip((weight, 1 - weight), means, spreads, strict=True):
        u, v = (x - mean).T
        det = a * c - b * b
        total += share / (2 * LONG(np.pi) * np.sqrt(det)) * np.exp(-(c * u * u - 2 * b * u * v + a * v * v) / (2 * det))
    return np.log(total).sum()


def parts(family, u, at):
    """Covariances (a, b, c) from the family's own coordinates, written out for two features in long double.

    A component is (log volume, log of the ratio of axes, angle).
    """
    volume, ratio, angle = at
    times = {"E": 1, "V": K, "I": 0}
    n = [times[letter] for letter in family]
    steps = [u[: n[0]], u[n[0] : n[0] + n[1]], u[n[0] + n[1] :]]
    out = []
    for k in range(K):
        move = [s[min(k, len(s) - 1)] if len(s) else LONG(0) for s in steps]
        size, r, turn = np.exp(volume[k] + move[0]), np.exp(ratio[k] + move[1]), angle[k] + move[2]
        if family[2] == "I":
            turn = LONG(0)
        first, second = size * r, size / r
        cos, sin = np.cos(turn), np.sin(turn)
        a, c = first * cos**2 + second * sin**2, first * sin**2 + second * cos**2
        out += [a, (first - second) * cos * sin, c]
    return np.array(out)


def eta_of(psi, family, fit, at):
    means = np.asarray(fit.params.means, LONG).ravel() + psi[1:5]
    logit = np.log(LONG(fit.params.weights[0]) / LONG(fit.params.weights[1])) + psi[0]
    return np.concatenate([[1 / (1 + np.exp(-logit))], means, parts(family, psi[5:], at)])


def parts_of(fit, family):
    """(Log volume, log of the ratio of axes, angle) of each component of a fit."""
    values, axes = np.linalg.eigh(fit.params.covariances)
    if family.orientation == "I":
        values, axes = np.diagonal(fit.params.covariances, axis1=1, axis2=2), np.broadcast_to(np.eye(2), (2, 2, 2))
    values = np.asarray(values, LONG)
    return (
        0.5 * np.log(values.prod(axis=1)),
        0.5 * np.log(values[:, 0] / values[:, 1]),
        np.arctan2(axes[:, 1, 0], axes[:, 0, 0]),
    )
