"""Sampling, simulation, standard input, JSON, version and completion on the command line."""

import io
import json
import math
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import jax.random as jr
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm.cli import app
from bayesgmm.cli.as_json import plain
from bayesgmm.data.fingerprint import fingerprint_of_table
from bayesgmm.data.table import as_table
from bayesgmm.errors import ArgumentError, BayesGMMError, DataError

SHORT = ["-k", "2", "--warmup", "20", "--samples", "40", "--chains", "2", "--quiet"]


def run(*words, code=0, **more):
    result = CliRunner().invoke(app, [str(word) for word in words], **more)
    assert result.exit_code == code, result.output
    return result


def test_rows_may_stay_on_disk(tmp_path, reference_data):
    path = tmp_path / "x.parquet"
    reference_data["faithful"].to_parquet(path)
    lines = run("sample", path, "--from-disk", *SHORT).output
    assert "Opened" in lines
    assert "272 rows, 2 columns (eruptions, waiting), left on disk" in " ".join(lines.split())
    assert "--weights and --labels are not taken" in str(
        refused("sample", path, "--from-disk", "--weights", "a", *SHORT)
    )


def refused(*words, **more):
    error = CliRunner().invoke(app, [str(word) for word in words], **more).exception
    assert isinstance(error, BayesGMMError), error
    return error


def object_of(text):
    """The JSON object in a text, without NaN and infinities."""
    return json.loads(text, parse_constant=lambda word: pytest.fail(word))


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """A run of `sample --json`: its folder, and what it printed."""
    folder = tmp_path_factory.mktemp("sample")
    return folder, run("sample", "faithful", *SHORT, "--out", folder / "draws.nc", "--seed", 3, "--json")


def test_sample_draws_what_sample_gibbs_draws(drawn):
    folder, result = drawn
    same = bg.sample_gibbs(
        bg.load_dataset("faithful"), 2, num_warmup=20, num_samples=40, num_chains=2, seed=3, progress_bar=False
    )
    tree = xr.load_datatree(folder / "draws.nc", engine="h5netcdf")
    np.testing.assert_array_equal(tree["posterior"]["means"], same.params.means)
    found = object_of(result.stdout)
    assert (found["command"], found["version"], found["seed"]) == ("sample", bg.__version__, 3)
    assert found["data"]["fingerprint"] == fingerprint_of_table(as_table(bg.load_dataset("faithful")))
    means, summary = found["estimates"]["estimate"], same.summary()
    np.testing.assert_allclose(means["weights"], summary["mean"][["weights[0]", "weights[1]"]], rtol=1e-12)
    np.testing.assert_allclose(means["covariances"], same.params.covariances.mean(axis=(0, 1)), rtol=1e-12)
    assert found["estimates"]["lower"]["means"][1][0] == pytest.approx(summary.loc["means[1, eruptions]", "2.5%"])
    assert found["estimates"]["sd"]["means"][1][0] == pytest.approx(summary.loc["means[1, eruptions]", "sd"])
    assert found["figures"]["worst_r_hat"] == pytest.approx(same.worst_rhat)
    assert found["figures"]["pareto_k"] is None
    # Words are on the other stream, in options of the command line.
    assert "means[1, waiting]" in result.stderr
    assert "--samples" in result.stderr
    assert "num_samples" not in result.stderr + str(found["verdict"])
    assert "extend" not in result.stderr + str(found["verdict"])


