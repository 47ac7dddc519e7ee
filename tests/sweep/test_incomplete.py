"""Gaps, errors, weights and known classes in the one pass, against row-by-row twins."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.data.table import Table
from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Frame, Params
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.sweep import incomplete
from bayesgmm.sweep.block import block_of, scores_of
from bayesgmm.sweep.e_step import average, draw
from bayesgmm.sweep.incomplete import Incomplete, Patterns
from bayesgmm.sweep.kinds_of_rows import rows_of
from bayesgmm.sweep.likelihood import log_likelihood
from bayesgmm.sweep.statistics import sweep

NUM, DIM, K = 60, 3, 2
FRAME = Frame(np.array([1.0, 0.0, -2.0]), np.array([2.0, 1.0, 0.5]))


def case(kind: str, seed: int = 0) -> Table:
    """Rows with gaps (some rows have nothing), errors, weights and classes, as `kind` names them."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(NUM, DIM)) * FRAME.scale + FRAME.center
    if "gaps" in kind:
        x[rng.random(x.shape) < 0.3] = np.nan
        x[5] = np.nan
    known = {}
    if "errors" in kind:
        roots = rng.normal(size=(NUM, DIM, DIM)) * np.array([1.0, 0.4, 0.2])[:, None]
        roots[::4] = 0.0  # some rows without error
        roots[1::4, 0] = 0.0  # some with errors in two features only
        known["errors"] = roots @ roots.swapaxes(1, 2)
    if "weights" in kind:
        known["weights"] = rng.integers(0, 4, NUM).astype(float)
    if "classes" in kind:
        known["labels"] = rng.random((NUM, K)) * (rng.random((NUM, K)) < 0.7) + np.eye(K)[0] * 0.1
    return bg.rows(x, **known)


def theta(seed: int = 1) -> Params:
    rng = np.random.default_rng(seed)
    trils = np.tril(0.3 * rng.normal(size=(K, DIM, DIM))) + np.eye(DIM)
    means = FRAME.center + 0.7 * rng.normal(size=(K, DIM)) * FRAME.scale
    return Params(np.array([0.3, 0.7]), means, trils * FRAME.scale[:, None])


def twin(params: Params, table: Table):
    """Log joint densities and moments of the true rows, row by row (Bovy, Hogg & Roweis 2011, eqs. 9-16)."""
    scores = np.zeros((table.num_rows, K))
    means = np.zeros((table.num_rows, K, DIM))
    rest = np.zeros((table.num_rows, K, DIM, DIM))
    for n, row in enumerate(table.values):
        seen = ~np.isnan(row)
        for k in range(K):
            mean, covariance = params.means[k], params.covariances[k]
            scores[n, k], means[n, k], rest[n, k] = np.log(params.weights[k]), mean, covariance
            if seen.any():
                error = 0.0 if table.errors is None else table.errors[n][np.ix_(seen, seen)]
                total = covariance[np.ix_(seen, seen)] + error
                scores[n, k] += multivariate_normal.logpdf(row[seen], mean[seen], total)
                slopes = np.linalg.solve(total, covariance[seen]).T
                means[n, k] += slopes @ (row[seen] - mean[seen])
                rest[n, k] -= slopes @ covariance[seen]
            if table.labels is not None:
                with np.errstate(divide="ignore"):
                    scores[n, k] += np.log(table.labels[n, k])
    return scores, means, rest


