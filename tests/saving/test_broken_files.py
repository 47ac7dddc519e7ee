"""Files that are damaged, of another kind, forged or newer: a typed error that says so, and nothing that runs."""

import json
import os
import pickle
import shutil

import h5py
import numpy as np
import pytest
from fuzz import objects

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, LoadError
from bayesgmm.saving import container
from bayesgmm.saving.arrays import from_inline, inline

MARK = objects.TMP / "a pickle was opened"


class Bomb:
    """What makes a folder when it is unpickled."""

    def __reduce__(self):
        return os.mkdir, (str(MARK),)


@pytest.fixture(scope="module")
def originals(tmp_path_factory):
    """A posterior in both forms."""
    folder = tmp_path_factory.mktemp("saved")
    return [bg.save(objects.gibbs(), folder / f"it{suffix}") for suffix in (".nc", ".zarr")]


@pytest.fixture
def saved(originals, tmp_path):
    """Copies that a test may break, by suffix."""
    shutil.copy(originals[0], tmp_path)
    shutil.copytree(originals[1], tmp_path / "it.zarr")
    return {path.suffix: tmp_path / path.name for path in originals}


def change_manifest(place, change, digest=True):
    """Change the manifest of a file, and by default its digest too, as a forger would."""
    if place.suffix == ".nc":
        with h5py.File(place, "r+") as file:
            file.attrs.update(changed(dict(file.attrs), change, digest))
        return
    about = json.loads((place / "zarr.json").read_text())
    about["attributes"] = changed(about["attributes"], change, digest)
    (place / "zarr.json").write_text(json.dumps(about))


def changed(attributes, change, digest):
    manifest = json.loads(attributes["bayesgmm"])
    text = json.dumps(change(manifest) or manifest)
    return {"bayesgmm": text, "bayesgmm_digest": container._digest(text) if digest else attributes["bayesgmm_digest"]}


def test_an_unpickled_bomb_would_run():
    """Negative control."""
    pickle.loads(pickle.dumps(Bomb()))
    assert MARK.exists()
    MARK.rmdir()


# --- Pickles ---


def test_a_pickle_under_another_name_is_not_opened(tmp_path):
    place = tmp_path / "it.nc"
    for protocol in (0, 2, 5):
        place.write_bytes(pickle.dumps(Bomb(), protocol))
        with pytest.raises(LoadError, match="no NetCDF file" + (".*pickle" if protocol else "")):
            bg.load(place)
    assert not MARK.exists()


def test_pickled_bytes_in_attributes_stay_bytes(saved):
    for name in ("more", "bayesgmm", "bayesgmm_digest"):
        with h5py.File(saved[".nc"], "r+") as file:
            file.attrs[name] = np.void(pickle.dumps(Bomb()))
        if name == "more":
            bg.load(saved[".nc"])
        else:
            with pytest.raises(LoadError, match="manifest"):
                bg.load(saved[".nc"])
    assert not MARK.exists()


def test_arrays_of_objects_are_refused(saved):
    name = "posterior/params/means"
    with h5py.File(saved[".nc"], "r+") as file:
        del file[name]
        file[name] = np.array([pickle.dumps(Bomb()).hex()] * 3, dtype=object)
    with pytest.raises(LoadError, match=f"'{name}' cannot be used: it has shape .* and dtype object"):
        bg.load(saved[".nc"])
    for dtype in ("object", "O", "|O8", "V8", "datetime64[s]", 3, None, ["f8"]):
        change_manifest(saved[".zarr"], lambda it, d=dtype: it["arrays"][name].update(dtype=d))
        with pytest.raises(LoadError, match=f"'{name}' cannot be used: its dtype"):
            bg.load(saved[".zarr"])
    assert not MARK.exists()


@pytest.mark.parametrize("codec", ["pickle", "numcodecs.pickle", "numcodecs.json2", "vlen-utf8", None])
def test_codecs_of_zarr_that_bayesgmm_does_not_write_are_refused(saved, codec):
    place = saved[".zarr"] / "posterior" / "params" / "means" / "zarr.json"
    about = json.loads(place.read_text())
    about["codecs"].append({"name": codec, "configuration": {}} if codec else 3)
    place.write_text(json.dumps(about))
    with pytest.raises(LoadError, match="'posterior/params/means' cannot be used: its metadata are not those"):
        bg.load(saved[".zarr"])


def test_a_result_with_an_object_array_is_not_saved(tmp_path):
    import dataclasses

    posterior = dataclasses.replace(objects.gibbs(), sample_stats={"own": np.array([Bomb()], dtype=object)})
    with pytest.raises(ArgumentError, match="sample_stats/own is an array of dtype object, which cannot be saved"):
        bg.save(posterior, tmp_path / "it.nc")


