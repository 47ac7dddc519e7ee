"""EM: against mclust and scikit-learn, fixed points, ascent, units, order and precision."""

import warnings

import jax
import numpy as np
import pytest
from oracles import twins
from oracles.effort import SOME, WHOLE, some_and_slow

import bayesgmm as bg
from bayesgmm.engines.em import ascent
from bayesgmm.errors import (
    ArgumentError,
    CollapseError,
    DataError,
    LocalOptimumWarning,
    NotConvergedWarning,
    PriorError,
    SpuriousComponentWarning,
)
from bayesgmm.runtime.arguments import check_count

MCLUST = [("faithful", 2), ("faithful", 3), ("iris", 2), ("iris", 3), ("galaxy_corrected", 2), ("galaxy_corrected", 3),
          ("acidity", 2), ("acidity", 3), ("diabetes", 2), ("diabetes", 3), ("waiting", 2), ("waiting", 3)]  # fmt: skip


def two_clusters(rng, n=200):
    return np.concatenate([rng.normal(size=(n, 2)), rng.normal(size=(n, 2)) @ np.diag([0.5, 2.0]) + [4, 1]])


@pytest.mark.parametrize(("name", "k"), some_and_slow(MCLUST, 3))
def test_mclust_estimate_is_a_fixed_point(truth, reference_data, name, k):
    """Started at mclust's estimate (tolerance 1e-12), EM stays there: same log-likelihood, BIC, weights and means."""
    entry = truth("mclust")["data"][name]
    theirs = next(p for p in entry["params"] if p["G"] == k)
    x = reference_data[name].to_numpy()
    start = starting_point(theirs, k, x.shape[1])
    with warnings.catch_warnings():
        for category in (SpuriousComponentWarning, LocalOptimumWarning):  # mclust's optimum need not be the highest
            warnings.simplefilter("ignore", category)
        fit = bg.fit_em(x, k, **start, tol=1e-10, max_iter=20_000)
    assert fit.log_likelihood == pytest.approx(theirs["loglik"], rel=1e-8)
    assert fit.bic() == pytest.approx(-theirs["bic"], rel=1e-8)
    order = np.argsort(np.asarray(start["means_init"])[:, 0])
    np.testing.assert_allclose(fit.params.weights, start["weights_init"][order], rtol=2e-4)
    np.testing.assert_allclose(fit.params.means, start["means_init"][order], rtol=2e-4)


def starting_point(theirs, k, d):
    means = np.asarray(theirs["mean"], float).reshape(k, d) if d == 1 else as_means(theirs["mean"], k, d)
    sigma = np.asarray(theirs["sigma"], float)
    return {
        "weights_init": np.asarray(theirs["pro"], float),
        "means_init": means,
        "covariances_init": sigma.reshape(k, 1, 1) if d == 1 else as_covariances(sigma, k, d),
    }


def as_means(values, k, d):
    values = np.asarray(values, float)
    return values if values.shape == (k, d) else values.T


def as_covariances(values, k, d):
    return values if values.shape == (k, d, d) else np.moveaxis(values, -1, 0)


@pytest.mark.parametrize("k", [2, 3])
def test_old_faithful_reaches_mclusts_likelihood_from_default_starts(truth, reference_data, k):
    theirs = next(f for f in truth("mclust")["data"]["faithful"]["fits"] if f["G"] == k)
    fit = bg.fit_em(reference_data["faithful"], k)
    assert fit.log_likelihood >= theirs["loglik"] - 1e-6
    if k == 2:
        assert fit.log_likelihood == pytest.approx(theirs["loglik"], rel=1e-9)
        assert -fit.icl() == pytest.approx(theirs["icl"], rel=1e-7)
        assert fit.n_parameters == theirs["df"]


