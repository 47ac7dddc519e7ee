"""The evidence against enumeration, closed forms and published values of the galaxies."""

import copy
import dataclasses
import math

import jax
import numpy as np
import pytest
from fuzz import objects
from oracles.effort import SOME, WHOLE
from oracles.parameters import random_params
from scipy.special import logsumexp
from scipy.stats import halfnorm, invwishart, multivariate_normal, norm

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, MixingWarning, PriorError
from bayesgmm.priors.frozen import Blocks

X = np.random.default_rng(0).normal(size=(8, 2)) + np.repeat([[0.0, 0.0], [3.0, 3.0]], 4, axis=0)
PRIOR = bg.Prior(
    bg.Dirichlet([1.0, 2.5]), bg.NormalInverseWishart([1.0, 2.0], 0.5, 5.0, np.array([[1.0, 0.3], [0.3, 2.0]]))
)
CHIB = bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesInverseWishart(20.0, 100.0, 6.0, 40.0))
"""μ_k ~ N(20, 100), σ² ~ IG(3, 20) (Chib 1995)."""
MOST = 4.0
"""Standard errors that a right estimate may be off."""


def drawn(num_components=2, **settings):
    return bg.sample_exact(X, num_components, num_samples=500, num_chains=4, seed=2, **settings)


def assert_right(found, truth, largest=0.03):
    """Within `MOST` standard errors, and these are small."""
    assert 0.0 < found.standard_error < largest
    assert abs(found.log_evidence - truth) < MOST * found.standard_error, (found.log_evidence, truth)


# --- Densities of the mixture ---


def test_blocks_are_normal_and_inverse_wishart_densities():
    """Every pair of slot and component, against SciPy; the pooled ones share a covariance."""
    theta, other = random_params(1, 2, 3), random_params(2, 2, 3)
    df, scale = np.array([6.0, 9.0]), 3.0 * other.covariances
    blocks = Blocks(other.means, np.linalg.cholesky(other.covariances), df + 4.0, scale, np.asarray(False))
    with jax.enable_x64(True):
        kernels, constant = jax.jit(
            lambda blocks, theta: (blocks.cross_kernels(theta.means, theta.scale_trils), blocks.log_normaliser())
        )(blocks, theta)
    kernels, constant = np.asarray(kernels), float(constant)
    expected = np.array([
        [
            invwishart.logpdf(theta.covariances[j], df[k], scale[k])
            + multivariate_normal(other.means[k], np.linalg.inv(other.covariances[k])).logpdf(theta.means[j])
            for j in range(2)
        ]
        for k in range(2)
    ])  # fmt: skip
    for order in ([0, 1], [1, 0]):
        assert kernels[[0, 1], order].sum() + constant == pytest.approx(expected[[0, 1], order].sum(), rel=1e-10)


# --- Enumeration ---


@pytest.fixture(scope="module")
def exact():
    return drawn()


def test_bridge_is_the_enumeration(exact):
    """With two labellings of equal density; both roles of the halves, and each chain."""
    found = bg.evidence(exact)
    assert_right(found, exact.log_evidence)
    assert found.num_draws == 2000
    assert found.trusted
    assert np.abs(found.by_chain - exact.log_evidence).max() < 5 * MOST * found.standard_error
    assert repr(found).startswith("log evidence -33.8")
    assert bg.evidence(exact, seed=1).log_evidence != found.log_evidence


def test_without_the_other_labelling_it_is_wrong(exact):
    """Negative control: relabelled draws, bridged to one labelling only, give the evidence without log 2!."""
    model = copy.copy(exact.model)
    model.__dict__["interchangeable"] = np.eye(2, dtype=bool)
    found = bg.evidence(dataclasses.replace(exact, model=model))
    assert found.log_evidence < exact.log_evidence - 0.3


def test_thames_agrees(exact):
    found = bg.evidence(exact, method="thames")
    assert_right(found, exact.log_evidence, 0.15)
    assert found.by_chain is None


def test_own_estimates(exact):
    found = bg.evidence(exact, method="exact")
    assert (found.log_evidence, found.standard_error) == (exact.log_evidence, 0.0)
    assert "(exact)" in repr(found)


