"""Priors beyond the conjugate one: constants by quadrature and SciPy, published evidence, posteriordb, NumPyro's story."""

import json
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from agreement import assert_same_mean
from jax.scipy.stats import norm
from numpyro.infer.util import log_density
from scipy import stats
from scipy.integrate import dblquad, quad
from scipy.special import logsumexp
from test_conjugate import random_params

import bayesgmm as bg
from bayesgmm import separated
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.families import resolve_family
from bayesgmm.problem import penalise

TRUTH = json.loads((Path(__file__).parent / "truth" / "posteriordb.json").read_text())
LKJ = bg.NormalTimesLKJ(np.array([3.5, 70.0]), np.diag([4.0, 400.0]), 2.0, bg.HalfNormal(np.array([1.0, 10.0])))
HIERARCHICAL = bg.HierarchicalInverseWishart(
    np.array([3.5, 70.0]), np.diag([4.0, 400.0]), 5.0, 3.0, np.diag([0.05, 5.0])
)


def with_flat_weights(components):
    return bg.Prior(bg.Dirichlet(1.0), components)


def log_prior(components, params, family="full"):
    """The package's log density of (means, what is free in the covariances), constants included."""
    num, dim = params.means.shape
    prior = bg.Prior(bg.Dirichlet(1.0), components).expand(num, dim)
    with jax.enable_x64(True):
        belief, constant = penalise(prior, resolve_family(family, dim), num, dim)
        kernel = belief.log_kernel(jax.tree.map(jnp.asarray, params))
        return float(kernel) + constant - float(prior.weights.log_normaliser())


def test_the_scale_is_summed_out():
    """K = 2 covariances of one feature, their common scale integrated numerically."""
    params = random_params(np.random.default_rng(0), 2, 1)
    df, hyper_df, hyper_scale = 4.0, 0.7, 1.3
    prior = bg.HierarchicalInverseWishart(0.2, 3.0, df, hyper_df, hyper_scale)

    def joint(log_c):
        c = np.exp(log_c)
        inside = stats.invwishart.logpdf(params.covariances[:, 0, 0], df, c).sum() if np.ndim(c) else sum(
            stats.invgamma.logpdf(v, df / 2, scale=c / 2) for v in params.covariances[:, 0, 0])  # fmt: skip
        return np.exp(inside + stats.gamma.logpdf(c, hyper_df / 2, scale=2 * hyper_scale) + log_c)

    means = stats.norm.logpdf(params.means[:, 0], 0.2, np.sqrt(3.0)).sum()
    assert log_prior(prior, params) == pytest.approx(means + np.log(quad(joint, -30, 10, limit=200)[0]), rel=1e-8)


def test_published_evidence_of_one_component(reference_data):
    """Richardson & Green's hierarchical prior on galaxies, K = 1: -247.543 (recomputed, shared/truth/bayes/published.json)."""
    x = reference_data["galaxy_corrected"].to_numpy()[:, 0]
    span = np.ptp(x)
    middle = x.min() + span / 2
    prior = bg.HierarchicalInverseWishart(middle, span**2, 4.0, 0.4, span**2 / 10)

    full = with_flat_weights(prior).expand(1, 1)
    with jax.enable_x64(True):

        def joint(log_s, mean):
            params = bg.Params(jnp.ones(1), jnp.full((1, 1), mean), jnp.full((1, 1, 1), jnp.exp(log_s)))
            likelihood = norm.logpdf(jnp.asarray(x), mean, jnp.exp(log_s)).sum()
            return likelihood + jax.tree.map(jnp.asarray, full).log_density(params) + jnp.log(2.0) + 2 * log_s

        grid = jnp.linspace(1.0, 2.1, 41), jnp.linspace(17.5, 24.0, 41)
        values = np.asarray(jax.jit(jax.vmap(jax.vmap(joint, (None, 0)), (0, None)))(*grid))
    step = (grid[0][1] - grid[0][0]) * (grid[1][1] - grid[1][0])
    assert logsumexp(values) + float(np.log(step)) == pytest.approx(-247.543, abs=0.01)


def test_scales_and_correlations_integrate_to_one():
    """The density over 2 × 2 covariances, against quadrature of its own kernel, and the volume of correlations."""
    for eta, dim in ((0.7, 2), (2.5, 3), (1.0, 5)):
        correlation = numpyro.distributions.LKJ(dim, eta)
        identity = float(correlation.log_prob(jnp.eye(dim)))
        assert -separated.log_volume_of_correlations(dim, eta) == pytest.approx(identity, rel=1e-5)
    prior = bg.NormalTimesLKJ(0.0, 1.0, 2.0, bg.LogNormal(0.1, 0.4))

    def density(r, log_s):  # s_2 = 1.2 fixed; its own density divided out below
        s = np.array([np.exp(log_s), 1.2])
        matrix = np.outer(s, s) * np.array([[1.0, r], [r, 1.0]])
        params = bg.Params(np.ones(1), np.zeros((1, 2)), np.linalg.cholesky(matrix)[None])
        jacobian = np.log(4.0) + 2 * np.log(s).sum() + log_s
        return np.exp(log_prior(prior, params) + jacobian + np.log(2 * np.pi))

    total = dblquad(density, -1.5, 1.7, -0.999, 0.999, epsabs=1e-3, epsrel=1e-3)[0]
    assert total == pytest.approx(stats.lognorm.pdf(1.2, 0.4, scale=np.exp(0.1)), rel=3e-3)


