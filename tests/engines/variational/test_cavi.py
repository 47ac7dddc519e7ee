"""Variational Bayes: exact with one component, a lower bound otherwise; Pareto k-hat assesses the error."""

import signal

import arviz as az
import numpy as np
import pytest
from oracles import twins
from oracles.effort import SOME, WHOLE
from scipy.special import digamma

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, NotConvergedWarning, PriorError, SamplingInterrupted
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.interrupt import interruptible


@pytest.fixture(scope="module")
def faithful():
    return bg.load_dataset("faithful")


@pytest.fixture(scope="module")
def fit(faithful):
    return bg.fit_cavi(faithful, 2, seed=0)


def pieces(prior, k):
    loc, strength, df, scale = (np.asarray(part) for part in prior.components)
    return np.asarray(prior.weights.concentration)[0], loc[0], strength[0], df[0], scale[0]


@pytest.mark.slow
def test_with_one_component_the_bound_is_the_evidence(faithful):
    """q is the posterior, the bound is log p(x), and the importance ratios are all equal."""
    fit = bg.fit_cavi(faithful, 1, num_samples=50)
    _, *niw = pieces(bg.default_prior(faithful, 1), 1)
    assert fit.elbo == pytest.approx(twins.log_evidence_niw(faithful.to_numpy(), *niw), abs=1e-6)
    assert fit.pareto_k == -np.inf


@pytest.mark.parametrize("apart", [0.5, 12.0])
def test_bound_is_between_the_best_labelling_and_the_evidence(rng, apart):
    """Against all 2^8 labelings: with q(z) at the best labelling, q reaches log p(x, z); no q exceeds log p(x)."""
    x = rng.normal(size=(8, 2)) + np.repeat([[0.0, 0.0], [apart, 0.0]], 4, axis=0)
    prior = bg.default_prior(x, 2)
    _, probabilities, evidence = twins.enumerate_labelings(x, 2, *pieces(prior, 2))
    fit = bg.fit_cavi(x, 2, prior=prior, num_samples=20, n_init=16)
    assert evidence + np.log(probabilities.max()) - 1e-6 < fit.elbo < evidence


@pytest.mark.parametrize("family", [pytest.param(name, marks=SOME) for name in ("EEE", "VVI", "VII", "EII", "EEI")])
def test_the_bound_of_every_family(rng, family):
    """One component: the evidence, exactly. Two: between the best labelling and the evidence, by enumeration."""
    x = rng.normal(size=(8, 2)) * [1.0, 30.0] + np.repeat([[0.0, 100.0], [2.0, 100.0]], 4, axis=0)
    hyper = [1.0, np.array([1.0, 90.0]), 0.5, 5.0, np.array([[2.0, 10.0], [10.0, 900.0]])]
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(*hyper[1:]))
    one = bg.fit_cavi(x, 1, covariance_type=family, prior=prior, num_samples=50)
    assert one.elbo == pytest.approx(twins.log_evidence_family(x, np.zeros(8, int), 1, family, *hyper[1:]), abs=1e-8)
    assert one.pareto_k == -np.inf
    _, probabilities, evidence = twins.enumerate_labelings(x, 2, *hyper, family=family)
    two = bg.fit_cavi(x, 2, covariance_type=family, prior=prior, num_samples=20, n_init=16)
    assert evidence + np.log(probabilities.max()) - 1e-6 < two.elbo < evidence
    assert (np.diff(two.trace) > -1e-9 * abs(two.elbo)).all()


@pytest.mark.slow
def test_batches_lead_to_the_same_bound(rng):
    """After stochastic steps on 200 of 20,000 rows, a few iterations with all rows reach the same bound."""
    x = rng.normal(size=(20_000, 2)) + 6.0 * rng.integers(0, 3, size=(20_000, 1))
    whole = bg.fit_cavi(x, 3, num_samples=20)
    batches = bg.fit_cavi(x, 3, num_samples=20, batch_size=200, num_steps=400)
    assert batches.elbo == pytest.approx(whole.elbo, abs=1e-3)
    assert batches.trace[0] > whole.elbo - 30.0
    assert 1 < batches.n_iter <= whole.n_iter


