"""Parameters that are held while the rest is inferred, in every engine."""

import functools
import itertools
import math

import arviz as az
import numpy as np
import pandas as pd
import pytest
from oracles.effort import SOME, WHOLE
from scipy import integrate, stats
from scipy.special import betaln

import bayesgmm as bg
from bayesgmm.checking.sensitivity import scaling_tree
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.families import FAMILIES
from bayesgmm.problem import prepare
from bayesgmm.runtime.dtypes import scope

NIW = bg.NormalInverseWishart([0.0, 0.0], 0.2, 6.0, np.eye(2))
PRIOR = bg.Prior(bg.Dirichlet(2.0), NIW)
TRUTH = bg.from_parameters(
    [0.4, 0.6], [[-2.0, 0.0], [2.0, 1.0]], [[[1.0, 0.6], [0.6, 1.0]], [[0.7, -0.4], [-0.4, 1.2]]]
)
TINY = np.array([[-1.2, 0.3], [-0.8, -0.4], [0.9, 1.1], [1.3, 0.2], [0.1, -1.0]])
SIGMA = [[0.8, -0.2], [-0.2, 1.1]]
CASES = {
    "means": {"means": {0: [-2.0, 0.3]}},
    "covariances": {"covariances": {1: SIGMA}},
    "weights": {"weights": {1: 0.55}},
    "some of all": {"weights": {0: 0.45}, "means": {0: [-2.0, 0.0]}, "covariances": {1: SIGMA}},
    "a component": {"means": {0: [-2.0, 0.0]}, "covariances": {0: SIGMA}},
}
IN_HASTE = ("means", "some of all")
EACH = [case if case in IN_HASTE else pytest.param(case, marks=SOME) for case in CASES]


@pytest.fixture(scope="module")
def rows():
    return TRUTH.sample(272, 3)[1]


def textbook(x, start, fixed, prior, steps):
    """EM with two components and full covariances, with what is held put back after each M-step."""
    weights, means, covariances = (np.array(part) for part in start)
    held = {part: dict(fixed.get(part, {})) for part in ("weights", "means", "covariances")}
    strength, df, extra = (0.2, 6.0, 1.0) if prior else (0.0, -4.0, 0.0)
    for _ in range(steps):
        logs = np.log(weights) + np.stack(
            [stats.multivariate_normal.logpdf(x, m, s) for m, s in zip(means, covariances, strict=True)], axis=1
        )
        shares = np.exp(logs - np.logaddexp(*logs.T)[:, None])
        for k, counts in enumerate(shares.sum(axis=0)):
            mean = shares[:, k] @ x / (counts + strength)
            mean = np.array(held["means"].get(k, mean))
            apart = x - mean
            scatter = (shares[:, k] * apart.T) @ apart + strength * np.outer(mean, mean)
            scatter = scatter + (np.eye(2) if prior else 0.0)
            means[k] = mean
            covariances[k] = held["covariances"].get(k, scatter / (counts + df + 4.0))
        weights = (shares.sum(axis=0) + extra) / (len(x) + 2 * extra)
        for k, value in held["weights"].items():
            weights[k], weights[1 - k] = value, 1.0 - value
    return weights, means, covariances


