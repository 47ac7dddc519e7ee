"""Known classes from a column of a file."""

import numpy as np
import pandas as pd
import pytest

from bayesgmm.data.class_column import number_classes
from bayesgmm.data.files import read_file
from bayesgmm.errors import DataError


@pytest.mark.parametrize(
    ("values", "labels", "words"),
    [
        (["oak", "", "ash", "oak"], [1, -1, 0, 1], "ash is 0, oak is 1; 1 rows unknown"),
        ([2, 0, -1, None], [2, 0, -1, -1], "0 to 2, as in the file; 2 rows unknown"),
        ([3, 1, 3, np.nan], [1, 0, 1, -1], "1 is 0, 3 is 1; 1 rows unknown"),
        ([10, 9, 1, 1], [2, 1, 0, 0], "1 is 0, 9 is 1, 10 is 2"),  # as numbers, not as text
        ([True, False, True, None], [1, 0, 1, -1], "False is 0, True is 1"),
        (["0", "1", " 1 ", ""], [0, 1, 1, -1], "0 to 1, as in the file"),
        (list("abcdefghij"), list(range(10)), "h is 7, …"),
    ],
)
def test_classes_are_numbered_and_the_numbers_are_told(values, labels, words):
    found, note = number_classes(pd.Series(values, name="kind", dtype=object))
    np.testing.assert_array_equal(found, labels)
    assert note.startswith("classes kind: ")
    assert words in note


def test_a_column_of_classes_is_no_feature(tmp_path):
    path = tmp_path / "trees.csv"
    path.write_text("height,kind,girth\n1.5,oak,2\n2.5,,3\n3.5,ash,5\n4.5,oak,4\n")
    said = []
    table = read_file(path, None, said.append, labels="kind")
    assert table.features == ("height", "girth")
    np.testing.assert_array_equal(table.labels, [1, -1, 0, 1])
    assert said[0].endswith("classes kind: ash is 0, oak is 1; 1 rows unknown.")
    assert read_file(path, "girth", None, labels="kind").features == ("girth",)
    iris = read_file("iris", None, None, labels="Species")
    np.testing.assert_array_equal(iris.labels, np.repeat([0, 1, 2], 50))
    for columns, label, words in (
        (None, "nope", "No column nope. Choose from height, kind, girth"),
        ("height,kind", "kind", "kind is the column of classes"),
    ):
        with pytest.raises(DataError, match=words):
            read_file(path, columns, None, labels=label)
    path.write_text("kind\na\nb\n")
    with pytest.raises(DataError, match="only column"):
        read_file(path, None, None, labels="kind")
    path.write_text("height,kind\n1,\n2,\n")
    with pytest.raises(DataError, match="holds no class"):
        read_file(path, None, None, labels="kind")
