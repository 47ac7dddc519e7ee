"""Longer statistical runs, for `make test-slow`. BAYESGMM_EFFORT scales their length; .ci/run uses a small value."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from oracles.agreement import assert_same_mean, invariants, mean_and_error
from oracles.effort import EFFORT, SOME, WHOLE
from oracles.geweke import geweke
from scipy.stats import chi2, kstest

import bayesgmm as bg
from bayesgmm.engines.step import KERNELS, step
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Frame
from bayesgmm.sweep.rows import to_rows

pytestmark = pytest.mark.slow


def test_long_geweke():
    z_scores = geweke(KERNELS["gibbs"], num=int(40_000 * EFFORT), chains=16)
    assert np.abs(z_scores).max() < 4.0, z_scores


def calibration_ranks(kernel, replicates, num_draws=99, thin=8, num_rows=12, dim=2, k=2):
    """Ranks of label-invariant quantities of θ among posterior draws (Talts et al. 2018), (replicate, quantity)."""
    prior = bg.Prior(bg.Dirichlet(2.0), bg.NormalInverseWishart(0.5, 0.5, dim + 3.0, 1.0)).expand(k, dim)
    with jax.enable_x64(True):
        belief = jax.tree.map(jnp.asarray, prior)
        rows = to_rows(np.zeros((num_rows, dim)), Frame(np.zeros(dim), np.ones(dim)))

        def quantities(params, x):
            mean = params.weights @ params.means
            return jnp.array([
                bg.log_likelihood(params, x), belief.log_density(params), (params.weights**2).sum(), mean[0], mean[1],
                jnp.max(params.means[:, 0]), jnp.sum(jnp.log(jnp.diagonal(params.scale_trils, axis1=1, axis2=2))),
                bg.log_density(params, jnp.zeros((1, dim)))[0],
            ])  # fmt: skip

        def one(key):
            key_theta, key_x, key_chain = jr.split(key, 3)
            truth = belief.sample(key_theta)
            x = bg.sample(key_x, truth, num_rows)[1]
            data = rows._replace(x=jnp.concatenate([jnp.ones((1, num_rows)), x.T])[None])

            def turn(params, key):
                keys = jr.split(key, thin)
                params, _ = jax.lax.scan(lambda p, key: (step(kernel, key, p, belief, data)[0], None), params, keys)
                return params, quantities(params, x)

            # The true θ is an exact posterior draw: a chain from it needs no warm-up, which could hide an error.
            _, draws = jax.lax.scan(turn, truth, jr.split(key_chain, num_draws))
            return (draws < quantities(truth, x)).sum(axis=0)

        return np.asarray(jax.jit(lambda keys: jax.lax.map(one, keys, batch_size=50))(jr.split(jr.key(5), replicates)))


def uniformity(ranks, bins=20, num_draws=99):
    counts = np.array([np.bincount(column * bins // (num_draws + 1), minlength=bins) for column in ranks.T])
    expected = len(ranks) / bins
    return chi2.sf(((counts - expected) ** 2 / expected).sum(axis=1), bins - 1)


def test_simulation_based_calibration_of_gibbs():
    ranks = calibration_ranks(KERNELS["gibbs"], int(1000 * EFFORT))
    assert uniformity(ranks).min() > 1e-4 / ranks.shape[1]
    assert min(kstest((column + 0.5) / 100, "uniform").pvalue for column in ranks.T) > 1e-4 / ranks.shape[1]


def test_calibration_catches_a_wrong_kernel():
    def narrow(key, belief, present):
        component = belief.components
        return belief._replace(components=component._replace(df=component.df + 3.0)).sample(key)

    ranks = calibration_ranks(KERNELS["gibbs"]._replace(estimate=narrow), int(1000 * EFFORT))
    assert uniformity(ranks).min() < 1e-6


@SOME
@pytest.mark.parametrize("engine", ["gibbs", "nuts"])
@pytest.mark.parametrize("family", CONJUGATE)
def test_every_exact_engine_is_calibrated_in_every_family(family, engine):
    """The public calls, from standardising to relabelling, on few rows in unequal units: a non-Gaussian posterior."""
    x = np.random.default_rng(0).normal([0.0, 400.0], [1.0, 100.0], (8, 2))
    prior = bg.Prior(
        bg.Dirichlet(2.0), bg.NormalInverseWishart([0.0, 400.0], 0.5, 6.0, [[2.0, 80.0], [80.0, 20_000.0]])
    )
    found = bg.calibrate(
        x, 2, engine=engine, covariance_type=family, prior=prior, n_sims=int(400 * EFFORT), num_warmup=250, num_samples=400,
        seed=8,
    )  # fmt: skip
    assert len(found.failures) == 0
    assert found.calibrated, found


HIERARCHICAL = bg.HierarchicalInverseWishart([0.0, 400.0], np.diag([2.0, 20_000.0]), 6.0, 4.0, np.diag([0.4, 4000.0]))
LKJ = bg.NormalTimesLKJ([0.0, 400.0], np.diag([2.0, 20_000.0]), 1.5, bg.LogNormal(np.log([1.0, 100.0]), 0.4))


@SOME
@pytest.mark.parametrize(
    ("engine", "components", "family", "options"),
    [
        ("gibbs", HIERARCHICAL, "full", {}),
        ("gibbs", HIERARCHICAL, "tied", {}),
        ("nuts", HIERARCHICAL, "full", {}),
        ("nuts", LKJ, "full", {}),
        ("nuts", LKJ, "diag", {}),
        ("gibbs", bg.NormalTimesInverseWishart([0.0, 400.0], np.diag([2.0, 20_000.0]), 6.0, np.diag([2.0, 20_000.0])), "full",
         {"tempering": 4}),
    ],
)  # fmt: skip
def test_other_priors_and_tempering_are_calibrated(engine, components, family, options):
    x = np.random.default_rng(0).normal([0.0, 400.0], [1.0, 100.0], (8, 2))
    found = bg.calibrate(
        x, 2, engine=engine, covariance_type=family, prior=bg.Prior(bg.Dirichlet(2.0), components), n_sims=int(400 * EFFORT),
        num_warmup=250, num_samples=400, seed=9, **options,
    )  # fmt: skip
    assert len(found.failures) == 0
    assert found.calibrated, found


@WHOLE
def test_engines_agree_on_iris(reference_data):
    """Four features, two components, default prior: long runs of both samplers, every label-invariant quantity.

    With three components the posterior has several modes, and Gibbs moves between them too seldom.
    """
    x = reference_data["iris"]
    gibbs = bg.sample_gibbs(x, 2, num_samples=int(20_000 * EFFORT), seed=1)
    nuts = bg.sample_nuts(x, 2, num_samples=int(8000 * EFFORT), seed=2)
    one, two = invariants(gibbs), invariants(nuts)
    for name in one:
        assert_same_mean(one[name], *mean_and_error(two[name]), name)