@pytest.mark.parametrize("scales", [bg.HalfNormal(np.array([1.0, 2.0])), bg.LogNormal(np.array([0.0, 0.5]), 0.6)])
def test_lkj_is_numpyros_story(scales):
    """Log density of (weights, means, s, R's factor) by NumPyro's model, carried over to covariances by autodiff's Jacobian."""
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesLKJ(np.array([0.3, 1.0]), np.diag([2.0, 3.0]), 1.7, scales))
    params = random_params(np.random.default_rng(3), 2, 2)
    x = np.random.default_rng(4).normal(size=(5, 2))
    with jax.enable_x64(True):
        s = jnp.sqrt(jnp.diagonal(jnp.asarray(params.covariances), axis1=1, axis2=2))
        correlations = jnp.asarray(params.scale_trils) / s[:, :, None]
        sites = {"weights": params.weights, "means": params.means, "scales": s, "correlation_trils": correlations}
        story = numpyro.handlers.substitute(bg.gaussian_mixture, data=jax.tree.map(jnp.asarray, sites))
        z = jnp.array([0, 1, 1, 0, 1])
        story = numpyro.handlers.condition(story, data={"z": z})
        theirs = float(log_density(story, (prior.expand(2, 2), jnp.asarray(x)), {}, {})[0])

        def covariance(v):  # (log s_1, log s_2, the factor's entry below the diagonal) -> (Σ_11, Σ_12, Σ_22)
            own, r = v[:2], v[2]
            return jnp.array([own[0] ** 2, own[0] * own[1] * r, own[1] ** 2])

        volume = sum(
            float(jnp.linalg.slogdet(jax.jacobian(covariance)(jnp.array([*s[k], correlations[k, 1, 0]])))[1])
            for k in range(2)
        )
    complete = sum(float(bg.log_joint(params, x)[n, int(z[n])]) for n in range(5))
    assert log_prior(prior.components, params) + volume == pytest.approx(theirs - complete, rel=1e-8)


@pytest.mark.slow
def test_posteriordb_is_reproduced():
    """low_dim_gauss_mix: reference draws of Stan under half-normal scales, 10 chains × 1,000."""
    x = np.array(TRUTH["y"])[:, None]
    prior = bg.Prior(bg.Dirichlet(5.0), bg.NormalTimesLKJ(0.0, 4.0, 1.0, bg.HalfNormal(2.0)))
    draws = bg.sample_nuts(x, 2, prior=prior, num_warmup=400, num_samples=1000, seed=2)
    order = np.argsort(draws.params.means[..., 0], axis=-1)
    weights, means, sds = (
        np.take_along_axis(part, order, -1)
        for part in (draws.params.weights, draws.params.means[..., 0], draws.params.scale_trils[..., 0, 0])
    )
    ours = {"theta": weights[..., 0], **{f"mu[{k + 1}]": means[..., k] for k in (0, 1)},
            **{f"sigma[{k + 1}]": sds[..., k] for k in (0, 1)}}  # fmt: skip
    for name, values in ours.items():
        theirs = TRUTH["summary"][name]
        assert_same_mean(values, theirs["mean"], theirs["mcse"], name)
        assert values.std() == pytest.approx(theirs["sd"], rel=0.08)


def test_hierarchical_engines_agree(reference_data):
    """EM's objective never falls and no draw is above it; Gibbs (C drawn) and NUTS (C summed out) have one posterior."""
    x = reference_data["faithful"]
    prior = with_flat_weights(HIERARCHICAL)
    mode = bg.fit_em(x, 2, prior=prior)
    assert mode.objective == pytest.approx(mode.log_likelihood + log_prior(HIERARCHICAL, mode.params), rel=1e-10)
    run = bg.fit_em(x, 2, prior=prior, n_init=2, accelerate=False)
    assert (np.diff(run.trace) > -1e-9 * np.abs(run.trace[1:])).all()
    gibbs = bg.sample_gibbs(x, 2, prior=prior, num_samples=1000)
    nuts = bg.sample_nuts(x, 2, prior=prior, num_warmup=300, num_samples=400)
    assert (gibbs.log_likelihood + gibbs.log_prior).max() < mode.objective
    one, two = gibbs.convergence, nuts.convergence
    z = (one["mean"] - two["mean"]) / np.hypot(one["mcse"], two["mcse"])
    assert np.abs(z).max() < 4.0, z
    tied = bg.sample_gibbs(x, 2, covariance_type="tied", prior=prior, num_warmup=20, num_samples=20, num_chains=2)
    theta = bg.Params(*(part[0, 3] for part in tied.params))
    assert tied.log_prior[0, 3] == pytest.approx(log_prior(HIERARCHICAL, theta, "tied"), rel=1e-9)


