"""Groups at several scales, saddles with equal components, and moves away from them."""

import warnings

import numpy as np
import pytest
from oracles.effort import WHOLE
from scipy.special import logsumexp
from scipy.stats import norm

import bayesgmm as bg
from bayesgmm.engines.cuts import best_cut, cut_in_order
from bayesgmm.engines.em.moves import equal_pair, moves
from bayesgmm.errors import LocalOptimumWarning
from bayesgmm.model.types import Params

APART = 30 * 86_400.0
"""A month in seconds: the groups lie 10 and 15 minutes apart, twice, a month apart."""


def bursts(rng, spread=30.0, apart=APART):
    centres = np.array([0.0, 20 * spread, apart, apart + 30 * spread])
    return np.concatenate([rng.normal(centre, spread, 80) for centre in centres]), np.repeat(range(4), 80)


def textbook(x, labels):
    """Log-likelihood after 300 textbook EM steps from a labelling, independent of bayesgmm."""
    parts = [x[labels == k] for k in range(4)]
    w, m, s = np.full(4, 0.25), np.array([p.mean() for p in parts]), np.array([p.std() for p in parts])
    for _ in range(300):
        joint = np.log(w) + norm.logpdf(x[:, None], m, s)
        q = np.exp(joint - logsumexp(joint, 1, keepdims=True))
        n = q.sum(0)
        w, m = n / len(x), q.T @ x / n
        s = np.sqrt((q * (x[:, None] - m) ** 2).sum(0) / n)
    return logsumexp(np.log(w) + norm.logpdf(x[:, None], m, s), 1).sum()


@pytest.mark.parametrize("spread", [0.03, 30.0, 3000.0])
@pytest.mark.parametrize("shift", [0.0, 1.7e9])
def test_tight_groups_far_apart_are_found(rng, spread, shift):
    x, labels = bursts(rng, spread)
    best = textbook(x, labels)
    assert bg.fit_em(x + shift, 4).log_likelihood == pytest.approx(best, abs=1e-3)


@pytest.mark.parametrize(
    "start",
    [
        {"labels_init": np.repeat(range(4), 80)},
        {"labels_init": np.arange(320) % 4},
        {"means_init": [[0.0], [600.0], [APART], [APART + 900.0]]},
        {"means_init": np.full((4, 1), 5.0)},
    ],
    ids=["truth", "arbitrary", "means", "equal"],
)
def test_equal_components_are_not_an_optimum(rng, start):
    """With these starts plain EM ends with equal components, hundreds of nats too low."""
    x, labels = bursts(rng)
    fit = bg.fit_em(x, 4, **start)
    assert fit.log_likelihood == pytest.approx(textbook(x, labels), abs=1e-3)
    assert equal_pair(fit.params) is None


def test_labels_give_the_moments_of_their_classes(rng):
    from bayesgmm.engines.starts import label_start
    from bayesgmm.problem import prepare
    from bayesgmm.runtime.dtypes import scope

    x = rng.normal(size=(60, 2)) * [1.0, 1e-6] + (np.arange(60) % 2)[:, None] * [3.0, 1e3]
    labels = np.arange(60) % 2
    with scope("float64"):
        problem = prepare(x, 2, None)
        start = problem.frame.restore(Params(*(part[0] for part in label_start(labels, problem))))
    for k in (0, 1):
        np.testing.assert_allclose(start.means[k], x[labels == k].mean(axis=0), rtol=1e-9)
        np.testing.assert_allclose(start.covariances[k], np.cov(x[labels == k].T, bias=True), rtol=1e-5, atol=1e-18)


def test_a_given_start_at_a_low_optimum_is_told(rng):
    x = np.concatenate([rng.normal(m, 0.5, 60) for m in (0.0, 6.0, 12.0)])[:, None]
    best = bg.fit_em(x, 3)
    low = {"means_init": [[-0.5], [0.5], [9.0]], "covariances_init": [[[0.1]], [[0.1]], [[10.0]]]}
    with pytest.warns(LocalOptimumWarning, match="end higher by"):
        assert bg.fit_em(x, 3, **low).log_likelihood < best.log_likelihood - 10.0
    with warnings.catch_warnings():
        warnings.simplefilter("error", LocalOptimumWarning)
        bg.fit_em(x, 3, init=best)  # no warning at the highest optimum


def test_a_cut_follows_gaps_and_leaves_a_single_group(rng):
    low, high = rng.normal(size=(50, 2)), rng.normal([0.0, 9.0], 1.0, size=(30, 2))
    cut = best_cut(np.concatenate([low, high]))
    assert cut is not None
    assert cut.gain > 0
    assert set(map(bool, cut.below[:50])) != set(map(bool, cut.below[50:]))
    assert len(set(cut.below[:50])) == len(set(cut.below[50:])) == 1
    alone = best_cut(rng.normal(size=(400, 2)))
    assert alone is not None
    assert alone.gain < 0
    assert best_cut(np.zeros((5, 2))) is None
    assert cut_in_order(np.repeat([[0.0], [1.0]], 5, axis=0), 3) is None


def test_moves_rise_from_a_saddle_and_not_from_the_optimum(rng):
    x = np.concatenate([rng.normal(m, 0.1, 40) for m in (0.0, 3.0, 6.0)])[:, None]
    truth = Params.of(np.full(3, 1 / 3), [[0.0], [3.0], [6.0]], np.full((3, 1, 1), 0.01))
    saddle = Params.of([1 / 6, 1 / 6, 2 / 3], [[0.0], [0.0], [4.5]], [[[0.01]], [[0.01]], [[2.26]]])
    assert moves(truth, x, 8) == []
    made = moves(saddle, x, 8)
    np.testing.assert_allclose(np.sort(made[0].means[:, 0]), [0.0, 3.0, 6.0], atol=0.1)
    every = moves(truth, x, 8, promising=False)
    assert len(every) == 8
    assert all(np.isfinite(part).all() for theta in every for part in theta)
    np.testing.assert_array_equal(every[-1].means, moves(truth, x, 8, promising=False)[-1].means)


def test_clusters_that_cross_are_found():
    # Means lie close together beside the spreads, so that no axis has a gap: moves by cuts alone end 24 nats lower.
    rng = np.random.default_rng(3)
    rng.integers(2, 5), rng.integers(3, 6), rng.choice([50, 90, 150])
    middles = rng.normal(size=(3, 4)) * rng.choice([1.5, 2.5, 4.0])
    spreads, labels = rng.normal(size=(3, 4, 4)) * 0.6 + np.eye(4) * 0.5, rng.integers(0, 3, 50)
    x = middles[labels] + np.einsum("nde,ne->nd", spreads[labels], rng.normal(size=(50, 4)))
    found, near_truth = bg.fit_em(x, 3, prior="default"), bg.fit_em(x, 3, prior="default", labels_init=labels)
    assert found.objective > near_truth.objective - 1e-6


@pytest.mark.parametrize(
    ("name", "k", "covariance_type"),
    [
        pytest.param("iris", 4, "VVI", marks=WHOLE),
        pytest.param("diabetes", 4, "VEI", marks=WHOLE),
        ("faithful", 3, "VVV"),
    ],
)
def test_more_iterations_of_more_starts_find_nothing_higher_by_far(reference_data, name, k, covariance_type):
    x = reference_data[name].to_numpy()
    few = bg.fit_em(x, k, covariance_type=covariance_type)
    many = bg.fit_em(x, k, covariance_type=covariance_type, n_init=48, seed=1)
    assert few.log_likelihood > many.log_likelihood - 0.02 * len(x)
