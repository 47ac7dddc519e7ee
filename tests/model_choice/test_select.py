"""How many components: the table against its parts, what the words say, and known answers."""

import warnings

import numpy as np
import pytest
from oracles.effort import SOME, WHOLE, mostly_slow
from scipy.special import logsumexp

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError, MixingWarning, PriorError
from bayesgmm.model_choice.answers import Candidate, nothing, ranked
from bayesgmm.model_choice.predictive import stacking_weights
from bayesgmm.model_choice.words import agreed, conclusion
from bayesgmm.runtime.arguments import as_key, named_key

CHAINS = {"num_warmup": 100, "num_samples": 100, "num_chains": 2}
SIZES = (1, 2)


@pytest.fixture(scope="module")
def selection(reference_data):
    return bg.select(
        reference_data["faithful"], SIZES, criteria=("bic", "icl", "aicc", "loo", "held_out"), n_init=4,
        held_out=reference_data["faithful"][::3], **CHAINS,
    )  # fmt: skip


def test_values_are_those_of_fits_and_draws(selection):
    frame = selection.to_dataframe().set_index("n_components")
    for size in SIZES:
        fit, posterior = selection.fit(size), selection.posterior(size)
        assert frame.loc[size, "bic"] == fit.bic()
        assert frame.loc[size, "icl"] == fit.icl()
        assert frame.loc[size, "held_out"] == pytest.approx(
            posterior.score_samples(posterior.table.take(np.arange(0, 272, 3))).sum()
        )
    best = selection.best("bic")
    assert best == Candidate("VVV", 2)
    assert frame.loc[2, "bic_difference"] == 0
    assert frame.loc[1, "bic_difference"] == pytest.approx(frame.loc[1, "bic"] - frame.loc[2, "bic"])
    assert frame["bic_best"].tolist() == [False, True]


def test_elpd_its_differences_and_weights_are_those_of_arviz(selection):
    import arviz as az

    elpds = {str(size): bg.loo(selection.posterior(size)) for size in SIZES}
    theirs = az.compare(elpds, round_to="none")
    frame = selection.to_dataframe().set_index("n_components")
    for size in SIZES:
        assert frame.loc[size, "loo"] == pytest.approx(theirs.loc[str(size), "elpd"], abs=1e-8)
        assert frame.loc[size, "loo_se"] == pytest.approx(theirs.loc[str(size), "se"], rel=0.01)  # their ddof is 0
        assert frame.loc[size, "loo_difference"] == pytest.approx(theirs.loc[str(size), "elpd_diff"], abs=1e-8)
        assert frame.loc[size, "loo_difference_se"] == pytest.approx(theirs.loc[str(size), "dse"], rel=0.01)
        assert frame.loc[size, "loo_weight"] == pytest.approx(theirs.loc[str(size), "weight"], abs=0.01)