@pytest.mark.slow
def test_one_component_is_exact_without_error():
    """K = 1: the posterior given z is the posterior, so that every ratio is the evidence."""
    one = drawn(1)
    found = bg.evidence(one)
    assert found.log_evidence == pytest.approx(one.log_evidence, abs=1e-9)
    assert found.standard_error < 1e-9


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({"prior": PRIOR}, marks=SOME, id="components-told-apart"),
        pytest.param({"num_components": 3}, marks=SOME, id="three"),
        pytest.param({"num_components": 3, "covariance_type": "tied"}, marks=SOME, id="tied"),
        pytest.param({"num_components": 3, "covariance_type": "diag"}, marks=SOME, id="diag"),
        pytest.param({"num_components": 3, "covariance_type": "spherical"}, marks=SOME, id="spherical"),
        pytest.param({"labels": np.array([0, -1, -1, -1, 1, -1, -1, -1])}, marks=SOME, id="labels"),
        pytest.param({"fixed": {"weights": [0.3, 0.7]}}, marks=SOME, id="weights-held"),
        pytest.param({"fixed": {"means": {0: [0.0, 0.0]}}}, marks=SOME, id="mean-held"),
        pytest.param({"fixed": {"covariances": {0: np.eye(2)}}}, marks=SOME, id="covariance-held"),
        pytest.param({"noise": True, "covariance_type": "diag"}, marks=SOME, id="noise"),
    ],
)
def test_every_model_is_the_enumeration(settings):
    posterior = drawn(**settings)
    assert_right(bg.evidence(posterior), posterior.log_evidence)
    assert_right(bg.evidence(posterior, method="thames"), posterior.log_evidence, 0.4)


@pytest.mark.slow
def test_rows_that_count_twice_are_repeated_rows():
    half = np.repeat(X[::2], 2, axis=0)
    truth = bg.sample_exact(half, 2, num_samples=50)
    prior = truth.prior
    weighted = bg.sample_gibbs(X[::2], 2, prior=prior, weights=np.full(4, 2), num_samples=2000, seed=1)
    assert_right(bg.evidence(weighted), truth.log_evidence)


@WHOLE
def test_gibbs_and_nuts_agree_under_independent_priors(reference_data):
    x = reference_data["galaxy_corrected"]
    nuts = bg.sample_nuts(x, 3, covariance_type="E", prior=CHIB, target_accept_prob=0.95, seed=1)
    gibbs = bg.sample_gibbs(x, 3, covariance_type="E", prior=CHIB, seed=1)
    one, two = bg.evidence(nuts), bg.evidence(gibbs)
    assert abs(one.log_evidence - two.log_evidence) < MOST * math.hypot(one.standard_error, two.standard_error)


# --- Closed forms with a part held, under independent priors ---


def test_a_held_mean_leaves_an_inverse_gamma():
    """One feature, K = 1, mean 1 held: ``p(x) = p(x | σ²) p(σ²)`` over its posterior, at any σ²; tied or not."""
    x = X[:, :1]
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesInverseWishart(0.0, 4.0, 5.0, 3.0))
    found = bg.evidence(bg.sample_gibbs(x, 1, prior=prior, fixed={"means": {0: [1.0]}}, seed=1))
    variance, spread = 2.0, float(((x - 1.0) ** 2).sum())
    truth = norm.logpdf(x, 1.0, math.sqrt(variance)).sum() + invwishart.logpdf(variance, 5.0, 3.0)
    truth -= invwishart.logpdf(variance, 5.0 + len(x), 3.0 + spread)
    assert found.log_evidence == pytest.approx(truth, abs=1e-8)


# --- Published values ---

PUBLISHED = {
    ("K2_equal", 2, "E", -239.763), ("K3_equal", 3, "E", -226.8115), ("K3_unequal", 3, "V", -226.793),
}  # fmt: skip
"""Neal's correction of Chib (1995), recomputed to 0.002: `shared/truth/bayes/published.json`."""


@pytest.mark.parametrize(
    ("name", "num", "family", "truth"), [pytest.param(*one, marks=SOME) for one in sorted(PUBLISHED)]
)
def test_published_evidence_of_the_galaxies(reference_data, name, num, family, truth):
    posterior = bg.sample_gibbs(
        reference_data["galaxy_corrected"], num, covariance_type=family, prior=CHIB, num_samples=2000, seed=3
    )
    for method, error in (("bridge", 0.002), ("thames", 0.002)):
        found = bg.evidence(posterior, method=method)
        assert abs(found.log_evidence - truth) < 3.0 * math.hypot(found.standard_error, error), (name, found)


@pytest.mark.parametrize(
    ("num", "truth"),
    [pytest.param(*one, marks=SOME) for one in ((1, -247.543), (3, -226.941))],
)
def test_published_evidence_under_the_hierarchical_prior(reference_data, num, truth):
    """Richardson & Green's prior, whose scale is integrated out in the target and drawn in the proposal."""
    found = bg.evidence(richardson_green(reference_data, num))
    assert abs(found.log_evidence - truth) < 3.0 * math.hypot(found.standard_error, 0.005)


