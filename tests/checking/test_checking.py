"""Model checking: against closed forms; the checks pass a correct model and find a wrong one."""

import copy
import os
import signal
from dataclasses import replace

import arviz as az
import jax
import jax.random as jr
import matplotlib.pyplot as plt
import numpy as np
import pytest
from oracles.effort import WHOLE
from oracles.parameters import random_params
from scipy import stats
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.checking import loo as crossvalidation
from bayesgmm.checking import predictive as replicates
from bayesgmm.checking import refits
from bayesgmm.checking.moment_matching import _half_transformed, to_cloud
from bayesgmm.checking.row_sample import extrapolate, subsampling_error
from bayesgmm.checking.sensitivity import sensitivity_of_noise
from bayesgmm.engines import coordinates
from bayesgmm.engines.engine import CHAIN_SETTINGS, Engine, register, unregister
from bayesgmm.engines.to_posterior import Collected, Origin, to_posterior
from bayesgmm.errors import ArgumentError, LooWarning, SamplingInterrupted
from bayesgmm.model.types import Frame, Stats
from bayesgmm.numerics.importance import bridge
from bayesgmm.problem import prepare
from bayesgmm.results import datatree, simulate
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.runtime.programs import Stopwatch
from bayesgmm.sweep import per_row

PRIOR = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(np.array([10.0, 0.0]), 0.05, 4.0, np.diag([9.0, 1.0])))
SHORT = {"num_warmup": 100, "num_samples": 500, "num_chains": 2, "seed": 1}


def gibbs(x, labels=None, **settings):
    """A short run from a given start; a search for a start would take longer than the run."""
    rows = np.asarray(x)
    labels = np.zeros(len(rows), int) if labels is None else labels
    parts = [rows[labels == k] for k in range(labels.max() + 1)]
    shares = np.array([len(part) for part in parts]) / len(rows)
    start = bg.Params.of(shares, [part.mean(axis=0) for part in parts], [np.cov(part.T, bias=True) for part in parts])
    return bg.sample_gibbs(x, len(parts), init=start, reference=start, **SHORT | settings)


def from_belief(x, k, prior, family="full"):
    """Independent draws as a `Posterior`, without a sampler: from the posterior if k = 1, else from the prior."""
    with scope("float64"):
        problem = prepare(x, k, prior, "float64", family)
        table, belief = problem.table, problem.model.family_prior
        if k == 1:
            mean, covariance = table.moments()
            n = float(table.num_rows)
            belief = to_numpy(belief.update(Stats(np.array([n]), mean[None], n * covariance[None], np.zeros(()))))
        chains = [simulate.sample_prior(jr.key(i), belief, datatree.PRIOR_DRAWS) for i in range(4)]
        draws = bg.Params(*(np.concatenate(parts) for parts in zip(*chains, strict=True)))
        density = per_row.log_densities(draws, table, problem.frame).sum(axis=-1) + problem.log_volume
        posterior = to_posterior(
            problem, Collected(None, (problem.frame.standardise(draws), density, {}), False), Stopwatch(),
            Origin("gibbs", 50, 0, bg.Params(*(part[0, 0] for part in draws)), {"num_warmup": 50, "dtype": "float64"}),
        )  # fmt: skip
    return posterior


def one_cluster(rng, rows=100):
    return rng.normal(size=(rows, 2)) @ np.array([[3.0, 0.5], [0.0, 1.0]]) + [10.0, 0.0]


def two_clusters():
    rng = np.random.default_rng(5)
    return np.concatenate([one_cluster(rng, 15), one_cluster(rng, 15) - [20.0, 3.0]])


@pytest.fixture(scope="module")
def outlier():
    """One component and a row six standard deviations out; importance weights cannot remove its influence."""
    x = one_cluster(np.random.default_rng(3))
    x[0] = [24.0, -6.0]
    return from_belief(x, 1, PRIOR)


@pytest.fixture(scope="module")
def faithful(reference_data):
    x = reference_data["faithful"]
    return gibbs(x, (x["eruptions"].to_numpy() > 3).astype(int))


