"""The observed information against numerical derivatives of an independent likelihood, in every family."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.effort import EFFORT, SOME, WHOLE, mostly_slow
from oracles.two_features import LONG, D, K, clusters, eta_of, log_likelihood, parts_of
from scipy.linalg import expm
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.curvature.information import by_information, by_sandwich, curvature, inverse_information
from bayesgmm.errors import ArgumentError, FitError
from bayesgmm.model.families import FAMILIES
from bayesgmm.results.intervals import shortest


@pytest.fixture(scope="module")
def x():
    return clusters()


STEP = LONG(2e-4)


def derivatives(function, size):
    """Gradient of a vector function and Hessian of a scalar one at 0 by central differences with one extrapolation."""
    eye = np.eye(size, dtype=LONG)

    def once(h):
        f = function
        first = np.array([(f(h * e) - f(-h * e)) / (2 * h) for e in eye])
        second = np.array(
            [[(f(h * (a + b)) - f(h * (a - b)) - f(h * (b - a)) + f(-h * (a + b))) / (4 * h * h) for b in eye]
             for a in eye]
        )  # fmt: skip
        return first, second

    (first, second), (finer, fine) = once(STEP), once(STEP / 2)
    return (4 * finer - first) / 3, (4 * fine - second) / 3


SHOWN = ("EVE", "VVV")


@pytest.mark.parametrize("name", [n if n in SHOWN else pytest.param(n, marks=SOME) for n in FAMILIES])
def test_information_is_the_numerical_hessian(x, name):
    fit = bg.fit_em(x, K, covariance_type=name, tol=1e-11, n_init=4, max_iter=5000)
    family = FAMILIES[name]
    at = parts_of(fit, family)
    size = fit.n_parameters
    eta = lambda psi: eta_of(psi, family, fit, at)  # noqa: E731
    _, hessian = derivatives(lambda psi: log_likelihood(eta(psi), x), size)
    jacobian, _ = derivatives(eta, size)
    hessian, jacobian = -hessian.astype(float), jacobian.T.astype(float)
    theirs = np.sqrt(np.diagonal(jacobian @ np.linalg.inv(hessian) @ jacobian.T))
    ours = np.sqrt(np.diagonal(by_information(fit.params, fit.model, fit._curvature).covariance))
    np.testing.assert_allclose(np.delete(ours, 1), theirs, rtol=1e-6, atol=1e-9)


@pytest.fixture(scope="module")
def free(x):
    return bg.fit_em(x, K, tol=1e-11, n_init=4, max_iter=5000)


def plain(eta):
    """θ without the last weight, and the upper triangles, as the likelihood above takes it."""
    return np.delete(eta, 1)


def test_sandwich_equals_its_formula_in_other_coordinates(x, free):
    """H⁻¹ Σ s sᵀ H⁻¹ in (π_0, means, Σ): scores and Hessian by numerical derivatives, one row at a time."""
    eta = plain(np.concatenate([free.params.weights, free.params.means.ravel(), upper(free)])).astype(LONG)
    at = lambda move: eta + move  # noqa: E731
    _, hessian = derivatives(lambda move: log_likelihood(at(move), x), len(eta))
    scores = np.array(
        [derivatives_of_first_order(lambda move, row=row: log_likelihood(at(move), row[None]), len(eta)) for row in x]
    ).astype(float)
    inverse = np.linalg.inv(-hessian.astype(float))
    theirs = np.sqrt(np.diagonal(inverse @ scores.T @ scores @ inverse))
    ours = plain(np.sqrt(np.diagonal(by_sandwich(free.params, free.model, free._curvature).covariance)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def upper(fit):
    return fit.params.covariances[:, *np.triu_indices(D)].ravel()


def derivatives_of_first_order(function, size):
    eye = np.eye(size, dtype=LONG)
    coarse, fine = (np.array([(function(h * e) - function(-h * e)) / (2 * h) for e in eye]) for h in (STEP, STEP / 2))
    return (4 * fine - coarse) / 3


@pytest.mark.parametrize("name", mostly_slow(["EEV", "VVV", "VII"], 1))
def test_standard_errors_follow_units_and_numbering(x, name):
    """In other units and with the features exchanged they change as the parameters do."""
    scale = np.array([1e6, 1e6]) if name != "VVV" else np.array([1e6, 1e-4])
    one = bg.fit_em(x, K, covariance_type=name, tol=1e-9, n_init=4)
    two = bg.fit_em(x * scale + 7.0, K, covariance_type=name, tol=1e-9, n_init=4)
    ours, theirs = (fit.intervals().table["sd"] for fit in (one, two))
    names = [label for label in ours.index if label.startswith(("weights", "means"))]
    factors = [1.0 if label.startswith("w") else scale[int("x1" in label)] for label in names]
    np.testing.assert_allclose(theirs[names], ours[names] * factors, rtol=2e-3)


def test_one_feature_one_component_is_the_textbook():
    """Var μ̂ = σ²/n and Var σ̂² = 2σ⁴/n; the sandwich has the fourth moment in the second."""
    x = np.random.default_rng(0).gamma(2.0, size=200)
    fit = bg.fit_em(x, 1)
    n, variance = len(x), x.var()
    table = fit.intervals(level=0.95).table
    np.testing.assert_allclose(table["sd"], [0.0, np.sqrt(variance / n), variance * np.sqrt(2 / n)], rtol=1e-6)
    np.testing.assert_allclose(table.loc["weights[0]", ["lower", "upper"]].astype(float), 1.0)
    ends = table.loc["covariances[0, x0, x0]"]
    np.testing.assert_allclose(ends["lower"] * ends["upper"], variance**2, rtol=1e-6)
    fourth = ((x - x.mean()) ** 4).mean()
    robust = fit.intervals("sandwich").table.loc["covariances[0, x0, x0]", "sd"]
    np.testing.assert_allclose(robust, np.sqrt((fourth - variance**2) / n), rtol=1e-6)


def test_information_of_a_map_estimate_has_the_priors(x):
    """With one component, conjugacy gives the curvature of the mean: (N + strength) Σ⁻¹."""
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(np.zeros(2), 50.0, 5.0, np.eye(2)))
    fit = bg.fit_em(x, 1, prior=prior)
    sds = fit.intervals().table["sd"]
    theirs = np.sqrt(np.diagonal(fit.params.covariances[0]) / (len(x) + 50.0))
    np.testing.assert_allclose(sds[["means[0, x0]", "means[0, x1]"]], theirs, rtol=1e-6)


def test_what_the_data_do_not_determine_is_named(x):
    """The axes of a circle, a component without rows, and a θ that is no maximum."""
    round_ = free_fit(x, np.array([np.eye(2), np.eye(2)]), "EEV")
    with pytest.raises(FitError, match="orientation"):
        round_.intervals()
    fit = bg.fit_em(x, K)
    shifted = replace(fit, params=fit.params._replace(means=fit.params.means + np.array([[2.0, 2.0], [-1.0, -1.0]])))
    with pytest.raises(FitError, match=r"no maximum|rises"):
        shifted.intervals()
    found = curvature(fit.params, fit.model)
    with pytest.raises(FitError, match="no information on the mean of x0 of component 0"):
        inverse_information(found._replace(information=np.diag([1.0, 0.0, *np.ones(len(found.words) - 2)])))


def free_fit(x, covariances, name):
    """A fit with these covariances, not fitted."""
    fit = bg.fit_em(x, K, covariance_type=name, n_init=2, max_iter=20)
    return replace(fit, params=bg.Params.of(fit.params.weights, fit.params.means, covariances))


@pytest.mark.parametrize("data", ["faithful", pytest.param("iris", marks=WHOLE)])
@pytest.mark.parametrize(
    ("method", "theirs"), mostly_slow([("bootstrap", "bs"), ("parametric", "pb"), ("weighted", "wlbs")], 2)
)
def test_bootstrap_standard_errors_are_those_of_mclust(truth, reference_data, data, method, theirs):
    """Within four Monte Carlo errors of both; that of a standard deviation follows from the fourth moments."""
    expected = truth("mclust_bootstrap")[f"{data}_{theirs}"]
    fit = bg.fit_em(reference_data[data], 2)
    assert fit.log_likelihood == pytest.approx(expected["loglik"], abs=1e-3)
    draws, _ = fit.resample(fit, method, 500, 0)
    variances = draws.var(axis=0, ddof=1)
    fourth = ((draws - draws.mean(axis=0)) ** 4).mean(axis=0)
    dim = len(fit.table.features)
    rows, columns = np.triu_indices(dim)
    parts = [np.array(expected[part], float) for part in ("weights", "means", "covariances")]
    reference = np.concatenate([parts[0], parts[1].ravel(), parts[2][:, rows, columns].ravel()])
    error = np.sqrt(np.maximum(fourth / variances**2 - 1, 0.5) / 4 * (1 / 500 + 1 / expected["nboot"]))
    assert (np.abs(np.sqrt(variances) / reference - 1) < 4 * error).all()


def test_replicates_are_reproducible_and_failures_are_told(x):
    fit = bg.fit_em(x, K)
    one, two = (fit.intervals("bootstrap", num_replicates=40, seed=3).table for _ in range(2))
    assert one.equals(two)
    assert not one.equals(fit.intervals("bootstrap", num_replicates=40, seed=4).table)
    with pytest.raises(ArgumentError, match="Use at least 20"):
        fit.intervals("bootstrap", num_replicates=5)
    tight = np.concatenate([x[:60], x[:4] * 1e-3 + 30.0])
    small = bg.fit_em(tight, 2, labels_init=np.repeat([0, 1], [60, 4]))
    found = small.intervals("bootstrap", num_replicates=40)
    assert "collapsed and are left out" in " ".join(found.notes)


def test_components_that_another_sample_could_exchange_are_named():
    """Two components around one point, of other sizes: no mean tells them apart."""
    rng = np.random.default_rng(2)
    x = rng.normal(size=(200, 2)) * np.repeat([0.3, 3.0], 100)[:, None]
    notes = " ".join(bg.fit_em(x, K).intervals().notes)
    assert "components 0 and 1 differ by less than 2 standard errors" in notes


def test_highest_density_is_the_shortest_interval():
    draws = np.random.default_rng(1).exponential(size=(4000, 1))
    low, high = shortest(draws, 0.9)
    assert low[0] == draws.min()
    assert high[0] == np.sort(draws[:, 0])[3600]
    np.testing.assert_allclose(shortest(np.arange(11.0)[:, None], 0.5), ([0.0], [6.0]))


@WHOLE
def test_intervals_cover_at_their_level():
    """Well-separated clusters, N = 500: every 90 % interval within four Monte Carlo errors of 90 %."""
    replicates = max(100, int(1000 * EFFORT))
    rng = np.random.default_rng(7)
    weights, means = np.array([0.3, 0.7]), np.array([[0.0, 0.0], [4.0, 2.0]])
    covariances = np.array([[[1.0, 0.3], [0.3, 0.5]], [[0.6, -0.2], [-0.2, 1.5]]])
    true = bg.Params.of(weights, means, covariances)
    truth = np.concatenate([weights, means.ravel(), covariances[:, *np.triu_indices(2)].ravel()])
    hits = []
    for seed in rng.integers(2**31, size=replicates):
        fit = bg.fit_em(bg.sample(int(seed), true, 500)[1], 2, init=true)
        tables = [fit.intervals(method, level=0.9).table for method in ("information", "sandwich")]
        hits.append([(table["lower"] <= truth) & (truth <= table["upper"]) for table in tables])
    assert np.abs(np.mean(hits, axis=0) - 0.9).max() < 4.5 * np.sqrt(0.09 / replicates)


@WHOLE
@pytest.mark.parametrize("name", ["EVE", "VEV"])
def test_rotations_in_three_dimensions_have_their_curvature(name):
    """With SciPy's matrix exponential. In the plane I + S is a rotation but for its length; in space it is not."""
    rng = np.random.default_rng(3)
    x = np.concatenate([rng.normal(size=(150, 3)) * [2.0, 1.0, 0.4], rng.normal(size=(150, 3)) * [0.5, 1.5, 1.0] + 4.0])
    x[150:] = x[150:] @ expm(np.array([[0, 0.5, -0.3], [-0.5, 0, 0.2], [0.3, -0.2, 0]]))
    fit, family = bg.fit_em(x, K, covariance_type=name, tol=1e-10, n_init=4, max_iter=5000), FAMILIES[name]
    together = np.linalg.eigh(sum(c / np.linalg.det(c) ** (1 / 3) for c in fit.params.covariances))[1]
    axes = [together if name == "EVE" else np.linalg.eigh(c)[1] for c in fit.params.covariances]
    lengths = [np.diagonal(a.T @ c @ a) for a, c in zip(axes, fit.params.covariances, strict=True)]
    count = {"E": 1, "V": K}

    def covariances(u):
        parts, start = [], 0
        for letter, size in zip(name, (1, 2, 3), strict=True):
            parts.append(u[start : start + count[letter] * size].reshape(count[letter], size))
            start += count[letter] * size
        out = []
        for k in range(K):
            volume, (p, q), (a, b, c) = (part[min(k, len(part) - 1)] for part in parts)
            turn = expm(np.array([[0, a, b], [-a, 0, c], [-b, -c, 0]]))
            stretched = lengths[k] * np.exp(volume[0] + np.array([p, q, -p - q]))
            out.append(axes[k] @ turn @ np.diag(stretched) @ turn.T @ axes[k].T)
        return np.array(out)

    def eta(psi):
        logit = np.log(fit.params.weights[0] / fit.params.weights[1]) + psi[0]
        upper = covariances(psi[7:].astype(float))[:, *np.triu_indices(3)].ravel()
        return np.concatenate([[1 / (1 + np.exp(-logit))], fit.params.means.ravel() + psi[1:7], upper]).astype(float)

    def density(psi):
        at = eta(psi)
        total = 0.0
        for share, mean, sigma in zip(
            (at[0], 1 - at[0]), at[1:7].reshape(2, 3), covariances(psi[7:].astype(float)), strict=True
        ):
            total = total + share * multivariate_normal(mean, sigma).pdf(x)
        return np.log(total).sum()

    assert fit.n_parameters == family.num_parameters(K, 3) + 7
    _, hessian = derivatives(density, fit.n_parameters)
    jacobian, _ = derivatives(eta, fit.n_parameters)
    hessian, jacobian = -hessian.astype(float), jacobian.T.astype(float)
    theirs = np.sqrt(np.diagonal(jacobian @ np.linalg.inv(hessian) @ jacobian.T))
    ours = np.delete(np.sqrt(np.diagonal(by_information(fit.params, fit.model, fit._curvature).covariance)), 1)
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_an_estimate_beside_the_maximum_is_called_so(x):
    fit = bg.fit_em(x, K)
    near = replace(fit, params=fit.params._replace(means=fit.params.means + 0.05))
    assert "is not at the maximum" in " ".join(near.intervals().notes)
    assert not fit.intervals().notes


