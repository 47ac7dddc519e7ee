"""A new engine needs one file and one line: the example of the docs works in every function that takes engines."""

import importlib
import re
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm.cli import commands
from bayesgmm.engines.engine import engine_names, find_engine, find_engines, register, unregister
from bayesgmm.errors import ArgumentError, PriorError

PAGE = Path(__file__).parents[2] / "docs" / "adding-an-engine.md"
FEW = {"num_warmup": 50, "num_samples": 100, "num_chains": 2}


@pytest.fixture
def metropolis(tmp_path, monkeypatch):
    """The engine of the docs page, as a user would add it: one file on the path, and one line."""
    code = re.search(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.S)
    assert code is not None
    (tmp_path / "metropolis.py").write_text(code[1], encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    register("metropolis", "metropolis:METROPOLIS")
    yield "metropolis"
    unregister("metropolis")
    sys.modules.pop("metropolis", None)


@pytest.mark.filterwarnings("ignore::bayesgmm.errors.MixingWarning", "ignore::bayesgmm.errors.LooWarning")
def test_a_new_engine_is_compared_calibrated_and_refitted(reference_data, metropolis):
    x = reference_data["faithful"].iloc[:60]
    comparison = bg.compare(x, 2, engines=("em", metropolis), **FEW, progress_bar=False)
    assert list(comparison.results) == ["em", metropolis]
    assert comparison.engine_names[metropolis] == "random-walk Metropolis"
    assert metropolis in comparison.samplers
    assert any(line.startswith(f"{metropolis}: ") for line in comparison.verdict())
    assert "worst R-hat" in comparison.summary().index
    posterior = comparison.results[metropolis]
    assert posterior.extend(20).num_samples == 120
    assert np.isfinite(bg.kfold(posterior, k=2).elpd)
    found = bg.calibrate(x, 2, engine=metropolis, n_sims=2, **FEW)
    assert (found.engine, found.num_sims) == (metropolis, 2)


def test_a_new_engine_is_in_the_help_and_in_the_errors(rng, metropolis):
    x = rng.normal(size=(40, 2))
    assert engine_names()[-1] == metropolis
    with pytest.raises(ArgumentError, match=r"Unknown engine 'hmc'.*nuts, telescoping, metropolis"):
        bg.compare(x, 2, engines=("hmc",))
    lkj = bg.Prior(bg.Dirichlet(2.0), bg.NormalTimesLKJ(0.0, 1.0, 1.0, bg.HalfNormal(1.0)))
    with pytest.raises(PriorError, match="svi, laplace, nuts, metropolis do"):
        bg.sample_gibbs(x, 2, prior=lkj)
    with pytest.raises(ArgumentError, match="metropolis does not take covariance_type 'VEV'"):
        bg.compare(x, 2, engines=(metropolis,), covariance_type="VEV")
    with pytest.raises(PriorError, match="proper prior"):
        bg.compare(x, 2, engines=(metropolis,), prior=None)
    reloaded = importlib.reload(commands)
    shown = CliRunner().invoke(reloaded.app, ["compare", "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).output
    assert "gibbs, nuts, telescoping, metropolis" in shown


def test_unknown_engines_are_refused():
    with pytest.raises(ArgumentError, match="Choose from em, mle, cem, sem, mcem, same, daem, cavi, svi, laplace"):
        find_engine("stan")
    with pytest.raises(ArgumentError, match="No engine was named"):
        find_engines([])
    assert [engine.name for engine in find_engines(["nuts", "em", "nuts"])] == ["nuts", "em"]


def test_only_engines_that_draw_can_be_calibrated(rng):
    with pytest.raises(ArgumentError, match="Only draws can be calibrated"):
        bg.calibrate(rng.normal(size=(30, 2)), 2, engine="em")


@pytest.mark.parametrize("name", engine_names())
def test_records_match_their_functions(name):
    """Every argument that `compare` and the refits pass is an argument of the function."""
    engine = find_engine(name)
    assert engine.name == name
    open_ended = "arguments" in engine.arguments  # **arguments, of EM
    needed = {"prior", "covariance_type", "seed", "reference", "progress_bar", *engine.settings}
    assert open_ended or needed <= engine.arguments


def test_draws_of_several_chains_are_no_start():
    """Found by the fuzz: θ with the axes (chain, draw) had the length of the chains, and ended in a ValueError."""
    x = np.random.default_rng(0).normal(size=(60, 2))
    one = bg.fit_em(x, 2, n_init=4).params
    draws = bg.Params(*(np.broadcast_to(part, (2, 5, *part.shape)) for part in one))
    for sample in (bg.sample_nuts, bg.sample_gibbs):
        with pytest.raises(ArgumentError, match="one for each chain"):
            sample(x, 2, num_chains=2, init=draws)
