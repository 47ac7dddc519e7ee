"""Long runs: an interrupted, killed or extended run gives the draws of one uninterrupted run."""

import os
import pickle
import signal
import subprocess
import sys
import time
from collections import namedtuple
from functools import partial

import jax
import numpy as np
import pytest

import bayesgmm as bg
from bayesgmm.engines.mcmc import chain_loop as blocks
from bayesgmm.errors import ArgumentError, CheckpointError, CheckpointWarning, SamplingInterrupted
from bayesgmm.runtime import checkpoint
from bayesgmm.runtime.fingerprint import fingerprint

ENGINES = [bg.sample_gibbs, bg.sample_nuts]


def assert_same_draws(one, two):
    for a, b in zip(one.params, two.params, strict=True):
        np.testing.assert_array_equal(a, b)
    np.testing.assert_array_equal(one.log_likelihood, two.log_likelihood)
    assert one.sample_stats.keys() == two.sample_stats.keys()
    for name, draws in one.sample_stats.items():
        np.testing.assert_array_equal(draws, two.sample_stats[name])


@pytest.mark.parametrize("engine", [bg.sample_gibbs, pytest.param(bg.sample_nuts, marks=pytest.mark.slow)])
def test_extended_is_as_if_it_had_been_longer(engine, reference_data):
    x = reference_data["faithful"]
    mode = bg.fit_em(x, 2, prior="default")
    arguments = {"num_warmup": 50, "num_chains": 2, "seed": 5, "reference": mode}  # one program of NUTS in many tests
    short = engine(x, 2, num_samples=20, **arguments)
    long = engine(x, 2, num_samples=50, **arguments)
    extended = short.extend(20).extend(10)
    assert_same_draws(extended, long)
    np.testing.assert_allclose(extended.log_prior, long.log_prior, rtol=1e-12)
    assert short.num_samples == 20
    assert extended.clock.total_seconds > short.clock.total_seconds


@pytest.mark.parametrize("engine", ENGINES)
def test_the_same_call_resumes(engine, reference_data, tmp_path, monkeypatch):
    """Interrupted in warm-up, interrupted while sampling, and extended: always the draws of one run."""
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    monkeypatch.setattr(blocks, "_next_size", lambda *args: 7)
    x = reference_data["faithful"]
    arguments = {"num_warmup": 50, "num_chains": 2, "seed": 5, "reference": bg.fit_em(x, 2, prior="default")}

    def stop_after(steps):
        def listener(label, done, total, note):
            if done >= steps:
                os.kill(os.getpid(), signal.SIGINT)

        return listener

    def run(steps=10**9, num_samples=60):
        return engine(
            x, 2, num_samples=num_samples, checkpoint=tmp_path / "run", progress_bar=stop_after(steps), **arguments
        )

    with pytest.raises(SamplingInterrupted, match="the same call resumes"):
        run(steps=5)
    cut = run(steps=55)
    assert cut.interrupted
    assert cut.num_samples < 60
    whole = engine(x, 2, num_samples=60, **arguments)
    assert_same_draws(run(), whole)
    assert_same_draws(run(), whole)  # all draws are read from disk
    longer = run(num_samples=80)
    np.testing.assert_array_equal(longer.params.means[:, :60], whole.params.means)
    with pytest.raises(CheckpointError, match="holds 80 draws per chain, more than the 10 asked for"):
        run(num_samples=10)
    assert_same_draws(run(num_samples=80).extend(5), engine(x, 2, num_samples=85, **arguments))


def test_a_killed_run_resumes_bit_for_bit(reference_data, tmp_path, clean_environment):
    """``kill -9`` during sampling, in a separate process."""
    environment = clean_environment | {"XLA_FLAGS": os.environ["XLA_FLAGS"]}  # identical bits need the same compiler
    code = f"""
import bayesgmm as bg
from bayesgmm.runtime import checkpoint
from bayesgmm.runtime.fingerprint import fingerprint
checkpoint.SECONDS = 0.05
bg.sample_gibbs(bg.load_dataset("faithful"), 2, num_warmup=200, num_samples=1_000_000, num_chains=2, seed=3,
                checkpoint={str(tmp_path / "run")!r})
"""
    process = subprocess.Popen([sys.executable, "-c", code], env=environment)
    while len(list((tmp_path / "run").glob("draws-*"))) < 4:
        assert process.poll() is None
        time.sleep(0.05)
    process.kill()
    process.wait()
    with np.load(tmp_path / "run" / "state.npz") as saved:
        counted = int(saved["counted"])
    x = reference_data["faithful"]
    arguments = {"num_warmup": 200, "num_samples": counted + 100, "num_chains": 2, "seed": 3}
    resumed = bg.sample_gibbs(x, 2, checkpoint=tmp_path / "run", **arguments)
    assert 0 < counted < resumed.num_samples
    assert_same_draws(resumed, bg.sample_gibbs(x, 2, **arguments))