@pytest.mark.parametrize("prior", [None, PRIOR])
@pytest.mark.parametrize("case", EACH)
def test_em_is_the_textbook_loop_with_its_parameters_put_back(rows, case, prior):
    fixed = CASES[case]
    start = bg.fit_em(rows, 2, max_iter=1, tol=0, accelerate=False, fixed=fixed, prior=prior, **given(TRUTH.params))
    first = textbook(rows, (*TRUTH.params[:2], TRUTH.params.covariances), fixed, prior, 0)
    want = textbook(rows, with_held(first, fixed), fixed, prior, 7)
    fit = bg.fit_em(rows, 2, max_iter=7, tol=0, accelerate=False, fixed=fixed, prior=prior, **given(TRUTH.params))
    for ours, theirs in zip((*fit.params[:2], fit.params.covariances), want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    assert fit.objective > start.objective


def given(params):
    return {"weights_init": params.weights, "means_init": params.means, "covariances_init": params.covariances}


def with_held(theta, fixed):
    weights, means, covariances = (np.array(part) for part in theta)
    for k, value in fixed.get("weights", {}).items():
        weights[k], weights[1 - k] = value, 1 - value
    for k, value in fixed.get("means", {}).items():  # its covariance is then that about the held mean
        covariances[k] += np.outer(means[k] - value, means[k] - value)
        means[k] = value
    for k, value in fixed.get("covariances", {}).items():
        covariances[k] = value
    return weights, means, covariances


EVERY = [family if family == "VVV" else pytest.param(family, marks=SOME) for family in FAMILIES]


@pytest.mark.parametrize("family", EVERY)
def test_means_are_held_in_every_family(rows, family):
    """The fit is a maximum of the rest, has fewer parameters, and no higher likelihood than without constraint."""
    free = bg.fit_em(rows, 2, covariance_type=family, n_init=4)
    fit = bg.fit_em(rows, 2, covariance_type=family, fixed=CASES["means"], n_init=4)
    np.testing.assert_array_equal(fit.params.means[0], [-2.0, 0.3])
    assert fit.n_parameters == free.n_parameters - 2
    table = fit.intervals().table  # refuses what is no maximum
    assert (table.loc[["means[0, x0]", "means[0, x1]"], "sd"] == 0).all()
    assert (table["sd"] > 0).sum() >= 4
    assert fit.log_likelihood < free.log_likelihood - 0.1
    there = bg.fit_em(rows, 2, covariance_type=family, fixed={"means": {0: free.params.means[0]}}, n_init=4)
    np.testing.assert_allclose(there.log_likelihood, free.log_likelihood, atol=1e-4)


def test_the_information_of_the_rest_is_that_of_the_likelihood(rows):
    """Standard errors of the free parameters against numerical derivatives of SciPy's likelihood in these alone."""
    fixed = CASES["some of all"]
    fit = bg.fit_em(rows, 2, fixed=fixed)

    def minus(flat):
        other = flat[[[2, 3], [3, 4]]]
        parts = [stats.multivariate_normal.pdf(rows, *one) for one in (([-2.0, 0.0], other), (flat[:2], SIGMA))]
        return -np.log(0.45 * parts[0] + 0.55 * parts[1]).sum()

    at, step = np.append(fit.params.means[1], fit.params.covariances[0][np.triu_indices(2)]), 1e-3
    eye = step * np.eye(5)
    hessian = np.array(
        [[sum(s * t * minus(at + s * a + t * b) for s in (1, -1) for t in (1, -1)) for b in eye] for a in eye]
    ) / (4 * step**2)
    names = ["means[1, x0]", "means[1, x1]", *(f"covariances[0, {pair}]" for pair in ("x0, x0", "x0, x1", "x1, x1"))]
    want = np.sqrt(np.diag(np.linalg.inv(hessian)))
    np.testing.assert_allclose(fit.intervals().table.loc[names, "sd"], want, rtol=1e-4)
    profile = fit.profile("means[1, x0]")
    assert profile.lower < fit.params.means[1, 0] < profile.upper
    with pytest.raises(ArgumentError, match="held at a known value"):
        fit.profile("weights[1]")


def evidence_by_quadrature(x, mean, variance, weight):
    """``log p(x)`` of two components: of the first the mean is known, of the second the variance; weights too or not.

    The sum over all labellings, and for each component an integral over what is left of it.
    """
    loc, strength, df, scale = 0.5, 0.3, 5.0, 2.0
    inverse_gamma = stats.invgamma(df / 2, scale=scale / 2)

    def first(rows):
        def joint(s2, rows):
            logs = stats.norm.logpdf(rows, mean, np.sqrt(s2)).sum() + inverse_gamma.logpdf(s2)
            return np.exp(logs + stats.norm.logpdf(mean, loc, np.sqrt(s2 / strength)))

        over, under = (integrate.quad(joint, 0, np.inf, (some,), epsabs=0)[0] for some in (rows, rows[:0]))
        return np.log(over / under)

    def second(rows):
        prior = stats.norm(loc, np.sqrt(variance / strength))
        value = integrate.quad(
            lambda m: np.exp(stats.norm.logpdf(rows, m, np.sqrt(variance)).sum() + prior.logpdf(m)), -40, 40,
            points=[rows.mean() if len(rows) else loc], epsabs=0, limit=200,
        )[0]  # fmt: skip
        return np.log(value)

    terms = []
    for z in itertools.product((0, 1), repeat=len(x)):
        z = np.array(z)
        n = (z == 0).sum(), (z == 1).sum()
        if weight is None:
            of_z = betaln(2.0 + n[0], 2.0 + n[1]) - betaln(2.0, 2.0)
        else:
            of_z = n[0] * np.log(weight) + n[1] * np.log(1 - weight)
        terms.append(of_z + first(x[z == 0]) + second(x[z == 1]))
    return np.logaddexp.reduce(terms)


@pytest.mark.parametrize("weight", [0.3, pytest.param(None, marks=WHOLE)])
def test_the_exact_evidence_is_that_of_quadrature(weight):
    x = np.array([-0.6, 0.4, 1.7, 2.2])
    prior = bg.Prior(bg.Dirichlet(2.0), bg.NormalInverseWishart([0.5], 0.3, 5.0, [[2.0]]))
    fixed = {"means": {0: [0.2]}, "covariances": {1: [[0.6]]}}
    fixed |= {} if weight is None else {"weights": {0: weight}}
    exact = bg.sample_exact(x[:, None], 2, prior=prior, fixed=fixed, num_samples=50)
    assert exact.log_evidence == pytest.approx(evidence_by_quadrature(x, 0.2, 0.6, weight), abs=1e-7)
    bound = bg.fit_cavi(x[:, None], 2, prior=prior, fixed=fixed, num_samples=100)
    assert exact.log_evidence - 1.0 < bound.elbo < exact.log_evidence
    laplace = bg.fit_laplace(x[:, None], 2, prior=prior, fixed=fixed, num_samples=100)
    assert laplace.log_evidence == pytest.approx(exact.log_evidence, abs=1.0)


@functools.cache
def exact(case):
    return bg.sample_exact(TINY, 2, prior=PRIOR, fixed=CASES[case], num_samples=4000)


def assert_same_posterior(found, exact):
    """Means and squares of all that is free, within five Monte Carlo errors; what is held, exactly."""
    for part in ("weights", "means", "covariances"):
        ours, theirs = (np.asarray(getattr(one.params, part)) for one in (found, exact))
        for place in np.ndindex(ours.shape[2:]):
            here, there = ours[(..., *place)], theirs[(..., *place)]
            if np.ptp(there) == 0:
                np.testing.assert_array_equal(here, there[0, 0])
                continue
            for power in (lambda v: v, np.abs, lambda v: np.tanh(v) ** 2):
                one, two = power(here), power(there)
                error = math.hypot(float(az.mcse(one)), two.std() / np.sqrt(two.size))
                assert abs(one.mean() - two.mean()) < 5 * error + 1e-12, (part, place)


SAMPLED = [
    (bg.sample_gibbs, "some of all"), pytest.param(bg.sample_nuts, "some of all", marks=WHOLE),
    pytest.param(bg.sample_gibbs, "means", marks=pytest.mark.slow),
    *(pytest.param(bg.sample_gibbs, case, marks=WHOLE) for case in ("covariances", "weights", "a component")),
    *(pytest.param(bg.sample_nuts, case, marks=WHOLE) for case in CASES if case != "some of all"),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "case"), SAMPLED)
