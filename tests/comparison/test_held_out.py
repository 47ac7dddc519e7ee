"""Held-out log scores against densities of SciPy, with failures and Ctrl-C on the way."""

import os
import signal
import warnings
from dataclasses import replace

import numpy as np
import pytest
from oracles import twins
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.engines.engine import find_engine, register, unregister
from bayesgmm.errors import ArgumentError, DataError, FitError, SamplingInterrupted

FEW = {"num_warmup": 50, "num_samples": 60, "num_chains": 2}
FOLDS = 3


@pytest.fixture(scope="module")
def x(reference_data):
    return reference_data["faithful"].iloc[:60].reset_index(drop=True)


@pytest.fixture(scope="module")
def recorded():
    """Gibbs under another name, which keeps what it returned and can be told to fail."""
    runs, gibbs = [], find_engine("gibbs")

    def run(x, n_components, **options):
        runs.append(gibbs.run(x, n_components, **options))
        if run.fails_at == len(runs):
            raise FitError("as told")
        return runs[-1]

    run.fails_at = 0
    register("recorded", replace(gibbs, name="recorded", run=run))
    yield run, runs
    unregister("recorded")


@pytest.fixture(scope="module")
def comparison(x, recorded):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return bg.compare(x, 2, engines=("em", "recorded"), seed=1, **FEW)


@pytest.fixture(scope="module")
def found(comparison, recorded):
    del recorded[1][:]
    return comparison.held_out(FOLDS, seed=3)


def densities(params, rows):
    """log p(row | θ) by SciPy."""
    return logsumexp(twins.log_joint(params.weights, params.means, params.covariances, rows), axis=1)


def test_a_fit_predicts_at_its_estimate(comparison, found, x):
    """Refits by fit_em, which finds the same optimum from its own starts; densities by SciPy."""
    values, expected = x.to_numpy(), np.full(len(x), np.nan)
    for fold in range(FOLDS):
        held = found.folds == fold
        assert held.sum() == 20
        fit = bg.fit_em(x[~held], 2, prior=comparison.prior)
        expected[held] = densities(fit.params, values[held])
    np.testing.assert_allclose(found.by_row["em", "plug-in"], expected, atol=1e-4)
    assert found.table.loc[("em", "plug-in"), "log score"] == pytest.approx(expected.sum(), abs=1e-3)
    assert found.table.loc[("em", "plug-in"), "se"] == pytest.approx(np.sqrt(60) * expected.std(ddof=1), rel=1e-4)
    # Negative control: rows that the fit has seen have other densities, and higher ones in sum.
    seen = densities(comparison.results["em"].params, values)
    assert np.abs(seen - expected).max() > 0.01
    assert seen.sum() > expected.sum()


def test_draws_predict_by_their_average_and_at_their_mean(found, recorded, x):
    values = x.to_numpy()
    averaged, plugged = np.full(len(x), np.nan), np.full(len(x), np.nan)
    assert len(recorded[1]) == FOLDS
    for fold, run in enumerate(recorded[1]):
        held = found.folds == fold
        np.testing.assert_array_equal(run.table.values, values[~held])  # it has not seen them
        assert (run.num_warmup, run.num_samples, run.num_chains) == (50, 60, 2)  # the settings of compare
        parts = (run.params.weights, run.params.means, run.params.covariances)
        flat = [np.asarray(part).reshape(-1, *part.shape[2:]) for part in parts]
        draws = [logsumexp(twins.log_joint(*theta, values[held]), axis=1) for theta in zip(*flat, strict=True)]
        averaged[held] = logsumexp(draws, axis=0) - np.log(len(draws))
        mean = [part.mean(axis=0) for part in flat]
        plugged[held] = logsumexp(twins.log_joint(*mean, values[held]), axis=1)
    np.testing.assert_allclose(found.by_row["recorded", "averaged"], averaged, rtol=1e-9)
    np.testing.assert_allclose(found.by_row["recorded", "plug-in"], plugged, rtol=1e-9)
    assert np.abs(averaged - plugged).max() > 1e-3


