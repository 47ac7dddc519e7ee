"""Every public callable with bad and odd arguments: a right result or a typed error, never NaN in silence or a hang."""

import math
import subprocess
import sys
import time
from pathlib import Path

import jaxtyping
import numpy as np
import pytest
from oracles.effort import EFFORT, SOME

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, BayesGMMError
from bayesgmm.model.alignment import align
from fuzz import objects
from fuzz.callables import CLI, CONSTRUCTED, OBJECTS, table, written
from fuzz.inputs import KINDS
from fuzz.outcome import FAULTS, observe
from fuzz.run import Input, grouped, watch

SMALL, LARGE, PARTS = 40, 20_000, 8
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
        calls = [call for title, call in CLI.items() if title.split()[1] == name]
        known = {
            "--clear",
            "--format",
            "--noise",
            "--json",
            "--labels",
            *(word for call in calls for word in (*call.kinds, *call.base)),
        }
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


@SOME
@pytest.mark.parametrize("part", range(PARTS))
def test_many_inputs(tmp_path, part):
    """All 20,000 with BAYESGMM_EFFORT=1."""
    whole = LARGE // PARTS
    run(SMALL + part * whole, max(20, round(whole * min(1.0, EFFORT**1.25))), tmp_path)


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


MENDED = [
    ("PRIOR.project([])", "params must be a Params"),
    ("bg.relabel(gibbs(), component_dim='nope')", "component_dim .* no use"),
    ("bg.relabel(gibbs(), names={'means': 'mu'})", "names .* no use"),
    ("bg.diagnose(gibbs(), search=False, x=X2)", "x .* no use"),
    ("bg.partition(gibbs(), probabilities=np.array('x'))", "probabilities .* no use"),
    ("bg.partition(L2, labels=L2)", "first argument"),
    ("bg.partition(object(), labels=L2)", "labels"), ("bg.partition(np.ma.masked_equal(L2, 1))", "masked"),
    ("bg.relabel(D2, component_dim='nope')", "third axis"), ("bg.relabel(D2, names={'means': ['means']})", "map to names"),
    ("bg.relabel(D2, probabilities=np.ones((1, 1, 3, 7)) / 7)", "shape"), ("bg.relabel({})", "empty"),
    ("bg.relabel(TREE, labels='weights')", "labels"), ("bg.fit_em(np, 2)", "not a table"),
    ("table().ranking(None)", "num must"), ("table().frame('nope')", "figure must be one of"),
    ("table().frame([])", "figure must"), ("table().fit('VVV', X2)", "n_components must"),
    ("part().plot(ax=[])", "ax must be"), ("part().plot('x', kind='uncertainty')", "ax must be"),
    ("calibration().plot(figure())", "ax must be"), ("bg.plots.plot_table(table(), X2)", "ax must be"),
    ("bg.plots.plot_ascent({'em': fit()}, 0)", "ax must be"), ("bg.plots.plot_means({'em': fit()}, [])", "axes must be"),
    ("bg.plots.plot_traces({'gibbs': gibbs()}, axes())", "axes must be"),
    ("bg.plots.plot_components({'em': fit()}, features=(0, 9))", "at most 1"),
    ("bg.plots.plot_components({'em': fit()}, features=7)", "features must"),
    ("bg.load_dataset(['faithful'])", "no built-in"), ("bg.load_dataset('iris', labels=X2)", "labels must be"),
    ("PRIOR.weights.sample('key')", "seed must be"), ("bg.Dirichlet(1.0).sample(jr.key(0))", "no component axis"),
    ("bg.Dirichlet([-1.0, 1.0]).sample(jr.key(0))", "above 0"), ("bg.Dirichlet(1.0).occupied(10**6, 10**6)", "fewer rows"),
    ("npr.handlers.seed(bg.gaussian_mixture, rng_seed=0)(PRIOR, 1.0)", "shape"),
    ("npr.handlers.seed(bg.gaussian_mixture, rng_seed=0)(PRIOR, X2, 39)", "40 rows"),
    ("npr.handlers.seed(bg.gaussian_mixture, rng_seed=0)(PRIOR, X2 * np.nan)", "not finite"),
    ("npr.handlers.seed(bg.gaussian_mixture, rng_seed=0)(PRIOR, num_rows=2.0)", "num_rows must"),
    ("npr.handlers.seed(bg.gaussian_mixture, rng_seed=0)('default', num_rows=2)", "full shape"),
    ("bg.fit_em(X2, 2, n_init=2, progress_bar=int)", "progress_bar failed"),
    ("bg.calibrate(X2, 2, engine=int)", "cannot be called"), ("bg.calibrate(X2, 2, n_sims=10**7)", "at most"),
    ("bg.calibrate(X2, 2, engine=lambda **options: 1)", "cannot be called"),
    ("bg.compare(X2, 2, engines=['em'], num_chains=np.nan)", "num_chains must"),
    ("cli('diagnose', 'fifo')", "pipe or device"),
]  # fmt: skip


@pytest.fixture
def unchecked():
    """As for users: types are not checked at run time."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize(("text", "words"), MENDED)
def test_what_was_found_is_refused_with_its_name(monkeypatch, unchecked, text, words):
    """One input of each kind that the harness found: before any long work, with words that name the argument."""
    monkeypatch.chdir(objects.TMP)
    if "fifo" in text and not Path("fifo").exists():
        objects.files()
    with pytest.raises(BayesGMMError, match=words):
        eval(text, objects.NAMES)


def test_a_reference_far_from_all_draws_labels_them_without_a_warning():
    far = objects.P2._replace(means=objects.P2.means * 1e300)
    assert sorted(align(objects.P2, far).tolist()) == [0, 1]


def test_many_rows_occupy_components_soon():
    """The chance of a single occupied component of two is 2 Γ(2α) Γ(n+α) / (Γ(α) Γ(n+2α)): 2 / (n + 1) for α = 1."""
    begin = time.perf_counter()
    np.testing.assert_allclose(
        bg.Dirichlet(1.0).occupied(10**6, 2), [0.0, 2 / (10**6 + 1), 1 - 2 / (10**6 + 1)], rtol=1e-8
    )
    assert time.perf_counter() - begin < 10.0
    np.testing.assert_array_equal(bg.Dirichlet(5e-324).occupied(9, 2), [0.0, 1.0, 0.0])
