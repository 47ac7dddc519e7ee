"""Data are checked and prepared once, and what was prepared is used only for the question it answers."""

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm import problem
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
