"""Rows of two processes: the answers of one process with all rows, typed errors in both, and what a kill leaves."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from oracles.on_disk import two_clusters

import bayesgmm as bg
from bayesgmm.errors import ArgumentError
from bayesgmm.runtime import processes

X, FIRST = two_clusters(), 3001
"""Rows of the first process: the second begins within a block."""

BEGIN = """
import json, os, signal, sys
import jax, numpy as np
import bayesgmm as bg
from bayesgmm.runtime import checkpoint
from bayesgmm.sweep.of_processes import RowsSharedByProcesses
index, address, how, folder = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
if how == "jax":
    jax.distributed.initialize(address, 2, index)
else:
    bg.join_processes(address, 2, index)
x = np.load(f"{folder}/{index}.npy")
"""

RUNS = """
import sys
sys.path.insert(0, "tests")
from oracles.nuts_density import density_and_gradient

def numbers(*parts):
    return [np.asarray(leaf).tolist() for leaf in jax.tree.leaves(parts)]

def runs(x):
    em = bg.fit_em(x, 2, means_init=[[103.0, 2.0], [100.0, 7.0]], progress_bar=False)
    chains = {"num_warmup": 3, "num_samples": 5, "num_chains": 2, "progress_bar": False}
    gibbs = bg.sample_gibbs(x, 2, seed=4, **chains)
    cavi = bg.fit_cavi(x, 2, n_init=1, num_samples=20, num_chains=2, tol=1e-9, progress_bar=False)
    return {"density": density_and_gradient(x, em.params), "em": numbers(em.params, em.log_likelihood, em.icl()),
            "gibbs": numbers(gibbs.params, gibbs.log_likelihood), "cavi": numbers(cavi.elbo)}
"""

AGREE = (
    BEGIN
    + RUNS
    + """
rows = bg.rows(x, processes=True)
found = runs(rows)
found["shape"] = [rows.num_rows, rows.first, *numbers(rows.moments(), rows.sample.values.sum(axis=0))]
on_disk = bg.open_rows(f"{folder}/{index}.npy", chunk_rows=4096, processes=True)
start = [[103.0, 2.0], [100.0, 7.0]]
fit = bg.fit_em(on_disk, 2, means_init=start, progress_bar=False)
found["on disk"] = numbers(fit.params, fit.log_likelihood, fit.icl())

def error(call):
    try:
        call()
    except bg.errors.BayesGMMError as error:
        return [type(error).__name__, str(error)]

gaps = np.where(np.arange(len(x))[:, None] == 7 * index, np.nan, x)
np.save(f"{folder}/gaps{index}.npy", gaps if index else x)
found["errors"] = [
    error(lambda: bg.rows(x[: 5 - 5 * index], processes=True)),
    error(lambda: bg.rows(x[:, : 2 - index], processes=True)),
    error(lambda: bg.rows(gaps if index else x, processes=True)),
    error(lambda: bg.open_rows(f"{folder}/gaps{index}.npy", processes=True)),
    error(lambda: bg.fit_em(rows, 2 + index, means_init=(start + [[101.0, 5.0]])[: 2 + index], progress_bar=False)),
    error(lambda: bg.sample_gibbs(rows, 2, seed=index, num_warmup=1, num_samples=2, progress_bar=False)),
    error(lambda: bg.fit_laplace(rows, 2)),
    error(lambda: fit.predict()),
    error(lambda: bg.rows(rows, processes=True)),
    error(lambda: bg.fit_svi(rows, 2)),
    error(lambda: bg.fit_em(rows, 2, batch_size=100)),
]
print(json.dumps(found))
"""
)

KILL = (
    BEGIN
    + """
checkpoint.SECONDS, victim, passes = 0.0, int(sys.argv[5]), 0
total = RowsSharedByProcesses.total
def counted(*arguments):
    global passes
    passes += 1
    if index == victim and passes == 12:
        os.kill(os.getpid(), signal.SIGKILL)
    return total(*arguments)
RowsSharedByProcesses.total = counted
place = f"{folder}/run" if index == 0 else f"{folder}/nowhere/run"
posterior = bg.sample_gibbs(bg.rows(x, processes=True), 2, seed=4, num_warmup=6, num_samples=20, num_chains=2,
                            checkpoint=place if sys.argv[6] == "saved" else None, progress_bar=False)
print(json.dumps([np.asarray(posterior.params.means).tolist(), passes]))
"""
)


def start_both(code: str, folder: Path, how: str, *more: str) -> list[subprocess.Popen]:
    """Two processes with their rows in files; the second knows the first by an address."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    for index, part in enumerate((X[:FIRST], X[FIRST:])):
        np.save(folder / f"{index}.npy", part)
    return [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", code, str(index), address, how, str(folder), *more], text=True,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=Path(__file__).parents[2],
        ) for index in range(2)
    ]  # fmt: skip