def test_evidence_and_posterior_of_k_are_those_of_their_functions(reference_data, monkeypatch):
    """The same draws, seeds and settings as by hand; and probabilities that follow."""
    x, sizes = reference_data["faithful"], (1, 2)
    found = bg.select(x, sizes, criteria=("evidence", "posterior_of_k"), n_init=4, seed=3, **CHAINS)
    frame = found.to_dataframe().set_index("n_components")
    logs = []
    for size in sizes:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", MixingWarning)
            one = bg.evidence(found.posterior(size), seed=named_key(as_key(3), "evidence"))
        assert frame.loc[size, "evidence"] == one.log_evidence
        assert frame.loc[size, "evidence_se"] == one.standard_error
        logs.append(one.log_evidence)
    assert frame["evidence_probability"].to_numpy() == pytest.approx(np.exp(logs - logsumexp(logs)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)
        own = bg.sample_telescoping(
            x, num_warmup=100, num_samples=400, num_chains=2, seed=named_key(as_key(3), "posterior of K")
        ).posterior_of_k()
    assert frame.loc[2, "posterior_of_k"] == own.loc[2, "posterior_clusters"]
    assert frame.loc[2, "posterior_of_k_P(K)"] == own.loc[2, "posterior_components"]
    assert any("at other numbers than these" in note for note in found.notes()) == (
        own["posterior_clusters"][2:].sum() > 0.01
    )
    assert "of the posterior itself" not in repr(found)
    found.plot()


def test_stacking_weights_have_the_highest_score(rng):
    rows = rng.normal(-2.0, 1.0, (3, 200)) + np.array([[0.0], [0.1], [-0.2]])
    weights = stacking_weights(rows)

    def score(w):
        return np.log(w @ np.exp(rows)).sum()

    assert weights.sum() == pytest.approx(1.0)
    best = score(weights)
    for other in rng.dirichlet(np.ones(3), 500):
        assert score(other) <= best + 1e-6
    missing = stacking_weights(np.vstack([rows, np.full((1, 200), np.nan)]))
    np.testing.assert_allclose(missing[:3], weights, atol=1e-4)
    assert np.isnan(missing[3])


def test_tables_pictures_and_words(selection):
    assert selection.agreed == 2
    assert "All 5 criteria choose K = 2" in " ".join(repr(selection).split())
    assert "VVV" not in " ".join(selection.conclusion())  # one family need not be said
    assert "<table" in selection._repr_html_()
    assert selection.to_markdown().count("\n") == 4
    assert r"\toprule" in selection.to_latex()
    axes = selection.plot()
    assert axes.shape == (2, 3)
    assert "K = 2" in axes[0, 0].get_title(loc="left")
    assert len(selection.conclusion()) == 6


def test_conclusions_say_how_unsure_each_is():
    candidates = [Candidate("VVV", size) for size in (1, 2, 3, 4)]

    def answer(name, values, rivals):
        return ranked(
            name, name.upper(), candidates, np.array(values, float), larger=False, close=lambda d, _: d < rivals,
            say=lambda best, near, others: best,
        )  # fmt: skip

    sure = [answer("bic", [90, 40, 0, 30], 2), answer("icl", [80, 30, 0, 20], 2)]
    assert conclusion(sure)[0] == "Both criteria choose K = 3, and none has another number close to it."
    assert agreed(sure) == 3
    unsure = [sure[0], answer("loo", [90, 40, 0.5, 0], 2)]
    assert "within their errors none rules out K = 3" in conclusion(unsure)[0]
    assert "BIC 3, LOO 4" in conclusion(unsure)[0]
    assert agreed(unsure) == 3
    same = [sure[0], answer("loo", [90, 40, 0, 0.5], 2)]
    assert "LOO cannot tell it from 4" in conclusion(same)[0]
    apart = [sure[0], answer("aic", [90, 40, 30, 0], 2)]
    assert "disagree" in conclusion(apart)[0]
    assert agreed(apart) is None
    assert "largest K that was tried" in apart[1].words


def test_the_headline_names_what_is_left_out():
    candidates = [Candidate("VVV", size) for size in (1, 2, 3)]
    spurious = ranked(
        "bic", "BIC", candidates, np.array([90.0, 0, -40]), larger=False, close=lambda d, _: d < 2,
        say=lambda best, near, others: best, trusted=np.array([True, True, False]),
    )  # fmt: skip
    assert spurious.best == Candidate("VVV", 2)
    first = conclusion([spurious, nothing("loo", "LOO elpd", candidates, True, ["No draws."])])[0]
    assert "BIC chooses K = 2" in first
    assert "No answer: LOO elpd." in first
    assert "Left out by BIC, since a component of its fit has too few rows: K = 3." in first
    far = ranked(
        "bic", "BIC", candidates, np.array([90.0, 0, 40]), larger=False, close=lambda d, _: d < 2,
        say=lambda best, near, others: best, trusted=np.array([True, True, False]),
    )  # fmt: skip
    assert "Left out" not in conclusion([far])[0]  # it would not have been chosen


def test_bad_input_is_refused_before_computing(reference_data, monkeypatch):
    x = reference_data["faithful"]
    monkeypatch.setattr("bayesgmm.model_choice.select.fit_table", None)
    repeated = np.repeat(np.asarray(x)[:4], 20, axis=0)
    apart = bg.Prior(bg.Dirichlet(1.5), bg.NormalTimesInverseWishart([3.5, 70], np.diag([4, 400]), 5, np.diag([1, 80])))
    for arguments, error, words in (
        ({"n_components": []}, ArgumentError, "empty"),
        ({"n_components": [0, 1]}, ArgumentError, "at least 1"),
        ({"n_components": [1, 2, 2]}, ArgumentError, "2 more than once"),
        ({"n_components": [1, 300]}, DataError, "272 rows for 300"),
        ({"x": repeated, "n_components": [2, 5]}, DataError, "4 distinct rows"),
        ({"criteria": "bic,waic"}, ArgumentError, "Unknown criterion 'waic'. Choose from bic, icl"),
        ({"criteria": ()}, ArgumentError, "criteria is empty"),
        ({"families": "XXX"}, ArgumentError, "Unknown covariance_type"),
        ({"families": "VEV"}, ArgumentError, "gibbs does not take VEV. No engine draws from all of these; cavi takes"),
        ({"engine": "cavi", "criteria": "evidence"}, ArgumentError, "cavi approximates it. Use engine='gibbs'"),
        ({"families": "VEV", "criteria": "posterior_of_k"}, ArgumentError, "does not take VEV.*Use EII, VII"),
        ({"engine": "em"}, ArgumentError, "em makes none. Use engine='cavi' or"),
        ({"engine": "none"}, ArgumentError, "Unknown engine"),
        ({"num_samples": 10, "num_chains": 2}, ArgumentError, "20 draws, too few"),
        ({"prior": apart}, PriorError, "criterion bic compares modes.*only criteria of draws .loo, "),
        ({"criteria": "lrt", "num_bootstrap": 18}, ArgumentError, "at least num_bootstrap=19"),
        ({"criteria": "lrt", "n_components": [1, 3]}, ArgumentError, "consecutive"),
        ({"criteria": "kfold", "folds": 300}, ArgumentError, "too few to fit"),
        ({"held_out": 1.5}, ArgumentError, "held_out"),
        ({"x": bg.rows(x, weights=np.ones(272)), "criteria": "lrt"}, ArgumentError, "complete rows"),
        ({"x": bg.rows(x, weights=np.ones(272))}, ArgumentError, "criterion loo does not take rows with weights"),
    ):
        with pytest.raises(error, match=words):
            bg.select(**({"x": x} | arguments))


def test_questions_about_what_is_not_there(selection):
    with pytest.raises(ArgumentError, match="criterion must be one of"):
        selection.best("lrt")
    with pytest.raises(ArgumentError, match="5 components were not requested"):
        selection.fit(5)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("data", "family", "size"), mostly_slow([("faithful", "EEE", 3), ("diabetes", "VVV", 3), ("iris", "VEV", 2)], 0)
)
def test_bic_chooses_the_model_of_mclust(reference_data, data, family, size):
    found = bg.select(reference_data[data], range(1, 7), families="all", criteria="bic")
    assert found.best("bic") == Candidate(family, size)


