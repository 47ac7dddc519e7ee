"""Files are written whole or not at all, and what cannot be written where it should be goes elsewhere."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from bayesgmm.errors import ArgumentError, SaveWarning
from bayesgmm.runtime import files
from bayesgmm.runtime.files import Output, as_path, tree_forms, write


def tree():
    return xr.DataTree.from_dict({
        "posterior": xr.Dataset({"means": (("chain", "draw", "feature"), np.ones((1, 5, 2)))}, {"feature": ["a", "b$"]}),
        "sample_stats": xr.Dataset({"lp": (("chain", "draw"), np.zeros((1, 5)))}),
    })  # fmt: skip


def disk_full(*_):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_a_failed_write_leaves_the_earlier_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "deep" / "result.csv"
    write(path, b"first")
    for step in ("fsync", "replace"):
        with monkeypatch.context() as patch:
            patch.setattr(os, step, disk_full)
            with pytest.raises(OSError, match="No space"):
                write(path, b"second")
        assert path.read_bytes() == b"first"
        assert list(path.parent.iterdir()) == [path]


def test_links_stay_links_and_devices_are_written_to(tmp_path):
    (tmp_path / "real").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write(tmp_path / "link", b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "real").read_bytes() == b"new"
    write(Path(os.devnull), b"lost")
    with pytest.raises(OSError, match="directory"):
        write(tmp_path, b"x")


def test_files_that_others_abandoned_are_removed(tmp_path):
    old, new = tmp_path / ".bayesgmm-1.part", tmp_path / ".bayesgmm-2.part"
    for path in (old, new):
        path.touch()
    os.utime(old, (0, time.time() - 2 * files.ABANDONED))
    write(tmp_path / "result", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == [new.name, "result"]


KILLED = """
import os, signal, sys
from pathlib import Path
from bayesgmm.runtime.files import write
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
write(Path(sys.argv[1]), b"second" * 100_000)
"""


def test_kill_9_during_a_write_keeps_the_earlier_file(tmp_path, clean_environment):
    path = tmp_path / "gibbs.nc"
    path.write_bytes(b"first")
    ended = subprocess.run([sys.executable, "-c", KILLED, str(path)], check=False, env=clean_environment)
    assert ended.returncode == -9
    assert path.read_bytes() == b"first"


def test_a_full_disk_sends_the_result_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    output, real = Output(tmp_path / "out"), write

    def full(path, content):
        (disk_full if path.parent == tmp_path / "out" else real)(path, content)

    monkeypatch.setattr(files, "write", full)
    with pytest.warns(SaveWarning, match=r"out/gibbs.nc could not be written \(No space left on device\). It is in"):
        path = output.save("gibbs", tree_forms(tree))
    with xr.open_datatree(path, engine="h5netcdf") as found:
        assert list(found["posterior"]["feature"].values) == ["a", "b$"]
    assert len(output.problems) == 1


def test_a_form_that_fails_is_replaced_by_the_next(tmp_path):
    class Odd:
        children, subtree = tree().children, ()

        def to_netcdf(self, *arguments, **options):
            raise ValueError("no such attribute")

        def __getitem__(self, name):
            return tree()[name]

    (tmp_path / "gibbs.nc").touch()
    with pytest.warns(
        SaveWarning, match=r"\(no such attribute\). The file of that name is from an earlier run. It is in"
    ):
        path = Output(tmp_path).save("gibbs", tree_forms(Odd))
    with np.load(path) as found:
        assert path.suffix == ".npz"
        assert found["posterior/means"].shape == (1, 5, 2)
        assert list(found["feature"]) == ["a", "b$"]


def test_where_nothing_can_be_written_a_warning_says_so(tmp_path, monkeypatch):
    output = Output(tmp_path)
    monkeypatch.setattr(files, "write", disk_full)
    with pytest.warns(SaveWarning, match="saved nowhere"):
        assert output.save("gibbs", tree_forms(tree)) is None


def test_a_folder_that_vanished_is_made_again(tmp_path):
    output = Output(tmp_path / "a" / "b")
    assert not (tmp_path / "a").exists()
    assert output.save("x", {".csv": lambda: b"1"}) == tmp_path / "a" / "b" / "x.csv"
    (tmp_path / "a" / "b" / "x.csv").unlink()
    (tmp_path / "a" / "b").rmdir()
    (tmp_path / "a").rmdir()
    output.save("x", {".csv": lambda: b"2"})
    assert (tmp_path / "a" / "b" / "x.csv").read_bytes() == b"2"


@pytest.mark.parametrize("value", [0, 1.5, None, b"out", ["out"], "a\0b", "\ud800"])
def test_what_is_no_path_is_refused(value):
    with pytest.raises(ArgumentError, match="save_to"):
        as_path("save_to", value)


@pytest.mark.parametrize("folder", ["/proc/x", "/dev/null", "/dev/null/x", "x" * 5000])
def test_folders_that_take_no_file_are_refused(folder):
    with pytest.raises(ArgumentError, match=r"cannot be used .* Choose another save_to"):
        Output(folder)
