"""Files of every kind are read rightly, or refused with the line and the call that works."""

import lzma
import os
import re
import shlex
import zipfile

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from bayesgmm.cli import app
from bayesgmm.data.files import read_file
from bayesgmm.data.table import as_table
from bayesgmm.errors import DataError

ROWS = [[1.5, 2.0], [3.0, 4.25]]
READ = {
    # what it is: text, words in the line about what was read
    "plain": ("a,b\n1.5,2\n3,4.25\n", "2 rows, 2 columns (a, b)."),
    "blanks around names": ("a , b\n1.5, 2\n3, 4.25 \n", "(a, b)."),
    "Windows": ("a,b\r\n1.5,2\r\n3,4.25\r\n", "(a, b)."),
    "old Macintosh": ("a,b\r1.5,2\r3,4.25", "(a, b)."),
    "tabs": ("a\tb\n1.5\t2\n3\t4.25\n", "separated by tabs"),
    "bars": ("a|b\n1.5|2\n3|4.25\n", "separated by bars"),
    "blanks": (" a   b\n1.5 2\n  3 4.25 \n", "separated by blanks"),
    "semicolons": ("a;b\n1.5;2\n3;4.25\n", "separated by semicolons"),
    "Excel's own line": ("sep=;\na;b\n1.5;2\n3;4.25\n", "separated by semicolons"),
    "comments and empty lines": (
        "# by me\n\na,b\n1.5,2\n# rest, later\n\n3,4.25\n\n",
        "(a, b), 1 line with # left out.",
    ),
    "write.csv of R": ('"","a","b"\n"1",1.5,2\n"2",3,4.25\n', "row names dropped"),
    "write.table of R": ('"a" "b"\n"Mazda RX4" 1.5 2\n"Fiat" 3 4.25\n', "row names dropped"),
    "the same, comma": ("a,b\n1,1.5,2\n2,3,4.25\n", "row names dropped"),
    "index of pandas": (",a,b\n0,1.5,2\n1,3,4.25\n", "row names dropped"),
    "index that pandas read": ("Unnamed: 0,a,b\n0,1.5,2\n1,3,4.25\n", "row names dropped"),
    "comma ends rows": ("a,b\n1.5,2,\n3,4.25,\n", "empty column without a name dropped"),
    "comma ends all": ("a,b,\n1.5,2,\n3,4.25,\n", "empty column"),
    "comma ends header": ("a,b,\n1.5,2\n3,4.25\n", "(a, b)."),
    "comments above": ("# by me\n# 1,2\na,b\n1.5,2\n3,4.25\n", "(a, b)."),
    "three digits, semicolons": ("a;b\n1.5;2.000\n3;4.25\n", "separated by semicolons"),
}
INFERRED = {
    "decimal commas": ("a;b\n1,5;2\n3;4,25\n", "separated by semicolons, decimal commas"),
    "and tabs": ("a\tb\n1,5\t2\n3\t4,25\n", "decimal commas"),
    "and blanks": ("a b\n1,5 2\n3 4,25\n", "decimal commas"),
    "in quotes": ('a,b\n"1,5","2"\n"3","4,25"\n', "decimal commas"),
    "write.csv2 of R": ('"";"a";"b"\n"1";1,5;2\n"2";3;4,25\n', "row names dropped"),
    "spreadsheet": ("a;b;;\n1,5;2;;\n3;4,25;;\n;;;\n;;;\n", "decimal commas"),
    "commas in names, too": (
        "a, cm;b, kg\n1,5;2,0\n3,0;4,25\n",
        '("a, cm", "b, kg"), separated by semicolons, decimal',
    ),
    "no header": ("1.5,2\n3,4.25\n", "(x0, x1), no header"),
    "no header, two decimal commas": ("1,5;2,0\n3,0;4,25\n", "separated by semicolons, no header, decimal commas"),
    "no header, np.savetxt": ("1.500e+00 2.000e+00\n3.000e+00 4.250e+00\n", "no header"),
    "no header, signs": ("+1.5,2\n3,4.25\n", "no header"),
    "no header, capital": ("15E-1,2\n3,4.25\n", "no header"),
    "no header, decimal commas": ("1,5;2\n3;4,25\n", "no header, decimal commas"),
}
REFUSED = {
    "one column of 1,5 2,7": ("a\n1,5\n2,7\n3,1\n", "decimal comma, or two columns"),
    "thousands or decimals": ("a\n1,234\n4,732\n", r"1,234 in line 2, column a\. Is the mark"),
    "thousands or decimals in quotes": ('a,b\n"1,234",2\n"2,000",4\n', "of decimals or of thousands"),
    "points between semicolons": ("a;b\n1.234;2\n2.000;4\n", "of decimals or of thousands"),
    "points and commas": ("a;b\n1.5;2,5\n2;4\n", "mixes decimal marks"),
    "decimal commas and commas": ("a,b\n1,5,2,5\n3,1,4,1\n", "line 2: 4 field"),
    "header too short": ("a,b\n1,5,2\n3,1,4\n", r"index_col=0"),
    "short row": ("a,b,c\n1,2,3\n\n1,2\n4,5,6\n", "line 4: 2 field"),
    "long row": ("# c\na,b\n1,2\n1,2\n3,4,5\n", "line 5: 3 field"),
    "quote not closed": ('a,b\n1,2\n"3,4\n5,6\n', "line 4: 1 field"),
    "empty line in one column": ("a\n1\n\n2\n", "line 3: empty"),
    "text": ("a,b\n1,2\n3,n.a.\n", r"Not numeric: b, with 'n.a.' in line 3 .*1 of 2 values"),
    "two names alike": ("a,a\n1,2\n3,4\n", "Two columns are called a"),
    "no name": (",a\n3,1.5\n9,2.5\n", "without a name"),
    "whole numbers": ("1,2\n3,4\n", "not names.*--columns.*header=None"),
    "numbers beside text": ("name,2019\nx,1.5\ny,2\n", r"numbers \(2019\), not names"),
    "first row NA": ("NA,2\n3,4\n", "not names"),
    "number among names": ("?,2.5\n1,2\n3,4\n", "has the number 2.5 beside '\\?'.*header=None"),
    "decimal comma among names": ("k.A.;1,5\n1,0;2,5\n3,5;4,5\n", "has the number 1,5 beside 'k.A.'"),
    "comment or row": ("a,b\n#1,2\n3,4\n5,6\n#2,2\n", r"line 2: it begins with #.*2 such lines.*comment='#'"),
    "values in other forms": ("a,b\n1,2\n2,3\n0x10,4\n4,4\n", r"'0x10' in line 4 .*Use --columns b\.$"),
    "true among numbers": ("a,b\n1,2\n2,3\nTRUE,4\n4,4\n", r"'TRUE' in line 4 .*Use --columns b\.$"),
    "another error of Excel": ("a,b\n1,2\n#REF!,3\n3,4\n4,5\n", r"'#REF!' in line 3 .*na_values=\['#REF!'\]"),
    "total": ("a,b\n1,2\n2,3\n4,4\nTotal,9\n", r"'Total' in line 5 .*total or a note.*skiprows=\[4\]\) leaves it out"),
    "no rows": ("a,b\n", "no rows"),
    "nothing": (" \n \n", "is empty"),
    "binary": ("a,b\n1,2\n\0,4\n", "line 3: a zero byte"),
    "one long field": ("a\n" + "9" * 200_000, "field larger than"),
}