def test_samplers_have_the_exact_posterior(engine, case):
    found = engine(TINY, 2, prior=PRIOR, fixed=CASES[case], num_samples=2000, seed=1)
    assert_same_posterior(found, exact(case))


def test_held_parameters_matter_to_the_posterior():
    with pytest.raises(AssertionError):
        assert_same_posterior(exact("some of all"), exact("means"))


@WHOLE
def test_tempered_gibbs_holds_them():
    found = bg.sample_gibbs(TINY, 2, prior=PRIOR, fixed=CASES["some of all"], num_samples=2000, tempering=3, seed=2)
    assert_same_posterior(found, exact("some of all"))


@pytest.mark.parametrize(
    "case",
    [
        pytest.param("means", marks=pytest.mark.slow),
        *(pytest.param(one, marks=WHOLE) for one in ("covariances", "weights")),
    ],
)
def test_svi_and_same_hold_them(case):
    svi = bg.fit_svi(TINY, 2, prior=PRIOR, fixed=CASES[case], seed=1)
    assert svi.elbo < exact(case).log_evidence
    mode = bg.fit_em(TINY, 2, prior=PRIOR, fixed=CASES[case])
    same = bg.fit_same(TINY, 2, prior=PRIOR, fixed=CASES[case], seed=1)
    assert mode.objective - 0.1 < same.objective < mode.objective + 1e-6