@pytest.mark.parametrize(
    "family", ["full", pytest.param("tied", marks=pytest.mark.slow), pytest.param("diag", marks=pytest.mark.slow)]
)
def test_lkj_draws_carry_the_stated_density(reference_data, family):
    x = reference_data["faithful"]
    draws = bg.sample_nuts(x, 2, covariance_type=family, prior=with_flat_weights(LKJ), num_warmup=60, num_samples=20,
                           num_chains=1)  # fmt: skip
    theta = bg.Params(*(part[0, 7] for part in draws.params))
    assert draws.log_prior[0, 7] == pytest.approx(log_prior(LKJ, theta, family), rel=1e-9)
    assert draws.datatree["prior"]["means"].shape[-2:] == (2, 2)


def test_inverse_gamma_is_what_the_families_say(reference_data):
    """Variances of a diagonal family: scipy's inverse-gamma at a draw; spherical ones share the mean scale."""
    x = reference_data["faithful"]
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseGamma(np.array([3.5, 70.0]), 0.5, 2.5, np.array([0.4, 60.0])))
    draws = bg.sample_gibbs(x, 2, covariance_type="diag", prior=prior, num_warmup=10, num_samples=10, num_chains=1)
    means, variances = draws.params.means[0, 4], np.diagonal(draws.params.covariances[0, 4], axis1=1, axis2=2)
    expected = stats.norm.logpdf(means, [3.5, 70.0], np.sqrt(variances / 0.5)).sum()
    expected += stats.invgamma.logpdf(variances, 2.5, scale=np.array([0.4, 60.0])).sum()
    assert draws.log_prior[0, 4] == pytest.approx(expected, rel=1e-10)
    with pytest.raises(PriorError, match="covariance_type='diag'"):
        bg.sample_gibbs(x, 2, prior=prior)


def test_prior_predictive(reference_data):
    """Moments of the prior's own draws, and one z per row."""
    tree = bg.sample_prior(
        reference_data["faithful"], 2, prior=with_flat_weights(HIERARCHICAL), num_samples=4000, seed=1
    )
    means = tree["prior"]["means"].values[0]
    assert means.mean(axis=(0, 1)) == pytest.approx([3.5, 70.0], abs=1.5)
    assert means[:, :, 0].std() == pytest.approx(2.0, rel=0.05)
    rows = tree["prior_predictive"]["x"]
    assert rows.dims[:3] == ("chain", "draw", "obs") and rows.sizes["obs"] == 272  # noqa: PT018
    assert list(rows.coords["feature"].values) == ["eruptions", "waiting"]
    # E[C] / (df - D - 1): the mean covariance
    assert np.median(tree["prior"]["covariances"].values[..., 0, 0]) < 3.0 * 0.05 * 3.0
    assert "posterior" not in tree.children


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda x: bg.fit_em(x, 2, prior=with_flat_weights(LKJ)), PriorError, "svi, laplace, nuts do"),
        (lambda x: bg.sample_gibbs(x, 2, prior=with_flat_weights(LKJ)), PriorError, "gibbs does not take a NormalTimesLKJ"),
        (lambda x: bg.fit_cavi(x, 2, prior=with_flat_weights(HIERARCHICAL)), PriorError, "cavi does not take"),
        (lambda x: bg.sample_nuts(x, 2, covariance_type="spherical", prior=with_flat_weights(LKJ)), PriorError, "not of VII"),
        (lambda x: bg.sample_nuts(x, 2, prior=with_flat_weights(LKJ._replace(concentration=0.0))), PriorError, "LKJ"),
        (lambda x: bg.sample_nuts(x, 2, prior=with_flat_weights(LKJ._replace(scales=2.0))), PriorError, "HalfNormal or"),
        (lambda x: bg.sample_nuts(x, 2, prior=with_flat_weights(LKJ._replace(scales=bg.HalfNormal(-1.0)))), PriorError,
         "half-normal"),
        (lambda x: bg.sample_gibbs(x, 2, prior=with_flat_weights(HIERARCHICAL._replace(hyper_df=0.5))), PriorError,
         "hyper_df > D - 1"),
        (lambda x: bg.sample_gibbs(x, 2, prior=with_flat_weights(HIERARCHICAL._replace(df=[4.0, 5.0]))), PriorError,
         "share one df"),
        (lambda x: bg.sample_prior(x, 2, prior=None), PriorError, "proper prior"),
        (lambda x: bg.sample_prior(x, 2, num_samples=0), ArgumentError, "num_samples"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_with_the_reason(reference_data, call, error, words):
    with pytest.raises(error, match=words):
        call(reference_data["faithful"])
