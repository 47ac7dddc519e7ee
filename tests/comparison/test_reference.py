"""Further columns and the reference of a comparison; errors against it, with SciPy and textbook figures as oracles."""

import os
import signal

import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from scipy.stats import ks_2samp, norm, wasserstein_distance

import bayesgmm as bg
from bayesgmm.comparison.accuracy import _halves_apart, _ks
from bayesgmm.errors import ArgumentError, DataError, DrawsError, PriorError

SHORT = {"num_warmup": 150, "num_samples": 400, "num_chains": 4}
X = np.random.default_rng(0).normal(size=(8, 2)) + np.repeat([[0.0, 0.0], [3.0, 3.0]], 4, axis=0)
PRIOR = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(1.0, 0.5, 5.0, np.eye(2)))


@pytest.fixture(scope="module")
def sampled(reference_data):
    return bg.sample_gibbs(reference_data["faithful"], 2, seed=5, **SHORT)


def tree_of(posterior, order=(1, 0), observed=True, seconds=None):
    """A DataTree as other software makes it, with the components in another order."""
    params = posterior.params
    coords = {"feature": list(posterior.table.features)}
    dims = ("chain", "draw", "component", "feature")
    group = xr.Dataset(
        {"weights": (dims[:3], params.weights[..., order]), "means": (dims, params.means[:, :, order]),
         "covariances": ((*dims, "feature_bis"), np.asarray(params.covariances)[:, :, order])}, coords,
    )  # fmt: skip
    groups = {"posterior": group if seconds is None else group.assign_attrs(sampling_time=seconds)}
    if observed:
        groups["observed_data"] = xr.Dataset({"y": (("row", "feature"), posterior.table.values)}, coords)
    return xr.DataTree.from_dict(groups)


@pytest.fixture(scope="module")
def comparison(reference_data, sampled):
    also = {"stan": tree_of(sampled, seconds=2.5), "mine": sampled, "point": bg.fit_em(reference_data["faithful"], 2)}
    return bg.compare(
        reference_data["faithful"], 2, engines=("em", "gibbs"), also=also, reference="mine", seed=2, **SHORT
    )


def test_columns_of_the_user_stand_in_the_common_labelling(comparison, sampled):
    assert list(comparison.results) == ["em", "gibbs", "stan", "mine", "point"]
    stan, mine = comparison.results["stan"], comparison.results["mine"]
    np.testing.assert_allclose(stan.params.means, mine.params.means)
    np.testing.assert_array_equal(stan.permutations[0, 0], [1, 0])
    np.testing.assert_allclose(stan.log_likelihood, sampled.log_likelihood, rtol=1e-9)
    np.testing.assert_allclose(stan.log_prior, sampled.log_prior, rtol=1e-9)
    weights = comparison.estimates().loc["weights[0]"].xs("estimate", level=1)
    assert weights.between(0.34, 0.38).all()
    assert comparison.costs().loc["seconds running", "stan"] == 2.5
    assert np.isnan(comparison.costs().loc["seconds compiling", "stan"])
    assert "other software" in comparison.engine_names["stan"]
    notes = " ".join(comparison.notes())
    assert "stan: draws of other software, under a prior that is not known here." in notes
    assert "point: under another prior" in notes  # maximum likelihood
    assert "mine: under" not in notes
    assert "given" in comparison.engine_names["mine"]
    assert any(line.startswith("stan: the chains have mixed") for line in comparison.verdict())
    assert any("em is within" in line and "of mine" in line for line in comparison.verdict())


def test_errors_are_those_of_scipy(comparison, sampled):
    """The first sorted weight by hand; the Gibbs draws against those of the reference."""
    found = comparison.errors()
    assert list(found.table.index) == ["em", "gibbs", "stan", "point"]
    truth, own = (
        np.sort(one.params.weights, axis=-1)[..., 1].ravel() for one in (sampled, comparison.results["gibbs"])
    )
    row = found.by_quantity.loc["gibbs", "sorted_weights[0]"]
    sd = truth.std(ddof=1)
    assert row["error"] == pytest.approx((own.mean() - truth.mean()) / sd)
    assert row["distance"] == pytest.approx(wasserstein_distance(own, truth) / sd)
    assert row["ks"] == pytest.approx(ks_2samp(own, truth, method="asymp").statistic)
    point = found.by_quantity.loc["em", "sorted_weights[0]"]
    best = comparison.results["em"].params.weights.max()
    assert point["distance"] == pytest.approx(np.abs(truth - best).mean() / sd)
    errors = found.by_quantity.loc["gibbs", "error"]
    assert found.table.loc["gibbs", "error"] == pytest.approx(np.sqrt((errors**2).mean()))
    assert found.table.loc["gibbs", "distance"] == pytest.approx(found.by_quantity.loc["gibbs", "distance"].mean())
    # The tree holds the draws of the reference: nothing lies between them.
    assert found.table.loc["stan", "error"] < 1e-9
    assert found.table.loc["stan", "distance"] < 1e-9
    # Two runs of one sampler differ by Monte Carlo error; a point does not, and its distance shows it.
    assert found.table.loc["gibbs", "error"] < 3 * found.table.loc["gibbs", "monte carlo"]
    assert found.table.loc["em", "distance"] > 0.5
    assert "log_likelihood" not in found.by_quantity.loc["em"].index
    assert "given" in found.notes[0]


