"""Fits and posteriors for users: DataTrees that ArviZ reads directly, one labelling, diagnostics."""

import os
import pickle
import signal
from dataclasses import replace

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pytest
import xarray as xr
from oracles.parameters import random_params

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError, NotConvergedWarning, SamplingInterrupted
from bayesgmm.model import alignment as labels
from bayesgmm.results.simulate import predictive
from bayesgmm.results.verdict import mixing_line

DIMS = {
    "weights": ("chain", "draw", "component"),
    "means": ("chain", "draw", "component", "feature"),
    "covariances": ("chain", "draw", "component", "feature", "feature_bis"),
}


@pytest.fixture(scope="module")
def runs(reference_data):
    x = reference_data["faithful"]
    return {
        "em": bg.fit_em(x, 2, prior="default"),
        "gibbs": bg.sample_gibbs(x, 2, num_warmup=200, num_samples=500, seed=1),
        "nuts": bg.sample_nuts(x, 2, num_warmup=150, num_samples=500, seed=1),
    }


@pytest.mark.parametrize("name", ["em", "gibbs", "nuts"])
def test_every_engine_has_the_same_names_and_dims(runs, name):
    tree = runs[name].to_datatree()
    assert {v: tree["posterior"][v].dims for v in tree["posterior"].data_vars} == DIMS
    assert list(tree["posterior"]["feature"].values) == ["eruptions", "waiting"]
    assert tree["log_likelihood"]["x"].dims == ("chain", "draw", "obs")
    assert tree["observed_data"]["x"].dims == ("obs", "feature")
    assert "lp" in tree["sample_stats"]
    np.testing.assert_allclose(
        tree["log_likelihood"]["x"].sum("obs").values.ravel()[:3], np.ravel(runs[name].log_likelihood)[:3], rtol=1e-10
    )


@pytest.mark.parametrize("name", ["gibbs", "nuts"])
def test_arviz_reads_the_tree(runs, name):
    tree = runs[name].datatree
    for group in ("posterior_predictive", "prior", "prior_predictive", "label_invariant", "sample_stats"):
        assert group in tree.children
    summary = az.summary(tree, var_names=["weights", "means"])
    assert "means[0, eruptions]" in summary.index
    loo = az.loo(tree)
    assert loo.n_data_points == 272
    assert loo.elpd == pytest.approx(-1140, abs=5)
    az.plot_trace_dist(tree, var_names=["weights"])
    az.plot_rank(tree, var_names=["weights"])
    plt.close("all")
    assert az.compare({"two": tree, "again": runs["gibbs"].datatree}).shape[0] == 2


def test_loo_uses_the_marginal_likelihood(runs):
    """Pointwise values are log densities with z summed out, not log densities given a drawn z."""
    tree = runs["gibbs"].datatree
    theta = bg.Params(*(part[2, 11] for part in runs["gibbs"].params))
    expected = bg.log_density(theta, tree["observed_data"]["x"].values)
    np.testing.assert_allclose(tree["log_likelihood"]["x"].values[2, 11], expected, rtol=1e-10)


def test_predictive_draws_one_class_per_row():
    """With one class per draw, all rows of a draw would share a cluster; with one class per row, they do not."""
    import jax

    params = bg.Params.of([0.5, 0.5], [[-50.0], [50.0]], [[[1.0]], [[1.0]]])
    many = bg.Params(*(np.broadcast_to(part, (1, 200, *part.shape)) for part in params))
    x = predictive(jax.random.key(0), many, 100)
    share = (x[0, :, :, 0] > 0).mean(axis=1)
    assert share.min() > 0.25
    assert share.max() < 0.75
    assert x[x > 0].std() == pytest.approx(1.0, rel=0.05)


def test_posterior_predictive_looks_like_the_data(runs, reference_data):
    x = runs["nuts"].datatree["posterior_predictive"]["x"].values.reshape(-1, 2)
    np.testing.assert_allclose(x.mean(axis=0), reference_data["faithful"].mean(), rtol=0.02)
    np.testing.assert_allclose(np.corrcoef(x.T)[0, 1], reference_data["faithful"].corr().iloc[0, 1], atol=0.02)


def test_components_are_named_alike_across_chains_and_engines(runs):
    for name in ("gibbs", "nuts"):
        means = runs[name].params.means[..., 0]
        assert (means[..., 0] < means[..., 1]).all()
    np.testing.assert_allclose(runs["gibbs"].params.means.mean((0, 1)), runs["em"].params.means, atol=0.2)