def test_ctrl_c_keeps_the_current_q(faithful):
    def press(label, done, total, note):
        if label == "cavi" and done >= 16:
            signal.raise_signal(signal.SIGINT)

    cut = bg.fit_cavi(faithful, 4, seed=1, num_samples=20, progress_bar=press)
    assert cut.interrupted
    assert np.isfinite(cut.elbo)


def test_update_equals_bishop(faithful, fit):
    """One more iteration, row by row after Bishop (2006, eqs. 10.46-10.67), leaves q unchanged."""
    x = faithful.to_numpy()
    prior = bg.default_prior(faithful, 2)
    alpha0, m0, b0, v0, s0 = pieces(prior, 2)
    alpha = fit.q.weights.concentration
    loc, strength, df, scale = fit.q.components
    logs = np.empty((len(x), 2))
    for k in range(2):
        log_det = digamma(0.5 * (df[k] - np.arange(2))).sum() + 2 * np.log(2.0) - np.linalg.slogdet(scale[k])[1]
        apart = x - loc[k]
        square = df[k] * np.einsum("nd,de,ne->n", apart, np.linalg.inv(scale[k]), apart) + 2 / strength[k]
        logs[:, k] = digamma(alpha[k]) - digamma(alpha.sum()) + 0.5 * log_det - 0.5 * square
    r = np.exp(logs - logs.max(axis=1, keepdims=True))
    r /= r.sum(axis=1, keepdims=True)
    counts, means = r.sum(axis=0), (r.T @ x) / r.sum(axis=0)[:, None]
    for k in range(2):
        centred = x - means[k]
        scatter = (r[:, k, None] * centred).T @ centred
        between = b0 * counts[k] / (b0 + counts[k]) * np.outer(means[k] - m0, means[k] - m0)
        np.testing.assert_allclose(alpha[k], alpha0 + counts[k], rtol=1e-6)
        np.testing.assert_allclose(df[k], v0 + counts[k], rtol=1e-6)
        np.testing.assert_allclose(loc[k], (b0 * m0 + counts[k] * means[k]) / (b0 + counts[k]), rtol=1e-4)
        np.testing.assert_allclose(scale[k], s0 + scatter + between, rtol=1e-3)


@WHOLE
def test_bound_never_falls(faithful):
    fit = bg.fit_cavi(faithful, 4, n_init=3, seed=2, num_samples=20)
    assert (np.diff(fit.trace) > -1e-8 * abs(fit.elbo)).all()
    assert fit.converged


def test_kl_equals_monte_carlo(faithful):
    """KL(q ‖ p) against the mean of log q - log p over draws of q."""
    import jax
    import jax.numpy as jnp
    import jax.random as jr

    from bayesgmm.runtime.dtypes import scope

    prior = bg.default_prior(faithful, 2)
    with scope("float64"):
        p = jax.tree.map(jnp.asarray, prior)
        loc, strength, df, scale = p.components
        q = Belief(
            p.weights.update(jnp.array([3.0, 5.0])), type(p.components)(loc + 0.3, strength + 4, df + 6, 2 * scale)
        )

        def log_ratio(key):
            params = q.sample(key)
            return q.log_density(params) - p.log_density(params)

        logs = jax.jit(jax.vmap(log_ratio))(jr.split(jr.key(0), 40_000))
        error = float(logs.std() / np.sqrt(len(logs)))
        assert float(q.kl(p)) == pytest.approx(float(logs.mean()), abs=4 * error)
        assert float(p.kl(p)) == pytest.approx(0.0, abs=1e-10)


