"""Marginals, conditionals and regression against SciPy's joint densities, integrals and closed forms."""

import numpy as np
import pandas as pd
import pytest
from scipy.special import logsumexp
from scipy.stats import chi2, multivariate_normal, norm

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.results import mixture as mixture_module

NAMES = ("a", "b", "c", "d")


def random_theta(rng, num=3, dim=4, batch=()):
    weights = rng.dirichlet(np.full(num, 4.0), size=batch)
    means = 2.0 * rng.normal(size=(*batch, num, dim))
    factors = 0.6 * rng.normal(size=(*batch, num, dim, dim)) + np.eye(dim)
    return weights, means, factors @ factors.swapaxes(-1, -2)


def log_density(theta, x, places=None):
    """``log Σ_k π_k N(x; μ_k, Σ_k)`` of some features by SciPy, for one θ."""
    places = list(range(theta[1].shape[-1])) if places is None else list(places)
    parts = [
        np.log(w) + multivariate_normal(m[places], c[np.ix_(places, places)]).logpdf(x)
        for w, m, c in zip(*theta, strict=True)
    ]
    return logsumexp(np.stack(parts), axis=0)


@pytest.fixture(scope="module")
def theta():
    return random_theta(np.random.default_rng(1))


@pytest.fixture(scope="module")
def draws():
    """Seven draws of θ, as 7 of one chain."""
    return random_theta(np.random.default_rng(2), batch=(1, 7))


@pytest.fixture(scope="module")
def one(theta):
    return bg.from_parameters(*theta, features=NAMES)


@pytest.fixture(scope="module")
def many(draws):
    return bg.from_parameters(*draws, features=NAMES)


def thetas(draws):
    return [tuple(part[0, s] for part in draws) for s in range(7)]


def test_a_marginal_is_the_density_of_some_features(theta, one, rng):
    x = rng.normal(size=(20, 2)) * 3
    found = one.marginal(["d", "b"])
    assert found.features == ("d", "b")
    np.testing.assert_allclose(found.score_samples(x), log_density(theta, x, [3, 1]), rtol=1e-11, atol=1e-11)
    frame = pd.DataFrame(x[:, ::-1], columns=["b", "d"])  # columns are put in order by name
    np.testing.assert_array_equal(found.score_samples(frame), found.score_samples(x))


def test_a_conditional_is_the_ratio_of_joint_and_marginal(theta, one, rng):
    y = rng.normal(size=(30, 2)) * 3
    found = one.conditional({"d": 0.7, "b": -1.2})
    assert found.features == ("a", "c")
    rows = np.column_stack([y[:, 0], np.full(30, -1.2), y[:, 1], np.full(30, 0.7)])
    expected = log_density(theta, rows) - log_density(theta, np.array([[-1.2, 0.7]]), [1, 3])
    np.testing.assert_allclose(found.score_samples(y), expected, rtol=1e-10, atol=1e-10)
    swapped = one.conditional({"d": -1.2, "b": 0.7}).score_samples(y)  # negative control
    assert np.abs(swapped - expected).max() > 0.1


def test_conditionals_of_draws_average_over_the_posterior(draws, many, rng):
    """Without `update_draws` the mean of the draws' conditionals; with it the ratio of the averaged densities."""
    y, x = rng.normal(size=(30, 2)) * 3, np.array([[-1.2, 0.7]])
    rows = np.column_stack([y[:, 0], np.full(30, x[0, 0]), y[:, 1], np.full(30, x[0, 1])])
    joint = np.stack([log_density(t, rows) for t in thetas(draws)])
    given = np.stack([log_density(t, x, [1, 3]) for t in thetas(draws)])
    fixed = logsumexp(joint - np.reshape(given, (7, 1)), axis=0) - np.log(7)
    updated = logsumexp(joint, axis=0) - logsumexp(given)
    values = {"b": -1.2, "d": 0.7}
    np.testing.assert_allclose(many.conditional(values).score_samples(y), fixed, rtol=1e-10, atol=1e-10)
    found = many.conditional(values, update_draws=True)
    np.testing.assert_allclose(found.score_samples(y), updated, rtol=1e-10, atol=1e-10)
    assert np.abs(fixed - updated).max() > 0.05
    assert found.draw_weights.shape == (1, 7)
    assert found.draw_weights.sum() == pytest.approx(1.0)


