"""Studies: figures against textbook twins; the same lines whatever the workers, the grid and the stops."""

import signal
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from oracles.effort import WHOLE
from oracles.small_study import SHORT, TRUTH, run, timeless

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, BayesGMMError, CheckpointError, FitError, PriorError
from bayesgmm.results.parameters import flatten
from bayesgmm.runtime.arguments import as_key, derived_key, named_key, split_key
from bayesgmm.studies.replicate import draw_sample
from bayesgmm.studies.running import FILE
from bayesgmm.studies.tables import roles_of, units_of


@pytest.fixture(scope="module")
def study():
    return run()


def test_a_replicate_is_one_call_of_the_engine(study):
    """A line can be made again by hand from the seed, the cell and the number."""
    label = "truth=truth, n=50"
    line = study.lines[label, 3]
    _, key_data, key_run = split_key(as_key(0), 3)
    sample = draw_sample(derived_key(named_key(key_data, label), 3), TRUTH, 50, 50)
    seed = named_key(derived_key(named_key(key_run, label), 3), "em")
    fit = bg.fit_em(sample.data.values, 2, prior="default", n_init=10, seed=seed)
    order = np.argsort(fit.params.means[:, 0])  # the truth's order
    params = bg.Params(*(part[order] for part in fit.params))
    np.testing.assert_allclose(line["engines"]["em"]["estimate"], flatten(params), rtol=1e-9, atol=1e-12)
    table = fit.intervals(level=0.9).table
    np.testing.assert_allclose(sorted(line["engines"]["em"]["lower"]), sorted(table["lower"]), rtol=1e-6, atol=1e-9)
    density = bg.log_density(TRUTH, sample.test.values).mean()
    score = fit.score_samples(sample.test.values).mean() - density
    assert line["engines"]["em"]["log_score"] == pytest.approx(float(score), abs=1e-9)


@pytest.mark.parametrize("engine", ["em", "gibbs"])
def test_figures_against_a_textbook_twin(study, engine):
    """Loops over the replicates of one cell."""
    label, roles = "truth=truth, n=56", roles_of(2, 2)
    truth = flatten(TRUTH)
    sds = np.sqrt(np.diagonal(TRUTH.covariances, axis1=1, axis2=2))
    unit = np.concatenate([[1, 1], sds.ravel(), *[[s[0] ** 2, s[0] * s[1], s[1] ** 2] for s in sds]])
    np.testing.assert_allclose(units_of(truth[None], 2, 2)[0], unit)
    frame = study.to_frame()
    for role in ("weights", "means", "covariances"):
        errors: list[list[float]] = []
        squares, inside, widths = [], [], []
        for number in range(4):
            found = study.lines[label, number]["engines"][engine]
            mine = [j for j in range(12) if roles[j] == role]
            error = [(found["estimate"][j] - truth[j]) / unit[j] for j in mine]
            errors.append(error)
            squares.append(sum(e * e for e in error) / len(mine))
            inside.append(sum(found["lower"][j] <= truth[j] <= found["upper"][j] for j in mine) / len(mine))
            widths.append(sum((found["upper"][j] - found["lower"][j]) / unit[j] for j in mine) / len(mine))
        here = frame[(frame["n"] == 56) & (frame["engine"] == engine) & (frame["role"] == role)].set_index("quantity")
        for name, values in {"coverage": inside, "width": widths}.items():
            assert here.loc[name, "value"] == pytest.approx(np.mean(values))
            if np.std(values) > 0:
                assert here.loc[name, "se"] == pytest.approx(np.std(values, ddof=1) / 2)
        means = [sum(of_one) / 4 for of_one in zip(*errors, strict=True)]
        assert here.loc["bias", "value"] == pytest.approx(np.sqrt(sum(m * m for m in means) / len(mine)))
        root = np.sqrt(np.mean(squares))
        assert here.loc["rmse", "value"] == pytest.approx(root)
        assert here.loc["rmse", "se"] == pytest.approx(np.std(squares, ddof=1) / 2 / (2 * root))
        given = study.dataset["rmse"].sel(n=56, engine=engine, role=role, truth="truth")
        assert float(given) == pytest.approx(root)


def test_each_parameter(study):
    table = study.parameters().set_index(["n", "engine", "parameter"])
    values = [study.lines["truth=truth, n=50", r]["engines"]["gibbs"]["estimate"][3] for r in range(4)]
    assert table.loc[(50, "gibbs", "means[0, x1]"), "bias"] == pytest.approx(np.mean(values) - 0.0)
    assert len(table) == 2 * 2 * 12


