"""Gibbs and NUTS: against enumeration, each other, JAGS, bayesm and forward simulation."""

import jax
import jax.random as jr
import numpy as np
import pytest
from jax.flatten_util import ravel_pytree
from oracles import twins
from oracles.agreement import assert_same_mean, invariants, mean_and_error
from oracles.effort import SOME, WHOLE
from oracles.geweke import geweke
from oracles.parameters import prior_of, random_params
from oracles.posteriors import TINY, TINY_PRIOR

import bayesgmm as bg
from bayesgmm.engines import coordinates
from bayesgmm.engines.mcmc import chain_loop as blocks
from bayesgmm.engines.mcmc import gibbs, mass_matrix
from bayesgmm.engines.step import KERNELS
from bayesgmm.errors import ArgumentError, FitError, PriorError
from bayesgmm.problem import prepare
from bayesgmm.runtime.arguments import as_key
from bayesgmm.sweep.likelihood import expected_statistics


def coassignment(posterior, x):
    """P(z_i = z_j | θ) for each pair of rows, (chain, draw, pair)."""
    weights, means, trils = posterior.params
    score = np.log(weights)[:, :, None] - 0.5 * ((x - means[:, :, None, :, 0]) / trils[:, :, None, :, 0, 0]) ** 2
    score = score - np.log(trils[:, :, None, :, 0, 0])
    r = np.exp(score - np.logaddexp.reduce(score, axis=-1, keepdims=True))
    rows, columns = np.triu_indices(len(x), 1)
    return (r[:, :, rows] * r[:, :, columns]).sum(axis=-1)


@pytest.mark.parametrize("engine", [bg.sample_gibbs, bg.sample_nuts])
def test_posterior_of_z_is_that_of_all_labelings(engine):
    """Exact by enumeration: θ is integrated out and all K^N labelings are summed; compare P(z_i = z_j | x)."""
    labelings, probabilities, _ = twins.enumerate_labelings(TINY, 2, **TINY_PRIOR)
    posterior = engine(TINY, 2, prior=prior_of(**TINY_PRIOR), num_warmup=500, num_samples=2500, seed=3)
    draws = coassignment(posterior, TINY)
    for pair, (i, j) in enumerate(zip(*np.triu_indices(len(TINY), 1), strict=True)):
        exact = probabilities[labelings[:, i] == labelings[:, j]].sum()
        assert_same_mean(draws[:, :, pair], exact, 0.0, f"{engine.__name__} P(z{i} = z{j})")


def test_geweke_joint_distribution():
    """Forward draws of (θ, x) and a chain that alternates θ | x and x | θ have the same distribution (Geweke 2004)."""
    z_scores = geweke(KERNELS["gibbs"])
    assert np.abs(z_scores).max() < 4.0, z_scores


def test_geweke_catches_a_wrong_kernel():
    """Negative control: a kernel that draws θ with wrong degrees of freedom must fail clearly."""

    def forgetful(key, belief, present):
        component = belief.components
        return belief._replace(components=component._replace(df=component.df + 1.0)).sample(key)

    z_scores = geweke(KERNELS["gibbs"]._replace(estimate=forgetful))
    assert np.abs(z_scores).max() > 8.0, z_scores


@pytest.mark.parametrize("engine", [bg.sample_gibbs, pytest.param(bg.sample_nuts, marks=pytest.mark.slow)])
def test_old_faithful_under_bayesms_prior(truth, reference_data, engine):
    reference = truth("posterior")["bayesm"]
    p = reference["prior"]
    posterior = engine(
        reference_data["faithful"],
        2,
        prior=prior_of(p["a"], p["mubar"], p["A"], p["nu"], p["V"]),
        num_samples=2000,
        seed=7,
    )
    assert posterior.worst_rhat < 1.01
    params = posterior.params
    order = np.argsort(params.means[..., 0], axis=-1)[0, 0]
    ours = {"loglik": posterior.log_likelihood}
    for k in range(2):
        ours[f"w[{k + 1}]"] = params.weights[:, :, order[k]]
        for d in range(2):
            ours[f"mu[{k + 1},{d + 1}]"] = params.means[:, :, order[k], d]
            for e in range(d, 2):
                name = f"Sigma[{k + 1},{d + 1},{e + 1}]"
                if name in reference["summary"]:
                    ours[name] = params.covariances[:, :, order[k], d, e]
    assert len(ours) >= 10
    for name, draws in ours.items():
        entry = reference["summary"][name]
        assert_same_mean(draws, entry["mean"], entry["mcse"], f"{engine.__name__} {name}")
        assert draws.std() == pytest.approx(entry["sd"], rel=0.1)


