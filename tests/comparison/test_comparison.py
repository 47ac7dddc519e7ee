"""compare: one table under one prior, the verdict, the report, failures, Ctrl-C and the command line."""

import errno
import html as entities
import os
import re
import shutil
import signal
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oracles.effort import WHOLE
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm import cli
from bayesgmm.comparison.conclusions import verdict_of
from bayesgmm.engines.engine import engine_names, find_engine, register, unregister
from bayesgmm.errors import ArgumentError, DataError, FitError, MixingWarning, PriorError, SaveWarning
from bayesgmm.runtime import files
from bayesgmm.runtime.formatting import significant

SHORT = {"num_warmup": 150, "num_samples": 400, "num_chains": 4}


@pytest.fixture(scope="module")
def faithful(reference_data):
    return bg.compare(reference_data["faithful"], 2, engines=("mle", "em", "gibbs", "nuts"), seed=2, **SHORT)


def test_one_table_parameter_by_engine(faithful):
    summary = faithful.summary()
    assert list(summary.columns) == ["mle", "em", "gibbs", "nuts"]
    assert "means[1, waiting]" in summary.index
    assert "covariances[0, eruptions, waiting]" in summary.index
    rows = ["log-likelihood", "seconds compiling", "seconds running", "worst R-hat", "smallest ESS"]
    assert list(summary.index[-7:]) == [*rows, "divergences", "ESS per second"]
    assert " ± " in summary.loc["weights[0]", "gibbs"]
    assert " ± " not in summary.loc["weights[0]", "em"]
    assert summary.loc["worst R-hat", "em"] == "–"


def test_numbers_behind_the_table(faithful):
    estimates = faithful.estimates()
    gibbs = faithful.results["gibbs"].params
    assert estimates.loc["means[1, waiting]", ("gibbs", "estimate")] == pytest.approx(gibbs.means[:, :, 1, 1].mean())
    assert estimates.loc["covariances[0, eruptions, waiting]", ("gibbs", "sd")] == pytest.approx(
        gibbs.covariances[:, :, 0, 0, 1].std()
    )
    assert estimates["em", "sd"].isna().all()
    costs = faithful.costs()
    assert costs.loc["log-likelihood", "mle"] == pytest.approx(-1130.26396, abs=1e-4)
    nuts = faithful.results["nuts"]
    assert costs.loc["ESS per second", "nuts"] == pytest.approx(nuts.smallest_ess / nuts.clock.run_seconds)
    assert (costs.loc["seconds running"] > 0).all()


def test_engines_share_one_prior_and_one_numbering(faithful):
    priors = [result.prior for name, result in faithful.results.items() if name != "mle"]
    for prior in priors[1:]:
        np.testing.assert_array_equal(prior.components.scale, priors[0].components.scale)
    weights = faithful.estimates().loc["weights[0]"].xs("estimate", level=1)
    assert weights.between(0.34, 0.38).all()


def test_verdict_says_what_the_results_support(faithful):
    text = " ".join(faithful.verdict())
    assert "agree" in text
    assert "posterior sd" in text


@pytest.fixture(scope="module")
def report(faithful, tmp_path_factory):
    return faithful.to_html(tmp_path_factory.mktemp("report") / "deep" / "report.html").read_text()


def test_report_is_one_file_that_needs_nothing_else(report):
    html = report
    assert html.count("data:image/png;base64,") == 6
    assert html.count("The chains have mixed") == 2
    assert "Diagnosis of gibbs: sound" in html
    assert "http://" not in html.replace("http://www.w3.org", "")
    assert "https://" not in html
    assert "inverse-Wishart(df = 4" in html
    assert "means[1, waiting]" not in html  # a parameter is called by words
    assert "nan" not in html.lower().split("<body>")[1].replace("base64", "").split("data:image")[0]


def test_tables_of_the_report_lose_no_column(faithful, report):
    html = report
    tables = re.findall(r'<div class="scroll" tabindex="0"><table.*?</table>', html, re.DOTALL)
    assert len(tables) == 10  # features; weights, means, sds, correlations; costs; convergence twice; starts twice
    assert all(f">{name}<" in tables[1] for name in faithful.results)
    assert all(entities.escape(line) in html for line in faithful.notes())