def test_one_step_and_the_limit_equal_scikit_learn(truth, reference_data):
    for entry in truth("sklearn")["gmm"]:
        x = reference_data[entry["dataset"]].to_numpy()
        start = {
            "weights_init": entry["init"]["weights"], "means_init": entry["init"]["means"],
            "covariances_init": np.linalg.inv(entry["init"]["precisions"]),
        }  # fmt: skip
        one = bg.fit_em(x, entry["K"], **start, max_iter=1, tol=0)
        assert one.n_iter == 1
        order = np.argsort(np.asarray(entry["one_step"]["means"])[:, 0])
        np.testing.assert_allclose(one.params.means, np.asarray(entry["one_step"]["means"])[order], rtol=1e-9)
        covariances = np.asarray(entry["one_step"]["covariances"])[order]
        np.testing.assert_allclose(one.params.covariances, covariances, rtol=1e-8, atol=1e-10)
        assert one.trace[0] / len(x) == pytest.approx(entry["one_step"]["loglik_at_init_mean_per_obs"], rel=1e-10)
        limit = bg.fit_em(x, entry["K"], **start, tol=1e-9, max_iter=20_000)
        assert limit.log_likelihood == pytest.approx(entry["loglik_polished"], rel=1e-9)


def test_one_step_equals_the_reference(rng):
    x = two_clusters(rng) * [30.0, 0.2] + [500.0, 3.0]
    params = bg.fit_em(x, 2, max_iter=2, tol=0, n_init=1).params
    expected = twins.em_step(params.weights, params.means, params.covariances, x)
    start = {"weights_init": params.weights, "means_init": params.means, "covariances_init": params.covariances}
    fit = bg.fit_em(x, 2, **start, max_iter=1, tol=0)
    np.testing.assert_allclose(fit.params.weights, expected[0], rtol=1e-9)
    np.testing.assert_allclose(fit.params.means, expected[1], rtol=1e-9)
    np.testing.assert_allclose(fit.params.covariances, expected[2], rtol=1e-8)


@pytest.mark.parametrize("prior", [None, "default"])
@pytest.mark.parametrize("algorithm", ["em", "cem"])
def test_objective_never_falls(reference_data, algorithm, prior):
    for seed in range(3):
        fit = bg.fit_em(
            reference_data["iris"], 3, prior=prior, algorithm=algorithm, n_init=1, seed=seed, tol=0, max_iter=60
        )
        assert np.diff(fit.trace).min() > -1e-9 * abs(fit.trace[-1])


def test_map_is_the_maximum_of_the_stated_objective(reference_data):
    """The objective, recomputed with SciPy, is largest at the fit; it has no Jacobian and all constants."""
    x = reference_data["faithful"].to_numpy()
    prior = bg.Prior(bg.Dirichlet(2.0), bg.NormalInverseWishart([3.5, 70], 0.05, 5, [[0.3, 0], [0, 80]]))
    fit = bg.fit_em(x, 2, prior=prior, tol=1e-10)

    def objective(params):
        log_prior = twins.log_prior(params, [2.0, 2.0], [3.5, 70], 0.05, 5, np.diag([0.3, 80.0]))
        return np.logaddexp.reduce(twins.log_joint(*params[:2], params.covariances, x), axis=1).sum() + log_prior

    best = objective(fit.params)
    assert fit.objective == pytest.approx(best, rel=1e-10)
    rng = np.random.default_rng(0)
    scale = np.sqrt(np.diagonal(fit.params.covariances, axis1=1, axis2=2))
    for size in (1e-2, 1e-3):
        for _ in range(20):
            nudge = rng.normal(size=(2, 2, 2)) * scale[:, :, None] * scale[:, None, :]
            weights = fit.params.weights * np.exp(size * rng.normal(size=2))
            means = fit.params.means + size * rng.normal(size=(2, 2)) * scale
            covariances = fit.params.covariances + size * (nudge + nudge.swapaxes(1, 2)) / 2
            assert objective(bg.Params.of(weights / weights.sum(), means, covariances)) < best


def test_units_do_not_matter(reference_data):
    x = reference_data["iris"].to_numpy()
    a, b = np.array([100.0, 0.01, 5.0, 1.0]), np.array([1e4, 0.0, -30.0, 2.0])
    plain, moved = (bg.fit_em(data, 3, n_init=5, tol=1e-9) for data in (x, x * a + b))
    assert moved.log_likelihood == pytest.approx(plain.log_likelihood - len(x) * np.log(a).sum(), rel=1e-9)
    np.testing.assert_allclose(moved.params.means, plain.params.means * a + b, rtol=1e-5)