def test_differences_are_paired(found):
    table, rows = found.table, found.by_row
    best = table["log score"].idxmax()
    assert table.loc[best, "difference"] == 0
    for column in table.index:
        apart = (rows[column] - rows[best]).to_numpy()
        assert table.loc[column, "difference"] == pytest.approx(apart.sum())
        assert table.loc[column, "se of difference"] == pytest.approx(np.sqrt(60) * apart.std(ddof=1))
    other = next(column for column in table.index if column != best)
    assert table.loc[other, "se of difference"] < table.loc[other, "se"]  # what pairing is for
    assert (table["rows"] == 60).all()
    assert "averaged" in repr(found)
    assert not found.failures


def test_the_seed_makes_folds_and_refits(comparison, found):
    again = comparison.held_out(FOLDS, seed=3)
    np.testing.assert_array_equal(again.folds, found.folds)
    np.testing.assert_array_equal(again.by_row, found.by_row)
    assert (comparison.held_out(FOLDS, seed=4).folds != found.folds).any()


def test_a_fold_that_fails_is_told(comparison, recorded, found):
    run, runs = recorded
    run.fails_at = len(runs) + 2
    part = comparison.held_out(FOLDS, seed=3)
    run.fails_at = 0
    assert part.failures == {"recorded": {1: "as told"}}
    assert part.by_row["recorded", "averaged"].isna().sum() == 20
    assert part.table.loc[("recorded", "averaged"), "rows"] == 40
    assert any("1 of 3 folds failed, first fold 1: as told" in line for line in part.notes)
    shared = found.by_row[part.by_row["recorded", "averaged"].notna()]
    apart = shared["recorded", "averaged"] - shared["em", "plug-in"]
    assert part.table.loc[("em", "plug-in"), "difference"] == 0  # the best of those with all rows
    assert part.table.loc[("recorded", "averaged"), "difference"] == pytest.approx(apart.sum())


def stopped(comparison, fold):
    def listener(label, done, total, note):
        if note.startswith(f"fold {fold} ") and "recorded" in note:
            os.kill(os.getpid(), signal.SIGINT)

    return comparison.held_out(FOLDS, seed=3, progress_bar=listener)


def test_ctrl_c_keeps_complete_folds(comparison, found):
    part = stopped(comparison, 2)
    assert part.interrupted
    assert (part.table["rows"] == 20).all()
    kept = part.by_row.notna().all(axis=1)
    np.testing.assert_array_equal(part.by_row[kept], found.by_row[kept])
    assert "1 of 3 folds" in part.notes[1]
    with pytest.raises(SamplingInterrupted, match="No fold is complete"):
        stopped(comparison, 1)


def test_what_cannot_be_refitted_is_told(x, found, comparison, recorded):
    more = replace(
        comparison, results={**comparison.results, "stan": comparison.results["em"]}, failures={"mle": "why"}
    )
    more.descriptions = {"stan": "given"}
    notes = " ".join(more.held_out(FOLDS).notes)
    assert "stan: not refitted" in notes
    assert "mle: no score, as it has no result: why" in notes


@pytest.mark.parametrize(("folds", "words"), [(1, "at least 2"), (61, "between 2 and 60")])
def test_folds_that_leave_too_few_rows_are_refused(comparison, folds, words):
    with pytest.raises(ArgumentError, match=words):
        comparison.held_out(folds, progress_bar=lambda *_: pytest.fail("it ran"))


def test_folds_without_a_fit_are_refused(rng):
    """A single row carries the variance of a feature: without it the feature is constant."""
    rows = np.c_[rng.normal(size=40), np.r_[np.zeros(39), 1.0]]
    small = bg.compare(rows, 1, engines="em")
    with pytest.raises(DataError, match="Without the rows of fold"):
        small.held_out(2)


def test_scores_are_saved(comparison, found, tmp_path):
    replace(comparison, scores=found).save(tmp_path)
    assert {"held_out.csv", "held_out_by_row.csv"} <= {path.name for path in tmp_path.iterdir()}
    assert "plug-in" in (tmp_path / "held_out.csv").read_text()
