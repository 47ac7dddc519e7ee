"""Progress at a terminal, in a pipe and in the kernel of a notebook."""

import io
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from oracles.effort import WHOLE

import bayesgmm as bg
from bayesgmm.runtime import progress_display
from bayesgmm.runtime.progress import listening
from bayesgmm.runtime.progress_display import Run, duration

ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


class Stream(io.TextIOWrapper):
    """Standard error of one encoding, which may say that it is a terminal."""

    def __init__(self, encoding="utf-8", tty=False):
        super().__init__(io.BytesIO(), encoding=encoding, errors="strict", newline="")
        self.tty = tty

    def isatty(self):
        return self.tty

    def written(self):
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)


def two_runs(listener):
    listener("nuts", 0, 2, "")
    for done in (400, 1200, 2000):
        listener("gibbs", done, 2000, "warm-up" if done < 1000 else "")
    listener("nuts", 2, 2, "")
    listener("calibrate [é]", 3, 200, "12 divergences")


def shown(monkeypatch, progress, stream):
    monkeypatch.setattr(sys, "stderr", stream)
    with listening(progress) as listener:
        two_runs(listener)
    return stream.written()


@pytest.mark.parametrize(("encoding", "name"), [("utf-8", "é"), ("ascii", r"\?")])
def test_a_pipe_gets_one_line_per_run(monkeypatch, encoding, name):
    lines = shown(monkeypatch, True, Stream(encoding)).split("\n")
    assert re.fullmatch(r"gibbs 2000/2000 in \d\.\d s", lines[0])
    assert re.fullmatch(r"nuts 2/2 in \d\.\d s", lines[1])
    assert re.fullmatch(rf"calibrate \[{name}\] 3/200 in \d\.\d s, 12 divergences", lines[2])
    assert lines[3:] == [""]


def test_a_pipe_gets_nothing_unless_asked(monkeypatch):
    assert shown(monkeypatch, None, Stream()) == ""


@pytest.mark.parametrize(
    ("columns", "settings", "encoding"),
    [(40, {}, "utf-8"), (80, {"NO_COLOR": "1"}, "utf-8"), (80, {}, "ascii"), (120, {"TERM": "dumb"}, "utf-8")],
)
def test_terminals_of_any_width_show_whole_numbers(monkeypatch, columns, settings, encoding):
    for name, value in {"TERM": "xterm", "COLUMNS": str(columns), **settings}.items():
        monkeypatch.setenv(name, value)
    written = shown(monkeypatch, None, Stream(encoding, tty=True))
    if "NO_COLOR" in settings:
        assert not re.search(r"\x1b\[[0-9;]*m", written)
    lines = [line.rstrip() for line in re.split(r"[\r\n]+", ANSI.sub("", written))]
    assert max(map(len, lines)) <= columns
    assert "…" not in written
    last = " ".join(" ".join(lines[-6:]).split())
    assert re.search(r"gibbs [━╺╸-]* ?2000/2000 in \d\.\d s calibrate \[.\] .*3/200 in \d\.\d s, 12 divergences$", last)


def test_a_closed_stream_does_not_end_the_run(monkeypatch):
    for progress in (None, True):
        stream = Stream()
        stream.close()
        monkeypatch.setattr(sys, "stderr", stream)
        with listening(progress) as listener:
            two_runs(listener)


def test_a_run_inside_another_is_quiet(monkeypatch):
    """`calibrate` runs an engine for each simulation: they had a bar each."""
    monkeypatch.setattr(sys, "stderr", stream := Stream(tty=True))
    monkeypatch.setenv("TERM", "dumb")
    with listening(None) as outer:
        with listening(None) as inner:
            inner("inner", 1, 1, "")
        outer("outer", 1, 1, "")
    with listening(False), listening(None) as inner:
        inner("inner", 1, 1, "")
    assert "outer" in stream.written()
    assert "inner" not in stream.written()


def test_the_time_left_leaves_out_the_compilation(monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress_display, "monotonic", lambda: now[0])
    run = Run("gibbs", 0.0)
    for now[0], done in ((100.0, 200), (110.0, 1200)):
        run.report(done, 2000, "")
    assert run.words(live=True) == "1200/2000 in 0:01:50, about 8.0 s left"
    now[0] = 112.0
    assert run.words(live=True) == "1200/2000 in 0:01:52, about 6.0 s left"
    assert run.words(live=False) == "1200/2000 in 0:01:50"


