"""The report: one page that needs nothing else, for screens of any width, in light and dark, and on paper."""

import html as entities
import itertools
import re
import shutil
import subprocess
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.comparison import citing
from bayesgmm.comparison.report import report
from bayesgmm.comparison.report_estimates import MOST_OPEN, Group, Section, derived, sections
from bayesgmm.comparison.report_math import formula
from bayesgmm.comparison.report_words import data_facts, mixture, without_code
from bayesgmm.engines.engine import engine_names
from bayesgmm.runtime.formatting import shortened

NASTY = ("<b>&\"'</td>{{ 7 * 7 }} שלום \u202e\N{GRINNING FACE}", "<script>alert(1)</script>" + "y" * 180)
COMMAND = "bayesgmm compare '<i>&.csv' -k 2 --seed 2"
SECTIONS = ["question", "answer", "data", "model", "estimates", "pictures", "cost", "versions", "again", "cite"]
VOID = {"meta", "img", "br", "link", "input", "hr"}
BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Page(HTMLParser):
    """Tags, attributes and texts of a page; fails where a tag closes another one than the last that was opened."""

    def __init__(self, html: str):
        super().__init__()
        self.tags, self.texts, self._open = [], [], []
        self.feed(html)
        self.close()
        assert not self._open

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs), [name for name, _ in self._open]))
        if tag not in VOID:
            self._open.append((tag, attrs))

    def handle_endtag(self, tag):
        assert self._open.pop()[0] == tag, f"</{tag}> at {self.getpos()}"

    def handle_data(self, data):
        if self._open and self._open[-1][0] not in ("style", "script"):
            self.texts.append(data)

    def of(self, *names):
        return [(tag, attrs) for tag, attrs, _ in self.tags if tag in names]


@pytest.fixture(scope="module")
def nasty(reference_data):
    frame = reference_data["faithful"].set_axis(NASTY, axis=1)
    short = {"num_warmup": 150, "num_samples": 400, "num_chains": 4}
    return bg.compare(frame, 2, engines=("em", "gibbs"), em_intervals="information", seed=2, **short)


@pytest.fixture(scope="module")
def html(nasty):
    return report(nasty, COMMAND).decode()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_sections_and_headings_are_in_order(page):
    assert [attrs["id"] for _, attrs in page.of("section")] == SECTIONS
    levels = [int(tag[1]) for tag, _ in page.of("h1", "h2", "h3", "h4")]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))
    links = {attrs["href"] for _, attrs in page.of("a")}
    assert links <= {f"#{name}" for name in SECTIONS}


def test_every_picture_says_what_it_shows(page):
    pictures = page.of("img")
    assert len(pictures) == 5  # data, means, ranks, traces, ascent
    assert all(len(attrs["alt"]) > 20 and "{" not in attrs["alt"] for _, attrs in pictures)
    assert all(attrs["src"].startswith("data:image/png;base64,") for _, attrs in pictures)


def test_nothing_is_loaded(page, html):
    for _, attrs, _ in page.tags:
        assert not set(attrs) & {"srcset", "data", "action", "onclick", "onload", "onerror"}
        for name in ("src", "href"):
            assert name not in attrs or attrs[name].startswith(("data:image/png;base64,", "#"))
    assert not page.of("link", "iframe", "object", "embed", "base")
    assert not re.search(r"https?://|@import|url\(", re.sub('base64,[^"]+', "", html))
    assert len(page.of("script")) == 1  # which opens what is folded, before it is printed


def test_names_are_text(page, html):
    for name in NASTY:
        shown = shortened(name.replace("\u202e", r"\u202e"))
        assert sum(shown in text for text in page.texts) >= 8
    assert "<script>alert" not in html
    assert "\u202e" not in html
    assert "49" not in "".join(text for text in page.texts if "&" in text)
    assert COMMAND in page.texts
    assert not re.search(r"&amp;(amp|lt|gt|quot|#39|#34);", html)  # escaped once


def test_rows_of_a_table_have_equal_numbers_of_cells(html):
    tables = re.findall(r"<table[ >].*?</table>", html, re.DOTALL)
    assert len(tables) >= 9
    for table in tables:
        rows = re.findall(r"<tr.*?</tr>", table, re.DOTALL)
        spans = [[int(one or 1) for one in re.findall(r'<t[hd](?:>|[^>]*?(?:colspan="(\d+)")?>)', row)] for row in rows]
        assert len({sum(row) for row in spans}) == 1
    assert html.count("<table>") + html.count('<table class="costs">') == html.count(
        '<div class="scroll" tabindex="0"><table'
    )


