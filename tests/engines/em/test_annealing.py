"""Deterministic annealing, Monte Carlo EM and SAME as fits, against textbook twins and plain EM."""

import os
import signal
import sys

import jax
import numpy as np
import pytest
from oracles.twins import log_joint, log_prior
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.engines.dial import betas
from bayesgmm.engines.em.schedules import follow
from bayesgmm.errors import ArgumentError, LocalOptimumWarning, PriorError, SamplingInterrupted
from bayesgmm.problem import prepare
from bayesgmm.runtime.arguments import as_key
from bayesgmm.runtime.dtypes import scope

X = np.random.default_rng(0).normal(size=(40, 2)) + np.repeat([[0.0, 0.0], [3.0, 3.0]], 20, axis=0)
START = bg.Params.of([0.5, 0.5], [[0.5, 0.0], [2.0, 2.5]], [np.eye(2), np.eye(2)])
SILENT = lambda *_: None  # noqa: E731


def annealed_step(params, beta, x):
    """One step of Ueda & Nakano (1998, eqs. 14, 23-25) without a prior, in NumPy."""
    scores = beta * log_joint(params.weights, params.means, params.covariances, x)
    r = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
    n = r.sum(axis=0)
    means = r.T @ x / n[:, None]
    covariances = [(r[:, k, None] * (x - means[k])).T @ (x - means[k]) / n[k] for k in range(len(n))]
    return bg.Params.of(n / len(x), means, covariances)


def minus_free_energy(params, beta, x):
    return logsumexp(beta * log_joint(params.weights, params.means, params.covariances, x), axis=1).sum() / beta


def test_annealing_is_that_of_the_textbook():
    found = bg.walk(X, 2, engine="daem", prior=None, start=START, num_steps=8, beta_start=0.4)
    np.testing.assert_allclose(found.betas, [*0.4 ** (1 - np.arange(6) / 6), 1.0, 1.0])
    theta = START
    for t, beta in enumerate(found.betas, 1):
        theta = annealed_step(theta, beta, X)
        np.testing.assert_allclose(found.params.means[t], theta.means, rtol=1e-9)
        np.testing.assert_allclose(found.params.covariances[t], theta.covariances, rtol=1e-8)
        np.testing.assert_allclose(found.params.weights[t], theta.weights, rtol=1e-9)
        assert found.log_likelihood[t] == pytest.approx(minus_free_energy(theta, 1.0, X), rel=1e-10)
    assert "β from 0.4 to 1" in repr(found)