@pytest.mark.parametrize("kind", READ | INFERRED)
def test_text_is_read_rightly_and_says_how(tmp_path, kind):
    text, words = (READ | INFERRED)[kind]
    path, lines = tmp_path / "d.csv", []
    path.write_text(text, newline="")
    table = read_file(path, say=lines.append)
    np.testing.assert_array_equal(table.values, ROWS)
    assert len(lines) == 1
    assert words in lines[0]
    if kind in INFERRED:  # nobody would see what was inferred
        with pytest.raises(DataError, match=r"Read it with (pandas\.read_csv\(.*\)), and") as caught:
            read_file(path)
        call = re.search(r"pandas\.read_csv\(.*?\)(?=,)", str(caught.value)).group()
        np.testing.assert_array_equal(as_table(eval(call, {"pandas": pd, "path": path})).values, ROWS)
    else:
        np.testing.assert_array_equal(read_file(path).values, ROWS)


@pytest.mark.parametrize("kind", REFUSED)
def test_text_that_is_not_certain_is_refused(tmp_path, kind):
    text, words = REFUSED[kind]
    path = tmp_path / "d.csv"
    path.write_text(text, newline="")
    with pytest.raises(DataError, match=words):
        read_file(path, say=lambda line: None)


def test_errors_of_excel_in_the_first_column_are_gaps_and_no_comments(tmp_path):
    path, lines = tmp_path / "d.csv", []
    path.write_text("a,b\n1,2\n#N/A,3\n #n/a ,5\n#NV,8\n")
    values = read_file(path, say=lines.append).values
    np.testing.assert_array_equal(values, [[1, 2], [np.nan, 3], [np.nan, 5], [np.nan, 8]])
    assert "3 gaps" in lines[0]
    path.write_text("# mine\na,b,c\n1,#DIV/0!,2\n3,4,6\n7,8,9\n")  # pandas' comment='#' would cut the line
    with pytest.raises(DataError, match=r"skiprows=\[0\]") as caught:
        read_file(path)
    call = re.search(r"pandas\.read_csv\(.*?\)(?=,)", str(caught.value)).group()
    values = as_table(eval(call, {"pandas": pd, "path": path})).values
    np.testing.assert_array_equal(values, [[1, np.nan, 2], [3, 4, 6], [7, 8, 9]])