@pytest.mark.parametrize("update", [False, True])
def test_marginals_and_conditionals_commute(many, rng, update):
    y = rng.normal(size=(10, 1))
    first = many.conditional({"b": 0.3}, update_draws=update).marginal("d")
    second = many.marginal(["b", "d"]).conditional({"b": 0.3}, update_draws=update)
    np.testing.assert_allclose(first.score_samples(y), second.score_samples(y), rtol=1e-10)
    stepwise = many.conditional({"b": 0.3}, update_draws=update).conditional({"a": -1.0}, update_draws=update)
    at_once = many.conditional({"a": -1.0, "b": 0.3}, update_draws=update)
    rows = rng.normal(size=(10, 2))
    np.testing.assert_allclose(stepwise.score_samples(rows), at_once.score_samples(rows), rtol=1e-9)


def test_one_component_is_the_linear_regression(rng):
    """Bishop (2006), eqs 2.81-2.82, by matrices that are inverted."""
    _, means, covariances = random_theta(rng, num=1, dim=3)
    found = bg.from_parameters([1.0], means, covariances).conditional({0: 2.0, "x2": -1.0})
    given, target = [0, 2], [1]
    slopes = covariances[0][np.ix_(target, given)] @ np.linalg.inv(covariances[0][np.ix_(given, given)])
    mean = means[0, 1] + slopes @ (np.array([2.0, -1.0]) - means[0, given])
    variance = covariances[0][1, 1] - slopes @ covariances[0][np.ix_(given, target)]
    np.testing.assert_allclose(found.mean, mean, rtol=1e-11)
    np.testing.assert_allclose(found.covariance, variance, rtol=1e-11)
    np.testing.assert_allclose(found.quantile(0.9), norm.ppf(0.9, mean, np.sqrt(variance[0]))[0], rtol=1e-12)


def test_mean_and_variance_are_the_integrals_of_the_density(many, draws):
    found = many.conditional({"a": 0.5, "b": 1.0, "c": -0.5})
    x = np.array([[0.5, 1.0, -0.5]])

    y = np.linspace(-30, 30, 6001)  # the sum over a grid is exact to rounding for smooth densities
    rows = np.column_stack([np.repeat(x, len(y), axis=0), y])
    density = np.mean([np.exp(log_density(t, rows) - log_density(t, x, [0, 1, 2])) for t in thetas(draws)], axis=0)
    mass, mean, square = (0.01 * (y**p * density).sum() for p in range(3))
    assert mass == pytest.approx(1.0, abs=1e-10)
    assert found.mean[0] == pytest.approx(mean, abs=1e-10)
    assert found.covariance[0, 0] == pytest.approx(square - mean**2, abs=1e-9)


def test_the_moments_of_a_mixture_are_those_of_its_draws(many):
    _, rows = many.sample(40_000, 3)
    spread = np.sqrt(np.diag(many.covariance))
    assert np.abs((rows.mean(axis=0) - many.mean) / spread).max() < 4 / np.sqrt(40_000)
    np.testing.assert_allclose(
        np.cov(rows.T) / np.outer(spread, spread), many.covariance / np.outer(spread, spread), atol=0.05
    )
    weighted = many.conditional({"a": 1.0}, update_draws=True)
    _, rows = weighted.sample(40_000, 3)
    error = np.sqrt(np.diag(weighted.covariance) / 40_000)
    assert np.abs((rows.mean(axis=0) - weighted.mean) / error).max() < 4
    even = many.conditional({"a": 1.0})  # negative control: the weights of the draws matter
    assert np.abs((rows.mean(axis=0) - even.mean) / error).max() > 8


