"""A `Posterior` from the draws of other software, so that everything that takes a posterior takes them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from bayesgmm.data.described import described
from bayesgmm.data.table import Table, as_table, check_table
from bayesgmm.errors import ArgumentError, DataError, DrawsError
from bayesgmm.model.families import resolve_family
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, build_model
from bayesgmm.results.draws import Draws, as_draws
from bayesgmm.results.given_posterior import check_family, given_posterior, relabelled, seconds_of, stats_of
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.theta_of_draws import SPREADS
from bayesgmm.results.usual_names import draws_in, usual_names, why_unclear


def from_draws(
    draws: Any,
    x: Any = None,
    *,
    names: Mapping[str, str] | None = None,
    component_dim: str = "component",
    covariance_type: str | None = None,
    prior: Belief | str | None = None,
    weights: Any = None,
) -> Posterior:
    """A posterior from draws of PyMC, Stan, NumPyro or any other software.

    The result is checked, compared and plotted as one of this package: `loo`, `check`, `predictive_checks`, `loo_pit`,
    `partition`, `diagnose`, `compare(also=)`. These functions also take the draws themselves, if they hold their data
    and have usual names.

    Parameters
    ----------
    draws
        An ArviZ DataTree, its ``posterior`` Dataset, or a mapping of names to arrays (chain, draw, component, …).
    x
        The data (N, D) that were fitted; by default ``observed_data`` of the DataTree, if it has exactly one variable.
    names
        Names in the draws of ``weights``, ``means`` and one of ``covariances``, ``scale_trils``, ``variances``,
        ``sds``. Usual ones (``w``, ``mu``, ``Sigma``, ``sigma``, …) are found: `bayesgmm.results.usual_names`.
    component_dim
        The dimension of the components in a DataTree, if it is neither ``component`` nor ArviZ's default.
    covariance_type
        The covariance family that was fitted, for the number of parameters. By default what the draws show: spherical,
        diagonal, tied (equal in every draw), or full.
    prior
        The prior that the other software had, as a `Prior`. Without it nothing is known of the prior: leave-one-out has
        no moment matching, and sensitivity to the prior cannot be assessed.
    weights
        How often each row counts, if the model had weights.

    Returns
    -------
    Posterior
        In a common labelling, that of the draw of highest density, by the mean of the first feature. It cannot be
        extended or refitted.

    Raises
    ------
    DrawsError
        If the draws do not hold θ; the message says what they hold, and how to name it.
    DataError, ArgumentError, PriorError
        If the data are not those of the draws, or an argument cannot be used.
    """
    draws = _with_theta(draws, names)
    found = as_draws(draws, x=x, names=names, component_dim=component_dim, fewest_components=1)
    if isinstance(found.source, Posterior):
        raise ArgumentError("These draws are a Posterior already. Use it as it is.")
    if found.params is None:
        raise _unclear(list(found.variables), why_unclear(found.variables))
    if found.table is None:
        raise DataError("The draws do not hold the data that were fitted, or several variables. Pass them as x=.")
    table = described(found.table, weights, None, None)
    model = _model_of(found.params, as_table(table), covariance_type or _shown(found.params), prior)
    check_family("This posterior", found.params, model)
    posterior = given_posterior(found.params, model, _software(found), seconds_of(found.source), stats_of(found))
    density = posterior.log_likelihood + posterior.log_prior
    best = np.unravel_index(int(np.argmax(density)), density.shape)
    parts = [np.asarray(part)[best] for part in posterior.params]
    order = np.argsort(parts[1][:, 0]) if model.exchangeable else np.arange(len(parts[0]))
    reference = Params(*(part[order] for part in parts))  # pyright: ignore[reportArgumentType]
    return relabelled(posterior, reference, model)  # pyright: ignore[reportReturnType]


def draws_of_one_model(x: Any) -> str:
    """What of a result holds draws of one model, in words; empty if nothing does."""
    if hasattr(x, "at") and hasattr(x, "num_clusters"):
        return "its at(), the draws with one number of clusters"
    return "its posterior(K), the draws of one model" if hasattr(x, "posteriors") else ""


def as_posterior(draws: Any) -> Any:
    """A posterior as it is; draws of other software by `from_draws`; anything else as it is.

    Raises
    ------
    DrawsError, DataError
        If the draws do not hold θ or their data.
    """
    if isinstance(draws, Mapping | Draws) or hasattr(draws, "data_vars") or hasattr(draws, "children"):
        return from_draws(draws)
    return draws


def _with_theta(draws: Any, names: Any) -> Any:
    """Draws in which usual names say what θ is; arrays that are no part of it are left out of a mapping."""
    if names is not None or isinstance(draws, Draws | Posterior) or not isinstance(draws, Mapping):
        return draws
    tree = hasattr(draws, "children") or hasattr(draws, "data_vars")  # these are mappings, too
    arrays = _arrays_of(draws) if tree else {name: np.asarray(one) for name, one in draws.items() if np.ndim(one) >= 2}
    own = usual_names(arrays)
    theta = {own.get(part, part) for part in ("weights", "means", *SPREADS)}
    found = {name: draws[name] for name in arrays if name in theta} if not tree else theta.intersection(arrays)
    if arrays and len(found) < 3:
        raise _unclear(list(arrays), why_unclear(arrays))
    return draws if tree else found


def _arrays_of(tree: Any) -> dict[str, np.ndarray]:
    """The variables of the group posterior, or of a Dataset."""
    group = tree["posterior"] if "posterior" in getattr(tree, "children", ()) else tree
    return draws_in(group) if hasattr(group, "data_vars") else {}


def _unclear(names: list[str], why: str) -> DrawsError:
    return DrawsError(
        f"The draws have {', '.join(map(str, names))}. {why} Say what is what by names=, such as {{'weights': 'w', "
        "'means': 'mu', 'sds': 'sigma'}."
    )


def _shown(params: Params) -> str:
    """The covariance type that all draws have."""
    covariances = np.asarray(params.covariances)
    variances = np.diagonal(covariances, axis1=-2, axis2=-1)
    if (covariances == variances[..., None] * np.eye(covariances.shape[-1])).all():
        return "spherical" if (variances == variances[..., :1]).all() else "diag"
    return "tied" if covariances.shape[2] > 1 and (covariances == covariances[:, :, :1]).all() else "full"


def _model_of(params: Params, table: Table, covariance_type: str, prior: Any) -> Model:
    num, dim = params.means.shape[-2] - (table.noise is not None), params.means.shape[-1]
    if table.dim != dim:
        raise DataError(f"The draws have {dim} features, the data {table.dim} ({', '.join(table.features)}).")
    check_table(table, num)
    return build_model(table, num, prior, resolve_family(covariance_type, dim))


def _software(draws: Draws) -> str:
    """What made the draws, as ArviZ keeps it."""
    tree: Any = draws.source
    groups = [] if tree is None else [tree, tree["posterior"]]
    names = [group.attrs.get("inference_library") for group in groups]
    return next((name for name in names if isinstance(name, str) and name), "given draws")