@pytest.fixture(scope="module")
def heavy():
    """Rows from a Student-t; the model is one Gaussian."""
    return from_belief(np.random.default_rng(0).standard_t(2.0, size=(100, 2)), 1, "default")


@pytest.fixture(scope="module")
def stubborn(faithful):
    """Old Faithful under a prior that strongly favours equal weights."""
    x = faithful.table.values
    prior = faithful.prior._replace(weights=bg.Dirichlet(np.array([300.0, 290.0])))
    return gibbs(x, (x[:, 0] > 3).astype(int), prior=prior)


@pytest.fixture(scope="module")
def tied():
    """One shared covariance, whose prior is independent of the means."""
    components = bg.NormalTimesInverseWishart(5.0, np.diag([90.0, 9.0]), 5.0, np.diag([4.0, 2.0]))
    return from_belief(two_clusters(), 2, bg.Prior(bg.Dirichlet(2.0), components), "tied")


@pytest.fixture(scope="module")
def diagonal():
    components = bg.NormalInverseWishart(5.0, 0.3, 5.0, np.diag([4.0, 2.0]))
    return from_belief(two_clusters(), 2, bg.Prior(bg.Dirichlet(2.0), components), "diag")


def predictive_without(x, i):
    """``p(x_i | x_-i)`` under `PRIOR` with one component: a Student-t (Murphy 2012, eq. 4.222)."""
    rest, own = np.delete(x, i, axis=0), PRIOR.expand(1, 2).components
    n, dim = rest.shape
    strength, df = own.strength[0] + n, own.df[0] + n
    shift = rest.mean(0) - own.loc[0]
    scatter = (rest - rest.mean(0)).T @ (rest - rest.mean(0))
    scale = own.scale[0] + scatter + own.strength[0] * n / strength * np.outer(shift, shift)
    free = df - dim + 1
    return stats.multivariate_t(own.loc[0] + n / strength * shift, scale * (strength + 1) / (strength * free), df=free)


def test_moment_matching_finds_the_closed_form_where_weights_do_not(outlier):
    x = outlier.table.values
    exact = np.array([predictive_without(x, i).logpdf(x[i]) for i in range(len(x))])
    with pytest.warns(LooWarning, match=r"1 of 100 rows \(counting from 0: 0\)"):
        plain = bg.loo(outlier, moment_match=False)
    assert plain.pareto_k[0] > 1.0
    assert plain.elpd_i[0] - exact[0] > 1.0
    matched = bg.loo(outlier)
    assert matched.elpd_i[0] == pytest.approx(exact[0], abs=0.08)
    assert matched.pareto_k[0] < 0.4
    np.testing.assert_allclose(matched.elpd_i[1:], exact[1:], atol=0.06)
    np.testing.assert_array_equal(matched.influence_pareto_k, plain.pareto_k)
    assert matched.pareto_k.max() < matched.good_k
    assert not matched.warning
    assert matched.elpd == pytest.approx(float(matched.elpd_i.sum()))
    assert matched.p == pytest.approx(float(matched.p_loo_i.sum()))
    np.testing.assert_allclose(plain.elpd + plain.p, matched.elpd + matched.p)  # both: log density given all rows
    weightless = np.isnan(matched.log_weights.transpose("obs", ...).values).all(axis=(1, 2))
    assert np.flatnonzero(weightless).tolist() == [0]  # the weights of row 0 belong to the transformed draws
    assert az.compare({"matched": matched, "plain": plain}).shape[0] == 2
    assert not jax.config.jax_enable_x64


