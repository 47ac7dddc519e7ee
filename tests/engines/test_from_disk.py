"""Engines over rows on disk: the answers of the same rows in memory, checkpoints, and what is refused."""

import os
import re
import threading

import jax
import numpy as np
import pytest
from oracles.effort import WHOLE
from oracles.nuts_density import density_and_gradient
from oracles.on_disk import CHUNK, two_clusters, write_parquet
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.data.on_disk.rows_on_disk import RowsOnDisk
from bayesgmm.data.table import Table
from bayesgmm.engines.mini_batches import moved
from bayesgmm.engines.starts import make_starts
from bayesgmm.engines.variational import cavi
from bayesgmm.engines.variational.approximation import Task
from bayesgmm.engines.variational.cavi_batches import CAVI, FROM_SAMPLE
from bayesgmm.engines.variational.cavi_iterations import BEGIN
from bayesgmm.model.types import Params
from bayesgmm.problem import prepare
from bayesgmm.runtime import checkpoint, pass_meter
from bayesgmm.runtime.arguments import as_key
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep import from_disk
from bayesgmm.sweep.rows import Blocks, to_blocks

X = two_clusters()
MEANS = [[103.0, 2.0], [100.0, 7.0]]
SHORT = {"num_warmup": 3, "num_samples": 5, "num_chains": 2, "progress_bar": False}


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return write_parquet(X, tmp_path_factory.mktemp("rows") / "x.parquet")


@pytest.fixture(scope="module")
def on_disk(path):
    return bg.open_rows(path, chunk_rows=CHUNK)


def apart(one: Params, two: Params) -> float:
    """Largest difference of two θ, relative to the spread of the data."""
    return max(float(np.abs(np.asarray(a) - np.asarray(b)).max()) for a, b in zip(one, two, strict=True)) / 3.0


CASES = [
    {},
    {"algorithm": "sem", "max_iter": 8},
    pytest.param({"algorithm": "cem"}, marks=WHOLE),
    pytest.param({"prior": "default", "accelerate": False, "max_iter": 30, "tol": 0}, marks=WHOLE),
]


@pytest.mark.parametrize("arguments", CASES, ids=str)
def test_em_takes_the_same_path(on_disk, arguments):
    memory, disk = (bg.fit_em(x, 2, means_init=MEANS, **arguments) for x in (X, on_disk))
    assert memory.n_iter == disk.n_iter
    assert apart(memory.params, disk.params) < 1e-10
    assert disk.log_likelihood == pytest.approx(memory.log_likelihood, rel=1e-12)
    assert disk.bic() == pytest.approx(memory.bic(), rel=1e-12)
    np.testing.assert_allclose(disk.trace, memory.trace, rtol=1e-12)


def test_em_finds_its_start_on_the_sample(on_disk):
    memory, disk = bg.fit_em(X, 2, tol=1e-8), bg.fit_em(on_disk, 2, tol=1e-8)
    assert disk.log_likelihood == pytest.approx(memory.log_likelihood, rel=1e-12)
    assert apart(memory.params, disk.params) < 1e-6
    np.testing.assert_allclose(disk.predict_proba(), disk.predict_proba(X), rtol=1e-12)


def test_gibbs_draws_the_same(on_disk):
    memory, disk = (bg.sample_gibbs(x, 2, seed=4, **SHORT) for x in (X, on_disk))
    assert apart(memory.params, disk.params) < 1e-10
    np.testing.assert_allclose(disk.log_likelihood, memory.log_likelihood, rtol=1e-12)
    assert apart(disk.extend(3, progress_bar=False).params, memory.extend(3, progress_bar=False).params) < 1e-10


def test_nuts_moves_along_the_same_gradient(on_disk):
    params = bg.fit_em(X, 2, means_init=MEANS).params
    for disk, memory in zip(*(density_and_gradient(x, params) for x in (on_disk, X)), strict=True):
        np.testing.assert_allclose(disk, memory, rtol=1e-10, atol=1e-8)


