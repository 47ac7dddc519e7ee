"""Other priors: constants by quadrature and SciPy, published evidence, posteriordb, NumPyro's model."""

import json

import jax
import jax.numpy as jnp
import numpy as np
import numpyro
import pytest
from jax.scipy.stats import norm
from numpyro.infer.util import log_density
from oracles import TRUTH
from oracles.agreement import assert_same_mean
from oracles.effort import SOME, WHOLE
from oracles.parameters import random_params
from oracles.twins import label_stats
from scipy import stats
from scipy.integrate import dblquad, quad
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, PriorError, SpuriousComponentWarning
from bayesgmm.model.families import resolve_family
from bayesgmm.priors import lkj as separated
from bayesgmm.priors.prior import within_family
from bayesgmm.problem import prepare

POSTERIORDB = json.loads((TRUTH / "posteriordb.json").read_text())
LKJ = bg.NormalTimesLKJ(np.array([3.5, 70.0]), np.diag([4.0, 400.0]), 2.0, bg.HalfNormal(np.array([1.0, 10.0])))
HIERARCHICAL = bg.HierarchicalInverseWishart(
    np.array([3.5, 70.0]), np.diag([4.0, 400.0]), 5.0, 3.0, np.diag([0.05, 5.0])
)


def with_flat_weights(components):
    return bg.Prior(bg.Dirichlet(1.0), components)


def log_prior(components, params, family="full"):
    """The package's log density of the means and the free entries of the covariances, constants included."""
    num, dim = params.means.shape
    prior = bg.Prior(bg.Dirichlet(1.0), components).expand(num, dim)
    with jax.enable_x64(True):
        belief, constant = within_family(prior, resolve_family(family, dim), num, dim)
        kernel = belief.log_kernel(jax.tree.map(jnp.asarray, params))
        return float(kernel) + constant - float(prior.weights.log_normaliser())


def test_the_scale_is_summed_out():
    """K = 2 variances of one feature; quadrature integrates out their common scale."""
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
    """Richardson & Green's prior on galaxies, K = 1: -247.543 (recomputed, shared/truth/bayes/published.json)."""
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


@pytest.mark.slow
def test_scales_and_correlations_integrate_to_one():
    """The density over 2 × 2 covariances, by quadrature, and the volume of the correlation matrices."""
    for eta, dim in ((0.7, 2), (2.5, 3), (1.0, 5)):
        correlation = numpyro.distributions.LKJ(dim, eta)
        identity = float(correlation.log_prob(jnp.eye(dim)))
        assert -separated.log_volume_of_correlations(dim, eta) == pytest.approx(identity, rel=1e-5)
    prior = bg.NormalTimesLKJ(0.0, 1.0, 2.0, bg.LogNormal(0.1, 0.4))

    def density(r, log_s):  # s_2 = 1.2 is fixed; its density is divided out below
        s = np.array([np.exp(log_s), 1.2])
        matrix = np.outer(s, s) * np.array([[1.0, r], [r, 1.0]])
        params = bg.Params(np.ones(1), np.zeros((1, 2)), np.linalg.cholesky(matrix)[None])
        jacobian = np.log(4.0) + 2 * np.log(s).sum() + log_s
        return np.exp(log_prior(prior, params) + jacobian + np.log(2 * np.pi))

    total = dblquad(density, -1.5, 1.7, -0.999, 0.999, epsabs=1e-3, epsrel=1e-3)[0]
    assert total == pytest.approx(stats.lognorm.pdf(1.2, 0.4, scale=np.exp(0.1)), rel=3e-3)


@pytest.mark.parametrize("scales", [bg.HalfNormal(np.array([1.0, 2.0])), bg.LogNormal(np.array([0.0, 0.5]), 0.6)])
def test_lkj_equals_numpyro(scales):
    """NumPyro's log density of (weights, means, s, factor of R); autodiff gives the Jacobian to covariances."""
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
        theirs = float(jax.jit(lambda: log_density(story, (prior.expand(2, 2), jnp.asarray(x)), {}, {})[0])())

        def covariance(v):  # (log s_1, log s_2, the factor's entry below the diagonal) -> (Σ_11, Σ_12, Σ_22)
            own, r = v[:2], v[2]
            return jnp.array([own[0] ** 2, own[0] * own[1] * r, own[1] ** 2])

        at = np.concatenate([s, correlations[:, 1, :1]], axis=1)
        volume = sum(np.linalg.slogdet(matrix)[1] for matrix in jax.jit(jax.vmap(jax.jacobian(covariance)))(at))
    complete = bg.log_joint(params, x)[np.arange(5), np.asarray(z)].sum()
    assert log_prior(prior.components, params) + volume == pytest.approx(theirs - complete, rel=1e-8)