def test_a_total_is_left_out_by_the_call(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("a,b\n1,2\n2,3\n4,4\nTotal,9\n")
    with pytest.raises(DataError) as caught:
        read_file(path)
    assert "--columns" not in str(caught.value)
    call = re.search(r"(pandas\.read_csv\(.*?\)) leaves", str(caught.value))[1]
    np.testing.assert_array_equal(as_table(eval(call, {"pandas": pd, "path": path})).values, [[1, 2], [2, 3], [4, 4]])


def test_a_column_that_counts_the_rows_is_kept_and_told(tmp_path):
    path, lines = tmp_path / "d.csv", []
    path.write_text("id,a\n" + "".join(f"{i + 1},{i * i % 7}\n" for i in range(20)))
    assert read_file(path, say=lines.append).features == ("id", "a")
    assert read_file(path, "id,a", say=lines.append).features == ("id", "a")
    assert "id counts the rows (leave it out by --columns if it is an index)" in lines[0]
    assert "counts the rows" not in lines[1]


def test_a_file_that_is_called_minus_is_no_standard_input(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "-").write_text("a,b\n1.5,2\n3,4.25\n")
    np.testing.assert_array_equal(read_file("./-").values, ROWS)


@pytest.mark.parametrize("spelling", ["", "NA", "nan", "NULL", "n/a"])
def test_gaps_in_files_are_kept_and_told(tmp_path, spelling):
    path, lines = tmp_path / "d.csv", []
    path.write_text(f"a,b,none\n1,{spelling},{spelling}\n3,4,{spelling}\n5,6,{spelling}\n")
    table = read_file(path, say=lines.append)
    np.testing.assert_array_equal(table.values, [[1.0, np.nan], [3.0, 4.0], [5.0, 6.0]])
    assert "1 gap in 1 row" in lines[0]
    assert "column none dropped: it holds no value" in lines[0]


def test_text_columns_are_named_with_the_choice_that_works(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text('kind,"a, b",c,day\nx,1,2,2020-01-01\ny,3,4.25,2020-01-02\n')
    with pytest.raises(DataError, match="Not numeric: kind") as caught:
        read_file(path)
    chosen = shlex.split(re.search(r"--columns (.*?), or", str(caught.value)).group(1))
    np.testing.assert_array_equal(read_file(path, chosen[0]).values, [[1.0, 2.0], [3.0, 4.25]])


def test_thousands_marks_are_read_where_they_are_certain(tmp_path):
    (tmp_path / "us.csv").write_text('a,b\n"1,234,567.5",2\n"2,000",4\n"-12.25",5\n')
    (tmp_path / "eu.csv").write_text("a;b\n1.234.567,5;2\n2.000;4\n-12,25;5\n")
    (tmp_path / "odd.csv").write_text("a;b\n1.234.567,5;2\n20.00;4\n-12,25;5\n")
    for name in ("us.csv", "eu.csv"):
        values = read_file(tmp_path / name, say=lambda line: None).values
        np.testing.assert_array_equal(values[:, 0], [1234567.5, 2000.0, -12.25])
    with pytest.raises(DataError, match=r"mixes decimal marks|Not numeric: a"):
        read_file(tmp_path / "odd.csv", say=lambda line: None)


def test_lines_beyond_the_sample_are_checked_too(tmp_path):
    path, rows = tmp_path / "d.csv", [f"{i}.5,{i}.25" for i in range(3000)]
    for row, words in (("1.5", "line 2502: 1 field"), ("1,2,3", "line 2502: 3 field"), ("1;5,2", "'1;5' in line 2502")):
        path.write_text("\n".join(["a,b", *rows[:2500], row, *rows[2500:]]))
        with pytest.raises(DataError, match=words):
            read_file(path)
    path.write_text("\n".join(["a;b", *(row.replace(",", ";").replace(".", ",") for row in rows), "1.5;2"]))
    with pytest.raises(DataError, match=r"'1.5' in line 3002"):
        read_file(path, say=lambda line: None)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "latin-1"])
def test_encodings(tmp_path, encoding):
    path, lines = tmp_path / "d.csv", []
    path.write_bytes("länge,b\n1.5,2\n3,4.25\n".encode(encoding))
    assert read_file(path, say=lines.append).features == ("länge", "b")
    assert {"utf-16": "encoding utf-16", "latin-1": "read as latin-1"}.get(encoding, "") in lines[0]