SEMI = bg.NormalTimesInverseWishart([0.5, 0.0], 2.0 * np.eye(2), 5.0, np.eye(2))
LEARNT = bg.HierarchicalInverseWishart([0.5, 0.0], 2.0 * np.eye(2), 5.0, 4.0, 0.5 * np.eye(2))


def test_the_prior_of_the_rest_is_the_conditional_one(rows):
    """Densities in SciPy: of the shares of free weights, of free means, and of free covariances."""
    fixed = {"weights": {2: 0.25}, "means": {0: [1.0, 2.0]}, "covariances": {1: SIGMA}}
    theta = bg.Params.of(
        [0.15, 0.6, 0.25], [[1.0, 2.0], [0.3, -1.0], [2.0, 2.0]], [np.diag([2.0, 0.5]), SIGMA, [[1.0, 0.3], [0.3, 0.9]]]
    )
    with scope("float64"):
        model = prepare(rows, 3, bg.Prior(bg.Dirichlet([2.0, 3.0, 4.0]), SEMI), fixed=fixed).model
        found = model.log_prior(theta)
    normal, wishart = stats.multivariate_normal([0.5, 0.0], 2.0 * np.eye(2)), stats.invwishart(5.0, np.eye(2))
    want = stats.beta(2.0, 3.0).logpdf(0.15 / 0.75)
    want += normal.logpdf(theta.means[1:]).sum() + sum(wishart.logpdf(theta.covariances[k]) for k in (0, 2))
    assert found == pytest.approx(want, abs=1e-9)
    assert model.num_parameters == 17 - 1 - 2 - 3


