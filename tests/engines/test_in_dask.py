"""Engines over rows in Dask: the answers of the same rows in memory, workers that die, and what is refused."""

import os
import pickle
import signal
import time

import numpy as np
import pandas as pd
import pytest
from oracles.effort import WHOLE
from oracles.nuts_density import density_and_gradient
from oracles.on_disk import N, two_clusters, write_parquet

import bayesgmm as bg
from bayesgmm.model.types import Params, Stats
from bayesgmm.runtime import checkpoint
from bayesgmm.runtime.cluster import as_ours
from bayesgmm.sweep import on_workers
from bayesgmm.sweep.in_dask import pool_tree
from bayesgmm.sweep.on_workers import evened
from bayesgmm.sweep.passed import pooled

dask = pytest.importorskip("dask")
distributed = pytest.importorskip("distributed")
da = pytest.importorskip("dask.array")
dd = pytest.importorskip("dask.dataframe")

X = two_clusters()
CUTS = [1500, 1510, 5510, 5510, 7000]
"""Six uneven partitions: a tiny one, and an empty one."""
MEANS = [[103.0, 2.0], [100.0, 7.0]]
SHORT = {"num_warmup": 3, "num_samples": 5, "num_chains": 2, "progress_bar": False}
LOCAL = {"scheduler": "threads"}


@pytest.fixture(scope="module")
def cluster():
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as cluster:
        yield cluster


@pytest.fixture(scope="module")
def client(cluster):
    with distributed.Client(cluster) as client:
        yield client


def array(x=X, cuts=CUTS):
    return da.concatenate([da.from_array(part) for part in np.split(x, cuts) if len(part)])


def frame(x=X, cuts=CUTS):
    parts = [dask.delayed(pd.DataFrame(part, columns=["a", "b"])) for part in np.split(x, cuts)]
    return dd.from_delayed(parts, meta=pd.DataFrame(x[:0], columns=["a", "b"]), verify_meta=False)


@pytest.fixture(scope="module")
def in_dask(client):
    """Persisted, with an empty partition, and with numbers of rows that Dask does not know."""
    return bg.rows(client.persist(frame()))


def apart(one: Params, two: Params) -> float:
    """Largest difference of two θ, relative to the spread of the data."""
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(one, two, strict=True)) / 3.0


