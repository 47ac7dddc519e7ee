"""Data are checked and prepared once, and what was prepared is used only for the question it answers."""

import numpy as np
import pytest
from oracles.effort import WHOLE, mostly_slow

import bayesgmm as bg
from bayesgmm import problem
from bayesgmm.errors import DataError
from bayesgmm.problem import prepare
from bayesgmm.runtime.dtypes import scope


@pytest.fixture
def x(rng):
    return np.concatenate([rng.normal(size=(30, 2)), rng.normal(size=(30, 2)) + 5])


def test_what_was_prepared_is_used_again(x):
    with scope("float64"):
        first = prepare(x, 2, "default")
        assert prepare(first, 2, first.prior) is first
        again = prepare(first.model, 2, first.prior)
        assert again.model is first.model
        flat = prepare(first, 2, None)
    assert flat.prior is None
    assert flat.rows is first.rows
    np.testing.assert_array_equal(flat.model.frame.scale, first.model.frame.scale)


def test_another_question_is_prepared_anew(x):
    """Neither K nor the covariance family of an earlier preparation stands in for what is asked now."""
    with scope("float64"):
        first = prepare(x, 2, "default")
        assert prepare(first, 3, "default").model.num_components == 3
        assert prepare(first.model, 2, "default", covariance_type="diag").family.name == "VVI"
    with scope("float32"):
        assert prepare(first, 2, first.prior, "float32").rows.dtype == np.float32


def test_a_model_on_other_rows_keeps_its_prior(x):
    with scope("float64"):
        model = prepare(x, 2, "default").model
    other = model.on_rows(type(model.table)(model.table.values[::2] * 3.0, model.table.features))
    assert other.prior is model.prior
    assert other.table.num_rows == 30
    assert (other.frame.scale > model.frame.scale).all()


def test_compare_checks_the_data_once(x, monkeypatch):
    calls = []
    original = problem.check_table
    monkeypatch.setattr(problem, "check_table", lambda *args: (calls.append(args), original(*args)))
    bg.compare(x, 2, engines=("mle", "em", "laplace"), num_samples=50, num_chains=2)
    assert len(calls) == 1


WIDE = np.random.default_rng(0).normal(size=(18, 20)) + 5.0 * (np.arange(18) >= 10)[:, None]
"""18 rows of 20 features, in two clear groups."""
DEPENDENT = np.random.default_rng(1).normal(size=(60, 2)) @ np.array([[1.0, 0.0, 1.0], [0.0, 1.0, 1.0]])


@pytest.mark.parametrize(
    ("covariance_type", "mclust"), mostly_slow([("VII", -509.415394), ("EII", -510.110661), ("EEI", -496.025485)], 1)
)
def test_fewer_rows_than_features_suffice_without_correlations(covariance_type, mclust):
    assert bg.fit_em(WIDE, 2, covariance_type=covariance_type).log_likelihood == pytest.approx(mclust, abs=1e-4)


@pytest.mark.parametrize("x", [pytest.param(WIDE, id="wide"), pytest.param(DEPENDENT, id="dependent", marks=WHOLE)])
def test_singular_data_are_refused_where_the_model_is_singular(x):
    words = "18 rows for 20 features" if x is WIDE else "Collinear features: x0, x1, x2"
    with pytest.raises(DataError, match=f"{words}.*or use prior='default', or a prior of your own"):
        bg.fit_em(x, 2)
    assert bg.fit_em(x, 2, prior="default").converged
    dim = x.shape[1]
    own = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 0.01, dim + 2.0, np.eye(dim)))
    assert bg.fit_em(x, 2, prior=own).converged
    assert bg.fit_em(x, 2, covariance_type="diag", prior="default").converged
    table = bg.fit_table(x, [1, 2], ["EEI", "VVV"], progress_bar=False)
    assert table.best.family.name == "EEI"
    assert {cell.status for cell in table.cells if cell.family == "VVV"} == {"singular covariances"}
    assert all(cell.fit is not None for cell in bg.fit_table(x, [1, 2], ["VVV"], prior="default").cells)


def test_a_far_row_is_not_called_collinear(rng):
    x = rng.normal(size=(60, 2))
    x[17] = 1e12
    for prior in (None, "default"):
        with pytest.raises(DataError, match=r"Far rows \(counting from 0: 17\)"):
            bg.fit_em(x, 2, prior=prior)