def test_any_affine_move_of_half_the_draws_gives_the_same_answer(outlier):
    """Half of the draws are shifted and scaled; the weights correct this only if the inverse and volume are right."""
    x, row = outlier.table.values, 7
    flat = bg.Params(*(part.reshape(-1, *part.shape[2:]) for part in outlier.params))
    cloud = to_cloud(outlier, flat, 1.0)
    center, dim = cloud.positions.mean(axis=0), cloud.positions.shape[1]
    matrix = np.diag(np.linspace(1.3, 1.8, dim))
    shift = 0.8 * cloud.positions.std(axis=0)
    moved = (cloud.positions - center) @ matrix.T + center + shift
    found = _half_transformed(cloud, moved, (matrix, shift, center), row)
    exact = predictive_without(x, row).logpdf(x[row])
    assert found is not None
    assert logsumexp(found.log_density + found.log_weights) == pytest.approx(exact, abs=0.02)
    assert logsumexp(found.log_weights) == pytest.approx(0.0)
    rest, weights = predictive_without(x, row), np.exp(found.log_weights)
    mean = weights @ found.params.means[:, 0]
    np.testing.assert_allclose(mean, rest.loc, atol=0.04)
    strength = PRIOR.components.strength + len(x) - 1  # a new row has strength + 1 times the variance of the mean
    variances = np.diagonal(rest.shape) / (strength + 1) * rest.df / (rest.df - 2)
    np.testing.assert_allclose(weights @ (found.params.means[:, 0] - mean) ** 2, variances, rtol=0.06)


def test_refits_find_the_closed_form(outlier):
    x = outlier.table.values[:51]  # 50 rows without one, as in a fold below: one program for both
    refitted = bg.loo(from_belief(x, 1, PRIOR), moment_match=False, refit=True, seed=2)
    assert refitted.elpd_i[0] == pytest.approx(predictive_without(x, 0).logpdf(x[0]), abs=0.3)
    assert refitted.influence_pareto_k[0] > 0.7
    assert refitted.pareto_k[0] == 0.0
    assert not refitted.warning


def test_bridge_is_a_ratio_of_normalising_constants(rng):
    """The mean of a Gaussian has a flat prior: ``p(x_i | x_-i)`` is N(x̄, 1 + 1/n), evaluated at x̄ + 4."""
    n, far = 10, 4.0
    without = rng.normal(0.0, n**-0.5, 20_000)
    with_row = rng.normal(far / (n + 1), (n + 1) ** -0.5, 20_000)
    found = bridge(stats.norm.logpdf(far, with_row), stats.norm.logpdf(far, without))
    assert found == pytest.approx(stats.norm.logpdf(far, 0.0, np.sqrt(1 + 1 / n)), abs=0.02)


@pytest.mark.parametrize(
    "name", ["faithful", *(pytest.param(name, marks=pytest.mark.slow) for name in ("tied", "diagonal"))]
)
def test_clouds_have_the_posterior_density_of_each_family(name, request):
    """The log density is the log posterior plus the log Jacobian, up to a constant; the inverse map recovers θ."""
    posterior = request.getfixturevalue(name)
    draws = bg.Params(*(part[:, ::20].reshape(-1, *part.shape[2:]) for part in posterior.params))
    cloud = to_cloud(posterior, draws, 1.0)
    with scope("float64"):
        theta = jax.tree.map(jax.numpy.asarray, posterior.frame.standardise(draws))
        belief = cloud.problem.standard_prior
        jacobian = jax.jit(jax.vmap(lambda one: coordinates.log_jacobian(coordinates.unconstrain(one, belief))))
        jacobians = np.asarray(jacobian(theta))
    gap = cloud.log_posterior - (posterior.log_likelihood + posterior.log_prior)[:, ::20].ravel() - jacobians
    np.testing.assert_allclose(gap, gap[0], atol=1e-7)
    dim = cloud.positions.shape[1]
    unmoved = _half_transformed(cloud, cloud.positions, (np.eye(dim), np.zeros(dim), np.zeros(dim)), 3)
    assert unmoved is not None
    for ours, theirs in zip(unmoved.params, draws, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-8, atol=1e-10)
    first = bg.Params(*(part[0] for part in draws))
    np.testing.assert_allclose(unmoved.log_density[0], bg.log_density(first, posterior.table.values[3:4])[0])