@pytest.mark.parametrize("prior", [None, "default"])
def test_at_beta_one_it_is_em(prior):
    one, two = (
        bg.walk(X, 2, engine=name, prior=prior, start=START, num_steps=12, **more)
        for name, more in (("daem", {"beta_start": 1.0}), ("em", {}))
    )
    np.testing.assert_allclose(one.objective, two.objective, rtol=1e-12)
    np.testing.assert_allclose(one.params.scale_trils, two.params.scale_trils, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("beta", [0.3, 0.6, 0.9])
def test_no_step_raises_the_annealed_free_energy(beta):
    """With a prior, at a fixed β. Negative control: the objective at β = 1 does fall on the same path from the mode."""
    fit = bg.fit_em(X, 2, prior="default")
    prior = bg.default_prior(X, 2).components
    with scope("float64"):
        problem = prepare(X, 2, "default")
        starts = jax.tree.map(lambda leaf: np.asarray(leaf)[None], problem.frame.standardise(fit.params))
        found = follow(as_key(0), starts, problem, "daem", np.full(20, beta), SILENT, 20)
        path = problem.frame.restore(jax.tree.map(lambda leaf: leaf[0], found.path))
    thetas = [fit.params, *(bg.Params(*(np.asarray(leaf)[t] for leaf in path)) for t in range(20))]
    priors = [log_prior(theta, [1.0, 1.0], prior.loc[0], 0.01, prior.df[0], prior.scale[0]) for theta in thetas]
    annealed, plain = (
        np.array([minus_free_energy(theta, b, X) for theta in thetas]) + np.array(priors) for b in (beta, 1.0)
    )
    assert (np.diff(annealed) > -1e-9).all()
    assert np.diff(plain).min() < -1e-4


def test_the_fit_anneals_and_then_converges():
    fit, em = bg.fit_em(X, 2, algorithm="daem", n_init=4), bg.fit_em(X, 2, n_init=4)
    assert fit.converged
    assert fit.objective == pytest.approx(em.objective, abs=1e-5)
    assert fit.n_iter + 1 == len(fit.trace) > 101
    assert fit.trace[-1] == pytest.approx(fit.log_likelihood, abs=1e-5)
    assert sum(basin.hits for basin in fit.basins) == 4
    assert fit.settings["beta_start"] is None
    assert bg.fit_em(X, 2, algorithm="daem", n_init=4, max_iter=6, tol=0.0).n_iter == 6  # no room for an annealing


def test_an_annealing_that_merges_components_says_so():
    with pytest.warns(LocalOptimumWarning, match="the annealing merged them"):
        bg.fit_em(X, 2, algorithm="daem", beta_start=0.05, init=START)


def test_monte_carlo_em_is_near_the_mode_and_its_average_is_better_than_its_end():
    em = bg.fit_em(X, 2, prior="default")
    fit, walk = (
        bg.fit_mcem(X, 2, prior="default", n_init=2),
        bg.walk(X, 2, engine="mcem", copies=100, start=em, num_steps=100),
    )
    gap = em.objective - fit.objective
    assert 0 <= gap < 1e-3
    assert gap < np.mean(em.objective - walk.objective[20:]) / 4  # a single θ of the path is further below
    assert (fit.converged, fit.status, fit.n_iter, len(fit.trace)) == (False, "stopped as planned", 200, 201)
    assert bg.fit_mcem(X, 2, prior="default", n_init=2).objective == fit.objective
    assert bg.fit_mcem(X, 2, prior="default", n_init=2, seed=1).objective != fit.objective


def test_same_ends_at_the_mode_within_the_spread_of_its_copies():
    """Under p(θ | x)^m the log posterior is p / 2m below its mode on average; fewer copies end lower."""
    em = bg.fit_em(X, 2, prior="default")
    gaps = {
        m: [em.objective - bg.fit_same(X, 2, copies=m, n_init=1, seed=s).objective for s in range(12)]
        for m in (20, 500)
    }
    for copies, found in gaps.items():
        expected = em.n_parameters / (2 * copies)
        assert np.mean(found) == pytest.approx(expected, abs=4.5 * np.sqrt(em.n_parameters / 2) / copies / np.sqrt(12))
    assert min(gaps[20]) > max(gaps[500])  # negative control: the first are no draws at 500 copies


def test_families_are_kept_and_refused_as_stated():
    fit = bg.fit_mcem(X, 2, covariance_type="VEI", n_init=2)
    variances = np.diagonal(fit.params.covariances, axis1=1, axis2=2)
    np.testing.assert_allclose(variances[0] / variances[0, 0], variances[1] / variances[1, 0], rtol=1e-6)
    with pytest.raises(ArgumentError, match="same does not take covariance_type 'VEI'"):
        bg.fit_same(X, 2, covariance_type="VEI")
    with pytest.raises(PriorError, match="same draws θ"):
        bg.fit_same(X, 2, prior=None)
    with pytest.raises(PriorError, match="concentration below 1"):
        bg.fit_same(X, 2, prior=bg.Prior(bg.Dirichlet(0.5), bg.default_prior(X, 2).components))
    with pytest.raises(ArgumentError, match="beta_start is for daem"):
        bg.fit_em(X, 2, beta_start=0.5)
    with pytest.raises(ArgumentError, match="beta_start must be"):
        bg.fit_em(X, 2, algorithm="daem", beta_start=0.0)
    with pytest.raises(ArgumentError, match="cannot be refitted"):
        bg.fit_em(X, 2, algorithm="cem").intervals("bootstrap")


@pytest.mark.parametrize(
    "fit", [bg.fit_same, bg.fit_mcem, lambda x, k, **more: bg.fit_em(x, k, algorithm="daem", **more)]
)
def test_ctrl_c_keeps_the_best_so_far(fit):
    sent = []

    def stop(label, done, total, note):
        if done == 30 and not sent:
            sent.append(True)
            os.kill(os.getpid(), signal.SIGINT)
            sys.version_info  # noqa: B018 - the handler runs at the next instruction

    with pytest.warns(UserWarning, match="was interrupted"):
        found = fit(X, 2, n_init=2, progress_bar=stop, prior="default")
    assert (found.interrupted, found.status) == (True, "interrupted")
    assert 30 <= found.n_iter <= 50
    assert np.isfinite(found.objective)


def test_ctrl_c_before_the_first_step_returns_nothing(monkeypatch):
    monkeypatch.setattr("bayesgmm.runtime.interrupt.Stop.is_set", lambda self: True)
    with pytest.raises(SamplingInterrupted, match="before any start had an objective"):
        bg.fit_em(X, 2, algorithm="em", n_init=2, accelerate=False)
    with pytest.warns(UserWarning, match="SAME was interrupted"):
        assert bg.fit_same(X, 2, n_init=2).n_iter == 0  # the start has an objective


def test_the_schedule_rises_to_one():
    assert betas(0.7, 0).size == 0
    assert betas(0.5, 4)[0] == 0.5
    assert (np.diff(betas(0.5, 4)) > 0).all()