@pytest.mark.slow
def test_posteriordb_is_reproduced():
    """low_dim_gauss_mix: reference draws of Stan with half-normal scales, 10 chains × 1,000."""
    x = np.array(POSTERIORDB["y"])[:, None]
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
        theirs = POSTERIORDB["summary"][name]
        assert_same_mean(values, theirs["mean"], theirs["mcse"], name)
        assert values.std() == pytest.approx(theirs["sd"], rel=0.08)


@WHOLE
def test_hierarchical_engines_agree(reference_data):
    """EM's objective never falls and exceeds every draw; Gibbs (C drawn) and NUTS (C integrated out) agree."""
    x = reference_data["faithful"]
    prior = with_flat_weights(HIERARCHICAL)
    with pytest.warns(SpuriousComponentWarning, match="local mode"):  # many waiting times are equal
        mode, run = bg.fit_em(x, 2, prior=prior), bg.fit_em(x, 2, prior=prior, n_init=2, accelerate=False)
    assert mode.objective == pytest.approx(mode.log_likelihood + log_prior(HIERARCHICAL, mode.params), rel=1e-10)
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


@SOME
@pytest.mark.parametrize("family", ["diag", "tied", "full"])
def test_lkj_draws_carry_the_stated_density(reference_data, family):
    x = reference_data["faithful"]
    draws = bg.sample_nuts(x, 2, covariance_type=family, prior=with_flat_weights(LKJ), num_warmup=60, num_samples=20,
                           num_chains=1)  # fmt: skip
    theta = bg.Params(*(part[0, 7] for part in draws.params))
    assert draws.log_prior[0, 7] == pytest.approx(log_prior(LKJ, theta, family), rel=1e-9)
    assert draws.datatree["prior"]["means"].shape[-2:] == (2, 2)


@pytest.mark.slow
def test_inverse_gamma_is_what_the_families_say(reference_data):
    """Variances of a diagonal family have SciPy's inverse-gamma density at a draw; full covariances are refused."""
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
    """Moments of the prior draws, and one z per row."""
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
def test_invalid_input_gives_the_reason(reference_data, call, error, words):
    with pytest.raises(error, match=words):
        call(reference_data["faithful"])


def collapsing(x, covariances, which):
    """θ with components at the points `which`, with these covariances, and one component for all other rows."""
    num = len(which) + 1
    rest = 4.0 * np.eye(x.shape[1])
    return bg.Params.of(np.full(num, 1 / num), [*which, x.mean(axis=0)], [*covariances, rest])


@pytest.mark.parametrize(
    ("repeats", "df", "hyper_df", "rises"),
    [(1, 3.0, 2.5, False), (1, 3.0, 1.5, True), (1, 2.5, 2.4, True), (6, 4.0, 4.0, True), (6, 5.0, 4.5, False)],
)
def test_where_the_hierarchical_density_has_no_highest_mode(repeats, df, hyper_df, rises):
    """One component collapses onto a line: its density rises without bound, or falls, as the rule predicts.

    The line holds 2 rows, or all rows that share a value. For K = D = 2 the density is unbounded if
    ``hyper_df + df < (K - 1)(D + 1) + 2 = 5`` with two rows on the line; with six rows the limit is 9.
    """
    x = np.random.default_rng(0).normal(size=(30, 2))
    x[:repeats, 1] = 0.3
    prior = bg.HierarchicalInverseWishart(0.0, 10.0, df, hyper_df, 1.0)
    along = np.array([1.0, 0.0]) if repeats > 1 else x[1] - x[0]
    normal = np.array([-along[1], along[0]]) / np.hypot(*along)
    heights = []
    for sd in (1e-4, 1e-5):
        flat = 4.0 * np.eye(2) + (sd**2 - 4.0) * np.outer(normal, normal)
        params = collapsing(x, [flat], [x[0]])
        heights.append(log_prior(prior, params) + float(bg.log_likelihood(params, x)))
    assert (heights[1] > heights[0]) == rises
    full = with_flat_weights(prior).expand(2, 2)
    assert (full.components.unbounded_because(resolve_family("full", 2), x) is not None) == rises
    assert full.components.unbounded_because(resolve_family("tied", 2), x) is None
    assert with_flat_weights(prior).expand(1, 2).components.unbounded_because(resolve_family("full", 2), x) is None


