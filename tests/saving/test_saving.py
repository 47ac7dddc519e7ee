"""Every result comes back from its file with the same bits, and does what the original does."""

import dataclasses
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fuzz import objects
from fuzz.objects import X2, Z
from oracles.effort import WHOLE

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError, SaveWarning
from bayesgmm.problem import prepare
from bayesgmm.runtime.dtypes import scope
from bayesgmm.saving.reading import Reader
from bayesgmm.saving.records import Writer

KINDS = {
    "fit": objects.fit, "gibbs": objects.gibbs, "nuts": objects.nuts, "cavi": objects.cavi, "svi": objects.svi,
    "laplace": objects.laplace, "exact": objects.exact, "comparison": objects.comparison, "table": objects.table,
    "by_class": objects.by_class, "study": objects.study, "mixture": lambda: objects.gibbs().mixture,
    "partition": objects.part, "relabelling": objects.relabelling,
    "evidence": objects.found_evidence, "selection": objects.selection, "merging": objects.merging,
    "clusters": lambda: objects.telescoped().at(),
}  # fmt: skip
SUFFIXES = (".nc", ".zarr")
OTHER_ROWS = X2[::7] + 0.1


def record(value):
    """The whole of a result as JSON and bytes."""
    writer = Writer()
    return writer.record(value, "it"), {name: array.tobytes() for name, array in writer.arrays.items()}


def assert_same(one, two):
    """The same class, every number to the last bit, the same text."""
    assert type(one) is type(two)
    (first, arrays), (second, others) = record(one), record(two)
    assert first == second
    assert arrays == others
    assert repr(one) == repr(two)


def there_and_back(value, folder, suffix=".nc", **data):
    return bg.load(bg.save(value, Path(folder) / f"it{suffix}"), **data)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_comes_back_bit_for_bit(kind, suffix, tmp_path):
    original = KINDS[kind]()
    found = there_and_back(original, tmp_path, suffix)
    assert_same(original, found)
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"it{suffix}"]  # no temporary files stay


def test_the_comparison_of_records_sees_a_single_bit(tmp_path):
    """Negative control of `assert_same`."""
    fit = objects.fit()
    changed = np.array(fit.params.means)
    changed[0, 0] = np.nextafter(changed[0, 0], np.inf)
    other = dataclasses.replace(fit, params=fit.params._replace(means=changed))
    with pytest.raises(AssertionError):
        assert_same(fit, there_and_back(other, tmp_path))


def assert_same_trees(one, two):
    assert [node.path for node in one.subtree] == [node.path for node in two.subtree]
    for node in one.subtree:
        xr.testing.assert_equal(node.to_dataset(inherit=False), two[node.path].to_dataset(inherit=False))


def test_a_fit_does_what_the_original_does(tmp_path):
    fit = objects.fit()
    found = there_and_back(fit, tmp_path)
    np.testing.assert_array_equal(found.predict(), fit.predict())
    np.testing.assert_array_equal(found.score_samples(OTHER_ROWS), fit.score_samples(OTHER_ROWS))
    for method, more in (("sandwich", {}), ("bootstrap", {"num_replicates": 20})):
        one, two = (it.intervals(method, 0.8, **more).table for it in (fit, found))
        pd.testing.assert_frame_equal(one, two)
    assert_same_trees(fit.datatree, found.datatree)
    assert (found.bic(), found.icl()) == (fit.bic(), fit.icl())
    pd.testing.assert_frame_equal(found.basin_table(), fit.basin_table())


@pytest.mark.parametrize("kind", ["gibbs", "nuts"])
def test_loaded_chains_go_on_as_the_original_would(kind, tmp_path):
    original = KINDS[kind]()
    found = there_and_back(there_and_back(original, tmp_path), tmp_path, ".zarr")
    one, two = (it.extend(20, progress_bar=False) for it in (original, found))
    np.testing.assert_array_equal(one.log_likelihood, two.log_likelihood)
    for part, other in zip(one.params, two.params, strict=True):
        np.testing.assert_array_equal(part, other)
    assert one.num_samples == original.num_samples + 20
    # A saved extension goes on too.
    again = there_and_back(two, tmp_path).extend(5, progress_bar=False)
    np.testing.assert_array_equal(again.log_prior, one.extend(5, progress_bar=False).log_prior)


