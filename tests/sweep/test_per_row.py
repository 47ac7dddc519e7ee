"""The posterior of z and the predictions of new rows, from draws of θ."""

import numpy as np
import pytest
from oracles import twins
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.sweep import per_row as predict


@pytest.fixture(scope="module")
def posterior(reference_data):
    return bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=100, num_samples=60, num_chains=2, seed=1)


@pytest.fixture
def new(rng):
    return rng.normal([3.5, 70.0], [1.0, 12.0], size=(7, 2))


def joint(posterior, x):
    """Log joint by the reference implementation, (draw, N, K)."""
    parts = (part.reshape(-1, *part.shape[2:]) for part in (*posterior.params[:2], posterior.params.covariances))
    return np.array([twins.log_joint(*theta, x) for theta in zip(*parts, strict=True)])


def test_averages_are_those_over_draws(posterior, new, monkeypatch):
    monkeypatch.setattr(predict, "BLOCK", 3)  # the last block is padded
    scores = joint(posterior, new)
    density = logsumexp(scores, axis=2)
    proba = np.exp(scores - density[:, :, None]).mean(axis=0)
    np.testing.assert_allclose(posterior.predict_proba(new), proba, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(
        posterior.score_samples(new), logsumexp(density, axis=0) - np.log(len(density)), rtol=1e-9
    )
    np.testing.assert_array_equal(posterior.predict(new), proba.argmax(axis=1))


def test_labels_are_drawn_from_each_draws_conditional(posterior, new):
    labels = posterior.draw_labels(new, seed=3)
    assert labels.shape == (2, 60, 7)
    assert labels.dtype == np.uint8
    scores = joint(posterior, new)
    proba = np.exp(scores - logsumexp(scores, axis=2, keepdims=True))[:, :, 1]
    repeats = np.mean([posterior.draw_labels(new, seed=s).reshape(-1, 7) for s in range(100)], axis=0)
    error = np.sqrt(proba * (1 - proba) / 100)
    assert (np.abs(repeats - proba) <= 5 * error + 1e-3).all()
    np.testing.assert_array_equal(labels, posterior.draw_labels(new, seed=3))


def test_labels_of_the_fitted_rows_have_the_posterior_of_all_labelings():
    """P(z_i = z_j | x) from drawn labels, against enumeration."""
    x = np.array([[-1.6], [-1.1], [0.2], [0.9], [1.3]])
    hyper = {"concentration": 1.5, "loc": np.array([0.3]), "strength": 0.5, "df": 4.0, "scale": np.array([[1.2]])}
    prior = bg.Prior(bg.Dirichlet(1.5), bg.NormalInverseWishart(0.3, 0.5, 4.0, 1.2))
    labelings, probabilities, _ = twins.enumerate_labelings(x, 2, **hyper)
    posterior = bg.sample_gibbs(x, 2, prior=prior, num_warmup=200, num_samples=4000, seed=2)
    labels = posterior.draw_labels(x, seed=1)
    for i, j in zip(*np.triu_indices(5, 1), strict=True):
        exact = probabilities[labelings[:, i] == labelings[:, j]].sum()
        assert (labels[..., i] == labels[..., j]).mean() == pytest.approx(exact, abs=0.02)


def test_new_rows_have_the_predictive_density(posterior):
    z, x = posterior.sample(40_000, seed=5)
    weights, means, covariances = (
        part.reshape(-1, *part.shape[2:]) for part in (*posterior.params[:2], posterior.params.covariances)
    )
    assert (z == 0).mean() == pytest.approx(weights[:, 0].mean(), abs=0.01)
    mean = np.einsum("sk,skd->d", weights, means) / len(weights)
    second = np.einsum("sk,skde->de", weights, covariances + means[..., None] * means[..., None, :]) / len(weights)
    covariance = second - np.outer(mean, mean)
    np.testing.assert_allclose(x.mean(axis=0), mean, atol=5 * np.sqrt(np.diag(covariance) / len(x)).max())
    np.testing.assert_allclose(np.cov(x.T), covariance, rtol=0.03)


def test_bad_input(posterior, new, monkeypatch):
    with pytest.raises(DataError, match="features"):
        posterior.predict_proba(new[:, :1])
    monkeypatch.setattr("bayesgmm.data.table.LARGEST", 1e300)
    with pytest.raises(DataError, match="Row 1 is so far"):
        posterior.predict_proba(np.array([[3.0, 70.0], [1e200, 0.0]]))
    monkeypatch.setattr(predict, "MOST_LABELS", 100)
    with pytest.raises(ArgumentError, match="too many to return"):
        posterior.draw_labels(new, seed=0)
    with pytest.raises(ArgumentError, match="n must be"):
        posterior.sample(0, seed=0)