def test_em_says_that_its_mode_is_a_local_one(reference_data):
    """Richardson & Green's prior, for K of at least 3."""
    x = reference_data["galaxy_corrected"]
    prior = with_flat_weights(bg.HierarchicalInverseWishart(21.7, 625.0, 4.0, 0.4, 62.5))
    with pytest.warns(SpuriousComponentWarning, match=r"local mode"):
        bg.fit_em(x, 3, prior=prior, init="k-means++", n_init=1)
    assert prior.expand(2, 1).components.unbounded_because(resolve_family("full", 1), x.to_numpy()) is None


def test_inverse_gamma_is_proper_for_smaller_df(rng):
    """``IG(1, 1)`` is proper in any dimension; errors about improper priors use the parameter names of the prior."""
    x = np.concatenate([rng.normal(size=(20, 4)), rng.normal(size=(20, 4)) + 5])
    gamma = bg.NormalInverseGamma(0.0, 0.01, shape=1.0, scale=1.0)
    wishart = bg.NormalInverseWishart(0.0, 0.01, 2.0, 2.0)
    fit = bg.fit_em(x, 2, covariance_type="spherical", prior=with_flat_weights(gamma), n_init=1)
    assert fit.converged
    with jax.enable_x64(True):
        one, two = (
            prepare(x, 2, with_flat_weights(prior), covariance_type="diag").model.family_prior
            for prior in (gamma, wishart)
        )
    jax.tree.map(np.testing.assert_array_equal, one, two)
    for bad, family, words in (
        (gamma._replace(shape=-2.0), "diag", "NormalInverseGamma needs shape above 0"),
        (wishart._replace(df=0.0), "diag", "df > 0"), (wishart._replace(scale=-1.0), "VII", "diagonal must be above 0"),
        (wishart, "full", "df > D - 1"), (gamma, "full", "correlations too"),
    ):  # fmt: skip
        with pytest.raises(PriorError, match=words):
            bg.fit_em(x, 2, covariance_type=family, prior=with_flat_weights(bad))
    with pytest.raises(PriorError, match="correlations too"):
        bg.fit_table(x, [2], "VVV", prior=with_flat_weights(gamma))


def test_every_prior_has_the_methods_that_are_documented():
    """Densities at draws equal those within the family; modes have zero gradient; other methods raise an error."""
    lkj = bg.NormalTimesLKJ(0.0, 2.0, 1.5, bg.HalfNormal(1.0))
    gamma = bg.NormalInverseGamma(0.5, 2.0, 3.0, np.array([1.0, 4.0]))
    apart = bg.NormalTimesInverseWishart(0.5, 2.0, 6.0, 1.5)
    with jax.enable_x64(True):
        for own, family in ((lkj, "full"), (gamma, "diag"), (apart, "full"), (HIERARCHICAL, "full")):
            prior = with_flat_weights(own).expand(2, 2)
            params = jax.jit(prior.sample)(jax.random.key(1))
            density = jax.jit(prior.log_density) if own is lkj else prior.log_density  # JAX can trace the constant too
            found = density(params) - prior.weights.log_normaliser()
            assert float(found) == pytest.approx(log_prior(own, params, family), rel=1e-10)
        for own in (gamma, apart):
            prior = with_flat_weights(own).expand(1, 2)
            mode = prior.mode()
            scales = jnp.diagonal(mode.scale_trils, axis1=1, axis2=2)

            def height(means, scales, prior=prior):
                trils = scales[:, :, None] * jnp.eye(2)
                return prior.log_kernel(bg.Params(jnp.ones(1), means, trils))  # both modes have diagonal covariances

            for gradient in jax.jit(jax.grad(height, (0, 1)))(mode.means, scales):
                np.testing.assert_allclose(gradient, 0.0, atol=1e-10)
    for own, method in ((lkj, "mode"), (HIERARCHICAL, "mode"), (apart, "update"), (lkj, "update")):
        prior = with_flat_weights(own).expand(2, 2)
        arguments = [label_stats(np.zeros((2, 2)), np.arange(2), 2)] if method == "update" else []
        with pytest.raises(PriorError, match=f"no {method} in closed form"):
            getattr(prior, method)(*arguments)


