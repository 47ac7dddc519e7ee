"""Studies from TOML files, and the command."""

import numpy as np
import pytest
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm.cli import app
from bayesgmm.errors import ArgumentError
from bayesgmm.studies.study_file import read_study

FIXED = """
n = [50, 56]
num_replicates = 2
num_warmup = 100
num_samples = 200
test_rows = 50
em_intervals = "none"
[truths.near]
weights = [0.6, 0.4]
means = [[0.0, 0.0], [4.0, 1.0]]
covariances = [[[1.0, 0.3], [0.3, 1.0]], [[0.5, 0.0], [0.0, 2.0]]]
[engines.em]
[engines.once]
engine = "em"
n_init = 1
[prior]
loc = [0.0, 0.0]
strength = 0.1
df = 8
scale = [[5.0, 0.0], [0.0, 5.0]]
concentration = 2.0
"""


def write(folder, text):
    path = folder / "study.toml"
    path.write_text(text)
    return path


def test_all_kinds_of_keys(tmp_path):
    found = read_study(write(tmp_path, FIXED))
    assert found["engines"] == {"em": {}, "once": {"engine": "em", "n_init": 1}}
    np.testing.assert_array_equal(found["truths"]["near"].means, [[0, 0], [4, 1]])
    assert found["prior"].components.df == 8
    assert found["prior"].weights.concentration == 2
    sticks = read_study(write(tmp_path, FIXED.replace("concentration = 2.0", "alpha = 1.5")))["prior"].weights
    assert sticks == bg.StickBreaking(1.5)
    assert found["em_intervals"] is None
    study = bg.study(**found, progress_bar=False)
    assert study.engines == ["em", "once"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("truths = 'random'\nfoo = 1", "no argument 'foo'"),
        ("n = 3", "has no truths"),
        (FIXED + "alpha = 1.0", "both concentration"),
        ("truths = [", "is no study"),
        ("[truths.a]\nweights = [1.0]", "lacks covariances, means"),
        ("[truths.a]\nsds = [1.0]", "no argument 'sds'"),
        ("truths = 'random'\n[prior]\nloc = 0.0", "lacks df, scale, strength"),
        ("truths = 'random'\nprior = 3", "prior must be a table"),
    ],
)
def test_bad_files(tmp_path, text, words):
    with pytest.raises(ArgumentError, match=words):
        read_study(write(tmp_path, text))
    with pytest.raises(ArgumentError, match="cannot be read"):
        read_study(tmp_path / "none.toml")


def test_the_command(tmp_path):
    out = tmp_path / "out"
    arguments = ["study", str(write(tmp_path, FIXED)), "--out", str(out), "--quiet"]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "coverage" in result.output or "RMSE" in result.output
    names = {path.name for path in out.iterdir()}
    assert names == {
        "checkpoint",
        "manifest.json",
        "study.csv",
        "study.nc",
        "replicates.csv",
        "failures.csv",
        "coverage.png",
        "cost.png",
    }
    assert CliRunner().invoke(app, [*arguments, "--replicates", "3"]).exit_code == 0
    assert len((out / "checkpoint" / "replicates.jsonl").read_text().splitlines()) == 1 + 2 * 3