CASES = [
    {},
    pytest.param({"algorithm": "sem", "max_iter": 8}, marks=pytest.mark.slow),
    pytest.param({"algorithm": "cem"}, marks=WHOLE),
    pytest.param({"prior": "default", "accelerate": False, "max_iter": 30, "tol": 0}, marks=WHOLE),
    pytest.param({"covariance_type": "diag", "dtype": "float32", "max_iter": 5, "tol": 0}, marks=WHOLE),
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_em_takes_the_same_path(in_dask, arguments):
    close = 1e-4 if "dtype" in arguments else 1e-10
    memory, there = (bg.fit_em(x, 2, means_init=MEANS, **arguments) for x in (X, in_dask))
    assert memory.n_iter == there.n_iter
    assert apart(memory.params, there.params) < close
    assert there.log_likelihood == pytest.approx(memory.log_likelihood, rel=1e-2 * close)
    assert there.bic() == pytest.approx(memory.bic(), rel=1e-2 * close)
    np.testing.assert_allclose(there.trace, memory.trace, rtol=1e-2 * close)


def test_gibbs_draws_the_same(in_dask):
    memory, there = (bg.sample_gibbs(x, 2, seed=4, **SHORT) for x in (X, in_dask))
    assert apart(memory.params, there.params) < 1e-10
    np.testing.assert_allclose(there.log_likelihood, memory.log_likelihood, rtol=1e-12)


def test_nuts_moves_along_the_same_gradient(in_dask):
    params = bg.fit_em(X, 2, means_init=MEANS).params
    for there, memory in zip(*(density_and_gradient(x, params) for x in (in_dask, X)), strict=True):
        np.testing.assert_allclose(there, memory, rtol=1e-10, atol=1e-8)


@WHOLE  # CAVI from disk has the same blocks, and EM here the same graph
def test_cavi_ends_at_the_same_bound(in_dask):
    memory, there = (bg.fit_cavi(x, 2, n_init=1, num_samples=20, num_chains=2, tol=1e-9) for x in (X, in_dask))
    assert there.elbo == pytest.approx(memory.elbo, rel=1e-12)
    assert apart(memory.params, there.params) < 1e-7
    np.testing.assert_allclose(there.log_likelihood, memory.log_likelihood, rtol=1e-9)


@WHOLE
def test_a_table_of_fits(in_dask):
    memory, there = (bg.fit_table(x, [1, 2], ("EII", "VVV"), tol=1e-9) for x in (X, in_dask))
    assert there.best.bic() == pytest.approx(memory.best.bic(), rel=1e-10)


def test_the_same_bits_wherever_the_partitions_lie(client, in_dask):
    """On two workers, on one of them, and without a cluster."""
    fits = [bg.fit_em(in_dask, 2, means_init=MEANS)]
    with dask.config.set(LOCAL):
        fits.append(bg.fit_em(bg.rows(frame()), 2, means_init=MEANS))
    first = next(iter(client.scheduler_info()["workers"]))
    fits.append(bg.fit_em(client.persist(frame(), workers=[first]), 2, means_init=MEANS))
    for other in fits[1:]:
        assert apart(fits[0].params, other.params) == 0.0
        np.testing.assert_array_equal(fits[0].trace, other.trace)


def test_a_worker_is_killed_and_replaced(client, in_dask):
    """Dask starts another worker and makes its blocks again. The draws are those of an undisturbed run, bit for bit."""
    pids, killed = list(client.run(os.getpid).values()), []

    def kill(label, done, total, note):
        if label == "gibbs" and done >= 2 and not killed:
            killed.append(pids[0])
            os.kill(pids[0], signal.SIGKILL)

    run = SHORT | {"num_samples": 40}
    whole = bg.sample_gibbs(in_dask, 2, seed=4, **run)
    disturbed = bg.sample_gibbs(in_dask, 2, seed=4, **run | {"progress_bar": kill})
    assert killed
    client.wait_for_workers(2, timeout=60)
    assert pids[0] not in client.run(os.getpid).values()
    assert apart(whole.params, disturbed.params) == 0.0
    np.testing.assert_array_equal(whole.log_likelihood, disturbed.log_likelihood)


def deadly(block):
    if len(block):  # Dask tries functions on no rows in this process
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.slow
def test_workers_that_die_again_and_again_are_an_error(client, cluster):
    cluster.scheduler.allowed_failures = 0
    try:
        with pytest.raises(
            bg.errors.ClusterError, match=r"gave up reading the partitions, because the workers .* died"
        ):
            bg.fit_em(da.from_array(X, chunks=(3000, 2)).map_blocks(deadly, dtype=float), 2)
    finally:
        cluster.scheduler.allowed_failures = 3
        client.wait_for_workers(2, timeout=60)


@pytest.mark.slow
def test_a_worker_that_comes_back_takes_its_share(client, in_dask, monkeypatch):
    shares, run = [], on_workers.Spread.run

    def watched(self, *arguments):
        found = run(self, *arguments)
        shares.append([sum(self._rows[i] for i in group) for group in self._groups.values()])
        return found

    def kill(label, done, total, note):
        if label == "gibbs" and done == 2:
            pids = client.run(os.getpid)
            os.kill(next(iter(pids.values())), signal.SIGKILL)
            while len({*client.scheduler_info()["workers"]} - {next(iter(pids))}) < 2:
                time.sleep(0.05)

    monkeypatch.setattr(on_workers, "PATIENCE", 0.0)
    monkeypatch.setattr(on_workers.Spread, "run", watched)
    bg.sample_gibbs(in_dask, 2, seed=4, **SHORT | {"num_samples": 10, "progress_bar": kill})
    assert len(shares[0]) == len(shares[-1]) == 2
    assert max(shares[-1]) < 0.7 * N


def test_a_closed_cluster_is_an_error():
    error = as_ours(distributed.client.FuturesCancelledError([]), "passing over the rows")
    assert isinstance(error, bg.errors.ClusterError)
    assert "The cluster was closed or restarted" in str(error)


def test_a_stopped_run_goes_on_with_the_same_rows_on_disk(in_dask, tmp_path, monkeypatch):
    """A checkpoint knows rows by their number and sample, which do not depend on where the rows are."""
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)

    def stop(label, done, total, note):
        if "rows/s" in note:
            raise KeyboardInterrupt

    call, reports = {"means_init": MEANS, "accelerate": False}, []
    with pytest.raises(KeyboardInterrupt):
        bg.fit_em(in_dask, 2, checkpoint=tmp_path / "run", progress_bar=stop, **call)
    again = {"checkpoint": tmp_path / "run", "progress_bar": lambda *report: reports.append(report[1])}
    resumed = bg.fit_em(in_dask, 2, **again, **call)
    assert reports[0] > 2
    assert apart(resumed.params, bg.fit_em(in_dask, 2, **call).params) == 0.0
    on_disk = bg.open_rows(write_parquet(X, tmp_path / "x.parquet"))
    assert on_disk.digest == in_dask.digest