def test_a_learnt_scale_knows_the_held_covariance():
    """One feature: ``p(σ²_1 | σ²_0)`` by quadrature over the unknown scale, for its density and for draws."""
    x = np.linspace(-2.0, 2.0, 40)[:, None]
    prior = bg.Prior(bg.Dirichlet(2.0), bg.HierarchicalInverseWishart([0.0], [[4.0]], 5.0, 4.0, [[0.5]]))
    fixed = {"covariances": {0: [[3.0]]}}

    logs_of_scale = np.linspace(-12.0, 5.0, 2001)
    scale = np.exp(logs_of_scale)

    def joint(*variances):
        logs = sum(stats.invgamma(2.5, scale=scale / 2).logpdf(v) for v in variances)
        return np.trapezoid(np.exp(logs + stats.gamma(2.0, scale=1.0).logpdf(scale)) * scale, logs_of_scale)

    def density(variance):
        return joint(3.0, variance) / joint(3.0)

    with scope("float64"):
        model = prepare(x, 2, prior, fixed=fixed).model
        theta = bg.Params.of([0.5, 0.5], [[0.0], [1.0]], [[[3.0]], [[1.7]]])
        rest = stats.beta(2.0, 2.0).logpdf(0.5) + stats.norm(0, 2).logpdf([0.0, 1.0]).sum()
        assert model.log_prior(theta) - rest == pytest.approx(np.log(density(1.7)), abs=1e-7)
    drawn = bg.sample_prior(x, 2, prior=prior, fixed=fixed, num_samples=4000, seed=1)["prior"]["covariances"]
    np.testing.assert_allclose(drawn.values[..., 0, 0, 0], 3.0, rtol=1e-12)
    logs = np.log(drawn.values[0, :, 1, 0, 0])
    grid = np.linspace(-7.0, 9.0, 801)
    mean = np.trapezoid([value * density(np.exp(value)) * np.exp(value) for value in grid], grid)
    assert abs(logs.mean() - mean) < 5 * logs.std() / np.sqrt(len(logs))
    free = bg.sample_prior(x, 2, prior=prior, num_samples=4000, seed=1)["prior"]["covariances"].values[0, :, 1, 0, 0]
    assert abs(np.log(free).mean() - mean) > 10 * logs.std() / np.sqrt(len(logs))  # negative control


AGREE = [
    pytest.param(LEARNT, "some of all", marks=pytest.mark.slow), pytest.param(LEARNT, "means", marks=WHOLE),
    pytest.param(SEMI, "some of all", marks=WHOLE), pytest.param(SEMI, "covariances", marks=WHOLE),
]  # fmt: skip


@pytest.mark.parametrize(("components", "case"), AGREE)
def test_gibbs_and_nuts_agree_under_semi_conjugate_priors(components, case):
    prior = bg.Prior(bg.Dirichlet(2.0), components)
    draws = {"prior": prior, "fixed": CASES[case], "num_samples": 4000, "seed": 1}
    nuts = bg.sample_nuts(TINY, 2, target_accept_prob=0.98, **draws)
    assert_same_posterior(bg.sample_gibbs(TINY, 2, **draws), nuts)


SLOW = pytest.mark.slow
CALIBRATED = [
    pytest.param("gibbs", "means", marks=SLOW), pytest.param("nuts", "some of all", marks=WHOLE),
    pytest.param("gibbs", "covariances", marks=WHOLE), pytest.param("gibbs", "weights", marks=WHOLE),
    pytest.param("nuts", "means", marks=WHOLE),
]  # fmt: skip


@pytest.mark.parametrize(("engine", "case"), CALIBRATED)
def test_calibration_with_parameters_held(engine, case):
    x = TRUTH.sample(40, 1)[1]
    found = bg.calibrate(
        x, 2, engine=engine, prior=PRIOR, fixed=CASES[case], n_sims=150, num_warmup=300, num_samples=300, seed=11
    )
    assert found.summary()["adjusted"].min() > 0.01


def test_results_say_what_is_held_and_refits_hold_it(rows, tmp_path):
    fixed = CASES["means"]
    found = bg.compare(rows, 2, engines=("mle", "gibbs"), fixed=fixed, num_samples=300, num_warmup=100)
    assert "held: means of component 0" in repr(found)
    report = found.to_html(tmp_path / "report.html").read_text()
    assert "Held at known values: means of component 0." in report
    assert "means of component 0 known, not estimated" in report[: report.index('id="estimates"')]
    posterior = found.results["gibbs"]
    for one in (posterior, posterior.extend(50)):
        np.testing.assert_array_equal(
            np.asarray(one.params.means)[:, :, 0], np.full((4, one.num_samples, 2), [-2, 0.3])
        )
    assert "Held parameters tell the components apart" in repr(bg.diagnose(posterior))
    with pytest.raises(ArgumentError, match="component k is the one that holds them"):
        bg.relabel(posterior)
    refit = bg.fit_em(rows, 2, fixed=fixed).intervals("bootstrap", num_replicates=40)
    assert (refit.table.loc["means[0, x0]", ["lower", "upper"]] == -2.0).all()
    assert "fixed={'means': {0: [-2.0, 0.3]}}" in bg.comparison.manifest.call_of(found)


