"""Small data sets and priors; enumeration of all labelings gives the exact posterior."""

import numpy as np

import bayesgmm as bg

TINY = np.array([[-1.6], [-1.1], [0.2], [0.9], [1.3], [2.2]])
TINY_PRIOR = {"concentration": 1.5, "loc": np.array([0.3]), "strength": 0.5, "df": 4.0, "scale": np.array([[1.2]])}

RECTANGLE_HYPER = {"concentration": 1.0, "loc": np.zeros(2), "strength": 0.1, "df": 5.0, "scale": 0.3 * np.eye(2)}
RECTANGLE_PRIOR = bg.Prior(
    bg.Dirichlet(1.0),
    bg.NormalInverseWishart(*(RECTANGLE_HYPER[name] for name in ("loc", "strength", "df", "scale"))),
)


def rectangle():
    """Three rows at each corner of a rectangle: two clusters, side by side or one above the other."""
    corners = np.array([[1.0 * i, 0.9 * j] for i in (-1, 1) for j in (-1, 1)])
    return np.repeat(corners, 3, axis=0) + 0.05 * np.random.default_rng(0).normal(size=(12, 2))