def test_alignment_undoes_any_renumbering():
    rng = np.random.default_rng(5)
    k = 5
    truth = random_params(4, k, 2)._replace(means=np.arange(10.0).reshape(k, 2) * 3)
    noise = rng.normal(size=(6, 50, k, 2)) * 0.3
    draws = bg.Params(
        np.broadcast_to(truth.weights, (6, 50, k)),
        truth.means + noise,
        np.broadcast_to(truth.scale_trils, (6, 50, k, 2, 2)),
    )
    shuffle = rng.permuted(np.broadcast_to(np.arange(k), (6, 50, k)), axis=-1)
    back = labels.permute(labels.permute(draws, shuffle), labels.align(labels.permute(draws, shuffle), truth))
    for found, original in zip(back, draws, strict=True):
        np.testing.assert_array_equal(found, original)


def test_alignment_is_the_cheapest_permutation():
    """Against brute force over K! permutations, on draws with ambiguous labels."""
    import itertools

    rng = np.random.default_rng(6)
    reference = random_params(1, 4, 2)
    draws = [random_params(seed, 4, 2) for seed in range(30)]
    stacked = bg.Params(*(np.stack(parts) for parts in zip(*draws, strict=True)))
    costs = labels.relabelling_costs(stacked, reference)
    found = labels.align(stacked, reference)
    for t in range(30):
        best = min(itertools.permutations(range(4)), key=lambda p, t=t: costs[t][np.arange(4), p].sum())
        assert tuple(found[t]) == best
    # The cost is minus the expected complete-data log-likelihood: check one entry by simulation.
    x = reference.means[1] + rng.normal(size=(200_000, 2)) @ reference.scale_trils[1].T
    simulated = -reference.weights[1] * np.mean(np.asarray(bg.log_joint(draws[3], x))[:, 2] + np.log(2 * np.pi))
    assert costs[3, 1, 2] == pytest.approx(simulated, rel=0.02)


def test_rhat_does_not_fall_for_label_switching(reference_data):
    """Chains start under opposite labels: R-hat of the raw components would be huge; after alignment it is not."""
    x = reference_data["faithful"]
    mode = bg.fit_em(x, 2)
    flipped = labels.permute(mode.params, np.array([1, 0]))
    starts = bg.Params(*(np.stack([a, b, a, b]) for a, b in zip(mode.params, flipped, strict=True)))
    posterior = bg.sample_gibbs(x, 2, init=starts, num_warmup=100, num_samples=600)
    assert posterior.worst_rhat < 1.01
    assert posterior.mixed
    assert az.summary(posterior.datatree, var_names=["means"])["r_hat"].astype(float).max() < 1.02


def test_chains_in_different_modes_are_not_mixed(reference_data):
    """Four tight clusters and K = 2: chains stay in different modes and do not count as mixed."""
    rng = np.random.default_rng(0)
    x = np.concatenate([rng.normal(m, 0.05, size=(150, 2)) for m in ([0, 0], [10, 0], [0, 10], [10, 10])])
    covariances = [np.eye(2) * 0.01, np.eye(2) * 30]
    start = bg.Params(*(np.stack(parts) for parts in zip(
        bg.Params.of([0.25, 0.75], [[0, 0], [7, 7]], covariances), bg.Params.of([0.25, 0.75], [[10, 10], [3, 3]], covariances),
        strict=True,
    )))  # fmt: skip
    posterior = bg.sample_gibbs(x, 2, init=start, num_chains=2, num_warmup=50, num_samples=300)
    assert not posterior.mixed
    assert posterior.worst_rhat > 1.5


def test_round_trip_through_netcdf(runs, tmp_path):
    path = tmp_path / "gibbs.nc"
    runs["gibbs"].datatree.to_netcdf(path, engine="h5netcdf")
    with xr.open_datatree(path, engine="h5netcdf") as back:
        np.testing.assert_array_equal(back["posterior"]["means"].values, runs["gibbs"].params.means)


def test_large_data_are_thinned_and_say_so(monkeypatch, reference_data):
    from bayesgmm.results import datatree

    monkeypatch.setattr(datatree, "MOST_VALUES", 272 * 1000)
    tree = bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=200, num_samples=500).datatree
    assert tree["log_likelihood"].sizes["draw"] == 250
    assert "every 2th draw" in tree["log_likelihood"].attrs["thinned"]
    np.testing.assert_array_equal(tree["log_likelihood"]["draw"], np.arange(0, 500, 2))
    assert az.loo(tree).n_data_points == 272
    monkeypatch.setattr(datatree, "MOST_VALUES", 272 * 10)
    tree = bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=200, num_samples=500).datatree
    assert "log_likelihood" not in tree.children
    assert "log_likelihood" in tree.attrs["omitted"]


