"""Draws of other software are read rightly or refused, whether in arrays, trees or files."""

import inspect
import os
import re
import shlex

import arviz as az
import h5py
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oracles.draws import made
from typer.testing import CliRunner

import bayesgmm as bg
import bayesgmm.relabelling.methods as rl
from bayesgmm.cli import app
from bayesgmm.errors import ArgumentError, DataError, DrawsError
from bayesgmm.results import draws as module
from bayesgmm.results.draws_file import read_tree
from bayesgmm.runtime.files import tree_forms

as_draws = inspect.unwrap(module.as_draws)  # without the tests' type checker
NAMES = {"weights": "w", "means": "mu", "covariances": "Sigma"}


@pytest.fixture
def draws(rng):
    variables, x = made(rng, 6.0)
    return {"w": variables["weights"], "mu": variables["means"], "Sigma": variables["covariances"]}, x


def tree_of(variables, x, **more):
    return az.from_dict({"posterior": variables, "observed_data": {"x": x}, **more})


@pytest.mark.parametrize("component_dim", ["component", "mu_dim_0", "Sigma_dim_0"])
def test_trees_with_arvizs_default_dimensions_are_read(draws, component_dim):
    variables, x = draws
    tree = tree_of(variables | {"beta": np.zeros((2, 50, 7)), "z": np.zeros((2, 50, len(x)), int)}, x)
    before = tree.copy(deep=True)
    found = rl.pra(tree, component_dim=component_dim, names=NAMES)
    plain = rl.pra(variables, names=NAMES, x=x)
    np.testing.assert_array_equal(found.permutations, plain.permutations)
    assert set(found.variables) == set(NAMES.values())  # beta and z have other dimensions, not of components
    relabelled = found.datatree["posterior"]
    for name in NAMES.values():
        assert relabelled[name].dims[2] == component_dim
        np.testing.assert_array_equal(relabelled[name].values, plain.variables[name])
    xr.testing.assert_identical(before["posterior"].to_dataset(), tree["posterior"].to_dataset())


def test_components_along_dimensions_of_other_sizes_are_refused(draws):
    variables, x = draws
    with pytest.raises(DrawsError, match="mu has 3 components along mu_dim_0, but component has size 2"):
        as_draws(tree_of(variables | {"w": variables["w"][..., :2]}, x), names=NAMES)


def changed(variables, name, change):
    values = np.array(variables[name], float)
    change(values)
    return variables | {name: values}


def asymmetric(v):
    v[1, 7, 0, 0, 1] += 0.2


def negative(v):
    v[0, 3, 1] *= -1.0


def weights(v):
    v[0, 0] = (5.0, -3.0, -1.0)


def upper(v):
    v[..., 0, 1] = 0.5


def nan(v):
    v[1, 2, 0] = np.nan


BAD = {
    # what is wrong: the draws, arguments, words of the message
    "weights": (lambda v, x: (changed(v, "w", weights), {"x": x}), "w must be at least 0 and sum to 1"),
    "weights without covariances": (
        lambda v, x: ({"w": changed(v, "w", weights)["w"], "mu": v["mu"]}, {"names": {"weights": "w", "means": "mu"}}),
        "w must be at least 0 and sum to 1",
    ),
    "NaN": (lambda v, x: (changed(v, "mu", nan), {"x": x}), "mu is not finite in 1 of 100 draws, first in chain 1"),
    "masked": (lambda v, x: (v | {"mu": np.ma.masked_greater(v["mu"], 12.0)}, {"x": x}), "mu is not finite"),
    "asymmetric": (lambda v, x: (changed(v, "Sigma", asymmetric), {"x": x}), "Sigma has a matrix that is not symmetric"),
    "not positive definite": (lambda v, x: (changed(v, "Sigma", negative), {"x": x}), "not positive definite"),
    "other data": (lambda v, x: (v, {"x": x[:, :1]}), "data have 1 features .*, the draws 2"),
    "misspelt key": (lambda v, x: (v, {"names": {"weight": "w", "means": "mu"}}), "Did you mean weights"),
    "unknown key": (lambda v, x: (v, {"names": {"q": "w"}}), "names has the key q. The keys are weights"),
    "names no mapping": (lambda v, x: (v, {"names": ["w"]}), "names must map"),
    "two forms": (lambda v, x: (v, {"names": {"sds": "w", "variances": "mu"}}), "names must have one of"),
    "nothing": (lambda v, x: ({}, {"names": {}}), "draws are empty"),
    "no chains": (lambda v, x: ({k: a[:0] for k, a in v.items()}, {}), r"w has shape \(0, 50, 3\), so it is empty"),
    "no draws": (lambda v, x: ({k: a[:, :0] for k, a in v.items()}, {}), "so it is empty"),
    "text": (lambda v, x: (v | {"mu": v["mu"].astype(str)}, {}), "mu has values of type <U"),
    "complex": (lambda v, x: (v | {"mu": v["mu"] + 1j}, {}), "mu has values of type complex128"),
    "objects": (lambda v, x: (v | {"mu": v["mu"].astype(object)}, {}), "mu has values of type object"),
    "masked labels": (
        lambda v, x: (v, {"labels": np.ma.masked_equal(np.arange(4000).reshape(2, 50, 40) % 3, 0)}), "are masked"
    ),
    "negative probabilities": (
        lambda v, x: (v, {"x": x, "probabilities": np.broadcast_to([1.5, -0.5, 0.0], (2, 50, 40, 3))}), "at least 0"
    ),
    "text probabilities": (lambda v, x: (v, {"x": x, "probabilities": np.full((2, 50, 40, 3), "a")}), "must be numbers"),
    "ragged labels": (lambda v, x: (v, {"x": x, "labels": [[[0, 1]], [[0]]]}), "differ in length"),
}  # fmt: skip