@pytest.mark.parametrize(
    ("engine", "which"),
    [(bg.sample_gibbs, 1)]
    + [pytest.param(*pair, marks=SOME) for pair in ((bg.sample_nuts, 1), (bg.sample_gibbs, 0), (bg.sample_nuts, 0))],
)
def test_univariate_posteriors_agree_with_jags(truth, reference_data, engine, which):
    """Waiting times (K = 2), galaxies (K = 3), conjugate prior: label-invariant quantities and predictive density."""
    reference = truth("posterior")["jags"][which]
    x = {"waiting_K2_NIG": "waiting", "galaxy26960_K3_NIG": "galaxy_corrected"}[reference["id"]]
    p = reference["prior"]
    prior = prior_of(p["alpha"], p["m0"], p["kappa0"], 2 * p["c0"], [[2 * p["C0"]]])
    posterior = engine(reference_data[x], reference["K"], prior=prior, num_samples=5000, num_warmup=1000, seed=11)
    summary = reference["summary"]
    weights = posterior.params.weights
    assert_same_mean(posterior.log_likelihood, summary["loglik"]["mean"], summary["loglik"]["mcse"], "loglik")
    assert_same_mean((weights**2).sum(-1), summary["sum_w2"]["mean"], summary["sum_w2"]["mcse"], "sum_w2")
    grid = np.array(reference["predictive_grid"])
    _, means, trils = posterior.params
    for point, mean, error in zip(grid, reference["predictive_mean"], reference["predictive_mcse"], strict=True):
        gaussians = (
            np.exp(-0.5 * ((point - means[..., 0]) / trils[..., 0, 0]) ** 2) / trils[..., 0, 0] / np.sqrt(2 * np.pi)
        )
        assert_same_mean((weights * gaussians).sum(-1), mean, error, f"p({point:.3g})", most=4.5)


@pytest.mark.slow
def test_gibbs_and_nuts_agree_on_galaxies(reference_data):
    """Three components, one prior, label-invariant quantities; the ESS sets the tolerance."""
    prior = prior_of(1.0, 20.0, 0.1, 6.0, [[12.0]])
    one = invariants(bg.sample_gibbs(reference_data["galaxy_corrected"], 3, prior=prior, num_samples=4000, seed=1))
    two = invariants(bg.sample_nuts(reference_data["galaxy_corrected"], 3, prior=prior, num_samples=4000, seed=2))
    for name in one:
        assert_same_mean(one[name], *mean_and_error(two[name]), name)


def test_map_em_gibbs_and_nuts_agree_on_old_faithful(reference_data):
    """EM's mode has a higher density than every draw; the samplers' means agree up to Monte Carlo error."""
    x = reference_data["faithful"]
    mode = bg.fit_em(x, 2, prior="default")
    runs = [engine(x, 2, seed=4, reference=mode) for engine in (bg.sample_gibbs, bg.sample_nuts)]
    for posterior in runs:
        highest = (posterior.log_likelihood + posterior.log_prior).max()
        assert mode.objective - 3 < highest < mode.objective
        sd = posterior.params.means.std(axis=(0, 1))
        assert (np.abs(posterior.params.means.mean(axis=(0, 1)) - mode.params.means) < 0.25 * sd).all()
    for name in ("weights", "means", "covariances"):
        one, two = (getattr(p.params, name) for p in runs)
        for index in np.ndindex(one.shape[2:]):
            where = (slice(None), slice(None), *index)
            assert_same_mean(one[where], *mean_and_error(two[where]), f"{name}{index}")


@WHOLE
def test_enumerated_nuts_is_the_same_posterior(reference_data):
    x = reference_data["faithful"]
    slow = bg.sample_nuts(x, 2, likelihood="enumerated", num_warmup=200, num_samples=900, num_chains=2, seed=1)
    fast = bg.sample_nuts(x, 2, num_samples=1000, seed=2)
    assert set(slow.sample_stats) >= {"diverging", "n_steps", "tree_depth", "acceptance_rate", "energy", "step_size"}
    assert_same_mean(slow.log_likelihood, *mean_and_error(fast.log_likelihood), "loglik")
    assert_same_mean(slow.params.means[:, :, 0, 1], *mean_and_error(fast.params.means[:, :, 0, 1]), "mean")


