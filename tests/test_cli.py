"""The command line: files come first, and no failure of a disk or a terminal loses a result."""

import errno
import io
import os
import re
import signal
import subprocess
import sys
import threading
import time
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import typer
import xarray as xr
from oracles.effort import SOME
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm import cli
from bayesgmm.comparison import terminal
from bayesgmm.comparison.options import OPTIONS, in_its_options
from bayesgmm.engines.engine import find_engine, register
from bayesgmm.errors import BayesGMMError, DataError, FitError, MixingWarning, SaveWarning
from bayesgmm.runtime import files
from bayesgmm.runtime.interrupt import check_stop, interruptible

SMALL = [
    "compare",
    "faithful",
    "-k",
    "2",
    "--engines",
    "em,gibbs",
    "--warmup",
    "20",
    "--samples",
    "40",
    "--chains",
    "2",
]
RUN = "from bayesgmm.cli import main; main()"


@pytest.fixture
def no_report(monkeypatch):
    """A report takes seconds; what is tested here is where it goes."""
    monkeypatch.setattr("bayesgmm.comparison.report.report", lambda comparison, command: b"<html>")


def fail(*names):
    """Every file of these names fails to be written where it should be."""
    real = files.write

    def write(path, content):
        if path.name in names and not path.parent.name.startswith("bayesgmm-"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        real(path, content)

    return write


def test_a_full_disk_costs_nothing_but_the_place(tmp_path, monkeypatch, no_report):
    monkeypatch.setattr(files, "write", fail("gibbs.nc", "summary.csv", "manifest.json", "report.html"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with pytest.warns(SaveWarning) as warned:
        result = CliRunner().invoke(cli.app, [*SMALL, "--quiet", "--out", str(tmp_path / "out")])
    assert result.exit_code == 3, result.output
    assert "means[1, waiting]" in result.output
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["em.nc"]
    elsewhere = next(tmp_path.glob("bayesgmm-*"))
    assert {path.name for path in elsewhere.iterdir()} == {"gibbs.nc", "summary.csv", "manifest.json", "report.html"}
    assert sum(issubclass(one.category, SaveWarning) for one in warned) == 4
    assert result.stderr.count("No space left on device") >= 4


def test_a_report_that_fails_costs_no_table(tmp_path, monkeypatch):
    def report(comparison, command):
        raise RuntimeError("no such font")

    monkeypatch.setattr("bayesgmm.comparison.report.report", report)
    with pytest.warns(SaveWarning, match="no such font"):
        result = CliRunner().invoke(cli.app, [*SMALL, "--quiet", "--out", str(tmp_path)])
    assert result.exit_code == 3
    assert "means[1, waiting]" in result.output
    assert {path.name for path in tmp_path.iterdir()} == {"em.nc", "gibbs.nc", "summary.csv", "manifest.json"}


def test_fit_and_diagnose_write_before_they_print(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    seen = []
    monkeypatch.setattr(
        "bayesgmm.cli.commands.print_table", lambda found: seen.append(sorted(os.listdir(tmp_path / "fit")))
    )
    monkeypatch.setattr(files, "write", fail("best.nc"))
    command = ["fit", "faithful", "-k", "1:2", "--families", "EII,VVV", "--starts", "2", "--quiet", "--out"]
    with pytest.warns(SaveWarning, match=r"best\.nc could not be written"):
        result = CliRunner().invoke(cli.app, [*command, str(tmp_path / "fit")])
    assert result.exit_code == 3, result.output
    assert seen == [["best.csv", "best.png", "table.csv", "table.png"]]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)
        draws = bg.sample_gibbs(bg.load_dataset("faithful"), 2, num_warmup=20, num_samples=40, num_chains=2)
    draws.to_datatree().to_netcdf(tmp_path / "draws.nc", engine="h5netcdf")
    monkeypatch.setattr(files, "write", fail("relabelled.nc"))
    with pytest.warns(SaveWarning, match=r"relabelled\.nc could not be written"):
        result = CliRunner().invoke(cli.app, ["diagnose", str(tmp_path / "draws.nc"), "--out", str(tmp_path / "found")])
    assert result.exit_code == 3, result.output
    assert sorted(os.listdir(tmp_path / "found")) == ["labels.png", "ranks.png"]


@pytest.mark.parametrize(
    "arguments",
    [["-k", "0"], ["-k", "2", "--chains", "0"], ["-k", "2", "--engines", "nothing"], ["-k", "2", "--family", "XXX"],
     ["-k", "2", "--samples", "-1"]],
)  # fmt: skip
def test_bad_arguments_leave_no_folder(tmp_path, arguments):
    result = CliRunner().invoke(cli.app, ["compare", "faithful", *arguments, "--out", str(tmp_path / "a" / "b")])
    assert result.exit_code != 0
    assert not list(tmp_path.iterdir())
    CliRunner().invoke(cli.app, ["fit", "faithful", "--criterion", "x", "--out", str(tmp_path / "a" / "b")])
    assert not list(tmp_path.iterdir())


PYTHON = r"n_components|num_|n_init|covariance_type|save_to|component_dim|prior=|names=|\bx=|^\w+Error: [a-z]+ must"
BAD = [
    ("compare", ["-k", "0"], "-k"), ("compare", ["-k", "2", "--starts", "0"], "--starts"),
    ("compare", ["-k", "2", "--chains", "0"], "--chains"), ("compare", ["-k", "2", "--samples", "0"], "--samples"),
    ("compare", ["-k", "2", "--warmup", "-1"], "--warmup"), ("compare", ["-k", "2", "--tempering", "0"], "--tempering"),
    ("compare", ["-k", "2", "--family", "XXX"], "--family"), ("compare", ["-k", "2", "--interval", "2"], "--interval"),
    ("compare", ["-k", "2", "--family", "VEI", "--engines", "gibbs"], "or --engines em"),
    ("compare", ["-k", "2", "--out", ""], "--out"), ("compare", ["-k", "2", "--out", "a\0b"], "--out"),
    ("fit", ["--starts", "0"], "--starts"), ("fit", ["-k", "0"], "-k"), ("fit", ["-k", "x"], "-k"),
    ("fit", ["--criterion", "x"], "--criterion"), ("fit", ["--families", "XX"], "--families"),
    ("fit", ["--prior", "x"], "--prior"), ("fit", ["--out", ""], "--out"),
]  # fmt: skip


@pytest.mark.parametrize(("command", "arguments", "option"), BAD)
def test_errors_name_the_option(command, arguments, option):
    result = CliRunner().invoke(cli.app, [command, "faithful", "--quiet", *arguments])
    assert isinstance(result.exception, BayesGMMError)
    assert option in str(result.exception)
    assert not re.search(PYTHON, f"{type(result.exception).__name__}: {result.exception}")


def test_every_option_exists_in_its_command():
    commands = typer.main.get_command(cli.app).commands
    for name, options in OPTIONS.items():
        known = {spelling for parameter in commands[name].params for spelling in parameter.opts}
        assert set(options.values()) <= known, name


@pytest.mark.parametrize(
    ("command", "text", "words"),
    [
        ("fit", "Use prior='default' (MAP), or more starts (n_init).", "Use --prior default (MAP), or more starts"),
        ("fit", "or use covariance_type='diag' or 'spherical', or a", "or use --families diag or spherical, or a"),
        ("compare", "drop them, or use prior='default'.", "drop them, or use --engines em."),
        ("compare", "Under prior='default', whose scale", "Under the default prior, whose scale"),
        ("compare", "Run four (num_chains=4).", "Run four (--chains 4)."),
        ("compare", "Sampling with num_samples=900 should", "Sampling with --samples 900 should"),
        ("compare", "extend(400) should reach", "A larger --samples should reach"),
        ("compare", "Gibbs with tempering=12, or run longer (extend)", "--tempering 12, or run longer (--samples)"),
        ("compare", "Not numeric: num_samples, with 'u'", "Not numeric: num_samples, with 'u'"),
        ("diagnose", "as component_dim=, and names as names=.", "as --component-dim, and names as --names."),
        ("", "n_init=3 or prior='default'", "n_init=3 or prior='default'"),
    ],
)
def test_messages_are_in_options(command, text, words):
    def raise_it():
        raise DataError(text)

    raise_it.__name__ = command
    with pytest.raises(DataError, match=re.escape(words)):
        in_its_options(raise_it)()


def test_data_that_are_not_used_are_refused(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    x, shape = rng.normal(size=(20, 1)), (2, 40, 2)
    draws = {"w": np.full(shape, 0.5), "mu": rng.normal(size=shape), "s2": np.ones(shape)}
    posterior = xr.Dataset({name: (("chain", "draw", "k"), values) for name, values in draws.items()})
    observed = xr.Dataset({"x": (("row", "feature"), x)})
    xr.DataTree.from_dict({"posterior": posterior}).to_netcdf(tmp_path / "bare.nc", engine="h5netcdf")
    both = xr.DataTree.from_dict({"posterior": posterior, "observed_data": observed})
    both.to_netcdf(tmp_path / "own.nc", engine="h5netcdf")
    pd.DataFrame(x, columns=["a"]).to_csv(tmp_path / "same.csv", index=False)
    pd.DataFrame(x + 1, columns=["a"]).to_csv(tmp_path / "other.csv", index=False)
    monkeypatch.chdir(tmp_path)
    for arguments, words in [
        (["bare.nc", "--data", "same.csv", "--columns", "a"], "--data has no use without weights"),
        (["own.nc", "--data", "same.csv"], "--data has no use without weights"),
        (["own.nc", "--data", "other.csv"], "--data differs from them"),
        (["bare.nc", "--names", "weights=w,weights=mu"], "--names has weights twice, as w and as mu"),
        (["bare.nc", "--names", "weights=w,means=w"], "maps weights and means to one variable, w"),
        (["bare.nc", "--out", ""], "--out is blank"),
    ]:
        result = CliRunner().invoke(cli.app, ["diagnose", *arguments, "--component-dim", "k"])
        assert words in str(result.exception), arguments
    names = ["--names", "weights=w,means=mu,variances=s2"]
    for name in ("bare.nc", "own.nc"):
        run = ["diagnose", name, "--component-dim", "k", "--data", "same.csv", *names]
        assert CliRunner().invoke(cli.app, run).exit_code == 0


def test_an_odd_path_is_shown_as_escapes(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["bayesgmm", "compare", "\x1b]0;t\x07[/red]\u202e.csv", "-k", "2"])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    assert r"\x1b]0;t\x07[/red]\u202e.csv" in capsys.readouterr().err


def shell(line, environment, folder, **more):
    """Run a line of the shell in which $RUN is the command."""
    settings = environment | {"RUN": f"{sys.executable} cli.py {' '.join(SMALL)} --quiet --out", **more}
    (folder / "cli.py").write_text(RUN)
    return subprocess.run(["bash", "-c", line], cwd=folder, env=settings, capture_output=True, check=False, timeout=300)


@SOME
@pytest.mark.parametrize(
    ("line", "settings", "code"),
    [
        ("$RUN out", {"PYTHONIOENCODING": "ascii"}, 0),
        ("$RUN out", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}, 0),
        ("$RUN out", {"PYTHONIOENCODING": "latin-1"}, 0),
        ("$RUN out", {"MPLBACKEND": "nonsense"}, 0),
        ("$RUN out | head -1; exit ${PIPESTATUS[0]}", {}, 0),
        ("$RUN out 2>&1 | head -1; exit ${PIPESTATUS[0]}", {}, 0),
        ("$RUN out > /dev/full", {}, 3),
        ("$RUN out 2> /dev/full", {}, 0),
        ("$RUN out >&-", {}, 0),
        ("$RUN out 2>&-", {}, 0),
    ],
)
def test_no_terminal_loses_a_file(line, settings, code, tmp_path, clean_environment):
    ended = shell(line, clean_environment, tmp_path, **settings)
    assert ended.returncode == code, ended.stderr
    assert b"Traceback" not in ended.stderr
    assert b"Exception ignored" not in ended.stderr
    assert set(os.listdir(tmp_path / "out")) == {"em.nc", "gibbs.nc", "summary.csv", "manifest.json", "report.html"}


@pytest.mark.slow
def test_a_limit_on_file_size_ends_without_a_crash(tmp_path, clean_environment):
    """As on a disk that is full everywhere: HDF5 ended the process with SIGSEGV."""
    ended = shell("ulimit -f 200; $RUN out", clean_environment, tmp_path, BAYESGMM_CACHE="off")
    assert ended.returncode == 3, ended.stderr
    assert set(os.listdir(tmp_path / "out")) == {"em.nc", "gibbs.npz", "summary.csv", "manifest.json"}
    assert b"means[1, waiting]" in ended.stdout


class Stream(io.StringIO):
    """A standard output that fails."""

    encoding = "ascii"

    def __init__(self, number):
        super().__init__()
        self.number = number

    def write(self, text):
        assert text.isascii()
        return len(text)

    def flush(self):
        raise OSError(self.number, os.strerror(self.number))


def test_a_closed_pipe_is_silent_and_a_full_output_has_a_code(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdout", Stream(errno.EPIPE))
    terminal.say("±")
    monkeypatch.setattr("sys.stdout", Stream(errno.ENOSPC))
    with pytest.raises(SystemExit) as stop:
        terminal.say("±")
    assert stop.value.code == 3
    assert "Standard output could not be written (No space left" in capsys.readouterr().err
    monkeypatch.setattr("sys.stdout", None)
    terminal.say("nobody reads this")


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_keeps_what_there_is(number, code, tmp_path, monkeypatch, no_report):
    real = find_engine("gibbs")
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # inherited by a suite that runs in the background
        signal.signal(signal.SIGINT, signal.default_int_handler)

    def stopped(*arguments, **options):
        os.kill(os.getpid(), number)
        time.sleep(0.01)
        with interruptible() as stop:
            assert stop.is_set()
        raise FitError("cut")

    register("gibbs", replace(real, run=stopped))
    try:
        result = CliRunner().invoke(cli.app, [*SMALL, "--quiet", "--out", str(tmp_path)])
        alone = CliRunner().invoke(cli.app, [*SMALL, "--engines", "gibbs", "--quiet", "--out", str(tmp_path / "none")])
    finally:
        register("gibbs", real)
    assert alone.exit_code == code
    assert "No engine returned a result" in alone.output
    assert not (tmp_path / "none").exists()
    assert result.exit_code == code, result.output
    assert {path.name for path in tmp_path.iterdir()} == {"em.nc", "summary.csv", "manifest.json"}
    assert "weights[0]" in result.output
    assert "Report: not written" in result.output
    assert signal.getsignal(number) in (signal.default_int_handler, signal.SIG_DFL)


def test_a_signal_during_the_report_keeps_the_rest(tmp_path, monkeypatch):
    def report(comparison, command):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.01)
        check_stop()

    monkeypatch.setattr("bayesgmm.comparison.report.report", report)
    result = CliRunner().invoke(cli.app, [*SMALL, "--quiet", "--out", str(tmp_path)])
    assert result.exit_code == 130
    assert {path.name for path in tmp_path.iterdir()} == {"em.nc", "gibbs.nc", "summary.csv", "manifest.json"}
    assert "means[1, waiting]" in result.output


def test_the_report_stops_at_ctrl_c(tmp_path):
    """Python raises KeyboardInterrupt wherever it is; inside a callback of JAX it is lost. The report uses the flag."""
    comparison = bg.compare(bg.load_dataset("faithful"), 2, engines="em", n_init=2)
    timer = threading.Timer(0.05, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()

    def often():
        for _ in range(50):
            comparison.to_html(tmp_path / "report.html")

    with pytest.raises(KeyboardInterrupt):
        often()
    timer.join()


def test_a_file_of_draws_stands_beside_the_engines_and_is_the_reference(tmp_path, no_report):
    run = lambda *words: CliRunner().invoke(cli.app, [*SMALL, "--quiet", *words])  # noqa: E731
    assert run("--out", str(tmp_path / "first")).exit_code == 0
    draws = str(tmp_path / "first" / "gibbs.nc")
    out = tmp_path / "second"
    result = run("--out", str(out), "--also", f"stan={draws}", "--reference", draws, "--held-out", "2")
    assert result.exit_code == 0, result.output
    assert "Errors against reference" in result.output
    assert "Held-out log score" in result.output
    assert {"stan.nc", "reference.nc", "errors.csv", "held_out.csv"} <= {path.name for path in out.iterdir()}
    assert list(pd.read_csv(out / "errors.csv")["engine"]) == ["em", "gibbs", "stan"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--also", "stan"], "--also takes a name and a file"),
        (["--also", "stan=nope.nc"], "No file nope.nc"),
        (["--also", "a=x.nc", "--also", "a=x.nc"], "No file x.nc"),
        (["--reference", "em"], "em does not draw from the posterior"),
        (["--reference", "nope"], "--reference must be draws, or one of exact, gibbs, nuts"),
        (["--reference", "exact"], "use at most 21 rows"),
        (["--held-out", "1"], "--held-out must be an integer of at least 2"),
        (["--held-out", "273"], "Use between 2 and 272"),
        (["--names", "means=mu"], "--names is about files of draws"),
    ],
)
def test_wrong_words_about_references_are_refused_before_the_run(tmp_path, words, message):
    result = CliRunner().invoke(cli.app, [*SMALL, "--out", str(tmp_path / "out"), *words])
    assert isinstance(result.exception, BayesGMMError)
    assert message in str(result.exception)
    assert not (tmp_path / "out").exists()


def test_results_are_saved_whole(tmp_path, no_report):
    place = tmp_path / "new" / "run.nc"
    result = CliRunner().invoke(cli.app, [*SMALL, "--quiet", "--out", str(tmp_path / "out"), "--save", str(place)])
    assert result.exit_code == 0, result.output
    assert "Saved, for bayesgmm.load" in result.output
    found = bg.load(place)
    assert list(found.results) == ["em", "gibbs"]
    assert found.results["gibbs"].num_samples == 40
    words = [
        "fit",
        "faithful",
        "-k",
        "2",
        "--families",
        "VVV",
        "--starts",
        "10",
        "--quiet",
        "--out",
        str(tmp_path / "fit"),
    ]
    result = CliRunner().invoke(cli.app, [*words, "--save", str(tmp_path / "best.zarr")])
    assert result.exit_code == 0, result.output
    assert bg.load(tmp_path / "best.zarr").predict([[4.0, 80.0]]).shape == (1,)


def test_a_place_that_cannot_be_saved_to_is_refused_before_the_run(tmp_path):
    (tmp_path / "file").write_text("")
    for place in ("run.pkl", str(tmp_path / "file" / "run.nc")):
        result = CliRunner().invoke(cli.app, [*SMALL, "--out", str(tmp_path / "out"), "--save", place])
        assert isinstance(result.exception, BayesGMMError)
        assert "--save" in str(result.exception)
        assert not (tmp_path / "out" / "em.nc").exists()


def test_a_result_that_cannot_be_saved_ends_with_code_3(tmp_path, no_report):
    (tmp_path / "run.nc").mkdir()
    words = [*SMALL, "--quiet", "--out", str(tmp_path / "out"), "--save", str(tmp_path / "run.nc")]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 3, result.output
    assert "could not be written" in result.stderr
    assert (tmp_path / "out" / "em.nc").exists()
