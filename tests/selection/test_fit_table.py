"""The table of fits: its values against mclust, its order, flags and files."""

from concurrent.futures import Executor, Future
from functools import partial

import numpy as np
import pytest
from typer.testing import CliRunner

import bayesgmm as bg
from bayesgmm import plots
from bayesgmm.cli import app
from bayesgmm.errors import ArgumentError, DataError, PriorError
from bayesgmm.selection import grid_search, schedule


@pytest.fixture(scope="module")
def diabetes(reference_data):
    return bg.fit_table(reference_data["diabetes"], range(1, 5), "EII,VVI,EEE,VEV,VVV")


def test_table_is_no_worse_than_mclust_and_picks_its_model(truth, diabetes):
    values = diabetes.frame("log_likelihood")
    for model, size, df, theirs in truth("mclust_families")["data"]["diabetes"]["fits"]:
        if model in values.columns and size in values.index:
            assert values.loc[size, model] >= theirs - 1e-6 * abs(theirs)
            assert diabetes.frame("n_parameters").loc[size, model] == df
    assert (diabetes.best.family.name, diabetes.best.n_components) == ("VVV", 3)
    assert diabetes.best.bic() == pytest.approx(4751.316, abs=0.01)  # mclust's vignette: -4751.316


@pytest.mark.slow
def test_cells_are_fits_of_the_whole_package(reference_data, diabetes):
    """The θ of a cell has the stated log-likelihood, and `fit_em` stays there."""
    x = reference_data["diabetes"]
    for family, size in (("VVI", 3), ("VEV", 2), ("EEE", 4)):
        fit = diabetes.fit(family, size)
        assert fit.score_samples(x).sum() == pytest.approx(fit.log_likelihood, rel=1e-9)
        again = bg.fit_em(x, size, covariance_type=family, init=fit)
        assert again.log_likelihood == pytest.approx(fit.log_likelihood, rel=1e-7)
        assert diabetes.frame("bic").loc[size, family] == fit.bic()


def test_richer_families_never_end_below_simpler_ones(diabetes):
    values = diabetes.frame("log_likelihood")
    for rich, poor in (("VVV", "VEV"), ("VVV", "VVI"), ("VVV", "EEE"), ("VVI", "EII"), ("EEE", "EII")):
        assert (values[rich] >= values[poor] - 1e-6).all()


def test_one_feature_has_two_families(truth, reference_data):
    table = bg.fit_table(reference_data["waiting"], range(1, 5))
    assert list(table.frame().columns) == ["E", "V"]
    for model, size, _, theirs in truth("mclust_families")["data"]["waiting"]["fits"]:
        if size < 5:
            assert table.frame("log_likelihood").loc[size, model] >= theirs - 1e-6 * abs(theirs)


def test_a_second_table_compiles_nothing_and_is_the_same(reference_data):
    x = reference_data["diabetes"]
    first = bg.fit_table(x, [2, 3], "VVI,EEE", n_init=4)
    before = grid_search._SEARCH.num_compilations
    second = bg.fit_table(x, [2, 3], "VVI,EEE", n_init=4)
    assert grid_search._SEARCH.num_compilations == before
    np.testing.assert_array_equal(first.frame().to_numpy(), second.frame().to_numpy())


@pytest.mark.slow
def test_map_table_states_its_objective(reference_data):
    table = bg.fit_table(reference_data["diabetes"], [2], "EEE,VVV", prior="default", n_init=4)
    for family in ("EEE", "VVV"):
        fit = table.fit(family, 2)
        direct = bg.fit_em(reference_data["diabetes"], 2, covariance_type=family, prior="default", init=fit)
        assert fit.objective == pytest.approx(direct.objective, rel=1e-8)


def test_spurious_cells_are_flagged_and_not_chosen(rng):
    x = np.concatenate([rng.normal(size=(60, 2)), [[9, 9], [9.001, 9.0005], [9.0004, 9.0015]]])
    table = bg.fit_table(x, [1, 2], "VVV", n_init=8)
    spurious, best = table.frame("spurious"), table.best
    if spurious.loc[2, "VVV"]:
        assert best.n_components == 1
        assert "spurious" in " ".join(table.notes())
    else:
        assert best.n_components in (1, 2)


def test_picture_and_text(diabetes):
    ax = plots.plot_table(diabetes)
    assert "VVV" in ax.get_title(loc="left")
    assert "best is VVV with 3 components" in " ".join(repr(diabetes).split())
    assert "<table" in diabetes._repr_html_()


def test_command_writes_table_picture_and_best_model(tmp_path, monkeypatch):
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")
    arguments = [
        "fit",
        "faithful",
        "-k",
        "1:3",
        "--families",
        "EEE,VVV",
        "--starts",
        "4",
        "--out",
        str(tmp_path),
        "--quiet",
    ]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert {p.name for p in tmp_path.iterdir()} == {"table.csv", "table.png", "best.csv", "best.nc", "best.png"}
    assert "EEE" in result.output


