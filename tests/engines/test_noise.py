"""A noise component: uniform over a box, after the Gaussians, in every engine."""

import functools
import itertools
import json
import math

import numpy as np
import pytest
from oracles import TRUTH
from scipy import stats
from scipy.special import gammaln, multigammaln

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.problem import prepare
from bayesgmm.runtime.dtypes import scope

MEANS, SPREADS = [[-2.0, 0.0], [2.0, 1.0]], [[[1.0, 0.6], [0.6, 1.0]], [[0.7, -0.4], [-0.4, 1.2]]]
GAUSSIANS = bg.from_parameters([0.4, 0.6], MEANS, SPREADS)
NIW = bg.NormalInverseWishart([0.0, 0.0], 0.2, 6.0, np.eye(2))
PRIOR = bg.Prior(bg.Dirichlet(2.0), NIW)
VOLUME = 15.0**2


@functools.cache
def rows():
    """232 rows of two Gaussians and 40 of noise, in a box that reaches farther."""
    rng = np.random.default_rng(3)
    return np.concatenate([GAUSSIANS.sample(232, 3)[1], rng.uniform(-7.0, 7.0, (40, 2))])


def scores(x, weights, means, covariances, log_volume):
    gaussians = [stats.multivariate_normal.logpdf(x, m, s) for m, s in zip(means, covariances, strict=True)]
    return np.log(weights) + np.stack([*gaussians, np.full(len(x), -log_volume)], axis=1)


def textbook(x, start, log_volume, pooled, prior, steps):
    """EM with two Gaussians and a uniform term; one covariance if ``pooled``."""
    weights, means, covariances = (np.array(part) for part in start)
    strength, df, extra, scale = (0.2, 6.0, 1.0, np.eye(2)) if prior else (0.0, -4.0, 0.0, np.zeros((2, 2)))
    for _ in range(steps):
        logs = scores(x, weights, means, covariances, log_volume)
        shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
        counts, scatters = shares.sum(axis=0), []
        for k in range(2):
            means[k] = shares[:, k] @ x / (counts[k] + strength)
            apart = x - means[k]
            scatters.append((shares[:, k] * apart.T) @ apart + strength * np.outer(means[k], means[k]))
        if pooled:
            both, rest = sum(scatters) + scale, (df + 3.0 + 2.0 * bool(prior)) if prior else 0.0
            covariances[:] = both / (counts[:2].sum() + rest)
        else:
            for k in range(2):
                covariances[k] = (scatters[k] + scale) / (counts[k] + df + 4.0)
        weights = (counts + extra) / (len(x) + 3 * extra)
    return weights, means, covariances


def given():
    return {"weights_init": [0.35, 0.5, 0.15], "means_init": MEANS, "covariances_init": SPREADS}


@pytest.mark.parametrize(("family", "prior"), [("VVV", None), ("VVV", PRIOR), ("EEE", None), ("EEE", PRIOR)])
def test_em_is_the_textbook_loop_with_a_uniform_term(family, prior):
    """To ten digits; in a shared family the noise is in no pooled scatter."""
    x = rows()
    settings = {"tol": 0, "accelerate": False, "prior": prior, "covariance_type": family, "noise": VOLUME}
    covariances = SPREADS
    if family == "EEE":  # the start is projected onto the family first
        covariances = [np.tensordot([0.35 / 0.85, 0.5 / 0.85], SPREADS, 1)] * 2
    fit = bg.fit_em(x, 2, max_iter=7, **settings, **given())
    want = textbook(x, ([0.35, 0.5, 0.15], MEANS, covariances), math.log(VOLUME), family == "EEE", prior, 7)
    found = fit.params.weights, fit.params.means[:2], fit.params.covariances[:2]
    for ours, theirs in zip(found, want, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10)
    logs = scores(x, *want, math.log(VOLUME))
    np.testing.assert_allclose(fit.log_likelihood, np.logaddexp.reduce(logs, axis=1).sum(), rtol=1e-12)
    shares = np.exp(logs - np.logaddexp.reduce(logs, axis=1)[:, None])
    np.testing.assert_allclose(fit.predict_proba(), shares, atol=1e-12)
    assert fit.n_parameters == 2 + 4 + {"VVV": 6, "EEE": 3}[family]


