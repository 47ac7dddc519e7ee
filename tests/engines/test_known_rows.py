"""Weights, gaps and errors of rows in every engine."""

import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
from oracles.effort import SOME, WHOLE
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError, NotConvergedWarning, SpuriousComponentWarning
from bayesgmm.model.families import FAMILIES

PRIOR = bg.Prior(bg.Dirichlet(2.0), bg.NormalInverseWishart([0.0, 0.0], 0.2, 6.0, np.eye(2)))
TRUTH = bg.from_parameters(
    [0.4, 0.6], [[-2.0, 0.0], [2.0, 1.0]], [[[1.0, 0.6], [0.6, 1.0]], [[0.7, -0.4], [-0.4, 1.2]]]
)
OTHERS = ["fit_svi", "fit_laplace", "sample_nuts", "sample_gibbs"]
TINY = np.array([[-1.2, 0.3], [-0.8, -0.4], [0.9, 1.1], [1.3, 0.2], [0.1, -1.0]])
COUNTS = np.array([2, 1, 1, 3, 1])


@pytest.fixture(scope="module")
def rows():
    return TRUTH.sample(272, 3)[1]


@pytest.fixture(scope="module")
def gappy(rows):
    """The rows with 30 % of the cells unseen, and one row of which nothing was seen."""
    x = np.where(np.random.default_rng(1).random(rows.shape) < 0.3, np.nan, rows)
    x[7] = np.nan
    return x


def likelihood(params, x, errors=None, weights=None):
    """The marginal log-likelihood row by row, in SciPy."""
    total = 0.0
    for n, row in enumerate(x):
        seen = ~np.isnan(row)
        if seen.any():
            noise = 0.0 if errors is None else np.diag(errors[n] ** 2)[np.ix_(seen, seen)]
            parts = [
                weight * multivariate_normal.pdf(row[seen], mean[seen], covariance[np.ix_(seen, seen)] + noise)
                for weight, mean, covariance in zip(params.weights, params.means, params.covariances, strict=True)
            ]
            total += (1.0 if weights is None else weights[n]) * np.log(sum(parts))
    return total


IN_HASTE = ("VVV", "VEI")
EVERY = [family if family in IN_HASTE else pytest.param(family, marks=SOME) for family in FAMILIES]


@pytest.mark.parametrize("family", EVERY)
def test_copies_of_a_row_equal_a_weight_in_every_family(rows, family):
    counts = np.random.default_rng(0).integers(0, 4, len(rows))
    start = {"init": bg.Params(*TRUTH.params)}
    one = bg.fit_em(rows, 2, covariance_type=family, weights=counts, **start)
    other = bg.fit_em(np.repeat(rows, counts, axis=0), 2, covariance_type=family, **start)
    np.testing.assert_allclose(one.log_likelihood, other.log_likelihood, rtol=1e-11)
    np.testing.assert_allclose(one.bic(), other.bic(), rtol=1e-11)
    np.testing.assert_allclose(one.icl(), other.icl(), rtol=1e-7)
    np.testing.assert_allclose(one.params.means, other.params.means, atol=1e-6)


def test_copies_equal_weights_where_the_prior_is_made_of_the_data_and_in_intervals(rows):
    counts = np.random.default_rng(0).integers(0, 4, len(rows))
    one = bg.fit_em(rows, 2, prior="default", weights=counts)
    other = bg.fit_em(np.repeat(rows, counts, axis=0), 2, prior="default")
    np.testing.assert_allclose(one.objective, other.objective, rtol=1e-11)
    for method in ("information", "sandwich"):
        pair = [fit.intervals(method).table["sd"].to_numpy() for fit in (one, other)]
        np.testing.assert_allclose(*pair, rtol=1e-5)


@WHOLE
def test_bootstraps_of_weights_are_those_of_the_copies(rows):
    counts = np.random.default_rng(0).integers(0, 4, len(rows))
    one, other = bg.fit_em(rows, 2, weights=counts), bg.fit_em(np.repeat(rows, counts, axis=0), 2)
    pair = [fit.intervals("bootstrap", num_replicates=200).table["sd"].to_numpy() for fit in (one, other)]
    np.testing.assert_allclose(*pair, rtol=0.35)
    pair = [fit.intervals("weighted", num_replicates=200).table["sd"].to_numpy() for fit in (one, other)]
    np.testing.assert_allclose(*pair, rtol=0.35)