def ended(started: list[subprocess.Popen]) -> list[tuple[int, str, str]]:
    """Exit status, output and errors of each, when they have ended."""
    said = [one.communicate(timeout=500) for one in started]
    return [(one.returncode, out, err) for one, (out, err) in zip(started, said, strict=True)]


def answers(started: list[subprocess.Popen]) -> list:
    found = ended(started)
    assert [status for status, _, _ in found] == [0, 0], "\n".join(err[-2000:] for _, _, err in found)
    return [json.loads(out.splitlines()[-1]) for _, out, _ in found]


ERRORS = (
    ("DataError", r"Process 1: The data must have shape .* not be empty"),
    ("DataError", r"Process 1 has the features x0, and process 0 has x0, x1"),
    ("DataError", r"Process 1: x0 is missing \(NaN\) in row 7 of the rows of this process"),
    ("DataError", r"Process 1: x\d is missing \(NaN\) in row 7 of .*gaps1.npy"),
    ("ProcessError", r"Process 1 asks for something else .*1 × 3 components.*1 × 2 components"),
    ("ProcessError", r"Process 1 asks for something else"),
    ("ArgumentError", r"laplace does not take rows of several processes. .*cavi, gibbs, nuts do"),
    ("DataError", r"Give the rows of this process"),
    ("ArgumentError", r"Process 0: These rows are those of all processes already"),
    ("ArgumentError", r"SVI reads no batches of rows of several processes"),
    ("ArgumentError", r"EM reads no batches of rows of several processes"),
)


def test_two_processes_give_the_answers_of_one_and_share_their_errors(tmp_path):
    one, two = answers(start_both(AGREE, tmp_path, "jax"))
    assert one.pop("shape")[1] == 0
    num_rows, first, *moments = two.pop("shape")
    assert (num_rows, first) == (len(X), FIRST)
    for found, true in zip(moments, (X.mean(axis=0), np.cov(X.T, bias=True), X.sum(axis=0)), strict=True):
        np.testing.assert_allclose(found, true, rtol=1e-12)
    for found in (one, two):
        for (kind, words), error in zip(ERRORS, found.pop("errors"), strict=True):
            assert error is not None
            assert error[0] == kind
            assert re.search(words, error[1]), error[1]
    assert one == two  # to the last bit
    space = {"bg": bg, "np": np, "jax": jax}
    exec(RUNS, space)
    alone = space["runs"](X)
    alone["on disk"] = alone["em"]
    for name, values in alone.items():
        for found, true in zip(one[name], values, strict=True):
            np.testing.assert_allclose(found, true, rtol=1e-12 if name == "cavi" else 1e-10, atol=1e-9, err_msg=name)


@pytest.mark.slow
@pytest.mark.parametrize(("how", "victim"), [("jax", 1), ("join", 0)])
def test_a_kill_is_named_in_time_and_the_run_goes_on(tmp_path, how, victim):
    whole = answers(start_both(KILL, tmp_path, how, "-1", "not saved"))
    started = start_both(KILL, tmp_path, how, str(victim), "saved")
    started[victim].wait(timeout=500)
    killed = time.monotonic()
    started[1 - victim].wait(timeout=30)
    assert time.monotonic() - killed < 30
    found = ended(started)
    assert found[victim][0] == -signal.SIGKILL
    assert found[1 - victim][0] == 1
    assert f"ProcessError: Process {victim} of 2 ended before the others" in found[1 - victim][2]
    resumed = answers(start_both(KILL, tmp_path, how, "-1", "saved"))
    assert not (tmp_path / "nowhere").exists()
    assert [one[0] for one in resumed] == [one[0] for one in whole]
    assert 0 < resumed[0][1] < whole[0][1]  # passes


def test_a_process_that_has_joined_no_others_is_told(monkeypatch):
    """It would fit its own rows, as if they were all."""
    monkeypatch.setattr(processes, "_alone", False)
    for make in (lambda: bg.rows(X, processes=True), lambda: bg.open_rows("x.npy", processes=True)):
        with pytest.raises(ArgumentError, match=r"has joined no others\. Call jax.distributed.initialize"):
            make()


def test_alone_the_rows_are_those_of_this_process(monkeypatch):
    monkeypatch.setattr(processes, "_alone", False)
    bg.join_processes("127.0.0.1:1", 1, 0)
    rows = bg.rows(X, processes=True)
    assert type(rows) is bg.data.table.Table
    assert rows.num_rows == len(X)
    with pytest.raises(ArgumentError, match="take no weights"):
        bg.rows(X, processes=True, weights=np.ones(len(X)))
    monkeypatch.setattr(processes, "_alone", False)
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "4")
    with pytest.raises(ArgumentError, match="4 processes were started together"):
        bg.rows(X, processes=True)