@pytest.mark.slow
def test_draws_have_the_samplers_shape_and_agree_with_gibbs(faithful, fit):
    gibbs = bg.sample_gibbs(faithful, 2, num_warmup=200, num_samples=500, seed=1)
    assert fit.params.means.shape == (4, 1000, 2, 2)
    assert set(fit.datatree.children) == set(gibbs.datatree.children)
    ours, theirs = (result.params.means.reshape(-1, 2, 2) for result in (fit, gibbs))
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), rtol=0.01)
    assert (ours.std(axis=0) < 1.1 * theirs.std(axis=0)).all()  # q ignores dependence, so it is too narrow
    assert fit.pareto_k < 0.7
    assert az.summary(fit.datatree, var_names=["weights"]).shape[0] == 2
    assert "ELBO" in repr(fit)
    assert "k-hat" in fit._repr_html_()


@pytest.mark.parametrize("shape", [0.3, 0.9])
def test_k_hat_is_the_shape_of_the_upper_tail(rng, shape):
    """Pareto ratios of a known shape; ratios far below the others have no effect."""
    from bayesgmm.numerics.importance import pareto_k

    log_ratios = shape * rng.exponential(size=200_000)
    log_ratios[:100] = -50.0
    error = (1 + shape) / np.sqrt(3 * np.sqrt(200_000))  # standard error of the shape's MLE from 3 √S draws
    assert pareto_k(log_ratios) == pytest.approx(shape, abs=3 * error)


@WHOLE
def test_overlapping_components_are_not_to_be_trusted(faithful):
    fit = bg.fit_cavi(faithful, 3)
    assert fit.pareto_k > 0.7
    assert "not reliable" in " ".join(repr(fit).split())


def test_seed_and_units(faithful, fit):
    again = bg.fit_cavi(faithful, 2, seed=0)
    np.testing.assert_array_equal(again.params.means, fit.params.means)
    scaled = bg.fit_cavi(faithful * [60.0, 0.1] + [1e3, 0.0], 2, seed=0)
    assert scaled.elbo + 272 * np.log(6.0) == pytest.approx(fit.elbo, abs=1e-5)


def test_bad_input_is_refused_first(faithful):
    with pytest.raises(PriorError, match="proper prior"):
        bg.fit_cavi(faithful, 2, prior=None)
    with pytest.raises(ArgumentError, match="tol"):
        bg.fit_cavi(faithful, 2, tol=0.0)
    with pytest.raises(ArgumentError, match="n_init"):
        bg.fit_cavi(faithful, 2, n_init=0)
    with pytest.raises(ArgumentError, match="full, tied, diag or spherical"):
        bg.fit_cavi(faithful, 2, covariance_type="VEV")
    with pytest.raises(ArgumentError, match="batch_size"):
        bg.fit_cavi(faithful, 2, batch_size=0)
    with pytest.warns(NotConvergedWarning, match="max_iter=3"):
        bg.fit_cavi(faithful, 4, max_iter=3, num_samples=20)


@WHOLE
def test_ctrl_c_among_the_batches_keeps_the_best_q(faithful, fit):
    """The stochastic phase reports its progress; Ctrl-C during it returns the current q with its bound."""
    heard = []

    def press(label, done, total, note):
        heard.append((label, done, total))
        if done >= 200:
            signal.raise_signal(signal.SIGINT)

    cut = bg.fit_cavi(faithful, 2, batch_size=50, num_steps=1000, progress_bar=press)
    assert heard == [("cavi, batches", 100, 1000), ("cavi, batches", 200, 1000)]
    assert cut.interrupted
    assert "interrupted after 0 iterations" in " ".join(repr(cut).split())
    assert fit.elbo - 30 < cut.elbo < fit.elbo


def test_ctrl_c_before_the_first_iteration_is_no_failure_to_fit(faithful):
    with interruptible() as stop:
        stop.set()
        with pytest.raises(SamplingInterrupted, match="before its first iteration"):
            bg.fit_cavi(faithful, 2, n_init=2)


def test_more_draws_than_memory_are_refused_first(faithful):
    for run in (bg.fit_cavi, bg.sample_prior):
        with pytest.raises(ArgumentError, match="more than this machine has"):
            run(faithful, 2, num_samples=2 * 10**9)