def test_sample_prints_words_without_json(tmp_path):
    result = run("sample", "faithful", *SHORT, "--save", tmp_path / "whole.nc")
    assert "gibbs: the chains" in result.stdout
    assert "means[1, waiting]" in result.stdout
    assert list(bg.load(tmp_path / "whole.nc").table.features) == ["eruptions", "waiting"]
    assert os.listdir(tmp_path) == ["whole.nc"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--engine", "em"], "em does not draw.*bayesgmm fit"), (["--engine", "nope"], "Unknown engine"),
        (["--engine", "nuts", "--tempering", "4"], "--tempering has no use"), (["--out", "draws"], r"ends in \.nc"),
        (["--out", "."], r"ends in \.nc"), (["--interval", "2"], "--interval must"), (["--samples", "0"], "--samples must"),
        (["--chains", "0"], "--chains must"), (["-k", "0"], "-k must"), (["--family", "XX"], "--family must|XX"),
        (["--save", "x.csv"], "--save"), (["--family", "VEI"], "--family"),
    ],
)  # fmt: skip
def test_wrong_options_of_sample_are_refused_before_the_run(tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    error = refused("sample", "faithful", *SHORT, *words)
    assert re.search(message, str(error)), str(error)
    assert not list(tmp_path.iterdir())


def test_simulate_prints_rows_of_the_mixture_that_it_names(tmp_path):
    words = ["simulate", "-k", 3, "-d", 2, "-n", 50, "--overlap", 0.05, "--imbalance", 2, "--seed", 7]
    frame = pd.read_csv(io.StringIO(run(*words, "--labels").stdout))
    truth = bg.random_mixture(3, 2, overlap=0.05, imbalance=2.0, seed=7)
    z, x = bg.Mixture(truth, ("x0", "x1")).sample(50, jr.fold_in(jr.key(7), 1))
    assert list(frame) == ["x0", "x1", "class"]
    np.testing.assert_array_equal(frame[["x0", "x1"]], x)  # every digit
    np.testing.assert_array_equal(frame["class"], z)
    result = run(*words, "--out", tmp_path / "new" / "d.csv")
    assert result.stdout == ""
    np.testing.assert_array_equal(pd.read_csv(tmp_path / "new" / "d.csv"), x)
    assert run(*words[:-1], 8).stdout != run(*words).stdout


def test_simulated_classes_have_the_weights_and_means_of_the_mixture():
    """An oracle that is no code of ours: shares, means and covariances of many rows."""
    frame = pd.read_csv(io.StringIO(run("simulate", "-k", 2, "-n", 40_000, "--imbalance", 3, "--labels").stdout))
    truth = bg.random_mixture(2, 2, overlap=0.01, imbalance=3.0, seed=0)
    for k, rows in frame.groupby("class"):
        assert len(rows) / len(frame) == pytest.approx([0.75, 0.25][k], abs=0.01)
        x = rows[["x0", "x1"]].to_numpy()
        sds = np.sqrt(np.diag(np.cov(x.T)))
        assert (np.abs(x.mean(axis=0) - truth.means[k]) < 4 * sds / math.sqrt(len(x))).all()
        np.testing.assert_allclose(np.cov(x.T), truth.covariances[k], atol=0.05 * (sds**2).max())


@pytest.mark.parametrize(
    ("words", "message"),
    [(["-k", 0], "-k must"), (["-d", 0], "-d must"), (["-n", 0], "-n must"), (["--overlap", 1], "--overlap must"),
     (["--imbalance", 0.5], "--imbalance must"), (["--family", "VVV"], "--family must"), (["--out", "d.txt"], "ends in .csv"),
     (["-n", 10**8, "-d", 9], "more than"), (["-k", 9, "-d", 1, "--overlap", 0.9], "--overlap|overlap")],
)  # fmt: skip
def test_wrong_options_of_simulate_are_refused(words, message):
    assert re.search(message, str(refused("simulate", *words)))


def test_simulated_rows_are_piped_into_a_fit(tmp_path):
    text = run("simulate", "-k", 2, "-n", 60, "--labels").stdout
    result = run("fit", "-", "-k", "2", "--families", "EII", "--starts", 2, "--labels", "class", "--quiet", "--json",
                 "--out", tmp_path, input=text)  # fmt: skip
    assert "Read standard input: 60 rows" in result.stderr
    found = object_of(result.stdout)
    assert found["data"]["features"] == ["x0", "x1"]
    x = pd.read_csv(io.StringIO(text))
    ours = x.groupby("class").mean().to_numpy()
    np.testing.assert_allclose(found["estimates"]["estimate"]["means"], ours, rtol=1e-6)  # all classes are known


def test_standard_input_that_is_no_table_is_refused():
    for text, message in (("", "Standard input is empty"), ("a\nx\n", "line 2 of standard input")):
        error = refused("compare", "-", "-k", 2, input=text)
        assert isinstance(error, DataError)
        assert message in str(error)


def test_json_of_a_table_of_fits(tmp_path):
    command = ["fit", "faithful", "-k", "1:2", "--families", "EII,VVV", "--starts", 2, "--quiet", "--out", tmp_path]
    found = object_of(run(*command, "--json").stdout)
    table = pd.read_csv(tmp_path / "table.csv", index_col=0)
    for cell in found["table"]:
        assert cell["bic"] == pytest.approx(table.loc[cell["n_components"], cell["family"]], rel=1e-12)
    best = min(found["table"], key=lambda cell: cell["bic"])
    assert (found["covariance_type"], found["n_components"]) == (best["family"], best["n_components"])
    assert found["figures"]["bic"] == best["bic"]
    assert found["estimates"]["sd"] is None


def test_json_of_a_comparison_and_of_a_diagnosis(tmp_path, drawn, monkeypatch):
    monkeypatch.setattr("bayesgmm.comparison.report.report", lambda comparison, command: b"<html>")
    result = run("compare", "faithful", *SHORT, "--engines", "em,gibbs", "--interval", 0.9, "--out", tmp_path, "--json")
    found, table = object_of(result.stdout), pd.read_csv(tmp_path / "summary.csv")
    rows = table.set_index(["parameter", "engine"])
    assert set(found["estimates"]) == set(found["figures"]) == {"em", "gibbs"}
    for name in ("em", "gibbs"):
        row = rows.loc[("means[1, waiting]", name)]
        for part in ("estimate", "sd", "lower", "upper"):
            assert found["estimates"][name][part]["means"][1][1] == pytest.approx(row[part], rel=1e-12)
    assert found["figures"]["em"]["worst_r_hat"] is None  # NaN
    assert found["figures"]["gibbs"]["log_likelihood"] == pytest.approx(
        rows.loc[("log-likelihood", "gibbs"), "estimate"]
    )
    assert "Report:" in result.stderr
    folder, _ = drawn
    about = object_of(run("diagnose", folder / "draws.nc", "--json").stdout)
    same = bg.diagnose(xr.load_datatree(folder / "draws.nc", engine="h5netcdf"))
    assert about["status"] == same.status
    assert about["quantities"]["sorted_weights[0]"]["mean"] == pytest.approx(
        same.summary().loc["sorted_weights[0]", "mean"]
    )
    assert sum(about["estimates"]["mean"]["weights"]) == pytest.approx(1.0)


def test_an_error_under_json_leaves_standard_output_empty(tmp_path):
    result = CliRunner().invoke(app, ["sample", "faithful", *SHORT, "--json", "--out", "no"])
    assert isinstance(result.exception, ArgumentError)
    assert result.stdout == ""


def test_numbers_that_json_has_not_are_null():
    value = {"a": np.array([1.0, np.nan, -np.inf]), "b": (np.int64(3), np.bool_(True)), 2: float("inf"), "c": "NaN"}
    assert plain(value) == {"a": [1.0, None, None], "b": [3, True], "2": None, "c": "NaN"}


def test_the_version_and_completion_are_in_the_help():
    assert run("--version").output.strip() == f"bayesgmm {bg.__version__}"
    words = run("--help", env={"COLUMNS": "120"}).output
    assert all(option in words for option in ("--version", "--install-completion", "--show-completion"))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["bash", "zsh", "fish"])