IN_HASTE = {"faithful": ("VVV", "EEE"), "diabetes": ("VEV",)}


def estimates():
    data = json.loads((TRUTH / "mclust_noise.json").read_text())["data"]
    return [
        pytest.param(name, model, id=f"{name}-{model}", marks=() if model in IN_HASTE[name] else pytest.mark.slow)
        for name, one in data.items()
        for model in one["fits"]
    ]


@functools.cache
def stored(name):
    return json.loads((TRUTH / "mclust_noise.json").read_text())["data"][name]


@pytest.mark.parametrize(("name", "model"), estimates())
def test_em_ends_where_mclust_ends(name, model):
    """From the same rows called noise: log-likelihood, BIC, weights, means, covariances, density of the noise."""
    entry = stored(name)
    x, theirs = np.array(entry["x"]), entry["fits"][model]
    guess = np.arange(len(x)) >= entry["first_noise"]
    start = {"weights_init": theirs["pro"], "means_init": theirs["mean"], "covariances_init": theirs["variance"]}
    fit = bg.fit_em(x, entry["G"], covariance_type=model, noise=guess, tol=1e-10, max_iter=20000, **start)
    np.testing.assert_allclose(np.exp(-fit.table.noise.log_volume), theirs["Vinv"], rtol=1e-10)
    np.testing.assert_allclose(fit.log_likelihood, theirs["loglik"], atol=1e-6)
    np.testing.assert_allclose(fit.bic(), -theirs["bic"], atol=1e-5)
    assert fit.n_parameters == theirs["df"]  # the volume counts: it was not given
    order = np.argsort(np.array(theirs["mean"])[:, 0])
    np.testing.assert_allclose(fit.params.weights, np.array(theirs["pro"])[[*order, -1]], atol=1e-5)
    np.testing.assert_allclose(fit.params.means[:-1], np.array(theirs["mean"])[order], rtol=1e-4)
    np.testing.assert_allclose(fit.params.covariances[:-1], np.array(theirs["variance"])[order], rtol=2e-3, atol=1e-3)


TINY = np.array([[-1.2, 0.3], [-0.8, -0.4], [0.9, 1.1], [1.3, 0.2], [4.0, -3.0]])
FEW_PRIOR = bg.Prior(bg.Dirichlet([2.0, 2.0]), NIW)


def log_marginal(x, strength=0.2, df=6.0, scale=None):
    """Log marginal density of rows of one Gaussian under its normal-inverse-Wishart prior about 0."""
    scale = np.eye(2) if scale is None else scale
    num, dim = x.shape
    if not num:
        return 0.0
    mean = x.mean(axis=0)
    scatter = (x - mean).T @ (x - mean) + strength * num / (strength + num) * np.outer(mean, mean)
    return (
        -0.5 * num * dim * math.log(math.pi)
        + multigammaln(0.5 * (df + num), dim) - multigammaln(0.5 * df, dim)
        + 0.5 * df * np.linalg.slogdet(scale)[1] - 0.5 * (df + num) * np.linalg.slogdet(scale + scatter)[1]
        + 0.5 * dim * (math.log(strength) - math.log(strength + num))
    )  # fmt: skip


@functools.cache
def enumerated():
    """Log evidence, mean weights and P(z_n = noise) of the five rows by a sum over all labellings in Python."""
    alpha, logs, weights, noisy = np.full(3, 2.0), [], [], []
    for labels in itertools.product(range(3), repeat=len(TINY)):
        z = np.array(labels)
        counts = np.bincount(z, minlength=3)
        of_z = gammaln(alpha.sum()) - gammaln(alpha.sum() + len(z)) + (gammaln(alpha + counts) - gammaln(alpha)).sum()
        own = sum(log_marginal(TINY[z == k]) for k in range(2)) - counts[2] * math.log(VOLUME)
        logs.append(of_z + own)
        weights.append((alpha + counts) / (alpha.sum() + len(z)))
        noisy.append(z == 2)
    shares = np.exp(np.array(logs) - max(logs))
    evidence = max(logs) + math.log(shares.sum())
    shares /= shares.sum()
    return evidence, shares @ np.array(weights), shares @ np.array(noisy)


