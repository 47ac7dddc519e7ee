"""The only module that builds ArviZ objects: fits and draws as DataTrees with the same variables and dims.

==========================  ===========================================================================
group                       variables
==========================  ===========================================================================
``posterior``               ``weights[component]``, ``means[component, feature]``,
                            ``covariances[component, feature, feature_bis]``
``sample_stats``            ``lp`` (log posterior density, constants included), ``permutation[component]``, and
                            statistics of the sampler
``log_likelihood``          ``x[obs]``: the **marginal** log density of each row, z integrated out, times its weight
``log_prior``               ``weights`` and ``components``: the two factors of ``log p(θ)``, constants included
``posterior_predictive``    ``x[obs, feature]``: a new data set per draw, one z per row
``prior``                   as ``posterior``, drawn from the prior
``prior_predictive``        ``x[obs, feature]``
``observed_data``           ``x[obs, feature]``
``label_invariant``         quantities that do not depend on the labelling
==========================  ===========================================================================
"""

from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.data.table import Table
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model
from bayesgmm.results.simulate import sample_prior, simulated
from bayesgmm.results.with_noise import same_box
from bayesgmm.runtime.arguments import split_key
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.per_row import log_densities

if TYPE_CHECKING:
    import xarray as xr

MOST_VALUES = 2**25
"""Largest number of values (268 MB) in a per-row group. Larger groups are thinned; their attributes say so."""
FEWEST_DRAWS = 400
"""A per-row group with fewer draws than this after thinning is omitted."""
PRIOR_DRAWS = 500
FIXED_POINTS = 5

DIMS = {
    "weights": ["component"],
    "means": ["component", "feature"],
    "covariances": ["component", "feature", "feature_bis"],
    "permutation": ["component"],
    "sorted_weights": ["rank"],
    "log_density": ["point"],
    "mixture_mean": ["feature"],
    "mixture_sd": ["feature"],
}


def posterior_tree(
    params: Params,
    model: Model,
    invariants: "xr.Dataset",
    sample_stats: dict[str, np.ndarray],
    key: PRNGKeyArray,
    attrs: dict[str, Any],
) -> "xr.DataTree":
    """Every group of the module's table, from draws with leading axes (chain, draw) in the user's units."""
    import xarray as xr

    key_predict, key_prior, key_prior_predict = split_key(key, 3)
    table, frame, prior = model.table, model.frame, model.family_prior
    dim = table.dim
    num_chains, num_draws = params.weights.shape[:2]
    step = 0 if table.on_disk else thinning(num_chains, num_draws, table.num_rows)
    wide = 0 if table.on_disk else thinning(num_chains, num_draws, table.num_rows * dim)
    groups = {
        "posterior": theta_variables(params),
        "sample_stats": {"lp": invariants["log_posterior"].values, **sample_stats},
        **_observed(table),
    }
    rows, prior_draws = None, None
    if model.prior is not None:  # unknown for draws of other software
        prior_draws = sample_prior(key_prior, prior, PRIOR_DRAWS)
        rows = 0 if table.on_disk else thinning(1, PRIOR_DRAWS, table.num_rows * dim)
        total = (invariants["log_posterior"] - invariants["log_likelihood"]).values
        groups |= {"log_prior": _log_prior(params, prior, total), "prior": theta_variables(prior_draws)}
    if step:
        groups["log_likelihood"] = {"x": log_densities(_every(params, step), table, frame) * table.counted}
    if wide:
        groups["posterior_predictive"] = {"x": simulated(key_predict, _every(params, wide), table)}
    if prior_draws is not None and rows:
        groups["prior_predictive"] = {"x": simulated(key_prior_predict, _every(prior_draws, rows), table)}
    thinned = {"log_likelihood": step, "posterior_predictive": wide, "prior_predictive": rows}
    omitted = [name for name, thin in thinned.items() if thin == 0]
    if omitted:
        few = f"with {table.num_rows} rows, fewer than {FEWEST_DRAWS} draws would fit in memory"
        note = f"{', '.join(omitted)}: {'the rows are elsewhere' if table.on_disk else few}"
        attrs = attrs | {"omitted": note}
    tree = tree_of(groups, table, params.weights.shape[-1], attrs)
    tree["label_invariant"] = xr.DataTree(invariants)
    for name, thin in thinned.items():
        if thin and thin > 1:
            note_thinning(tree, name, thin)
    return tree


