"""Known classes against mclust: its discriminant analysis in fourteen families (EDDA), and its mixture per class."""

import numpy as np
import pandas as pd
import pytest
from oracles import TRUTH
from oracles.effort import SOME

import bayesgmm as bg
from bayesgmm.data.unseen import unseen_words
from bayesgmm.errors import ArgumentError, DataError, SpuriousComponentWarning


def data_of(name):
    frame = bg.load_dataset("iris", labels=True) if name == "iris" else pd.read_csv(TRUTH / "diabetes.csv")
    label = "Species" if name == "iris" else "class"
    return frame.drop(columns=label), frame[label]


@pytest.mark.parametrize("name", ["iris", pytest.param("diabetes", marks=pytest.mark.slow)])
def test_all_classes_known_is_mclusts_discriminant_analysis(truth, name):
    """mclust states the log-likelihood of the rows alone, at the estimates that maximise that of rows and classes
    together, and counts no shares (``equalPro``), although it estimates them. Our BIC is that of what is maximised."""
    theirs = truth("mclust_classes")["data"][name]
    x, names = data_of(name)
    labels = pd.Categorical(names).codes
    table = bg.fit_table(x, 3, labels=labels, tol=1e-10)
    assert len(theirs["edda"]) == 14
    for model, entry in theirs["edda"].items():
        fit = table.fit(model, 3)
        assert fit.n_parameters == entry["parameters"] == entry["df"] + 2
        if model == "VVE":  # the common orientation has local optima, and mclust ends at one
            assert fit.log_likelihood >= entry["joint"]
            continue
        assert fit.log_likelihood == pytest.approx(entry["joint"], rel=1e-6), model
        assert fit.bic() == pytest.approx(-2 * entry["joint"] + entry["parameters"] * np.log(len(x)), rel=1e-6)
        alone = fit.score_samples(x).sum()
        assert alone == pytest.approx(entry["loglik"], rel=1e-6), model
        assert 2 * alone - entry["df"] * np.log(len(x)) == pytest.approx(entry["bic"], rel=1e-6)


@pytest.fixture(scope="module")
def iris():
    x, names = data_of("iris")
    return x, names, bg.fit_classes(x, names, 2, "EEE")


def test_one_mixture_per_class_is_mclusts(truth, iris):
    x, _, found = iris
    theirs = truth("mclust_classes")["data"]["iris"]
    assert list(found.classes) == theirs["levels"]
    entry = next(one for one in theirs["mixtures"] if (one["model"], one["G"]) == ("EEE", 2))
    for name, fit in zip(found.classes, found.fits, strict=True):
        assert fit.log_likelihood >= entry["classes"][name]["loglik"] - 1e-6
    assert found.n_parameters == entry["df"] + 2
    assert found.score_samples(x).sum() >= entry["loglik"] - 1e-5
    joint = sum(fit.log_likelihood + 50 * np.log(1 / 3) for fit in found.fits)
    assert found.log_likelihood == pytest.approx(joint, rel=1e-12)
    assert found.bic() == pytest.approx(-2 * joint + found.n_parameters * np.log(150), rel=1e-12)


@SOME
@pytest.mark.parametrize("name", ["iris", "diabetes"])
def test_mixtures_per_class_reach_mclusts(truth, name):
    x, names = data_of(name)
    theirs = truth("mclust_classes")["data"][name]
    for entry in theirs["mixtures"]:
        found = bg.fit_classes(x, names, entry["G"], entry["model"], n_init=48)
        for label, fit in zip(found.classes, found.fits, strict=True):
            assert fit.log_likelihood >= entry["classes"][label]["loglik"] - 1e-5
        if entry["G"] == 1:
            assert found.score_samples().sum() == pytest.approx(entry["loglik"], rel=1e-9)


def test_probabilities_are_bayes_rule_and_unknown_rows_are_left_out(iris):
    x, names, found = iris
    odds = np.stack([fit.score_samples(x) + np.log(1 / 3) for fit in found.fits], axis=1)
    expected = np.exp(odds - np.logaddexp.reduce(odds, axis=1, keepdims=True))
    np.testing.assert_allclose(found.predict_proba(x), expected, atol=1e-12)
    np.testing.assert_array_equal(found.predict(x), np.array(found.classes)[expected.argmax(axis=1)])
    assert (found.predict() == names).mean() > 0.97
    assert found.confusion().to_numpy().trace() == (found.predict() == names).sum()
    assert found.fit("setosa") is found.fits[0]
    assert "3 classes with a mixture each" in repr(found)
    assert "virginica" in found._repr_html_()
    some = names.where(np.arange(150) % 10 != 0)
    fewer = bg.fit_classes(x, some, 2, "EEE")
    assert fewer.num_unknown == 15
    assert "15 rows of unknown class were not used" in repr(fewer)
    numbers = np.where(some.isna(), -1, pd.Categorical(names).codes)
    assert bg.fit_classes(x, numbers, 2, "EEE").log_likelihood == fewer.log_likelihood
    weighted = bg.fit_classes(x, names, 2, "EEE", weights=some.notna().to_numpy(float))
    assert weighted.log_likelihood == pytest.approx(fewer.log_likelihood, abs=1e-4)