@pytest.mark.parametrize(
    ("engine", "value"), [("fit_cavi", "elbo"), pytest.param("fit_laplace", "log_evidence", marks=WHOLE)]
)
def test_copies_equal_weights_in_the_deterministic_engines(rows, engine, value):
    counts = np.random.default_rng(0).integers(0, 4, len(rows))
    many = np.repeat(rows, counts, axis=0)
    one, other = getattr(bg, engine)(rows, 2, weights=counts, prior=PRIOR), getattr(bg, engine)(many, 2, prior=PRIOR)
    np.testing.assert_allclose(getattr(one, value), getattr(other, value), rtol=1e-9)


@pytest.mark.parametrize("engine", [bg.sample_gibbs, pytest.param(bg.sample_nuts, marks=WHOLE)])
def test_samplers_of_weights_have_the_posterior_of_the_copies(engine):
    """Against the exact posterior of the repeated rows, by enumeration."""
    exact = bg.sample_exact(np.repeat(TINY, COUNTS, axis=0), 2, prior=PRIOR, num_samples=1000)
    found = engine(TINY, 2, prior=PRIOR, weights=COUNTS, num_samples=2000, seed=1)
    assert_same_posterior(found, exact)
    plain = engine(TINY, 2, prior=PRIOR, num_samples=2000, seed=1)  # negative control: the weights matter
    with pytest.raises(AssertionError):
        assert_same_posterior(plain, exact)


def assert_same_posterior(found, exact):
    """Means of label-invariant quantities of θ within five Monte Carlo errors."""
    for name in ("mixture_mean", "mixture_sd", "sorted_weights", "log_likelihood"):
        ours, theirs = (one.invariants[name] for one in (found, exact))
        error = np.hypot(az.mcse(ours).values, theirs.std(("chain", "draw")).values / np.sqrt(theirs.size))
        apart = np.abs(ours.mean(("chain", "draw")).values - theirs.mean(("chain", "draw")).values)
        assert (apart < 5 * error).all(), name


def test_gaps_are_integrated_out_in_em(gappy):
    fit = bg.fit_em(gappy, 2)
    np.testing.assert_allclose(fit.log_likelihood, likelihood(fit.params, gappy), rtol=1e-11)
    np.testing.assert_allclose(fit.score_samples().sum(), fit.log_likelihood, rtol=1e-11)
    assert fit.score_samples()[7] == pytest.approx(0.0, abs=1e-12)
    np.testing.assert_allclose(fit.predict_proba()[7], fit.params.weights, rtol=1e-10)
    assert "gaps in" in repr(fit)


def marginal_and_close_to_gibbs(x, engines, errors=None):
    """The log-likelihood of a draw is SciPy's, and the posterior means are those of Gibbs: distances in sds by engine."""
    found = {}
    for name in engines:
        posterior = getattr(bg, name)(x, 2, prior=PRIOR, errors=errors, seed=2)
        one = bg.Params(*(part[0, 0] for part in posterior.params))
        np.testing.assert_allclose(posterior.log_likelihood[0, 0], likelihood(one, x, errors), rtol=1e-10)
        found[name] = posterior.params.means
    mean, sd = found["sample_gibbs"].mean((0, 1)), found["sample_gibbs"].std((0, 1))
    apart = {name: (np.abs(means.mean((0, 1)) - mean) / sd).max() for name, means in found.items()}
    assert max(apart.values()) < 0.35, apart
    return apart


# In the short slow form, gaps with errors and simulated data with gaps are what NUTS and Laplace see.
@pytest.mark.parametrize("engines", [["fit_cavi", "sample_gibbs"], pytest.param(OTHERS[1:], marks=WHOLE)])
def test_gaps_are_integrated_out_in_every_engine(gappy, engines):
    assert marginal_and_close_to_gibbs(gappy, engines).get("sample_nuts", 0.0) < 0.15