def test_the_sandwich_under_a_prior_centres_the_scores():
    """One component: the mean is pulled half way to the prior's, and its sd is half that of the mean of the rows."""
    x = np.random.default_rng(0).normal(size=60)
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(5.0, 60.0, 3.0, np.eye(1)))
    fit = bg.fit_em(x, 1, prior=prior)
    ours = fit.intervals("sandwich").table.loc["means[0, x0]", "sd"]
    boot = fit.intervals("bootstrap", num_replicates=2000, seed=1).table.loc["means[0, x0]", "sd"]
    assert boot == pytest.approx(x.std() / np.sqrt(60) / 2, rel=0.07)
    assert ours == pytest.approx(boot, rel=0.2)


def test_estimates_outside_of_biased_replicates_are_told(x):
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 0.01, 4.0, 500.0 * np.eye(2)))
    fit = bg.fit_em(x, K, prior=prior)
    assert "the prior pulls every replicate once more" in " ".join(fit.intervals("parametric", num_replicates=60).notes)


def test_tiny_units_keep_their_digits(x):
    small = bg.fit_em(x * 1e-90, K).intervals().table
    plain = bg.fit_em(x, K).intervals().table
    variance = "covariances[0, x0, x0]"
    np.testing.assert_allclose(small.loc[variance, "sd"], plain.loc[variance, "sd"] * 1e-180, rtol=1e-3)


def test_too_few_draws_have_no_ends(x):
    few = bg.sample_gibbs(x, K, num_samples=2, num_warmup=2, num_chains=2)
    with pytest.raises(ArgumentError, match="4 draws cannot tell"):
        few.intervals()
