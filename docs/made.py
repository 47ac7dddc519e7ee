"""Pages and pictures that are made when the site is built: copies, the record of the tests, figures of benchmarks."""

import json
import os
import re
import shutil
import textwrap
import xml.etree.ElementTree as ElementTree
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent
MADE = HERE / "made"

COPIED = {"notebooks": "tutorial", "benchmarks/README.md": "benchmarks.md", "CHANGELOG.md": "changelog.md"}
COPIED |= {"ARCHITECTURE.md": "architecture.md", "CONTRIBUTING.md": "contributing.md"}
"""Pages whose source lies outside of this folder: a copy is made here, which git ignores."""
PICTURES = {"benchmarks": "ratios.svg", "scaling": "scaling.svg"}
"""Pages that begin with a picture of the stored figures."""
RUNS = {"out/tests.xml": "`make test`", "out/tests-slow.xml": "`make test-slow`"}
"""Where the tests leave their record."""


def make_pages() -> None:
    """Make all of them."""
    MADE.mkdir(exist_ok=True)
    for source, target in COPIED.items():
        place = ROOT / source
        if place.is_dir():
            shutil.rmtree(HERE / target, ignore_errors=True)
            shutil.copytree(place, HERE / target, ignore=shutil.ignore_patterns("*checkpoints*"))
        else:
            (HERE / target).write_text(with_links(place.read_text(encoding="utf-8"), place.parent), encoding="utf-8")
    (HERE / "checked.md").write_text(record_of_tests(), encoding="utf-8")
    draw_ratios()
    draw_scaling()


def with_links(text: str, folder: Path) -> str:
    """The text of a page in a folder, with its relative links as they are from here."""
    parts = re.split(r"(?<=\]\()((?!https?:|#|mailto:)[^)\s]+)(?=\))", text)  # every second one is a link
    parts[1::2] = [moved(link, folder) for link in parts[1::2]]
    return "".join(parts)


def moved(link: str, folder: Path) -> str:
    """A relative link of a file in a folder, as it is from here."""
    path, _, anchor = link.partition("#")
    target = (folder / path).resolve()
    copies = {(ROOT / source).resolve(): copy for source, copy in COPIED.items()}
    found = copies.get(target, os.path.relpath(target, HERE))
    return found + ("#" + anchor if anchor else "")


def record_of_tests() -> str:
    """A page with the tests that ran on this machine, by subject, from the records that pytest left."""
    lines = [
        "# Tests that ran", "",
        "This page is made from the records that pytest leaves when the tests run (`out/tests.xml`), on the machine "
        "that built this site. What they compare with is on [the page about checks](checks.md).", "",
    ]  # fmt: skip
    for place, command in RUNS.items():
        path = ROOT / place
        if path.exists():
            lines += table_of_tests(path, command)
        else:
            lines += [f"## {command}", "", f"Not run before this site was built: {command} writes `{place}`.", ""]
    return "\n".join(lines)


def table_of_tests(path: Path, command: str) -> list[str]:
    """One row for each file of tests: its subject, how many passed, and their time."""
    suite = ElementTree.parse(path).getroot().find("testsuite")
    assert suite is not None
    files: dict[str, list[ElementTree.Element]] = {}
    for case in suite.iter("testcase"):
        files.setdefault(case.get("classname", "").split(".Test")[0], []).append(case)
    wrong = int(suite.get("failures", 0)) + int(suite.get("errors", 0))
    lines = [
        f"## {command}", "",
        f"{suite.get('timestamp', '')[:16].replace('T', ' ')}: {suite.get('tests')} tests, {wrong} failed, "
        f"{suite.get('skipped')} skipped, {float(suite.get('time', 0)) / 60:.0f} minutes.", "",
        "| subject | passed | seconds | file |", "|---|---|---|---|",
    ]  # fmt: skip
    for name, cases in sorted(files.items()):
        file = Path(*name.split(".")).with_suffix(".py")
        passed = sum(len(case) == 0 or all(part.tag.startswith("system") for part in case) for case in cases)
        seconds = sum(float(case.get("time", 0)) for case in cases)
        lines.append(f"| {subject(ROOT / file)} | {passed} of {len(cases)} | {seconds:.0f} | `{file}` |")
    return [*lines, ""]