@pytest.mark.parametrize("update", [False, True])
def test_a_regression_is_the_conditional_of_each_row(many, rng, update, monkeypatch):
    x = rng.normal(size=(9, 2))
    monkeypatch.setattr(mixture_module, "BLOCK_VALUES", 200)  # two rows at a time
    found = many.regress("c", pd.DataFrame(x, columns=["d", "a"]), update_draws=update)
    assert (found.given, found.target) == (("d", "a"), ("c",))
    y = rng.normal(size=9)
    quantiles, density, cdf = found.quantiles([0.1, 0.8]), found.log_density(y), found.cdf(y)
    for n in range(9):
        own = many.marginal(["a", "c", "d"]).conditional({"d": x[n, 0], "a": x[n, 1]}, update_draws=update)
        assert found.mean[n] == pytest.approx(own.mean[0], rel=1e-10)
        assert found.sd[n] ** 2 == pytest.approx(own.covariance[0, 0], rel=1e-10)
        np.testing.assert_allclose(quantiles[n], own.quantile([0.1, 0.8]), rtol=1e-10)
        assert density[n] == pytest.approx(own.score_samples([[y[n]]])[0], rel=1e-10)
        assert cdf[n] == pytest.approx(own.cdf(y[n]), rel=1e-10)
    frame = found.to_frame(0.6)
    np.testing.assert_allclose(frame[["lower", "upper"]], found.interval(0.6))
    assert list(frame.columns) == ["d", "a", "mean", "sd", "lower", "median", "upper", "mean lower", "mean upper"]


def test_a_regression_has_several_targets(many, rng):
    x = rng.normal(size=(5, 1))
    found = many.regress(["d", "a"], x, on="b")
    y = rng.normal(size=(5, 2))
    for n in range(5):
        own = many.conditional({"b": x[n, 0]}).marginal(["d", "a"])
        np.testing.assert_allclose(found.mean[n], own.mean, rtol=1e-10)
        np.testing.assert_allclose(found.covariance[n], own.covariance, rtol=1e-9)
        np.testing.assert_allclose(found.sd[n], np.sqrt(np.diag(own.covariance)), rtol=1e-9)
        assert found.log_density(y)[n] == pytest.approx(own.score_samples(y[n : n + 1])[0], rel=1e-10)
    assert found.mean_interval(0.5).shape == (5, 2, 2)
    assert list(found.to_frame().columns) == ["b", "mean[d]", "sd[d]", "mean[a]", "sd[a]"]


def test_the_interval_of_the_mean_is_over_the_draws(many, draws, rng):
    x = rng.normal(size=(4, 1))
    lines = np.stack([bg.from_parameters(*t, features=NAMES).regress("a", x, on="d").mean for t in thetas(draws)])
    found = many.regress("a", x, on="d").mean_interval(0.5)
    np.testing.assert_allclose(found, np.quantile(lines, [0.25, 0.75], axis=0).T, rtol=1e-10)
    weights = many.conditional({"d": x[0, 0]}, update_draws=True).draw_weights.ravel()
    updated = many.regress("a", x, on="d", update_draws=True).mean_interval(0.5)
    order = np.argsort(lines[:, 0])
    below = np.cumsum(weights[order])
    expected = [lines[order, 0][np.searchsorted(below, p)] for p in (0.25, 0.75)]
    np.testing.assert_allclose(updated[0], expected, rtol=1e-10)


def test_units_do_not_matter(theta, one, rng):
    """The figures in other units are the same figures, also far from zero and with tiny or huge units."""
    shift, scale = np.array([1e6, 0.0, -1e3, 0.0]), np.array([1.0, 1e-120, 1e3, 1e120])
    weights, means, covariances = theta
    other = bg.from_parameters(weights, means * scale + shift, covariances * np.outer(scale, scale), features=NAMES)
    x = rng.normal(size=(6, 2))
    found = other.regress("c", x * scale[[0, 1]] + shift[[0, 1]], on=["a", "b"])
    expected = one.regress("c", x, on=["a", "b"])
    np.testing.assert_allclose((found.mean - shift[2]) / scale[2], expected.mean, rtol=1e-7)
    np.testing.assert_allclose(found.sd / scale[2], expected.sd, rtol=1e-7)
    np.testing.assert_allclose((found.interval() - shift[2]) / scale[2], expected.interval(), rtol=1e-7)


def test_a_region_of_several_features_has_its_probability(one):
    found = one.highest_density_region(0.8, seed=1)
    _, rows = one.sample(50_000, 9)
    error = np.hypot(found.error, np.sqrt(0.8 * 0.2 / 50_000))
    assert found.error == pytest.approx(np.sqrt(0.8 * 0.2 / 20_000))
    assert abs(found.contains(rows).mean() - 0.8) < 4 * error
    assert abs(one.highest_density_region(0.85, seed=1).contains(rows).mean() - 0.8) > 8 * error  # negative control


