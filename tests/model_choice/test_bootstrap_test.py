"""The bootstrap likelihood-ratio test: ratios against fits and mclust, its level, and its p-values."""

import warnings

import numpy as np
import pytest
from oracles.effort import WHOLE
from scipy.stats import binom

import bayesgmm as bg
from bayesgmm.model_choice import bootstrap_test
from bayesgmm.model_choice.bootstrap_test import Step, steps, test
from bayesgmm.runtime.arguments import as_key

test.__test__ = False  # the function of the package is no test of pytest
WIDEST = 3


def fits_of(x, family="EEE", most=WIDEST):
    table = bg.fit_table(x, range(1, most + 1), family, n_init=4)
    return {size: table.fit(family, size) for size in range(1, most + 1)}


@pytest.fixture(scope="module")
def fits(reference_data):
    return fits_of(reference_data["faithful"])


@pytest.fixture(scope="module")
def tested(fits):
    return list(steps(fits, None, WIDEST, 24, 0.05, as_key(1)))


def test_ratios_are_those_of_the_fits_and_of_mclust(fits, tested, truth):
    theirs = truth("mclust_lrt")["EEE"]["LR"]
    for step in tested:
        ours = 2 * (fits[step.size + 1].log_likelihood - fits[step.size].log_likelihood)
        assert step.ratio == pytest.approx(ours, abs=0.05)
        assert step.ratio >= theirs[step.size - 1] - 0.05


def test_replicates_are_of_the_same_size_as_those_of_mclust(tested, truth):
    """Under one component, with equal covariances. Ours have more starts, so that they are no smaller."""
    theirs = np.asarray(truth("mclust_lrt")["EEE"]["quantiles"])[:, 0]  # of 999: 0.5, 0.9, 0.95
    step = tested[0]
    assert step.failed == 0
    assert (step.replicates >= -1e-3).all()
    assert theirs[0] < np.quantile(step.replicates, 0.75) < 4 * theirs[0]
    assert np.median(step.replicates) < theirs[2]


def test_p_values_and_the_end_of_the_sequence(tested, monkeypatch, fits):
    assert [step.size for step in tested] == [1, 2]
    assert tested[0].p_value == 1 / 25
    assert Step(1, 5.0, np.array([1.0, 5.0, 7.0, 2.0]), 0).p_value == 3 / 5
    assert np.isnan(Step(1, np.nan, np.array([1.0]), 0).p_value)
    asked = []

    def accepting(fit, *arguments):
        asked.append(fit.n_components)
        return Step(fit.n_components, 1.0, np.array([2.0, 3.0]), 0)

    monkeypatch.setattr(bootstrap_test, "test", accepting)
    assert len(list(steps(fits, None, WIDEST, 2, 0.05, as_key(0)))) == 1
    assert asked == [1]


@WHOLE
def test_level_is_kept_under_the_null_hypothesis(rng):
    """Two components apart, N = 100: 2 against 3 is rejected in about 10 % of data sets, at this level."""
    num, level = 100, 0.1
    rejected = 0
    for i in range(num):
        x = rng.normal(size=(100, 2)) + 6.0 * rng.integers(2, size=100)[:, None] * np.array([1.0, 0.5])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            fit = bg.fit_em(x, 2, covariance_type="EEE", n_init=4)
        rejected += test(fit, None, WIDEST, 24, as_key(i)).p_value <= level
    low, high = binom.ppf([0.001, 0.999], num, level)
    assert low <= rejected <= high


@WHOLE
def test_replicates_with_fewer_starts_would_be_caught(fits, monkeypatch):
    """Negative control: where K + 1 components begin at one start only, replicates are smaller: anti-conservative."""
    from bayesgmm.model_choice import null_ratios
    from bayesgmm.runtime.programs import Program

    full = test(fits[2], None, WIDEST, 99, as_key(3)).replicates
    starts = null_ratios._starts

    def few(*arguments):
        made, allowed = starts(*arguments)
        return made, allowed.at[1:, 1].set(False)

    monkeypatch.setattr(null_ratios, "_starts", few)
    monkeypatch.setattr(null_ratios, "_RATIOS", Program(lambda *arguments: null_ratios._ratios(*arguments)))
    less = test(fits[2], None, WIDEST, 99, as_key(3)).replicates
    assert np.median(less) < 0.8 * np.median(full)
