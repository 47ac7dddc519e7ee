"""The telescoping sampler against exact posteriors, and as a sampler among the others."""

import jax
import jax.random as jr
import numpy as np
import pytest
from oracles.agreement import assert_same_mean, mean_and_error
from oracles.effort import WHOLE
from oracles.mixtures_of_mixtures import Exact
from scipy import stats

import bayesgmm as bg
from bayesgmm.engines.step import log_joint_scorer
from bayesgmm.model.mixture import PaddedScorer
from bayesgmm.priors.number_of_components import mass_beyond, masses_up_to
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.e_step import draw
from bayesgmm.sweep.in_use import sizes_up_to
from bayesgmm.sweep.rows import to_rows
from bayesgmm.sweep.statistics import sweep

X = np.array([-1.9, -1.6, 0.2, 0.5, 2.4])
POINTS = np.array([-2.0, 0.0, 1.2, 4.0])
OWN = (0.1, 0.3, 4.0, 1.2)
PRIOR = bg.Prior(weights=bg.Dirichlet(1.0), components=bg.NormalInverseWishart(*OWN))
SETTINGS = {"prior": PRIOR, "max_components": 4, "num_samples": 4000, "num_warmup": 200, "progress_bar": False}
POISSON = np.exp(stats.poisson.logpmf(np.arange(4), 1.5))


def gamma_nodes(shape, rate, of_each, num=200):
    """Nodes of a Gamma prior: points of equal probability."""
    values = stats.gamma.ppf((np.arange(num) + 0.5) / num, shape, scale=1 / rate)
    return [(1 / num, value, lambda k, value=value: of_each(value, k)) for value in values]


CASES = {
    "static": (bg.UniformComponents(4), bg.Static(0.7), np.ones(4) / 4, [(1.0, 0.7, lambda k: 0.7)], False),
    "tied": (bg.UniformComponents(4), bg.Static(0.7), np.ones(4) / 4, [(1.0, 0.7, lambda k: 0.7)], True),
    "dynamic": (
        bg.PoissonComponents(1.5), bg.Dynamic(bg.Gamma(2.0, 1.0)), POISSON / POISSON.sum(),
        gamma_nodes(2.0, 1.0, lambda value, k: value / k), False,
    ),
}  # fmt: skip


def drawn(name, **changes):
    components, concentration, _, _, pooled = CASES[name]
    settings = SETTINGS | {"components": components, "concentration": concentration} | changes
    return bg.sample_telescoping(X[:, None], covariance_type="tied" if pooled else "full", **settings)


def exact(name):
    _, _, masses, nodes, pooled = CASES[name]
    return Exact(X, masses, nodes, OWN, pooled, POINTS)


@pytest.fixture(scope="module")
def static():
    return drawn("static")


@pytest.mark.filterwarnings("ignore:The prior of K is truncated")
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_enumeration(name, request):
    found = request.getfixturevalue("static") if name == "static" else drawn(name)
    truth = exact(name)
    for k in range(1, 5):
        assert_same_mean(found.num_components == k, truth.of_components(k), 0.0, f"K = {k}")
        assert_same_mean(found.num_clusters == k, truth.of_clusters(k), 0.0, f"{k} clusters")
    proba = responsibilities_of(found)
    assert_same_mean((proba[:, :, 0] * proba[:, :, 1]).sum(axis=-1), truth.together, 0.0, "rows 0 and 1 together")
    for point, density in zip(POINTS, truth.density, strict=True):
        draws = np.exp(log_densities_of(found, np.array([[point]])))[:, :, 0]
        assert_same_mean(draws, density, 0.0, f"density at {point}")
    if name == "dynamic":
        assert_same_mean(np.log(found.concentrations), truth.log_value, 0.002, "concentration")


def responsibilities_of(found):
    """(chain, draw, N, K), in NumPy."""
    weights, means, trils = found.params
    logs = stats.norm.logpdf(X[:, None], means[:, :, None, :, 0], trils[:, :, None, :, 0, 0])
    joint = np.exp(logs) * weights[:, :, None]
    return joint / joint.sum(axis=-1, keepdims=True)


def log_densities_of(found, points):
    weights, means, trils = found.params
    density = stats.norm.pdf(points[:, 0, None], means[:, :, None, :, 0], trils[:, :, None, :, 0, 0])
    return np.log((density * weights[:, :, None]).sum(axis=-1))


