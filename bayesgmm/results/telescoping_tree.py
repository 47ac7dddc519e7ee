"""The DataTree of a `TelescopingPosterior`."""

from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.model.types import Params
from bayesgmm.results import datatree
from bayesgmm.results.simulate import simulated
from bayesgmm.sweep.per_row import log_densities

if TYPE_CHECKING:
    import xarray as xr


def telescoping_tree(found: Any, key: PRNGKeyArray) -> "xr.DataTree":
    """Groups posterior, sample_stats, log_likelihood, posterior_predictive, observed_data and label_invariant."""
    table, params = found.table, found.in_use
    chains, draws = found.num_components.shape
    step = datatree.thinning(chains, draws, table.num_rows)
    wide = datatree.thinning(chains, draws, table.num_rows * table.dim)
    numbers = {
        "num_components": found.num_components, "num_clusters": found.num_clusters,
        "concentration": found.concentrations,
    }  # fmt: skip
    groups: dict[str, Any] = {
        "posterior": datatree.theta_variables(params) | numbers,
        "sample_stats": {"log_likelihood": found.log_likelihood},
        "observed_data": {"x": table.values.copy()},
    }
    if step:
        groups["log_likelihood"] = {"x": log_densities(_every(params, step), table, found.frame) * table.counted}
    if wide:
        groups["posterior_predictive"] = {"x": simulated(key, _every(params, wide), table)}
    tree = datatree.tree_of(groups, table, params.weights.shape[-1], _attrs(found))
    tree["label_invariant"] = type(tree)(found.invariants)
    for name, thin in {"log_likelihood": step, "posterior_predictive": wide}.items():
        if thin > 1:
            datatree.note_thinning(tree, name, thin)
    return tree


def _every(params: Params, step: int) -> Params:
    return Params(*(np.asarray(part)[:, ::step] for part in params))


def _attrs(found: Any) -> dict[str, Any]:
    return {
        "engine": "telescoping", "max_components": found.max_components, "num_warmup": found.num_warmup,
        "interrupted": int(found.interrupted), "sampling_time": found.clock.run_seconds,
        "inference_library": "bayesgmm", "components": found.components.describe(),
        "concentration": found.concentration.describe(),
    }  # fmt: skip