@pytest.mark.parametrize("kind", BAD)
def test_draws_that_are_none_of_a_mixture_are_refused(draws, kind):
    build, words = BAD[kind]
    source, arguments = build(*draws)
    with pytest.raises(DrawsError, match=words):
        as_draws(source, **({"names": NAMES} | arguments))


@pytest.mark.parametrize("change", [upper, negative, lambda v: v.__imul__(0.0)], ids=["upper", "negative", "zero"])
def test_scale_trils_must_be_cholesky_factors(draws, change):
    variables, x = draws
    trils = {"weights": variables["w"], "means": variables["mu"], "scale_trils": np.linalg.cholesky(variables["Sigma"])}
    params = as_draws(trils, x=x).params
    np.testing.assert_allclose(params.covariances, variables["Sigma"], rtol=1e-12)
    with pytest.raises(DrawsError, match="scale_trils has a matrix that is no Cholesky factor"):
        as_draws(changed(trils, "scale_trils", change), x=x)


def test_rounding_to_single_precision_is_no_asymmetry(draws, rng):
    variables, x = draws
    noise = 1.0 + 1e-7 * rng.normal(size=variables["Sigma"].shape)
    assert as_draws(variables | {"Sigma": variables["Sigma"] * noise}, names=NAMES, x=x).params is not None


def with_stats(draws, lp):
    variables, x = draws
    tree = tree_of(variables, x)
    tree["sample_stats"] = xr.DataTree(xr.Dataset({"lp": lp}))
    return tree


def test_trees_that_contradict_themselves_are_refused(draws):
    variables, x = draws
    dims, lp = ["chain", "draw"], np.zeros((2, 50))
    assert as_draws(with_stats(draws, (dims[::-1], lp.T)), names=NAMES).recorded.shape == (2, 50)
    for bad, words in [
        ((dims, np.where(np.eye(2, 50) > 0, np.nan, lp)), "lp in sample_stats is not finite in 2 of 100"),
        ((dims, lp[:, :10]), "for each of 2 chains and 50 draws"),
        ((["draw"], lp[0]), "for each of 2 chains"),
        ((dims, lp.astype(str)), "for each of 2 chains"),
    ]:
        with pytest.raises(DrawsError, match=words):
            as_draws(with_stats(draws, bad), names=NAMES)
    tree = tree_of(variables, x)
    for dim in ("chain", "draw"):
        with pytest.raises(DrawsError, match="component_dim must name"):
            as_draws(tree, names=NAMES, component_dim=dim)
    with pytest.raises(DrawsError, match="The data have 30 rows, but the group observed_data of the draws has 40"):
        as_draws(tree, names=NAMES, x=x[:30])
    with pytest.raises(DrawsError, match="mu has values of type <U"):
        as_draws(tree_of(variables | {"mu": variables["mu"].astype(str)}, x), names=NAMES)