@pytest.mark.parametrize(
    "record", [
        {"!": "os:system", "command": "true"}, {"!": "Bomb"}, {"!": "function", "name": "os.system"}, {"!": 3}, {"!": None},
        {"!": ["Params"]}, {"!": "bayesgmm.runtime.files:write"}, {"!": "Params", "weights": 1}, {"!": "same", "number": 99},
        {"!": "array", "at": "nowhere"}, {"!": "array", "dtype": "object", "shape": [1], "values": [1]},
        {"!": "Family", "volume": "V", "shape": "V", "orientation": "V", "more": 1}, {"!": "mapping", "items": [[[], 1]]},
    ],
)  # fmt: skip
@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_only_what_the_table_knows_is_made(saved, record, suffix):
    change_manifest(saved[suffix], lambda it: it["content"].update(params=record))
    with pytest.raises(LoadError, match=r"it.* cannot be loaded: The manifest"):
        bg.load(saved[suffix])


def test_arrays_of_the_manifest_hold_numbers_only():
    with pytest.raises(LoadError, match="dtype 'object'"):
        from_inline({"dtype": "object", "shape": [1], "values": [1]})
    odd = np.array([np.nan], np.float64)
    odd.view(np.uint64)[0] |= 5  # the payload of this NaN has no text
    assert inline(odd) is None
    assert inline(np.array([-np.inf, -0.0, 1e-320, 0.1])) is not None


# --- The manifest and its arrays ---


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize(
    ("change", "message"), [
        (lambda about: about.update(shape=[2, 60, 4]), "it has shape"),
        (lambda about: about.update(shape=[240, 2]), "it has shape"),
        (lambda about: about.update(dtype="float32"), "it has shape .* dtype"),
        (lambda about: about.update(digest="0" * 32), "its digest differs"),
        (lambda about: about.pop("digest"), "its digest differs"),
        (lambda about: about.update(shape=[-1]), "its shape is not understood"),
        (lambda about: about.update(shape="2"), "its shape is not understood"),
    ],
)  # fmt: skip
def test_what_does_not_match_names_the_array(saved, suffix, change, message):
    change_manifest(saved[suffix], lambda it: change(it["arrays"]["posterior/params/means"]) and None)
    with pytest.raises(LoadError, match=f"'posterior/params/means' cannot be used: {message}"):
        bg.load(saved[suffix])


def test_an_array_that_lacks_is_named(saved):
    with h5py.File(saved[".nc"], "r+") as file:
        del file["posterior/params/means"]
    shutil.rmtree(saved[".zarr"] / "posterior" / "params" / "means")
    for place in saved.values():
        with pytest.raises(LoadError, match="'posterior/params/means' cannot be used: it is missing"):
            bg.load(place)


def test_numbers_that_changed_are_found(saved):
    name = "posterior/params/means"
    with h5py.File(saved[".nc"], "r+") as file:
        file[name][0, 0, 0, 0] = np.nextafter(file[name][0, 0, 0, 0], 9.0)
    chunk = next(path for path in (saved[".zarr"] / name / "c").rglob("*") if path.is_file())
    chunk.unlink()  # Zarr reads what lacks as 0
    for place in saved.values():
        with pytest.raises(LoadError, match=f"'{name}' cannot be used: its digest differs"):
            bg.load(place)


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_manifest_that_changed_is_found(saved, suffix):
    change_manifest(saved[suffix], lambda it: it["content"].update(seed=5), digest=False)
    with pytest.raises(LoadError, match="its manifest has changed"):
        bg.load(saved[suffix])


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_a_newer_format_names_the_version_that_wrote_it(saved, suffix):
    change_manifest(saved[suffix], lambda it: it.update(format=2, bayesgmm="9.1"), digest=False)
    with pytest.raises(LoadError, match=r"bayesgmm 9\.1 wrote it in format 2, .*formats up to 1. Update bayesgmm"):
        bg.load(saved[suffix])


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize("name", ["../../etc/passwd", "/etc/passwd", "", "a//b", "a/../b", "c:\\x"])
def test_names_that_leave_the_file_are_refused(saved, suffix, name):
    change_manifest(saved[suffix], lambda it: it["arrays"].update({name: it["arrays"]["posterior/params/means"]}))
    with pytest.raises(LoadError, match="a name in it that bayesgmm does not use"):
        bg.load(saved[suffix])


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
@pytest.mark.parametrize(
    "change", [
        lambda it: it.update(kind="Params"), lambda it: it.update(kind="Mixture"), lambda it: it.update(content=3),
        lambda it: it.update(arrays=[1]), lambda it: it.update(format="1"), lambda it: it.pop("content"),
        lambda it: [it], lambda it: it["content"].pop("params"), lambda it: it["content"].update(model=3),
        lambda it: it["content"]["model"].update(covariance_type="QQQ"),
    ],
)  # fmt: skip
def test_other_manifests_are_refused(saved, suffix, change):
    change_manifest(saved[suffix], lambda it: found if isinstance(found := change(it), list) else None)
    with pytest.raises(LoadError, match="cannot be loaded"):
        bg.load(saved[suffix])