def subject(file: Path) -> str:
    """What a file of tests says of itself."""
    text = file.read_text(encoding="utf-8") if file.exists() else ""
    found = re.match(r'"""(.+?)(\.\n|"""|\n\n)', text, re.DOTALL)
    return " ".join(found[1].split()).rstrip(".").replace("|", "\\|") if found else ""


def draw_ratios() -> None:
    """How many times faster, from the tables of benchmarks/README.md."""
    import matplotlib.pyplot as plt

    text = (ROOT / "benchmarks/README.md").read_text(encoding="utf-8")
    rows, base, task, peer = [], "", "", ""
    for line in text.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.split("|")[1:-1]]
        if len(cells) != 5:
            continue
        if cells[0].startswith("…"):
            task = f"{base},{cells[0][1:]}"
        elif cells[0]:
            task, base = cells[0], re.split(r", (?=N=|default|value)", cells[0])[0]
        peer = cells[4].split(":")[0].split(" (")[0] or peer
        if found := re.match(r"([\d.]+)×", cells[3]):
            rows.append((f"{task} · " + peer.replace(" ", "\u00a0"), float(found[1])))
    figure, ax = plt.subplots(figsize=(4.8, 0.46 * len(rows) + 0.8), layout="constrained")
    colors = ["#0072B2" if ratio >= 1 else "#D55E00" for _, ratio in rows]
    ax.barh(range(len(rows)), [ratio - 1 for _, ratio in rows], left=1, color=colors, height=0.3)
    for i, (name, ratio) in enumerate(rows):
        ax.annotate(f"{ratio:g}×", (max(ratio, 1), i), (3, 0), textcoords="offset points", va="center", fontsize=9)
        words = "\n".join(textwrap.wrap(name, 66, break_on_hyphens=False))
        ax.annotate(
            words, (0, i - 0.2), (2, 0), xycoords=("axes fraction", "data"), textcoords="offset points", va="bottom",
            fontsize=8, linespacing=0.95, in_layout=False, bbox={"color": "white", "pad": 0.5},
        )  # fmt: skip
    ax.set_yticks([])
    ax.set_ylim(-0.9, len(rows) - 0.5)
    ax.invert_yaxis()
    ax.set_xscale("log")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_xlim(0.1, right=3 * max(ratio for _, ratio in rows))
    ax.axvline(1.0, color="#666666", linewidth=0.8)
    ax.set_xlabel("times faster than the peer (1: equally fast)")
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    figure.savefig(MADE / PICTURES["benchmarks"])
    plt.close(figure)


def draw_scaling() -> None:
    """Measured passes against the number of rows and of numbers, from benchmarks/results/scaling.json."""
    import matplotlib.pyplot as plt

    found = json.loads((ROOT / "benchmarks/results/scaling.json").read_text())
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.0, 3.4), layout="constrained")
    for dtype, color in (("float32", "#0072B2"), ("float64", "#D55E00")):
        own = [one[1:] for one in found["passes"] if one[0] == dtype]
        by_rows = sorted((n, t) for n, d, k, t in own if (d, k) == (4, 5))
        left.plot(*zip(*[(n, 1e3 * t) for n, t in by_rows], strict=True), "o-", color=color, label=dtype, markersize=4)
        by_dim = sorted((d, n / t / 1e6) for n, d, k, t in own if k == 5 and n <= 400_000 and (n == 400_000 or d != 4))
        right.plot(*zip(*by_dim, strict=True), "o-", color=color, label=dtype, markersize=4)
    left.set(xscale="log", yscale="log", xlabel="rows N (D = 4, K = 5)", ylabel="ms a pass")
    right.set(xscale="log", yscale="log", xlabel="features D (K = 5)", ylabel="million rows per second")
    right.set_xticks([1, 2, 4, 8, 16, 32], ["1", "2", "4", "8", "16", "32"])
    left.legend(frameon=False)
    right.set_yticks([2, 5, 10, 20, 50], ["2", "5", "10", "20", "50"])
    right.minorticks_off()
    left.xaxis.set_major_formatter("{x:,.0f}")
    left.yaxis.set_major_formatter("{x:g}")
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(alpha=0.25)
    figure.savefig(MADE / PICTURES["scaling"])
    plt.close(figure)