def test_imputed_values_are_those_given_what_was_seen(gappy):
    """Against the conditional mean and sd of one row, averaged over the draws."""
    posterior = bg.sample_gibbs(gappy, 2, prior=PRIOR, seed=2)
    drawn = posterior.impute(seed=0)
    rows = np.flatnonzero(np.isnan(gappy).any(axis=1))
    np.testing.assert_array_equal(drawn["obs"], rows)
    seen = ~np.isnan(gappy[rows])
    np.testing.assert_array_equal(np.broadcast_to(gappy[rows], drawn.shape)[..., seen], drawn.values[..., seen])
    row = int(rows[(seen == [True, False]).all(axis=1)][0])
    given = posterior.mixture.regress("x1", gappy[[row], :1], on="x0")
    values = drawn.sel(obs=row, feature="x1").values
    assert abs(values.mean() - given.mean[0]) < 5 * values.std() / np.sqrt(values.size)
    np.testing.assert_allclose(values.std(), given.sd[0], rtol=0.05)
    with pytest.raises(ArgumentError, match="nothing to impute"):
        posterior.impute(TINY, seed=0)


def test_incomplete_rows_are_left_out_one_by_one(gappy):
    posterior = bg.sample_gibbs(gappy, 2, prior=PRIOR, seed=2)
    elpd = bg.loo(posterior)
    assert elpd.elpd_i.values[7] == pytest.approx(0.0, abs=1e-9)
    assert elpd.pareto_k.values[7] == 0.0
    assert elpd.elpd < posterior.score_samples().sum()
    with pytest.raises(ArgumentError, match="predictive_checks does not take rows with gaps"):
        bg.predictive_checks(posterior)


def test_gaps_at_random_do_not_bias_the_fit_as_dropping_their_rows_does():
    """x1 is missing where x0 is large: the complete rows say nothing true of the means; all rows do."""
    x = TRUTH.sample(4000, 5)[1]
    x[x[:, 0] > 1.0, 1] = np.nan
    kept = x[~np.isnan(x).any(axis=1)]
    truth = TRUTH.params.weights @ TRUTH.params.means
    all_rows, complete = (bg.fit_em(rows, 2) for rows in (x, kept))
    near, far = (np.abs(fit.params.weights @ fit.params.means - truth).max() for fit in (all_rows, complete))
    assert near < 0.15 < 0.5 < far


def test_no_error_is_the_plain_fit_and_deconvolution_finds_the_truth(rows):
    plain = bg.fit_em(rows, 2)
    assert bg.fit_em(rows, 2, errors=np.zeros_like(rows)).log_likelihood == plain.log_likelihood
    small = bg.fit_em(rows, 2, errors=np.full_like(rows, 1e-9))
    np.testing.assert_allclose(small.log_likelihood, plain.log_likelihood, rtol=1e-9)
    rng = np.random.default_rng(0)
    x = TRUTH.sample(4000, 5)[1]
    errors = rng.uniform(0.2, 2.0, x.shape)
    noisy = x + errors * rng.standard_normal(x.shape)
    fits = bg.fit_em(noisy, 2, errors=errors), bg.fit_em(noisy, 2)
    np.testing.assert_allclose(fits[0].log_likelihood, likelihood(fits[0].params, noisy, errors), rtol=1e-10)
    apart = [np.abs(fit.params.covariances - TRUTH.params.covariances).max() for fit in fits]
    assert apart[0] < 0.2
    assert apart[1] > 0.8


def test_a_component_that_the_errors_explain_is_called_a_point(rows):
    point = 2.0 + np.random.default_rng(4).standard_normal(rows.shape) * [1.0, 0.3]
    with pytest.warns(SpuriousComponentWarning, match="has a variance below 0.001 of theirs"):
        bg.fit_em(point, 2, errors=np.full(rows.shape, 1.5), max_iter=200)


@pytest.mark.parametrize("engines", [["fit_cavi", "sample_gibbs"], pytest.param(OTHERS, marks=WHOLE)])
def test_gaps_and_errors_in_every_engine(gappy, engines):
    marginal_and_close_to_gibbs(gappy, engines, np.random.default_rng(4).uniform(0.0, 1.0, gappy.shape))