def test_a_wrong_posterior_is_seen(comparison, reference_data, sampled):
    """Negative control: draws under another prior lie beyond Monte Carlo error."""
    prior = bg.Prior(bg.Dirichlet(50.0), bg.default_prior(reference_data["faithful"], 2).components)
    other = bg.sample_gibbs(reference_data["faithful"], 2, prior=prior, seed=5, **SHORT)
    with pytest.raises(PriorError, match="another prior"):
        bg.compare(reference_data["faithful"], 2, engines="em", reference=other)
    beside = bg.compare(reference_data["faithful"], 2, engines="em", also={"other": other}, reference=sampled)
    assert "other: under another prior than the engines." in beside.notes()
    found = beside.errors()
    assert found.table.loc["other", "error"] > 5 * found.table.loc["other", "monte carlo"]
    assert found.by_quantity.loc["other", "ks"].max() > 0.3


def test_the_error_falls_with_the_draws(comparison):
    curve = comparison.errors().by_draws
    gibbs = curve[curve["engine"] == "gibbs"]
    assert list(gibbs["draws"]) == [16, 32, 64, 128, 256, 512, 1024, 1600]
    assert gibbs["distance"].iloc[0] > 3 * gibbs["distance"].iloc[-1]
    assert gibbs["error"].iloc[-1] == pytest.approx(comparison.errors().table.loc["gibbs", "error"])
    seconds = comparison.results["gibbs"].clock.run_seconds
    np.testing.assert_allclose(gibbs["seconds"], seconds * (150 + gibbs["draws"] / 4) / 550)
    assert set(curve["engine"]) == {"gibbs", "stan"}


def test_distances_of_textbook_distributions(rng):
    """Normal draws: the distance of halves predicts that of all from their law, sd × 1.13 / √n × √(2/π)-like."""
    draws = norm.ppf((np.arange(4000) + 0.5) / 4000)
    assert _ks(draws + 1.0, draws) == pytest.approx(2 * norm.cdf(0.5) - 1, abs=1e-3)
    assert _ks(np.zeros(1), draws) == pytest.approx(0.5, abs=1e-3)
    samples = rng.normal(size=(200, 4, 250))
    own = [wasserstein_distance(one.ravel(), draws) for one in samples]
    assert np.mean([_halves_apart(one) for one in samples]) == pytest.approx(np.mean(own), rel=0.1)
    assert _halves_apart(np.arange(7.0)[None]) > 0


def test_the_exact_engine_is_the_truth_of_few_rows():
    found = bg.compare(X, 2, prior=PRIOR, engines=("em", "exact", "gibbs"), reference="exact", num_samples=1000)
    assert found.reference == "exact"
    errors = found.errors()
    assert list(errors.table.index) == ["em", "gibbs"]
    assert errors.table.loc["gibbs", "error"] < 3 * errors.table.loc["gibbs", "monte carlo"]
    assert errors.floor["error"] == pytest.approx(1 / np.sqrt(4000), rel=0.2)  # independent draws
    beside = bg.compare(X, 2, prior=PRIOR, engines="em", reference="exact", num_samples=100)
    assert beside.results["reference"].num_samples == 1000
    assert "enumeration" in beside.engine_names["reference"]


def test_too_many_labellings_are_refused_before_any_engine(reference_data):
    for arguments in ({"engines": ("em", "exact")}, {"engines": "em", "reference": "exact"}):
        with pytest.raises(ArgumentError, match=r"2\^272 = 1e82"):
            bg.compare(reference_data["faithful"], 2, **arguments, progress_bar=lambda *_: pytest.fail("it ran"))


def test_a_long_tempered_run_is_the_reference():
    labels = []
    found = bg.compare(
        X, 2, prior=PRIOR, engines="em", reference="gibbs", num_samples=50, num_warmup=20,
        progress_bar=lambda label, *_: labels.append(label),
    )  # fmt: skip
    reference = found.results["reference"]
    assert (reference.num_samples, reference.settings["tempering"]) == (500, 12)
    assert "12 replicas" in found.engine_names["reference"]
    assert set(labels) == {"em", "reference"}


def test_ctrl_c_before_the_reference_keeps_the_engines():
    def listener(label, done, total, note):
        if label == "em" and not pressed:
            pressed.append(label)
            os.kill(os.getpid(), signal.SIGINT)

    pressed = []
    found = bg.compare(X, 2, prior=PRIOR, engines="em", reference="gibbs", num_samples=50, progress_bar=listener)
    assert list(found.results) == ["em"]
    assert "stopped before" in found.failures["reference"]
    assert "errors" not in found.plot()
    with pytest.raises(ArgumentError, match="has no draws"):
        found.errors()


