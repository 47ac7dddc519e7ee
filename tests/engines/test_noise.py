"""A noise component: uniform over a box, after the Gaussians, in every engine."""

import functools
import json
import math

import numpy as np
import pytest
from oracles import TRUTH
from scipy import stats

import bayesgmm as bg

MEANS, SPREADS = [[-2.0, 0.0], [2.0, 1.0]], [[[1.0, 0.6], [0.6, 1.0]], [[0.7, -0.4], [-0.4, 1.2]]]
GAUSSIANS = bg.from_parameters([0.4, 0.6], MEANS, SPREADS)
NIW = bg.NormalInverseWishart([0.0, 0.0], 0.2, 6.0, np.eye(2))
PRIOR = bg.Prior(bg.Dirichlet(2.0), NIW)
VOLUME = 15.0**2


@functools.cache
def rows():
    """232 rows of two Gaussians and 40 of noise, in a box that reaches farther."""
    rng = np.random.default_rng(3)
    return np.concatenate([GAUSSIANS.sample(232, 3)[1], rng.uniform(-7.0, 7.0, (40, 2))])


def scores(x, weights, means, covariances, log_volume):
    gaussians = [stats.multivariate_normal.logpdf(x, m, s) for m, s in zip(means, covariances, strict=True)]
    return np.log(weights) + np.stack([*gaussians, np.full(len(x), -log_volume)], axis=1)


def textbook(x, start, log_volume, pooled, prior, steps):
    """EM with two Gaussians and a uniform term; one covariance if ``pooled``."""
    weights, means, covariances = (np.array(part) for part in start)
    strength, df, extra, scale = (0.2, 6.0, 1.0, np.eye(2)) if prior else (0.0, -4.0, 0.0, np.zeros((2, 2)))
    for _ in range(steps):
        logs = scores(x, weights, means, covariances, log_volume)
        shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
        counts, scatters = shares.sum(axis=0), []
        for k in range(2):
            means[k] = shares[:, k] @ x / (counts[k] + strength)
            apart = x - means[k]
            scatters.append((shares[:, k] * apart.T) @ apart + strength * np.outer(means[k], means[k]))
        if pooled:
            both, rest = sum(scatters) + scale, (df + 3.0 + 2.0 * bool(prior)) if prior else 0.0
            covariances[:] = both / (counts[:2].sum() + rest)
        else:
            for k in range(2):
                covariances[k] = (scatters[k] + scale) / (counts[k] + df + 4.0)
        weights = (counts + extra) / (len(x) + 3 * extra)
    return weights, means, covariances


def given():
    return {"weights_init": [0.35, 0.5, 0.15], "means_init": MEANS, "covariances_init": SPREADS}


@pytest.mark.parametrize(("family", "prior"), [("VVV", None), ("VVV", PRIOR), ("EEE", None), ("EEE", PRIOR)])
def test_em_is_the_textbook_loop_with_a_uniform_term(family, prior):
    """To ten digits; in a shared family the noise is in no pooled scatter."""
    x = rows()
    settings = {"tol": 0, "accelerate": False, "prior": prior, "covariance_type": family, "noise": VOLUME}
    covariances = SPREADS
    if family == "EEE":  # the start is projected onto the family first
        covariances = [np.tensordot([0.35 / 0.85, 0.5 / 0.85], SPREADS, 1)] * 2
    fit = bg.fit_em(x, 2, max_iter=7, **settings, **given())
    want = textbook(x, ([0.35, 0.5, 0.15], MEANS, covariances), math.log(VOLUME), family == "EEE", prior, 7)
    found = fit.params.weights, fit.params.means[:2], fit.params.covariances[:2]
    for ours, theirs in zip(found, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    logs = scores(x, *want, math.log(VOLUME))
    np.testing.assert_allclose(fit.log_likelihood, np.logaddexp.reduce(logs, axis=1).sum(), rtol=1e-12)
    shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
    np.testing.assert_allclose(fit.predict_proba(), shares, atol=1e-12)
    assert fit.n_parameters == 2 + 4 + {"VVV": 6, "EEE": 3}[family]


def estimates():
    data = json.loads((TRUTH / "mclust_noise.json").read_text())["data"]
    return [pytest.param(name, model, id=f"{name}-{model}") for name, one in data.items() for model in one["fits"]]


@functools.cache
def stored(name):
    return json.loads((TRUTH / "mclust_noise.json").read_text())["data"][name]


@pytest.mark.parametrize(("name", "model"), estimates())
def test_em_ends_where_mclust_ends(name, model):
    """From the same rows called noise: log-likelihood, weights, means, covariances, and the density of the noise."""
    entry = stored(name)
    x, theirs = np.array(entry["x"]), entry["fits"][model]
    guess = np.arange(len(x)) >= entry["first_noise"]
    start = {"weights_init": theirs["pro"], "means_init": theirs["mean"], "covariances_init": theirs["variance"]}
    fit = bg.fit_em(x, entry["G"], covariance_type=model, noise=guess, tol=1e-10, max_iter=20000, **start)
    np.testing.assert_allclose(np.exp(-fit.table.noise.log_volume), theirs["Vinv"], rtol=1e-10)
    np.testing.assert_allclose(fit.log_likelihood, theirs["loglik"], atol=1e-6)
    order = np.argsort(np.array(theirs["mean"])[:, 0])
    np.testing.assert_allclose(fit.params.weights, np.array(theirs["pro"])[[*order, -1]], atol=1e-5)
    np.testing.assert_allclose(fit.params.means[:-1], np.array(theirs["mean"])[order], rtol=1e-4)
    np.testing.assert_allclose(fit.params.covariances[:-1], np.array(theirs["variance"])[order], rtol=2e-3, atol=1e-3)