def apart(num, rng, distance):
    """Rows of `num` unit Gaussians on a ring, so many standard deviations between neighbours."""
    turns = np.arange(num) * 2.0 * np.pi / num
    radius = 0.0 if num == 1 else distance / (2.0 * np.sin(np.pi / num))
    centres = radius * np.stack([np.cos(turns), np.sin(turns)], axis=1)
    return rng.normal(size=(272, 2)) + centres[rng.integers(num, size=272)]


@SOME
@pytest.mark.parametrize("num", [2, 1, 3, 4])
def test_all_criteria_find_components_that_are_apart(rng, num):
    found = bg.select(
        apart(num, rng, 9.0), range(1, 6), criteria=("bic", "icl", "soft_icl", "lrt", "loo"), num_bootstrap=39,
        num_warmup=300, num_samples=300,
    )  # fmt: skip
    assert found.agreed == num
    assert [found.best(name).n_components for name in ("bic", "icl", "soft_icl", "lrt")] == [num] * 4
    assert num in found.answers["loo"].possible
    assert min(found.answers["loo"].possible) == num


@pytest.mark.slow
def test_sequence_of_tests_can_stop_early(rng):
    """With equal covariances three components hardly help where there are four, so that 2 against 3 is not rejected.

    This is a property of the sequence, which docs/selecting.md warns of; the words must show the disagreement.
    """
    found = bg.select(apart(4, rng, 9.0), range(1, 6), families="EEE", criteria=("bic", "lrt"), num_bootstrap=39)
    assert found.best("bic").n_components == 4
    assert found.best("lrt").n_components == 2
    assert found.agreed is None
    assert "disagree" in found.conclusion()[0]


@WHOLE
def test_overlapping_components_leave_doubt(rng):
    found = bg.select(apart(3, rng, 2.5), range(1, 6), families="EEE", criteria=("bic", "icl", "loo"), **CHAINS)
    assert len(found.answers["loo"].possible) > 1
    assert "cannot be told" in " ".join(found.conclusion())
