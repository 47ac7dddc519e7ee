"""Every public callable with bad and odd arguments: a right result or a typed error, never NaN in silence or a hang."""

import math
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from oracles.effort import EFFORT

import bayesgmm as bg
from bayesgmm.errors import ArgumentError
from fuzz import objects
from fuzz.callables import CLI, CONSTRUCTED, OBJECTS, table, written
from fuzz.inputs import KINDS
from fuzz.outcome import FAULTS, observe
from fuzz.run import Input, grouped, watch

SMALL, LARGE, PARTS = 300, 20_000, 8
"""Inputs of the default suite and of the slow one, which runs in parts."""


def test_every_public_callable_and_parameter_is_tried():
    """A new parameter or method without a kind is a KeyError in `table`."""
    calls = table()
    for name in bg.__all__:
        assert name in calls or name in OBJECTS or name in CONSTRUCTED, name
    assert {kind for call in calls.values() for kind in call.kinds.values()} <= set(KINDS)


def test_every_option_of_the_command_line_is_tried():
    import typer

    from bayesgmm.cli import app

    group = typer.main.get_command(app)
    for name, command in group.commands.items():
        known = {*CLI[f"cli {name}"].kinds, *CLI[f"cli {name}"].base, "--clear"}
        for parameter in command.params:
            assert known & {*parameter.opts, parameter.name}, f"{name} {parameter.opts}"


def test_a_seed_gives_one_call():
    calls = table()
    texts = [Input(seed, calls).text for seed in range(50)]
    assert texts == [Input(seed, calls).text for seed in range(50)]
    assert len(set(texts)) > 45


def refuse():
    raise ArgumentError("no")


@pytest.mark.parametrize(
    ("call", "must_refuse", "sort"),
    [(lambda: 1.0, False, "fine"), (refuse, True, "typed"), (lambda: 1.0, True, "accepted"), 
     (lambda: {}["a"], False, "foreign"),
     (lambda: bg.Params(np.ones(1), np.full((1, 1), math.nan), np.ones((1, 1, 1))), False, "not finite"),
     (lambda: time.sleep(5), False, "slow"), (lambda: np.float64(1) / np.float64(0) * 0, False, "not finite"),
     (lambda: np.exp(np.float64(1e3)) > 0, False, "warning")],
)  # fmt: skip
def test_outcomes_are_told_apart(call, must_refuse, sort):
    """Negative controls: each fault is found."""
    assert observe(call, must_refuse, 0.5).sort == sort


def run(start: int, count: int, folder: Path) -> None:
    records = watch(start, start + count, folder)
    report = grouped(records)
    (folder / "report.txt").write_text(report + "\n")
    print(report)
    assert len(records) == count
    assert not [record for record in records if record["sort"] in FAULTS], report


def test_few_inputs(tmp_path):
    run(0, SMALL, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_many_inputs(tmp_path, part):
    """All 20,000 with BAYESGMM_EFFORT=1."""
    whole = LARGE // PARTS
    run(SMALL + part * whole, max(20, round(whole * EFFORT)), tmp_path)


@pytest.mark.parametrize("name", ["fit_em", "Posterior.predict_proba", "Params.of", "log_density", "adjusted_rand"])
def test_the_valid_call_is_taken(name):
    call = table()[name]
    assert observe(lambda: eval(written(call, call.base), objects.NAMES), False, 60.0).sort == "fine"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "code"),
    [(("fit", "nope.csv"), 2), (("compare", "faithful", "-k", "0"), 2), (("diagnose", "draws.nc", "--seed", "x"), 2),
     (("datasets",), 0)],
)  # fmt: skip
def test_the_command_line_in_a_process_of_its_own(tmp_path, clean_environment, words, code):
    """Exit code and one line of words, never a traceback."""
    command = [sys.executable, "-c", "from bayesgmm.cli import main; main()", *words]
    ended = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=clean_environment, check=False)
    assert ended.returncode == code
    assert "Traceback" not in ended.stderr
    assert bool(ended.stderr.strip()) == bool(code)
