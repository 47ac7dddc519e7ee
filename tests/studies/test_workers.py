"""Studies on other processes: a Dask cluster of which a worker is killed, joblib, and kill -9 of the study itself."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest
from oracles.effort import WHOLE
from oracles.small_study import run, timeless

import bayesgmm as bg

ARGUMENTS = {"n": 50, "num_replicates": 60, "engines": ("em", "gibbs")}


@WHOLE
@pytest.mark.filterwarnings("default")  # Dask's own, when a worker dies
def test_a_dask_worker_is_killed():
    distributed = pytest.importorskip("distributed")
    pids, killed = [], []

    def kill(label, done, total, note):
        if not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster,
        distributed.Client(cluster) as client,
    ):
        pids += client.run(os.getpid).values()
        there = run(client=client, **ARGUMENTS | {"progress_bar": kill})
    assert killed
    assert not there.interrupted
    assert timeless(there) == timeless(run(**ARGUMENTS))


@pytest.mark.slow
def test_joblib():
    pytest.importorskip("joblib")
    assert timeless(run(n_jobs=2, **ARGUMENTS)) == timeless(run(**ARGUMENTS))


SCRIPT = """
import sys
sys.path.insert(0, "tests")
from oracles.small_study import run
run(n=50, num_replicates=60, engines=("em", "gibbs"), checkpoint=sys.argv[1])
"""


@WHOLE
def test_kill_nine_loses_nothing_that_was_written(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path)])
    path, deadline = tmp_path / "replicates.jsonl", time.monotonic() + 120
    while not path.exists() or len(path.read_text().splitlines()) < 10:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.kill()
    process.wait()
    whole = path.read_text().count("\n") - 1
    seen: list[int] = []
    found = run(checkpoint=tmp_path, **ARGUMENTS | {"progress_bar": lambda *call: seen.append(call[1])})
    assert whole <= seen[0] <= 60
    assert timeless(found) == timeless(run(**ARGUMENTS))


def test_workers_that_are_gone_are_told():
    from concurrent.futures import Executor, Future
    from concurrent.futures.process import BrokenProcessPool

    class Dying(Executor):
        calls = 0

        def submit(self, function, *arguments, **more):
            future: Future = Future()
            self.calls += 1
            if self.calls == 1:
                future.set_result(function(*arguments))
            else:
                threading.Timer(0.2, future.set_exception, [BrokenProcessPool("a process died")]).start()
            return future

    with pytest.warns(bg.errors.StudyWarning, match="workers are gone"):
        found = run(executor=Dying(), n=(50, 56), num_replicates=2)
    assert found.interrupted
    assert len(found.lines) == 2