def test_paper_and_dark_have_their_rules(html):
    style = re.findall(r"<style>(.*?)</style>", html, re.DOTALL)[0]
    printed = style[style.index("@media print") :]
    assert "details::details-content { content-visibility: visible" in printed
    assert re.search(r"figure[^}]*\{ break-inside: avoid", printed)
    assert "beforeprint" in html
    assert style.count("@media screen and (prefers-color-scheme: dark)") == 2
    assert style.count("{") == style.count("}")


def test_standard_deviations_and_correlations_stand_for_covariances(nasty):
    table = derived(nasty, None)
    draws = nasty.results["gibbs"].params.covariances
    sds = np.sqrt(draws[..., [0, 1], [0, 1]])
    np.testing.assert_allclose(table.loc["sds"]["gibbs", "estimate"], sds.mean(axis=(0, 1)).ravel())
    np.testing.assert_allclose(table.loc["sds"]["gibbs", "sd"], sds.std(axis=(0, 1)).ravel())
    correlations = draws[..., 0, 1] / sds.prod(axis=-1)
    np.testing.assert_allclose(table.loc["correlations"]["gibbs", "estimate"], correlations.mean(axis=(0, 1)))
    # Delta method of a root: the relative error is half of that of the variance.
    own = nasty.estimates()["em"].filter(regex=r"^covariances\[(\d), (.*), \2\]$", axis=0)
    np.testing.assert_allclose(own["estimate"] ** 0.5, table.loc["sds"]["em", "estimate"])
    np.testing.assert_allclose(
        own["sd"] / own["estimate"], 2 * table.loc["sds"]["em", "sd"] / own["estimate"].to_numpy() ** 0.5
    )
    ends = derived(nasty, 0.95).loc["sds"]["em"]
    np.testing.assert_allclose(ends[["lower", "upper"]], own[["lower", "upper"]] ** 0.5)
    one = nasty.fit_intervals(0.95)["em"]
    found = [one.of_correlation(k, *nasty.table.features) for k in range(nasty.n_components)]
    np.testing.assert_allclose(derived(nasty, 0.95).loc["correlations"]["em"][["sd", "lower", "upper"]], found)


def test_the_table_puts_what_matters_first_and_folds_what_is_long(nasty):
    found = sections(nasty)
    assert [section.title.split(":")[0] for section in found] == [
        "Weights",
        "Means",
        "Standard deviations",
        "Correlations",
    ]
    assert [section.num_rows for section in found] == [2, 4, 4, 2]
    assert all(section.is_open for section in found)
    long = Section("Means", [Group("", "", [("a", "", ["1"])] * (MOST_OPEN + 1))])
    assert not long.is_open


def test_the_answer_describes_the_mixture_in_words(nasty):
    found = mixture(nasty)
    assert found is not None
    name, what, lines = found
    assert (name, what) == ("gibbs", "posterior mean ± sd")
    assert [k for k, _ in lines] == [0, 1]
    assert lines[0][1].startswith("35.")
    assert "% of the rows, centred at" in lines[0][1]
    line = without_code(nasty, [f"The largest difference is in means[0, {NASTY[0]}]."])
    assert line == [f"The largest difference is in the mean of {NASTY[0]} in component 0."]


def test_what_is_known_of_rows_is_said(reference_data):
    x = reference_data["faithful"].copy()
    x.iloc[40:60, 1] = np.nan
    labels = np.full(len(x), -1)
    labels[:3] = [1, 0, 1]
    facts = dict(data_facts(bg.compare(x, 2, engines="em", labels=labels, n_init=2)))
    assert facts["Gaps"].startswith("20 values missing in 20 rows (3.68 %")
    assert facts["Known classes"] == "rows: 1 of class 0 and 2 of class 1; 269 unknown. Component k is class k"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("weights ~ Dirichlet([1.000, 1.000])", "<i>π</i> ∼ Dirichlet(1, 1)"),
        ("Σ_k ~ inverse-Wishart(df = 4.000, scale = [[0.5000, -1.200e-05], [0, 120.0]])",
         "Σ<sub><i>k</i></sub> ∼ inverse-Wishart(df = 4, scale = <table class=\"matrix\"><tbody><tr><td>0.5</td><td>"
         "−1.2 × 10<sup>−5</sup></td></tr><tr><td>0</td><td>120</td></tr></tbody></table>)"),
        ("μ_k | Σ_k ~ N([3.488, -70.90], Σ_k / 0.01000)",
         "<i>μ</i><sub><i>k</i></sub> | Σ<sub><i>k</i></sub> ∼ N((3.488, −70.9), Σ<sub><i>k</i></sub> / 0.01)"),
        ("weights_k = V_k Π_{j<k} (1 - V_j)",
         "<i>π</i><sub><i>k</i></sub> = <i>V</i><sub><i>k</i></sub> Π<sub><i>j</i>&lt;<i>k</i></sub> (1 − "
         "<i>V</i><sub><i>j</i></sub>)"),
        ("<b> & [open", "&lt;b&gt; &amp; [open"),
    ],
)  # fmt: skip
def test_priors_are_set_as_formulas(line, words):
    assert formula(line) == f'<div class="formula">{words}</div>'