def test_kfold_is_that_of_the_closed_form(outlier, monkeypatch):
    x, folds = outlier.table.values, []
    select = refits.Folds.sel_observations
    monkeypatch.setattr(
        refits.Folds, "sel_observations", lambda self, rows: (folds.append(rows), select(self, rows))[1]
    )
    found = bg.kfold(outlier, k=2)
    assert sorted(np.concatenate(folds)) == list(range(100))
    exact = np.empty(100)
    for fold in folds:
        exact[fold] = predictive_without(x, fold).logpdf(x[fold])
    np.testing.assert_allclose(found.elpd_i[1:], exact[1:], atol=0.1)  # for row 0 a few draws dominate the average
    assert (found.n_folds, found.n_samples, found.n_data_points) == (2, 2000, 100)
    np.testing.assert_allclose(found.elpd + found.p, outlier.score_samples(x).sum())
    monkeypatch.setattr(crossvalidation, "STUCK", 0.5)
    monkeypatch.setattr(refits, "STUCK", 0.5)
    with pytest.warns(LooWarning, match="2 of 2 folds"):
        bg.kfold(outlier, k=2)


def test_refits_have_the_settings_of_the_run(outlier):
    """The engine is run with what the posterior carries; chains start from the last draws."""
    seen = {}

    def sample_toy(x, n_components, *, init, **settings):
        seen.update(settings, init=init, x=x)
        return outlier

    register("toy", Engine("toy", "a toy", sample_toy, CHAIN_SETTINGS))
    settings = {"num_warmup": 60, "dtype": "float32", "init": "em", "target_accept_prob": 0.93, "num_samples": 1}
    try:
        posterior = replace(outlier, algorithm="toy", settings=settings)
        refits.refitter(posterior)(outlier.table.take(np.arange(50)), jr.key(1))
    finally:
        unregister("toy")
    assert (seen["num_warmup"], seen["dtype"], seen["target_accept_prob"]) == (60, "float32", 0.93)
    assert (seen["num_samples"], seen["num_chains"]) == (500, 4)  # as many as there are, after whatever extension
    assert seen["prior"] is outlier.prior
    assert seen["covariance_type"] == "VVV"
    np.testing.assert_array_equal(seen["init"].means, outlier.params.means[:, -1])
    # The model is not prepared again: the same prior, on other rows.
    assert (seen["x"].prior, seen["x"].table.num_rows) == (outlier.prior, 50)


def test_draws_of_an_unknown_engine_cannot_be_made_again(outlier):
    with pytest.raises(ArgumentError, match="Refits are not possible"):
        bg.loo(replace(outlier, algorithm="stan"), refit=True)


@WHOLE
@pytest.mark.filterwarnings("ignore::bayesgmm.errors.MixingWarning")
def test_settings_make_the_draws_again(reference_data):
    """`settings` hold what the call said, whatever it was."""
    x, few = reference_data["faithful"].iloc[:40], {"num_samples": 60, "num_chains": 2}
    calls = {
        bg.sample_gibbs: {"num_warmup": 20, "tempering": 2, "init": "em"},
        bg.fit_cavi: {"n_init": 3, "max_iter": 500, "batch_size": None},
        bg.fit_svi: {"guide": "normal", "num_steps": 50, "batch_size": 20, "learning_rate": 0.02, "num_particles": 2},
    }
    for function, options in calls.items():
        posterior = function(x, 2, **few, **options)
        assert options.items() <= posterior.settings.items(), function
        again = refits.refitter(posterior)(refits.without(posterior.table, np.array([3])), jr.key(0))
        assert again.table.num_rows == 39
        kept = {name: value for name, value in options.items() if name != "init"}
        assert kept.items() <= again.settings.items(), function


def test_ctrl_c_in_folds_and_in_refits(outlier):
    pressed = set()

    def stop(label, done, total, note):
        if (label, done) in {("kfold", 1), ("refits", 0)} - pressed:
            pressed.add((label, done))
            os.kill(os.getpid(), signal.SIGINT)

    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(SamplingInterrupted):
        bg.kfold(outlier, k=2, progress_bar=stop)
    with pytest.warns(LooWarning, match="1 of 100 rows"):
        kept = bg.loo(outlier, moment_match=False, refit=True, progress_bar=stop)
    assert np.isfinite(kept.elpd)
    assert signal.getsignal(signal.SIGINT) == handler


