"""The calls that messages advise are tried: each gives data that are read."""

import ast
import datetime
import re

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

from bayesgmm.data.table import as_table, same_features
from bayesgmm.errors import DataError

A, B = np.array([1.5, 2.0, 4.0]), np.array([3.0, 1.0, 2.5])
X = np.c_[A, B]
TEXT = {"a": [str(value) for value in A], "b": B}
WORDS = {"a": A, "b": B, "s": ["u", "v", "w"]}
DAYS = {"a": A, "d": [datetime.datetime(2020, 1, day) for day in (1, 2, 5)]}
FIELDS = [("a", "U4"), ("b", float)]
SPACE = {"np": np, "pl": pl, "pandas": pd}


def calls(message: str) -> list[str]:
    """The expressions in a message that start with x, np, pandas or t."""
    found, end = [], 0
    for match in re.finditer(r"(?<![\w.'(])(?:x[.\[]|np\.|pandas\.|\(t - |t\.|t /)", message):
        if match.start() >= end:
            ends = [stop for stop in range(match.end(), len(message) + 1) if is_call(message[match.start() : stop])]
            end = max(ends)
            found.append(message[match.start() : end])
    return found


def is_call(text: str) -> bool:
    try:
        tree = ast.parse(text, mode="eval").body
    except SyntaxError:
        return False
    return isinstance(tree, ast.Call | ast.Subscript | ast.BinOp | ast.Attribute) and text == text.strip()


def refusal(call, *arguments) -> str:
    with pytest.raises(DataError) as caught:
        call(*arguments)
    return str(caught.value)