@pytest.mark.parametrize("settings", [{"tempering": 2}, pytest.param({"likelihood": "labels"}, marks=pytest.mark.slow)])
def test_chains_of_other_states_go_on(settings, tmp_path):
    sample = bg.sample_gibbs if "tempering" in settings else bg.sample_nuts
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        original = sample(X2[::4], 2, num_warmup=4, num_samples=5, num_chains=2, progress_bar=False, **settings)
        found = there_and_back(original, tmp_path)
        one, two = (it.extend(6, progress_bar=False) for it in (original, found))
    np.testing.assert_array_equal(one.params.means, two.params.means)


def test_a_posterior_is_used_as_the_original(tmp_path):
    original = objects.gibbs()
    found = there_and_back(original, tmp_path)
    assert_same_trees(original.datatree, found.datatree)
    np.testing.assert_array_equal(found.predict_proba(OTHER_ROWS), original.predict_proba(OTHER_ROWS))
    np.testing.assert_array_equal(bg.relabel(found).permutations, bg.relabel(original).permutations)
    assert repr(bg.diagnose(found, search=False)) == repr(bg.diagnose(original, search=False))
    pd.testing.assert_frame_equal(found.summary(), original.summary())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert repr(bg.check(found, progress_bar=False)) == repr(bg.check(original, progress_bar=False))
        assert bg.loo(found, progress_bar=False).elpd == bg.loo(original, progress_bar=False).elpd
    assert found.params.means.dtype == np.float64
    assert found.mixture.mean == pytest.approx(original.mixture.mean, abs=0)


def test_a_loaded_mixture_classifies_as_the_posterior(tmp_path):
    for original in (objects.fit(), objects.gibbs()):
        found = there_and_back(original.mixture, tmp_path)
        np.testing.assert_allclose(found.predict_proba(OTHER_ROWS), original.predict_proba(OTHER_ROWS), atol=1e-12)
        np.testing.assert_array_equal(found.predict(OTHER_ROWS), original.predict(OTHER_ROWS))
    tight = there_and_back(bg.from_parameters([0.5, 0.5], X2[:2], [1e-40 * np.eye(2)] * 2), tmp_path)
    with pytest.raises(DataError, match="Row 1 is so far"):
        tight.predict([[0.0, 0.0], [1e140, 0.0]])


def test_parts_of_a_comparison_stay_shared(tmp_path):
    found = there_and_back(objects.comparison(), tmp_path)
    assert found.results["gibbs"].table is found.table
    pd.testing.assert_frame_equal(found.summary(), objects.comparison().summary())
    pd.testing.assert_frame_equal(found.errors().table, objects.comparison().errors().table)


