"""The mixture: densities against a reference, all labellings summed, moments of simulated data."""

import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import twins
from scipy.special import logsumexp
from scipy.stats import chisquare

import bayesgmm as bg

PARAMS = bg.Params.of(
    [0.2, 0.5, 0.3], [[0.0, 1.0], [3.0, -1.0], [-2.0, 0.5]],
    [[[1.0, 0.3], [0.3, 0.5]], [[0.4, -0.1], [-0.1, 2.0]], [[0.2, 0.0], [0.0, 0.1]]],
)  # fmt: skip


def test_log_joint_equals_the_reference(rng):
    x = rng.normal(size=(40, 2)) * 3
    expected = twins.log_joint(PARAMS.weights, PARAMS.means, PARAMS.covariances, x)
    np.testing.assert_allclose(bg.log_joint(PARAMS, x), expected, rtol=1e-12)
    np.testing.assert_allclose(bg.log_density(PARAMS, x), logsumexp(expected, axis=1), rtol=1e-12)


def test_sum_over_all_labelings_is_the_likelihood(rng):
    """Exact by enumeration: p(x) sums p(x, z) over K^N labelings; r_nk is the share of those with z_n = k."""
    x = rng.normal(size=(6, 2)) * 2
    joint = twins.log_joint(PARAMS.weights, PARAMS.means, PARAMS.covariances, x)
    labelings = np.array(list(itertools.product(range(3), repeat=6)))
    logs = joint[np.arange(6), labelings].sum(axis=1)
    total = logsumexp(logs)
    share = np.array([[np.exp(logsumexp(logs[labelings[:, n] == k]) - total) for k in range(3)] for n in range(6)])
    np.testing.assert_allclose(bg.log_likelihood(PARAMS, x), total, rtol=1e-12)
    np.testing.assert_allclose(bg.responsibilities(PARAMS, x), share, atol=1e-12)


def test_samples_follow_the_model():
    with jax.enable_x64(True):
        z, x = bg.sample(jax.random.key(3), bg.Params(*map(jnp.asarray, PARAMS)), 40_000)
    z, x = np.asarray(z), np.asarray(x)
    assert chisquare(np.bincount(z), 40_000 * np.asarray(PARAMS.weights)).pvalue > 1e-4
    for k in range(3):
        np.testing.assert_allclose(x[z == k].mean(axis=0), PARAMS.means[k], atol=0.05)
        np.testing.assert_allclose(np.cov(x[z == k].T), PARAMS.covariances[k], atol=0.08)


def test_host_calls_are_double_and_traced_calls_keep_their_precision(rng):
    x = rng.normal(size=(5, 2))
    assert bg.log_density(PARAMS, x).dtype == np.float64
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), PARAMS)
    assert jax.jit(bg.log_density)(single, jnp.asarray(x, jnp.float32)).dtype == jnp.float32


def test_far_rows_have_finite_responsibilities():
    r = bg.responsibilities(PARAMS, np.array([[1e6, -1e6]]))
    assert np.isfinite(r).all()
    assert r.sum() == pytest.approx(1.0)
