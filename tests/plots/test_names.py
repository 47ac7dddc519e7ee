"""Names of the user with characters that mean something to a figure, a terminal, a page or a file."""

import random
import warnings
from dataclasses import replace

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from matplotlib.text import Text
from oracles.effort import WHOLE

import bayesgmm as bg
from bayesgmm import plots
from bayesgmm.comparison import terminal
from bayesgmm.errors import DataError
from bayesgmm.runtime.formatting import for_figure, for_html, for_terminal

UGLY = [
    "$", "$x_1$", "a$b", r"\$x\$", "$$", r"\frac{1}{0}$", "_", "_hidden", "^", "a_b^c", "\\", "\\n", "{}", "%s%d", "#&~",
    "[red]", "[/]", "[/red]", "[bold]x", "[link=file:///etc/passwd]x[/link]", ":smile:", "x\\[", "x\\",
    "<script>alert(1)</script>", "<!--", "&amp;", "\"'`", "</td></table>", "{{ 7 * 7 }}", "{% raw %}",
    "\x1b[31mred", "\x1b]0;title\x07", "\x9b2J", "\r", "\n", "two\nlines", "\t", "\x08\x08\x08", "\x7f", "\u2028",
    "\u202emoc.live", "\u2066x", "\u200b", "\ufeffx", "שלום", "مرحبا", "日本語の長い名前", "👩‍👩‍👧", "e\u0301" * 5, "ﷺ",
    "", " ", "  padded  ", "nan", "None", "=1+1", "-1", "1e5", "a,b", 'a"b', "a;b", "a/b", "../x", "..", "x" * 5000, "Ω" * 300,
    "component", "feature", "chain", "draw", "obs", "x", "means", "lp", "point", "0",
]  # fmt: skip


def nasty(count: int, seed: int) -> list[str]:
    """The ugly names, then random mixtures of their parts; all different."""
    source = random.Random(seed)
    names = dict.fromkeys(UGLY)
    while len(names) < count:
        parts = [source.choice(UGLY)[: source.choice([1, 3, 10, 60])] for _ in range(source.randint(2, 5))]
        names["".join(parts)] = None
    return list(names)[:count]


@pytest.fixture(autouse=True)
def closed():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def comparison(reference_data):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", bg.errors.MixingWarning)
        return bg.compare(
            reference_data["iris"], 2, engines=("em", "gibbs"), num_warmup=50, num_samples=50, num_chains=2, n_init=3
        )


def renamed(result, names):
    """The same result on columns of other names."""
    table = replace(result.table, features=tuple(names))
    return replace(result, model=replace(result.model, table=table))


def with_names(comparison, names):
    results = {name: renamed(result, names) for name, result in comparison.results.items()}
    return replace(renamed(comparison, names), results=results)