@pytest.mark.parametrize("text", ["", "{", "null", "[" * 5000, "{}", "3"])
def test_texts_that_are_no_manifest_are_refused(saved, text):
    with h5py.File(saved[".nc"], "r+") as file:
        file.attrs["bayesgmm"] = text
    with pytest.raises(LoadError, match="manifest"):
        bg.load(saved[".nc"])


@pytest.mark.parametrize("suffix", [".nc", ".zarr"])
def test_sizes_beyond_the_memory_are_refused_before_anything_is_read(saved, suffix):
    change_manifest(saved[suffix], lambda it: it["arrays"]["posterior/params/means"].update(shape=[2**40, 2**7]))
    with pytest.raises(LoadError, match=r"declares .* GB, more than half of the free memory"):
        bg.load(saved[suffix])


# --- Files of another kind ---


def test_files_that_are_cut_short_are_refused(saved):
    raw = saved[".nc"].read_bytes()
    for size in (0, 4, 8, 100, len(raw) // 2, len(raw) - 1):
        saved[".nc"].write_bytes(raw[:size])
        with pytest.raises(LoadError, match="cannot be loaded"):
            bg.load(saved[".nc"])


def test_damaged_bytes_never_pass(saved):
    """Wherever a byte flips: an error, or the same result (a byte that nothing reads)."""
    raw, rng = saved[".nc"].read_bytes(), np.random.default_rng(0)
    wanted = bg.load(saved[".nc"])
    for at in rng.integers(len(raw), size=100):
        saved[".nc"].write_bytes(raw[:at] + bytes([raw[at] ^ 0x55]) + raw[at + 1 :])
        try:
            found = bg.load(saved[".nc"])
        except LoadError:
            continue
        for part, other in zip(found.params, wanted.params, strict=True):
            assert part.tobytes() == other.tobytes()
        assert found.settings == wanted.settings


def test_trees_of_arviz_are_for_other_functions(tmp_path):
    objects.TREE.to_netcdf(tmp_path / "draws.nc")
    with pytest.raises(LoadError, match=r"holds a DataTree.*bayesgmm\.diagnose, relabel and others"):
        bg.load(tmp_path / "draws.nc")


def test_other_files_and_folders_are_refused(tmp_path):
    (tmp_path / "folder.nc").mkdir()
    (tmp_path / "folder.zarr").mkdir()
    (tmp_path / "file.zarr").write_bytes(b"x")
    (tmp_path / "text.nc").write_text("hello")
    os.mkfifo(tmp_path / "pipe.nc")
    with h5py.File(tmp_path / "other.nc", "w") as file:
        file["x"] = [1.0]
    import zarr

    zarr.open_group(str(tmp_path / "other.zarr"), mode="w", zarr_format=3)
    zarr.open_group(str(tmp_path / "old.zarr"), mode="w", zarr_format=2)
    names = {
        "folder.nc": "it is a folder", "folder.zarr": "not of Zarr", "file.zarr": "it is no folder",
        "text.nc": "no NetCDF file", "pipe.nc": "pipe", "other.nc": "no result of bayesgmm", "nowhere.nc": "No file",
        "other.zarr": "no result of bayesgmm", "old.zarr": "not of Zarr", "nowhere.zarr": "no such folder",
    }  # fmt: skip
    for name, message in names.items():
        with pytest.raises(LoadError, match=message):
            bg.load(tmp_path / name)


def test_arrays_in_other_files_are_not_followed(saved, tmp_path):
    """HDF5 can point at any file of the reader; NetCDF cannot."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(8 * 480))
    raw = saved[".nc"].read_bytes()
    layouts = {
        "external": lambda file: file.create_dataset(
            "posterior/params/means", (2, 60, 2, 2), "f8", external=[(str(secret), 0, 8 * 480)]
        ),
        "link": lambda file: file.__setitem__("posterior/params/means", h5py.ExternalLink(str(secret), "x")),
    }
    for make in layouts.values():
        saved[".nc"].write_bytes(raw)
        with h5py.File(saved[".nc"], "r+") as file:
            del file["posterior/params/means"]
            make(file)
        with pytest.raises(LoadError, match=r"from another file|has a link"):
            bg.load(saved[".nc"])


def test_without_zarr_the_message_says_what_to_install(saved, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "zarr", None)
    for call in (lambda: bg.load(saved[".zarr"]), lambda: bg.save(objects.fit(), saved[".zarr"])):
        with pytest.raises(ArgumentError, match=r"pip install 'bayesgmm\[zarr\]'"):
            call()
    assert bg.load(saved[".nc"]).num_samples == objects.gibbs().num_samples