def test_the_region_of_a_gaussian_is_its_ellipsoid():
    covariance = np.array([[2.0, 0.3], [0.3, 1.0]])
    gauss = bg.from_parameters([1.0], [[1.0, -2.0]], [covariance])
    found = gauss.highest_density_region(0.9, num_draws=100_000)
    exact = multivariate_normal(cov=covariance).logpdf([0.0, 0.0]) - 0.5 * chi2.ppf(0.9, 2)
    # In two dimensions the probability is 1 - exp(-fall): its error moves the threshold by error / (1 - level).
    assert found.log_threshold == pytest.approx(exact, abs=4 * found.error / 0.1)


def test_a_region_of_one_feature_is_a_union_of_intervals(one):
    found = one.marginal("a").highest_density_region(0.7)
    y = np.linspace(-10, 10, 2001)
    held = found.contains(y[:, None])
    np.testing.assert_array_equal(held, one.marginal("a").score_samples(y[:, None]) >= found.log_threshold)
    assert found.to_frame()["probability"].sum() == pytest.approx(0.7, abs=1e-12)
    assert "0.7000" in repr(found)


# --- Fits and posteriors ---


@pytest.fixture(scope="module")
def faithful(reference_data):
    return reference_data["faithful"]


@pytest.fixture(scope="module")
def fit(faithful):
    return bg.fit_em(faithful, 2)


@pytest.fixture(scope="module")
def posterior(faithful):
    return bg.sample_gibbs(faithful, 2, num_warmup=50, num_samples=60, num_chains=2, seed=4)


def test_mixtures_have_the_densities_of_their_results(fit, posterior, faithful):
    np.testing.assert_allclose(fit.mixture.score_samples(faithful), fit.score_samples(), rtol=1e-10)
    np.testing.assert_allclose(posterior.mixture.score_samples(faithful), posterior.score_samples(), rtol=1e-10)


def test_a_posterior_of_one_draw_is_a_fit(fit, faithful):
    theta = (fit.params.weights, fit.params.means, fit.params.covariances)
    drawn = bg.from_parameters(*(np.asarray(part)[None, None] for part in theta), features=list(faithful.columns))
    x = faithful[["eruptions"]]
    for update in (False, True):
        first, second = drawn.regress("waiting", x, update_draws=update), fit.regress("waiting", x)
        np.testing.assert_allclose(first.to_frame(), second.to_frame(), rtol=1e-10)
    assert repr(drawn).splitlines()[1:] == repr(fit.mixture).splitlines()[1:]


def test_the_regression_of_old_faithful_is_calibrated(posterior, faithful):
    """The bend between the clusters; 90 % of the rows within the 90 % intervals, by 4 binomial errors; uniform PIT."""
    found = posterior.regress("waiting", faithful[["eruptions"]])
    low, high = found.interval(0.9).T
    assert abs(((low <= faithful["waiting"]) & (faithful["waiting"] <= high)).mean() - 0.9) < 4 * np.sqrt(0.09 / 272)
    pit = found.cdf(faithful["waiting"])
    assert np.abs(np.sort(pit) - (np.arange(272) + 0.5) / 272).max() < 1.63 / np.sqrt(272)  # Kolmogorov, 1 %
    line = np.polyval(np.polyfit(faithful["eruptions"], faithful["waiting"], 1), faithful["eruptions"])
    assert (found.mean - faithful["waiting"]).std() < (line - faithful["waiting"]).std()
    mean_low, mean_high = found.mean_interval(0.9).T
    assert ((low < mean_low) & (mean_low < found.mean) & (found.mean < mean_high) & (mean_high < high)).all()


def test_the_reprs_say_what_is_there(fit, posterior, many):
    assert "averaged over 120 draws" in repr(posterior.mixture)
    assert "mean[waiting]" in repr(fit.mixture)
    assert "waiting given eruptions" in repr(posterior.regress("waiting", [[3.0]]))
    for shown in (many, many.regress("a", [[1.0]], on="b"), many.highest_density_region(0.5, num_draws=200)):
        assert "<table" in shown._repr_html_()


# --- What is refused ---

