"""Tables in Markdown and LaTeX: every name of a user is text, and digits are those of the terminal."""

import re

import arviz as az
import numpy as np
import pandas as pd
import pytest
from fuzz import objects

from bayesgmm.results.parameters import flatten
from bayesgmm.runtime.written_tables import latex, markdown

NASTY = [
    "a|b",
    "x_1",
    "_y_",
    "50 %",
    "\\cmd{x}",
    "a&b",
    "$m$",
    "*bold*",
    "`c`",
    "#1",
    "~^",
    "<b>",
    "[l](u)",
    "a\nb",
    "\x1b[31m",
]
FRAME = pd.DataFrame({name: [1.23456, -2.0] for name in NASTY}, index=pd.Index(["[first", "* second"], name="row"))


def test_a_table_in_markdown_has_a_cell_for_each_number():
    lines = markdown(FRAME).splitlines()
    cells = [re.split(r"(?<!\\)\|", line)[1:-1] for line in lines]
    assert {len(row) for row in cells} == {len(NASTY) + 1}
    assert [cell.strip() for cell in cells[2][1:]] == ["1.235"] * len(NASTY)
    assert set(lines[1]) == set("|:-")
    assert len(lines) == 4
    assert "\x1b" not in markdown(FRAME)


def test_markdown_is_read_as_it_was_meant():
    """nbconvert's reader of Markdown shows each name as it is."""
    mistune = pytest.importorskip("mistune")
    html = mistune.html(markdown(FRAME)) if hasattr(mistune, "html") else mistune.markdown(markdown(FRAME))
    import html as entities

    heads = [entities.unescape(text) for text in re.findall(r"<th[^>]*>(.*?)</th>", html)]
    assert heads[1:] == [name.replace("\n", "\\n").replace("\x1b", "\\x1b") for name in NASTY]


def test_a_table_in_latex_escapes_every_sign():
    text = latex(FRAME)
    assert text.startswith("\\begin{tabular}{l" + "r" * len(NASTY) + "}\n\\toprule\nrow & ")
    assert text.endswith("\\bottomrule\n\\end{tabular}\n")
    for line in text.splitlines():
        if line.endswith(r"\\"):
            assert len(re.findall(r"(?<!\\)&", line)) == len(NASTY)
            bare = re.sub(r"\\[&%#_{}$]|\\text\w+\{\}|\$[^$]*\$", "", line.removesuffix(r"\\"))
            assert not set(bare) & set("\\%#_$~^<>|") or bare == "{}"
    assert "{}[first & 1.235" in text  # a bracket after a line break would be its argument
    assert "$-2.000$" in text


def test_numbers_in_latex_have_the_signs_of_mathematics():
    frame = pd.DataFrame({"a": ["-1.5 ± 0.2", "1.2e-05", "-3e+08", "–", "[-1, 2]", "x-1"]})
    cells = [line.split(" & ")[1].removesuffix(r" \\") for line in latex(frame).splitlines() if line[:1].isdigit()]
    assert cells == [
        r"$-1.5$ $\pm$ 0.2", r"$1.2 \times 10^{-5}$", r"$-3 \times 10^{8}$", "--", "[$-1$, 2]", "x-1",
    ]  # fmt: skip


def test_every_result_has_its_tables():
    made = (objects.fit(), objects.gibbs(), objects.comparison(), objects.table(), objects.by_class(), objects.study())
    for result in made:
        assert result.to_markdown().count("\n") >= 4
        assert r"\midrule" in result.to_latex()
    shown = objects.gibbs().summary().shown().loc["means[0, x0]", "mean"]
    assert f"| {shown} |" in re.sub(" +", " ", objects.gibbs().to_markdown())
    assert "means[0, x0]" in objects.fit().intervals().to_markdown()


def test_draws_in_one_table_have_the_names_of_arviz():
    posterior = objects.gibbs()
    table = posterior.to_dataframe()
    assert table.shape == (120, 3 + 12)
    assert list(table.columns[:5]) == ["chain", "draw", "lp", "weights[0]", "weights[1]"]
    names = az.summary(posterior.datatree, var_names=["weights", "means", "covariances"], kind="stats").index
    assert set(table.columns[3:]) <= set(names)
    row = table[(table["chain"] == 1) & (table["draw"] == 7)].iloc[0]
    tree = posterior.datatree["posterior"].sel(chain=1, draw=7)
    assert row["means[1, x0]"] == float(tree["means"].sel(component=1, feature="x0"))
    assert row["covariances[0, x0, x1]"] == float(tree["covariances"].sel(component=0, feature="x0", feature_bis="x1"))
    assert row["lp"] == float(posterior.datatree["sample_stats"]["lp"].sel(chain=1, draw=7))
    one = objects.fit().to_dataframe()
    assert one.shape == (1, 15)
    np.testing.assert_array_equal(one.iloc[0, 3:].to_numpy(float), flatten(objects.fit().params))
    assert one["lp"].item() == objects.fit().objective


def test_the_table_of_fits_has_a_row_for_each_cell():
    table = objects.table().to_dataframe()
    assert len(table) == 4
    assert table["bic"].min() == objects.table().best.bic()
    pd.testing.assert_frame_equal(objects.comparison().to_dataframe(), objects.comparison().to_frame())
    pd.testing.assert_frame_equal(objects.study().to_dataframe(), objects.study().to_frame())


def test_latex_makes_no_other_sign_of_two():
    text = latex(pd.DataFrame({"a--b ''c'' ,,d": ["---", "x--1"]}))
    assert "a-{}-b '{}'c'{}' ,{},d" in text
    assert "-{}-{}- " in text
    assert "x-{}$-1$" in text