@pytest.mark.parametrize("name", ["d.CSV", "d.TSV", "d.txt", "d", "d.csv.gz", "d.csv.bz2", "d.csv.XZ", "d.zip"])
def test_suffixes_and_packing(tmp_path, name):
    frame = pd.DataFrame(ROWS, columns=["a", "b"])
    frame.to_csv(tmp_path / name.replace("XZ", "xz"), index=False, sep="\t" if name == "d.TSV" else ",")
    if name.endswith("XZ"):
        (tmp_path / "d.csv.xz").rename(tmp_path / name)
    np.testing.assert_array_equal(read_file(tmp_path / name).values, ROWS)
    for parquet in ("d.PARQUET", "d.pq"):
        frame.to_parquet(tmp_path / parquet)
        np.testing.assert_array_equal(read_file(tmp_path / parquet).values, ROWS)


def test_what_is_no_file_of_data_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe.csv")
    for name in ("d.zip", "d.xz", "d.gz", "d.bz2", "d.xlsx", "d.npy", "d.feather", "d.ods", "d.npz"):
        (tmp_path / name).write_bytes(b"junk")
    (tmp_path / "cut.xz").write_bytes(lzma.compress(b"a,b\n1,2\n")[:-9])
    with zipfile.ZipFile(tmp_path / "two.zip", "w") as archive:
        archive.writestr("a.csv", "a\n1\n")
        archive.writestr("b.csv", "a\n1\n")
    for path, words in [
        (tmp_path, "is a folder"), (tmp_path / "pipe.csv", "pipe or device"), ("/dev/zero", "pipe or device"),
        ("x" * 5000, "too long|No file"), ("a\0b.csv", "could not be read"), (tmp_path / "two.zip", "2 files"),
        (tmp_path / "d.ods", "pandas.read_excel"), (tmp_path / "d.npz", "numpy.load"),
        (tmp_path / "d.xlsx", "could not be read as a workbook of Excel"),
        (tmp_path / "d.npy", "could not be read as an array of NumPy"),
        (tmp_path / "d.feather", "could not be read as a Feather file"),
        *((tmp_path / name, "could not be unpacked") for name in ("d.zip", "d.xz", "d.gz", "d.bz2", "cut.xz")),
    ]:  # fmt: skip
        with pytest.raises(DataError, match=words) as caught:
            read_file(path)
        assert len(str(caught.value)) < 500


def test_columns_are_chosen_by_names_with_commas(tmp_path):
    path = tmp_path / "d.csv"
    pd.DataFrame({"length, cm": [1.5, 3.0], "b": [2.0, 4.25], "2019": [5, 6], "s": ["x", "y"]}).to_csv(
        path, index=False
    )
    assert read_file(path, '"length, cm", b').features == ("length, cm", "b")
    assert read_file(path, "length, cm").features == ("length, cm",)
    assert read_file(path, "2019,b").features == ("2019", "b")
    assert read_file(path, ["length, cm"]).features == ("length, cm",)
    with pytest.raises(DataError, match=r'No column a. Choose from "length, cm", b, 2019, s'):
        read_file(path, "a,b")
    with pytest.raises(DataError, match="No column is named"):
        read_file(path, ",")


def test_the_command_line_says_what_it_read(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("a;b\n" + "".join(f"{i},5;{i * i % 7},25\n" for i in range(20)))
    command = [
        "fit",
        str(path),
        "-k",
        "1",
        "--families",
        "VVI",
        "--starts",
        "1",
        "--quiet",
        "--out",
        str(tmp_path / "o"),
    ]
    run = CliRunner().invoke(app, command)
    assert run.exit_code == 0
    assert "20 rows, 2 columns (a, b), separated by semicolons, decimal commas." in run.stderr
    assert "20 rows" not in run.stdout


def test_what_a_column_of_rows_cannot_be_is_said_by_its_name(tmp_path):
    path = tmp_path / "q.csv"
    path.write_text("a,b,w\n1,2,x\n2,3,y\n3,?,x\n4,1,y\n5,2,x\n")
    with pytest.raises(DataError, match=r"w in .* cannot be weights \(--weights\), because it has 'x'"):
        read_file(path, weights="w")
    with pytest.raises(DataError, match=r"w is given for weights .* and for classes"):
        read_file(path, weights="w", labels=" w ")
    with pytest.raises(DataError, match=r"takes .\?. for values that were not seen and drops w") as refused:
        read_file(path)
    call = re.search(r"read it with (.*?), which", str(refused.value))
    table = as_table(eval(call[1], {"pandas": pd, "path": path}))
    assert (table.num_rows, table.gaps, table.features) == (5, 1, ("a", "b"))
