"""The probability of each row's class with its spread over draws, against densities of SciPy draw by draw."""

import numpy as np
import pytest
from oracles import twins
from scipy.special import softmax

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.results import class_probabilities


@pytest.fixture(scope="module")
def posterior(reference_data):
    return bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=50, num_samples=60, num_chains=2, seed=4)


@pytest.fixture(scope="module")
def twin(posterior):
    """p(z_n = k | θ, x), (draw, N, K), by SciPy."""
    parts = (posterior.params.weights, posterior.params.means, posterior.params.covariances)
    draws = zip(*(np.asarray(part).reshape(-1, *part.shape[2:]) for part in parts), strict=True)
    return np.stack([softmax(twins.log_joint(*theta, posterior.table.values), axis=1) for theta in draws])


def test_each_figure_is_that_of_the_textbook(posterior, twin):
    found = posterior.class_probabilities(level=0.8)
    assert dict(found.sizes) == {"obs": 272, "component": 2}
    expected = {
        "mean": twin.mean(axis=0), "sd": twin.std(axis=0), "median": np.median(twin, axis=0),
        "lower": np.quantile(twin, 0.1, axis=0), "upper": np.quantile(twin, 0.9, axis=0),
    }  # fmt: skip
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-8, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found["mean"], posterior.predict_proba(), rtol=1e-10, atol=1e-12)
    assert found["sd"].max() > 0.05  # a row between the clusters


def test_the_figures_would_show_a_wrong_class(posterior, twin):
    """Negative control: with the classes exchanged nothing agrees."""
    assert not np.allclose(posterior.class_probabilities()["mean"], twin.mean(axis=0)[:, ::-1], atol=0.1)


def test_rows_in_several_blocks_and_new_rows_are_the_same(posterior, twin, monkeypatch):
    monkeypatch.setattr(class_probabilities, "BLOCK_VALUES", 1)
    found = posterior.class_probabilities(posterior.table.values)
    np.testing.assert_allclose(found["sd"], twin.std(axis=0), rtol=1e-8, atol=1e-12)
    few = posterior.class_probabilities(posterior.table.values[5:8])
    np.testing.assert_allclose(few["mean"], twin.mean(axis=0)[5:8], rtol=1e-8, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [({"level": 1.0}, ArgumentError, "below 1"), ({"level": 0.999}, ArgumentError, "at least 2000"),
     ({"x": np.zeros((3, 3))}, DataError, "2 features")],
)  # fmt: skip
def test_what_cannot_be_told_is_refused(posterior, arguments, error, words):
    with pytest.raises(error, match=words):
        posterior.class_probabilities(**arguments)