@pytest.fixture(scope="module")
def tree(sampled):
    return tree_of(sampled)


def other_data(tree):
    moved = tree.copy(deep=True)
    moved["observed_data"]["y"][3, 1] += 0.5
    return moved


def renamed(tree):
    groups = {"posterior": tree["posterior"].to_dataset(), "observed_data": tree["observed_data"].to_dataset()}
    return xr.DataTree.from_dict({name: one.assign_coords(feature=["a", "b"]) for name, one in groups.items()})


def one_component(tree):
    group = tree["posterior"].to_dataset().isel(component=[0])
    return group.assign(weights=group["weights"] * 0 + 1.0)


WRONG = {
    "other data": (other_data, DataError, "in row 3, waiting is"),
    "other features": (renamed, DataError, "features a, b"),
    "fewer rows": (lambda t: t.isel(row=slice(9), missing_dims="ignore"), DataError, "about 9 rows"),
    "another K": (one_component, ArgumentError, "has 1 components"),
    "no means": (lambda t: xr.DataTree.from_dict({"posterior": t["posterior"].to_dataset()[["weights"]]}), DrawsError,
                 "must hold weights, means"),
    "no draws": (lambda t: 7, DrawsError, "Draws must be"),
    "unknown keys": (lambda t: (t, {"name": {}}), ArgumentError, "has the key 'name'"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_results_that_do_not_belong_here_are_refused_before_the_run(reference_data, tree, case):
    make, error, words = WRONG[case]
    for what in ({"also": {"stan": make(tree)}}, {"reference": make(tree)}):
        with pytest.raises(error, match=words) as raised:
            bg.compare(
                reference_data["faithful"], 2, engines="em", **what, progress_bar=lambda *_: pytest.fail("it ran")
            )
        assert str(raised.value).startswith("also['stan']" if "also" in what else "reference")


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"also": {"gibbs": 1}}, ArgumentError, "which an engine or a file has"),
        ({"also": {"a/b": 1}}, ArgumentError, "a column and a file"),
        ({"reference": "em"}, ArgumentError, "does not draw from the posterior of this K itself"),
        ({"reference": "laplace"}, ArgumentError, "Use exact, gibbs, nuts"),
        ({"reference": "stan"}, ArgumentError, "must be draws, or one of exact, gibbs, nuts"),
        ({"reference": "gibbs", "prior": None}, PriorError, "proper prior"),
    ],
)
def test_wrong_arguments(reference_data, arguments, error, words):
    with pytest.raises(error, match=words):
        bg.compare(reference_data["faithful"], 2, engines="em", **arguments)


def test_names_and_columns_of_other_software(reference_data, sampled):
    """Other names, no data, and features in another order; and a family that the draws do not keep."""
    group = tree_of(sampled, observed=False)["posterior"].to_dataset()
    swapped = group.isel(feature=[1, 0], feature_bis=[1, 0]).rename({"means": "mu"})
    found = bg.compare(
        reference_data["faithful"], 2, engines="em", also={"pymc": (swapped, {"names": {"means": "mu"}})}
    )
    np.testing.assert_allclose(found.results["pymc"].params.means, sampled.params.means)
    np.testing.assert_allclose(found.results["pymc"].params.covariances, sampled.params.covariances, rtol=1e-10)
    with pytest.raises(ArgumentError, match="covariances outside"):
        bg.compare(reference_data["faithful"], 2, engines="em", covariance_type="diag", also={"stan": group})


def test_without_a_reference_there_are_no_errors(reference_data):
    found = bg.compare(reference_data["faithful"], 2, engines="em")
    with pytest.raises(ArgumentError, match="no reference"):
        found.errors()


def test_report_picture_and_files(comparison, tmp_path, monkeypatch):
    assert "errors" in comparison.plot()
    plt.close("all")
    monkeypatch.setattr(type(comparison), "diagnose", lambda self: {})
    figures = {"errors": bg.plots.plot_errors(comparison)[0, 0].figure}
    monkeypatch.setattr(type(comparison), "plot", lambda self: dict(figures))
    html = comparison.to_html(tmp_path / "report.html").read_text()
    assert "Errors against the reference" in html
    assert comparison.errors().notes[1] in html
    comparison.save(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"stan.nc", "mine.nc", "point.nc", "errors.csv", "errors_by_quantity.csv"} <= names
    assert "Wasserstein" in repr(comparison.errors())
    axes = bg.plots.plot_errors(comparison)
    assert axes.shape == (1, 2)
    assert axes[0, 0].get_xscale() == axes[0, 0].get_yscale() == "log"
    shown = [text.get_text() for text in axes[0, 1].get_legend().get_texts()]
    assert shown[:4] == ["em", "gibbs", "stan", "point"]
