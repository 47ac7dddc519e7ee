"""Workbooks of Excel, Feather, Arrow and NumPy files, and standard input: read as text with the same numbers is."""

import datetime
import io
import sys
import zipfile

import numpy as np
import openpyxl
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bayesgmm.data import excel
from bayesgmm.data.files import read_file
from bayesgmm.errors import DataError

ROWS = [[1.5, 2.0], [3.0, 4.25]]
FRAME = pd.DataFrame(ROWS, columns=["a", "b"])


def workbook(path, sheets):
    """A workbook by openpyxl alone: sheets by title, each a list of rows; ``None`` is an empty cell."""
    book = openpyxl.Workbook()
    book.remove(book.active)
    for title, rows in sheets.items():
        sheet = book.create_sheet(title)
        for row in rows:
            sheet.append(row)
    book.save(path)


PLAIN = [["a", "b"], *ROWS]
READ = {
    # what it is: sheets, words in the line about what was read
    "plain": ({"one": PLAIN}, "2 rows, 2 columns (a, b)."),
    "empty sheets beside it": ({"notes": [], "one": PLAIN, "more": [[None]]}, "(a, b)."),
    "index of pandas": ({"one": [[None, "a", "b"], [0, *ROWS[0]], [1, *ROWS[1]]]}, "row names dropped"),
    "row names": ({"one": [[None, "a", "b"], ["u", *ROWS[0]], ["v", *ROWS[1]]]}, "row names dropped"),
    "away from the corner": ({"one": [[None] * 3, *([None, *row] for row in PLAIN), [None] * 3]}, "(a, b)."),
    "blanks around names": ({"one": [[" a", "b "], *ROWS]}, "(a, b)."),
    "a column without a value": ({"one": [["a", "b", "c"], *([*row, None] for row in ROWS)]}, "column c dropped"),
}


@pytest.mark.parametrize("kind", READ)
def test_workbooks_are_read_as_text_is(tmp_path, kind):
    sheets, words = READ[kind]
    path, lines = tmp_path / "d.xlsx", []
    workbook(path, sheets)
    table = read_file(path, say=lines.append)
    np.testing.assert_array_equal(table.values, ROWS)
    assert words in lines[0]


def test_gaps_and_whole_numbers_of_workbooks(tmp_path):
    workbook(tmp_path / "d.xlsx", {"one": [["a", "b", "kind"], [1, None, "u"], [3, 4, "v"], [5, "NA", "v"]]})
    table = read_file(tmp_path / "d.xlsx", "b,a", labels="kind")
    np.testing.assert_array_equal(table.values, [[np.nan, 1.0], [4.0, 3.0], [np.nan, 5.0]])
    assert table.labels.tolist() == [0, 1, 1]


REFUSED = {
    "two sheets": ({"one": PLAIN, "two": PLAIN}, r"2 sheets of .* hold data: 'one', 'two'.*sheet_name='one'"),
    "nothing": ({"one": []}, "its sheets are empty"),
    "a single row": ({"one": [["a", "b"]]}, "no rows"),
    "no header": ({"one": ROWS}, "numbers, not names.*header=None"),
    "a title": ({"one": [["Study of 2020", None], *PLAIN]}, "Column 2 of sheet 'one' .*delete the title"),
    "a formula without its result": (
        {"one": [["a", "b"], [1, "=A2*2"], [3, "=A3*2"]]},
        "without its result in cell B2",
    ),
    "a total": ({"one": [*PLAIN, ["Total", 6.25]]}, "'Total' in row 3 below the names.*delete it"),
    "two names alike": ({"one": [["a", "a"], *ROWS]}, "Two columns are called a"),
    "text": ({"one": [["a", "b"], [1.5, "x"], [3.0, "y"]]}, "Not numeric: b, with .x. in row 1 .*--columns a"),
    "an index that does not count": ({"one": [[None, "a"], [7, 1.5], [3, 2.5]]}, "Column 1 of sheet"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_workbooks_that_are_not_certain_are_refused(tmp_path, kind):
    sheets, words = REFUSED[kind]
    workbook(tmp_path / "d.xlsx", sheets)
    with pytest.raises(DataError, match=words):
        read_file(tmp_path / "d.xlsx", say=lambda line: None)


def test_a_workbook_in_an_archive_and_dates_as_row_names(tmp_path):
    days = [[None, "a", "b"], *([datetime.date(2020, 1, i + 1), *row] for i, row in enumerate(ROWS))]
    workbook(tmp_path / "d.xlsx", {"one": days})
    with zipfile.ZipFile(tmp_path / "d.zip", "w") as archive:
        archive.write(tmp_path / "d.xlsx", "d.xlsx")
    for name in ("d.xlsx", "d.zip"):
        np.testing.assert_array_equal(read_file(tmp_path / name).values, ROWS)


def test_two_columns_of_parquet_with_one_name(tmp_path):
    pq.write_table(pa.table([[1.0, 2.0], [3.0, 5.0]], names=["a", "a"]), tmp_path / "d.parquet")
    with pytest.raises(DataError, match="Two columns are called a"):
        read_file(tmp_path / "d.parquet")


def test_the_call_for_one_of_several_sheets_works(tmp_path):
    path = tmp_path / "d.xlsx"
    workbook(path, {"one": PLAIN, "two": PLAIN})
    np.testing.assert_array_equal(pd.read_excel(path, sheet_name="one").to_numpy(), ROWS)


def test_broken_protected_and_huge_workbooks(tmp_path, monkeypatch):
    path = tmp_path / "d.xlsx"
    path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600))
    with pytest.raises(DataError, match="protected by a password"):
        read_file(path)
    workbook(path, {"one": PLAIN})
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(DataError, match="could not be read as a workbook"):
        read_file(path)
    path.write_bytes(whole)
    monkeypatch.setattr(excel, "free_memory", lambda: 1000)
    with pytest.raises(DataError, match="when unpacked"):
        read_file(path)
    with zipfile.ZipFile(tmp_path / "d.csv", "w") as archive:  # a workbook of another name
        for name in zipfile.ZipFile(io.BytesIO(whole)).namelist():
            archive.writestr(name, zipfile.ZipFile(io.BytesIO(whole)).read(name))
    monkeypatch.undo()
    np.testing.assert_array_equal(read_file(tmp_path / "d.csv").values, ROWS)