KINDS = [
    "gaps grouped", "gaps weights classes grouped", "gaps", "errors", "gaps errors", "weights", "gaps weights",
    "gaps errors weights classes", "classes",
]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_the_pass_is_that_of_the_textbook(kind, monkeypatch):
    if "grouped" in kind:  # few rows have their own algebra
        monkeypatch.setattr(incomplete, "OWN_ALGEBRA", 1000)
    table, params = case(kind), theta()
    scores, means, rest = twin(params, table)
    top = np.logaddexp.reduce(scores, axis=1)
    shares = np.exp(scores - top[:, None]) * table.counted[:, None]
    counts = shares.sum(axis=0)
    first = np.einsum("nk,nkd->kd", shares, means) / counts[:, None]
    apart = means - first
    scatters = np.einsum("nk,nkde->kde", shares, rest + apart[..., :, None] * apart[..., None, :])
    with scope("float64"):
        rows = rows_of(table, FRAME, "float64", K)
        stats = to_numpy(sweep(jr.key(0), log_joint_scorer(FRAME.standardise(params)), rows, average))
        block = block_of(table, FRAME, K, 64)
        alone = np.asarray(jax.jit(scores_of)(FRAME.standardise(params), block))[:, :NUM].T
    volume = table.log_volume(np.asarray(FRAME.scale))
    np.testing.assert_allclose(alone - volume[:, None], scores, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(stats.value - table.counted @ volume, table.counted @ top, rtol=1e-11)
    np.testing.assert_allclose(stats.counts, counts, rtol=1e-11)
    np.testing.assert_allclose(stats.means, (first - FRAME.center) / FRAME.scale, rtol=1e-10, atol=1e-10)
    unit = scatters / (FRAME.scale[:, None] * FRAME.scale)
    np.testing.assert_allclose(stats.scatters, unit, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("kind", ["gaps", "gaps errors", "weights", "classes"])
def test_the_gradient_is_that_of_the_likelihood(kind):
    """Fisher's identity holds for what was not seen too: against differences of the twin."""
    table, params = case(kind), theta()

    def value(moved: Params) -> float:
        return table.counted @ np.logaddexp.reduce(twin(moved, table)[0], axis=1)

    unit = Frame(np.zeros(DIM), np.ones(DIM))
    with scope("float64"):
        rows = rows_of(table, unit, "float64", K)
        slopes = to_numpy(jax.jit(jax.grad(log_likelihood))(params, rows))
    step = 1e-5
    for place in ((0, 1), (1, 2)):
        for part in ("means", "scale_trils"):
            at = place if part == "means" else (place[0], place[1], 0)
            moved = []
            for sign in (1, -1):
                array = np.array(getattr(params, part))
                array[at] += sign * step
                moved.append(value(params._replace(**{part: array})))
            numerical = (moved[0] - moved[1]) / (2 * step)
            np.testing.assert_allclose(np.asarray(getattr(slopes, part))[at], numerical, rtol=1e-6, atol=1e-6)


def test_few_patterns_are_grouped_and_errors_are_not():
    x = np.tile(case("gaps").values, (20, 1))
    with scope("float64"):
        assert isinstance(rows_of(bg.rows(x), FRAME, "float64", K), Patterns)
        assert isinstance(rows_of(bg.rows(x, errors=np.ones_like(x)), FRAME, "float64", K), Incomplete)
        assert isinstance(rows_of(case("gaps"), FRAME, "float64", K), Incomplete)


def test_both_ways_to_hold_gaps_agree(monkeypatch):
    """The algebra of a pattern, and that of each row; also for more features than are written out."""
    monkeypatch.setattr(incomplete, "OWN_ALGEBRA", 1000)
    rng = np.random.default_rng(3)
    for dim in (DIM, 10):
        x = rng.normal(size=(NUM, dim))
        x[:20, 1], x[10:40, 0], x[50:, 2:] = np.nan, np.nan, np.nan
        frame = Frame(np.zeros(dim), np.ones(dim))
        params = Params(np.array([0.4, 0.6]), rng.normal(size=(2, dim)), np.tril(rng.normal(size=(2, dim, dim)) * 0.2))
        params = params._replace(scale_trils=params.scale_trils + 1.2 * np.eye(dim))
        with scope("float64"):
            grouped = rows_of(bg.rows(x), frame, "float64", 2)
            alone = grouped.take(jnp.arange(NUM))
            assert isinstance(grouped, Patterns)
            assert isinstance(alone, Incomplete)
            found = [to_numpy(sweep(jr.key(0), log_joint_scorer(params), one, average)) for one in (grouped, alone)]
        for one, other in zip(*found, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", ["gaps", "gaps errors", "gaps grouped"])
def test_drawn_statistics_have_the_moments_of_the_true_rows(kind, monkeypatch):
    """Many draws of z and of the true rows: their mean statistics, and the variance of a mean."""
    if "grouped" in kind:
        monkeypatch.setattr(incomplete, "OWN_ALGEBRA", 1000)
    table, params = case(kind), theta()
    scores, means, rest = twin(params, table)
    shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1)[:, None])
    inside = FRAME.standardise(params)
    with scope("float64"):
        rows = rows_of(table, FRAME, "float64", K)
        draws = jax.jit(jax.vmap(lambda key: sweep(key, log_joint_scorer(inside), rows, draw)))(
            jr.split(jr.key(1), 4000)
        )
    counts = np.asarray(draws.counts)
    sums = counts[:, :, None] * (np.asarray(draws.means) * FRAME.scale + FRAME.center)
    wanted = np.einsum("nk,nkd->kd", shares, means)
    second = rest + means[..., :, None] * means[..., None, :]
    variance = np.einsum("nk,nkd->kd", shares, np.diagonal(second, axis1=2, axis2=3))
    variance -= np.einsum("nk,nkd->kd", shares**2, means**2)
    error = np.sqrt(variance / len(counts))
    assert (np.abs(sums.mean(axis=0) - wanted) < 4.5 * error).all()
    np.testing.assert_allclose(sums.var(axis=0), variance, rtol=0.12)
    centred = np.asarray(draws.scatters) * (FRAME.scale[:, None] * FRAME.scale)
    centre = np.asarray(draws.means) * FRAME.scale + FRAME.center
    squares = centred + counts[..., None, None] * centre[..., :, None] * centre[..., None, :]
    total = np.einsum("nk,nkde->kde", shares, second)
    assert (np.abs(squares.mean(axis=0) - total) < 4.5 * squares.std(axis=0) / np.sqrt(len(counts))).all()


def test_counts_of_repeated_rows_are_multinomial():
    table, params = case("weights"), theta()
    scores = twin(params, table)[0]
    shares = np.exp(scores - np.logaddexp.reduce(scores, axis=1)[:, None])
    with scope("float64"):
        rows = rows_of(table, FRAME, "float64", K)
        scorer = log_joint_scorer(FRAME.standardise(params))
        draws = jax.jit(jax.vmap(lambda key: sweep(key, scorer, rows, draw).counts))(jr.split(jr.key(2), 4000))
    counts = np.asarray(draws)
    np.testing.assert_array_equal(counts.sum(axis=1), table.total)
    wanted, variance = table.counted @ shares, table.counted @ (shares * (1 - shares))
    assert (np.abs(counts.mean(axis=0) - wanted) < 4.5 * np.sqrt(variance / 4000)).all()
    np.testing.assert_allclose(counts.var(axis=0), variance, rtol=0.12)