def test_the_exact_posterior_is_the_sum_over_all_labellings():
    evidence, weights, noisy = enumerated()
    exact = bg.sample_exact(TINY, 2, prior=FEW_PRIOR, noise=VOLUME, num_samples=1500)
    np.testing.assert_allclose(exact.log_evidence, evidence, rtol=1e-10)
    draws = exact.params.weights.reshape(-1, 3)
    assert (np.abs(draws.mean(axis=0) - weights) < 4 * draws.std(axis=0) / math.sqrt(len(draws)))[-1]
    np.testing.assert_allclose(exact.predict_proba()[:, -1], noisy, atol=0.02)


@pytest.mark.parametrize("engine", ["gibbs", pytest.param("nuts", marks=pytest.mark.slow)])
def test_samplers_have_the_exact_posterior(engine):
    """The share of the noise, and the probability of each row to be noise, against the sum over all labellings."""
    _, weights, noisy = enumerated()
    sample = {"gibbs": bg.sample_gibbs, "nuts": bg.sample_nuts}[engine]
    draws = sample(TINY, 2, prior=FEW_PRIOR, noise=VOLUME, num_warmup=500, num_samples=2000, seed=1)
    shares = draws.params.weights[:, :, -1]
    error = shares.std() / math.sqrt(float(np.asarray(draws.summary().loc["weights[2]", "ess_bulk"])))
    assert abs(shares.mean() - weights[-1]) < 4 * error
    np.testing.assert_allclose(draws.predict_proba()[:, -1], noisy, atol=0.02)
    # The negative control: with a ninth of the volume the probabilities are others.
    other = bg.sample_exact(TINY, 2, prior=FEW_PRIOR, noise=VOLUME / 9.0).predict_proba()[:, -1]
    assert np.abs(other - noisy).max() > 0.1


@pytest.mark.slow
@pytest.mark.parametrize("family", ["VVV", "EEI"])
def test_the_gradient_of_nuts_is_the_numerical_one(family):
    import jax

    from bayesgmm.engines.coordinates import potential, unconstrain

    with scope("float64"):
        problem = prepare(bg.rows(rows(), noise=VOLUME), 2, PRIOR, "float64", family)
        theta = bg.fit_em(rows(), 2, covariance_type=family, prior=PRIOR, noise=VOLUME, max_iter=3, tol=0).params
        inside = problem.frame.standardise(theta)
        place = jax.jit(unconstrain)(jax.tree.map(np.asarray, inside), problem.standard_prior)
        place = {name: np.asarray(value) + 0.1 for name, value in place.items()}
        value = jax.jit(potential)
        gradient = jax.jit(jax.grad(potential))(place, problem.standard_prior, problem.rows)
        for name, part in place.items():
            for index in np.ndindex(part.shape):
                step = np.zeros(part.shape)
                step[index] = 1e-5
                ends = [
                    float(value(place | {name: part + s * step}, problem.standard_prior, problem.rows)) for s in (1, -1)
                ]
                np.testing.assert_allclose(gradient[name][index], (ends[0] - ends[1]) / 2e-5, rtol=1e-5, atol=1e-5)
    assert place["means"].shape == (2, 2)  # the noise has no coordinates but its weight


@pytest.mark.slow
def test_standard_errors_are_those_of_numerical_derivatives():
    fit = bg.fit_em(rows(), 2, noise=VOLUME)

    def minus(flat):
        weights, means = np.append(flat[:2], 1.0 - flat[:2].sum()), flat[2:6].reshape(2, 2)
        covariances = flat[6:].reshape(2, 3)[:, [[0, 1], [1, 2]]]
        return -np.logaddexp.reduce(scores(rows(), weights, means, covariances, math.log(VOLUME)), axis=1).sum()

    upper = fit.params.covariances[:2][:, [0, 0, 1], [0, 1, 1]]
    at = np.concatenate([fit.params.weights[:2], fit.params.means[:2].ravel(), upper.ravel()])
    steps = 1e-4 * np.eye(12)
    hessian = [
        [(minus(at + a + b) - minus(at + a - b) - minus(at - a + b) + minus(at - a - b)) / 4e-8 for b in steps]
        for a in steps
    ]
    sds = np.sqrt(np.diagonal(np.linalg.inv(np.array(hessian))))
    table = fit.intervals().table
    assert not table.index.str.contains(r"\[2, ").any()
    np.testing.assert_allclose(table["sd"].drop("weights[2]"), sds, rtol=1e-4)


