"""Priors that tell the components apart: their numbering is the prior's, against enumeration of all labelings."""

import itertools

import numpy as np
import pytest
from scipy.special import gammaln
from scipy.stats import dirichlet, invgamma, norm

import bayesgmm as bg
from bayesgmm.errors import ArgumentError

X = np.array([-0.6, 0.1, 0.9, 1.4, 2.2, 2.9, 3.4])
ALPHA, LOC, STRENGTH = np.array([1.0, 3.0]), np.array([2.5, 0.0]), np.array([1.0, 0.5])
DF, SCALE = np.array([6.0, 8.0]), np.array([4.0, 6.0])
PRIOR = bg.Prior(
    bg.Dirichlet(ALPHA), bg.NormalInverseWishart(LOC[:, None], STRENGTH, DF, SCALE[:, None, None])
)  # fmt: skip


def enumerated():
    """Posterior means of the means, by enumeration of the 2⁷ labelings with θ integrated out."""
    logs, means = [], []
    for z in itertools.product((0, 1), repeat=len(X)):
        counts = np.bincount(z, minlength=2)
        log = gammaln(ALPHA.sum()) - gammaln(ALPHA.sum() + len(X)) + (gammaln(ALPHA + counts) - gammaln(ALPHA)).sum()
        centres = []
        for k in (0, 1):
            rows = X[np.array(z) == k]
            n, mean = len(rows), rows.mean() if len(rows) else 0.0
            strength, df = STRENGTH[k] + n, DF[k] + n
            scale = SCALE[k] + ((rows - mean) ** 2).sum() + STRENGTH[k] * n / strength * (mean - LOC[k]) ** 2
            log += gammaln(df / 2) - gammaln(DF[k] / 2) + DF[k] / 2 * np.log(SCALE[k]) - df / 2 * np.log(scale)
            log += 0.5 * np.log(STRENGTH[k] / strength)
            centres.append((STRENGTH[k] * LOC[k] + n * mean) / strength)
        logs.append(log)
        means.append(centres)
    shares = np.exp(np.array(logs) - max(logs))
    return shares @ np.array(means) / shares.sum()


def log_posterior(params):
    weights, means, variances = params.weights, params.means[:, 0], np.asarray(params.covariances)[:, 0, 0]
    prior = dirichlet(ALPHA).logpdf(weights) + sum(
        invgamma(DF[k] / 2, scale=SCALE[k] / 2).logpdf(variances[k])
        + norm(LOC[k], np.sqrt(variances[k] / STRENGTH[k])).logpdf(means[k])
        for k in (0, 1)
    )
    return prior + np.log(sum(weights[k] * norm(means[k], np.sqrt(variances[k])).pdf(X) for k in (0, 1))).sum()


def test_draws_keep_the_numbering_of_the_prior():
    posterior = bg.sample_gibbs(X, 2, prior=PRIOR, num_warmup=300, num_samples=3000, num_chains=2, seed=1)
    np.testing.assert_allclose(np.asarray(posterior.params.means).mean(axis=(0, 1))[:, 0], enumerated(), atol=0.08)
    assert (posterior.permutations == np.arange(2)).all()
    for draw in (0, 500):
        theta = type(posterior.params)(*(np.asarray(part)[0, draw] for part in posterior.params))
        stated = posterior.log_likelihood[0, draw] + posterior.log_prior[0, draw]
        assert log_posterior(theta) == pytest.approx(stated, rel=1e-10)


def test_em_returns_the_numbering_of_its_objective():
    fit = bg.fit_em(X, 2, prior=PRIOR)
    assert log_posterior(fit.params) == pytest.approx(fit.objective, rel=1e-10)
    swapped = type(fit.params)(*(np.asarray(part)[::-1] for part in fit.params))
    assert log_posterior(swapped) < fit.objective - 0.5
    assert bg.fit_em(X, 2, prior=PRIOR, init=swapped).objective <= fit.objective + 1e-6


def test_which_priors_are_exchangeable():
    same = bg.Prior(bg.Dirichlet([2.0, 2.0]), bg.NormalInverseWishart(np.zeros(2), 0.1, 5.0, np.eye(2))).expand(2, 2)
    common = bg.HierarchicalInverseWishart(np.zeros(2), np.eye(2), 5.0, 3.0, [[2.0, 0.5], [0.5, 1.0]])
    assert same.exchangeable
    assert bg.Prior(bg.Dirichlet(1.0), common).expand(2, 2).exchangeable
    assert not PRIOR.expand(2, 1).exchangeable
    assert not bg.Prior(bg.Dirichlet([1.0, 2.0]), same.components).exchangeable


@pytest.mark.slow
def test_calibration_under_a_prior_that_tells_components_apart():
    calibration = bg.calibrate(X, 2, prior=PRIOR, engine="gibbs", n_sims=200, num_warmup=100, num_samples=199, seed=2)
    assert calibration.calibrated


def test_the_priors_numbering_is_never_relabelled():
    posterior = bg.sample_gibbs(X, 2, prior=PRIOR, num_warmup=100, num_samples=100, num_chains=2)
    means = np.asarray(posterior.params.means)
    for draws in (posterior, posterior.datatree):
        with pytest.raises(ArgumentError, match="tells the components apart"):
            bg.relabel(draws)
        found = bg.diagnose(draws, search=False)
        np.testing.assert_array_equal(found.relabelling.variables["means"], means)
        assert "the prior's in every draw" in " ".join(found.verdict())