def test_pits_are_those_of_the_closed_form(outlier):
    x = outlier.table.values
    tree = bg.loo_pit(outlier)
    pit = tree["loo_pit"]["x"]
    assert pit.dims == ("obs", "feature")
    for i in range(0, 100, 9):
        rest = predictive_without(x, i)
        exact = stats.t.cdf((x[i] - rest.loc) / np.sqrt(np.diagonal(rest.shape)), rest.df)
        np.testing.assert_allclose(pit.values[i], exact, atol=0.012)
        # The relative error of the tail probability tests the weights of row 0.
        np.testing.assert_allclose(
            np.minimum(pit.values[i], 1 - pit.values[i]), np.minimum(exact, 1 - exact), rtol=0.35
        )
    az.plot_ecdf_pit(tree, group="loo_pit", sample_dims="obs")
    plt.close("all")


def test_pits_of_two_components_average_the_mixtures_margins(faithful):
    elpd = bg.loo(faithful)
    weights = np.exp(elpd.log_weights.sel(obs=7).values.ravel())
    theta = bg.Params(*(part.reshape(-1, *part.shape[2:]) for part in faithful.params))
    sds = np.sqrt(np.diagonal(theta.covariances, axis1=-2, axis2=-1))
    below = stats.norm.cdf((faithful.table.values[7] - theta.means) / sds)
    expected = weights @ (theta.weights[:, :, None] * below).sum(axis=1)
    np.testing.assert_allclose(bg.loo_pit(faithful)["loo_pit"]["x"].values[7], expected, rtol=1e-9)


def test_check_passes_a_model_that_is_right(rng):
    theta = bg.Params.of([0.4, 0.6], [[0.0, 0.0], [8.0, 3.0]], [np.eye(2), [[2.0, 0.6], [0.6, 1.0]]])
    z, x = bg.sample(jr.key(4), theta, 272)
    told = []
    posterior = gibbs(x, np.asarray(z), num_samples=1000)
    found = bg.check(posterior, progress_bar=lambda *report: told.append(report))
    assert (found.summary()["sound"].drop("prior") == "yes").all(), found
    assert found.sensitivity["prior"].max() < 0.1
    assert found.uniformity.min() > 0.01
    assert told[-1][:3] == ("check", 3, 3)
    lines = found.verdict()
    assert [line.split(":")[0] for line in lines] == ["Draws", "Leave-one-out", "LOO-PIT", "Predictive checks", "Prior"]
    assert "good in every row" in lines[1]
    assert found.loo.elpd == pytest.approx(float(bg.log_likelihood(theta, np.asarray(x))), abs=15)
    assert "yes" in repr(found)
    assert "<table" in found._repr_html_()


def test_check_finds_heavy_tails(heavy):
    found = bg.check(heavy)
    assert not found.sound
    summary = found.summary()["sound"]
    assert (summary["LOO-PIT"], summary["predictive checks"]) == ("no", "no")
    words = "\n".join(found.verdict())
    assert "the marginal predictive distribution is too wide" in words
    assert "effective parameters of 5. That is more than there are" in words
    assert "excess kurtosis" in words
    figures = found.plot()
    assert list(figures) == ["k-hat", "LOO-PIT", "tails", "pairs", "prior"]
    plt.close("all")


def test_statistics_equal_the_formulas(faithful):
    x = faithful.table.values
    checks = bg.predictive_checks(faithful, num=60, seed=3)
    summary = checks.summary()
    observed = summary["observed"]
    for d, name in enumerate(("eruptions", "waiting")):
        assert observed[f"1 % quantile [{name}]"] == pytest.approx(np.quantile(x[:, d], 0.01))
        assert observed[f"excess kurtosis [{name}]"] == pytest.approx(stats.kurtosis(x[:, d]))
    assert observed["correlation [eruptions, waiting]"] == pytest.approx(np.corrcoef(x.T)[0, 1])
    centred = x - x.mean(0)
    distances = np.einsum("nd,de,ne->n", centred, np.linalg.inv(np.cov(x.T, bias=True)), centred)
    assert observed["largest squared Mahalanobis distance"] == pytest.approx(distances.max())
    apart = np.linalg.norm((x[:, None] - x) / x.std(0), axis=2) + np.diag(np.full(len(x), np.inf))
    assert observed["median neighbour distance"] == pytest.approx(np.median(apart.min(axis=1)))
    assert (summary["5 %"] <= summary["replicated"]).all()
    assert checks.replicated.shape == (60, 13)