def test_save_writes_every_result(faithful, tmp_path):
    faithful.save(tmp_path)
    assert {p.name for p in tmp_path.iterdir()} == {
        "mle.nc",
        "em.nc",
        "gibbs.nc",
        "nuts.nc",
        "summary.csv",
        "manifest.json",
    }
    with xr.open_datatree(tmp_path / "nuts.nc", engine="h5netcdf") as tree:
        assert tree["posterior"].sizes["draw"] == SHORT["num_samples"]
    read = pd.read_csv(tmp_path / "summary.csv")
    assert list(read.columns) == ["parameter", "engine", "estimate", "sd", "lower", "upper"]
    assert read.dtypes[2:].eq(float).all()
    assert len(read) == len(faithful.to_frame())


def test_representations(faithful):
    assert "2 components, 272 rows × 2 features" in " ".join(repr(faithful).split())
    assert "<table" in faithful._repr_html_()


def test_an_engine_that_fails_does_not_take_the_others_down(tmp_path):
    x = np.concatenate([np.random.default_rng(0).normal(size=40), np.full(8, 7.0)])[:, None]
    result = bg.compare(x, 2, engines=("mle", "em"), save_to=tmp_path)
    assert list(result.results) == ["em"]
    assert "unbounded" in result.failures["mle"]
    assert "mle" in result.verdict()[0]
    assert (tmp_path / "em.nc").exists()
    with pytest.raises(FitError, match="No engine"):
        bg.compare(x, 2, engines=("mle",))


def test_ctrl_c_keeps_what_is_there_and_skips_the_rest(reference_data):
    pressed = []

    def listener(label, done, total, note):
        if label == "gibbs" and done > 200 and not pressed:
            pressed.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # so few draws may or may not meet the mixing criteria
        result = bg.compare(reference_data["faithful"], 2, num_warmup=100, num_samples=9000, progress_bar=listener)
    assert list(result.results) == ["em", "gibbs"]
    assert result.results["gibbs"].interrupted
    assert "stopped" in result.failures["nuts"]
    assert "interrupted" in " ".join(result.verdict())


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"engines": ("em", "vi")}, ArgumentError, "Unknown engine 'vi'"),
        ({"engines": ()}, ArgumentError, "Choose from"),
        ({"prior": None}, PriorError, "proper prior"),
        ({"n_components": 0}, ArgumentError, "n_components"),
    ],
)
def test_bad_arguments(reference_data, arguments, error, words):
    with pytest.raises(error, match=words):
        bg.compare(reference_data["faithful"], **({"n_components": 2} | arguments))


def test_command_line(tmp_path):
    out = tmp_path / "run"
    command = ["compare", "faithful", "-k", "2", "--out", str(out), "--samples", "400", "--warmup", "150", "--quiet"]
    result = CliRunner().invoke(cli.app, command)
    assert result.exit_code == 0, result.output
    assert "means[1, waiting]" in result.output
    assert {p.name for p in out.iterdir()} == {
        "em.nc",
        "gibbs.nc",
        "nuts.nc",
        "summary.csv",
        "manifest.json",
        "report.html",
    }
    assert "faithful" in CliRunner().invoke(cli.app, ["datasets"]).output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no-such-file.csv", "-k", "2"], "No file no-such-file.csv"),
        (["faithful", "-k", "0"], "-k must be an integer"),
        (["faithful", "-k", "2", "--engines", "magic"], "Unknown engine"),
        (["faithful", "-k", "2", "--columns", "length"], "No column length"),
    ],
)
def test_command_line_errors_are_one_line(arguments, words, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr("sys.argv", ["bayesgmm", "compare", *arguments, "--out", str(tmp_path)])
    with pytest.raises(SystemExit) as stop:
        cli.main()
    assert stop.value.code == 2
    captured = capsys.readouterr()
    assert words in captured.err
    assert "Traceback" not in captured.err


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.35612, "0.3561"), (79.9681, "79.97"), (-1130.264, "-1130.3"), (21404.2, "21404"), (0.0, "0"), (1e-7, "1.000e-07"),
     (0.17, "0.1700"), (float("nan"), "–"), (9.99999, "10.000")],
)  # fmt: skip
def test_figures_are_rounded_for_reading(value, text):
    assert significant(value) == text


def test_engine_table_and_order(reference_data):
    assert set(engine_names()) >= {"mle", "em", "cavi", "svi", "laplace", "gibbs", "nuts"}
    result = bg.compare(reference_data["faithful"], 2, engines="mle")
    assert list(result.results) == ["mle"]


@pytest.mark.parametrize("engines", ["em", ("em", "em"), ("mle", "em"), ("gibbs",)])
def test_any_number_of_engines_makes_a_table(reference_data, engines):
    result = bg.compare(reference_data["faithful"], 2, engines=engines, **SHORT)
    assert result.summary().shape[1] == len(result.results)
    assert result.verdict()