@pytest.mark.parametrize(
    ("labels", "error", "words"),
    [
        (["a"] * 149, ArgumentError, r"labels must have shape \(150,\)"),
        (3, ArgumentError, "labels must have shape"),
        ([-1] * 150, ArgumentError, "no class"),
        (["a"] * 149 + [1], ArgumentError, "not both"),
        ([None] * 149 + ["b"], DataError, "Class b has 1 row"),
        ([1.0, float("inf")] * 75, ArgumentError, "infinite"),
        ([object()] * 150, ArgumentError, "names"),
    ],
)
def test_bad_classes_are_refused(iris, labels, error, words):
    with pytest.raises(error, match=words):
        bg.fit_classes(iris[0], labels, 1, "EEE")


def test_errors_of_a_class_name_it(iris):
    x, names, found = iris
    with pytest.raises(DataError, match=r"Class setosa: .*constant|Class setosa: Constant"):
        bg.fit_classes(x.assign(**{"Sepal.Width": np.where(names == "setosa", 1.0, x["Sepal.Width"])}), names, 1, "EEE")
    with pytest.raises(ArgumentError, match=r"no class 'oak'\. Choose one of setosa"):
        found.fit("oak")


def test_confusion_counts_weights(iris):
    """Two copies of a row are weight 2, in the table of errors and in the summary; weights may be no whole numbers."""
    x, species, _ = iris
    weights = np.where(np.arange(len(x)) % 3 == 0, 2.0, 1.0)
    settings = {"n_components": 2, "families": "EEE"}
    found = bg.fit_classes(x, species, weights=weights, **settings)
    places = np.array([found.classes.index(name) for name in species])
    by_hand = np.zeros((3, 3), int)
    for truth, guess, weight in zip(species, found.predict(), weights, strict=True):
        by_hand[found.classes.index(truth), found.classes.index(guess)] += int(weight)
    np.testing.assert_array_equal(found.confusion().to_numpy(), by_hand)
    assert found.confusion().to_numpy().dtype.kind == "i"
    np.testing.assert_array_equal(found.summary()["rows"], np.bincount(places, weights=weights))
    np.testing.assert_array_equal(found.summary()["errors"], by_hand.sum(axis=1) - np.diagonal(by_hand))
    half = bg.fit_classes(x, species, weights=0.5 * weights, **settings)
    np.testing.assert_allclose(half.confusion().to_numpy(), 0.5 * by_hand)


def test_numbers_of_components_below_the_classes_have_no_fit(iris):
    """Their cells say why, as those of families with singular covariances do; without any other K it is an error."""
    x, species, _ = iris
    labels = np.unique(species, return_inverse=True)[1]
    table = bg.fit_table(x, [1, 2, 3], ["EEE"], labels=labels)
    assert table.frame()["EEE"].isna().tolist() == [True, True, False]
    assert set(table.frame("status")["EEE"][:2]) == {"not as many components as the labels say"}
    notes = " ".join(table.notes())
    assert "No fit: EEE 1 (not as many components as the labels say)" in notes
    assert "bounds the likelihood" not in notes
    with pytest.raises(ArgumentError, match="not as many components"):
        table.fit("EEE", 2)
    with pytest.raises(ArgumentError, match="Use n_components=3"):
        bg.fit_table(x, [1, 2], ["EEE"], labels=labels)
    more = bg.fit_table(x, [3, 4], ["EEE"], labels=labels)
    assert more.frame("status")["EEE"].tolist() == ["converged", "not as many components as the labels say"]
    with pytest.raises(ArgumentError, match="leave no row to component 3"):
        bg.fit_table(x, 4, ["EEE"], labels=labels)


def test_classes_without_a_value_of_a_feature_are_named():
    x = np.random.default_rng(0).normal(size=(60, 2))
    labels = np.arange(60) % 2
    x[labels == 1, 1] = np.nan
    assert unseen_words(bg.rows(x, labels=labels), 2) == "x1 in class 1"
    assert not unseen_words(bg.rows(x, labels=labels), 2, held=(1,))
    assert not unseen_words(bg.rows(x, labels=np.where(np.arange(60) < 2, -1, labels)), 2)  # row 0 may be of class 1
    weights = (np.arange(60) > 2).astype(float)
    unknown = np.where(np.arange(60) < 2, -1, labels)
    assert unseen_words(bg.rows(x, labels=unknown, weights=weights), 2) == "x1 in class 1"


@pytest.mark.slow
def test_a_fit_warns_of_them():
    x = np.random.default_rng(0).normal(size=(60, 2))
    labels = np.arange(60) % 2
    x[labels == 1, 1] = np.nan
    with pytest.warns(SpuriousComponentWarning, match="No value was seen of x1 in class 1.*not estimated by any row"):
        bg.fit_em(x, 2, labels=labels, covariance_type="diag")
    with pytest.warns(SpuriousComponentWarning, match="those of the prior"):
        bg.fit_em(x, 2, labels=labels, covariance_type="diag", prior="default")
    assert "x1 in class 1" in " ".join(bg.fit_table(x, 2, "VVI,EEI", labels=labels).notes())