def test_pivots_and_variables_that_cannot_be_used(draws):
    variables, x = draws
    for arguments, words in (({"pivot": np.full((3, 2), np.nan)}, "finite"), ({"variables": []}, "is empty")):
        with pytest.raises(ArgumentError, match=words):
            rl.pra(variables, names=NAMES, x=x, **arguments)
    with pytest.raises(DataError, match="Not numeric"):
        bg.relabel(variables, "ecr", names=NAMES, x=[["a"]])


# --- Files ---


@pytest.fixture
def file(draws, tmp_path):
    path, tree = tmp_path / "draws.nc", tree_of(*draws)
    tree["other"] = xr.DataTree(xr.Dataset({"posterior": ("i", [1.0, 2.0])}))  # a variable with the name of a group
    tree.to_netcdf(path)
    return path


def test_a_file_is_read_as_it_was_written(file, draws):
    tree = read_tree(file)
    xr.testing.assert_identical(tree, xr.load_datatree(file))
    np.testing.assert_array_equal(tree["posterior"]["mu"].values, draws[0]["mu"])
    os.remove(file)  # nothing is left to be read later
    np.testing.assert_array_equal(tree["other"]["posterior"].values, [1.0, 2.0])
    np.testing.assert_array_equal(tree["observed_data"]["x"].values, draws[1])


@pytest.mark.parametrize("function", [bg.diagnose, bg.relabel, bg.partition, bg.label_invariant_view])
def test_a_path_is_no_draws_and_the_calls_read_it(file, function):
    for path in (file, str(file)):
        with pytest.raises(DrawsError, match="is a path, not draws") as caught:
            function(path)
        call, command = re.search(r"Pass xarray\.(.*), or run: bayesgmm (.*)", str(caught.value)).groups()
        as_draws(eval(f"xr.{call}"), names=NAMES)
        assert shlex.split(command) == ["diagnose", str(file)]