def test_order_of_rows_does_not_matter_and_doubling_them_doubles_the_likelihood(rng):
    x = two_clusters(rng)
    start = {"means_init": [[0.0, 0.0], [4.0, 1.0]]}
    plain = bg.fit_em(x, 2, **start, tol=1e-9)
    shuffled = bg.fit_em(rng.permutation(x), 2, **start, tol=1e-9)
    doubled = bg.fit_em(np.concatenate([x, x]), 2, **start, tol=1e-9)
    np.testing.assert_allclose(shuffled.params.means, plain.params.means, rtol=1e-6)
    np.testing.assert_allclose(doubled.params.covariances, plain.params.covariances, rtol=1e-5)
    assert doubled.log_likelihood == pytest.approx(2 * plain.log_likelihood, rel=1e-9)


def test_one_component_is_the_sample_mean_and_covariance(reference_data):
    x = reference_data["iris"].to_numpy()
    fit = bg.fit_em(x, 1)
    np.testing.assert_allclose(fit.params.means[0], x.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(fit.params.covariances[0], np.cov(x.T, bias=True), rtol=1e-10)


@pytest.mark.slow
def test_slow_convergence_is_not_taken_for_convergence():
    """Overlapping clusters: a rule on one step stops at weights 0.41/0.59, but the optimum is near 0.25/0.75."""
    rng = np.random.default_rng(8)
    x = np.concatenate([rng.normal(0, 1, 500), rng.normal(2, 1, 1500)])[:, None]
    start = {"weights_init": [0.5, 0.5], "means_init": [[0.9], [1.6]], "covariances_init": [[[1.0]], [[1.0]]]}
    fit = bg.fit_em(x, 2, **start, max_iter=100_000)
    longer = bg.fit_em(x, 2, **start, max_iter=20_000, tol=0)
    assert fit.converged
    assert longer.log_likelihood - fit.log_likelihood < 2e-5
    assert np.abs(longer.params.weights - fit.params.weights).max() < 5e-3


def test_data_far_from_the_origin_lose_no_more_than_their_own_digits(rng):
    x = two_clusters(rng)
    near = bg.fit_em(x, 2, means_init=[[0.0, 0.0], [4.0, 1.0]])
    far = bg.fit_em(x + 1e8, 2, means_init=np.array([[0.0, 0.0], [4.0, 1.0]]) + 1e8)
    assert far.log_likelihood == pytest.approx(near.log_likelihood, rel=1e-6)
    np.testing.assert_allclose(far.params.covariances, near.params.covariances, rtol=1e-5)


def test_single_precision(rng):
    x = two_clusters(rng)
    start = {"means_init": [[0.0, 0.0], [4.0, 1.0]]}
    exact, single = (bg.fit_em(x, 2, **start, dtype=dtype, tol=0.01) for dtype in ("float64", "float32"))
    assert single.converged
    assert single.log_likelihood == pytest.approx(exact.log_likelihood, rel=1e-3)
    np.testing.assert_allclose(single.params.means, exact.params.means, atol=2e-2)


def test_large_data_give_the_same_estimate(rng):
    """Above `BATCHED_ROWS` starts run one by one, in chunks and in blocks of iterations; the estimate is the same."""
    x = np.concatenate([two_clusters(rng, 6000)] * 2)
    assert len(x) > ascent.BATCHED_ROWS
    start = {"means_init": [[0.0, 0.0], [4.0, 1.0]]}
    fit = bg.fit_em(x, 2, **start, accelerate=False)
    params = (np.full(2, 0.5), np.array(start["means_init"]), np.array([np.cov(x.T, bias=True)] * 2))
    for _ in range(fit.n_iter):
        params = twins.em_step(*params, x)
    np.testing.assert_allclose(fit.params.means, params[1], rtol=1e-8)


def test_basins_are_counted(reference_data):
    fit = bg.fit_em(reference_data["iris"], 3, n_init=12)
    assert sum(basin.hits for basin in fit.basins) == 12
    objectives = [basin.objective for basin in fit.basins if basin.status == "converged"]
    assert objectives == sorted(objectives, reverse=True)
    assert objectives[0] == pytest.approx(fit.objective, rel=1e-12)
    assert list(fit.basin_table().columns) == ["objective", "hits", "mean_iterations", "status"]


def test_collapse_is_an_error_with_advice_not_a_fit():
    x = np.concatenate([np.random.default_rng(0).normal(size=30), np.full(5, 7.0)])[:, None]
    with pytest.raises(CollapseError, match="prior='default'"):
        bg.fit_em(x, 2, means_init=[[0.0], [7.0]], covariances_init=[[[1.0]], [[0.01]]])
    fit = bg.fit_em(x, 2, prior="default")
    assert np.isfinite(fit.objective)


def test_a_few_points_are_flagged_as_spurious():
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(60, 2)), [[8.0, 8.0], [8.1, 8.3], [8.2, 8.1]]])
    labels = np.repeat([0, 1], [60, 3])
    with pytest.warns(SpuriousComponentWarning, match="rests on 3"):
        bg.fit_em(x, 2, labels_init=labels)