def drawn(figure):
    """Draw a figure; no text of it may be a formula, unless matplotlib made it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing from font")
        figure.canvas.draw()
        assert all(text.get_window_extent().width < 1500 for text in figure.findobj(Text))
    for text in figure.findobj(Text):
        words, formula = text._preprocess_math(text.get_text())
        assert not formula or "mathdefault" in words, words
        assert not set(words) & set("\x1b\u202e")


def assert_shown(comparison, capsys, tmp_path, monkeypatch=None):
    """Tables, pages and figures of a comparison work and show no control character; all of them with `monkeypatch`."""
    plt.close("all")
    fit, posterior = comparison.results["em"], comparison.results["gibbs"]
    texts = [repr(comparison), repr(fit), repr(posterior), *comparison.verdict()]
    terminal.print_comparison(comparison)
    printed = capsys.readouterr().out
    for text in (*texts, printed):
        assert all(char == "\n" or ord(char) >= 32 for char in text), repr(text)
        assert not set(text) & set("\x7f\x9b\u2028\u202e\u2066")
    pages = [comparison._repr_html_(), fit._repr_html_(), posterior._repr_html_()]
    figures = [plots.plot_components(comparison.results).figure, plots.plot_means(comparison.results)[0, 0].figure]
    named = {name: fit for name in comparison.table.features[:2]}
    figures += [plots.plot_ascent(named).figure, plots.plot_means(named)[0, 0].figure]
    if monkeypatch:
        figures.append(plots.plot_traces(comparison.samplers)[0, 0].figure)
        figures.append(plots.plot_components({"em": fit}, features=(1, 0)).figure)
        partition = bg.partition(posterior)
        checks = bg.predictive_checks(posterior, num=20)
        found = bg.diagnose(posterior, search=False)
        figures += [plots.plot_uncertainty(partition).figure, plots.plot_similarity(partition).figure]
        figures += [*plots.plot_predictive_checks(checks).values(), *found.plot().values()]
        figures += [
            plots.plot_pit(bg.loo_pit(posterior)),
            plots.plot_sensitivity(bg.prior_sensitivity(posterior)).figure,
        ]
        pages += [partition._repr_html_(), checks._repr_html_(), found._repr_html_()]
        monkeypatch.setattr(type(comparison), "diagnose", lambda self, search=True: {"gibbs": found})
        for figure in figures:
            plt.close(figure)  # the report makes more; it still can be drawn
        pages.append(comparison.to_html(tmp_path / "report.html").read_text(encoding="utf-8"))
    for figure in figures:
        drawn(figure)
    for page in pages:
        assert "<script>alert" not in page
        assert not set(page) & set("\x1b\x9b\u202e\x00")


def assert_kept(comparison, folder):
    """Files hold the names as they are."""
    comparison.save(folder)
    with xr.open_datatree(folder / "gibbs.nc", engine="h5netcdf") as tree:
        assert list(tree["posterior"]["feature"].values) == list(comparison.table.features)
    read = pd.read_csv(folder / "summary.csv", index_col=0, keep_default_na=False, lineterminator="\n")
    assert len(read) == len(comparison.to_frame())


def test_ugly_names_are_shown_everywhere(comparison, capsys, tmp_path, monkeypatch):
    ugly = with_names(comparison, ["$x_1$", "<script>alert(1)</script>", "\x1b[31mred\u202e\n[/red]\\", "a/b 日本"])
    assert_shown(ugly, capsys, tmp_path, monkeypatch)
    assert_kept(ugly, tmp_path / "out")


@pytest.mark.parametrize("names", [["\r", "", " ", "_hidden"], ["\\", "$$", "component", "x" * 5000]])
def test_odd_names_are_shown(comparison, names, capsys, tmp_path):
    odd = with_names(comparison, names)
    assert_shown(odd, capsys, tmp_path)
    assert_kept(odd, tmp_path / "out")


@WHOLE
def test_fuzz_over_names(comparison, capsys, tmp_path, monkeypatch):
    names = nasty(100, seed=1)
    for i in range(0, len(names), 4):
        ugly = with_names(comparison, names[i : i + 4])
        assert_shown(ugly, capsys, tmp_path, monkeypatch if i % 60 == 0 else None)
        assert_kept(ugly, tmp_path / str(i))


def test_every_medium_escapes_every_name():
    """Two hundred names in one figure, one table and one page."""
    names = nasty(240, seed=2)
    figure = plt.figure(figsize=(8, 40))
    for i, name in enumerate(names):
        figure.text(0.1, i / len(names), for_figure(name))
    drawn(figure)
    for name in names:
        shown = for_terminal(name)
        assert not set(shown) & set("\n\x1b")
        assert len(shown) <= 60
        assert "<" not in for_html(name)


def test_long_names_that_differ_at_their_ends_stay_different():
    assert for_terminal("x" * 500 + "a") != for_terminal("x" * 500 + "b")
    assert for_terminal("a" + "x" * 500) != for_terminal("b" + "x" * 500)
    assert for_terminal(7) == 7


@pytest.mark.parametrize("name", ["a\0", "\0", "\ud800"])
def test_names_that_no_file_can_hold_are_refused_first(name):
    x = pd.DataFrame(np.eye(3), columns=pd.Index(["a", "b", name], dtype=object))
    with pytest.raises(DataError, match=r"Rename") as refused:
        bg.fit_em(x, 1)
    assert name not in str(refused.value)


def test_messages_show_names_as_escapes():
    with pytest.raises(DataError) as refused:
        bg.fit_em(pd.DataFrame({"\x1b[2Jx": [1.0, 1.0, 1.0], "b\n": [1.0, 2.0, 4.0]}), 1)
    assert r"\x1b[2Jx" in str(refused.value)