def test_an_infinite_error_is_a_gap(gappy):
    errors = np.where(np.isnan(gappy), np.inf, 0.0)
    filled = np.where(np.isnan(gappy), 99.0, gappy)
    table = bg.rows(filled, errors=errors)
    np.testing.assert_array_equal(table.values, gappy)
    assert table.errors is None


REFUSED = [
    ({"weights": [1.0] * 271}, "weights must have shape"),
    ({"weights": [-1.0] + [1.0] * 271}, "negative"),
    ({"weights": [np.nan] + [1.0] * 271}, "not finite"),
    ({"weights": [0.0] * 272}, "All weights are 0"),
    ({"weights": ["a"] * 272}, "weights"),
    ({"weights": "w"}, "names a column 'w'"),
    ({"labels": [0] * 270}, "labels must have shape"),
    ({"labels": [0, 2] * 136}, "labels go up to 2"),
    ({"labels": [0.5] * 272}, "integers"),
    ({"labels": np.zeros((272, 2))}, "exclude every class of row 0"),
    ({"labels": np.ones((272, 3))}, "3 classes for 2 components"),
    ({"errors": np.ones((272, 3))}, "errors must have shape"),
    ({"errors": -np.ones((272, 2))}, "negative"),
    ({"errors": np.full((272, 2), np.nan)}, "NaN"),
    ({"errors": np.tile([[1.0, 2.0], [2.0, 1.0]], (272, 1, 1))}, "positive semi-definite"),
    ({"errors": np.tile([[1.0, 0.5], [0.0, 1.0]], (272, 1, 1))}, "symmetric"),
]


@pytest.mark.parametrize(("known", "words"), REFUSED)
def test_what_cannot_be_known_of_rows_is_refused(rows, known, words):
    with pytest.raises(ArgumentError, match=words):
        bg.fit_em(rows, 2, **known)


def test_engines_refuse_rows_that_they_do_not_take(rows, gappy):
    half = np.full(len(rows), 0.5)
    for refused, words in (
        (lambda: bg.sample_gibbs(rows, 2, weights=half), "gibbs does not take weights that are not whole.*nuts"),
        (lambda: bg.fit_em(rows, 2, algorithm="sem", weights=half), "sem does not take weights that are not whole"),
        (lambda: bg.sample_gibbs(gappy, 2, weights=4 * half), "Repeat such rows"),
        (lambda: bg.sample_gibbs(gappy, 2, tempering=3), "tempering=3 does not take rows with gaps"),
        (lambda: bg.sample_nuts(gappy, 2, likelihood="labels"), "likelihood='labels' does not take rows with gaps"),
        (lambda: bg.fit_mcem(gappy, 2), "mcem does not take rows with gaps"),
        (lambda: bg.sample_exact(TINY, 2, weights=COUNTS), "exact does not take rows with weights"),
        (lambda: bg.compare(gappy, 2, engines=("em", "mcem")), "mcem does not take rows with gaps"),
    ):
        with pytest.raises(ArgumentError, match=words):
            refused()


@WHOLE
def test_half_weights_halve_the_information(rows):
    half = np.full(len(rows), 0.5)
    nuts = bg.sample_nuts(rows, 2, weights=half, prior=PRIOR)  # half of the information
    whole = bg.sample_nuts(rows, 2, prior=PRIOR)
    ratio = nuts.params.means.std((0, 1)) / whole.params.means.std((0, 1))
    np.testing.assert_allclose(ratio, np.sqrt(2.0), rtol=0.15)


def test_a_row_of_weight_zero_is_left_out_and_scored(rows):
    far = np.concatenate([rows, [[50.0, 50.0]]])
    fit = bg.fit_em(far, 2, weights=np.append(np.ones(len(rows)), 0.0))
    np.testing.assert_allclose(fit.log_likelihood, bg.fit_em(rows, 2).log_likelihood, rtol=1e-9)
    assert len(fit.predict_proba()) == len(far)