def test_early_stop_raises_a_warning(reference_data):
    with pytest.warns(NotConvergedWarning, match="max_iter=3"):
        fit = bg.fit_em(reference_data["iris"], 3, max_iter=3)
    assert not fit.converged
    assert fit.n_iter == 3


def test_nan_is_never_converged():
    settled = ascent._settled
    nan = np.float64(np.nan)
    for accelerate in (False, True):
        assert not settled(nan, nan, nan, 1e-6, 1e-16, accelerate)
        assert not settled(nan, np.float64(1.0), nan, 1e-6, 1e-16, accelerate)
        assert not settled(np.float64(1.0), nan, nan, 1e-6, 1e-16, accelerate)


def test_stochastic_em_keeps_the_best_it_saw(reference_data):
    fit = bg.fit_em(reference_data["faithful"], 2, algorithm="sem", max_iter=100, n_init=2)
    best = bg.fit_em(reference_data["faithful"], 2)
    assert fit.objective == pytest.approx(np.nanmax(fit.trace), rel=1e-12)
    assert best.objective - 1.5 < fit.objective <= best.objective + 1e-9


def test_classification_em_states_both_likelihoods(reference_data):
    fit = bg.fit_em(reference_data["faithful"], 2, algorithm="cem")
    x = reference_data["faithful"].to_numpy()
    assert fit.objective == pytest.approx(np.asarray(bg.log_joint(fit.params, x)).max(axis=1).sum(), rel=1e-10)
    assert fit.log_likelihood == pytest.approx(float(bg.log_likelihood(fit.params, x)), rel=1e-10)


def test_a_second_fit_compiles_nothing(reference_data):
    bg.fit_em(reference_data["faithful"], 2)
    before = ascent.ASCEND.num_compilations
    bg.fit_em(reference_data["faithful"].to_numpy() * 2, 2, max_iter=500, tol=1e-5, seed=9)
    assert ascent.ASCEND.num_compilations == before
    bg.fit_em(reference_data["faithful"], 3)
    assert ascent.ASCEND.num_compilations <= before + 1


def test_same_seed_same_fit_and_keys_work_too(reference_data):
    first, second = (bg.fit_em(reference_data["iris"], 3, n_init=3, seed=5) for _ in range(2))
    np.testing.assert_array_equal(first.params.means, second.params.means)
    key = bg.fit_em(reference_data["iris"], 3, n_init=3, seed=jax.random.key(5))
    np.testing.assert_array_equal(first.params.means, key.params.means)


