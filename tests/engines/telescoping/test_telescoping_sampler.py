"""The telescoping sampler among the others: checkpoints, extend, save, DataTree, refusals, and what follows from it."""

import warnings
from dataclasses import replace

import arviz as az
import numpy as np
import pytest
from oracles.agreement import mean_and_error
from scipy import stats

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DrawsError, MixingWarning, PriorError, SamplingInterrupted
from bayesgmm.results.verdict import mixing_line

X = np.array([-1.9, -1.6, 0.2, 0.5, 2.4])[:, None]
PRIOR = bg.Prior(weights=bg.Dirichlet(1.0), components=bg.NormalInverseWishart(0.1, 0.3, 4.0, 1.2))
SETTINGS = {
    "prior": PRIOR, "components": bg.UniformComponents(4), "concentration": bg.Static(0.7), "num_warmup": 50,
    "num_samples": 300, "progress_bar": False,
}  # fmt: skip


def same(one, two):
    names = "num_components", "counts", "concentrations", "log_likelihood"
    pairs = [(getattr(one, name), getattr(two, name)) for name in names] + list(
        zip(one.params, two.params, strict=True)
    )
    return all(np.array_equal(a, b) for a, b in pairs)


@pytest.fixture(scope="module")
def found():
    return bg.sample_telescoping(X, **SETTINGS)


def test_what_a_draw_holds(found):
    assert found.max_components == 4
    weights, counts = found.params.weights, found.counts
    assert ((weights > 0).sum(axis=-1) == found.num_components).all()
    np.testing.assert_allclose(weights.sum(axis=-1), 1.0)
    assert (np.diff((weights > 0).astype(int), axis=-1) <= 0).all()  # those in use come first
    assert (np.diff(counts, axis=-1) <= 0).all()
    # The first state of a chain is that of its start, if there is no warm-up; here all draws follow a z.
    assert (counts.sum(axis=-1) == 5).all()
    assert (found.num_clusters <= found.num_components).all()


def test_log_likelihood_is_that_of_the_draws(found):
    weights, means, trils = (part[:, :, None] for part in found.params)
    density = stats.norm.pdf(X[:, 0][:, None], means[..., 0], trils[..., 0, 0])
    np.testing.assert_allclose(found.log_likelihood, np.log((density * weights).sum(axis=-1)).sum(axis=-1), rtol=1e-9)
    np.testing.assert_allclose(found.score_samples(), np.log((density * weights).sum(-1).mean((0, 1))), rtol=1e-9)


def test_extended_chains_are_those_of_one_run(found, tmp_path):
    short = bg.sample_telescoping(X, **SETTINGS | {"num_samples": 100})
    assert same(short.extend(200, progress_bar=False), found)
    bg.save(short, tmp_path / "short.nc")
    assert same(bg.load(tmp_path / "short.nc").extend(200, progress_bar=False), found)
    bg.save(short, tmp_path / "bare.nc", data=False)
    assert repr(bg.load(tmp_path / "bare.nc")) == repr(short)
    assert same(bg.load(tmp_path / "bare.nc", data=X).extend(200, progress_bar=False), found)


def test_a_checkpoint_resumes(found, tmp_path):
    bg.sample_telescoping(X, **SETTINGS | {"num_samples": 100}, checkpoint=tmp_path / "run")
    assert same(bg.sample_telescoping(X, **SETTINGS, checkpoint=tmp_path / "run"), found)
    with pytest.raises(ArgumentError, match="concentration"):
        bg.sample_telescoping(X, **SETTINGS | {"concentration": bg.Static(0.9)}, checkpoint=tmp_path / "run")


def test_ctrl_c_during_warm_up_leaves_no_draws(monkeypatch):
    from bayesgmm.engines.mcmc import chain_loop

    class Stopped:
        def __enter__(self):
            return self

        def __exit__(self, *_):
            return None

        def is_set(self):
            return True

    monkeypatch.setattr(chain_loop, "interruptible", Stopped)
    with pytest.raises(SamplingInterrupted):
        bg.sample_telescoping(X, **SETTINGS)


def test_at_is_the_mixture_of_so_many_components_that_all_have_rows():
    """Against Gibbs with K = 2: its draws, weighted by P(no component is empty | θ)."""
    found = bg.sample_telescoping(X, **SETTINGS | {"num_samples": 4000}).at(2)
    prior = PRIOR._replace(weights=bg.Dirichlet(0.7))
    gibbs = bg.sample_gibbs(X, 2, prior=prior, num_warmup=100, num_samples=4000, progress_bar=False)
    weights, means, trils = (part[:, :, None] for part in gibbs.params)
    joint = weights * stats.norm.pdf(X[:, 0][:, None], means[..., 0], trils[..., 0, 0])
    shares = joint / joint.sum(axis=-1, keepdims=True)
    filled = 1.0 - shares.prod(axis=2).sum(axis=-1)
    assert filled.mean() < 0.97
    for name, ours, theirs in (
        ("smaller weight", found.params.weights.min(axis=-1), gibbs.params.weights.min(axis=-1)),
        ("log-likelihood", found.log_likelihood, gibbs.log_likelihood),
    ):
        mean, error = mean_and_error(ours)
        expected = (filled * theirs).mean() / filled.mean()
        theirs_error = mean_and_error(filled * (theirs - expected) / filled.mean())[1]
        assert abs(mean - expected) < 4 * np.hypot(error, theirs_error), name
        if name == "smaller weight":  # without the condition they differ
            assert abs(mean - theirs.mean()) > 4 * np.hypot(error, theirs_error)


