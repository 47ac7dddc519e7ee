"""The number of rows is data, not shape: another N of the same size class compiles nothing, and padding changes nothing."""

import warnings
from functools import partial

import numpy as np
import pytest
from oracles.compilations import compilations
from oracles.effort import SOME, WHOLE, mostly_slow

import bayesgmm as bg
from bayesgmm.sweep import rows
from bayesgmm.sweep.rows import FEWEST, chunk_rows, padded_size, to_rows

CHAINS = {"num_warmup": 4, "num_samples": 30, "num_chains": 4, "progress_bar": False}
DRAWS = {"num_samples": 30, "num_chains": 4, "progress_bar": False}
ENGINES = {
    "em": lambda x: bg.fit_em(x, 2, n_init=4),
    "plain": lambda x: bg.fit_em(x, 2, n_init=2, accelerate=False, max_iter=5, tol=0),
    "cem": lambda x: bg.fit_em(x, 2, n_init=2, algorithm="cem"),
    "table": lambda x: bg.fit_table(x, [1, 2], "VVV", n_init=4, progress_bar=False),
    "cavi": lambda x: bg.fit_cavi(x, 2, n_init=4, **DRAWS),
    "batches": lambda x: bg.fit_cavi(x, 2, n_init=4, batch_size=20, num_steps=5, **DRAWS),
    "svi": lambda x: bg.fit_svi(x, 2, num_steps=20, batch_size=20, **DRAWS),
    "laplace": lambda x: bg.fit_laplace(x, 2, **DRAWS),
    "gibbs": lambda x: bg.sample_gibbs(x, 2, **CHAINS),
    "tempered": lambda x: bg.sample_gibbs(x, 2, tempering=2, **CHAINS),
    "nuts": lambda x: bg.sample_nuts(x, 2, **CHAINS),
}
VARIANTS = "plain", "cem", "batches", "tempered", "svi", "laplace"
OTHERS = [(271, 272), (4097, 8000), (20000, 20001)]


def two_groups(num, seed=0):
    rng = np.random.default_rng(seed)
    return np.where(rng.random((num, 1)) < 0.4, -2.0, 2.0) + rng.normal(size=(num, 2))


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # runs this short warn
        yield


def test_size_classes_are_few_and_close():
    sizes = np.arange(1, 5000)
    padded = np.array([padded_size(int(n)) for n in sizes])
    assert (padded >= sizes).all()
    assert (padded <= np.maximum(1.25 * sizes, 4)).all()
    assert len({padded_size(n, FEWEST) for n in range(1, 4097)}) == 29
    assert [padded_size(n) for n in range(1, rows.EXACT + 1)] == list(range(1, rows.EXACT + 1))
    assert padded_size(3, 8) == 8
    assert padded_size(9, 9) == 10


@pytest.mark.parametrize("engine", [pytest.param(e, marks=SOME if e in VARIANTS else ()) for e in ENGINES])
def test_another_n_compiles_nothing(engine):
    compiles_nothing(engine, (50, 51))


def compiles_nothing(engine, pair):
    first, second = pair
    result = ENGINES[engine](two_groups(first))
    with compilations() as found:
        ENGINES[engine](two_groups(second))
    assert found == []
    return result


@SOME
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("pair", OTHERS, ids=str)
def test_another_n_of_other_classes_compiles_nothing(engine, pair):
    compiles_nothing(engine, pair)


@pytest.mark.parametrize("engine", ["gibbs", pytest.param("em", marks=WHOLE)])
def test_several_blocks_compile_once(engine):
    """EM searches among few rows beyond a block of many: their size class has more rows than a subsample."""
    fit = compiles_nothing(engine, (17_000, 19_999))
    assert engine == "gibbs" or fit.converged


def after_a_fit(x):
    """Everything that reads the rows after a fit."""
    fit, posterior = bg.fit_em(x, 2, n_init=4), bg.sample_gibbs(x, 2, **CHAINS)
    other = bg.sample_gibbs(x, 2, seed=1, **CHAINS)
    new = two_groups(len(x) - 3, seed=1)
    for result in (fit, posterior):
        result.predict_proba(new)
        result.score_samples(new)
    posterior.draw_labels(new, seed=0)
    bg.relabel(posterior, "stephens")
    bg.relabel(posterior, "ecr")
    bg.partition(posterior, num_starts=2)
    bg.partition_distances({"one": posterior, "other": other})
    bg.diagnose(posterior)
    bg.predictive_checks(posterior)
    bg.loo(posterior)