@functools.cache
def with_outliers():
    """272 rows of two Gaussians, and ten far from both."""
    far = np.random.default_rng(1).uniform(20.0, 40.0, (10, 2)) * [[1, -1]] * np.repeat([[1, 1], [-1, 1]], 5, axis=0)
    return np.concatenate([GAUSSIANS.sample(262, 5)[1], far])


def test_far_rows_spoil_a_fit_without_noise_and_not_with_it():
    plain, fit = bg.fit_em(with_outliers(), 2), bg.fit_em(with_outliers(), 2, noise=True)
    assert plain.params.covariances.max() > 100.0  # a component is spent on them
    np.testing.assert_allclose(fit.params.means[:2], MEANS, atol=0.4)
    np.testing.assert_allclose(fit.params.covariances[:2], SPREADS, atol=0.5)
    np.testing.assert_allclose(fit.params.weights[-1], 10 / 272, atol=0.003)
    assert (fit.predict()[-10:] == 2).all()
    assert (fit.predict()[:-10] == 2).mean() < 0.01
    title = repr(fit).splitlines()[0]
    assert "2 components and noise (3.6" in title or "2 components and noise (3.7" in title


def test_clean_rows_have_next_to_no_noise():
    fit = bg.fit_em(GAUSSIANS.sample(272, 3)[1], 2, noise=True)
    assert fit.params.weights[-1] < 0.03
    np.testing.assert_allclose(fit.params.means[:2], MEANS, atol=0.4)


def test_the_box_is_the_smaller_one():
    """In principal components where features are correlated; the volume is that of `hypvol` in mclust (stored)."""
    for name in ("faithful", "diabetes"):
        entry = stored(name)
        noise = bg.rows(np.array(entry["x"]), noise=True).noise
        np.testing.assert_allclose(noise.log_volume, math.log(entry["hypvol"]), rtol=1e-12)
    x = np.random.default_rng(0).normal(size=(200, 2)) @ [[1.0, 0.99], [0.0, 0.1]]
    noise = bg.rows(x, noise=True).noise
    assert noise.log_volume < np.log(np.ptp(x, axis=0)).sum() - 1.0
    inside = np.linalg.solve(noise.edges, (x - noise.center).T)
    assert np.abs(inside).max() < 0.5 + 1e-12
    drawn = noise.sample(np.random.default_rng(1), (20_000,))
    np.testing.assert_allclose(np.cov(drawn.T), noise.covariance, rtol=0.05)
    grid = np.linspace(-6.0, 6.0, 241)
    counts = np.histogram(drawn[:, 1], 240, (-6.0, 6.0))[0] / len(drawn) / 0.05
    np.testing.assert_allclose(noise.density_of(1, 0.5 * (grid[1:] + grid[:-1])), counts, atol=0.06)


def test_results_and_pictures_tell_the_noise_apart(tmp_path):
    fit = bg.fit_em(rows(), 2, noise=VOLUME)
    summary = fit.summary()
    assert list(summary.index) == [0, 1, "noise"]
    assert summary.drop(columns="weight").loc["noise"].isna().all()
    z, x = fit.sample(2000, 1)
    side = math.sqrt(VOLUME) * np.ptp(rows(), axis=0) / math.sqrt(np.prod(np.ptp(rows(), axis=0)))
    assert (np.abs(x[z == 2] - fit.table.noise.center) <= 0.5 * side + 1e-9).all()
    assert (np.abs(x[z == 2] - fit.table.noise.center) > 0.4 * side).any(axis=1).mean() > 0.25  # not Gaussian
    labels = [text.get_text() for text in fit.plot().get_legend().get_texts()]
    assert any(label.startswith("noise (") for label in labels)
    np.testing.assert_allclose(fit.score_samples([[500.0, 0.0]]), np.log(fit.params.weights[-1] / VOLUME))
    assert fit.predict([[500.0, 0.0]]) == [2]