@pytest.mark.parametrize("num_flips", [1, 4])
def test_a_damaged_file_is_read_or_refused(file, tmp_path, num_flips):
    raw, outcomes = file.read_bytes(), set()
    for seed in range(40):
        rng, damaged = np.random.default_rng(seed), bytearray(raw)
        for place in rng.integers(len(raw) // 4, size=num_flips):  # most structure stands in front
            damaged[place] ^= 1 << rng.integers(8)
        (tmp_path / "damaged.nc").write_bytes(damaged)
        try:
            outcomes.add(type(read_tree(tmp_path / "damaged.nc")).__name__)
        except DrawsError as error:
            outcomes.add(type(error).__name__)
    assert outcomes <= {"DataTree", "DrawsError"}
    assert "DrawsError" in outcomes


@pytest.mark.parametrize("damage", ["zeros", "flip"])
def test_our_files_give_no_wrong_number_if_they_are_damaged(tmp_path, damage):
    """NetCDF has no checksums of numbers unless it is asked to; a large part of a small file is structure."""
    draws, outcomes = xr.Dataset({"mu": (("chain", "draw"), np.random.default_rng(0).normal(size=(4, 20_000)))}), set()
    accepted = xr.Dataset({"accepted": (("chain", "draw"), np.ones((4, 20_000), bool))})
    tree = xr.DataTree.from_dict({"posterior": draws, "sample_stats": accepted})
    raw = tree_forms(lambda: tree)[".nc"]()
    (tmp_path / "ours.nc").write_bytes(raw)
    tree = read_tree(tmp_path / "ours.nc")
    for seed in range(60):
        rng, damaged = np.random.default_rng(seed), bytearray(raw)
        place = int(rng.integers(len(raw) - 2000))
        if damage == "zeros":
            damaged[place : place + 2000] = bytes(2000)
        else:
            damaged[place] ^= 1 << rng.integers(8)
        (tmp_path / "ours.nc").write_bytes(damaged)
        try:
            same = read_tree(tmp_path / "ours.nc").identical(tree)
            outcomes.add("same" if same else "wrong")
        except DrawsError as error:
            outcomes.add("a checksum is wrong" if "a checksum is wrong" in str(error) else "refused")
    assert "a checksum is wrong" in outcomes
    assert "wrong" not in outcomes


def test_a_file_that_expands_beyond_the_memory_is_refused(file, monkeypatch):
    monkeypatch.setattr("bayesgmm.results.draws_file.free_memory", lambda: 1000.0)
    with pytest.raises(DrawsError, match="more than half of the free memory"):
        read_tree(file)


def test_files_that_are_no_trees_of_draws(file, tmp_path):
    path = tmp_path / "made.nc"
    os.mkfifo(tmp_path / "pipe.nc")
    (tmp_path / "text.nc").write_text("no draws")
    (tmp_path / "cut.nc").write_bytes(file.read_bytes()[:3000])
    for other, words in ((tmp_path, "folder"), (tmp_path / "pipe.nc", "pipe"), ("/dev/zero", "device"), ("x" * 5000, "long"),
                         ("a\0b", "null"), (tmp_path / "absent.nc", "No file"), (tmp_path / "text.nc", "NetCDF"),
                         (tmp_path / "cut.nc", "truncated")):  # fmt: skip
        with pytest.raises(DrawsError, match=words) as caught:
            read_tree(other)
        assert len(str(caught.value)) < 500

    def loop(group):
        group["again"] = group

    def elsewhere(group):
        group["x"] = h5py.ExternalLink(str(file), "/posterior")

    def huge(group):
        group.create_dataset("x", shape=(4, 10**10), dtype="f8", chunks=(1, 1000))

    def huge_packed(group):
        data = group.create_dataset("x", shape=(4, 10**10), dtype="f8", chunks=(1, 1000), compression="gzip")
        data[0, :1000] = 1.0

    for build, words in (
        (loop, "twice"),
        (elsewhere, "link x"),
        (huge, r"declares 3.2e\+11 bytes"),
        (huge_packed, "declares"),
    ):
        with h5py.File(path, "w") as made_file:
            build(made_file.create_group("posterior"))
        with pytest.raises(DrawsError, match=words):
            read_tree(path)


def test_constant_draws_are_packed_well_and_read(tmp_path):
    path = tmp_path / "packed.nc"
    tree = xr.DataTree.from_dict({"posterior": xr.Dataset({"w": (("chain", "draw", "k"), np.zeros((2, 200_000, 2)))})})
    tree.to_netcdf(path, encoding={"/posterior": {"w": {"zlib": True, "complevel": 9}}})
    assert path.stat().st_size < 200_000
    assert read_tree(path)["posterior"]["w"].shape == (2, 200_000, 2)


def test_command_line(file):
    command = ["diagnose", str(file), "--names", "weights=w,means=mu,covariances=Sigma"]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0, run.output
    for more, words in (
        (["--columns", "a"], "Give --data too"),
        (["--data", "faithful"], "272 rows"),
        (["--names", "weights=w,mean=mu"], "Did you mean means"),
    ):
        failed = CliRunner().invoke(app, [*command, *more])
        assert isinstance(failed.exception, ArgumentError | DrawsError), failed.output
        assert words in str(failed.exception)


def with_features(variables, *names):
    """The draws as a tree in which the means name the features."""
    dims = {"w": ("component",), "mu": ("component", "feature"), "Sigma": ("component", "feature", "feature_2")}
    arrays = {name: (("chain", "draw", *dims[name]), values) for name, values in variables.items()}
    coords = {"feature": list(names)} if names else {}
    return xr.DataTree.from_dict({"posterior": xr.Dataset(arrays, coords)})


def test_columns_are_put_in_the_order_of_the_draws(draws):
    variables, x = draws
    dim = x.shape[1]
    features = [f"f{d}" for d in range(dim)]
    frame = pd.DataFrame(x, columns=features)
    tree = with_features(variables, *features)
    right = as_draws(tree, names=NAMES, x=frame).log_posteriors
    for given in (frame[features[::-1]], x):
        np.testing.assert_array_equal(as_draws(tree, names=NAMES, x=given).log_posteriors, right)
    with pytest.raises(DataError, match="The posterior has features f0"):
        as_draws(tree, names=NAMES, x=frame.rename(columns={"f0": "q"}))
    # Draws without names, or with those of an array, take a frame of any names.
    for unnamed in (with_features(variables), with_features(variables, *(f"x{d}" for d in range(dim)))):
        np.testing.assert_array_equal(as_draws(unnamed, names=NAMES, x=frame).log_posteriors, right)


def test_parts_that_cannot_be_what_names_says_are_refused(draws):
    variables, x = draws
    tree = tree_of(variables, x)
    with pytest.raises(DrawsError, match="maps weights and means to one variable, mu"):
        as_draws(tree, names={"weights": "mu", "means": "mu"})
    with pytest.raises(DrawsError, match="weights must be"):
        as_draws(tree, names={"weights": "mu"})
    with pytest.raises(DrawsError, match="no dimension 'zzz'; besides chain and draw they have w_dim_0, mu_dim_0"):
        as_draws(tree, names=NAMES, component_dim="zzz")