def note_thinning(tree: "xr.DataTree", name: str, step: int) -> None:
    """Number the draws of a thinned group as those that they are, and note it."""
    draws = tree[name].to_dataset()
    kept = draws.assign_coords(draw=draws["draw"].values * step)
    note = f"every {step}th draw, to hold no more than {MOST_VALUES} numbers"
    tree[name] = type(tree)(kept.assign_attrs(thinned=note))


def _log_prior(params: Params, prior: Belief, total: np.ndarray) -> dict[str, np.ndarray]:
    """``log p(θ)`` split into its two independent factors, weights and components."""
    with scope("float64"):
        concentration = jax.tree.map(lambda leaf: np.asarray(leaf, float), prior.weights)
        flat = np.asarray(params.weights, float).reshape(-1, params.weights.shape[-1])
        weights = np.asarray(_WEIGHTS(flat, concentration)).reshape(total.shape)
    return {"weights": weights, "components": total - weights}


def _log_density_of_weights(weights: Float[Array, "S K"], prior: Any) -> Float[Array, "S"]:
    return jax.vmap(prior.log_kernel)(jnp.log(weights)) + prior.log_normaliser()


_WEIGHTS = Program(_log_density_of_weights)


def fit_tree(params: Params, table: Table, frame: Frame, objective: float, attrs: dict[str, Any]) -> "xr.DataTree":
    """A point fit as one chain of one draw."""
    one = jax.tree.map(lambda leaf: np.asarray(leaf)[None, None], params)
    groups = {
        "posterior": theta_variables(one),
        "sample_stats": {"lp": np.full((1, 1), objective)},
        **_observed(table),
    }
    if table.num_rows <= MOST_VALUES and not table.on_disk:
        groups["log_likelihood"] = {"x": log_densities(one, table, frame) * table.counted}
    return tree_of(groups, table, params.weights.shape[-1], attrs)


def _observed(table: Table) -> dict[str, dict[str, np.ndarray]]:
    """The group of the data; none if they are on disk."""
    return {} if table.on_disk else {"observed_data": {"x": table.values.copy()}}


def prior_tree(keys: Any, prior: Belief, table: Table, num: int) -> "xr.DataTree":
    """Groups ``prior``, ``prior_predictive`` (thinned if it exceeds `MOST_VALUES`) and ``observed_data``."""
    draws = sample_prior(keys[0], prior, num)
    step = thinning(1, num, table.num_rows * table.dim)
    groups = {"prior": theta_variables(draws), "observed_data": {"x": table.values.copy()}}
    if step:
        groups["prior_predictive"] = {"x": simulated(keys[1], _every(draws, step), table)}
    tree = tree_of(groups, table, draws.weights.shape[-1], {"inference_library": "bayesgmm"})
    if step > 1:
        kept = tree["prior_predictive"].to_dataset()
        tree["prior_predictive"] = type(tree)(kept.assign_coords(draw=kept["draw"].values * step))
    return tree


def label_invariant(
    params: Params, table: Table, frame: Frame, log_likelihood: np.ndarray, log_prior: np.ndarray
) -> "xr.Dataset":
    """Quantities that do not depend on the labelling, so R-hat and ESS are valid under label switching."""
    quantities = {
        "log_posterior": log_likelihood + log_prior,
        "log_likelihood": log_likelihood,
        **invariants_of_theta(params, table, frame),
    }
    return _dataset("label_invariant", quantities, table, params.weights.shape[-1])


def label_invariant_dataset(
    quantities: dict[str, np.ndarray], params: Params, table: Table, frame: Frame
) -> "xr.Dataset":
    """These quantities (chain, draw), and those of θ that depend neither on the labelling nor on K."""
    of_theta = invariants_of_theta(params, table, frame)
    of_theta.pop("sorted_weights", None)
    return _dataset("label_invariant", quantities | of_theta, table, params.weights.shape[-1])