@pytest.mark.slow
def test_two_modes_between_which_chains_rarely_move_are_reported(reference_data):
    """K = 2 of the same: all chains together visit both modes, and the warning says that they have not mixed."""
    posterior = richardson_green(reference_data, 2)
    with pytest.warns(MixingWarning, match="The chains have not mixed"):
        found = bg.evidence(posterior)
    assert found.log_evidence == pytest.approx(-235.382, abs=0.15)


def richardson_green(reference_data, num):
    x = reference_data["galaxy_corrected"]
    span = float(np.ptp(x.to_numpy()))
    middle = float(x.to_numpy().min()) + span / 2
    prior = bg.Prior(bg.Dirichlet(1.0), bg.HierarchicalInverseWishart(middle, span**2, 4.0, 0.4, span**2 / 10))
    return bg.sample_gibbs(x, num, prior=prior, num_samples=2000, seed=3)


@WHOLE
def test_the_error_is_the_spread_over_repeats(reference_data):
    """Twenty runs of Gibbs and bridge: their standard deviation against the mean stated error."""
    x = reference_data["galaxy_corrected"]
    found = [bg.evidence(bg.sample_gibbs(x, 3, prior=CHIB, seed=seed), seed=seed) for seed in range(20)]
    values, errors = (np.array([getattr(one, name) for one in found]) for name in ("log_evidence", "standard_error"))
    assert 0.6 < values.std(ddof=1) / errors.mean() < 1.6
    assert abs(values.mean() + 226.793) < 4.0 * values.std(ddof=1) / math.sqrt(20) + 0.003


# --- What is refused, and what is said ---


def test_what_has_no_evidence_is_refused(exact):
    with pytest.raises(ArgumentError, match="This is a MixtureFit, not a posterior"):
        bg.evidence(bg.fit_em(X, 1))
    with pytest.raises(ArgumentError, match="method must be one of"):
        bg.evidence(exact, method="harmonic")
    with pytest.raises(ArgumentError, match="method='bound' is for the results of fit_cavi or fit_svi"):
        bg.evidence(exact, method="bound")
    few = dataclasses.replace(
        exact, **{name: getattr(exact, name)[:, :10] for name in ("log_likelihood", "log_prior", "permutations")},
        params=bg.Params(*(part[:, :10] for part in exact.params)),
    )  # fmt: skip
    with pytest.raises(ArgumentError, match="4 × 10 draws are too few for the evidence"):
        bg.evidence(few)
    with pytest.raises(PriorError, match="The prior of these draws is not known"):
        bg.evidence(
            bg.from_draws({name: getattr(exact.params, name) for name in ("weights", "means", "covariances")}, X)
        )


def test_draws_of_an_approximation_are_refused_and_its_bound_is_given():
    cavi = objects.cavi()
    with pytest.raises(ArgumentError, match="Draws of cavi come from an approximation"):
        bg.evidence(cavi)
    found = bg.evidence(cavi, method="bound")
    assert found.log_evidence == cavi.elbo
    assert math.isnan(found.standard_error)
    assert not found.trusted
    assert "lower bound" in repr(found)
    assert "lower bound" in found._repr_html_()


@pytest.mark.slow
def test_lkj_priors_have_thames_only():
    """One feature, K = 1, against a sum over a grid of means and standard deviations."""
    x = X[:, :1]
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesLKJ(1.5, 4.0, 1.0, bg.HalfNormal(2.0)))
    nuts = bg.sample_nuts(x, 1, prior=prior, target_accept_prob=0.98, seed=1)
    with pytest.raises(PriorError, match="Use method='thames'"):
        bg.evidence(nuts)
    means, sds = np.linspace(-10.0, 12.0, 1001), np.linspace(0.02, 14.0, 1000)
    logs = norm.logpdf(means, 1.5, 2.0)[:, None] + halfnorm.logpdf(sds, scale=2.0)
    logs = logs + sum(norm.logpdf(row, means[:, None], sds) for row in x[:, 0])
    truth = logsumexp(logs) + math.log((means[1] - means[0]) * (sds[1] - sds[0]))
    assert_right(bg.evidence(nuts, method="thames"), truth, 0.05)


def test_chains_in_different_modes_are_reported(exact):
    """Chains that disagree: here those of rows apart, of which two stand still at another place."""
    shifted = exact.log_likelihood.copy()
    shifted[2:] -= 20.0
    means = exact.params.means.copy()
    means[2:] += 3.0
    stuck = dataclasses.replace(exact, log_likelihood=shifted, params=exact.params._replace(means=means))
    with pytest.warns(MixingWarning, match="The chains have not mixed"):
        found = bg.evidence(stuck)
    assert not found.trusted