@pytest.mark.parametrize(
    ("kind", "engine"),
    [pytest.param("gaps", "gibbs", marks=pytest.mark.slow), pytest.param("gaps", "nuts", marks=WHOLE),
     pytest.param("errors and gaps", "gibbs", marks=WHOLE), pytest.param("errors and gaps", "nuts", marks=WHOLE),
     pytest.param("weights", "gibbs", marks=WHOLE), pytest.param("weights", "nuts", marks=WHOLE)],
)  # fmt: skip
def test_calibration_with_what_is_known_of_rows(engine, kind):
    """Simulation-based calibration: 30 % of the cells unseen, errors of measurement, rows that count 0 or 1 times."""
    rng = np.random.default_rng(0)
    x = TRUTH.sample(40, 1)[1]
    if "gaps" in kind:
        x[rng.random(x.shape) < 0.3] = np.nan
    known = {"errors": np.full(x.shape, 0.8)} if "errors" in kind else {}
    known |= {"weights": np.repeat([1.0, 0.0], 20)} if kind == "weights" else {}
    found = bg.calibrate(
        bg.rows(x, **known), 2, engine=engine, prior=PRIOR, n_sims=150, num_warmup=300, num_samples=300, seed=11
    )
    assert found.summary()["adjusted"].min() > 0.01


def test_deconvolution_is_that_of_astroml(truth):
    """Log-likelihoods along the path of another implementation (astroML's `XDGMM`), and its end."""
    stored = truth("astroml")
    x = np.asarray(bg.load_dataset("faithful"), float)
    i = np.arange(len(x))
    table = bg.rows(x, errors=np.stack([0.1 + 0.05 * (i % 5), 2.0 + 0.5 * (i % 7)], axis=1))
    start = {f"{part}_init": stored[part] for part in ("weights", "means", "covariances")}
    for steps, value in stored["log_likelihood"].items():
        if steps != "start":
            fit = bg.fit_em(table, 2, **start, max_iter=int(steps), tol=0, accelerate=False)
            np.testing.assert_allclose(fit.log_likelihood, value, rtol=1e-11)
    np.testing.assert_allclose(fit.trace[0], stored["log_likelihood"]["start"], rtol=1e-11)
    for part, values in stored["end"].items():
        np.testing.assert_allclose(getattr(fit.params, part), values, rtol=1e-6)


def test_what_fresh_eyes_found(rows):
    """Names of errors, rows of weight 0, gaps where they are not taken, and a feature seen twice."""
    frame = pd.DataFrame(rows, columns=["a", "b"])
    sds = pd.DataFrame(np.full(rows.shape, [0.1, 0.5]), columns=["a", "b"])
    one, other = (bg.rows(frame, errors=given).errors for given in (sds, sds[["b", "a"]]))
    np.testing.assert_array_equal(one, other)
    with pytest.raises(ArgumentError, match="errors has columns a, zz"):
        bg.rows(frame, errors=sds.set_axis(["a", "zz"], axis=1))
    left_out = np.append(np.zeros(10), np.ones(len(rows) - 10))
    with pytest.raises(DataError, match="No value of x2 was seen"):
        bg.fit_em(np.c_[rows, np.where(left_out == 0, 1.0, np.nan)], 2, weights=left_out)
    with pytest.raises(DataError, match="Constant feature: x2"):
        bg.fit_em(np.c_[rows, np.where(left_out == 0, np.arange(len(rows)), 7.0)], 2, weights=left_out)
    excluded = np.where(left_out[:, None] == 0, 0.0, [1.0, 1.0])
    assert bg.rows(rows, weights=left_out, labels=excluded).labels.max(axis=1).min() == 1.0
    fit = bg.fit_em(rows, 2)
    with pytest.raises(DataError, match="gaps"):
        fit.mixture.score_samples([[1.0, np.nan]])
    with pytest.raises(DataError, match="errors of measurement"):
        fit.regress("x1", bg.rows(rows[:2, :1], errors=np.ones((2, 1))))
    with pytest.raises(ArgumentError, match="codes"):
        bg.fit_em(rows, 2, labels=pd.Categorical(["u", "v"] * 136))
    third = np.full(len(rows), np.nan)
    third[:2] = 1.0, 2.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NotConvergedWarning)
        with pytest.warns(SpuriousComponentWarning, match="rests on 2.0 rows in a feature"):
            bg.fit_em(np.c_[rows, third], 1)
    assert repr(bg.rows(frame, weights=left_out)) == "Table of 272 rows × 2 features (a, b), weights with sum 262"