def test_other_arguments_are_refused(reference_data, tmp_path):
    x = reference_data["faithful"]
    arguments = {"num_warmup": 2, "num_samples": 2, "num_chains": 1, "checkpoint": tmp_path / "run"}
    bg.sample_gibbs(x, 2, **arguments)
    for change, word in [
        ({"n_components": 3}, "n_components: saved 2, now 3"), ({"seed": 1}, "seed"), ({"x": x + 1.0}, "data"),
        ({"num_chains": 2}, "num_chains: saved 1, now 2"), ({"prior": bg.default_prior(x * 2.0, 2)}, "prior"),
        ({"covariance_type": "tied"}, "covariance_type: saved 'VVV', now 'EEE'"), ({"init": "em"}, "init"),
    ]:  # fmt: skip
        with pytest.raises(CheckpointError, match=word):
            bg.sample_gibbs(**({"x": x, "n_components": 2} | arguments | change))
    with pytest.raises(CheckpointError, match="algorithm: saved 'gibbs', now 'nuts'"):
        bg.sample_nuts(x, 2, **arguments)


def test_folders_that_cannot_serve(reference_data, tmp_path):
    x = reference_data["faithful"]
    arguments = {"num_warmup": 2, "num_samples": 2, "num_chains": 1}
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError, match="holds no run"):
        bg.sample_gibbs(x, 2, checkpoint=tmp_path, **arguments)
    with pytest.raises(CheckpointError, match="cannot be used"):
        bg.sample_gibbs(x, 2, checkpoint=tmp_path / "notes.txt", **arguments)
    bg.sample_gibbs(x, 2, checkpoint=tmp_path / "run", **arguments)
    state = tmp_path / "run" / "state.npz"
    state.write_bytes(state.read_bytes()[:100])
    with pytest.raises(CheckpointError, match="damaged"):
        bg.sample_gibbs(x, 2, checkpoint=tmp_path / "run", **arguments)


def test_the_folder_of_a_run_killed_at_its_start_works(reference_data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.part").write_text("{")
    arguments = {"num_warmup": 2, "num_samples": 2, "num_chains": 1, "checkpoint": tmp_path / "run"}
    assert bg.sample_gibbs(reference_data["faithful"], 2, **arguments).num_samples == 2
    (tmp_path / "run" / "run.json").write_text("[]")
    with pytest.raises(CheckpointError, match="holds no run"):
        bg.sample_gibbs(reference_data["faithful"], 2, **arguments)


def test_a_full_disk_keeps_the_draws(reference_data, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)

    def full(path, arrays):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "_save", full)
    x = reference_data["faithful"]
    arguments = {"num_warmup": 20, "num_samples": 30, "num_chains": 2}
    with pytest.warns(CheckpointWarning, match="No space left"):
        posterior = bg.sample_gibbs(x, 2, checkpoint=tmp_path / "run", **arguments)
    assert_same_draws(posterior, bg.sample_gibbs(x, 2, **arguments))


def test_more_draws_than_memory_are_refused_first(reference_data):
    with pytest.raises(ArgumentError, match="more than this machine has"):
        bg.sample_gibbs(reference_data["faithful"], 2, num_samples=2 * 10**9)


def test_draws_without_a_chain_cannot_be_extended(reference_data):
    with pytest.raises(ArgumentError, match="no chain"):
        bg.fit_cavi(reference_data["faithful"], 2, num_samples=20).extend(10)


def test_a_posterior_survives_pickling(reference_data):
    posterior = bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=5, num_samples=5, num_chains=1)
    again = pickle.loads(pickle.dumps(posterior))
    assert_same_draws(again.extend(5), posterior.extend(5))


def test_numpy_integers_are_integers(tmp_path):
    """Outside the tests nothing prevents callers from passing ``n_components=np.int64(2)``."""
    question = {"n_components": np.int64(2), "dense_mass": np.bool_(True)}
    for same in (question, {"n_components": 2, "dense_mass": True}):
        with checkpoint.Checkpoint(tmp_path / "run", same):
            pass
    checkpoint.read_lines(tmp_path / "ranks.jsonl", question)
    assert checkpoint.read_lines(tmp_path / "ranks.jsonl", {"n_components": 2, "dense_mass": True}) == []
    with pytest.raises(CheckpointError, match="saved 2, now"):
        checkpoint.Checkpoint(tmp_path / "run", question | {"n_components": np.int64(3)})