def test_what_reads_the_rows_after_a_fit_compiles_nothing_for_another_n():
    after_a_fit(two_groups(50))
    with compilations() as found:
        after_a_fit(two_groups(51))
    assert found == []


def test_compilations_are_counted():
    """Negative control: another size class, another number of components."""
    with compilations() as found:
        bg.fit_em(two_groups(700), 3, n_init=4)
    assert "_short_and_long" in found


def results(engine, x, dtype):
    made = {
        "em": partial(bg.fit_em, x, 2, n_init=4),
        "cavi": partial(bg.fit_cavi, x, 2, n_init=4, **DRAWS),
        "svi": partial(bg.fit_svi, x, 2, num_steps=20, **DRAWS),
        "laplace": partial(bg.fit_laplace, x, 2, **DRAWS),
        "gibbs": partial(bg.sample_gibbs, x, 2, **CHAINS),
        "nuts": partial(bg.sample_nuts, x, 2, **(CHAINS | {"num_samples": 2})),
    }[engine](dtype=dtype)
    return [*made.params, made.log_likelihood, made.predict_proba(x)]


PADDED = [
    (engine, dtype, spread)
    for engine in ("em", "cavi", "svi", "laplace", "gibbs", "nuts")
    for dtype in ("float64", "float32")
    for spread in (1.0, 1e-6)
    if dtype == "float64" or (engine in ("em", "cavi", "gibbs") and spread == 1.0)  # rounding decides the others
]


@pytest.mark.parametrize(
    ("engine", "dtype", "spread"),
    [
        case if case[0] in ("em", "gibbs") and case[1] == "float64" else pytest.param(*case, marks=SOME)
        for case in PADDED
    ],
)
def test_padding_changes_no_result(engine, dtype, spread, monkeypatch):
    """The same engine with blocks of exactly N rows, in both routes of the pass and both precisions."""
    x = two_groups(51)
    x[:, 0] = np.where(x[:, 0] > 0, 1.0, -1.0) + spread * x[:, 0]
    padded = results(engine, x, dtype)
    monkeypatch.setattr(rows, "padded_size", lambda count, least=1: count)
    exact = results(engine, x, dtype)
    tolerance = {"float64": 1e-6, "float32": 2e-3}[dtype]
    for one, two in zip(padded, exact, strict=True):
        np.testing.assert_allclose(one, two, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("num", mostly_slow([257, 1, 256, 1025, 31, 33, 255, 1023, 1281], 4))
def test_every_row_is_read_once(num, monkeypatch):
    """In blocks and in a view of the user's memory: all rows, their order, and nothing else."""
    x = np.arange(2.0 * num).reshape(num, 2)
    frame = rows.Frame(np.zeros(2), np.ones(2))
    monkeypatch.setattr(rows, "chunk_rows", lambda dim: 64)
    held = [to_rows(x, frame)]
    if num >= 256:
        monkeypatch.setattr(rows, "VIEW_BYTES", 0)
        held.append(to_rows(x, frame))
        assert isinstance(held[1], rows.View)
    for one in held:
        seen = np.concatenate([np.asarray(one.block(i)) for i in range(int(one.num_blocks))], axis=1)
        real = seen[1:, seen[0] == 1].T
        assert np.array_equal(real[np.argsort(real[:, 0])], x)
        assert (seen[:, seen[0] == 0] == 0).all()
        assert int(one.num_rows) == num
        assert one.capacity <= max(1.25 * num + 64, FEWEST)
        taken = one.take(np.arange(num))
        assert np.array_equal(np.asarray(taken.x)[0, 1:].T, x)


def test_views_of_one_size_class_share_their_shapes(monkeypatch):
    """Whatever the address of the array: rows before the first boundary and beyond the class are copied."""
    monkeypatch.setattr(rows, "VIEW_BYTES", 0)
    width, frame = chunk_rows(3), rows.Frame(np.zeros(3), np.ones(3))
    memory, shapes = np.zeros(3 * (42 * width + 100)), set()
    aligned = -memory.ctypes.data % 64 // 8
    for offset in range(8):
        for num in (39 * width + 30, 40 * width + 20, 40 * width + 777, 41 * width - 100):
            view = to_rows(memory[aligned + offset : aligned + offset + 3 * num].reshape(num, 3), frame)
            assert (int(view.num_head) == 0) == (offset == 0)
            shapes.add((view.flat.shape, view.rest.x.shape))
    assert len(shapes) == 1
