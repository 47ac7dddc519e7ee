import numpy as np
import pandas as pd
import polars as pl
import pytest
import xarray as xr

import bayesgmm as bg
from bayesgmm.data.datasets import SOURCES
from bayesgmm.data.files import read_file
from bayesgmm.data.table import as_table, check_table
from bayesgmm.errors import ArgumentError, DataError

X = np.array([[1.0, 2.0], [3.0, 5.0], [0.0, 1.0], [4.0, 4.0]])


def test_every_kind_of_table_is_read_alike():
    frame = pd.DataFrame(X, columns=["a", "b"])
    array = xr.DataArray(X, dims=("row", "feature"), coords={"feature": ["a", "b"]})
    for data in (frame, pl.DataFrame({"a": X[:, 0], "b": X[:, 1]}), array):
        table = as_table(data)
        assert table.features == ("a", "b")
        np.testing.assert_array_equal(table.values, X)
    assert as_table(X.tolist()).features == ("x0", "x1")
    assert as_table(frame["a"]).features == ("a",)
    assert as_table(X[:, 0]).values.shape == (4, 1)


def test_moments_survive_a_large_offset(rng):
    x = rng.normal(size=(150_000, 2)) + 1e8
    mean, covariance = as_table(x).moments()
    np.testing.assert_allclose(mean, x.mean(axis=0), rtol=1e-14)
    np.testing.assert_allclose(covariance, np.cov((x - 1e8).T, bias=True), rtol=1e-6)


def test_nan_rows_are_named():
    x = X.copy()
    x[1, 0], x[3, 1] = np.nan, np.inf
    with pytest.raises(DataError, match=r"2 of 4 rows \(counting from 0: 1, 3\)"):
        as_table(x)


def test_text_columns_are_named():
    with pytest.raises(DataError, match="Not numeric: species"):
        as_table(pd.DataFrame({"a": [1.0, 2.0], "species": ["x", "y"]}))
    with pytest.raises(DataError, match="Not numeric: species"):
        as_table(pl.DataFrame({"a": [1.0, 2.0], "species": ["x", "y"]}))
    with pytest.raises(DataError, match="could not be read as numbers"):
        as_table([["a", "b"], ["c", "d"]])


@pytest.mark.parametrize(
    ("x", "k", "words"),
    [
        (X[:3], 4, "3 rows for 4 components"),
        (np.c_[X, np.full(4, 7.0)], 1, "Constant feature: x2"),
        (np.c_[X, X[:, 0] + X[:, 1]], 1, "Collinear features: x0, x1, x2"),
        (np.random.default_rng(0).normal(size=(3, 5)), 1, "every covariance is singular"),
        (np.full((5, 1), 3.0), 1, "Constant feature"),
    ],
)
def test_data_that_cannot_carry_a_mixture(x, k, words):
    with pytest.raises(DataError, match=words):
        check_table(as_table(x), k)


@pytest.mark.parametrize("x", [np.zeros((0, 2)), np.zeros((2, 2, 2)), []])
def test_wrong_shapes(x):
    with pytest.raises(DataError):
        as_table(x)


def test_too_few_distinct_rows_for_the_components():
    x = np.repeat([[0.0, 0.0], [1.0, 0.5], [0.0, 1.0]], 10, axis=0)
    with pytest.raises(DataError, match="only 3 distinct rows for 4"):
        bg.fit_em(x, 4, prior="default")


def test_files(tmp_path):
    frame = pd.DataFrame(X, columns=["a", "b"]).assign(name=list("wxyz"))
    frame.to_csv(tmp_path / "d.csv", index=False)
    frame.to_parquet(tmp_path / "d.parquet")
    for name in ("d.csv", "d.parquet"):
        np.testing.assert_array_equal(read_file(tmp_path / name, ["b"]).values, X[:, 1:])
        with pytest.raises(DataError, match="Not numeric: name"):
            read_file(tmp_path / name)
        with pytest.raises(DataError, match="No column c"):
            read_file(tmp_path / name, ["c"])
    (tmp_path / "empty.csv").touch()
    (tmp_path / "header.csv").write_text("a,b\n")
    (tmp_path / "broken.parquet").write_bytes(b"not a parquet file")
    for name, words in (("empty.csv", "is empty"), ("header.csv", "no rows"), ("broken.parquet", "could not be read"),
                        ("absent.csv", "No file")):  # fmt: skip
        with pytest.raises(DataError, match=words):
            read_file(tmp_path / name)


@pytest.mark.parametrize("name", SOURCES)
def test_built_in_data_are_what_they_say(name):
    frame = bg.load_dataset(name)
    assert frame.shape == (SOURCES[name].rows, len(SOURCES[name].features))
    assert tuple(frame.columns) == SOURCES[name].features


def test_galaxies_have_the_papers_78th_value():
    assert bg.load_dataset("galaxies")["velocity"][77] == 26960
    assert bg.load_dataset("galaxies_MASS")["velocity"][77] == 26690


def test_labels_of_iris():
    assert bg.load_dataset("iris", labels=True)["Species"].nunique() == 3
    with pytest.raises(ArgumentError, match="no known labels"):
        bg.load_dataset("faithful", labels=True)
    with pytest.raises(ArgumentError, match="no built-in data set"):
        bg.load_dataset("cars")


def test_missing_values_of_any_kind_are_named():
    masked = np.ma.array(X, mask=X == 5.0)
    with pytest.raises(DataError, match="1 of 4 rows"):
        as_table(masked)
    nullable = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": [1.0, 2.0, 4.0]})
    with pytest.raises(DataError, match="1 of 3 rows"):
        as_table(nullable)


@pytest.mark.parametrize("x", [X + 1j, pd.Series(pd.date_range("2020", periods=4)), np.array(["a", "b"])])
def test_values_that_are_no_real_numbers(x):
    with pytest.raises(DataError):
        as_table(x)


def test_columns_need_names_of_their_own(tmp_path):
    with pytest.raises(DataError, match="Two columns are called a"):
        as_table(pd.DataFrame(X, columns=["a", "a"]))
    with pytest.raises(DataError, match="Not numeric: flag"):
        as_table(pd.DataFrame({"a": [1.0, 2.0], "flag": [True, False]}))
    pd.DataFrame(X, columns=["a", "b"]).to_csv(tmp_path / "index.csv")
    with pytest.raises(DataError, match="without a name"):
        read_file(tmp_path / "index.csv")
    pd.DataFrame(X).to_csv(tmp_path / "bare.csv", index=False, header=False)
    with pytest.raises(DataError, match="not names"):
        read_file(tmp_path / "bare.csv")


def test_results_do_not_change_with_the_users_array(rng):
    x = rng.normal(size=(50, 2))
    fit = bg.fit_em(x, 1)
    before = fit.icl()
    x[:] = 0.0
    assert fit.icl() == before
    with pytest.raises(ValueError, match="read-only"):
        fit.table.values[0] = 1.0
