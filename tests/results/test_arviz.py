"""Functions of ArviZ on our DataTrees: all that apply to a mixture, unaided; docs/results.md names the exceptions."""

import warnings

import arviz as az
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oracles.effort import SOME

import bayesgmm as bg

RNG = np.random.default_rng(1)
X = pd.DataFrame(
    np.concatenate([RNG.normal(0.0, 1.0, (36, 2)), RNG.normal([6.0, -3.0], 1.0, (24, 2))]), columns=["a", "b"]
)
SHORT = {"num_warmup": 100, "num_samples": 100, "num_chains": 2, "progress_bar": False}
THETA = ["weights", "means"]


@pytest.fixture(scope="module")
def tree():
    return bg.sample_gibbs(X, 2, **SHORT).datatree


def one_feature(tree: xr.DataTree) -> xr.DataTree:
    """The tree with the data and the predictions of one feature, as docs/results.md shows."""
    return tree.assign({
        group: xr.DataTree(tree[group].to_dataset().sel(feature="a", drop=True))
        for group in ("posterior_predictive", "prior_predictive", "observed_data")
    })  # fmt: skip


def renamed(tree: xr.DataTree) -> xr.DataTree:
    """The tree with another name for its components, as docs/results.md shows."""
    return tree.map_over_datasets(lambda group: group.rename(component="k") if "component" in group.dims else group)


OF_TREE = (
    "ess", "rhat", "mcse", "mean", "median", "mode", "std", "var", "mad", "iqr", "qds", "eti", "hdi", "kde", "histogram",
    "extract", "get_log_likelihood", "convert_to_dataset", "loo", "loo_influence", "psense", "summary", "thin",
)  # fmt: skip
PLOTS_OF_THETA = (
    "plot_autocorr", "plot_convergence_dist", "plot_dist", "plot_ess", "plot_ess_evolution", "plot_forest", "plot_mcse",
    "plot_pair", "plot_parallel", "plot_prior_posterior", "plot_psense_dist", "plot_psense_quantities", "plot_rank",
    "plot_rank_dist", "plot_ridge", "plot_trace", "plot_trace_dist", "plot_dgof", "plot_dgof_dist",
)  # fmt: skip
PLOTS_OF_TREE = ("plot_ppc_dist", "plot_ppc_tstat")
OF_ONE_FEATURE = ("loo_pit", "loo_score", "loo_metrics", "metrics")
PLOTS_OF_ONE_FEATURE = (
    "plot_loo_pit", "plot_loo_interval", "plot_ppc_pit", "plot_ppc_dist_pit", "plot_ppc_interval", "plot_ppc_tstat",
)  # fmt: skip


def call(function: str, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # warnings of ArviZ about few draws
        return getattr(az, function)(*args, **kwargs)


def test_statistics_take_the_tree(tree):
    for name in OF_TREE:
        assert call(name, tree) is not None, name
    assert call("loo_i", 0, tree) is not None
    for name in OF_ONE_FEATURE:
        assert call(name, one_feature(tree)) is not None, name
    assert set(call("psense_summary", renamed(tree)).columns) >= {"prior", "likelihood", "diagnosis"}


@pytest.mark.parametrize("name", ["plot_trace", "plot_forest", "plot_ppc_dist", "plot_ppc_pit"])
def test_plots_take_the_tree(tree, name):
    of_data = {"plot_ppc_dist": (tree,), "plot_ppc_pit": (one_feature(tree),)}
    call(name, *of_data[name]) if name in of_data else call(name, tree, var_names=THETA)
    plt.close("all")


@SOME
@pytest.mark.parametrize("name", [*PLOTS_OF_THETA, *PLOTS_OF_TREE, *PLOTS_OF_ONE_FEATURE])
def test_every_plot_takes_the_tree(tree, name):
    if name in PLOTS_OF_THETA:
        call(name, tree, var_names=THETA)
    else:
        call(name, tree if name in PLOTS_OF_TREE else one_feature(tree))
    plt.close("all")


@pytest.mark.slow
def test_comparisons_and_nuts(tree):
    nuts, one = bg.sample_nuts(X, 2, **SHORT).datatree, bg.sample_gibbs(X, 1, **SHORT).datatree
    table = call("compare", {"two": tree, "one": one})
    assert table.index[0] == "two"
    call("plot_compare", table), call("plot_khat", call("loo", tree, pointwise=True)), call("plot_energy", nuts)
    call("bfmi", nuts), call("diagnose", nuts), call("weight_predictions", [tree, one])
    plt.close("all")


def test_what_the_docs_name_as_an_exception_is_one(tree):
    """ArviZ joins the columns of this table in a dimension that it calls ``component``, as ours."""
    with pytest.raises(ValueError, match="conflicting sizes for dimension 'component'"):
        call("psense_summary", tree)


def test_sensitivity_to_one_factor_of_the_default_prior():
    posterior = bg.sample_gibbs(X, 2, **SHORT)
    weights = bg.prior_sensitivity(posterior, part="weights")  # uniform: any power of it is the same
    assert (weights["prior"] == 0.0).all()
    assert (weights["likelihood"] > 0.0).any()
    whole, components = (bg.prior_sensitivity(posterior, part=part) for part in (None, "components"))
    assert np.allclose(whole["prior"], components["prior"])
