"""Information criteria of a fit: against enumerated sums, mclust's ICL, and each other."""

from dataclasses import replace

import numpy as np
import pytest
from oracles.twins import log_joint
from scipy.special import xlogy

import bayesgmm as bg
from bayesgmm.data.table import as_table


@pytest.fixture(scope="module")
def fit(reference_data):
    return bg.fit_em(reference_data["faithful"], 3, covariance_type="EEE", n_init=4)


def certainties(fit, x):
    """Responsibilities of the rows by SciPy."""
    joint = np.exp(log_joint(fit.params.weights, fit.params.means, fit.params.covariances, np.asarray(x)))
    return joint / joint.sum(axis=1, keepdims=True)


def test_criteria_are_the_textbook_sums(fit, reference_data):
    r, n, p = certainties(fit, reference_data["faithful"]), 272, 11
    assert fit.n_parameters == p
    assert fit.aicc() == pytest.approx(-2 * fit.log_likelihood + 2 * p * n / (n - p - 1), rel=1e-12)
    assert fit.bic() == pytest.approx(-2 * fit.log_likelihood + p * np.log(n), rel=1e-12)
    assert fit.icl() == pytest.approx(fit.bic() - 2 * np.log(r.max(axis=1)).sum(), rel=1e-9)
    assert fit.soft_icl() == pytest.approx(fit.bic() - 2 * xlogy(r, r).sum(), rel=1e-9)
    assert fit.entropy() == pytest.approx(-xlogy(r, r).sum(), rel=1e-9)


def test_soft_icl_is_at_least_the_hard_one(fit):
    """The entropy of a row is at least minus the log of its largest responsibility."""
    assert fit.soft_icl() > fit.icl() > fit.bic()


def test_a_row_counts_as_often_as_its_weight_says(fit, reference_data):
    x, counts = reference_data["faithful"], np.resize([1.0, 2.0, 3.0], 272)
    weighted = replace(fit, model=replace(fit.model, table=as_table(bg.rows(x, weights=counts))))
    r = certainties(fit, x)
    assert weighted.entropy() == pytest.approx(-(counts @ xlogy(r, r)).sum(), rel=1e-9)
    assert weighted.icl() == pytest.approx(weighted.bic() - 2 * counts @ np.log(r.max(axis=1)), rel=1e-9)
    assert weighted.bic() == pytest.approx(-2 * fit.log_likelihood + 11 * np.log(counts.sum()), rel=1e-12)


def test_aicc_is_infinite_where_parameters_are_as_many_as_rows(reference_data):
    fit = bg.fit_em(np.asarray(reference_data["faithful"])[::27][:10], 2, prior="default", n_init=4)
    assert fit.n_parameters == 11
    assert fit.aicc() == np.inf