def test_held_out_scores_and_columns_of_the_user_are_kept(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        compared = bg.compare(X2, 2, engines=("em",), n_init=2, also={"mine.own": objects.TREE}, num_samples=60)
        compared.held_out(2, progress_bar=False)
    found = there_and_back(compared, tmp_path)
    assert_same(compared, found)
    pd.testing.assert_frame_equal(found.scores.table, compared.scores.table)
    pd.testing.assert_frame_equal(found.scores.by_row, compared.scores.by_row, check_index_type=False)


def test_relabelled_draws_of_other_software_are_kept(tmp_path):
    relabelled = bg.relabel(objects.TREE)
    for suffix in SUFFIXES:
        found = there_and_back(relabelled, tmp_path, suffix)
        assert_same(relabelled, found)
        assert_same_trees(relabelled.datatree, found.datatree)
    bare = bg.load(bg.save(relabelled, tmp_path / "bare.nc", data=False))
    assert "observed_data" not in bare.datatree.children


def test_classes_predict_as_before(tmp_path):
    found = there_and_back(objects.by_class(), tmp_path)
    np.testing.assert_array_equal(found.predict(OTHER_ROWS), objects.by_class().predict(OTHER_ROWS))
    pd.testing.assert_frame_equal(found.confusion(), objects.by_class().confusion())


# --- Models ---

GAPPED = X2.copy()
GAPPED[::9, 1] = -np.nan  # its sign bit must stay
KNOWN = {
    "diag": (X2, {"covariance_type": "diag"}),
    "tied": (X2, {"covariance_type": "tied"}),
    "one feature": (X2[:, :1], {}),
    "names": (pd.DataFrame(X2, columns=["a/b", "../ü"]), {}),
    "gaps": (GAPPED, {}),
    "weights": (X2, {"weights": np.linspace(0.5, 2.0, 40)}),
    "errors": (X2, {"errors": np.full(X2.shape, 0.1)}),
    "labels": (X2, {"labels": np.where(np.arange(40) % 3 == 0, Z, -1)}),
    "fixed": (X2, {"fixed": {"means": {0: [0.0, 0.0]}}}),
    "noise": (X2, {"noise": np.arange(40) < 2}),
}  # fmt: skip


def fit_of(x, prior="default", covariance_type="full", fixed=None, **known):
    """A fit with the parameters of another one and this model, so that nothing new is compiled."""
    fit = objects.fit()
    with scope("float64"):
        model = prepare(bg.rows(x, **known), 2, prior, "float64", covariance_type, fixed).model
    dim, more = model.table.dim, model.num_components - 2
    own = [fit.params.weights, fit.params.means[:, :dim], fit.params.scale_trils[:, :dim, :dim]]
    whole = [np.concatenate([part, *[part[-1:]] * more]) for part in own]
    whole[0] = whole[0] / whole[0].sum()
    return dataclasses.replace(fit, model=model, params=bg.Params(*whole))


@pytest.mark.parametrize("known", KNOWN)
def test_models_come_back(known, tmp_path):
    x, arguments = KNOWN[known]
    fit = fit_of(x, **arguments)
    found = there_and_back(fit, tmp_path)
    assert_same(fit, found)
    assert found.table.values.tobytes() == fit.table.values.tobytes()
    assert found.model.numbering == fit.model.numbering
    assert_same_prior(fit.model.family_prior, found.model.family_prior)
    bare = bg.load(bg.save(fit, tmp_path / "bare.nc", data=False))
    assert repr(bare) == repr(fit)
    assert bare.model.numbering == fit.model.numbering
    rows = bg.rows(x, **{name: value for name, value in arguments.items() if name in ("weights", "errors", "labels")})
    again = bg.load(tmp_path / "bare.nc", data=rows)
    if known == "noise":  # which rows were noise at first is not kept without rows
        assert again.table.noise.guess is None
        np.testing.assert_array_equal(again.predict(), fit.predict())
    else:
        assert_same(again, fit)


@pytest.mark.parametrize("prior", objects.OTHERS, ids=lambda prior: type(prior.components).__name__)
def test_priors_come_back_as_json(prior):
    writer = Writer()
    found = Reader({}).result(writer.record(prior, "prior"))
    assert writer.arrays == {}  # small: all of it stands in the manifest
    assert_same_prior(prior, found)


def test_other_priors_come_back_as_json():
    scales = bg.Prior(
        bg.Dirichlet(0.3), bg.NormalTimesLKJ([1 / 3, 0.1], [[2.0, 0.1], [0.1, 1.0]], 2.0, bg.LogNormal(0.1, 1.5))
    )
    assert_same_prior(scales, Reader({}).result(Writer().record(scales, "prior")))


def assert_same_prior(one, two):
    import jax

    assert jax.tree.structure(one) == jax.tree.structure(two)
    for leaf, other in zip(jax.tree.leaves(one), jax.tree.leaves(two), strict=True):
        assert np.asarray(leaf).tobytes() == np.asarray(other).tobytes()
    assert repr(one) == repr(two) or not isinstance(one.components, tuple)


def test_a_prior_that_the_user_gave_is_that_of_the_loaded_model(tmp_path):
    prior = objects.OTHERS[2]
    fit = fit_of(X2, prior=prior)
    found = there_and_back(fit, tmp_path)
    assert_same_prior(fit.model.family_prior, found.model.family_prior)
    assert found.model.prior_constant == fit.model.prior_constant


@pytest.mark.parametrize("seed", [3, np.int64(3), 2**70, np.random.SeedSequence(5, spawn_key=(1,)), "key", "words"])
def test_seeds_come_back(seed, tmp_path):
    import jax.random as jr

    seed = {"key": lambda: jr.key(4), "words": lambda: jr.PRNGKey(4)}.get(seed, lambda: seed)() if isinstance(
        seed, str
    ) else seed  # fmt: skip
    fit = dataclasses.replace(objects.fit(), seed=seed)
    found = there_and_back(fit, tmp_path)
    np.testing.assert_array_equal(found.sample(5, found.seed)[1], fit.sample(5, seed)[1])


def test_settings_that_cannot_be_kept_leave_a_note(tmp_path):
    fit = dataclasses.replace(objects.fit(), settings={"dtype": "float64", "means_init": object(), "guide": lambda: 0})
    found = there_and_back(fit, tmp_path)
    assert "object" in found.settings["means_init"].what
    assert "lambda" in found.settings["guide"].what


def test_chains_that_cannot_be_saved_say_so(tmp_path):
    posterior = dataclasses.replace(objects.gibbs(), continuation=lambda *_: None)
    with pytest.warns(SaveWarning, match="cannot be extended"):
        found = there_and_back(posterior, tmp_path)
    found = there_and_back(found, tmp_path)
    assert "r_hat" in found.summary().columns  # it still comes from chains
    with pytest.raises(ArgumentError, match="cannot be extended: the state of a chain of gibbs"):
        found.extend(5)


# --- Rows left out ---


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in ("study", "mixture", "evidence")])
@pytest.mark.parametrize("suffix", [".nc", pytest.param(".zarr", marks=WHOLE)])
def test_results_without_rows_print_and_take_them_back(kind, suffix, tmp_path):
    original = KINDS[kind]()
    place = bg.save(original, tmp_path / f"bare{suffix}", data=False)
    bare = bg.load(place)
    if kind not in ("by_class", "partition"):  # their tables are about the rows
        assert repr(bare) == repr(original)
    assert repr(bare)
    if hasattr(bare, "predict"):
        np.testing.assert_array_equal(bare.predict(OTHER_ROWS), original.predict(OTHER_ROWS))
    x = X2[:6] if kind == "exact" else X2
    assert_same(bg.load(place, data=x), original)
    twice = bg.load(there_and_back(bare, tmp_path) and bg.save(bare, tmp_path / f"twice{suffix}"))
    assert repr(twice) == repr(bare)
    stored = b"".join(path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and "bare" in str(path))
    assert str(X2[3, 0])[:12].encode() not in stored