def test_discrepancies_are_those_of_each_draw(faithful):
    """With one replicate per draw, in any order: cluster shares and entropies of the data under each θ."""
    x = faithful.table.values
    checks = bg.predictive_checks(faithful, num=1000)
    flat = bg.Params(*(part.reshape(-1, *part.shape[2:]) for part in faithful.params))
    sizes, entropies = [], []
    for s in range(0, 1000, 50):
        r = bg.responsibilities(bg.Params(*(part[s] for part in flat)), x)
        sizes.append((r.argmax(axis=1) == 0).mean())
        entropies.append(-(r * np.log(np.maximum(r, 1e-300))).sum(axis=1).mean())
    small = np.minimum(sizes, 1 - np.array(sizes))
    assert set(small.round(9)) <= set(checks.observed["share of rows [rank 1]"].round(9))
    assert set(np.round(entropies, 9)) <= set(checks.observed["entropy of the classes"].round(9))
    tree = checks.datatree
    assert tree["discrepancies"]["entropy of the classes"].sizes["draw"] == 1000
    az.plot_ppc_tstat(tree, var_names=["entropy of the classes"], t_stat="mean")
    assert list(checks.plot()) == ["tails", "pairs", "clusters"]
    plt.close("all")


def test_shares_are_those_of_the_most_probable_classes(rng):
    theta, x = random_params(3, 3, 2), rng.normal(size=(50, 2)) * 3
    many = bg.Params(*(part[None] for part in theta))
    frame = Frame.around(np.zeros(2), np.ones(2))
    pairs = per_row.shares_and_entropy(many, x, x[None, ::-1], frame)
    ours, theirs = (replicates._cluster_statistics(*pair, None) for pair in pairs)
    shares = np.bincount(bg.responsibilities(theta, x).argmax(axis=1), minlength=3) / 50
    for found in (ours, theirs):
        np.testing.assert_allclose([found[f"share of rows [rank {k}]"][0] for k in range(3)], np.sort(shares)[::-1])


def test_predictive_checks_find_tails_and_wrong_correlations(heavy, rng):
    found = bg.predictive_checks(heavy, num=200)
    assert "excess kurtosis [x0]" in found.surprising.index
    assert found.surprising.loc["excess kurtosis [x0]", "above"] == 0.0
    assert "does not reproduce the data" in found.verdict()
    full = from_belief(rng.multivariate_normal([0, 0], [[1.0, 0.8], [0.8, 1.0]], 100), 1, "default")
    trils = np.sqrt(np.diagonal(full.params.covariances, axis1=-2, axis2=-1))[..., None] * np.eye(2)
    assert "correlation [x0, x1]" not in bg.predictive_checks(full, num=100).surprising.index
    diagonal = replace(full, params=full.params._replace(scale_trils=trils))
    assert "correlation [x0, x1]" in bg.predictive_checks(diagonal, num=100).surprising.index


def test_wide_and_long_data_are_checked_in_part(monkeypatch, faithful):
    monkeypatch.setattr(replicates, "MOST_FEATURES", 1)
    monkeypatch.setattr(replicates, "BLOCK_VALUES", 1000)
    checks = bg.predictive_checks(faithful, num=22, max_rows=50)
    assert "50 of the rows, 1 of the 2 features" in checks.verdict()
    assert len(checks.observed) == 22
    assert not any("waiting" in name for name in checks.aspects)


def test_a_strong_prior_is_flagged_and_a_weak_one_is_not(rng):
    x = one_cluster(rng)
    tables = {}
    for strength in (0.01, 100.0):
        components = PRIOR.components._replace(loc=np.array([14.0, 0.0]), strength=strength)
        tables[strength] = bg.prior_sensitivity(from_belief(x, 1, PRIOR._replace(components=components)))
    assert list(tables[100.0].columns) == ["prior", "likelihood", "diagnosis"]
    assert tables[100.0].loc["mixture_mean[x0]", "diagnosis"] == "potential prior-data conflict"
    assert tables[100.0].loc["means[0, x0]", "prior"] > 0.05
    assert tables[0.01].loc["mixture_mean[x0]", "prior"] < 0.02
    assert tables[0.01].loc["mixture_mean[x0]", "diagnosis"] == "✓"