def test_what_stands_for_the_rows(in_dask):
    unknown = array()[array()[:, 0] > -np.inf]
    assert np.isnan(unknown.chunks[0]).all()
    for table in (in_dask, bg.rows(unknown.rechunk({1: 1})), bg.rows(array())):
        np.testing.assert_allclose(table.moments()[0], X.mean(axis=0), rtol=1e-14)
        np.testing.assert_allclose(table.moments()[1], np.cov(X.T, bias=True), rtol=1e-12)
        np.testing.assert_array_equal(table.sample.values, X)
        np.testing.assert_array_equal(np.concatenate(list(table.chunks(2000))), X)
    assert (in_dask.features, bg.rows(unknown).features) == (("a", "b"), ("x0", "x1"))
    assert repr(in_dask) == "Rows in Dask: 9,000 rows × 2 features (a, b) in 5 partitions"
    assert bg.rows(frame().a).features == ("a",)
    assert bg.rows(array()[:, 0]).dim == 1


def test_results_say_what_they_can(client, in_dask):
    fit = bg.fit_em(in_dask, 2, means_init=MEANS)
    np.testing.assert_array_equal(fit.predict(frame()), fit.predict(X))
    np.testing.assert_array_equal(fit.predict(frame()[["b", "a"]]), fit.predict(X))
    np.testing.assert_allclose(fit.score_samples(), fit.score_samples(X), rtol=1e-12)
    posterior = bg.sample_gibbs(in_dask, 2, seed=4, **SHORT)
    assert "the rows are in Dask" in posterior.datatree.attrs["omitted"]
    copy = pickle.loads(pickle.dumps(fit))
    np.testing.assert_array_equal(copy.predict(X), fit.predict(X))
    with pytest.raises(bg.errors.DataError, match="copied without them"):
        copy.predict()
    lazy = array().map_blocks(copy.predict, drop_axis=1, dtype=int)
    np.testing.assert_array_equal(lazy.compute(), fit.predict(X))


def spoilt(value, row=1505):
    x = X.copy()
    x[row, 1] = value
    return x