def test_log_prior_and_log_likelihood_of_draws_are_in_the_users_units(reference_data):
    x = reference_data["faithful"].to_numpy()
    for posterior in (
        bg.sample_gibbs(x, 2, num_warmup=20, num_samples=20),
        bg.sample_nuts(x, 2, num_warmup=150, num_samples=20),  # warm-up is part of the program
    ):
        theta = bg.Params(*(part[1, 7] for part in posterior.params))
        loc, strength, df, scale = (part[0] for part in posterior.prior.components)
        expected = twins.log_prior(theta, [1.0, 1.0], loc, strength, df, scale)
        assert posterior.log_prior[1, 7] == pytest.approx(expected, rel=1e-9)
        assert posterior.log_likelihood[1, 7] == pytest.approx(float(bg.log_likelihood(theta, x)), rel=1e-9)


@pytest.mark.parametrize("engine", [bg.sample_gibbs, bg.sample_nuts])
def test_same_seed_same_draws_wherever_blocks_end(engine, reference_data, monkeypatch):
    arguments = {"num_warmup": 150, "num_samples": 40, "seed": 6}
    first = engine(reference_data["faithful"], 2, **arguments)
    monkeypatch.setattr(blocks, "_next_size", lambda *args: 7)
    second = engine(reference_data["faithful"], 2, **arguments)
    np.testing.assert_array_equal(first.params.means, second.params.means)
    monkeypatch.undo()
    other = engine(reference_data["faithful"], 2, **(arguments | {"seed": 7}))
    assert not np.array_equal(first.params.means, other.params.means)


def test_a_second_run_compiles_nothing(reference_data):
    bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=5, num_samples=5)
    before = gibbs._BLOCK.num_compilations
    bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=9, num_samples=300, seed=2)
    assert gibbs._BLOCK.num_compilations == before


def test_empty_components_are_drawn_from_the_prior():
    """Six rows, five components: the draws of Gibbs are finite, and the weights sum to one."""
    posterior = bg.sample_gibbs(TINY, 5, num_warmup=100, num_samples=500, seed=0)
    assert all(np.isfinite(part).all() for part in posterior.params)
    np.testing.assert_allclose(posterior.params.weights.sum(axis=-1), 1.0)


@pytest.mark.parametrize("init", ["em", "dispersed"])
def test_starts(reference_data, init):
    posterior = bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=0, num_samples=5, init=init, seed=1)
    starts = posterior.params.means[:, 0]
    assert (np.ptp(starts, axis=0) == 0).all() == (init == "em")
    again = bg.sample_gibbs(
        reference_data["faithful"],
        2,
        num_warmup=0,
        num_samples=5,
        init=bg.fit_em(reference_data["faithful"], 2),
    )
    assert again.num_samples == 5


@WHOLE
def test_chains_from_distinct_basins(reference_data):
    """EM finds three modes of galaxies: chains start at different ones, the highest first. K = 1 has one mode."""
    x = reference_data["galaxy_corrected"]
    posterior = bg.sample_gibbs(x, 3, init="basins", num_warmup=0, num_samples=5, seed=1)
    heights = (posterior.log_likelihood + posterior.log_prior)[:, 0]
    assert (np.diff(heights[:3]) < -0.05).all()
    assert heights[3] == heights[0]
    best = bg.fit_em(x, 3, prior="default", n_init=16)
    assert heights[0] == pytest.approx(best.objective, abs=0.01)
    one = bg.sample_gibbs(x, 1, init="basins", num_warmup=0, num_samples=5, num_chains=2)
    np.testing.assert_array_equal(one.params.means[0, 0], one.params.means[1, 0])
    with pytest.raises(ArgumentError, match="basins, Params or a fit, got 'basin'"):
        bg.sample_gibbs(x, 3, init="basin")


@pytest.mark.parametrize("engine", [bg.sample_gibbs, bg.sample_nuts])
@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"prior": None}, PriorError, "needs a proper prior"),
        ({"prior": bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 0.0, 5.0, 1.0))}, PriorError, "strength"),
        ({"num_samples": 0}, ArgumentError, "num_samples"),
        ({"num_warmup": -1}, ArgumentError, "num_warmup"),
        ({"num_chains": 0}, ArgumentError, "num_chains"),
        ({"init": "luck"}, ArgumentError, "init"),
        ({"covariance_type": "VVE"}, ArgumentError, "covariance_type 'VVE'"),
    ],
)
def test_bad_arguments(engine, reference_data, arguments, error, words):
    with pytest.raises(error, match=words):
        engine(reference_data["faithful"], 2, **arguments)


@pytest.mark.parametrize("engine", [bg.sample_gibbs, bg.sample_nuts])
def test_a_singular_posterior_is_an_error_not_nan(engine, rng):
    x = rng.normal(size=(3000, 1))
    x = np.concatenate([x, x + 3e-5 * rng.normal(size=(3000, 1))], axis=1)
    with pytest.raises(FitError, match="float64"):
        engine(
            x, 1, dtype="float32", prior=prior_of(1.0, 0.0, 1e-3, 3.0, np.eye(2) * 1e-12), num_warmup=50, num_samples=50
        )