@pytest.mark.parametrize(
    "x",
    [
        pd.DataFrame(TEXT), pl.DataFrame(TEXT), pl.DataFrame(TEXT).lazy(), pa.table(TEXT), X.astype(str),
        X.astype(str).tolist(), X.astype(str).astype(object), X.astype("S8"), pd.Series(TEXT["a"]),
        pl.Series(TEXT["a"]), xr.DataArray(X.astype(str)), xr.Dataset({"a": ("row", TEXT["a"]), "b": ("row", B)}),
        np.array(list(zip(TEXT["a"], B, strict=True)), dtype=FIELDS), pd.DataFrame(TEXT).astype({"a": "category"}),
        pl.DataFrame(TEXT).with_columns(pl.col("a").cast(pl.Categorical)),
        pd.DataFrame({"a": pd.Categorical(A), "b": B}),
        pd.DataFrame({0: TEXT["a"], 1: B}), pd.DataFrame({"a": [1.5, 2, "4.0"], "b": B}),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_numbers_as_text_are_converted_by_the_call(x):
    message = refusal(as_table, x)
    (call,) = calls(message)
    found = as_table(eval(call, SPACE, {"x": x})).values
    np.testing.assert_array_equal(found, X if found.shape[1] == 2 else X[:, :1])


@pytest.mark.parametrize(
    "x",
    [pd.DataFrame(WORDS), pl.DataFrame(WORDS), pl.DataFrame(WORDS).lazy(), pa.table(WORDS),
     xr.Dataset({name: ("row", values) for name, values in WORDS.items()}),
     pd.DataFrame(WORDS).assign(s=[[1], [2], [3]]), pd.DataFrame(WORDS).rename(columns={"s": 0})],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_text_is_dropped_by_the_call(x):
    message = refusal(as_table, x)
    (call,) = calls(message)
    np.testing.assert_array_equal(as_table(eval(call, SPACE, {"x": x})).values, X)


@pytest.mark.parametrize("difference", [False, True])
@pytest.mark.parametrize("kind", [pd.DataFrame, pl.DataFrame, pa.table, pl.LazyFrame])
def test_times_become_numbers_by_the_call(kind, difference):
    days = np.array([0.0, 1.0, 4.0])
    x = kind(DAYS | {"d": [datetime.timedelta(day) for day in days]} if difference else DAYS)
    *_, call, column = calls(refusal(as_table, x))
    t = eval(column, SPACE, {"x": x})
    np.testing.assert_array_equal(as_table(eval(call, SPACE, {"t": t})).values[:, 0], days * 86400)


FRAME = pd.DataFrame(X, columns=["a", "b"])


@pytest.mark.parametrize(
    "x",
    [FRAME.groupby("a"), FRAME.groupby("a")["b"], FRAME.rolling(2), FRAME["a"].rolling(2), FRAME.style,
     FRAME.set_index(pd.date_range("2020", periods=3)).resample("D"), pd.MultiIndex.from_arrays(X.T),
     pl.DataFrame(TEXT).group_by("a"), pl.col("a"), pd.Timestamp(2020, 1, 1), pd.NA],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_what_is_made_of_a_table_is_no_table(x):
    message = refusal(as_table, x)
    assert "is not a table" in message
    for call in calls(message):
        assert eval(call, SPACE, {"x": x}).shape[0] == 3


TWO = {"a": ("row", A), "b": ("other", B)}


@pytest.mark.parametrize(
    ("x", "shapes"),
    [
        (xr.Dataset(TWO), [(3, 1), (3, 1), (3, 2)]),
        (xr.Dataset(TWO | {"b": ("other", B[:2])}), [(3, 1), (2, 1)]),
        (xr.Dataset(TWO | {"c": ("row", B)}), [(3, 2), (3, 1), (3, 3)]),
        (xr.Dataset({"v": (("row", "feature"), X)}), [(3, 2), (6, 1)]),
        (xr.Dataset({"v": (("lat", "lon"), X), "w": (("lat", "lon"), X)}, {"z": (("lat", "lon"), X)}), [(6, 2)]),
        (xr.Dataset({"v": (("row", "feature"), X), "w": ("row", A)}), [(3, 2), (6, 1), (3, 1)]),
        (xr.Dataset({"v": ((), 1.0)}), []),
        (xr.Dataset(), []),
        (xr.DataTree.from_dict({"/": xr.Dataset({"a": TWO["a"]})}), [(3, 1)]),
        (xr.DataTree.from_dict({"/p/q": xr.Dataset({"a": TWO["a"]}), "/r": xr.Dataset(TWO)}), [None, (3, 1)]),
    ],
)
def test_a_dataset_with_several_dimensions_is_no_table_and_the_calls_make_one(x, shapes):
    message = refusal(as_table, x)
    found = calls(message)
    assert len(found) == len(shapes), message
    for call, shape in zip(found, shapes, strict=True):
        part = eval(call, SPACE, {"x": x})
        assert shape is None or as_table(part).values.shape == shape


FITTED = as_table(FRAME)


@pytest.mark.parametrize(
    "x",
    [FRAME.iloc[0], FRAME[["b", "a"]].iloc[0], FRAME.assign(c="q").iloc[0], FRAME.astype(object).iloc[0]],
)
def test_one_row_as_a_series_is_named_as_that(x):
    message = refusal(same_features, x, FITTED)
    assert "df.iloc[[0]]" in message
    call = calls(message)[0]
    np.testing.assert_array_equal(same_features(eval(call, SPACE, {"x": x}), FITTED).values, X[:1])


@pytest.mark.parametrize("x", [X[0], X[0].tolist(), pl.Series(X[0]), xr.DataArray(X[0])])
def test_one_row_without_names_is_named_as_that(x):
    (call,) = calls(refusal(same_features, x, FITTED))
    np.testing.assert_array_equal(same_features(eval(call, SPACE, {"x": x}), FITTED).values, X[:1])


MORE = {"c": np.ones(3), "b": B, "a": A}


@pytest.mark.parametrize(
    "x",
    [
        pd.DataFrame(MORE), pl.DataFrame(MORE), pl.LazyFrame(MORE), pa.table(MORE), FRAME.assign(c="q"),
        xr.Dataset({name: ("row", values) for name, values in MORE.items()}),
        xr.DataArray(np.c_[X, A], dims=("row", "f"), coords={"f": ["a", "b", "c"]}),
        np.array(list(zip(*MORE.values(), strict=True)), dtype=[(name, float) for name in MORE]),
    ],
    ids=lambda x: type(x).__name__,
)  # fmt: skip
def test_columns_beside_those_of_the_fit_are_named(x):
    message = refusal(same_features, x, FITTED)
    assert "columns that the fit has not: c" in message
    (call,) = calls(message)
    np.testing.assert_array_equal(same_features(eval(call, SPACE, {"x": x}), FITTED).values, X)


def test_columns_that_lack_are_named():
    assert "the new data lack b" in refusal(same_features, FRAME[["a"]], FITTED)
    assert "the new data lack b" in refusal(same_features, FRAME.rename(columns={"b": "z"}).assign(c=1), FITTED)
    assert "the new data have 4" in refusal(same_features, np.c_[X, X], FITTED)
    numbered = as_table(pd.DataFrame(X))
    (call,) = calls(refusal(same_features, pd.DataFrame(np.c_[X, A]), numbered))
    assert call == "x[[0, 1]]"


def test_a_dict_of_one_row_is_read_by_the_call():
    for x in ({"a": 1.0, "b": 2.0}, {"a": [1.0], "b": [2.0]}):
        (call,) = calls(refusal(as_table, x))
        np.testing.assert_array_equal(as_table(eval(call, SPACE, {"x": x})).values, [[1.0, 2.0]])