def test_at_gives_an_ordinary_posterior(found):
    one = found.at()
    assert one.n_components == found.most_probable[1]
    assert len(one.summary()) > 0
    assert one.num_chains in (1, 4)
    assert (found.at(1).params.weights == 1.0).all()
    with pytest.raises(ArgumentError, match="No draw has 9 clusters"):
        found.at(9)
    with pytest.raises(ArgumentError):
        found.at(0)


def test_table_of_k(found):
    table = found.posterior_of_k()
    assert list(table.index) == [1, 2, 3, 4]
    np.testing.assert_allclose(table["prior_components"], 0.25)
    sums = table[["posterior_components", "posterior_clusters", "prior_clusters"]].sum()
    np.testing.assert_allclose(sums, 1.0)
    assert table["posterior_components"][2] == (found.num_components == 2).mean()
    assert (table["error_clusters"] > 0).all()
    assert table.to_markdown() == found.to_markdown()
    assert "posterior of K₊" in table.to_markdown()
    assert r"\toprule" in table.to_latex()


def test_what_reads_draws(found):
    loo = az.loo(found.datatree)
    assert np.isfinite(loo.elpd)
    tree = found.datatree
    assert set(tree["posterior"].data_vars) >= {"num_components", "num_clusters", "concentration", "weights"}
    assert {"num_components", "num_clusters"} <= set(found.convergence.index)
    assert bg.partition(found, seed=0).num_clusters >= 1
    assert found.sample(20, seed=1)[1].shape == (20, 1)
    assert found.mixture.marginal([0]).n_components <= 4
    assert len(found.to_dataframe()) == 1200
    with pytest.raises(DrawsError, match="at"):
        bg.relabel(found)
    with pytest.raises(ArgumentError, match=rf"at\({found.most_probable[1]}\).predict"):
        found.predict(X)
    assert found.at().predict(X).shape == (5,)


def test_diagnosis_is_of_the_numbers(found):
    diagnosis = bg.diagnose(found)
    assert diagnosis.status in ("sound", "slightly short", "slow")
    assert list(diagnosis.convergence.index) == list(found.convergence.index)
    assert diagnosis.worst_rhat == found.worst_rhat
    np.testing.assert_allclose(diagnosis.by_chain().mean()[2], (found.num_clusters == 2).mean())
    assert {"ranks", "posterior_of_k"} == set(diagnosis.plot())
    assert "K₊ is" in " ".join(diagnosis.verdict())
    with pytest.raises(ArgumentError, match="x is about draws of other software"):
        bg.diagnose(found, x=X)


def numbered(found, clusters, seed=0):
    """Draws whose K₊ are these, (chain, draw), with K = K₊."""
    rng = np.random.default_rng(seed)
    counts = np.where(np.arange(4) < clusters[..., None], 1, 0)
    numbers = {"num_components": clusters, "counts": counts, "concentrations": np.full(clusters.shape, 0.7)}
    weights = counts / counts.sum(axis=-1, keepdims=True)
    params = bg.Params(weights, rng.normal(size=(*clusters.shape, 4, 1)), np.ones((*clusters.shape, 4, 1, 1)))
    return replace(found, **numbers, params=params, log_likelihood=rng.normal(size=clusters.shape))


def test_what_a_diagnosis_finds(found):
    rng = np.random.default_rng(1)
    good = rng.integers(1, 4, size=(4, 1000))
    assert bg.diagnose(numbered(found, good)).status == "sound"
    apart = bg.diagnose(numbered(found, np.where(np.arange(4)[:, None] < 2, 1, 3) + 0 * good))
    assert apart.status == "stuck"
    assert apart.groups == ((0, 1), (2, 3))
    assert "1 in chains 0, 1, 3 in chains 2, 3" in " ".join(apart.verdict())
    never = bg.diagnose(numbered(found, np.where(np.arange(4)[:, None] < 2, 1, 3) + np.zeros((4, 8), int)))
    assert never.status in ("stuck", "slow")  # R-hat of K₊ is infinite
    assert never.verdict()
    some = rng.random((4, 1000)) < np.array([0.3, 0.3, 0.9, 0.9])[:, None]
    assert bg.diagnose(numbered(found, np.where(some, 1, 3))).status == "slow"  # they visit one another's K₊
    beyond = replace(numbered(found, np.minimum(good + 1, 4)), components=bg.PoissonComponents(3.0))
    assert bg.diagnose(beyond).status == "truncated"
    assert "max_components=4" in " ".join(bg.diagnose(beyond).verdict())
    assert bg.diagnose(numbered(found, good[:, :3])).status == "too few draws"
    assert bg.diagnose(numbered(found, good[:1])).status == "not assessed"