def test_completion_knows_the_commands(tmp_path, clean_environment, name):
    """The script is printed; the shell then asks the command itself for words."""
    (tmp_path / "bayesgmm").write_text("from bayesgmm.cli import main; main()")
    command, more = [sys.executable, "bayesgmm"], {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    clean_environment = clean_environment | {"PYTHONPATH": str(Path(bg.__file__).parents[1])}
    script = subprocess.run(
        [*command, "--show-completion", name], cwd=tmp_path, env=clean_environment | more, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    assert "_BAYESGMM_COMPLETE" in script.stdout
    asked = {"_BAYESGMM_COMPLETE": f"complete_{name}", "COMP_WORDS": "bayesgmm sa", "COMP_CWORD": "1"}
    asked |= {"_TYPER_COMPLETE_ARGS": "bayesgmm sa", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    found = subprocess.run(
        command, cwd=tmp_path, env=clean_environment | asked, capture_output=True, text=True, check=False
    )
    assert "sample" in found.stdout
    assert "compare" not in found.stdout


def test_a_saved_posterior_is_diagnosed(tmp_path, drawn):
    folder, _ = drawn
    same = bg.sample_gibbs(bg.load_dataset("faithful"), 2, num_warmup=20, num_samples=40, num_chains=2, seed=3)
    for name in ("p.nc", "p.zarr"):
        given = bg.save(same, tmp_path / name)
        assert "Labels did not switch" in run("diagnose", given, "--seed", 1).stdout
    assert "no draws" in str(refused("diagnose", bg.save(bg.fit_em(bg.load_dataset("faithful"), 2), tmp_path / "f.nc")))
    assert "--save" in str(refused("predict", folder / "draws.nc", "faithful"))


def test_a_saved_fit_classifies_rows(tmp_path):
    """By the names of the columns, whatever else the file holds; as the fit itself does."""
    x = bg.load_dataset("faithful")
    fit = bg.fit_em(x, 2, seed=0)
    model = bg.save(fit, tmp_path / "fit.nc")
    x[["waiting", "eruptions"]].assign(who="me").to_csv(tmp_path / "new.csv", index=False)
    for words in ([], ["--proba"]):
        frame = pd.read_csv(io.StringIO(run("predict", model, tmp_path / "new.csv", *words).stdout))
        np.testing.assert_array_equal(frame["class"], fit.predict())
        np.testing.assert_allclose(frame["log_density"], fit.score_samples(), rtol=1e-12)
        np.testing.assert_allclose(frame["probability"], fit.predict_proba().max(axis=1), rtol=1e-12)
    np.testing.assert_allclose(frame[["p[0]", "p[1]"]], fit.predict_proba(), rtol=1e-12)
    one = x.assign(eruptions=np.nan)
    one.to_csv(tmp_path / "gap.csv", index=False)
    frame_of_gaps = pd.read_csv(io.StringIO(run("predict", model, tmp_path / "gap.csv").stdout))
    np.testing.assert_array_equal(frame_of_gaps["class"], fit.predict(one))
    run("predict", model, "faithful", "--out", tmp_path / "classes.csv")
    pd.testing.assert_frame_equal(pd.read_csv(tmp_path / "classes.csv"), frame[["class", "probability", "log_density"]])
    assert "No column waiting" in str(refused("predict", model, "-", input="eruptions,b\n1,2\n2,3\n"))
    assert "classifies no rows" in str(
        refused("predict", bg.save(bg.partition(np.array([[0, 1]] * 4)), tmp_path / "p.nc"), "faithful")
    )
    assert "No file" in str(refused("predict", tmp_path / "none.nc", "faithful"))


def test_telescoping_draws_what_sample_telescoping_draws(tmp_path):
    rows = [-1.9, -1.6, 0.2, 0.5, 2.4]
    (tmp_path / "five.csv").write_text("a\n" + "\n".join(map(str, rows)) + "\n")
    words = ["telescoping", tmp_path / "five.csv", "--prior-of-k", "uniform:4", "--concentration", "static:0.7"]
    words += ["--warmup", 50, "--samples", 300, "--quiet"]
    result = run(*words, "--save", tmp_path / "saved.nc", "--json", "--seed", 3)
    same = bg.sample_telescoping(
        pd.DataFrame({"a": rows}), components=bg.UniformComponents(4), concentration=bg.Static(0.7), num_warmup=50,
        num_samples=300, seed=3, progress_bar=False,
    )  # fmt: skip
    found = object_of(result.stdout)
    shares = [found["posterior_of_k"][str(k)]["posterior_clusters"] for k in range(1, 5)]
    np.testing.assert_allclose(shares, same.posterior_of_k()["posterior_clusters"])
    assert found["most_probable"]["clusters"] == same.most_probable[1]
    assert "posterior of K₊" in result.stderr
    again = run("diagnose", tmp_path / "saved.nc", "--out", tmp_path / "figures", "--json")
    assert object_of(again.stdout)["quantities"] == found["quantities"]
    assert (tmp_path / "figures" / "posterior_of_k.png").exists()
    assert "takes 1 whole number" in str(refused(*words, "--prior-of-k", "uniform:a"))
    assert "must be one of bnb" in str(refused(*words, "--prior-of-k", "normal"))
    assert "without -k" in str(refused("sample", tmp_path / "five.csv", "-k", 2, "--engine", "telescoping"))


def test_words_of_select_are_true_of_its_options():
    assert "counts down" in str(refused("select", "faithful", "-k", "3-1"))
    assert "counts down" in str(refused("fit", "faithful", "-k", "3:1"))
    words = str(refused("select", "faithful", "--criteria", "foo"))
    assert "kfold, held_out, evidence" in words
    assert "--held-out must be" in str(refused("select", "faithful", "--held-out", "2", "--criteria", "held_out"))


@pytest.mark.parametrize("form", ["markdown", "latex"])
def test_a_comparison_is_a_table_for_papers(tmp_path, monkeypatch, form):
    given = []
    monkeypatch.setattr(
        "bayesgmm.comparison.report.report",
        lambda comparison, command: given.append((comparison, command)) or b"<html>",
    )
    frame = bg.load_dataset("faithful").set_axis(["a_1 & 50 %", "--|#{~^}\\"], axis=1)
    frame.to_csv(tmp_path / "my data.csv", index=False)
    words = ["compare", tmp_path / "my data.csv", "-k", 2, "--engines", "em", "--starts", 2, "--out", tmp_path / "out"]
    result = run(*words, "--quiet", "--format", form)
    comparison, command = given[0]
    assert result.stdout == (comparison.to_markdown() if form == "markdown" else comparison.to_latex())
    assert "Report:" in result.stderr
    escaped = {
        "markdown": ["| means[0, a_1 & 50 %]", r"means[0, --\|#{\~^}\\]"],
        "latex": [
            r"means[0, a\_1 \& 50 \%] & 2.0",
            r"-{}-\textbar{}\#\{\textasciitilde{}\textasciicircum{}\}",
        ],
    }
    for name in escaped[form]:
        assert name in result.stdout
    file, out = shlex.quote(str(tmp_path / "my data.csv")), tmp_path / "out"
    assert command == f"bayesgmm compare {file} --components 2 --engines em --out {out} --starts 2 --seed 0"


def test_standard_output_has_one_content():
    assert "must be one of text, markdown, latex" in str(refused("compare", "faithful", "-k", 2, "--format", "html"))
    assert "Choose one" in str(refused("compare", "faithful", "-k", 2, "--format", "latex", "--json"))