BAD = {
    "negative": (-1.0, ArgumentError, "above 0"), "zero": (0.0, ArgumentError, "above 0"),
    "infinite": (np.inf, ArgumentError, "finite"), "NaN": (np.nan, ArgumentError, "finite"),
    "too small": (1.0, ArgumentError, "less than the hypervolume"), "a word": ("auto", ArgumentError, "noise must be"),
    "wrong length": ([True, False], ArgumentError, "noise must be"),
    "everything": (np.ones(272, bool), ArgumentError, "every row noise"),
}  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_impossible_noise_is_refused(case):
    value, error, words = BAD[case]
    with pytest.raises(error, match=words):
        bg.fit_em(rows(), 2, noise=value)


def test_what_noise_does_not_go_with_is_refused():
    x = rows()
    gaps = np.where(np.arange(x.size).reshape(x.shape) % 50 == 0, np.nan, x)
    fit = bg.fit_em(x, 2, noise=VOLUME)
    plane = np.column_stack([x, x.sum(axis=1)])
    for call, error, words in (
        (lambda: bg.fit_em(gaps, 2, noise=True), ArgumentError, "gaps"),
        (lambda: bg.fit_em(x, 2, noise=True, errors=np.ones_like(x)), ArgumentError, "errors of measurement"),
        (lambda: bg.fit_em(x, 2, noise=True, labels=np.full(272, -1)), ArgumentError, "known classes"),
        (lambda: bg.fit_em(plane, 2, noise=True), DataError, "hypervolume is 0"),
        (lambda: bg.fit_em(x, 2, noise=True, means_init=np.zeros((3, 2))), ArgumentError, "means_init"),
        (lambda: bg.walk(bg.rows(x, noise=True), 2), ArgumentError, "noise component"),
        (lambda: bg.sample_gibbs(x, 2, noise=True, tempering=4), ArgumentError, "noise component"),
        (lambda: bg.sample_nuts(x, 2, noise=True, likelihood="labels"), ArgumentError, "noise component"),
        (lambda: fit.conditional({"x0": 1.0}), ArgumentError, "noise component"),
        (lambda: fit.mixture, ArgumentError, "noise component"),
        (lambda: fit.predict(gaps), DataError, "gaps"),
        (lambda: fit.intervals("parametric"), ArgumentError, "parametric"),
    ):
        with pytest.raises(error, match=words):
            call()


@pytest.mark.slow
def test_gibbs_is_calibrated_with_noise():
    """Weights, means and covariances from the prior, noise uniform over a fixed box: ranks are uniform."""
    half, components = 40.0, bg.NormalInverseWishart([0.0, 0.0], 0.5, 12.0, 9.0 * np.eye(2))
    prior = bg.Prior(bg.Dirichlet(3.0), components)
    rng, ranks = np.random.default_rng(8), []
    for number in range(150):
        weights = rng.dirichlet(np.full(3, 3.0))
        covariances = stats.invwishart.rvs(12, 9.0 * np.eye(2), size=2, random_state=rng)
        means = np.array([rng.multivariate_normal(np.zeros(2), s / 0.5) for s in covariances])
        z = rng.choice(3, 60, p=weights)
        gaussian = np.array([rng.multivariate_normal(means[min(k, 1)], covariances[min(k, 1)]) for k in z])
        x = np.where((z == 2)[:, None], rng.uniform(-half, half, (60, 2)), gaussian)
        assert np.abs(x).max() < half
        draws = bg.sample_gibbs(
            x, 2, prior=prior, noise=(2 * half) ** 2, num_warmup=200, num_samples=250, num_chains=2, seed=number
        ).params
        truth = weights[2], weights[:2].max(), weights[:2] @ means[:, 0], weights[:2] @ covariances[:, 0, 0]
        w = draws.weights[..., :2]
        found = (
            draws.weights[..., 2], w.max(axis=-1), (w * draws.means[..., :2, 0]).sum(axis=-1),
            (w * draws.covariances[..., :2, 0, 0]).sum(axis=-1),
        )  # fmt: skip
        ranks.append([(one[:, ::10] < value).mean() for one, value in zip(found, truth, strict=True)])
    for column in np.array(ranks).T:
        assert stats.kstest(column, "uniform").pvalue > 0.002