def test_bad_input_is_refused(reference_data):
    x = reference_data["faithful"]
    with pytest.raises(ArgumentError, match="criterion"):
        bg.fit_table(x, [1, 2], criterion="waic")
    with pytest.raises(ArgumentError, match="empty"):
        bg.fit_table(x, [])
    with pytest.raises(ArgumentError, match="Unknown covariance_type"):
        bg.fit_table(x, 2, "EEE,XXX")
    with pytest.raises(ArgumentError, match="more than one feature"):
        bg.fit_table(x[["waiting"]], 2, "EEV")
    with pytest.raises(DataError, match="rows for"):
        bg.fit_table(x[:5], range(1, 10))
    for components in (
        bg.NormalTimesInverseWishart(0.0, 1.0, 4.0, 1.0),
        bg.HierarchicalInverseWishart(0.0, 1.0, 4.0, 4.0, 1.0),
    ):
        with pytest.raises(PriorError, match="fit_table does not take"):
            bg.fit_table(x, 2, "full", prior=bg.Prior(bg.Dirichlet(1.0), components))
    with pytest.raises(ArgumentError, match="-k must be"):
        CliRunner().invoke(app, ["fit", "faithful", "-k", "one"], catch_exceptions=False)


def test_a_start_that_fails_ends_the_search_of_its_cell(rng):
    """With one start, and K so large that it collapses, the cell has no fit; an old search did not end here."""
    x = np.round(rng.normal(size=(30, 2)), 1)
    table = bg.fit_table(x, [1, 12], "VVV", n_init=1)
    assert table.frame("status").loc[1, "VVV"] == "converged"
    assert np.isnan(table.frame().loc[12, "VVV"]) or table.frame("spurious").loc[12, "VVV"]


class Shuffled(Executor):
    """An executor of one thread that runs waiting work in random order, so that families end in a random order."""

    def __init__(self, workers=None, seed=0):
        self.rng, self.waiting = np.random.default_rng(seed), {}

    def submit(self, function, /, *args, **kwargs):
        future = Future()
        self.waiting[future] = partial(function, *args, **kwargs)
        return future

    def as_completed(self, running):
        """Run one of the waiting pieces of work when somebody waits for a result."""
        future = list(running)[self.rng.integers(len(running))]
        future.set_result(self.waiting.pop(future)())
        yield future


def reads_under_shuffling(x, monkeypatch, refine=grid_search.GridSearch.refine):
    """For each order in which families end: the table of log-likelihoods, and all that the refinements have read."""
    found = []
    for seed in range(3):
        pool, read = Shuffled(seed=seed), {}

        def recorded(self, name, read=read):
            result = refine(self, name)
            read[name] = np.stack([self.before[other].objective for other in sorted(self.before)])
            return result

        monkeypatch.setattr(schedule, "ThreadPoolExecutor", lambda workers, pool=pool: pool)
        monkeypatch.setattr(schedule, "as_completed", pool.as_completed)
        monkeypatch.setattr(grid_search.GridSearch, "refine", recorded)
        table = bg.fit_table(x, range(1, 5), ["EVE", "VVE", "EEV", "VEV", "EVV", "VVV"], n_init=4, seed=0)
        found.append((table.frame("log_likelihood").to_numpy(), np.stack([read[name] for name in sorted(read)])))
    return found


def test_same_seed_same_table_in_whatever_order_families_end(reference_data, monkeypatch):
    first, *others = reads_under_shuffling(reference_data["diabetes"], monkeypatch)
    for other in others:
        for here, there in zip(first, other, strict=True):
            np.testing.assert_allclose(here, there, rtol=1e-10)  # XLA's own threads cost the last digits


@pytest.mark.slow
def test_a_search_that_reads_unfinished_results_would_be_caught(reference_data, monkeypatch):
    """Negative control: each family is refined from the results that are ready at that moment."""
    frozen = grid_search.GridSearch.refine

    def refine(self, name):
        self.freeze()
        return frozen(self, name)

    (_, first), *others = reads_under_shuffling(reference_data["diabetes"], monkeypatch, refine)
    assert any(np.abs(first - read).max() > 1e-6 for _, read in others)


def test_rows_on_disk_have_a_table_too(tmp_path, reference_data):
    x = reference_data["faithful"]
    x.to_parquet(tmp_path / "x.parquet")
    table = bg.fit_table(bg.open_rows(tmp_path / "x.parquet"), 2, "VVV")
    assert table.best.bic() == pytest.approx(bg.fit_em(x, 2).bic(), rel=1e-9)
    assert table.best_model == "VVV with 2 components"


def test_a_table_by_batches_says_that_it_is_near_the_maxima(tmp_path, reference_data):
    x = reference_data["faithful"].sample(frac=1, random_state=0)
    x.to_parquet(tmp_path / "x.parquet", index=False)
    table = bg.fit_table(bg.open_rows(tmp_path / "x.parquet"), 2, "VVV", batch_size=68)
    assert table.best.settings["batch_size"] == 68
    assert "Fits by batches (online EM) end near their maxima" in repr(table)
    assert "Raise max_iter" not in repr(table)
    with pytest.raises(bg.errors.ArgumentError, match="batch_size of a table is for rows on disk"):
        bg.fit_table(x, 2, "VVV", batch_size=68)