def test_noise_is_not_taken_for_sensitivity(outlier):
    """Noise in the log prior makes the importance weights noisy, and so the sensitivity of every quantity."""
    wild = replace(outlier, log_prior=outlier.log_prior + np.random.default_rng(1).normal(0.0, 20.0, (4, 500)))
    table, noise = bg.prior_sensitivity(wild), sensitivity_of_noise(wild)
    assert table["prior"].max() > 0.05
    assert table["prior"].max() < 1.5 * noise
    assert sensitivity_of_noise(outlier) < 0.02


def test_parts_of_the_prior_are_scaled_apart(stubborn):
    weights = bg.prior_sensitivity(stubborn, part="weights")["prior"]
    components = bg.prior_sensitivity(stubborn, part="components")["prior"]
    assert weights["weights[0]"] > 0.05 > components["weights[0]"]


def test_log_prior_is_the_sum_of_its_factors(stubborn, tied):
    """Against SciPy: a conjugate prior with free covariances, and independent means with one shared covariance."""
    own, apart = stubborn.prior.components, tied.prior.components

    def conjugate(means, matrices):
        return sum(
            stats.multivariate_normal.logpdf(mean, own.loc[k], matrix / own.strength[k])
            + stats.invwishart.logpdf(matrix, own.df[k], own.scale[k])
            for k, (mean, matrix) in enumerate(zip(means, matrices, strict=True))
        )

    def independent(means, matrices):
        of_means = sum(
            stats.multivariate_normal.logpdf(m, apart.loc[k], apart.covariance[k]) for k, m in enumerate(means)
        )
        return of_means + stats.invwishart.logpdf(matrices[0], apart.df[0], apart.scale[0])

    for posterior, of_components in ((stubborn, conjugate), (tied, independent)):
        group = posterior.datatree["log_prior"]
        assert group["weights"].dims == group["components"].dims == ("chain", "draw")
        np.testing.assert_allclose(group["weights"] + group["components"], posterior.log_prior, rtol=1e-12)
        for draw in (0, 5, 50):
            weights, means = posterior.params.weights[-1, draw], posterior.params.means[-1, draw]
            of_weights = stats.dirichlet.logpdf(weights / weights.sum(), posterior.prior.weights.concentration)
            expected = of_components(means, posterior.params.covariances[-1, draw])
            assert group["weights"].values[-1, draw] == pytest.approx(of_weights, rel=1e-9)
            assert group["components"].values[-1, draw] == pytest.approx(expected, rel=1e-9)


def test_thinned_draws_work_and_omitted_draws_raise(faithful, monkeypatch):
    monkeypatch.setattr(datatree, "MOST_VALUES", 272 * 500)
    thinned = replace(faithful)
    elpd = bg.loo(thinned)
    assert elpd.n_samples == 500
    assert elpd.elpd == pytest.approx(bg.loo(faithful).elpd, abs=1.0)
    pit = bg.loo_pit(thinned)["loo_pit"]["x"].values
    np.testing.assert_allclose(pit, bg.loo_pit(faithful)["loo_pit"]["x"].values, atol=0.02)
    monkeypatch.setattr(datatree, "MOST_VALUES", 272 * 10)
    for check in (bg.loo, bg.loo_pit, bg.check):
        with pytest.raises(ArgumentError, match=r"272 rows .* does not fit in memory"):
            check(replace(faithful))
    assert len(bg.prior_sensitivity(replace(faithful))) == 17  # this check needs no pointwise densities