@pytest.mark.parametrize("method", ["sample", "log_density"])
def test_arrays_of_jax_in_single_precision_meet_the_doubles_of_a_prior(method):
    """No dtype is asked for that JAX does not have; a warning would be an error here."""
    params = bg.Params.of([0.4, 0.6], [[0.0, 1.0], [2.0, 3.0]], np.stack([np.eye(2)] * 2))
    present = bg.Params(*(jnp.asarray(np.asarray(part)) for part in params))
    assert present.means.dtype == jnp.float32
    for own in (
        bg.NormalInverseWishart(np.zeros(2), 0.1, 5.0, np.eye(2)), bg.NormalInverseGamma(0.5, 2.0, 3.0, np.ones(2)),
        bg.NormalTimesInverseWishart(0.5, 2.0, 6.0, 1.5), bg.NormalTimesLKJ(0.0, 2.0, 1.5, bg.HalfNormal(1.0)), HIERARCHICAL,
    ):  # fmt: skip
        prior = with_flat_weights(own).expand(2, 2)
        if method == "sample":
            assert all(np.isfinite(part).all() for part in prior.sample(jax.random.key(0), present))
        else:
            assert float(prior.log_density(present)) == pytest.approx(float(prior.log_density(params)), rel=1e-4)


def test_inverse_gamma_updates_as_one_dimension_does(rng):
    x = rng.normal(size=(5, 2)) * [1.0, 3.0]
    own = bg.NormalInverseGamma(0.5, 2.0, 3.0, np.array([1.0, 4.0]))
    with jax.enable_x64(True):
        seen = with_flat_weights(own).expand(1, 2).update(label_stats(x, np.zeros(5, int), 1)).components
    mean = x.mean(axis=0)
    np.testing.assert_allclose(seen.shape, [3.0 + 2.5])
    np.testing.assert_allclose(seen.loc, [(2.0 * 0.5 + 5 * mean) / 7.0])
    expected = [1.0, 4.0] + 0.5 * ((x - mean) ** 2).sum(axis=0) + 0.5 * 2.0 * 5 / 7.0 * (mean - 0.5) ** 2
    np.testing.assert_allclose(seen.scale, [expected])


def test_the_numpyro_model_under_inverse_gamma_has_diagonal_covariances():
    prior = with_flat_weights(bg.NormalInverseGamma(0.5, 2.0, 3.0, np.array([1.0, 4.0])))
    with jax.enable_x64(True):
        full = jax.tree.map(jnp.asarray, prior.expand(2, 2))
        params = full.sample(jax.random.key(0))
        variances = jnp.diagonal(params.covariances, axis1=1, axis2=2)
        sites = {"weights": params.weights, "means": params.means, "variances": variances, "z": jnp.zeros(1, int)}
        story = numpyro.handlers.condition(bg.gaussian_mixture, data=sites)
        x = np.zeros((1, 2))
        theirs = float(log_density(story, (full, jnp.asarray(x)), {}, {})[0])
        ours = float(full.log_density(params)) + float(bg.log_joint(params, x)[0, 0])
    assert ours == pytest.approx(theirs, rel=1e-10)


@pytest.mark.parametrize(
    ("prior", "words"),
    [
        (bg.Prior(bg.Dirichlet(1.0), bg.HalfNormal(1.0)), "components must be a NormalInverseWishart"),
        (bg.Prior(1.0, bg.NormalInverseWishart(0.0, 1.0, 3.0, 1.0)), "weights must be a Dirichlet"),  # pyright: ignore
    ],
)
def test_parts_of_another_kind_are_refused(reference_data, prior, words):
    with pytest.raises(PriorError, match=words):
        bg.fit_em(reference_data["waiting"], 2, prior=prior)
