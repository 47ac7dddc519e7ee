"""CEM, SEM, MCEM, SAME and DAEM as engines of `compare`."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, PriorError

NAMES = ["em", "cem", "sem", "mcem", "same", "daem", "gibbs"]
X = np.random.default_rng(0).normal(size=(40, 2)) + np.repeat([[0.0, 0.0], [3.0, 3.0]], 20, axis=0)


@pytest.fixture(scope="module")
def comparison():
    with pytest.warns(UserWarning, match="chains"):  # short
        return bg.compare(
            X, 2, engines=NAMES, num_warmup=20, num_samples=60, num_chains=2, n_init=4, em_intervals="bootstrap"
        )


def test_each_is_a_fit_under_the_prior_beside_the_others(comparison):
    assert comparison.failures == {}
    assert list(comparison.fits) == NAMES[:-1]
    assert {name: fit.algorithm for name, fit in comparison.fits.items()} == {name: name for name in NAMES[:-1]}
    top = comparison.fits["em"].objective
    for name, fit in comparison.fits.items():
        assert fit.prior is comparison.prior
        assert fit.objective <= top + 1e-6, name
        np.testing.assert_allclose(fit.params.means, comparison.fits["em"].params.means, atol=0.5)
    assert [name for name, fit in comparison.fits.items() if fit.converged] == ["em", "cem", "daem"]
    again = bg.compare(X, 2, engines=["same", "mcem"], n_init=4)
    assert {fit.settings["n_init"] for fit in again.fits.values()} == {4}
    assert again.fits["mcem"].objective == comparison.fits["mcem"].objective  # the seed of an engine is its own


def test_the_verdict_says_what_the_estimates_are(comparison):
    lines = {line.split()[0]: line for line in comparison.verdict()}
    assert "variances too small" in lines["cem"]
    assert "best θ that it visited" in lines["sem"]
    assert "Monte Carlo error" in lines["mcem"]
    assert "a draw from the posterior to the power" in lines["same"]
    assert lines["em"].endswith(".")
    titles = comparison.engine_names
    assert titles["same"] == "SAME, last draw under a rising number of copies"
    notes = comparison.notes()
    assert sum("cannot be refitted" in line for line in notes) == 4  # all but em and daem
    assert set(comparison.summary().columns) == set(NAMES)


def test_classification_is_biased_where_classes_overlap():
    """What the verdict says of CEM: two equal Gaussians three and a half standard deviations apart.

    The mean of a class is E|x| = 1.782 for means at ±1.75, and its variance 4.0625 - 1.782² = 0.886.
    """
    rng = np.random.default_rng(3)
    x = rng.normal(size=(4000, 1)) + np.repeat([[-1.75], [1.75]], 2000, axis=0)
    fits = bg.compare(x, 2, engines=["em", "cem"], covariance_type="E", n_init=4).fits
    means = {name: np.ptp(fit.params.means) for name, fit in fits.items()}
    sds = {name: fit.params.scale_trils[0, 0, 0] for name, fit in fits.items()}
    assert means["cem"] - means["em"] == pytest.approx(2 * (1.782 - 1.75), abs=0.03)
    assert sds["cem"] - sds["em"] == pytest.approx(np.sqrt(0.886) - 1, abs=0.02)


def test_what_an_engine_does_not_take_is_refused_before_the_run():
    with pytest.raises(PriorError, match="same draws θ, so it needs a proper prior"):
        bg.compare(X, 2, engines=["em", "same"], prior=None)
    with pytest.raises(ArgumentError, match="same does not take covariance_type 'VEI'"):
        bg.compare(X, 2, engines=["em", "same"], covariance_type="VEI")
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalTimesInverseWishart(0.0, 10 * np.eye(2), 5.0, np.eye(2)))
    with pytest.raises(PriorError, match="same does not take a NormalTimesInverseWishart prior"):
        bg.compare(X, 2, engines=["same"], prior=prior)
    found = bg.compare(X, 2, engines=["cem", "mcem"], prior=prior, n_init=2)
    assert list(found.fits) == ["cem", "mcem"]
    assert "stopped as planned after 200 M-steps; the highest of 2 starts." in found.verdict()[1]  # ends, no optima