def test_a_poor_approximation_raises_a_warning(faithful):
    from bayesgmm.results.approximation import ApproximatePosterior

    fields = {name: getattr(faithful, name) for name in faithful.__dataclass_fields__}
    rough = ApproximatePosterior(**fields | {"algorithm": "laplace", "continuation": None}, pareto_k=1.2)
    with pytest.warns(LooWarning, match="draws of laplace are not an acceptable approximation"):
        bg.loo(rough)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda p: bg.kfold(p, k=1), "k must be"),
        (lambda p: bg.kfold(p, k=273), "Use between 2 and 272 folds"),
        (lambda p: bg.predictive_checks(p, num=3), "num must be"),
        (lambda p: bg.prior_sensitivity(p, part="means"), "part must be"),
        (lambda p: bg.check(p, seed="now"), "seed must be"),
        (lambda p: bg.loo(replace(p, params=bg.Params(*(part[:, :20] for part in p.params)))), "40 draws are too few"),
    ],
)
def test_bad_input(faithful, call, words, monkeypatch):
    monkeypatch.setattr(crossvalidation, "leave_one_out", None)  # bad input is refused before this call
    with pytest.raises(ArgumentError, match=words):
        call(faithful)


@pytest.mark.parametrize("name", ["loo", "kfold", "loo_pit", "predictive_checks", "prior_sensitivity", "check"])
def test_a_point_estimate_is_refused(name):
    fit = object.__new__(bg.MixtureFit)
    with pytest.raises((ArgumentError, TypeError), match="MixtureFit"):
        getattr(bg, name)(fit)


def test_psis_equals_arviz(faithful):
    ours, theirs = bg.loo(faithful), az.loo(faithful.datatree, pointwise=True)
    np.testing.assert_allclose(ours.elpd_i, theirs.elpd_i, atol=0.02)
    density = faithful.datatree["log_likelihood"]["x"].values.reshape(-1, 272)
    np.testing.assert_allclose(ours.elpd + ours.p, (logsumexp(density, axis=0) - np.log(len(density))).sum())


# --- A sample of the rows ---


def test_a_sample_of_the_rows_estimates_the_elpd_of_all(faithful):
    """Over many samples, the differences to the full elpd have mean 0 and the stated standard error."""
    full = crossvalidation.leave_one_out(faithful, True, lambda *_: None)[0]
    rng, count, z = np.random.default_rng(0), faithful.table.num_rows, []
    for _ in range(200):
        rows = np.sort(rng.choice(count, 60, replace=False))
        some = copy.copy(full)
        some.elpd_i, some.p_loo_i = full.elpd_i[rows], full.p_loo_i[rows]
        extrapolate(some, faithful, rows)
        z.append((some.elpd - full.elpd) / subsampling_error(some))
    assert some.n_data_points == count
    assert some.se == pytest.approx(full.se, rel=0.5)
    assert abs(np.mean(z)) < 4 / np.sqrt(200)
    assert 0.8 < np.std(z) < 1.25
    rows = np.arange(0, count, 2)
    found = crossvalidation.leave_one_out(faithful, True, lambda *_: None, rows)[0]
    np.testing.assert_allclose(found.elpd_i, full.elpd_i.values[rows], atol=1e-6)
    assert abs(found.elpd - full.elpd) < 4 * subsampling_error(found)


def test_a_check_of_many_rows_uses_a_sample_and_says_so(faithful):
    whole = bg.check(faithful, max_rows=272)
    assert subsampling_error(whole.loo) == 0
    assert "sample" not in whole._loo_line()
    found = bg.check(faithful, max_rows=150)
    assert "a random sample of 150 of 272 rows" in found._loo_line()
    rows = found.loo.elpd_i["obs"].values
    assert len(rows) == 150
    np.testing.assert_array_equal(found.pit["loo_pit"]["obs"], rows)
    exact = whole.pit["loo_pit"].to_dataset()["x"].sel(obs=rows)
    np.testing.assert_allclose(found.pit["loo_pit"].to_dataset()["x"], exact, atol=1e-6)
    assert "150 of the rows" in found.predictive.verdict()
    assert "of 150 rows (a sample of 272)" in bg.plots.plot_khat(found.loo).axes[0].get_title(loc="left")
    again = bg.check(faithful, max_rows=150)
    np.testing.assert_array_equal(again.loo.elpd_i["obs"].values, rows)
    with pytest.raises(ArgumentError, match="max_rows"):
        bg.check(faithful, max_rows=99)
