"""Quantiles, turning points and densest sets of univariate mixtures, against SciPy's distributions on fine grids."""

import numpy as np
import pytest
from scipy.optimize import brentq
from scipy.stats import norm

from bayesgmm.numerics.roots import bracketed_roots
from bayesgmm.numerics.univariate import Univariate, densest_set, quantiles, turning_points

CASES = {
    "one": ([1.0], [3.0], [2.0]),
    "two modes": ([0.35, 0.65], [54.0, 80.0], [5.8, 6.0]),
    "a spike in a slope": ([0.3, 0.5, 0.2], [0.0, 5.0, 5.5], [1.0, 0.01, 2.0]),
    "far apart": ([0.5, 0.49, 0.01], [-1e4, 0.0, 1e6], [1.0, 2.0, 1e-3]),
    "one mode of three": ([0.2, 0.5, 0.3], [0.0, 0.5, 1.0], [1.0, 1.5, 1.0]),
    "symmetric": ([0.25, 0.5, 0.25], [-4.0, 0.0, 4.0], [1.0, 1.0, 1.0]),
    "far from zero": ([0.5, 0.5], [1e9, 1e9 + 8.0], [1.0, 2.0]),
}


@pytest.fixture(params=CASES, scope="module")
def case(request):
    return [np.array(part) for part in CASES[request.param]]


def mixture_of(case) -> Univariate:
    weights, means, sds = case
    return Univariate(weights[None], means[None], sds)


def pdf(case, y):
    weights, means, sds = case
    return (weights * norm.pdf(np.asarray(y)[..., None], means, sds)).sum(axis=-1)


def cdf(case, y):
    weights, means, sds = case
    return (weights * norm.cdf(np.asarray(y)[..., None], means, sds)).sum(axis=-1)


def sf(case, y):
    weights, means, sds = case
    return (weights * norm.sf(np.asarray(y)[..., None], means, sds)).sum(axis=-1)


def grid_of(case) -> np.ndarray:
    """Places near every component, to a hundredth of its sd."""
    _, means, sds = case
    return np.unique(
        np.concatenate([mean + sd * np.linspace(-9, 9, 1801) for mean, sd in zip(means, sds, strict=True)])
    )


def test_quantiles_have_their_probability_in_both_tails(case):
    p = np.array([1e-250, 1e-12, 0.01, 0.3, 0.5, 0.7, 0.99, 1 - 1e-12])
    found = quantiles(mixture_of(case), p)[0]
    assert (np.diff(found) > 0).all()
    noise = np.spacing(np.abs(found)) * pdf(case, found)  # the next double has another probability
    np.testing.assert_array_less(np.abs(cdf(case, found) - p)[:5], 1e-12 * p[:5] + 2 * noise[:5] + 1e-300)
    np.testing.assert_array_less(np.abs(sf(case, found) - (1 - p))[5:], 1e-12 * (1 - p)[5:] + 2 * noise[5:])


def test_quantiles_of_many_mixtures_are_those_of_each(rng):
    weights, means, sds = rng.dirichlet(np.ones(4), size=30), 5 * rng.normal(size=(30, 4)), np.exp(rng.normal(size=4))
    found = quantiles(Univariate(weights, means, sds), np.array([0.05, 0.8]))
    for row, one in zip(found, zip(weights, means, strict=True), strict=True):
        expected = [brentq(lambda y, p=p, one=one: cdf((*one, sds), y) - p, -60, 60, xtol=1e-13) for p in (0.05, 0.8)]
        np.testing.assert_allclose(row, expected, atol=1e-11)


def test_one_component_is_normal():
    found = quantiles(mixture_of([np.array(part) for part in CASES["one"]]), np.array([0.025, 0.975]))
    np.testing.assert_allclose(found[0], norm.ppf([0.025, 0.975], 3.0, 2.0), rtol=1e-15)


def test_a_component_without_weight_says_nothing():
    with_it = Univariate(np.array([[0.5, 0.5, 0.0]]), np.array([[0.0, 4.0, 1e9]]), np.ones(3))
    without = Univariate(np.array([[0.5, 0.5]]), np.array([[0.0, 4.0]]), np.ones(2))
    p = np.array([0.1, 0.9999])
    np.testing.assert_allclose(quantiles(with_it, p), quantiles(without, p), rtol=1e-14)