def test_global_configuration_is_left_alone(reference_data):
    before = jax.config.jax_enable_x64
    bg.fit_em(reference_data["faithful"], 2)
    assert jax.config.jax_enable_x64 == before
    assert jax.numpy.ones(1).dtype == jax.numpy.float32


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"n_components": 0}, ArgumentError, "n_components must be an integer of at least 1"),
        ({"n_components": 300}, DataError, "272 rows for 300 components"),
        ({"n_components": 2, "covariance_type": "XYZ"}, ArgumentError, "covariance_type"),
        ({"n_components": 2, "prior": "vague"}, PriorError, "Unknown prior"),
        ({"n_components": 2, "tol": -1}, ArgumentError, "tol"),
        ({"n_components": 2, "max_iter": -3}, ArgumentError, "max_iter"),
        ({"n_components": 2, "means_init": [[1.0, 2.0]]}, ArgumentError, "means_init"),
        ({"n_components": 2, "weights_init": [0.5, 0.5]}, ArgumentError, "needs means_init"),
        ({"n_components": 1, "weights_init": [0.7], "means_init": [[1.0, 2.0]]}, ArgumentError, "add up to 1"),
        ({"n_components": 2, "labels_init": np.zeros(272, int)}, ArgumentError, "without a row"),
        ({"n_components": 2, "labels_init": np.zeros(5, int)}, ArgumentError, "shape"),
        ({"n_components": 2, "dtype": "float16"}, ArgumentError, "dtype"),
        ({"n_components": 2, "seed": "today"}, ArgumentError, "seed"),
        ({"n_components": 2, "algorithm": "magic"}, ArgumentError, "algorithm"),
        (
            {"n_components": 2, "prior": bg.Prior(bg.Dirichlet(0.5), bg.NormalInverseWishart(0.0, 1.0, 5.0, 1.0))},
            PriorError, "concentration of at least 1",
        ),
        (
            {"n_components": 2, "prior": bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 1.0, 0.5, 1.0))},
            PriorError, "df > D - 1",
        ),
        (
            {"n_components": 2, "prior": bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(np.zeros(3), 1.0, 5.0, 1.0))},
            PriorError, "loc has shape",
        ),
    ],
)  # fmt: skip
def test_bad_arguments(reference_data, arguments, error, words):
    with pytest.raises(error, match=words):
        bg.fit_em(reference_data["faithful"], **arguments)


def test_predictions(reference_data):
    x = reference_data["faithful"]
    fit = bg.fit_em(x, 2)
    proba = fit.predict_proba(x)
    assert proba.shape == (272, 2)
    np.testing.assert_array_equal(fit.predict(x), proba.argmax(axis=1))
    assert fit.score_samples(x).sum() == pytest.approx(fit.log_likelihood, rel=1e-10)
    labels, rows = fit.sample(1000, seed=1)
    assert rows.shape == (1000, 2)
    assert set(labels) == {0, 1}
    with pytest.raises(DataError, match="2 features"):
        fit.predict(np.zeros((3, 5)))
    assert "log-likelihood -1130.264" in " ".join(repr(fit).split())
    assert "<table" in fit._repr_html_()


@pytest.mark.parametrize("value", [2.5, "2", True, None, 0])
def test_counts_are_integers(value):
    with pytest.raises(ArgumentError, match="integer of at least 1"):
        check_count("n_components", value)


def test_single_precision_does_not_claim_convergence(rng):
    """Gains of 1e-6 are below the rounding error of a float32 log-likelihood: zero gain is not convergence."""
    with pytest.warns(NotConvergedWarning, match="float64"):
        fit = bg.fit_em(two_clusters(rng), 2, dtype="float32", n_init=1)
    assert not fit.converged


def test_single_precision_resolves_a_tight_cluster(rng):
    x = np.concatenate([rng.normal(0, 3.5, 3000), rng.normal(5, 2e-4, 3000)])[:, None]
    fit = bg.fit_em(x, 2, dtype="float32", means_init=[[0.0], [5.0]], covariances_init=[[[9.0]], [[1e-4]]], tol=1.0)
    assert np.sqrt(fit.params.covariances[1, 0, 0]) == pytest.approx(2e-4, rel=0.05)