@pytest.mark.parametrize("kind", ["fit", "gibbs"])
def test_what_needs_rows_says_so(kind, tmp_path):
    bare = bg.load(bg.save(KINDS[kind](), tmp_path / "bare.nc", data=False))
    for needs in (bare.predict, bare.to_datatree, lambda: bare.table.values, lambda: bare.table.labels):
        with pytest.raises(DataError, match=r"saved without its rows.*load\(path, data=x\)"):
            needs()
    with pytest.raises(DataError, match="saved without its rows"):
        bare.intervals("sandwich") if kind == "fit" else bare.extend(5, progress_bar=False)
    for wrong in (X2[::-1], X2[:-1], bg.rows(X2, weights=np.full(40, 2.0))):
        with pytest.raises(DataError, match="not the rows of the saved result"):
            bg.load(tmp_path / "bare.nc", data=wrong)
    with pytest.raises(DataError, match="2 features"):
        bg.load(tmp_path / "bare.nc", data=X2[:, :1])


def test_rows_for_a_result_that_has_them_are_refused(tmp_path):
    place = bg.save(objects.fit(), tmp_path / "fit.nc")
    with pytest.raises(ArgumentError, match="lacks no rows"):
        bg.load(place, data=X2)


# --- Arguments and overwriting ---


@pytest.mark.parametrize(
    "other", [3, X2, objects.P2, objects.PRIOR, "fit", None, objects.TREE, objects.walked, bg.Params]
)
def test_other_things_are_refused_with_a_list_of_what_can_be_saved(other, tmp_path):
    with pytest.raises(ArgumentError, match=r"cannot be saved\. These can: MixtureFit, Posterior"):
        bg.save(other, tmp_path / "it.nc")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["fit", "fit.pkl", "fit.h5", "fit.NC", ".nc"])
