"""The calls that messages advise are tried: each gives data that are read."""

import ast
import bz2
import datetime
import gzip
import lzma
import re
import tracemalloc
import zipfile

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import xarray as xr

from bayesgmm.data.files import read_file
from bayesgmm.data.order import same_features
from bayesgmm.data.table import as_table
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


# --- Files ---

N = range(1, 21)
LEFT, RIGHT = np.array([i + 0.5 for i in N]), np.array([i * i % 7 + 0.25 for i in N])
PLAIN = [f"{i}.5,{i * i % 7}.25" for i in N]


def column(form: str, separator: str = ",", head: str = "a,b", foot: tuple[str, ...] = ()) -> str:
    """A file with a column in some form and a plain one."""
    mark = "," if separator == ";" else "."
    rows = [separator.join([form.format(i=i), f"{i * i % 7}{mark}25"]) for i in N]
    return "\n".join([head.replace(",", separator), *rows, *foot]) + "\n"


ARABIC = {ord("0") + digit: 0x660 + digit for digit in range(10)}
FILES = {
    # what it is: the text, words of the message, and the first and last value of a in the table of each call
    "title": ("My data\n" + column("{i}.5"), "line 1 ('My data') stands above line 2 (a, b)", [(1.5, 20.5)]),
    "title of two lines": ("My data\n\nby me\n" + column("{i},5", ";"), "above line 4 (a, b)", []),
    "title before whole numbers": ("My data\n" + column("{i}"), "above line 2 (a, b)", [(1, 20)]),
    "title with separators": ("My data,\n" + column("{i}.5"), "above line 2 (a, b)", [(1.5, 20.5)]),
    "title with as many fields": ("My, data\n" + column("{i}.5"), "above line 2", [(1.5, 20.5)] * 2),
    "units": ("a,b\n" + column("{i}.5", head="cm,kg"), "above line 2 (cm, kg)", [(1.5, 20.5)] * 2),
    "percent": (column("{i}.5%"), "'1.5%' in line 2", [(1.5, 20.5)]),
    "percent, decimal commas": (column("{i},5 %", ";"), "'1,5 %' in line 2", [(1.5, 20.5)]),
    "percent in one cell": (column("{i}.5", foot=("21%,3.25",)), "'21%' in line 22", [(1.5, 21)]),
    "percent and empty": (column("{i}%", foot=(",3.25",)), "'1%' in line 2", [(1, np.nan)]),  # a gap
    "dollars": (column("${i}.50"), "'$1.50' in line 2", [(1.5, 20.5)]),
    "thousands of dollars": (column('"${i},250.50"'), "'$1,250.50'", [(1250.5, 20250.5)]),
    "dollars in doubt": (column('"${i},250"'), "'$1,250'", [(1.25, 20.25), (1250, 20250)]),
    "euros": (column("{i}.250,50 €", ";"), "'1.250,50 €'", [(1250.5, 20250.5)]),
    "pounds before a sign": (column("£ {i}"), "'£ 1'", [(1, 20)]),
    "unit": (column("{i}.5 kg"), "'1.5 kg'", [(1.5, 20.5)]),
    "minus of typographers": (column("−{i}.5"), "'−1.5'", [(-1.5, -20.5)]),
    "Arabic-Indic digits": (column("{i}.5", foot=("٣,3.25",)), "'٣' in line 22", [(1.5, 3)]),
    "all Arabic-Indic": (column("{i}.5").translate(ARABIC), "'١.٥'", [(1.5, 20.5)]),
    "Arabic decimals": (column("{i}٫5").translate(ARABIC), "'١٫٥'", [(1.5, 20.5)]),
    "blanks between thousands": (column("{i} 377,5", ";"), "'1 377,5'", [(1377.5, 20377.5)]),
    "thousands among points": (column("{i}.5", foot=('"1,396",3.25',)), "1,396 in line 22, column a", [(1.5, 1396)]),
    "thousands or decimals": (column('"{i},396"'), "1,396 in line 2, column a", [(1.396, 20.396), (1396, 20396)]),
    "marks differ between columns": (column("{i}.5", ";"), "(?s)mixes decimal marks", [(1.5, 20.5)]),
    "points between semicolons": (column("{i}.500", ";"), "decimals or of thousands", [(1.5, 20.5), (1500, 20500)]),
    "spelling of missing": (column("{i}.5", foot=("n.a.,3.25",)), "'n.a.' in line 22", [(1.5, np.nan)]),
    "labels": (column("{i}.5,u", head="a,s,b"), "Not numeric: s, with 'u'", [(1.5, 20.5)]),
    "labels and percent": (column("{i}%,u", head="a,s,b"), "Not numeric too: s", [(1, 20)]),
    "labels x1": (column("{i}.5,x{i}", head="a,s,b"), "Not numeric: s, with 'x1'", [(1.5, 20.5)]),
    "two currencies": (column("{i}.5,$3", head="a,s,b", foot=("1.5,€4,1",)), "Not numeric: s, with '$3'", [(1.5, 1.5)]),
    "zero byte": (column("{i}.5", foot=("1\0,3.25",)), "line 22: a zero byte", [(1.5, 20.5)]),
    "last line": (column("{i}.5", foot=("Source: me",)), "line 22: 1 field", [(1.5, 20.5)]),
    "names of rows": ("\n".join(["a,b", *(f"r{i},{i}.5%,2" for i in N)]), "'1.5%' in line 2", [(1.5, 20.5)]),
    "no header": (column("{i}.5%", head="7.5,8.25"), "'1.5%'", []),
    "comments": ("# mine\n" + column("{i}.5%"), "'1.5%' in line 3", [(1.5, 20.5)]),
    "Excel's own line": ("sep=;\n" + column("{i}%", ";"), "'1%' in line 3", [(1, 20)]),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_refused_is_read_by_the_call(tmp_path, kind, packed):
    text, words, ends = FILES[kind]
    path = tmp_path / "d.csv"
    path.write_bytes(gzip.compress(text.encode()) if packed else text.encode())
    message = refusal(lambda: read_file(path, say=lambda line: None))
    assert words.removeprefix("(?s)") in message
    found = calls(message)
    if ends:
        assert len(found) == len(ends), message
    for call, (first, last) in zip(found, ends, strict=bool(ends)):
        table = as_table(eval(call, SPACE, {"path": path}))
        values = table.values[:, table.features.index("a") if "a" in table.features else 0]
        np.testing.assert_array_equal((values[0], values[-1]), (first, last))


@pytest.mark.parametrize(
    ("form", "separator", "first"),
    [("{i}'377.5", ",", 1377.5), ("{i}'377", ",", 1377), ("{i}’377,5", ";", 1377.5), ("{i}\xa0377,5", ";", 1377.5),
     ("{i}\u202f377'", ",", None), ("-{i}'377'000.5", ",", -1377000.5), ("{i}'37", ",", None)],
)  # fmt: skip
def test_marks_that_only_ever_part_thousands_are_read(tmp_path, form, separator, first):
    path, lines = tmp_path / "d.csv", []
    path.write_text(column(form, separator))
    if first is None:
        assert "Not numeric: a" in refusal(lambda: read_file(path, say=lines.append))
        return
    table = read_file(path, say=lines.append)
    assert table.values[0].tolist() == [first, 1.25]
    assert "thousands marked by" in lines[0]


def test_calls_are_for_the_chosen_columns(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text(column("{i}%,u", head="a,s,b"))
    (call,) = calls(refusal(read_file, path, "a,b"))
    assert as_table(eval(call, SPACE, {"path": path})).features == ("a", "b")


PACKINGS = {"gz": gzip.compress, "bz2": bz2.compress, "xz": lzma.compress}


@pytest.mark.parametrize("name", ["d.csv", "d.txt", "d", "d.gz", "d.zip"])
@pytest.mark.parametrize("packing", PACKINGS)
def test_first_bytes_say_what_a_file_is(tmp_path, packing, name):
    path = tmp_path / name
    path.write_bytes(PACKINGS[packing](column("{i}.5").encode()))
    assert read_file(path).values[-1].tolist() == [20.5, 1.25]
    path.write_bytes(PACKINGS[packing](path.read_bytes()))
    assert "packed twice" in refusal(read_file, path)


def test_tables_with_the_suffix_of_another_kind(tmp_path):
    path = tmp_path / "d.csv"
    FRAME.to_parquet(path)
    np.testing.assert_array_equal(read_file(path).values, X)
    xr.Dataset({"a": ("row", A)}).to_netcdf(path, engine="h5netcdf")
    assert "xarray.open_dataset" in refusal(read_file, path)
    with path.open("wb") as file:
        np.save(file, X)
    np.testing.assert_array_equal(read_file(path).values, X)
    with zipfile.ZipFile(path, "w") as archive:
        for member in ("[Content_Types].xml", "xl/workbook.xml"):
            archive.writestr(member, "<xml>")
    assert "could not be read as a workbook of Excel" in refusal(read_file, path)


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
def test_utf_16_without_a_mark_is_read(tmp_path, encoding):
    path, lines = tmp_path / "d.csv", []
    path.write_bytes(column("{i}.5", head="länge,b").encode(encoding))
    assert read_file(path, say=lines.append).features == ("länge", "b")
    assert f"encoding {encoding}" in lines[0]
    path.write_bytes(column("{i}.5%").encode(encoding))
    (call,) = calls(refusal(read_file, path))
    assert as_table(eval(call, SPACE, {"path": path})).values[-1].tolist() == [20.5, 1.25]


@pytest.mark.parametrize("name", ["d.gz", "d.bz2", "d.xz", "d.zip", "d.csv"])
def test_what_unpacks_to_more_than_the_memory_is_refused_before_it_is_unpacked(tmp_path, monkeypatch, name):
    path, size = tmp_path / name, 2**28
    if name == "d.zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("d.csv", b"1" * size)
    else:
        path.write_bytes(PACKINGS.get(path.suffix[1:], gzip.compress)(b"1" * size))
    monkeypatch.setattr("bayesgmm.data.packing.free_memory", lambda: 8e7)
    tracemalloc.start()
    try:
        message = refusal(read_file, path)
        assert tracemalloc.get_traced_memory()[1] < 5e7
    finally:
        tracemalloc.stop()
    assert "holds more than 0.01 GB when unpacked" in message
    monkeypatch.setattr("bayesgmm.data.paths.free_memory", lambda: 100.0)
    assert "more than the free memory" in refusal(read_file, path)