def test_em_finds_the_mode_where_a_held_mean_is_beside_its_rows():
    """SAME found a higher mode than EM, whose starts had the spread about the mean of the class, not the held one."""
    fit = bg.fit_em(TINY, 2, prior=PRIOR, fixed=CASES["means"])
    assert fit.objective == pytest.approx(-8.5626235, abs=1e-6)
    np.testing.assert_allclose(fit.predict_proba()[:, 0], [1, 1, 0, 0, 0], atol=0.02)


def test_a_held_background_component_is_found_from_every_start():
    """Starts by nearest centres have the held means among their centres."""
    z = np.arange(200) % 2
    x = 3.0 * z[:, None] + np.random.default_rng(0).standard_normal((200, 2))
    fixed = {"means": {0: [0.0, 0.0]}, "covariances": {1: np.eye(2)}, "weights": [0.5, 0.5]}
    for seed in range(3):
        found = bg.sample_gibbs(x, 2, fixed=fixed, num_warmup=0, num_samples=5, seed=seed)
        assert np.ptp(found.log_likelihood[:, -1]) < 20


REFUSED = [
    ([1.0], "must be a mapping"),
    ({"mean": {0: [0.0, 0.0]}}, "fixed has no part 'mean'"),
    ({"means": {2: [0.0, 0.0]}}, "names component 2. The components are the integers 0 to 1"),
    ({"means": {0: [0.0]}}, "must have the shape \\(2,\\)"),
    ({"means": [[0.0, 0.0]]}, "must have the shape \\(2, 2\\)"),
    ({"means": [[0.0, np.nan], [np.nan, np.nan]]}, "held as a whole, or free as a whole"),
    ({"covariances": {0: [[1.0, 2.0], [2.0, 1.0]]}}, "is not positive definite"),
    ({"covariances": {0: [[1.0, 0.5], [0.1, 1.0]]}}, "is not symmetric"),
    ({"weights": {0: 0.0}}, "must be at least 1e-12"),
    ({"weights": {0: 1.0}}, "nothing is left for the other 1"),
    ({"weights": [0.5, 0.6]}, "add up to 1.1 and not to 1"),
    ({"weights": [0.5, 0.5], "means": np.zeros((2, 2)), "covariances": [np.eye(2)] * 2}, "nothing to infer"),
    ({"covariances": {0: 1e-300 * np.eye(2)}}, "standard deviation of component 0 in x0 is .*e-151 times that of the"),
    ({"covariances": {1: np.diag([1.0, 1e25])}}, "standard deviation of component 1 in x1 is .* Check its units"),
    ({"means": {0: [0.0, -1e12]}}, "mean of component 0 in x1 is .* standard deviations of the data from their mean"),
]


@pytest.mark.parametrize(("fixed", "words"), REFUSED)
def test_what_cannot_be_held_is_refused(rows, fixed, words):
    for engine in (bg.fit_em, bg.sample_gibbs):
        with pytest.raises(ArgumentError, match=words):
            engine(rows, 2, fixed=fixed)


@pytest.mark.parametrize(
    "means", [[[-2.0, 0.3], None], np.ma.masked_invalid([[-2.0, 0.3], [np.nan] * 2]), {0: [-2.0, 0.3], 1: None}]
)
def test_none_and_masked_values_are_free(rows, means):
    found = prepare(rows, 2, None, fixed={"means": means, "weights": [None, None]}).model.fixed
    assert found.code() == repr(CASES["means"])