def test_sparse_weights_have_finite_priors():
    posterior = bg.sample_gibbs(TINY, 5, prior=prior_of(0.001, 0.0, 0.5, 4.0, [[1.0]]), num_warmup=50, num_samples=200)
    assert (posterior.params.weights > 0).all()
    assert np.isfinite(posterior.log_prior).all()


def test_reference_and_start_are_checked_before_the_run(reference_data):
    x = reference_data["faithful"]
    three = bg.fit_em(x, 3, prior="default")
    for name in ("reference", "init"):
        with pytest.raises(ArgumentError, match=f"{name} must be a fit or Params of 2 components"):
            bg.sample_gibbs(x, 2, **{name: three})
    bad = bg.fit_em(x, 2).params._replace(weights=np.array([-1.0, 2.0]))
    with pytest.raises(ArgumentError, match="weights above 0"):
        bg.sample_gibbs(x, 2, init=bad)


def test_the_tree_and_the_chains_use_different_keys():
    key = jr.split(jr.key(0), 3)
    data = {tuple(np.asarray(jr.key_data(k))) for k in [*key, *jr.split(key[1], 4), *jr.split(key[2], 3)]}
    assert len(data) == 10


def test_all_bits_of_a_seed_count():
    with jax.enable_x64(False):
        assert (jr.key_data(as_key(7)) != jr.key_data(as_key(7 + 2**32))).any()


@WHOLE
def test_labels_kept_give_the_same_posterior():
    """NumPyro draws each z_n between updates of θ; against enumeration on `TINY`."""
    labelings, probabilities, _ = twins.enumerate_labelings(TINY, 2, **TINY_PRIOR)
    posterior = bg.sample_nuts(
        TINY, 2, prior=prior_of(**TINY_PRIOR), num_warmup=400, num_samples=2500, seed=3, likelihood="labels"
    )
    draws = coassignment(posterior, TINY)
    for pair, (i, j) in enumerate(zip(*np.triu_indices(len(TINY), 1), strict=True)):
        exact = probabilities[labelings[:, i] == labelings[:, j]].sum()
        assert_same_mean(draws[:, :, pair], exact, 0.0, f"P(z{i} = z{j})")


@WHOLE
@pytest.mark.parametrize("family", ["full", "diag"])
def test_mass_matrix_starts_from_ems_information(rng, family):
    """With one component z is known: the complete-data information is the curvature of the log posterior."""
    x = rng.normal(size=(50, 2)) * [1.0, 20.0]
    with jax.enable_x64(True):
        problem = prepare(x, 1, "default", covariance_type=family)
        prior, start = problem.standard_prior, random_params(rng, 1, 2)

        def curvature_and_information():
            params = prior.update(expected_statistics(start, problem.rows)).mode(start)
            params = prior.components.project(params)
            flat, rebuild = ravel_pytree(coordinates.unconstrain(params, prior))
            curvature = jax.hessian(lambda u: coordinates.potential(rebuild(u), prior, problem.rows))(flat)
            found = (mass_matrix.posterior_variances(params, prior, problem.rows, dense) for dense in (True, False))
            return curvature, *found

        curvature, dense, diagonal = jax.jit(curvature_and_information)()
        exact = np.linalg.inv(np.asarray(curvature))
        np.testing.assert_allclose(dense, exact, rtol=1e-6, atol=1e-10)
        np.testing.assert_allclose(diagonal, np.diag(exact), rtol=1e-6)
    draws = bg.sample_nuts(
        rng.normal(size=(2500, 2)), 1, covariance_type=family, num_warmup=50, num_samples=20, num_chains=2
    )
    assert draws.num_divergences == 0


@WHOLE
@pytest.mark.parametrize("likelihood", ["labels", "enumerated"])
def test_the_routes_with_explicit_labels_take_independent_priors(likelihood):
    """`likelihood="labels"` and `"enumerated"` move θ under the prior as users write it."""
    prior = bg.Prior(bg.Dirichlet(2.0), bg.NormalTimesInverseWishart(0.0, 4.0, 5.0, 1.0))
    run = {"prior": prior, "num_warmup": 5, "num_samples": 5, "num_chains": 1, "init": "em"}
    posterior = bg.sample_nuts(TINY, 2, likelihood=likelihood, **run)
    assert np.isfinite(posterior.log_likelihood).all()