def test_durations():
    assert [duration(s) for s in (0.04, 3.14, 9.96, 59.4, 59.6, 3909)] == [
        "0.0 s", "3.1 s", "10 s", "59 s", "0:01:00", "1:05:09",
    ]  # fmt: skip


def test_without_ipython_there_is_no_kernel(monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not progress_display.in_kernel()


# --- In a kernel ---

NBCLIENT = """
import sys, nbclient, nbformat
notebook = nbformat.read(sys.argv[1], 4)
nbclient.NotebookClient(notebook).execute()
nbformat.write(notebook, sys.argv[1])
"""
NBCONVERT = ["jupyter", "nbconvert", "--execute", "--inplace", "--to", "notebook"]


def outputs_of(cells, folder, module=("-c", NBCLIENT), **environment):
    """The outputs of each cell of a notebook, executed by a new process."""
    path = folder / "notebook.ipynb"
    code = [{"cell_type": "code", "id": str(i), "execution_count": None, "metadata": {}, "outputs": [], "source": cell}
            for i, cell in enumerate(cells)]  # fmt: skip
    path.write_text(json.dumps({"cells": code, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    place = {"PYTHONPATH": str(Path(bg.__file__).parents[1]), "IPYTHONDIR": str(folder / "ipython")}
    subprocess.run([sys.executable, *module, path], env={**os.environ, **place, **environment}, check=True)
    return [cell["outputs"] for cell in json.loads(path.read_text())["cells"]]


def lines_of(outputs):
    """The lines of progress among the outputs of a cell, one display each."""
    texts = ["".join(output["data"]["text/plain"]) for output in outputs if output["output_type"] == "display_data"]
    return [re.sub(r" in [\d.]+ s", "", text) for text in texts]


CELLS = (
    """
import sys, threading, time
from bayesgmm.runtime.progress import listening

def run(name):
    with listening(None) as listener:
        for done in range(1, 11):
            listener(name, done, 10, "<b>bold</b>")
            time.sleep(0.06)

run("main")
""",
    """
workers = [threading.Thread(target=run, args=(f"thread {i}",)) for i in range(2)]
for worker in workers:
    worker.start()
for worker in workers:
    worker.join()
with listening(None) as listener:
    worker = threading.Thread(target=listener, args=("shared", 1, 2, ""))
    worker.start()
    worker.join()
    listener("shared", 2, 2, "")
""",
    """
try:
    with listening(None) as listener:
        listener("cut", 3, 10, "")
        raise ZeroDivisionError
except ZeroDivisionError:
    pass
with listening(None):
    pass
print("ipywidgets" in sys.modules, "rich.live" in sys.modules)
""",
)


def test_a_run_leaves_one_line_in_an_executed_notebook(tmp_path):
    main, threads, cut = outputs_of(CELLS, tmp_path)
    assert lines_of(main) == ["main 10/10, <b>bold</b>"]
    html = "".join(main[0]["data"]["text/html"])
    assert "&lt;b&gt;" in html
    assert "<progress" not in html
    assert sorted(lines_of(threads)) == ["shared 2/2", *(f"thread {i} 10/10, <b>bold</b>" for i in range(2))]
    assert lines_of(cut) == ["cut 3/10"]
    assert "".join(cut[1]["text"]) == "False False\n"


IRIS = (
    """
import bayesgmm as bg

short = {"num_warmup": 200, "num_samples": 200}
iris = bg.load_dataset("iris")
bg.fit_table(iris, [1, 2, 3], ["EII", "VVV"], n_init=4)
""",
    'found = bg.compare(iris, 3, engines=("em", "gibbs"), n_init=4, **short)',
    'bg.check(found.results["gibbs"])',
    'bg.partition(found.results["gibbs"])',
    "bg.calibrate(iris, 3, n_sims=5, **short)",
)


@WHOLE
def test_nbconvert_executes_a_notebook_with_the_default_progress(tmp_path):
    settings = {"XLA_FLAGS": "--xla_backend_optimization_level=0"}
    outputs = outputs_of(IRIS, tmp_path, module=("-m", *NBCONVERT), **settings)
    table, compared, checked, parted, calibrated = map(lines_of, outputs)
    assert table == ["fit 4/4"]
    assert [line.split()[0] for text in compared for line in text.split("\n")] == ["em", "gibbs"]
    assert checked[0].startswith("check 3/3")
    assert parted == ["partition 19/19"]
    assert calibrated == ["calibrate gibbs 5/5"]