def test_known_weights_need_no_bounded_prior(rows):
    """A Dirichlet below 1 is a constant where all weights are known; the negative control is one free pair."""
    low = bg.Prior(bg.Dirichlet(0.5), NIW)
    held = {"weights": [0.45, 0.55]}
    fits = [bg.fit_em(rows, 2, prior=prior, fixed=held) for prior in (PRIOR, low)]
    np.testing.assert_allclose(fits[1].params.means, fits[0].params.means, atol=1e-6)  # both to a tol of 1e-6
    np.testing.assert_allclose(fits[1].log_likelihood, fits[0].log_likelihood, atol=1e-6)
    with pytest.raises(PriorError, match="unbounded at weight 0"):
        bg.fit_em(rows, 2, prior=low, fixed=CASES["means"])
    steps = bg.walk(rows, 2, engine="em", prior=low, fixed=held, num_steps=3)
    assert "held: weights of all components" in repr(steps).replace("\n", " ")


def test_covariances_are_held_only_where_they_share_nothing(rows):
    with pytest.raises(ArgumentError, match="share parameters"):
        bg.fit_em(rows, 2, covariance_type="tied", fixed={"covariances": {0: np.eye(2)}})
    with pytest.raises(ArgumentError, match="is not VVI"):
        bg.fit_em(rows, 2, covariance_type="diag", fixed={"covariances": {0: SIGMA}})
    with pytest.raises(ArgumentError, match="takes no fixed parameters"):
        bg.sample_nuts(rows, 2, fixed=CASES["means"], likelihood="labels")


def test_what_fresh_eyes_found(rows):
    """Names of pandas are obeyed; far components lose no digits; checks of draws leave out what is held."""
    frame = pd.DataFrame(rows, columns=["a", "b"])
    named = {"means": {0: pd.Series({"b": 0.3, "a": -2.0})}}
    fit = bg.fit_em(frame, 2, fixed=named)
    np.testing.assert_array_equal(fit.params.means[0], [-2.0, 0.3])
    assert fit.datatree.attrs["fixed"] == "{'means': {0: [-2.0, 0.3]}}"
    whole = {"means": pd.DataFrame({"b": [0.3, np.nan], "a": [-2.0, np.nan]})}
    assert bg.fit_em(frame, 2, fixed=whole).objective == fit.objective
    with pytest.raises(ArgumentError, match="has the names a, c, and the features are a, b"):
        bg.fit_em(frame, 2, fixed={"means": {0: pd.Series({"a": 1.0, "c": 2.0})}})
    far = bg.fit_em(rows, 2, fixed={"means": {0: [1e3, 1e3]}, "covariances": {0: np.eye(2)}}, prior="default")
    assert far.params.weights[0] < 0.01
    posterior = bg.sample_gibbs(rows, 2, fixed=CASES["some of all"], num_warmup=100, num_samples=300)
    names = set(bg.prior_sensitivity(posterior).index)
    assert {"means[1, x0]", "means[1, x1]"} < names
    assert not {"means[0, x0]", "weights[0]", "sorted_weights[0]"} & names
    found = bg.calibrate(rows[:40], 2, prior=PRIOR, fixed=CASES["weights"], n_sims=2, num_warmup=100, num_samples=200)
    assert (found.effective > 10).all()
    assert not found.pit.columns.str.startswith("sorted").any()


def test_sensitivities_have_the_names_of_their_numbers(rows):
    posterior = bg.sample_gibbs(rows, 2, num_warmup=100, num_samples=300)
    tree, table = scaling_tree(posterior), bg.prior_sensitivity(posterior)
    means = posterior.datatree["posterior"]["means"].values
    np.testing.assert_array_equal(tree["posterior"]["means[1, x0]"].values, means[:, :, 1, 0])
    want = az.psense(tree, var_names=["means[1, x0]"])["means[1, x0]"]
    assert table.loc["means[1, x0]", "prior"] == pytest.approx(float(np.atleast_1d(want)[0]), abs=1e-3)