def test_one_component_and_few_draws_have_sober_verdicts(reference_data, tmp_path):
    result = bg.compare(reference_data["faithful"], 1, **SHORT)
    text = " ".join(result.verdict())
    assert "nan" not in text
    assert "agree on every" in text
    with pytest.warns(MixingWarning, match="too few draws"):
        few = bg.compare(reference_data["faithful"], 2, engines=("em", "gibbs"), num_warmup=5, num_samples=2)
    assert "nan" not in " ".join(few.verdict())
    assert "too few draws" in few.to_html(tmp_path / "few.html").read_text()
    assert result.diagnose() == {}


def test_brackets_in_names_survive_the_terminal(tmp_path):
    frame = bg.load_dataset("faithful").rename(columns={"waiting": "waiting [min]"})
    frame.to_csv(tmp_path / "data.csv", index=False)
    arguments = ["compare", str(tmp_path / "data.csv"), "-k", "2", "--engines", "em", "--out", str(tmp_path), "--quiet"]
    assert "waiting [min]" in CliRunner().invoke(cli.app, arguments).output


def test_ctrl_c_before_sampling_starts_is_not_lost(reference_data):
    def listener(label, done, total, note):
        if label == "em" and not pressed:
            pressed.append(label)
            os.kill(os.getpid(), signal.SIGINT)

    pressed = []
    result = bg.compare(reference_data["faithful"], 2, progress_bar=listener)
    assert list(result.results) == ["em"]
    assert set(result.failures) == {"gibbs", "nuts"}


def test_a_local_maximum_below_another_estimate_is_told(reference_data):
    """A row of another world: its own component has an unbounded likelihood, which only the prior's mode shows."""
    x = np.array(reference_data["faithful"], float)
    sound = bg.compare(x, 2, engines=("em", "mle"))
    assert "local maximum" not in " ".join(sound.verdict())
    x[17, 1] = -9990.0
    found = bg.compare(x, 2, engines=("em", "mle"))
    gap = found.fits["em"].log_likelihood - found.fits["mle"].log_likelihood
    assert gap > 10.0
    (line,) = [line for line in found.verdict() if "local maximum" in line]
    assert line.startswith(
        f"mle is a local maximum: the log-likelihood of em is {gap:.1f} higher, with a component of 1.0"
    )
    assert "Look at these rows" in line
    higher = replace(sound.fits["em"], log_likelihood=sound.fits["mle"].log_likelihood + 5.0)
    told = verdict_of(replace(sound, results=sound.results | {"em": higher}))
    assert any("5.0 higher. Start the search more often (n_init=100)." in line for line in told)


def test_without_a_prior_em_is_called_maximum_likelihood(reference_data):
    result = bg.compare(reference_data["faithful"], 2, engines="em", prior=None)
    assert "maximum likelihood" in result.engine_names["em"]


def test_unwritable_folders_are_typed_errors(faithful, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ArgumentError, match="file is not a folder"):
        faithful.save(tmp_path / "file")


@pytest.mark.parametrize(
    "samplers", [pytest.param(("gibbs",), marks=pytest.mark.slow), pytest.param(("gibbs", "nuts"), marks=WHOLE)]
)
def test_all_engines_on_one_family(reference_data, tmp_path, samplers):
    """Approximations are assessed by Pareto k-hat, not R-hat; the table omits entries that the family fixes at zero."""
    x = reference_data["faithful"]
    names = ("mle", "em", "laplace", *samplers)
    result = bg.compare(x, 2, engines=names, covariance_type="diag", num_warmup=400, num_samples=800, seed=1)
    assert tuple(result.results) == names
    assert set(result.samplers) == set(samplers)
    assert "VVI covariances" in result.title
    covariances = [name for name in result.estimates().index if name.startswith("covariances")]
    assert covariances == [f"covariances[{k}, {name}, {name}]" for k in range(2) for name in ("eruptions", "waiting")]
    costs = result.costs()
    assert np.isnan(costs.loc["worst R-hat", "laplace"])
    assert costs.loc["Pareto k-hat", "laplace"] == result.results["laplace"].pareto_k
    assert any(
        line.startswith("laplace: Pareto k-hat") and "acceptable" in line and "times those of gibbs" in line
        for line in result.verdict()
    )
    text = result.to_html(tmp_path / "report.html").read_text()
    assert "inverse-gamma(2, (" in text
    assert "covariance_type=&#39;VVI&#39;" in text
    assert "independent draws from the approximation" in text