REFUSED = {
    "all features": (lambda m: m.conditional(dict.fromkeys(NAMES, 0.0)), ArgumentError, "none is left.*score_samples"),
    "an unknown feature": (lambda m: m.conditional({"e": 1.0}), ArgumentError, "no feature 'e'.*'a', 'b'"),
    "an index too large": (lambda m: m.marginal(4), ArgumentError, "no feature 4"),
    "a feature twice": (lambda m: m.marginal(["a", 0]), ArgumentError, "'a' twice"),
    "given twice": (lambda m: m.conditional({"a": 1.0, 0: 1.0}), ArgumentError, "'a' twice"),
    "nothing given": (lambda m: m.conditional({}), ArgumentError, "no feature"),
    "no mapping": (lambda m: m.conditional([1.0]), ArgumentError, "dict of features and values"),
    "many rows given": (lambda m: m.conditional({"a": [1.0, 2.0]}), ArgumentError, "regress"),
    "NaN given": (lambda m: m.conditional({"a": np.nan}), ArgumentError, "finite"),
    "infinite given": (lambda m: m.conditional({"a": np.inf}), ArgumentError, "finite"),
    "far away": (lambda m: m.conditional({"a": 1e200}), ArgumentError, "at most 1e\\+150"),
    "a level of 1": (lambda m: m.highest_density_region(1.0), ArgumentError, "below 1"),
    "a probability of 0": (lambda m: m.marginal("a").quantile([0.0, 0.5]), ArgumentError, "above 0 and below 1"),
    "NaN as a probability": (lambda m: m.marginal("a").quantile(np.nan), ArgumentError, "above 0 and below 1"),
    "quantiles of four features": (lambda m: m.quantile(0.5), ArgumentError, "marginal"),
    "cdf of four features": (lambda m: m.cdf([0.0]), ArgumentError, "marginal"),
    "cdf at NaN": (lambda m: m.marginal("a").cdf(np.nan), ArgumentError, "NaN"),
    "target and given": (lambda m: m.regress("a", [[1.0]], on="a"), ArgumentError, "given and a target"),
    "all targets": (lambda m: m.regress(list(NAMES), [[1.0]]), ArgumentError, "none is left"),
    "other columns": (lambda m: m.regress("a", pd.DataFrame({"b": [1.0], "z": [1.0]})), DataError, "on="),
    "columns too few": (lambda m: m.regress("a", [[1.0, 2.0]]), DataError, "3 features are given"),
    "NaN in x": (lambda m: m.regress("a", [[np.nan]], on="b"), DataError, "NaN"),
    "quantiles of two targets": (lambda m: m.regress(["a", "b"], [[1.0, 1.0]]).interval(), ArgumentError, "one target"),
    "other rows": (lambda m: m.regress("a", [[1.0]], on="b").cdf([1.0, 2.0]), DataError, "2 rows"),
    "no spread": (lambda m: m.regress("a", [[1.0]], on="b").mean_interval(), ArgumentError, "single θ"),
    "rows of other features": (lambda m: m.score_samples([[1.0]]), DataError, "4 features"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_bad_input_is_refused_with_advice(one, name):
    call, error, words = REFUSED[name]
    with pytest.raises(error, match=words):
        call(one)


def test_bad_parameters_are_refused(theta):
    with pytest.raises(ArgumentError, match="4 different names"):
        bg.from_parameters(*theta, features=["a", "b"])
    with pytest.raises(ArgumentError, match="4 different names"):
        bg.from_parameters(*theta, features=["a", "b", "c", "c"])
    with pytest.raises(ArgumentError, match="sum to 1"):
        bg.from_parameters(2 * theta[0], *theta[1:])
    with pytest.raises(ArgumentError, match="exceeds double precision"):
        bg.from_parameters(theta[0], theta[1] * 1e200, theta[2])
    with pytest.raises(ArgumentError, match="no draws"):
        bg.from_parameters(*(part[None][:0] for part in theta))
    with pytest.raises(ArgumentError, match="7 draws"):
        bg.from_parameters(*random_theta(np.random.default_rng(0), batch=(7,))).regress(
            0, [[0.0]], on=1
        ).mean_interval()


def test_a_value_whose_density_is_zero_is_refused():
    narrow = bg.from_parameters([1.0], [[0.0, 0.0]], [np.diag([1e-20, 1.0])])
    with pytest.raises(DataError, match=r"row 0.*density is 0"):
        narrow.conditional({0: 1e149})
    assert narrow.conditional({0: 1e100}).mean[0] == 0.0