def test_a_key_of_another_kind_goes_on(reference_data):
    x = reference_data["waiting"]
    settings = {"num_warmup": 2, "num_chains": 1, "seed": jax.random.key(0, impl="rbg")}
    short = pickle.loads(pickle.dumps(bg.sample_gibbs(x, 2, num_samples=3, **settings)))
    assert_same_draws(short.extend(4), bg.sample_gibbs(x, 2, num_samples=7, reference=short.reference, **settings))


def test_a_fingerprint_is_reproducible():
    """A class has another address in another process, as a second copy has in this process."""

    def guide():
        class Guide:
            pass

        return Guide

    assert fingerprint(guide()) == fingerprint(guide())
    assert fingerprint(bg.fit_cavi) != fingerprint(bg.fit_svi)
    one, two = (namedtuple(name, "loc scale")(np.zeros(2), np.ones(2)) for name in ("NormalPrior", "CauchyPrior"))
    assert fingerprint(one) != fingerprint(two)
    for nameless in (lambda: None, partial(bg.fit_cavi), object()):
        with pytest.raises(CheckpointError, match="identify"):
            fingerprint(nameless)


def test_two_runs_do_not_share_a_folder(reference_data, tmp_path, clean_environment):
    arguments = {"num_warmup": 2, "num_samples": 2, "num_chains": 1, "checkpoint": tmp_path / "run"}
    hold = (
        "import sys, time; from pathlib import Path; from bayesgmm.runtime.lock import Lock\n"
        "with Lock(Path(sys.argv[1])): print('held', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "run")], stdout=subprocess.PIPE, env=clean_environment
    )
    try:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(CheckpointError, match=rf"in use by process {holder.pid} on .*, since "):
            bg.sample_gibbs(reference_data["faithful"], 2, **arguments)
        with pytest.raises(CheckpointError, match="in use"):
            bg.calibrate(reference_data["faithful"], 2, n_sims=1, checkpoint=tmp_path / "run")
    finally:
        holder.kill()
        holder.communicate()
    assert bg.sample_gibbs(reference_data["faithful"], 2, **arguments).num_samples == 2  # a killed run holds no lock


def rewritten(path, change):
    """The arrays of an npz file, changed."""
    with np.load(path) as saved:
        arrays = dict(saved)
    change(arrays)
    np.savez(path, **arrays)


def test_stray_files_do_no_harm_and_damaged_ones_are_named(reference_data, tmp_path):
    x, folder = reference_data["faithful"], tmp_path / "run"
    arguments = {"num_warmup": 2, "num_samples": 2, "num_chains": 1, "checkpoint": folder}
    first = bg.sample_gibbs(x, 2, **arguments)
    block = folder / "draws-0000000.npz"
    for name in ("draws-copy.npz", "draws-0000000 (1).npz", "draws-.npz", "notes.txt"):
        (folder / name).write_bytes(block.read_bytes())
    assert_same_draws(first, bg.sample_gibbs(x, 2, **arguments))
    whole = block.read_bytes()
    for change in (
        lambda arrays: arrays.pop("means"), lambda arrays: arrays.update(extra=np.zeros((1, 2))),
        lambda arrays: arrays.update(means=arrays["means"][:, :1]),
    ):  # fmt: skip
        block.write_bytes(whole)
        rewritten(block, change)
        with pytest.raises(CheckpointError, match="damaged"):
            bg.sample_gibbs(x, 2, **arguments)
    for junk in ("[" * 100_000, "\x00", "7", '{"algorithm": []}'):
        (folder / "run.json").write_text(junk)
        with pytest.raises(CheckpointError, match="run"):
            bg.sample_gibbs(x, 2, **arguments)


@pytest.mark.parametrize("function", [*ENGINES, bg.calibrate])
def test_what_is_no_path_is_refused_before_anything(function):
    for path, words in (("a\0b", "checkpoint holds a character"), ("", "checkpoint is blank")):
        with pytest.raises(ArgumentError, match=words):
            function("not even data", 2, checkpoint=path)


@pytest.mark.parametrize("line", ["5", "[]", "{}", '{"pit": 1}', "[" * 100_000])
def test_a_line_that_is_no_result_is_damage(line, tmp_path):
    path = tmp_path / "ranks.jsonl"
    assert checkpoint.read_lines(path, {"n": 1}, ("pit", "effective")) == []
    path.write_text(path.read_text() + line + "\n")
    with pytest.raises(CheckpointError, match=r"damaged|cannot be used"):
        checkpoint.read_lines(path, {"n": 1}, ("pit", "effective"))