def invariants_of_theta(params: Params, table: Table, frame: Frame) -> dict[str, np.ndarray]:
    """The label-invariant quantities of θ (chain, draw, …) that do not measure its fit to the data.

    The weight of a noise component is the last of the sorted weights, whatever its size.
    """
    weights, means, table = np.asarray(params.weights), np.asarray(params.means), table.sample
    mean = np.einsum("cdk,cdkf->cdf", weights, means)
    variances = np.diagonal(params.covariances, axis1=-2, axis2=-1)
    second = np.einsum("cdk,cdkf->cdf", weights, variances + (means - mean[:, :, None]) ** 2)
    points = same_box(table, table.filled[_fixed_points(table)])
    gaussians, noise = np.split(weights, [weights.shape[-1] - (table.noise is not None)], axis=-1)
    quantities = {
        "sorted_weights": np.concatenate([np.sort(gaussians, axis=-1)[..., ::-1], noise], axis=-1),
        "mixture_mean": mean,
        "mixture_sd": np.sqrt(second),
        "log_density": log_densities(params, points, frame),
    }
    if weights.shape[-1] == 1:
        del quantities["sorted_weights"]  # a single weight is 1 in every draw: no information on mixing
    return quantities


def theta_variables(params: Params) -> dict[str, np.ndarray]:
    """The variables of θ."""
    weights, means = (
        np.array(params.weights),
        np.array(params.means),
    )  # copies: writing to a tree must not change the draws
    return {  # pyright: ignore[reportReturnType]
        "weights": weights,
        "means": means,
        "covariances": np.asarray(params.covariances),
    }


def tree_of(groups: dict, table: Table, num_components: int, attrs: dict[str, Any]) -> "xr.DataTree":
    """A DataTree of groups of variables."""
    import xarray as xr

    trees = {group: _dataset(group, variables, table, num_components) for group, variables in groups.items()}
    return xr.DataTree.from_dict(trees | {"/": xr.Dataset(attrs=attrs)})


def _dataset(group: str, variables: dict[str, np.ndarray], table: Table, num_components: int) -> "xr.Dataset":
    from arviz_base import from_dict

    features = list(table.features)
    coords = {
        "component": np.arange(num_components), "rank": np.arange(num_components), "feature": features,
        "feature_bis": features, "point": _fixed_points(table.sample),
    } | ({} if table.on_disk else {"obs": np.arange(table.num_rows)})  # fmt: skip
    per_row = {"x": ["obs"] if group == "log_likelihood" else ["obs", "feature"]}
    named = {} if group == "log_prior" else DIMS  # the log density of a factor has no component axis
    dims = {name: per_row.get(name, named.get(name, [])) for name in variables}
    used = {dim for dim_names in dims.values() for dim in dim_names}
    kept = {name: values for name, values in coords.items() if name in used}
    return from_dict({group: variables}, coords=kept, dims=dims, check_conventions=False)[group].to_dataset()


def _fixed_points(table: Table) -> np.ndarray:
    """Indices of rows spread over the first feature, at which the density is monitored; only of rows that count.

    A row of weight 0 is no part of what the posterior knows. Densities at such rows would not be calibrated.
    """
    rows = np.flatnonzero(table.counted > 0)
    order = rows[np.argsort(table.filled[rows, 0], kind="stable")]
    share = (np.arange(FIXED_POINTS) + 0.5) / FIXED_POINTS
    return order[(share * len(order)).astype(int)]


def thinning(num_chains: int, num_draws: int, size: int) -> int:
    """The n for which a group with `size` values per draw keeps every n-th draw; 0 if too few would be left."""
    step = max(1, -(-num_chains * num_draws * size // MOST_VALUES))
    left = num_chains * -(-num_draws // step)
    return step if step == 1 or left >= min(FEWEST_DRAWS, num_chains * num_draws) else 0


def _every(params: Params, step: int) -> Params:
    return jax.tree.map(lambda leaf: leaf[:, ::step], params)