def press_ctrl_c(after):
    pressed = []

    def listener(label, done, total, note):
        if done >= after and not pressed:
            pressed.append(done)
            os.kill(os.getpid(), signal.SIGINT)

    return listener


@pytest.mark.parametrize("engine", [bg.sample_gibbs, bg.sample_nuts])
def test_ctrl_c_keeps_the_draws_so_far(engine, reference_data):
    arguments = {"num_warmup": 50, "num_samples": 5000, "num_chains": 2, "seed": 3}
    handler = signal.getsignal(signal.SIGINT)
    posterior = engine(reference_data["faithful"], 2, **arguments, progress_bar=press_ctrl_c(after=100))
    assert posterior.interrupted
    assert 50 <= posterior.num_samples < 5000
    assert signal.getsignal(signal.SIGINT) == handler
    full = engine(reference_data["faithful"], 2, **(arguments | {"num_samples": posterior.num_samples}))
    np.testing.assert_array_equal(posterior.params.means, full.params.means)
    assert "interrupted" in repr(posterior)
    with pytest.raises(SamplingInterrupted, match="warm-up"):
        engine(reference_data["faithful"], 2, **arguments, progress_bar=press_ctrl_c(after=1))


def test_ctrl_c_during_a_long_em_keeps_the_best_so_far(rng):
    x = np.concatenate([rng.normal(0, 1, 12_000), rng.normal(1, 1, 12_000)])[:, None]
    with pytest.warns(NotConvergedWarning, match="interrupted"):
        fit = bg.fit_em(x, 2, n_init=1, progress_bar=press_ctrl_c(after=1))
    assert fit.status == "interrupted"
    assert np.isfinite(fit.objective)


def test_few_draws_give_dashes_not_errors(reference_data):
    posterior = bg.sample_gibbs(reference_data["faithful"], 2, num_warmup=1, num_samples=2, num_chains=1)
    assert not posterior.mixed
    assert "1 chain × 2 draws" in " ".join(repr(posterior).split())
    assert "<table" in posterior._repr_html_()


@pytest.mark.slow
def test_low_bfmi_is_reported():
    """E-BFMI against its formula, and the warning in the verdict if it is small."""
    posterior = bg.sample_nuts(bg.load_dataset("faithful"), 2, num_warmup=50, num_samples=300, num_chains=2, seed=1)
    energy = posterior.sample_stats["energy"]
    ours = [(np.diff(chain) ** 2).sum() / ((chain - chain.mean()) ** 2).sum() for chain in energy]
    assert posterior.smallest_bfmi == pytest.approx(min(ours), rel=0.01)
    assert "E-BFMI" not in mixing_line("nuts", posterior)
    slow = replace(
        posterior, sample_stats=posterior.sample_stats | {"energy": np.cumsum(energy - energy.mean(), axis=1)}
    )
    assert "E-BFMI 0.0" in mixing_line("nuts", slow)
    assert np.isnan(replace(posterior, sample_stats={}).smallest_bfmi)


def test_settings_hold_no_other_fit(rng):
    """A warm start is kept as θ, so that a chain of warm starts does not hold every fit and its data."""
    x = np.concatenate([rng.normal(size=(30, 2)), rng.normal(size=(30, 2)) + 5])
    fit = bg.fit_em(x, 2, n_init=1)
    fit = bg.fit_em(x, 2, init=bg.fit_em(x, 2, init=fit))
    assert isinstance(fit.settings["init"], bg.Params)
    again = bg.fit_em(x, 2, **fit.settings)
    assert again.log_likelihood == pytest.approx(fit.log_likelihood, abs=1e-9)


def test_what_cannot_be_pickled_is_noted(runs):
    from bayesgmm.checking.refits import refitter

    posterior = replace(runs["gibbs"], settings=runs["gibbs"].settings | {"guide": lambda model: model})
    copy = pickle.loads(pickle.dumps(posterior))
    np.testing.assert_array_equal(copy.params.means, posterior.params.means)
    with pytest.raises(ArgumentError, match="guide could not be pickled"):
        refitter(copy)


def test_rows_out_of_reach_are_refused(rng):
    """Their density is 0 in double precision, so that they have no class."""
    x = np.concatenate([rng.normal(size=(30, 2)), rng.normal(size=(30, 2)) + 5])
    fit = bg.fit_em(1e-20 * x, 2, n_init=1)
    for method in (fit.predict_proba, fit.predict, fit.score_samples):
        with pytest.raises(DataError, match="Row 1"):
            method([[0.0, 0.0], [1e140, 0.0]])
