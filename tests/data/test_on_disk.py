"""Opening rows on disk: each format gives the same table; bad files are refused before a run, by file and row."""

import os

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.dataset as ds
import pytest
import zarr
from oracles.on_disk import two_clusters, write_folder, write_parquet
from pyarrow import feather, parquet

import bayesgmm as bg
from bayesgmm.data.on_disk import survey
from bayesgmm.errors import ArgumentError, DataError

X = two_clusters()


def arrow(x):
    return pa.table({"a": x[:, 0], "b": x[:, 1]})


def npy(x, path):
    np.save(path, x)
    return path


def zarr_array(path):
    zarr.create_array(path, data=X, chunks=(1000, 2))
    return path


def zarr_group(path):
    group = zarr.create_group(path)
    for d, name in enumerate("ab"):
        group.create_array(name, data=np.ascontiguousarray(X[:, d]), chunks=(1700,))
    return path


FORMATS = {
    "parquet": lambda folder: write_parquet(X, folder / "x.parquet"),
    "folder of parquet": lambda folder: write_folder(X, folder / "x"),
    "feather": lambda folder: (
        feather.write_feather(arrow(X), folder / "x.feather", chunksize=1300) or folder / "x.feather"
    ),
    "dataset": lambda folder: ds.dataset(write_folder(X, folder / "x")),
    "table in memory": lambda folder: ds.dataset(arrow(X)),
    "npy": lambda folder: npy(X, folder / "x.npy"),
    "npy by columns": lambda folder: npy(np.asfortranarray(X), folder / "x.npy"),
    "records": lambda folder: npy(np.rec.fromarrays(X.T, names="a,b"), folder / "x.npy"),
    "zarr": lambda folder: zarr_array(folder / "x.zarr"),
    "group of zarr": lambda folder: zarr_group(folder / "x.zarr"),
    "opened zarr": lambda folder: zarr.open_array(zarr_array(folder / "x.zarr"), mode="r"),
}


