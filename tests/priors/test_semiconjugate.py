"""Independent priors for means and covariances: against SciPy, JAGS, NumPyro's enumeration, and by simulation."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.agreement import assert_same_mean
from oracles.effort import SOME
from oracles.parameters import random_params
from scipy.stats import dirichlet, invwishart, multivariate_normal

import bayesgmm as bg
from bayesgmm.engines import coordinates
from bayesgmm.engines.mcmc import nuts
from bayesgmm.errors import PriorError
from bayesgmm.model.types import Frame
from bayesgmm.problem import prepare
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.rows import to_rows

LOC, SPREAD = np.array([3.5, 70.0]), np.array([[4.0, 3.0], [3.0, 400.0]])
SCALE = np.array([[0.3, 0.2], [0.2, 80.0]])


def prior_of(concentration, loc, covariance, df, scale):
    return bg.Prior(bg.Dirichlet(concentration), bg.NormalTimesInverseWishart(loc, covariance, df, scale))


PRIOR = prior_of(1.5, LOC, SPREAD, 5.0, SCALE)


def log_prior(params, family):
    covariances = params.covariances if family == "full" else params.covariances[:1]
    total = dirichlet.logpdf(params.weights / params.weights.sum(), np.full(len(params.weights), 1.5))
    total += sum(multivariate_normal(LOC, SPREAD).logpdf(mean) for mean in params.means)
    return total + sum(invwishart.logpdf(covariance, 5.0, SCALE) for covariance in covariances)


@pytest.mark.parametrize("family", ["full", pytest.param("tied", marks=pytest.mark.slow)])
def test_log_prior_and_map_are_the_stated_ones(reference_data, family):
    """SciPy's densities at draws and at the mode; the objective never falls, and no θ near the mode is higher."""
    x = reference_data["faithful"]
    mode = bg.fit_em(x, 2, covariance_type=family, prior=PRIOR)
    assert mode.objective == pytest.approx(mode.log_likelihood + log_prior(mode.params, family), rel=1e-10)
    for accelerate in (True, False):
        run = bg.fit_em(x, 2, covariance_type=family, prior=PRIOR, n_init=3, seed=4, accelerate=accelerate)
        assert (np.diff(run.trace) > -1e-9 * np.abs(run.trace[1:])).all()
    draws = bg.sample_gibbs(x, 2, covariance_type=family, prior=PRIOR, num_samples=200)
    theta = bg.Params(*(part[1, 7] for part in draws.params))
    assert draws.log_prior[1, 7] == pytest.approx(log_prior(theta, family), rel=1e-9)
    assert mode.objective - 3 < (draws.log_likelihood + draws.log_prior).max() < mode.objective
    rng = np.random.default_rng(0)
    for size in (1e-2, 1e-4):
        for _ in range(20):
            noise = rng.normal(size=(1 if family == "tied" else 2, 2, 2)) * size
            trils = mode.params.scale_trils @ (np.eye(2) + np.tril(noise))
            weights = mode.params.weights * np.exp(size * rng.normal(size=2))
            near = bg.Params(weights / weights.sum(), mode.params.means * (1 + size * rng.normal(size=(2, 2))), trils)
            assert float(bg.log_likelihood(near, x.to_numpy())) + log_prior(near, family) < mode.objective + 1e-9


@pytest.mark.parametrize(
    ("which", "engine"),
    [(3, bg.sample_gibbs)]
    + [pytest.param(*pair, marks=SOME) for pair in (
        (0, bg.sample_gibbs), (1, bg.sample_gibbs), (2, bg.sample_gibbs),
        (2, bg.sample_nuts), (1, bg.sample_nuts), (3, bg.sample_nuts),
    )],
)  # fmt: skip
def test_posteriors_agree_with_jags(truth, reference_data, which, engine):
    """Galaxies with free and with tied variances (Chib's prior), waiting times, Old Faithful in two dimensions."""
    reference = truth("posterior")["jags_independent"][which]
    p, summary = reference["prior"], reference["summary"]
    data = reference_data[("galaxy_corrected", "galaxy_corrected", "waiting", "faithful")[which]]
    if which == 3:
        prior = prior_of(p["alpha"], p["m0"], np.linalg.inv(p["B0inv"]), p["nu0"], p["S0"])
    else:
        prior = prior_of(p["alpha"], p["m0"], p["B0"], 2 * p["c0"], 2 * p["C0"])
    family = "tied" if which == 1 else "full"
    posterior = engine(data, reference["K"], covariance_type=family, prior=prior, num_samples=6000, seed=11)
    assert_same_mean(posterior.log_likelihood, summary["loglik"]["mean"], summary["loglik"]["mcse"], "loglik")
    weights, means, _ = posterior.params
    order = np.argsort(means[..., 0], axis=-1)
    sorted_means = np.take_along_axis(means[..., 0], order, axis=-1)
    names = [f"mu[{k + 1},1]" if which == 3 else f"mu_sorted[{k + 1}]" for k in range(reference["K"])]
    for k, name in enumerate(names):
        assert_same_mean(sorted_means[..., k], summary[name]["mean"], summary[name]["mcse"], name, most=4.5)
    if which == 3:
        covariance = np.take_along_axis(posterior.params.covariances[..., 0, 1], order, axis=-1)
        for k in range(2):
            entry = summary[f"Sigma[{k + 1},2,1]"]
            assert_same_mean(covariance[..., k], entry["mean"], entry["mcse"], f"Sigma[{k}]")
    else:
        entry = summary["sum_w2"]
        assert_same_mean((weights**2).sum(-1), entry["mean"], entry["mcse"], "sum_w2")