def test_other_suffixes_are_refused(name, tmp_path):
    for call in (lambda: bg.save(objects.fit(), tmp_path / name), lambda: bg.load(tmp_path / name)):
        with pytest.raises(ArgumentError, match=r"must end in \.nc .* or \.zarr"):
            call()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_earlier_result_is_replaced(suffix, tmp_path):
    place = bg.save(objects.gibbs(), tmp_path / "new" / f"it{suffix}")
    assert bg.save(objects.fit(), place) == place
    assert_same(bg.load(place), objects.fit())
    assert [path.name for path in place.parent.iterdir()] == [place.name]


def test_folders_with_something_else_are_not_replaced(tmp_path):
    place = tmp_path / "mine.zarr"
    place.mkdir()
    (place / "thesis.txt").write_text("years")
    with pytest.raises(ArgumentError, match="is there already and is no saved result"):
        bg.save(objects.fit(), place)
    assert (place / "thesis.txt").read_text() == "years"
    (tmp_path / "taken.nc").mkdir()
    with pytest.raises(ArgumentError, match="could not be written"):
        bg.save(objects.fit(), tmp_path / "taken.nc")


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_failure_leaves_the_earlier_result(suffix, tmp_path, monkeypatch):
    import os

    place = bg.save(objects.fit(), tmp_path / f"it{suffix}")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ArgumentError, match="No space left"):
        bg.save(objects.gibbs(), place)
    monkeypatch.undo()
    assert_same(bg.load(place), objects.fit())
    assert [path.name for path in tmp_path.iterdir()] == [place.name]


def test_xarray_reads_the_arrays_too(tmp_path):
    """The files are plain NetCDF and Zarr, so that other software can read them."""
    for suffix, engine in ((".nc", "h5netcdf"), (".zarr", "zarr")):
        place = bg.save(objects.gibbs(), tmp_path / f"it{suffix}")
        more = {} if engine == "h5netcdf" else {"consolidated": False}
        with xr.open_datatree(place, engine=engine, **more) as tree:
            found = tree["posterior/params/means"].values
            assert "bayesgmm" in tree.attrs
        np.testing.assert_array_equal(found, objects.gibbs().params.means)


def test_files_of_the_first_format_stay_readable():
    """`format_1.nc` was written when the format was new. What changes the format needs a new number, and still reads it."""
    found = bg.load(Path(__file__).parent / "format_1.nc")
    assert (found.algorithm, found.seed, found.params.means.shape) == ("gibbs", 3, (2, 6, 2, 2))
    logs = [found.mixture.__class__(bg.Params(*(part[c, d] for part in found.params)), ("x0", "x1")).score_samples(X2[::4])
            for c in range(2) for d in range(6)]  # fmt: skip
    np.testing.assert_allclose(np.sum(logs, axis=1), found.log_likelihood.ravel(), rtol=1e-10)
    assert found.extend(2, progress_bar=False).num_samples == 8