@pytest.mark.parametrize("width", [1.0, 10.0, 100.0])
def test_a_small_gain_after_a_large_one_is_not_convergence(reference_data, width):
    """From a badly scaled start the first gain is huge and the next is tiny, at a saddle: EM must continue."""
    x = reference_data["faithful"].to_numpy()
    means = x.mean(axis=0) + np.array([[-0.05], [0.05]]) * x.std(axis=0)
    fit = bg.fit_em(x, 2, means_init=means, covariances_init=[np.cov(x.T) * width] * 2)
    assert fit.log_likelihood == pytest.approx(-1130.26396, abs=1e-3)


def test_columns_are_matched_by_name(reference_data):
    x = reference_data["faithful"]
    fit = bg.fit_em(x, 2)
    np.testing.assert_allclose(fit.score_samples(x[["waiting", "eruptions"]]), fit.score_samples(x))
    with pytest.raises(DataError, match="Rename the columns"):
        fit.predict(x.rename(columns={"waiting": "other"}))


def test_contradictory_starts_are_refused(reference_data):
    x = reference_data["faithful"]
    with pytest.raises(ArgumentError, match="Give one start"):
        bg.fit_em(x, 2, labels_init=np.arange(272) % 2, means_init=[[2.0, 50.0], [4.0, 80.0]])
    with pytest.raises(ArgumentError, match="symmetric"):
        bg.fit_em(x, 1, means_init=[[2.0, 50.0]], covariances_init=[[[1.0, 0.9], [0.0, 1.0]]])


def test_default_prior_is_ready_for_use(reference_data):
    prior = bg.default_prior(reference_data["faithful"], 2)
    with jax.enable_x64(True):
        draw = prior.sample(jax.random.key(0))
        assert np.isfinite(float(prior.log_density(draw)))
    with pytest.raises(PriorError, match="expand"):
        bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 1.0, 5.0, 1.0)).log_normaliser()


@pytest.mark.parametrize("name", ["VVV", *(pytest.param(n, marks=SOME) for n in ("EII", "VVI", "EEE", "VEV"))])
def test_acceleration_ends_where_plain_em_ends_and_sooner(rng, name):
    """Overlapping clusters, same start: at most 1e-5 lower, in fewer iterations; the objective never falls."""
    x = np.concatenate([rng.normal(size=(300, 2)), rng.normal(size=(300, 2)) * [1.0, 0.6] + [1.6, 0.3]])
    start = {"covariance_type": name, "means_init": [[0.0, 0.0], [2.0, 0.5]]}
    quick = bg.fit_em(x, 2, **start)
    plain = bg.fit_em(x, 2, **start, accelerate=False, max_iter=20_000, tol=1e-7)
    assert quick.log_likelihood >= plain.log_likelihood - 1e-5
    assert quick.n_iter < plain.n_iter
    assert np.diff(quick.trace).min() >= -1e-9


def test_short_runs_keep_the_best_and_say_what_was_pruned(reference_data):
    fit = bg.fit_em(reference_data["iris"], 3, n_init=40)
    table = fit.basin_table()
    assert table["hits"].sum() == 40
    assert "pruned" in set(table["status"])
    assert table["objective"].iloc[0] == pytest.approx(fit.objective)
    assert fit.log_likelihood == pytest.approx(-180.185477, abs=1e-5)  # mclust's value


@pytest.mark.parametrize("init", ["auto", "k-means++", "random", "hierarchical"])
def test_every_kind_of_start_reaches_old_faithful(reference_data, init):
    fit = bg.fit_em(reference_data["faithful"], 2, init=init, n_init=6)
    assert fit.log_likelihood == pytest.approx(-1130.263960, abs=1e-5)


def test_warm_start_from_a_fit(reference_data):
    x = reference_data["faithful"]
    first = bg.fit_em(x, 2)
    again = bg.fit_em(x, 2, init=first)
    assert again.log_likelihood >= first.log_likelihood - 1e-9
    assert again.n_iter < 10
    with pytest.raises(ArgumentError, match="init must be"):
        bg.fit_em(x, 2, init="nearest")
    with pytest.raises(ArgumentError, match="shape"):
        bg.fit_em(x, 3, init=first)