def test_workers_and_grids_do_not_matter(study):
    with ThreadPoolExecutor(2) as pool:
        threads = run(executor=pool)
    assert timeless(threads) == timeless(study)
    part = run(n=56, num_replicates=2)
    assert timeless(part) == [line for line in timeless(study) if line["cell"].endswith("56") and line["replicate"] < 2]
    assert timeless(run(n=50, num_replicates=1, seed=1)) != timeless(run(n=50, num_replicates=1))


def test_a_stopped_study_goes_on(study, tmp_path):
    def stop(label, done, total, note):
        if done == 3:
            signal.raise_signal(signal.SIGINT)

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        first = run(checkpoint=tmp_path, progress_bar=stop)
    finally:
        signal.signal(signal.SIGINT, handler)
    assert first.interrupted
    assert len(first.lines) == 3
    assert "stopped before its end" in first.verdict()[0]
    path = tmp_path / FILE
    path.write_text(path.read_text()[:-20])  # as kill -9 may leave it
    seen = []
    again = run(checkpoint=tmp_path, progress_bar=lambda *call: seen.append(call[1]))
    assert timeless(again) == timeless(study)
    assert seen[0] == 3  # two lines were whole
    more = run(checkpoint=tmp_path, n=50, num_replicates=5)
    assert len(more.lines) == 5
    with pytest.raises(CheckpointError, match="level"):
        run(checkpoint=tmp_path, level=0.8)
    with pytest.raises(CheckpointError, match="truths"):
        bg.study(TRUTH._replace(weights=np.array([0.5, 0.5])), n=50, checkpoint=tmp_path, **SHORT)


def test_columns_with_settings():
    found = run(n=50, num_replicates=2, engines={"em": {}, "once": {"engine": "em", "n_init": 1, "tol": 1e-4}})
    assert found.engines == ["em", "once"]
    once = found.lines["truth=truth, n=50", 0]["engines"]["once"]
    assert once["best_starts"] == 1.0
    with pytest.raises(ArgumentError, match="draws"):
        found.parting()


def test_failures_are_counted_by_kind():
    found = run(n=4, num_replicates=6, engines=("mle",))
    kinds = found.failures()
    assert kinds["count"].sum() >= 6
    assert any("No start led to a fit" in why or "singular" in why or "information" in why for why in kinds["why"])
    assert any("mle" in line for line in found.verdict())
    assert "failed" in repr(found)
    row = found.to_frame().set_index("quantity").loc["failed"]
    assert row["value"] == pytest.approx(kinds[kinds["what"] == "failed"]["count"].sum() / 6)


def test_tables_and_files(study, tmp_path):
    assert "coverage of means" in study.summary().columns
    assert "<table" in study._repr_html_()
    assert len(study.replicates()) == 16
    parting = study.parting()
    engines = [study.lines["truth=truth, n=50", r]["engines"] for r in range(4)]
    gaps = [
        np.mean(np.abs(np.subtract(e["em"]["estimate"], e["gibbs"]["estimate"])) / e["gibbs"]["sd"]) for e in engines
    ]
    assert parting.set_index("n").loc[50, "value"] == pytest.approx(np.mean(gaps))
    names = {path.name for path in study.save(tmp_path)}
    assert names == {"study.csv", "replicates.csv", "failures.csv", "study.nc", "manifest.json"}


def test_random_truths_do_not_depend_on_rows():
    found = bg.study("random", n=(50, 56), n_components=2, n_features=2, overlap=(0.01, 0.1), engines="em",
                     num_replicates=2, **SHORT)  # fmt: skip
    by_cell = {key: line["truth"] for key, line in found.lines.items()}
    one, other = (f"n_components=2, n_features=2, overlap=0.01, imbalance=1.0, n={n}" for n in (50, 56))
    assert by_cell[one, 0] == by_cell[other, 0]
    assert by_cell[one, 0] != by_cell[one, 1]
    with pytest.raises(ArgumentError, match="truth of its own"):
        found.parameters()
    assert set(found.dataset.sizes) == {"n_components", "n_features", "overlap", "imbalance", "n", "engine", "role"}


