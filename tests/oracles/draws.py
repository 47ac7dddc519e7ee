"""Draws of a known mixture, with permuted labels."""

import numpy as np

from bayesgmm.numerics.assignment import renumber

K, DIM, ROWS = 3, 2, 40


def made(rng, apart, k=K, dim=DIM, rows=ROWS, chains=2, draws=50):
    """Draws around K centres `apart` standard deviations from each other, with randomly permuted labels; and data."""
    centres = apart * np.arange(k)[:, None] * np.ones(dim)
    x = centres[np.arange(rows) % k] + rng.normal(size=(rows, dim))
    weights = rng.dirichlet(np.full(k, 20.0), (chains, draws))
    means = centres + 0.3 * rng.normal(size=(chains, draws, k, dim))
    sds = np.exp(0.1 * rng.normal(size=(chains, draws, k, dim)))
    order = rng.permuted(np.broadcast_to(np.arange(k), (chains, draws, k)), axis=-1)
    variables = {"weights": weights, "means": means, "covariances": sds[..., None] ** 2 * np.eye(dim)}
    return {name: renumber(v, order, 2) for name, v in variables.items()}, x