@pytest.mark.slow
@pytest.mark.parametrize("family", ["full", "tied"])
def test_gibbs_is_calibrated(family):
    x = np.random.default_rng(0).normal([3.0, 60.0], [1.0, 10.0], (8, 2))
    found = bg.calibrate(
        x,
        2,
        covariance_type=family,
        prior=prior_of(2.0, LOC, SPREAD, 6.0, SCALE),
        n_sims=60,
        num_warmup=100,
        num_samples=300,
    )
    assert found.calibrated, found


@pytest.mark.slow
def test_marginal_and_enumerated_potentials_are_one_function(rng):
    x = rng.normal(size=(20, 2))
    with scope("float64"):
        problem = prepare(x, 3, prior_of(1.3, 0.5, [[1.0, 0.2], [0.2, 2.0]], 5.0, 1.4))
        rows = to_rows(x, Frame(np.zeros(2), np.ones(2)))
        belief = jax.tree.map(jnp.asarray, problem.model.family_prior)
        position = coordinates.unconstrain(jax.tree.map(jnp.asarray, random_params(1, 3, 2)), belief)
        fast, slow = (jax.value_and_grad(nuts.potential(belief, data))(position) for data in (rows, jnp.asarray(x)))
    np.testing.assert_allclose(fast[0], slow[0], rtol=1e-11)
    for name in position:
        np.testing.assert_allclose(fast[1][name], slow[1][name], rtol=1e-8, atol=1e-9)


def test_units_change_nothing(reference_data):
    x = reference_data["faithful"].to_numpy()
    units, shift = np.array([60.0, 1 / 60.0]), np.array([-5.0, 3.0])
    moved = prior_of(1.5, LOC * units + shift, SPREAD * np.outer(units, units), 5.0, SCALE * np.outer(units, units))
    one, two = bg.fit_em(x, 2, prior=PRIOR, seed=1), bg.fit_em(x * units + shift, 2, prior=moved, seed=1)
    np.testing.assert_allclose(one.params.means * units + shift, two.params.means, rtol=1e-6)
    draws = [
        bg.sample_gibbs(data, 2, prior=prior, num_warmup=5, num_samples=5, init=fit, seed=2)
        for data, prior, fit in ((x, PRIOR, one), (x * units + shift, moved, two))
    ]
    log_volume = np.log(units).sum()
    np.testing.assert_allclose(draws[0].log_likelihood - len(x) * log_volume, draws[1].log_likelihood, rtol=1e-4)


def test_report_states_the_prior(reference_data, tmp_path):
    result = bg.compare(reference_data["faithful"], 2, engines=("em", "laplace"), prior=PRIOR, num_samples=50)
    report = result.to_html(tmp_path / "report.html").read_text()
    words = re.sub(r"<[^>]*>", " ", report[report.index("The prior in the units of the data") :]).split()
    assert "μ k ∼ N((3.5, 70), 4 3 3 400 )" in " ".join(words)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda x: bg.fit_cavi(x, 2, prior=PRIOR), "cavi does not take a NormalTimesInverseWishart"),
        (lambda x: bg.compare(x, 2, engines=("em", "cavi"), prior=PRIOR), "em, svi, laplace, gibbs, nuts do"),
        (lambda x: bg.sample_gibbs(x, 2, covariance_type="diag", prior=PRIOR), "free or tied covariances, not of VVI"),
        (lambda x: bg.fit_table(x, [2], "VVI", prior=PRIOR), "fit_table does not take a NormalTimesInverseWishart"),
        (
            lambda x: bg.fit_em(x, 2, prior=prior_of(1.0, LOC, -1.0, 5.0, SCALE)),
            "covariance of the means is not positive",
        ),
        (lambda x: bg.fit_em(x, 2, prior=prior_of(1.0, LOC, SPREAD, 0.5, SCALE)), "df > D - 1"),
        (lambda x: bg.fit_em(x, 2, prior=prior_of(1.0, np.zeros(3), SPREAD, 5.0, SCALE)), "loc has shape"),
    ],
)
def test_invalid_input_gives_the_reason(reference_data, call, words):
    with pytest.raises(PriorError, match=words):
        call(reference_data["faithful"])