PRIOR = bg.Prior(bg.Dirichlet(5.0), bg.NormalInverseWishart([0.0, 0.0], 0.1, 8.0, 5 * np.eye(2)))


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"truths": 3}, ArgumentError, "truths must be"),
        ({"truths": {}}, ArgumentError, "truths is empty"),
        ({"truths": {"a": TRUTH, "b": bg.Params.of([1.0], [[0.0]], [[[1.0]]])}}, ArgumentError, "one K and D"),
        ({"truths": TRUTH, "overlap": 0.1}, ArgumentError, "belongs to truths='random'"),
        ({"truths": "random"}, ArgumentError, "need n_components and n_features"),
        ({"truths": "random", "n_components": 6, "n_features": 3, "overlap": 0.9}, ArgumentError, "the highest was"),
        ({"truths": "prior", "n_components": 2, "n_features": 2}, PriorError, "needs a bayesgmm.Prior"),
        ({"truths": "prior", "prior": PRIOR}, ArgumentError, "need one n_components"),
        ({"truths": TRUTH, "n": 1}, ArgumentError, "The cell truth=truth, n=1 cannot be run"),
        ({"truths": TRUTH, "n": ()}, ArgumentError, "n is empty"),
        ({"truths": TRUTH, "n": (50, 50)}, ArgumentError, "twice"),
        ({"truths": TRUTH, "engines": {"em": {"foo": 1}}}, ArgumentError, "no argument 'foo'"),
        ({"truths": TRUTH, "engines": {"a": {}}}, ArgumentError, "Unknown engine"),
        ({"truths": TRUTH, "prior": None}, PriorError, "prior"),
        ({"truths": TRUTH, "covariance_type": "EVE"}, ArgumentError, "gibbs does not take"),
        ({"truths": TRUTH, "n_jobs": 2, "executor": object()}, ArgumentError, "Give one of"),
        ({"truths": TRUTH, "executor": object()}, ArgumentError, "method submit"),
        ({"truths": TRUTH, "client": object()}, ArgumentError, "must be a dask.distributed.Client"),
        ({"truths": TRUTH, "num_replicates": 0}, ArgumentError, "num_replicates"),
    ],
)  # fmt: skip
def test_bad_input(arguments, error, words):
    with pytest.raises(error, match=words) as caught:
        bg.study(**arguments)
    assert isinstance(caught.value, BayesGMMError)


def test_stopped_at_once():
    def stop(*call):
        raise AssertionError("nothing is done")

    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        from bayesgmm.runtime.interrupt import interruptible

        with interruptible() as flag:
            flag.set()
            with pytest.raises(FitError, match="before its first replicate"):
                run(progress_bar=stop)
    finally:
        signal.signal(signal.SIGINT, handler)


def test_pictures(study):
    axes = bg.plots.plot_coverage(study)
    assert axes.shape == (1, 4)
    heights = axes[0, 1].get_lines()[0].get_ydata()
    frame = study.to_frame()
    mine = frame[(frame["engine"] == "em") & (frame["role"] == "means") & (frame["quantity"] == "coverage")]
    assert any(np.allclose(line.get_ydata(), mine["value"]) for line in axes[0, 1].get_lines()), heights
    assert bg.plots.plot_cost(study).get_xscale() == "log"
    assert bg.plots.plot_parting(study).texts
    with pytest.raises(ArgumentError, match="role"):
        bg.plots.plot_cost(study, role="x")


@WHOLE
def test_intervals_cover_exactly_if_truths_come_from_the_prior():
    """A calibration of the whole; and a prior other than that of the truths is found out."""
    from dataclasses import replace

    from bayesgmm.studies.replicate import run_replicate

    found = bg.study("prior", n=50, n_components=2, n_features=2, prior=PRIOR, engines="gibbs", num_replicates=300,
                     num_warmup=200, num_samples=400, test_rows=1, progress_bar=False)  # fmt: skip
    frame = found.to_frame()
    row = frame[(frame["role"] == "invariants") & (frame["quantity"] == "coverage")].iloc[0]
    assert abs(row["value"] - 0.9) < 3.5 * row["se"]
    tight = bg.Prior(PRIOR.weights, bg.NormalInverseWishart([0.0, 0.0], 20.0, 30.0, 30 * np.eye(2)))
    other = replace(found.plan, prior=tight)
    lines = {(found.cells[0].label, r): run_replicate(other, found.cells[0], r) for r in range(60)}
    frame = replace(found, plan=other, lines=lines).to_frame()
    wrong = frame[(frame["role"] == "invariants") & (frame["quantity"] == "coverage")].iloc[0]
    assert wrong["value"] < 0.9 - 3.5 * wrong["se"]


def test_a_column_that_a_study_does_not_have_is_refused(study):
    with pytest.raises(ArgumentError, match="engine must be one of"):
        study.is_point("nope")