def test_wide_matrices_are_folded_below_their_formula():
    rows = ", ".join(["[1, 2, 3, 4, 5]"] * 5)
    found = formula(f"Σ_k ~ inverse-Wishart(df = 7, scale = [{rows}])")
    assert 'scale = <i>S</i>)</div><details class="matrix"><summary><i>S</i> (5 × 5)</summary>' in found
    assert found.count("<td>") == 25
    Page(str(found))


def test_citations_are_those_of_the_repository(nasty):
    path = Path(bg.__file__).parents[1] / "CITATION.cff"
    text = path.read_text(encoding="utf-8")
    assert f'title: "{citing.TITLE}"' in text
    assert f"- name: {citing.AUTHORS}" in text
    assert f"version: {bg.__version__}" in text
    assert {*citing.PAPERS, "exact"} >= set(engine_names())
    assert [what for what, _ in citing.papers(nasty)] == ["em", "gibbs", "default prior", "R-hat and ESS"]


SCRIPT = """<script>
const width = () => document.documentElement.scrollWidth - innerWidth;
const before = width();
document.querySelectorAll("details").forEach(part => { part.open = true; });
const lost = [...document.querySelectorAll("p, li, dd, summary, h1, h2, h3, pre, figcaption")]
  .filter(part => part.scrollWidth > part.clientWidth + 1 && getComputedStyle(part).display !== "inline").length;
const tables = [...document.querySelectorAll(".scroll > table")].map(table => table.parentNode);
const cut = Math.max(...tables.map(box => box.scrollWidth - box.clientWidth));
parent.postMessage([innerWidth, before, width(), lost, cut].join(" "), "*");
</script></body>"""
FRAMES = """<title></title><script>addEventListener("message", said => { document.title += said.data + ";"; });</script>
<iframe src="report.html" style="width:390px;height:900px;border:0"></iframe>
<iframe src="report.html" style="width:1280px;height:900px;border:0"></iframe>"""


@pytest.mark.skipif(
    BROWSER is None, reason="needs Chromium or Chrome on PATH: chromium, chromium-browser, google-chrome"
)
def test_no_page_is_wider_than_its_window(html, tmp_path):
    """At 390 and 1280 pixels, folded and unfolded; a browser reports no error."""
    path = tmp_path / "report.html"
    path.write_text(html.replace("</body>", SCRIPT), "utf-8")
    measured, console = in_browser(tmp_path)
    assert sorted(measured) == [390, 1280]
    for before, after, lost, _ in measured.values():
        assert (before, after, lost) == (0, 0, 0)
    assert not re.search("CONSOLE", console), console


@pytest.mark.slow
@pytest.mark.skipif(
    BROWSER is None, reason="needs Chromium or Chrome on PATH: chromium, chromium-browser, google-chrome"
)
def test_seven_engines_fit_on_a_desk(reference_data, monkeypatch, tmp_path):
    """At 1280 pixels no table scrolls."""
    short = {"num_warmup": 150, "num_samples": 400, "num_chains": 4}
    made = bg.compare(reference_data["faithful"], 2, engines=("mle", "em", "gibbs", "nuts"), seed=2, **short)
    results = made.results | dict.fromkeys(("cavi", "svi", "laplace"), made.results["gibbs"])
    monkeypatch.setattr(type(made), "diagnose", lambda self: {})
    html = report(replace(made, results=results)).decode()
    (tmp_path / "report.html").write_text(html.replace("</body>", SCRIPT), "utf-8")
    measured, _ = in_browser(tmp_path)
    assert measured[390][:3] == measured[1280][:3] == [0, 0, 0]
    assert measured[1280][3] <= 0


def in_browser(folder):
    """For each width: by how much the page is too wide (folded, unfolded), texts that are cut, scrolling of tables."""
    (folder / "frames.html").write_text(FRAMES, "utf-8")
    words = [
        str(BROWSER), "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={folder / 'profile'}",
        "--hide-scrollbars", "--enable-logging=stderr", "--window-size=1300,900", "--virtual-time-budget=20000", "--dump-dom",
    ]  # fmt: skip
    shown = subprocess.run(
        [*words, (folder / "frames.html").as_uri()], capture_output=True, text=True, check=True, timeout=300
    )
    title = re.search("<title>(.*?)</title>", shown.stdout)
    assert title is not None
    parts = [list(map(int, part.split())) for part in entities.unescape(title[1]).split(";") if part]
    return {part[0]: part[1:] for part in parts}, shown.stderr
