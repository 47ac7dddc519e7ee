"""The exact engine against an enumeration with SciPy's multivariate t, and the samplers against the exact engine."""

import itertools

import numpy as np
import pytest
from oracles.effort import SOME, WHOLE
from scipy.special import gammaln, logsumexp
from scipy.stats import multivariate_t

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, PriorError

X = np.random.default_rng(0).normal(size=(8, 2)) + np.repeat([[0.0, 0.0], [3.0, 3.0]], 4, axis=0)
LOC, STRENGTH, DF, SCALE = np.array([1.0, 2.0]), 0.5, 5.0, np.array([[1.0, 0.3], [0.3, 2.0]])
CONCENTRATION = np.array([1.0, 2.5])
PRIOR = bg.Prior(bg.Dirichlet(CONCENTRATION), bg.NormalInverseWishart(LOC, STRENGTH, DF, SCALE))


def evidence_of(rows):
    """log p(rows) of one component, row by row: each is multivariate t given those before (Murphy 2007, eq. 258)."""
    loc, strength, df, scale, total = LOC, STRENGTH, DF, SCALE, 0.0
    for row in rows:
        free = df - 1.0
        shape = scale * (strength + 1.0) / (strength * free)
        total += multivariate_t(loc, shape, free).logpdf(row)
        apart = row - loc
        scale = scale + strength / (strength + 1.0) * np.outer(apart, apart)
        loc, strength, df = (strength * loc + row) / (strength + 1.0), strength + 1.0, df + 1.0
    return total


def enumerated():
    """log p(x), and the posterior mean of the first weight."""
    logs, means = [], []
    for z in itertools.product((0, 1), repeat=len(X)):
        z = np.array(z)
        counts = np.bincount(z, minlength=2)
        log = gammaln(CONCENTRATION.sum()) - gammaln(CONCENTRATION.sum() + len(X))
        log += (gammaln(CONCENTRATION + counts) - gammaln(CONCENTRATION)).sum()
        logs.append(log + sum(evidence_of(X[z == k]) for k in (0, 1)))
        means.append((CONCENTRATION[0] + counts[0]) / (CONCENTRATION.sum() + len(X)))
    logs = np.array(logs)
    return logsumexp(logs), np.exp(logs - logsumexp(logs)) @ np.array(means)


@pytest.fixture(scope="module")
def exact():
    return bg.sample_exact(X, 2, prior=PRIOR, seed=1)


def test_evidence_and_weights_are_those_of_the_enumeration(exact):
    evidence, weight = enumerated()
    assert exact.log_evidence == pytest.approx(evidence, abs=1e-8)
    draws = np.asarray(exact.params.weights)[..., 0]
    assert draws.mean() == pytest.approx(weight, abs=4 * draws.std() / np.sqrt(draws.size))
    assert exact.num_labellings == 2**8
    assert exact.trusted


def test_units_change_the_evidence_by_the_volume_only(exact):
    """log p(x) of x in other units: minus N log |d unit|."""
    scale = np.array([1e4, 1e-2])
    prior = bg.Prior(PRIOR.weights, bg.NormalInverseWishart(LOC * scale, STRENGTH, DF, SCALE * np.outer(scale, scale)))
    other = bg.sample_exact(X * scale, 2, prior=prior, seed=1)
    assert other.log_evidence == pytest.approx(exact.log_evidence - len(X) * np.log(scale).sum(), abs=1e-8)


@pytest.mark.parametrize(
    "family",
    [
        "full",
        pytest.param("spherical", marks=WHOLE),
        pytest.param("tied", marks=SOME),
        pytest.param("diag", marks=WHOLE),
    ],
)
def test_gibbs_agrees_with_the_exact_posterior(family):
    """Every label-invariant quantity within four Monte Carlo errors of both."""
    truth = bg.sample_exact(X, 2, covariance_type=family, num_samples=500, num_chains=4, seed=2)
    gibbs = bg.sample_gibbs(X, 2, covariance_type=family, num_warmup=500, num_samples=2500, num_chains=4, seed=3)
    a, b = truth.convergence, gibbs.convergence
    z = np.abs(a["mean"] - b["mean"]) / np.hypot(a["mcse"], b["mcse"])
    assert z.max() < 4.5


@pytest.mark.slow
def test_nuts_agrees_with_the_exact_posterior():
    truth = bg.sample_exact(X, 2, prior=PRIOR, num_samples=500, num_chains=4, seed=2)
    nuts = bg.sample_nuts(X, 2, prior=PRIOR, num_warmup=1000, num_samples=2500, num_chains=4, seed=3)
    a, b = truth.convergence, nuts.convergence
    z = np.abs(a["mean"] - b["mean"]) / np.hypot(a["mcse"], b["mcse"])
    assert z.max() < 4.5


def test_one_component_has_a_single_labelling():
    one = bg.sample_exact(X, 1, prior=bg.Prior(bg.Dirichlet(1.0), PRIOR.components), num_samples=50)
    assert one.log_evidence == pytest.approx(evidence_of(X), abs=1e-8)
    assert one.num_labellings == 1


def test_one_component_may_have_more_rows_than_a_block():
    """Block by block or at once, the evidence is the closed form."""
    rows = np.random.default_rng(1).normal(size=(5000, 2))
    one = bg.sample_exact(rows, 1, prior=bg.Prior(bg.Dirichlet(1.0), PRIOR.components), num_samples=2, num_chains=2)
    assert one.log_evidence == pytest.approx(evidence_of(rows), rel=1e-9)


@WHOLE
def test_beside_the_other_engines_it_is_the_truth():
    found = bg.compare(X, 2, engines=["exact", "cavi"], num_samples=200, num_chains=2)
    assert "exact: independent draws of the posterior itself" in " ".join(found.verdict())
    assert found.results["cavi"].elbo < found.results["exact"].log_evidence


def test_what_cannot_be_enumerated_is_refused_with_its_number():
    with pytest.raises(ArgumentError, match=r"3\^20 = 1e10 here, at most 2,097,152. With 3 components use at most 13"):
        bg.sample_exact(np.random.default_rng(0).normal(size=20), 3)
    with pytest.raises(PriorError, match="exact does not take"):
        bg.sample_exact(X, 2, prior=bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesInverseWishart(0.0, 1.0, 4.0, 1.0)))
    with pytest.raises(ArgumentError, match="exact does not take covariance_type 'VVE'"):
        bg.sample_exact(X, 2, covariance_type="VVE")
