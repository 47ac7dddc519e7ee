"""Parameters and a prior for the tests, random or fixed."""

import numpy as np
from scipy.stats import invwishart

import bayesgmm as bg

K, D = 2, 3
SCALE = np.array([[2.0, 0.3, 0.1], [0.3, 1.0, 0.2], [0.1, 0.2, 0.7]])
HYPER = {"concentration": 1.7, "loc": np.array([1.0, 0.0, -1.0]), "strength": 0.4, "df": 6.5, "scale": SCALE}
PRIOR = bg.Prior(
    bg.Dirichlet(1.7), bg.NormalInverseWishart(HYPER["loc"], HYPER["strength"], HYPER["df"], HYPER["scale"])
)


def random_params(seed, k=K, d=D):
    rng = np.random.default_rng(seed)
    covariances = np.atleast_3d(invwishart.rvs(d + 3, np.eye(d), size=k, random_state=rng)).reshape(k, d, d)
    return bg.Params.of(rng.dirichlet(np.ones(k) * 3), rng.normal(size=(k, d)), covariances)


def prior_of(concentration, loc, strength, df, scale):
    return bg.Prior(bg.Dirichlet(concentration), bg.NormalInverseWishart(loc, strength, df, scale))