def test_only_workbooks_need_openpyxl(tmp_path, monkeypatch):
    workbook(tmp_path / "d.xlsx", {"one": PLAIN})
    for name in [name for name in sys.modules if name.partition(".")[0] == "openpyxl"]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(DataError, match=r"pip install 'bayesgmm\[excel\]'"):
        read_file(tmp_path / "d.xlsx")


def test_arrow_and_numpy_files(tmp_path):
    FRAME.to_feather(tmp_path / "d.feather")
    table = pa.table(FRAME)
    with pa.OSFile(str(tmp_path / "stream.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
        writer.write_table(table)
    with pa.OSFile(str(tmp_path / "file.arrow"), "wb") as file, pa.ipc.new_file(file, table.schema) as writer:
        writer.write_table(table)
    np.save(tmp_path / "d.npy", np.array(ROWS))
    np.save(tmp_path / "fields.npy", FRAME.to_records(index=False))
    for name in ("d.feather", "stream.arrow", "file.arrow", "d.npy", "fields.npy"):
        found = read_file(tmp_path / name)
        assert found.features == (("x0", "x1") if name == "d.npy" else ("a", "b"))
        np.testing.assert_array_equal(found.values, ROWS)


class Trap:
    """Runs code if a pickle with it is read."""

    def __reduce__(self):
        return pytest.fail, ("a pickle was read",)


def test_arrays_that_are_no_table_are_refused(tmp_path):
    np.save(tmp_path / "cube.npy", np.ones((2, 2, 2)))
    np.save(tmp_path / "pickle.npy", np.array([Trap(), 1.0], object), allow_pickle=True)
    np.save(tmp_path / "cut.npy", np.ones((99, 2)))
    (tmp_path / "cut.npy").write_bytes((tmp_path / "cut.npy").read_bytes()[:-9])
    for name, words in (("cube", r"shape \(2, 2, 2\)"), ("pickle", "Object arrays"), ("cut", "could not be read")):
        with pytest.raises(DataError, match=words):
            read_file(tmp_path / f"{name}.npy")


class Typed(io.StringIO):
    def isatty(self):
        return True


def stdin(raw: bytes):
    return io.TextIOWrapper(io.BytesIO(raw))


def test_standard_input_is_read_as_a_file_is(tmp_path, monkeypatch):
    for raw, words in [
        (b"a;b\n1,5;2\n3;4,25\n", "Read standard input: 2 rows, 2 columns (a, b), separated by semicolons"),
        ("a,b\n1.5,2\n3,4.25\n".encode("utf-16"), "encoding utf-16"),
        (b",a,b\n0,1.5,2\n1,3,4.25\n", "row names dropped"),
    ]:
        lines = []
        monkeypatch.setattr("sys.stdin", stdin(raw))
        np.testing.assert_array_equal(read_file("-", say=lines.append).values, ROWS)
        assert words in lines[0]
    for stream, words in [
        (stdin(b" \n"), "Standard input is empty"), (Typed(), "is a terminal"), (None, "is closed"),
        (stdin(b"a,b\n1,x\n2,y\n"), "Not numeric: b, with 'x' in line 2 of standard input"),
    ]:  # fmt: skip
        monkeypatch.setattr("sys.stdin", stream)
        with pytest.raises(DataError, match=words):
            read_file("-")
    (tmp_path / "-").write_text("a,b\n1.5,2\n3,4.25\n")  # a file of that name has another path
    np.testing.assert_array_equal(read_file(tmp_path / "-").values, ROWS)