TEXT = pd.DataFrame({"a": [1.0, 2.0], "name": ["p", "q"], "when": pd.to_datetime(["2020-01-01", "2020-01-02"])})
BAD = {
    r"b is missing .NaN. in row 5 of partition 1 of x .row 1,505 of all., .* x.dropna": lambda: frame(spoilt(np.nan)),
    r"x1 is infinite in row 10 of partition 3 of x .row 5,520 of all": lambda: array(spoilt(np.inf, 5520)),
    r"x1 is 1e\+200 in row 5 of partition 1 .* Divide the column by 1e\+200": lambda: array(spoilt(1e200)),
    r"Not numeric: name .*, when .datetime64.*Choose the others .x\[\['a'\]\]": lambda: dd.from_pandas(TEXT, npartitions=1),
    r"The Dask array holds <U1": lambda: da.from_array(np.array([["p", "q"]])),
    r"Partition 1 of x: Its columns are c, d, but x has a, b": lambda: dd.from_delayed(
        [dask.delayed(pd.DataFrame(X[:5], columns=names)) for names in (["a", "b"], ["c", "d"])],
        meta=pd.DataFrame(X[:0], columns=["a", "b"]), verify_meta=False,
    ),
    r"Partition 0 of x: Its shape is \(5, 2\), but x has 3 features": lambda: da.from_delayed(
        dask.delayed(X[:5]), (5, 3), dtype=float
    ),
    r"Partition 0 of x: It has 5 rows, but Dask says 6": lambda: da.from_delayed(dask.delayed(X[:5]), (6, 2), dtype=float),
    r"has no rows": lambda: frame(X[:0], []),
    r"of Dask has no rows": lambda: array()[array()[:, 0] > np.inf],
    r"a Dask array of 3 dimensions": lambda: da.zeros((2, 2, 2)),
    r"x is a Delayed.* of Dask": lambda: dask.delayed(X),
    r"Dask failed reading the partitions .ZeroDivisionError": lambda: array().map_blocks(lambda x: 1 / 0, dtype=float),
}  # fmt: skip


@pytest.mark.parametrize("words", BAD)
def test_data_that_cannot_be_fitted(client, words):
    with pytest.raises(bg.errors.DataError, match=words):
        bg.rows(BAD[words]())


REFUSED = {
    "laplace does not take rows in Dask": lambda x: bg.fit_laplace(x, 2),
    "tempering=2 does not take rows in Dask": lambda x: bg.sample_gibbs(x, 2, tempering=2),
    "Rows in Dask take no weights": lambda x: bg.rows(x, weights=np.ones(N)),
    "For rows in Dask give means_init": lambda x: bg.fit_em(x, 2, labels_init=np.zeros(N, int)),
    "all rows in memory, and these are in Dask": lambda x: bg.rows(x).values,
    "compiled program, and these are in Dask": lambda x: bg.fit_em(x, 2, means_init=MEANS).intervals(),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_needs_all_rows_is_refused_by_name(in_dask, words):
    with pytest.raises(bg.errors.BayesGMMError, match=words):
        REFUSED[words](in_dask)


def test_the_tree_has_the_same_sums_however_its_leaves_are_dealt(rng):
    leaves = [Stats(*(rng.random(shape) for shape in ((1, 3), (1, 3, 2), (1, 3, 2, 2), (1,)))) for _ in range(11)]
    sums = []
    for owners in (np.zeros(11, int), np.arange(11) % 2, rng.integers(3, size=11)):
        branches: dict = {}
        for owner in range(3):
            here = {(i, i + 1): leaves[i] for i in np.flatnonzero(owners == owner)}
            apart: dict = {}
            whole = pool_tree((0, 11), apart, here.get)
            branches |= apart if whole is None else {(0, 11): whole}
        sums.append(pool_tree((0, 11), {}, branches.get))
    for other in sums[1:]:
        for one, two in zip(sums[0], other, strict=True):
            np.testing.assert_array_equal(one, two)
    in_turn = leaves[0]
    for leaf in leaves[1:]:
        in_turn = pooled(in_turn, leaf)
    for one, two in zip(sums[0], in_turn, strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-12)


def test_blocks_move_only_where_workers_have_unequal_rows():
    assert evened(["p", "q", "p", "q"], [5, 5, 6, 5], ["p", "q"]) == ["p", "q", "p", "q"]
    assert evened(["p"] * 4, [5, 5, 5, 5], ["p", "q"]).count("q") == 2
    assert evened(["p", "p"], [90, 10], ["p", "q"]) == ["p", "q"]
    assert evened(["p"], [7], ["p", "q"]) == ["p"]