@WHOLE  # test_nuts_moves_along_the_same_gradient has the same passes
@pytest.mark.filterwarnings("ignore::bayesgmm.errors.MixingWarning")  # with a warm-up of three steps some diverge
def test_nuts_draws_the_same(on_disk):
    memory, disk = (bg.sample_nuts(x, 2, seed=4, **SHORT) for x in (X, on_disk))
    assert apart(memory.params, disk.params) < 1e-7
    np.testing.assert_allclose(disk.log_likelihood, memory.log_likelihood, rtol=1e-9)


def test_a_pass_that_fails_ends_nuts_with_its_own_error(on_disk, monkeypatch):
    whole, passes = from_disk.RowsFromDisk.total, []

    def total(*arguments):
        passes.append(arguments)
        if len(passes) == 5:
            raise bg.errors.DataError("The file has changed.")
        return whole(*arguments)

    monkeypatch.setattr(from_disk.RowsFromDisk, "total", total)
    with pytest.raises(bg.errors.DataError, match=r"^The file has changed\.$"):
        bg.sample_nuts(on_disk, 2, seed=4, **SHORT)


def test_keys_that_do_not_follow_the_row_would_be_found(on_disk, monkeypatch):
    """Negative control: a random stream that starts again in each chunk draws other z."""
    monkeypatch.setattr(from_disk, "Blocks", lambda *blocks, first: Blocks(*blocks, first=np.zeros_like(first)))
    memory, disk = (bg.sample_gibbs(x, 2, seed=4, **SHORT) for x in (X, on_disk))
    assert apart(memory.params, disk.params) > 1e-4


def test_cavi_ends_at_the_same_bound(on_disk):
    memory, disk = (bg.fit_cavi(x, 2, n_init=1, num_samples=20, num_chains=2, tol=1e-9) for x in (X, on_disk))
    assert disk.converged
    assert disk.elbo == pytest.approx(memory.elbo, rel=1e-12)
    assert apart(memory.params, disk.params) < 1e-7
    np.testing.assert_allclose(disk.log_likelihood, memory.log_likelihood, rtol=1e-9)


def stopped_after(passes: int):
    """A progress bar that kills the run."""
    seen = []

    def progress(label, done, total, note):
        if "rows/s" in note:
            seen.append(done)
        if len(seen) == passes:
            raise KeyboardInterrupt

    return progress


