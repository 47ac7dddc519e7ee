"""The pass over rows on disk, against an E-step in SciPy; chunks, padding, and the thread that reads ahead."""

import threading

import jax
import numpy as np
import pytest
from oracles.on_disk import CHUNK, N, two_clusters, write_parquet
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.engines.step import KERNELS, asked
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.priors.prior import flat_prior
from bayesgmm.runtime.arguments import as_key, key_array
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep import from_disk
from bayesgmm.sweep.from_disk import RowsFromDisk, places, read_ahead
from bayesgmm.sweep.passed import pooled

X = two_clusters()
THETA = Params.of([0.4, 0.6], [[103.0, 1.0], [100.0, 8.0]], [np.diag([1.0, 8.0]), [[1.5, 0.5], [0.5, 9.0]]])


def e_step(x: np.ndarray, theta: Params) -> Stats:
    """Statistics of the responsibilities, by the textbook."""
    logs = np.stack(
        [np.log(w) + multivariate_normal(m, c).logpdf(x) for w, m, c in zip(*theta[:2], theta.covariances, strict=True)]
    )
    value = logsumexp(logs, axis=0)
    r = np.exp(logs - value)
    counts, means = r.sum(1), r @ x / r.sum(1)[:, None]
    scatters = [(rk[:, None] * (x - m)).T @ (x - m) for rk, m in zip(r, means, strict=True)]
    return Stats(counts, means, np.stack(scatters), value.sum())


def by_the_pass(path, kernel: str = "em", dtype: str = "float64") -> Stats:
    """The same from disk, in the units of x."""
    table = bg.open_rows(path, chunk_rows=CHUNK)
    with scope(dtype):
        frame = Frame.around(*(part for part in (table.moments()[0], np.sqrt(np.diagonal(table.moments()[1])))))
        inside = jax.tree.map(lambda leaf: np.asarray(leaf, dtype)[None], frame.standardise(THETA))
        prior = flat_prior(2, 2)
        ask = jax.jit(lambda key, theta: asked(KERNELS[kernel], key, theta, prior))
        lanes = jax.vmap(ask)(key_array(as_key(3), 1), inside)
        stats = RowsFromDisk(table, frame, dtype).total(lanes, KERNELS[kernel].assign).stats
    counts, means, scatters, value = (np.asarray(part[0], float) for part in stats)
    value = value - N * float(frame.log_volume)
    return Stats(counts, means * frame.scale + frame.center, scatters * np.outer(frame.scale, frame.scale), value)


def differences(one: Stats, two: Stats) -> list[float]:
    return [float(np.max(np.abs(a - b) / np.abs(b))) for a, b in zip(one, two, strict=True)]


@pytest.fixture(scope="module")
def parquet(tmp_path_factory):
    return write_parquet(X, tmp_path_factory.mktemp("rows") / "x.parquet")


def test_the_pass_equals_an_e_step_by_scipy(parquet):
    assert max(differences(by_the_pass(parquet), e_step(X, THETA))) < 1e-11


def test_single_precision_keeps_its_digits(parquet):
    """Chunks are pooled in double precision about a common centre, so that a sum of many chunks loses nothing."""
    assert max(differences(by_the_pass(parquet, dtype="float32"), e_step(X, THETA))) < 2e-5


def test_padding_without_zeros_would_be_found(parquet, monkeypatch):
    """Negative control: what an earlier chunk left in the memory of the last one must not count."""
    monkeypatch.setattr(
        from_disk, "_pad", lambda buffer, filled: buffer.__setitem__((slice(None), 0, slice(None)), 1.0)
    )
    assert max(differences(by_the_pass(parquet), e_step(X, THETA))) > 1e-3


def test_pooled_statistics_are_those_of_all_rows():
    """Also with components without rows, and far from the origin, where raw moments lose digits."""
    x = X * 1e-3 + 1e4

    def of(rows, k):
        keep = np.arange(3) == k
        centred = rows - rows.mean(0)
        return Stats(
            keep * float(len(rows)), keep[:, None] * rows.mean(0), keep[:, None, None] * (centred.T @ centred), 0.0
        )

    parts = [of(part, k) for part, k in ((x[:10], 0), (x[10:4000], 1), (x[4000:], 1))]
    found = pooled(pooled(parts[0], parts[1]), parts[2])
    whole = of(x[10:], 1)
    np.testing.assert_allclose(found.scatters[1], whole.scatters[1], rtol=1e-9)
    np.testing.assert_allclose(found.means[1], whole.means[1], rtol=1e-14)
    assert found.counts.tolist() == [10.0, N - 10.0, 0.0]


@pytest.mark.parametrize("sizes", [(0, 12), (3, 9), (1, 1, 1, 9), (4, 8), (5, 7), (11, 1), (2, 3, 4, 3)])
def test_values_fill_lines_in_order(sizes):
    lines, at = np.full((3, 4), -1.0), 0
    for size in filter(None, sizes):
        for line, values in places(lines, at, np.arange(at, at + size)):
            line[:] = values
        at += size
    assert (lines == np.arange(12).reshape(3, 4)).all()


def threads() -> list[str]:
    return [one.name for one in threading.enumerate() if one.name == "bayesgmm rows"]


def test_the_thread_ends_with_the_pass_and_its_errors_are_raised():
    def fill(next_buffer, put):
        for i in range(100):
            put((next_buffer(), 1, i))

    def fail(next_buffer, put):
        put((next_buffer(), 1, 0))
        raise bg.errors.DataError("no")

    memory = [np.zeros((1, 2, 3)) for _ in range(3)]
    chunks = read_ahead(fill, memory)
    assert int(next(chunks).first) == 0
    assert threads() == ["bayesgmm rows"]
    chunks.close()
    assert threads() == []
    with pytest.raises(bg.errors.DataError, match="no"):
        list(read_ahead(fail, memory))
    assert [int(chunk.first) for chunk in read_ahead(fill, memory)] == list(range(100))
    assert threads() == []
