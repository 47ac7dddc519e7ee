"""Overlap: against closed forms, quadrature and simulation."""

from itertools import pairwise

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal, norm

from bayesgmm.errors import ArgumentError
from bayesgmm.model.overlap import mean_overlap, misclassification, overlap
from bayesgmm.model.types import Params


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_equal_covariances_in_closed_form(dim):
    rng = np.random.default_rng(dim)
    root = rng.normal(size=(dim, dim + 2))
    covariance = root @ root.T
    means = 1.5 * rng.normal(size=(2, dim)) @ np.linalg.cholesky(covariance).T
    params = Params.of([0.3, 0.7], means, np.stack([covariance] * 2))
    gap = means[0] - means[1]
    delta = np.sqrt(gap @ np.linalg.solve(covariance, gap))
    expected = [norm.cdf(-delta / 2 + np.log(0.7 / 0.3) / delta), norm.cdf(-delta / 2 + np.log(0.3 / 0.7) / delta)]
    found = overlap(params)
    np.testing.assert_allclose([found[0, 1], found[1, 0]], expected, rtol=1e-6 if dim < 3 else 2e-3)
    assert mean_overlap(params) == pytest.approx(sum(expected), rel=2e-3)


@pytest.mark.parametrize("second", [(0.5, 2.0), (0.0, 0.3), (3.0, 1.0), (0.0, 1.0), (40.0, 0.01)])
def test_one_feature_by_quadrature(second):
    """Other variances: the region is an interval or its complement, or empty."""
    mean, sd = second
    params = Params.of([0.6, 0.4], [[0.0], [mean]], [[[1.0]], [[sd**2]]])

    def wrong(x):
        return norm.pdf(x) * (0.6 * norm.pdf(x) < 0.4 * norm.pdf(x, mean, sd))

    grid = np.linspace(-9, 9, 200001)
    inside = 0.6 * norm.pdf(grid) < 0.4 * norm.pdf(grid, mean, sd)
    edges = grid[1:][inside[1:] != inside[:-1]]
    cuts = [-9.0, *edges, 9.0]
    expected = sum(quad(wrong, *ends)[0] for ends in pairwise(cuts))
    assert overlap(params)[0, 1] == pytest.approx(expected, abs=2e-4)


@pytest.mark.parametrize("dim", [2, 4])
def test_other_covariances_by_simulation(dim):
    rng = np.random.default_rng(3)
    roots = rng.normal(size=(3, dim, dim + 1))
    params = Params.of([0.2, 0.5, 0.3], 1.5 * rng.normal(size=(3, dim)), roots @ roots.swapaxes(1, 2))
    found = misclassification(params)
    for i in range(3):
        x = rng.multivariate_normal(params.means[i], params.covariances[i], 200_000)
        joint = [
            np.log(w) + multivariate_normal(m, c).logpdf(x)
            for w, m, c in zip(params.weights, params.means, params.covariances, strict=True)
        ]
        for j in range(3):
            share = (joint[i] < joint[j]).mean()
            assert found[i, j] == pytest.approx(share, abs=5 * np.sqrt(max(share, 1e-4) / len(x)))


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_equal_components_tie(dim):
    params = Params.of([0.5, 0.5], np.zeros((2, dim)), np.stack([3.7 * np.eye(dim) + 0.1] * 2))
    np.testing.assert_allclose(overlap(params), [[0, 0.5], [0.5, 0]], atol=1e-12)
    wide = Params.of([0.6, 0.4], np.zeros((2, dim)), np.stack([3.7 * np.eye(dim) + 0.1] * 2))
    assert overlap(wide)[0, 1] == 0  # the heavier one wins everywhere
    assert overlap(wide)[1, 0] == pytest.approx(1)


def test_bad_input():
    with pytest.raises(ArgumentError, match="params must be"):
        overlap(3)
    with pytest.raises(ArgumentError, match="weight 0"):
        overlap(Params.of([1.0, 0.0], [[0.0], [1.0]], [[[1.0]], [[1.0]]]))
    with pytest.raises(ArgumentError, match="one mixture"):
        overlap(Params(np.ones((2, 1)), np.zeros((2, 1, 1)), np.ones((2, 1, 1, 1))))
    far = Params.of([0.5, 0.5], [[-1e300, 0.0], [1e300, 0.0]], [np.eye(2)] * 2)
    with pytest.raises(ArgumentError, match="beyond double precision"):
        overlap(far)
    assert overlap(Params.of([1.0], [[0.0]], [[[1.0]]])).tolist() == [[0.0]]