@pytest.mark.parametrize("form", FORMATS)
def test_every_format_gives_the_same_table(form, tmp_path):
    table = bg.open_rows(FORMATS[form](tmp_path))
    assert table.num_rows == len(X)
    assert table.features == (("x0", "x1") if form in ("npy", "npy by columns", "zarr", "opened zarr") else ("a", "b"))
    np.testing.assert_allclose(table.moments()[0], X.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(table.moments()[1], np.cov(X.T, bias=True), rtol=1e-12)
    np.testing.assert_array_equal(table.sample.values, X)  # no more than the sample
    np.testing.assert_array_equal(np.concatenate(list(table.chunks(1234))), X)


def test_columns_are_chosen_and_put_in_order(tmp_path):
    more = arrow(X).append_column("name", pa.array(["u"] * len(X)))
    parquet.write_table(more, tmp_path / "x.parquet")
    table = bg.open_rows(tmp_path / "x.parquet", columns=["b", "a"])
    np.testing.assert_array_equal(table.sample.values, X[:, ::-1])
    assert bg.open_rows(tmp_path / "x.parquet", columns="b").features == ("b",)
    with pytest.raises(
        DataError, match=r"Not numeric in .*x.parquet: name \(string\). Choose others by columns=\['a', 'b'\]"
    ):
        bg.open_rows(tmp_path / "x.parquet")


def test_the_index_of_pandas_is_no_feature(tmp_path):
    """As where pandas reads the file into memory. A column that is asked for is read."""
    frame = pd.DataFrame(X, columns=["a", "b"]).sample(frac=1.0, random_state=0)
    for index, name in enumerate((None, "id")):
        path = tmp_path / f"{index}.parquet"
        frame.rename_axis(name).to_parquet(path)
        for opened in (path, ds.dataset(path)):
            assert bg.open_rows(opened).features == ("a", "b")
    assert bg.open_rows(path, columns=["id", "a"]).features == ("id", "a")


def test_the_sample_is_uniform_and_follows_the_seed(tmp_path, monkeypatch):
    """Of the numbers 0…N - 1, the sum of the squared shares of 9 classes is χ² with 8 degrees of freedom."""
    monkeypatch.setattr(survey, "SAMPLE", 900)
    path = npy(np.arange(9000.0), tmp_path / "x.npy")
    first, again, other = (bg.open_rows(path, seed=seed).sample.values[:, 0] for seed in (0, 0, 1))
    assert (first == again).all()
    assert (np.diff(first) > 0).all()
    assert 30 < np.isin(first, other).sum() < 160  # 90 in common on average
    counts = np.bincount((first // 1000).astype(int), minlength=9)
    assert ((counts - 100.0) ** 2 / 100.0).sum() < 26.1  # its quantile 0.999


def test_moments_keep_their_digits_far_from_the_origin(tmp_path):
    x = X + 1e9
    found = bg.open_rows(write_parquet(x, tmp_path / "x.parquet")).moments()[1]
    np.testing.assert_allclose(found, np.cov((x - 1e9).T, bias=True), rtol=1e-9)


def test_whole_numbers_booleans_and_decimals_are_numbers(tmp_path):
    from decimal import Decimal

    table = pa.table(
        {"i": pa.array([1, 2, 3], pa.int16()), "b": [True, False, True], "d": [Decimal("1.5"), Decimal(2), Decimal(4)]}
    )
    parquet.write_table(table, tmp_path / "x.parquet")
    np.testing.assert_array_equal(
        bg.open_rows(tmp_path / "x.parquet").sample.values, [[1, 1, 1.5], [2, 0, 2], [3, 1, 4]]
    )


def with_value(value, row=7003):
    x = X.copy()
    x[row, 1] = value
    return x


def cut(path):
    path.write_bytes(path.read_bytes()[:-2000])
    return path


def cut_in_the_middle(path):
    """The footer is there, and a part of the data is not."""
    content = bytearray(path.read_bytes())
    content[5000:60000] = bytes(55000)
    path.write_bytes(content)
    return path


def other_columns(folder):
    path = write_folder(X, folder / "x")
    parquet.write_table(pa.table({"a": [1.0], "c": [2.0]}), path / "part-9.parquet")
    return path


def text_in_a_later_file(folder):
    path = write_folder(X, folder / "x")
    parquet.write_table(pa.table({"a": [1.0], "b": ["two"]}), path / "part-9.parquet")
    return path


def empty_file(folder):
    path = write_folder(X, folder / "x")
    write_parquet(X[:0], path / "part-5.parquet")
    return path


def text_file(folder):
    (folder / "x.csv").write_text("a,b\n1,2\n")
    return folder / "x.csv"


def two_formats(folder):
    path = write_folder(X, folder / "x")
    np.save(path / "x.npy", X)
    return path


def groups_of_two_lengths(folder):
    group = zarr.create_group(folder / "x.zarr")
    group.create_array("a", data=np.zeros(3))
    group.create_array("b", data=np.zeros(4))
    return folder / "x.zarr"


def csv_with_index(folder):
    pd.DataFrame(X, columns=["a", "b"]).to_csv(folder / "x.csv")
    return ds.dataset(folder / "x.csv", format="csv")


BAD = {
    r"a column without a name, as pandas writes its index to CSV.*to_csv\(index=False\)": csv_with_index,
    r"Save it as numbers \(x.astype\(float\)\)": lambda folder: npy(X.astype(object), folder / "x.npy"),
    r"b is missing \(NaN\) in row 7,003 of .*x.parquet \(row group 2, row 2,003 there\), counting from 0":
        lambda folder: write_parquet(with_value(np.nan), folder / "x.parquet"),
    r"x1 is infinite in row 7,003 of .*x.npy": lambda folder: npy(with_value(np.inf), folder / "x.npy"),
    r"b is 1e\+200 in row 2 of .*part-2.parquet": lambda folder: write_folder(with_value(1e200), folder / "x"),
    r"x.parquet could not be read as a Parquet file .* cut off": lambda folder: cut(write_parquet(X, folder / "x.parquet")),
    r"x.parquet could not be read": lambda folder: cut_in_the_middle(write_parquet(X, folder / "x.parquet")),
    r"x.npy could not be read as an array of NumPy": lambda folder: cut(npy(X, folder / "x.npy")),
    r"part-9.parquet has other columns than .*part-0.parquet: it lacks b": other_columns,
    r"Not numeric in .*part-9.parquet: b \(string\)": text_in_a_later_file,
    r"part-5.parquet has no rows": empty_file,
    r"empty holds no file of Parquet": lambda folder: (folder / "empty").mkdir() or folder / "empty",
    r"No file or folder .*absent.parquet": lambda folder: folder / "absent.parquet",
    r"x.csv is not read from disk: .*write_dataset": text_file,
    r"holds files of two formats": two_formats,
    r"pipe.parquet is a pipe or device": lambda folder: os.mkfifo(folder / "pipe.parquet") or folder / "pipe.parquet",
    r"x.zarr must hold an array \(rows,\) for each feature": groups_of_two_lengths,
    r"x.npy must hold one array of shape \(rows, features\)": lambda folder: npy(np.zeros((2, 2, 2)), folder / "x.npy"),
    r"Not numeric in .*x.npy: x0 \(<U1\)": lambda folder: npy(np.array(["a", "b"]), folder / "x.npy"),
    r"x0 varies by only 1e-170": lambda folder: npy(np.array([0.0, 1e-170]), folder / "x.npy"),
}  # fmt: skip


@pytest.mark.parametrize("words", BAD)
def test_bad_files_are_refused_before_a_run(words, tmp_path):
    with pytest.raises(DataError, match=words):
        bg.open_rows(BAD[words](tmp_path))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"path": 3}, "takes a path"), ({"path": X}, "takes a path"), ({"columns": []}, "columns must be names"),
     ({"columns": ["a", "a"]}, "names a twice"), ({"columns": ["z"]}, "no column z. Choose from a, b"),
     ({"chunk_rows": 0}, "chunk_rows")],
)  # fmt: skip
def test_bad_arguments_are_refused(arguments, words, tmp_path):
    path = write_parquet(X[:10], tmp_path / "x.parquet")
    with pytest.raises((ArgumentError, DataError), match=words):
        bg.open_rows(**{"path": path} | arguments)


def test_a_file_that_changed_is_named(tmp_path):
    path = write_parquet(X, tmp_path / "x.parquet")
    table = bg.open_rows(path)
    write_parquet(X[:-1], path)
    with pytest.raises(DataError, match=r"x.parquet has changed since it was opened"):
        list(table.chunks())
    path.unlink()
    with pytest.raises(DataError, match=r"x.parquet has changed since it was opened"):
        list(table.chunks())


@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_that_is_cut_while_it_is_read_is_named(order, tmp_path):
    """A memory map would end Python with a signal."""
    path = npy(np.asarray(X, order=order), tmp_path / "x.npy")
    chunks = bg.open_rows(path).source.checked(1000)
    next(chunks)
    os.truncate(path, path.stat().st_size - 20_000)
    with pytest.raises(DataError, match=r"x.npy ends before its last row: it was cut"):
        list(chunks)
