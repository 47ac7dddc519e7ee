"""Tables at a terminal: no line is wider than it, and no number is cut, whatever the width."""

import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from rich.cells import cell_len

import bayesgmm as bg
from bayesgmm.comparison import terminal
from bayesgmm.comparison.comparison import Comparison
from bayesgmm.runtime.formatting import as_text, cells_of, fitting, intervals, plus_minus

WIDTHS = [40, 80, 120]


def check(text, cells, width):
    """Every line fits, and every cell of every row stands in the text in one piece."""
    lines = text.splitlines()
    assert max(map(cell_len, lines)) <= width, max(lines, key=cell_len)
    words = re.split(r"  +|\n", text)
    stripped = {word.strip() for word in words}
    for row in cells.to_numpy():
        for cell in row:
            assert cell in stripped, (cell, width)


@pytest.fixture
def wide(rng):
    """Seven engines, long names, and numbers of every size."""
    rows = [f"means[{k}, a feature with a long name {k}]" for k in range(3)] + ["weights[0]", "名前の長い特徴量"]
    mean = rng.normal(size=(5, 7)) * 10.0 ** rng.integers(-6, 9, (5, 7))
    sd = np.abs(mean) * 10.0 ** rng.integers(-3, 2, (5, 7))
    cells = [plus_minus(a, b) for a, b in zip(mean, sd, strict=True)]
    names = ["mle", "em", "cavi", "svi", "laplace", "gibbs", "an engine with a name of its own"]
    return pd.DataFrame(cells, rows, names)


@pytest.mark.parametrize("width", WIDTHS)
def test_numbers_are_never_cut(wide, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    check(as_text("a title of many words " * 10, wide), cells_of(wide), width)


@pytest.mark.parametrize("width", WIDTHS)
def test_every_result_fits_the_terminal(small_results, width, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(width))
    for result in small_results:
        lines = repr(result).splitlines()
        assert max(map(cell_len, lines)) <= width, (type(result), max(lines, key=cell_len))


@pytest.fixture(scope="module")
def small_results():
    x = np.random.default_rng(0).normal(size=(60, 2)) + 4.0 * np.repeat([0, 1], 30)[:, None]
    fit = bg.fit_em(x, 2, n_init=4)
    posterior = bg.sample_gibbs(x, 2, num_warmup=20, num_samples=40, num_chains=2, progress_bar=False)
    table = bg.fit_table(x, [1, 2], ["VVV", "EII"], n_init=4, progress_bar=False)
    comparison = Comparison(posterior.model, 0, {"em": fit, "gibbs": posterior})
    return [fit, posterior, table, comparison, posterior.summary(), posterior.convergence, bg.relabel(posterior),
            bg.diagnose(posterior, search=False), bg.partition_distances({"em": fit, "gibbs": posterior})]  # fmt: skip


@pytest.mark.parametrize("width", WIDTHS)
def test_the_command_line_prints_within_the_width(small_results, width, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(width))
    table, comparison, diagnosis = small_results[2], small_results[3], small_results[7]
    terminal.print_table(table)
    terminal.print_comparison(comparison)
    terminal.print_comparison(replace(comparison, interval=0.9))
    terminal.print_diagnosis(diagnosis)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(cell_len, lines)) <= width, max(lines, key=cell_len)
    shown = "\n".join(lines)
    parameters = ~comparison.summary().index.str.startswith("covariances")
    for cell in comparison.summary().loc[parameters].to_numpy().ravel():
        assert cell in shown
    for cell in comparison.summary(0.9).loc[parameters].to_numpy().ravel():
        assert cell in shown


def test_large_criteria_keep_their_order(small_results, monkeypatch, capsys):
    """19,180 and 10,02x are not shortened; decimals go before digits do."""
    monkeypatch.setenv("COLUMNS", "80")
    found = small_results[2]
    values = pd.DataFrame([[1e5 + 10 * i + j + 0.25 for i in range(2)] for j in range(9)], range(1, 10), ["EII", "VVV"])
    monkeypatch.setattr(type(found), "frame", lambda self, figure=None: values if figure is None else values.gt(100016))
    terminal.print_table(found)
    printed = capsys.readouterr().out
    assert all(f"{value:.0f}" in printed for value in values.to_numpy().ravel())
    assert printed.count("K=") == 9
    assert printed.count("†") == int(values.gt(100016).to_numpy().sum()) + 1


@pytest.mark.parametrize(
    ("mean", "sd", "shown"),
    [
        (39.0612, 0.113, "39.06 ± 0.11"), (19180.43, 0.0996, "19180.43 ± 0.10"), (3.632, 12.5, "4 ± 12"),
        (0.00001234, 1.2e-6, "0.0000123 ± 0.0000012"), (2.0, 9.96, "2 ± 10"), (0.5, 0.0, "0.5000 ± 0"),
        (-3.2, np.nan, "-3.200"),
        (1.6e9, 3.2e6, "1600000000 ± 3200000"),
    ],
)  # fmt: skip
def test_digits_fit_the_sd(mean, sd, shown):
    assert plus_minus([mean], [sd]) == [shown]


def test_rounding_keeps_half_a_unit_of_the_second_digit(rng):
    for _ in range(300):
        mean, sd = rng.normal() * 10.0 ** rng.integers(-9, 12), abs(rng.normal()) * 10.0 ** rng.integers(-12, 9)
        found = [float(text) for text in fitting([mean, mean + sd], sd)]
        unit = 10.0 ** np.floor(np.log10(sd))
        largest = max(abs(mean), sd) * 1e-14
        assert abs(found[0] - mean) <= 0.05 * unit * (1 + 1e-6) + largest


def test_intervals_stand_beside_the_estimate():
    assert intervals([39.0612, 2.5], [0.113, np.nan], [38.84, np.nan], [39.28, np.nan]) == [
        "39.06 [38.84, 39.28]",
        "2.500",
    ]


def test_signs_that_an_encoding_lacks_are_replaced():
    assert terminal._encodable("1 ± 2 – † … K₊ × é", "ascii") == "1 +/- 2 - * ... K+ x ?"
    assert terminal._encodable("1 ± 2 × é …", "latin-1") == "1 ± 2 × é ..."
    assert terminal._encodable("1 ± 2 – K₊", "utf-8") == "1 ± 2 – K₊"