def test_turning_points_are_those_of_a_fine_grid(case):
    found = turning_points(mixture_of(case))
    assert len(found) % 2 == 1
    grid = grid_of(case)
    grid = grid[(grid > case[1].min() - case[2].max()) & (grid < case[1].max() + case[2].max())]
    logs = mixture_of(case).log_density(grid, np.zeros(len(grid), int))[0]
    rises = np.diff(logs)
    signs = np.sign(rises[np.abs(rises) > 1e-12])  # places of two components may lie side by side
    modes = int(((signs[:-1] > 0) & (signs[1:] < 0)).sum())
    assert (len(found) + 1) // 2 == modes
    heights = pdf(case, found)
    assert (heights[::2] >= pdf(case, found[::2] + 1e-4 * case[2].min())).all()
    assert (heights[::2] >= pdf(case, found[::2] - 1e-4 * case[2].min())).all()


@pytest.mark.parametrize("level", [0.01, 0.5, 0.9, 0.9999, 1 - 1e-12])
def test_densest_sets_have_their_probability_and_equal_heights(case, level):
    intervals, height = densest_set(mixture_of(case), level)
    ends = intervals.ravel()
    assert (np.diff(ends) > 0).all()
    noise = 4 * (np.spacing(np.abs(ends)) * pdf(case, ends)).sum()
    inside = cdf(case, intervals)
    assert (inside[:, 1] - inside[:, 0]).sum() == pytest.approx(level, abs=1e-12 + noise)
    outside = cdf(case, ends[0]) + sf(case, ends[-1]) + (inside[1:, 0] - inside[:-1, 1]).sum()
    assert outside == pytest.approx(1 - level, rel=1e-6, abs=1e-14 + noise)
    relative = np.spacing(np.abs(ends)) * np.abs(mixture_of(case).log_density(ends, np.zeros(len(ends), int))[1])
    np.testing.assert_array_less(np.abs(np.log(pdf(case, ends)) - height), 1e-9 + 4 * relative)
    # On a fine grid all places inside are at least as dense as all outside.
    grid = grid_of(case)
    held = ((intervals[:, :1] < grid) & (grid < intervals[:, 1:])).any(axis=0)
    with np.errstate(divide="ignore"):
        logs = np.log(pdf(case, grid))
    slack = 1e-9 + 4 * relative.max()
    assert logs[held].min() >= height - slack
    assert logs[~held].max() <= height + slack


def test_a_densest_set_is_shorter_than_the_interval_of_equal_tails():
    """Negative control: the two differ for a mixture that is not symmetric."""
    case = [np.array(part) for part in CASES["two modes"]]
    intervals, _ = densest_set(mixture_of(case), 0.9)
    low, high = quantiles(mixture_of(case), np.array([0.05, 0.95]))[0]
    assert len(intervals) == 2
    assert np.diff(intervals).sum() < 0.95 * (high - low)


def test_thousands_of_components_with_one_mode_each_are_found():
    """Narrow components at random places: each is a mode where its neighbours are far."""
    rng = np.random.default_rng(3)
    means = np.arange(300) * 1.0
    sds = np.exp(rng.normal(size=300) - 5)
    found = turning_points(Univariate(np.full((1, 300), 1 / 300), means[None], sds))
    np.testing.assert_allclose(found[::2], means, atol=1e-6)


def test_roots_in_brackets_of_any_kind():
    """A root at an end, a flat function, a jump, an infinite value."""

    def function(y, which):
        values = np.stack([y, (y - 1) ** 3, np.where(y < 2, -1.0, 1.0), np.log(np.maximum(y, 0.0))])
        slopes = np.stack([np.ones_like(y), 3 * (y - 1) ** 2, 0 * y, 1 / np.maximum(y, 1e-300)])
        return values[which, np.arange(len(y))], slopes[which, np.arange(len(y))]

    with np.errstate(divide="ignore"):
        found = bracketed_roots(function, np.array([0.0, -5.0, 0.0, -1.0]), np.array([7.0, 9.0, 5.0, 50.0]))
    np.testing.assert_allclose(found, [0.0, 1.0, 2.0, 1.0], atol=3e-5)
    assert found[2] == 2.0
