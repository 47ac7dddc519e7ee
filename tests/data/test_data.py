"""Tables of every kind are read alike, and what no mixture can be fitted to is refused by name."""

import inspect
import sys
from decimal import Decimal

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse
import xarray as xr

import bayesgmm as bg
from bayesgmm.data.datasets import SOURCES
from bayesgmm.data.files import read_file
from bayesgmm.data.order import same_features
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


def test_infinite_values_are_named_and_nan_is_a_gap():
    x = X.copy()
    x[1, 0] = np.nan
    assert as_table(x).gaps == 1
    x[3, 1] = np.inf
    with pytest.raises(DataError, match=r"1 of 4 rows \(counting from 0: 3\)"):
        as_table(x)


def test_text_columns_are_named():
    with pytest.raises(DataError, match="Not numeric: species"):
        as_table(pd.DataFrame({"a": [1.0, 2.0], "species": ["x", "y"]}))
    with pytest.raises(DataError, match="Not numeric: species"):
        as_table(pl.DataFrame({"a": [1.0, 2.0], "species": ["x", "y"]}))
    with pytest.raises(DataError, match="could not be read as numbers"):
        as_table([[1.0, 2.0], [3.0]])


@pytest.mark.parametrize(
    ("x", "k", "words"),
    [
        (X[:3], 4, "3 rows for 4 components"),
        (np.c_[X, np.full(4, 7.0)], 1, "Constant feature: x2"),
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
    for name, words in (("empty.csv", "is empty"), ("header.csv", "no rows"), ("broken.parquet", "as a Parquet file"),
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


def test_missing_values_of_any_kind_are_gaps():
    masked = as_table(np.ma.array(X, mask=X == 5.0))
    np.testing.assert_array_equal(np.isnan(masked.values), X == 5.0)
    nullable = pd.DataFrame({"a": pd.array([1, None, 3], dtype="Int64"), "b": [1.0, 2.0, 4.0]})
    np.testing.assert_array_equal(np.isnan(as_table(nullable).values), [[False, False], [True, False], [False, False]])
    objects = as_table(np.ma.array([1.0, Decimal(2)], mask=[0, 1], dtype=object))
    np.testing.assert_array_equal(objects.values, [[1.0], [np.nan]])


def test_a_column_without_values_cannot_be_fitted():
    with pytest.raises(DataError, match="No value of b was seen"):
        bg.fit_em(pd.DataFrame({"a": [1.0, 2.0, 4.0], "b": [np.nan] * 3}), 1)


@pytest.mark.parametrize("x", [X + 1j, pd.Series(pd.date_range("2020", periods=4)), np.array(["a", "b"])])
def test_values_that_are_no_real_numbers(x):
    with pytest.raises(DataError):
        as_table(x)


def test_columns_need_names_of_their_own():
    with pytest.raises(DataError, match="Two columns are called a"):
        as_table(pd.DataFrame(X, columns=["a", "a"]))


def test_results_do_not_change_with_the_users_array(rng):
    x = rng.normal(size=(50, 2))
    fit = bg.fit_em(x, 1)
    before = fit.icl()
    x[:] = 0.0
    assert fit.icl() == before
    with pytest.raises(ValueError, match="read-only"):
        fit.table.values[0] = 1.0


A, B = np.array([1.5, 2.0, 0.5]), np.array([True, False, True])
ARROW = pa.table({"a": A, "b": B})
POLARS = pl.DataFrame({"a": A, "b": B})
FRAME = pd.DataFrame({"a": A, "b": B})
ALIKE = {
    "boolean column": FRAME,
    "Arrow-backed": FRAME.astype({"a": "float64[pyarrow]", "b": "bool[pyarrow]"}),
    "nullable": FRAME.astype({"a": "Float64", "b": "boolean"}),
    "sparse": pd.DataFrame({"a": pd.arrays.SparseArray(A), "b": pd.arrays.SparseArray(B.astype(int))}),
    "objects": FRAME.astype(object),
    "Decimals": FRAME.assign(a=[Decimal("1.5"), Decimal(2), 0.5]),
    "Arrow decimals": pa.table({"a": pa.array([Decimal("1.5"), Decimal("2"), Decimal("0.5")]), "b": B}),
    "Arrow table": ARROW,
    "record batch": ARROW.to_batches()[0],
    "polars": POLARS,
    "lazy": POLARS.lazy(),
    "xarray Dataset": xr.Dataset({"a": ("row", A), "b": ("row", B)}, coords={"other": ("row", A)}),
    "structured": np.array(list(zip(A, B, strict=True)), dtype=[("a", "f4"), ("b", "?")]),
}


@pytest.mark.parametrize("kind", ALIKE)
def test_numbers_of_any_type_are_taken_as_an_array_of_them_is(kind):
    table = as_table(ALIKE[kind])
    assert (table.features, table.named) == (("a", "b"), True)
    np.testing.assert_array_equal(table.values, np.c_[A, B])
    if isinstance(ALIKE[kind], pd.DataFrame):  # a column alone, with and without its name
        for column in (ALIKE[kind]["a"], ALIKE[kind]["a"].rename(None), ALIKE[kind]["a"].array):
            np.testing.assert_array_equal(as_table(column).values[:, 0], A)


class Tensor:
    """As PyTorch's with gradients."""

    def __array__(self, *_, **__):
        raise RuntimeError("Can't call numpy() on Tensor that requires grad.")

    def detach(self):
        return self


DATES = pd.date_range("2020", periods=3)
REFUSED = {
    "text": (pd.Series(["1", "2", "3"], name="a"), r"Not numeric: a .*text.*astype\("),
    "text among objects": (pd.Series([1.0, 2.0, "3"], dtype=object, name="a"), "Not numeric: a .*text"),
    "categories": (pd.Series([1, 2, 1], dtype="category", name="a"), "Not numeric: a .*categories"),
    "dates": (pd.Series(DATES, name="a"), r"Not numeric: a .*dates.*timedelta64"),
    "Arrow's dates": (pd.Series(DATES, name="a").astype("timestamp[ns][pyarrow]"), "Not numeric: a .*dates"),
    "time differences": (pd.Series(DATES - DATES[0], name="a"), "Not numeric: a .*time differences"),
    "complex": (pd.Series([1j, 2, 3], name="a"), "Not numeric: a .*complex.*t.real"),
    "periods": (pd.Series(pd.period_range("2020", periods=3), name="a"), "Not numeric: a .*Period"),
    "lists": (pd.Series([[1], [2], [3]], name="a"), "Not numeric: a .*list"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_a_column_is_refused_in_a_series_and_in_a_frame_alike(kind):
    column, words = REFUSED[kind]
    for data in (column, column.to_frame(), column.to_frame().assign(z=1.0)):
        with pytest.raises(DataError, match=words):
            as_table(data)


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (Tensor(), r"x.detach\(\).cpu\(\).numpy\(\)"),
        (scipy.sparse.csr_matrix(np.eye(3)), r"x.toarray\(\)"),
        ({"a": [1.0, 2.0]}, r"pandas.DataFrame\(x\)"),
        ("faithful", "load_dataset"),
        (None, "NoneType"),
        (pd.DataFrame({"a": [1]}).groupby("a"), "DataFrameGroupBy"),
        (pd.MultiIndex.from_tuples([(1, 2)]), "to_frame"),
        (xr.Dataset({"a": (("row", "column"), X)}), r"to_dataframe\(\)"),
        (xr.Dataset(), "no variable"),
        (POLARS.lazy().select("absent"), "could not be converted"),
        (np.zeros(2, dtype=[("a", "f8", (2,))]), "structured array"),
        ([10**400], "no double"),
        ([1.0, 1e151], "x0 has a value of size 1e.151.*Divide the column by 1e.151"),
        (pd.DataFrame({"a": [1.0, 2.0], "b": [0.0, -3e160]}), "b has a value of size 3e.160"),
    ],
)
def test_what_is_no_table_of_doubles_is_refused_with_the_call_that_works(x, words):
    with pytest.raises(DataError, match=words):
        as_table(x)


@pytest.mark.parametrize("spread", [1e-170, 3e-160])
def test_a_spread_whose_square_underflows_is_no_constant_feature(spread, rng):
    x = np.c_[rng.normal(size=20), spread * rng.normal(size=20)]
    with pytest.raises(DataError, match=r"x1 varies by only .* divide the column by"):
        as_table(x).moments()
    assert as_table(np.c_[x[:, 0], np.full(20, 3.0)]).moments()[1][1, 1] == 0.0


@pytest.mark.parametrize("scale", [1e148, 1e-145])
def test_data_within_the_limits_can_be_fitted(scale, rng):
    x = rng.normal(size=(40, 2)) + np.repeat([[0.0], [8.0]], 20, axis=0)
    fit, scaled = bg.fit_em(x, 2, prior="default", n_init=2), bg.fit_em(scale * x, 2, prior="default", n_init=2)
    np.testing.assert_allclose(scaled.params.means / scale, fit.params.means, rtol=1e-5)


@pytest.mark.parametrize("names", [["a", "b"], ["x0", "x1"], [0, 1], [("g", "a"), ("g", "b")]])
def test_columns_in_another_order_are_put_back_by_name(names):
    frame = pd.DataFrame(X, columns=pd.MultiIndex.from_tuples(names) if isinstance(names[0], tuple) else names)
    fitted = as_table(frame)
    np.testing.assert_array_equal(same_features(frame[names[::-1]], fitted).values, X)
    with pytest.raises(DataError, match="the data have c, d"):
        same_features(pd.DataFrame(X, columns=["c", "d"]), fitted)
    np.testing.assert_array_equal(same_features(X, fitted).values, X)  # arrays carry no names
    np.testing.assert_array_equal(same_features(frame, as_table(X)).values, X)


def test_a_fit_of_an_array_knows_its_columns_as_x0_x1():
    swapped = pd.DataFrame(X[:, ::-1], columns=["x1", "x0"])
    np.testing.assert_array_equal(same_features(swapped, as_table(X)).values, X)


@pytest.mark.parametrize("name", [None, 3, ["iris"], "IRIS", b"iris", {}])
def test_names_that_are_no_data_set(name):
    with pytest.raises(ArgumentError, match="no built-in data set"):
        inspect.unwrap(bg.load_dataset)(name)  # without the tests' type checker


def test_only_parquet_needs_pyarrow(tmp_path, monkeypatch):
    """pyarrow (170 MB) is an extra: without it Parquet files are refused, and polars is read."""
    FRAME.to_parquet(tmp_path / "d.parquet")
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"d\.parquet .*pip install 'bayesgmm\[parquet\]'"):
        read_file(tmp_path / "d.parquet")
    columns = {"a": [1.5, 2.0, 4.0], "b": [1, 3, 2], "c": [Decimal("0.5"), Decimal("1.5"), Decimal("0.25")]}
    expected = np.array([*columns.values()], float).T
    for data in (pl.DataFrame(columns), pl.DataFrame(columns).lazy()):
        np.testing.assert_array_equal(as_table(data).values, expected)
    assert as_table(pl.Series("b", [1, 3, 2])).features == ("b",)
    with pytest.raises(DataError, match="Not numeric: s"):
        as_table(pl.DataFrame({"s": [[1, 2], [3, 4]], "a": [1.0, 2.0]}))