def test_a_killed_run_of_em_goes_on_from_the_last_pass(on_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    call = {"means_init": MEANS, "accelerate": False}
    whole = bg.fit_em(on_disk, 2, **call)
    with pytest.raises(KeyboardInterrupt):
        bg.fit_em(on_disk, 2, checkpoint=tmp_path / "run", progress_bar=stopped_after(1), **call)
    reports = []
    resumed = bg.fit_em(
        on_disk, 2, checkpoint=tmp_path / "run", progress_bar=lambda *report: reports.append(report[1]), **call
    )
    assert reports[0] > 2  # the first report of a run is after its second pass
    assert apart(whole.params, resumed.params) == 0.0
    np.testing.assert_array_equal(whole.trace, resumed.trace)
    with pytest.raises(bg.errors.CheckpointError, match="other settings"):
        bg.fit_em(on_disk, 2, checkpoint=tmp_path / "run", **call | {"tol": 1e-3})
    with pytest.raises(bg.errors.ArgumentError, match="rows on disk"):
        bg.fit_em(X, 2, checkpoint=tmp_path / "other")


def test_a_killed_run_of_cavi_goes_on_bit_for_bit(on_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    call = {"n_init": 1, "batch_size": 3000, "num_steps": 2, "num_samples": 20, "num_chains": 2, "tol": 1e-9}
    whole = bg.fit_cavi(on_disk, 2, **call)
    with pytest.raises(KeyboardInterrupt):
        bg.fit_cavi(on_disk, 2, checkpoint=tmp_path / "run", progress_bar=stopped_after(2), **call)
    reports = []
    resumed = bg.fit_cavi(on_disk, 2, checkpoint=tmp_path / "run", progress_bar=lambda *r: reports.append(r), **call)
    assert sum("rows/s" in note for *_, note in reports) == whole.n_iter - 2  # the passes that were left
    assert "cavi, batches" not in {label for label, *_ in reports}  # they are in the saved state
    assert whole.n_iter == resumed.n_iter > 2
    assert apart(whole.params, resumed.params) == 0.0
    np.testing.assert_array_equal(whole.trace, resumed.trace)
    with pytest.raises(bg.errors.CheckpointError, match="other settings"):
        bg.fit_cavi(on_disk, 2, checkpoint=tmp_path / "run", **call | {"tol": 1e-3})
    with pytest.raises(bg.errors.ArgumentError, match="checkpoint saves CAVI over rows on disk"):
        bg.fit_cavi(X, 2, checkpoint=tmp_path / "other")


def test_batches_of_cavi_are_the_rows_in_their_order(on_disk):
    """Against the same steps on slices of the rows in memory."""
    with scope("float64"):
        problem, memory = prepare(on_disk, 2, "default"), prepare(X, 2, "default")
        prior, heard = memory.standard_prior, []
        runs = BEGIN(make_starts(as_key(0), memory, 1), prior, memory.rows)
        task = Task(problem, as_key(0), as_key(0), 1, lambda *report: heard.append(report))
        found = cavi._streamed(runs, task, 750, 5, threading.Event()).state.q
        running = jax.tree.map(lambda leaf: leaf[0], FROM_SAMPLE(runs.state.q, prior, memory.rows, np.asarray(9000.0)))
        move = jax.jit(lambda *arguments: moved(CAVI, jax.random.key(0), *arguments)[0])
        for t in range(5):
            batch = to_blocks(X[750 * t : 750 * (t + 1)], memory.frame, "float64", 750)
            running = move(running, prior, batch, np.asarray((t + 10.0) ** -0.7), np.asarray(12.0))
    for one, two in zip(jax.tree.leaves(found), jax.tree.leaves(running.theta), strict=True):
        np.testing.assert_allclose(one[0], two, rtol=1e-10, atol=1e-12)
    assert heard[-1][:3] == ("cavi, batches", 5, 5)


@pytest.mark.slow
def test_svi_reads_its_batches_from_the_files(on_disk):
    """Nine batches a pass, again and again; against Laplace in memory, whose guide is the same Gaussian."""
    heard = []
    call = {"batch_size": 1000, "num_steps": 1500, "num_samples": 100, "seed": 2}
    found = bg.fit_svi(on_disk, 2, progress_bar=lambda *report: heard.append(report), **call)
    laplace = bg.fit_laplace(X, 2, num_samples=100)
    assert heard[-1][:3] == ("svi", 1500, 1500)
    assert len(found.trace) == 1500
    assert laplace.log_evidence - 1.0 < found.elbo < laplace.log_evidence + 0.5
    sds = laplace.params.means.std(axis=(0, 1))
    assert (np.abs(found.params.means.mean(axis=(0, 1)) - laplace.params.means.mean(axis=(0, 1))) < sds).all()
    np.testing.assert_allclose(found.log_likelihood[0, 0], score(X, found.params, 0).sum(), rtol=1e-10)


def score(x, params: Params, draw: int) -> np.ndarray:
    """Log densities of the rows under a draw of the first chain, in SciPy."""
    parts = (part[0, draw] for part in (params.weights, params.means, params.covariances))
    return logsumexp([np.log(w) + multivariate_normal(m, c).logpdf(x) for w, m, c in zip(*parts, strict=True)], axis=0)


def test_progress_within_a_pass(on_disk, monkeypatch):
    monkeypatch.setattr(pass_meter, "INTERVAL", 0.0)
    heard = []
    bg.fit_em(on_disk, 2, means_init=MEANS, max_iter=3, tol=0, progress_bar=lambda *report: heard.append(report))
    within = [report for report in heard if "this pass" in report[3]]
    assert len(within) == 4  # of three chunks, the first may compile, and the last one ends the pass
    assert all(label == "em" and total == 3 for label, _, total, _ in within)
    assert [done for _, done, _, _ in heard] == sorted(done for _, done, _, _ in heard)
    assert re.fullmatch(r"this pass: 8,192 of 9,000 rows, [\d.,]+ (million )?rows/s, about .* left", within[0][3])


def test_a_file_that_changes_ends_the_run_and_the_checkpoint_stays(path, on_disk, tmp_path, monkeypatch):
    monkeypatch.setattr(checkpoint, "SECONDS", 0.0)
    own = tmp_path / "own.parquet"
    own.write_bytes(path.read_bytes())
    before = os.stat(own)

    def progress(label, done, total, note):
        if label == "gibbs" and done >= 1:
            os.utime(own, ns=(1, 1))

    run = {"seed": 4, "checkpoint": tmp_path / "run"} | SHORT
    with pytest.raises(bg.errors.DataError, match=r"own.parquet has changed .* a checkpoint of the run stays"):
        bg.sample_gibbs(bg.open_rows(own, chunk_rows=CHUNK), 2, **run | {"progress_bar": progress})
    os.utime(own, ns=(before.st_atime_ns, before.st_mtime_ns))
    resumed = bg.sample_gibbs(on_disk, 2, **run)
    assert apart(resumed.params, bg.sample_gibbs(on_disk, 2, seed=4, **SHORT).params) == 0.0


def test_results_say_what_they_can_without_the_rows(on_disk):
    posterior = bg.sample_gibbs(on_disk, 2, seed=4, **SHORT)
    assert "2 components" in repr(posterior)
    assert set(posterior.datatree.children) >= {"posterior", "sample_stats", "label_invariant"}
    assert "observed_data" not in posterior.datatree.children
    assert "the rows are on disk" in posterior.datatree.attrs["omitted"]
    fit = bg.fit_em(on_disk, 2, means_init=MEANS)
    assert fit.icl() == pytest.approx(bg.fit_em(X, 2, means_init=MEANS).icl(), rel=1e-10)


def test_criteria_number_a_far_row_among_all_rows(on_disk, monkeypatch):
    """And not within the part that they read."""
    x = X.copy()
    x[7003] = 1e170
    whole = Table(x, on_disk.features, True)
    monkeypatch.setattr(RowsOnDisk, "parts", lambda table: whole.parts(4000))
    fit = bg.fit_em(on_disk, 2, means_init=MEANS)
    with pytest.raises(bg.errors.DataError, match=r"^Row 7003 is so far"):
        fit.icl()


def test_a_saved_fit_comes_back_without_the_rows(on_disk, tmp_path):
    fit = bg.fit_em(on_disk, 2, means_init=MEANS)
    bg.save(fit, tmp_path / "fit.nc")
    assert bg.load(tmp_path / "fit.nc").bic() == fit.bic()


REFUSED = {
    "likelihood='enumerated' does not take rows on disk": lambda x: bg.sample_nuts(x, 2, likelihood="enumerated"),
    "need batch_size: each step of SVI": lambda x: bg.fit_svi(x, 2),
    "laplace does not take rows on disk": lambda x: bg.fit_laplace(x, 2),
    "exact does not take rows on disk": lambda x: bg.sample_exact(x, 2),
    "tempering=2 does not take rows on disk": lambda x: bg.sample_gibbs(x, 2, tempering=2),
    "daem does not take rows on disk": lambda x: bg.fit_em(x, 2, algorithm="daem"),
    "on disk .open_rows. take no weights, labels, errors, noise": lambda x: bg.fit_em(x, 2, noise=True),
    "Rows on disk .open_rows. take no weights": lambda x: bg.rows(x, weights=np.ones(len(X))),
    "labels_init needs rows in memory": lambda x: bg.fit_em(x, 2, labels_init=np.zeros(len(X), int)),
    "all rows in memory, and these are on disk": lambda x: bg.rows(x).values,
    "in memory, and these are on disk": lambda x: bg.calibrate(x, 2, n_sims=2),
    "and these are on disk": lambda x: bg.sample_telescoping(x),
    "these are on disk": lambda x: bg.select(x, [1, 2]),
    "these are read from disk": lambda x: bg.fit_em(x, 2, means_init=MEANS).intervals(),
    "does not take rows on disk": lambda x: bg.compare(x, 2, engines=("em", "laplace")),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_needs_all_rows_is_refused_by_name(on_disk, words):
    with pytest.raises(bg.errors.BayesGMMError, match=words):
        REFUSED[words](on_disk)
