"""What EM says where it cannot resolve, or cannot fit, is true of the input at hand."""

import numpy as np
import pytest
from oracles.effort import mostly_slow

import bayesgmm as bg
from bayesgmm import errors

X = np.concatenate([np.random.default_rng(0).normal(size=(30, 2)) + shift for shift in (0.0, 6.0)])
LABELS = np.repeat([0, 1], 30)


def heavy(concentration: float, df: float = 4.0) -> bg.Prior:
    return bg.Prior(bg.Dirichlet(concentration), bg.NormalInverseWishart(3.0, 0.01, df, np.eye(2)))


@pytest.mark.filterwarnings("ignore:EM stopped where")
@pytest.mark.parametrize("concentration", [1.0, 1e6, 1e10])
def test_log_likelihood_under_a_heavy_prior_is_that_of_theta(concentration):
    """It is not the objective less the log prior: that difference loses its digits (0.02 at 1e12)."""
    fit = bg.fit_em(X, 2, prior=heavy(concentration))
    np.testing.assert_allclose(fit.log_likelihood, fit.score_samples().sum(), rtol=1e-12)


@pytest.mark.parametrize(("concentration", "df"), [(1e15, 4.0), (1e300, 4.0), (1.0, 1e17)])
@pytest.mark.parametrize("run", [bg.fit_em, bg.sample_nuts, bg.sample_gibbs, bg.fit_table])
def test_priors_beside_which_data_have_no_digits_are_refused(run, concentration, df):
    with pytest.raises(errors.PriorError, match="would be lost"):
        run(X, [2] if run is bg.fit_table else 2, prior=heavy(concentration, df))


@pytest.mark.parametrize("dtype", ["float32", "f4"])
def test_float32_by_any_name_is_called_float32(dtype):
    with pytest.warns(errors.NotConvergedWarning, match="Use dtype='float64'"):
        fit = bg.fit_em(X, 2, labels_init=LABELS, dtype=dtype, tol=1e-9)
    assert fit.settings["dtype"] == "float32"


def test_a_heavy_prior_and_a_small_tol_are_named_as_the_causes():
    with pytest.warns(errors.NotConvergedWarning, match="log density of the prior is of size 1e\\+10"):
        bg.fit_em(X, 2, labels_init=LABELS, prior=heavy(1e10))
    with pytest.warns(errors.NotConvergedWarning, match="Use a tol of .* or more") as caught:
        bg.fit_em(X, 2, labels_init=LABELS, tol=1e-13)
    tol = float(str(caught[0].message).split("tol of ")[1].split()[0])
    assert bg.fit_em(X, 2, labels_init=LABELS, tol=tol).converged


@pytest.mark.parametrize("family", mostly_slow(["full", "spherical", "diag", "tied"], 2))
def test_a_far_row_is_named_and_nothing_that_fails_too_is_advised(family):
    far = np.concatenate([X, [[1e12, 1e12]]])
    with pytest.raises((errors.DataError, errors.CollapseError), match=r"Far rows .*: 60") as caught:
        bg.fit_em(far, 2, covariance_type=family)
    assert "diag" not in str(caught.value)
    assert "prior='default'" not in str(caught.value)


def test_the_family_that_collapses_is_named():
    with pytest.raises(errors.CollapseError, match="With VVI covariances"):
        bg.fit_em(np.repeat(X[:3], 20, axis=0), 3, covariance_type="diag", n_init=2)


def test_one_start_only():
    with pytest.raises(errors.ArgumentError, match="one start only"):
        bg.fit_em(X, 2, init="random", labels_init=LABELS)


def test_a_table_without_some_cells_does_not_advise_the_prior_that_it_has():
    far = np.concatenate([X, [[1e12, 1e12]]])
    notes = " ".join(bg.fit_table(far, [2], families=["EII", "VVV"], prior="default").notes())
    assert "far rows" in notes
    assert "prior='default'" not in notes