def test_clusters_far_from_the_origin_and_tight_keep_their_digits(rng):
    """Relative width 1e-5, then an offset of 1e8: the estimates keep the digits that the data hold."""
    x = np.concatenate([rng.normal(size=(200, 2)) * 1e-5, rng.normal(size=(200, 2)) * 1e-5 + 1.0])
    fit = bg.fit_em(x, 2)
    for k, rows in enumerate((x[:200], x[200:])):
        np.testing.assert_allclose(fit.params.covariances[k], np.cov(rows.T, bias=True), rtol=1e-6, atol=1e-17)
    y = np.concatenate([rng.normal(size=(200, 2)), rng.normal(size=(200, 2)) + 8.0])
    near, far = bg.fit_em(y, 2), bg.fit_em(y + 1e8, 2)
    np.testing.assert_allclose(far.params.covariances, near.params.covariances, rtol=1e-6)


@pytest.mark.parametrize(("width", "offset"), [(1e-5, 0.0), (1.0, 1e8), (1e-2, 1e6)])
def test_twelve_digits_are_kept_or_as_many_as_scikit_learn_keeps(rng, width, offset):
    """Distant clusters with known labels: the exact answer is each cluster's moments, in extended precision."""
    from sklearn.mixture import GaussianMixture

    labels = np.repeat([0, 1, 2], 1000)
    places = np.array([[0.0, 0.0], [3.0, -5.0], [9.0, 4.0]])
    x = offset + places[labels] * 4 + width * rng.normal(size=(3000, 2))
    wide = x.astype(np.longdouble)
    means = np.stack([wide[labels == k].mean(axis=0) for k in range(3)])
    centred = wide - means[labels]
    exact = np.stack([centred[labels == k].T @ centred[labels == k] / 1000 for k in range(3)]).astype(float)
    fit = bg.fit_em(x, 3, labels_init=labels, accelerate=False, tol=0, max_iter=3)
    start = {"means_init": means.astype(float), "precisions_init": np.linalg.inv(exact)}
    peer = GaussianMixture(3, reg_covar=0.0, tol=0.0, max_iter=3, **start)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        peer.fit(x)
    ours, theirs = (np.abs(found - exact).max() / exact.max() for found in (fit.params.covariances, peer.covariances_))
    assert ours < max(4 * theirs, 1e-12)  # the moments route is used only where it keeps twelve digits


def test_agglomeration_merges_what_raises_the_criterion_least(rng):
    """Against a slow reference that tries every pair at every step (Banfield & Raftery 1993)."""
    from bayesgmm.engines.agglomeration import Agglomeration

    x = rng.normal(size=(25, 2)) @ [[1.0, 0.4], [0.0, 0.3]]
    least = np.trace(np.cov(x.T, bias=True)) / 2

    def term(rows):
        n, centred = len(rows), x[rows] - x[rows].mean(axis=0)
        scatter = centred.T @ centred
        volume = np.linalg.det(scatter / n) if n > 2 else 0.0
        return n * np.log(volume + (np.trace(scatter) + least) / n)

    classes = {i: [i] for i in range(25)}
    for kept, dropped in Agglomeration(x).pairs:
        costs = {
            (i, j): term(classes[i] + classes[j]) - term(classes[i]) - term(classes[j])
            for i in classes for j in classes if i < j
        }  # fmt: skip
        assert costs[kept, dropped] == pytest.approx(min(costs.values()), abs=1e-9)
        classes[kept] += classes.pop(dropped)


@WHOLE
def test_dropped_programs_free_their_memory(monkeypatch):
    """Linux allows 65,530 memory maps per process; a program takes hundreds, and LLVM crashes when none is left."""
    from pathlib import Path

    from bayesgmm.runtime.programs import Program

    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("only Linux shows a process's memory maps")
    monkeypatch.setattr(Program, "KEPT", 4)
    x = bg.load_dataset("faithful").to_numpy()
    counts = []
    for k in (2, 3, 4, 5):
        bg.fit_em(x, k, covariance_type="spherical", n_init=2)
        counts.append(len(maps.read_text().splitlines()))
    assert counts[-1] - counts[1] < 300