def test_variational_bayes_stands_beside_the_others(reference_data):
    result = bg.compare(reference_data["faithful"], 2, engines=("em", "cavi"), num_samples=200, seed=1)
    assert result.verdict()[0].startswith("cavi: Pareto k-hat")
    assert "acceptable" in result.verdict()[0]
    assert "R-hat" not in "".join(result.verdict())
    with pytest.raises(ArgumentError, match="not conjugate"):
        bg.compare(reference_data["faithful"], 2, engines=("em", "cavi"), covariance_type="VEV")


@pytest.mark.parametrize(
    ("outcome", "words"),
    [(None, "returned a NoneType, not a MixtureFit or a Posterior"), (DataError("no"), "^no$"),
     (RuntimeError("XLA is out of memory"), r"failed \(RuntimeError: XLA is out of memory\)"), (MemoryError(), "MemoryError")],
)  # fmt: skip
def test_an_engine_of_any_conduct_leaves_the_others(reference_data, tmp_path, outcome, words):
    def run(*arguments, **options):
        if outcome is None:
            return None
        raise outcome

    register("odd", replace(find_engine("em"), name="odd", run=run))
    try:
        result = bg.compare(reference_data["faithful"], 2, engines=("em", "odd"), n_init=2, save_to=tmp_path)
        assert list(result.results) == ["em"]
        assert re.search(words, result.failures["odd"])
        assert (tmp_path / "em.nc").exists()
        with pytest.raises(FitError, match=r"No engine returned a result\. odd: ") as failed:
            bg.compare(reference_data["faithful"], 2, engines="odd")
        assert failed.value.__cause__ is (outcome if isinstance(outcome, (RuntimeError, MemoryError)) else None)
    finally:
        unregister("odd")


@pytest.mark.parametrize("save_to", ["/proc/x", "a\0b", "/dev/null"])
def test_places_that_take_no_file_are_refused_before_the_first_engine(reference_data, save_to):
    with pytest.raises(ArgumentError, match="save_to"):
        bg.compare(reference_data["faithful"], 2, save_to=save_to, progress_bar=lambda *_: pytest.fail("it ran"))


@pytest.mark.parametrize("error", [errno.ENOSPC, errno.EACCES, errno.EIO, errno.EDQUOT])
def test_a_failed_write_keeps_every_result(reference_data, tmp_path, monkeypatch, error):
    def failing(path, content):
        raise OSError(error, os.strerror(error))

    monkeypatch.setattr(files, "write", failing)
    with pytest.warns(SaveWarning, match=os.strerror(error)):
        result = bg.compare(reference_data["faithful"], 2, engines=("em", "mle"), n_init=2, save_to=tmp_path)
    assert set(result.results) == {"em", "mle"}


def test_a_folder_that_vanishes_comes_back(reference_data, tmp_path):
    def listener(label, done, total, note):
        shutil.rmtree(tmp_path / "out", ignore_errors=True)

    bg.compare(
        reference_data["faithful"], 2, engines=("em", "mle"), n_init=2, save_to=tmp_path / "out", progress_bar=listener
    )
    assert list((tmp_path / "out").iterdir())


def test_wrong_arguments_leave_no_folder(reference_data, tmp_path):
    for wrong in ({"n_components": 0}, {"num_chains": 0}, {"covariance_type": "XXX"}, {"engines": "x"}):
        with pytest.raises(ArgumentError):
            bg.compare(reference_data["faithful"], **({"n_components": 2, "save_to": tmp_path / "a" / "b"} | wrong))
    assert not list(tmp_path.iterdir())


def test_the_verdict_says_where_the_prior_makes_the_variance(rng):
    """Two clusters a thousand apart: the default prior's scale is that of the gap. Theirs: (Λ + S) / (n + df + D + 2)."""
    near = rng.normal(size=(60, 2))
    for gap, said in ((6.0, False), (1000.0, True)):
        x = near + gap * np.repeat([[0.0], [1.0]], 30, axis=0)
        result = bg.compare(x, 2, engines=["mle", "em"])
        text = " ".join(result.verdict())
        assert ("not weak on these data" in text) == said
        fit = result["em"] if hasattr(result, "__getitem__") else result.results["em"]
        share = fit.prior.components.scale[0, 0, 0] / (30 + 4 + 4) / fit.params.covariances[0, 0, 0]
        assert (share > 0.5) == said
    own = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(500.0, 1e-6, 4.0, np.eye(2)))
    assert "prior: it makes" not in " ".join(bg.compare(x, 2, engines=["em"], prior=own).verdict())