def test_draws_of_one_k_know_that_the_run_had_more_chains(found):
    """No advice to run four chains where four ran."""
    clusters = np.where(np.arange(4)[:, None] < 1, 2, 3) + np.zeros((4, 200), int)
    one = numbered(found, clusters).at(2)
    assert one.num_chains == 1
    words = mixing_line("telescoping", one)
    assert "num_chains=4" not in words
    assert "extend it" in words
    assert "extend it" in bg.diagnose(one, search=False).verdict()[0]


def test_shows_itself(found):
    text = repr(found)
    assert "K ~ uniform on 1 … 4" in text
    assert "K = " in text
    assert "<table" in found._repr_html_()
    ax = found.plot()
    table = found.posterior_of_k()
    names = ("components", "clusters")
    heights = np.reshape([bar.get_height() for bar in ax.patches], (2, 4))
    np.testing.assert_allclose(heights, table[[f"posterior_{name}" for name in names]].to_numpy().T)
    lines = [line for line in ax.lines if line.get_linestyle() == ":"]
    np.testing.assert_allclose([one.get_ydata() for one in lines], table[[f"prior_{name}" for name in names]].T)
    dots = [part.get_offsets() for part in ax.collections if len(part.get_offsets()) > 1]
    for own, drawn in zip(dots, (found.num_components, found.num_clusters), strict=True):
        shares = [(chain == round(float(place))).mean() for place in own[:4, 0] for chain in drawn]
        np.testing.assert_allclose(sorted(own[:, 1]), sorted(shares))
    highest = [bars.get_paths()[0].vertices[:, 1].max() for bars in ax.collections if hasattr(bars, "get_paths")]
    assert max(highest) <= 1.0
    assert "K₊" in ax.get_title("left")
    with pytest.raises(ArgumentError, match="sample_telescoping"):
        bg.plots.plot_posterior_of_k(found.at())


def test_the_truncation_is_reported():
    with pytest.warns(MixingWarning, match="truncated at max_components=4"):
        bg.sample_telescoping(X, **SETTINGS | {"components": bg.PoissonComponents(3.0), "max_components": 4})


BAD = {
    "empty range": ({"components": bg.UniformComponents(0)}, ArgumentError, "at least 1"),
    "a word": ({"components": "uniform"}, PriorError, "prior on K"),
    "no mass": ({"components": bg.FixedComponents(9), "max_components": 4}, PriorError, "no mass on 1 … 4"),
    "no room": ({"max_components": 0}, ArgumentError, "max_components"),
    "flat": ({"prior": None}, PriorError, "proper prior"),
    "a wrong word": ({"prior": "flat"}, PriorError, "'default'"),
    "improper": (
        {"prior": PRIOR._replace(components=bg.NormalInverseWishart(0.0, 1.0, -2.0, 1.0))}, PriorError, "improper",
    ),
    "not exchangeable": (
        {"prior": PRIOR._replace(components=bg.NormalInverseWishart([[0.0], [1], [2], [3]], 1.0, 4.0, 1.0))},
        PriorError, "same prior",
    ),
    "not conjugate": (
        {"prior": PRIOR._replace(components=bg.NormalTimesLKJ(0.0, 1.0, bg.HalfNormal(1.0), 1.0))}, PriorError,
        "not conjugate",
    ),
    "negative concentration": ({"concentration": bg.Static(-1.0)}, PriorError, "concentration"),
    "negative shape": ({"concentration": bg.Dynamic(bg.Gamma(-1.0, 1.0))}, PriorError, "shape"),
    "a number": ({"concentration": 1.0}, PriorError, "Static"),
    "known classes": ({"labels": [0, 0, 1, 1, 1]}, ArgumentError, "known classes"),
    "noise": ({"noise": True}, ArgumentError, "noise component"),
    "fractions": ({"weights": [0.5, 1, 1, 1, 1]}, ArgumentError, "whole numbers"),
    "too large": ({"num_samples": 10**9}, ArgumentError, "GB, more than this machine has"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_refused(name):
    changes, error, words = BAD[name]
    with pytest.raises(error, match=words):
        bg.sample_telescoping(X, **SETTINGS | changes)


def test_families_without_a_conjugate_prior_are_refused(rng):
    with pytest.raises(ArgumentError, match="VEV"):
        bg.sample_telescoping(rng.normal(size=(20, 2)), covariance_type="VEV", progress_bar=False)


@pytest.mark.parametrize("num", [2, 5])
def test_few_rows_begin_in_few_clusters(num):
    """As many clusters as rows teach the common scale of the covariances that it is 0."""
    x = np.random.default_rng(5).normal(size=(num, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)
        found = bg.sample_telescoping(x, num_warmup=100, num_samples=100, num_chains=2)
        one = found.at()
    assert np.isfinite(found.log_likelihood).all()
    with pytest.raises(ArgumentError, match="given that no component is empty"):
        bg.evidence(one)
    with pytest.raises(ArgumentError, match=r"Use its at\(\)"):
        bg.loo(found)