def test_enumeration_tells_priors_apart(static):
    """The oracle is sharp enough: another concentration, and a K! / (K - K₊)! left out, are many errors away."""
    other = Exact(X, np.ones(4) / 4, [(1.0, 1.4, lambda k: 1.4)], OWN, False, POINTS)
    mean, error = mean_and_error(static.num_clusters.astype(float))
    assert abs(other.weights @ other.clusters - mean) > 5 * error
    mean, error = mean_and_error(static.num_components.astype(float))
    truth = exact("static")
    orders = np.array([np.prod(np.arange(k, k - c, -1)) for k, c in zip(truth.numbers, truth.clusters, strict=True)])
    wrong = truth.weights / orders
    assert abs(wrong @ truth.numbers / wrong.sum() - mean) > 5 * error


def test_prior_of_clusters_by_enumeration(static):
    """P(K₊) under the prior: the share of z with k labels, without the data."""
    truth = exact("static")
    truth.log_marginal = lambda blocks, point=0.0: 0.0
    flat = object.__new__(Exact)
    flat.log_marginal = truth.log_marginal
    Exact.__init__(flat, X, *CASES["static"][2:4], OWN)
    found = [flat.of_clusters(k) for k in range(1, 5)]
    np.testing.assert_allclose(static.prior_of_clusters[1:], found, rtol=1e-10)


@pytest.mark.parametrize(
    "prior",
    [
        bg.UniformComponents(7), bg.FixedComponents(3), bg.GeometricComponents(0.2), bg.PoissonComponents(2.5),
        bg.BetaNegativeBinomialComponents(),
    ],
    ids=lambda prior: type(prior).__name__,
)  # fmt: skip
def test_priors_of_k_are_those_of_scipy(prior):
    k = np.arange(1, 60)
    theirs = {
        "UniformComponents": stats.randint(1, 8).pmf(k), "FixedComponents": (k == 3).astype(float),
        "GeometricComponents": stats.geom(0.2).pmf(k), "PoissonComponents": stats.poisson(2.5).pmf(k - 1),
        "BetaNegativeBinomialComponents": getattr(stats, "betanbinom")(1, 4, 3).pmf(k - 1),  # noqa: B009
    }[type(prior).__name__]  # fmt: skip
    np.testing.assert_allclose(np.exp(prior.log_mass(k)), theirs, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(masses_up_to(prior, 10), theirs[:10] / theirs[:10].sum(), rtol=1e-9)
    assert mass_beyond(prior, 59) == pytest.approx(max(1 - theirs.sum(), 0), abs=1e-12)


def test_a_pass_over_the_components_in_use_is_the_pass(rng):
    """At every size of the padding, and of several chains with different K at once."""
    x = rng.normal(size=(40, 1))
    assert sizes_up_to(14) == (12, 14)
    with scope("float64"):
        rows = to_rows(x, bg.problem.Frame(np.zeros(1), np.ones(1)), "float64")
        nums = np.array([3, 13])
        weights = np.where(np.arange(14) < nums[:, None], 1.0 / nums[:, None], 0.0)
        params = bg.Params(weights, rng.normal(size=(2, 14, 1)), np.ones((2, 14, 1, 1)))  # pyright: ignore
        keys = jr.split(jr.key(0), 2)
        plain = jax.vmap(lambda key, theta: sweep(key, log_joint_scorer(theta), rows, draw))(keys, params)

        def padded(key, theta, num):
            return sweep(key, PaddedScorer(log_joint_scorer(theta), num), rows, draw)

        both = jax.vmap(padded)(keys, params, nums)
        one = jax.jit(padded)(keys[0], jax.tree.map(lambda leaf: leaf[0], params), nums[0])
    for ours, theirs in zip(jax.tree.leaves(both), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(one.counts, plain.counts[0])
    assert np.asarray(plain.counts)[0, 3:].sum() == 0


@WHOLE
def test_rows_that_count_twice_are_two_rows():
    """Against the enumeration of the repeated rows; rows of weight 0 do not count."""
    x, weights = np.array([-1.9, 0.2, 2.4, 9.0]), [2.0, 2.0, 1.0, 0.0]
    truth = Exact(np.repeat(x[:3], [2, 2, 1]), np.ones(4) / 4, [(1.0, 0.7, lambda k: 0.7)], OWN, False, POINTS)
    found = bg.sample_telescoping(
        x[:, None], weights=weights, components=bg.UniformComponents(4), concentration=bg.Static(0.7), **SETTINGS
    )
    for k in range(1, 5):
        assert_same_mean(found.num_components == k, truth.of_components(k), 0.0, f"K = {k}")
        assert_same_mean(found.num_clusters == k, truth.of_clusters(k), 0.0, f"{k} clusters")
