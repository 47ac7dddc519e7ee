"""Label-invariant quantities of draws."""

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesgmm.diagnosis.density_modes import count_modes
from bayesgmm.model.types import Params
from bayesgmm.results.datatree import label_invariant
from bayesgmm.results.draws import ABOUT, Draws, Source, as_draws
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_key, check_names, choose_rows
from bayesgmm.sweep import per_row

if TYPE_CHECKING:
    import xarray as xr

MOST_WORK = 2**31
"""Most scores (draw, component, row) that are computed; beyond that the draws are thinned."""
MOST_ROWS = 10_000
"""Most rows for the entropy."""


def label_invariant_view(source: Source, *, seed: Any = 0, **about: Any) -> "xr.Dataset":
    """Label-invariant quantities, for which R-hat, ESS and rank plots are valid, with dims (chain, draw, …).

    - ``log_posterior`` (if it was recorded), ``log_likelihood``, ``sorted_weights[rank]``, ``mixture_mean[feature]``,
      ``mixture_sd[feature]``, and ``log_density[point]`` at five rows;
    - ``allocation_entropy``: mean entropy of the responsibilities in nats (0: the class of each row is certain), of
      a random sample of 10,000 rows if there are more;
    - ``occupied``: the number K₊ of Gaussian components with at least one row under a drawn z;
    - ``num_modes``: the number of modes of the mixture density.

    The weight of a noise component is the last of ``sorted_weights``.

    Without weights, means and covariances, or without data: ``log_posterior`` if it was recorded, and the sorted
    values of each variable.

    Parameters
    ----------
    source, about
        Draws, and keyword arguments of `as_draws`.
    seed
        int or JAX key, to draw the z for ``occupied``.
    """
    import xarray as xr

    check_names(about, ABOUT, "label_invariant_view")
    key = as_key(seed)
    draws = as_draws(source, **about)
    if draws.params is None or draws.table is None:
        return xr.Dataset(_sorted_variables(draws))
    step = max(1, -(-draws.size * draws.num_components * draws.table.num_rows // MOST_WORK))
    draws = _thinned(draws, step)
    assert draws.params is not None
    assert draws.table is not None
    view = draws.source.invariants if isinstance(draws.source, Posterior) and step == 1 else _moments(draws)
    entropy, occupied = _allocation(draws, key)
    view = view.assign(
        allocation_entropy=(("chain", "draw"), entropy),
        occupied=(("chain", "draw"), occupied),
        num_modes=(("chain", "draw"), count_modes(_gaussians(draws), draws.frame)),
    )
    return view if step == 1 else view.assign_attrs(thinned=f"every {step}th draw, because there are many rows")


def _moments(draws: Draws) -> "xr.Dataset":
    assert draws.params is not None
    assert draws.table is not None
    log_likelihood = replace(draws, recorded=None).log_posteriors
    assert log_likelihood is not None
    log_prior = np.zeros_like(log_likelihood) if draws.recorded is None else draws.recorded - log_likelihood
    view = label_invariant(draws.params, draws.table, draws.frame, log_likelihood, log_prior)
    return view.drop_vars("log_posterior") if draws.recorded is None else view  # the prior is not known


def _thinned(draws: Draws, step: int) -> Draws:
    if step == 1:
        return draws

    def thin(values: Any) -> Any:
        return None if values is None else jax.tree.map(lambda leaf: leaf[:, ::step], values)

    return replace(
        draws, variables=thin(draws.variables), params=thin(draws.params), labels=thin(draws.labels),
        probabilities=thin(draws.probabilities), recorded=thin(draws.recorded),
    )  # fmt: skip


def _allocation(draws: Draws, key: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean entropy of the responsibilities, and the number of components occupied under drawn (or kept) labels.

    Of more than `MOST_ROWS` rows, a random sample gives the entropy. A component that this sample occupies is occupied;
    all rows are drawn only for draws in which it leaves some component empty.
    """
    params, table = draws.params, draws.table
    assert params is not None
    assert table is not None
    rows = choose_rows(table.num_rows, MOST_ROWS, key)
    some = table if rows is None else table.take(rows)
    entropy, held = per_row.entropy_and_occupation(key, params, some, draws.frame)
    held = held[..., : draws.num_gaussians]
    if draws.labels is not None:
        held = np.stack([(draws.labels == k).any(axis=2) for k in range(draws.num_gaussians)], axis=2)
    elif rows is not None and not held.all():
        open_draws = ~held.all(axis=2)
        rest = Params(*(np.asarray(part)[open_draws][None] for part in params))
        held[open_draws] = per_row.entropy_and_occupation(key, rest, table, draws.frame)[1][0, :, : held.shape[-1]]
    return entropy, held.sum(axis=-1)


def _gaussians(draws: Draws) -> Params:
    """θ without the noise, which is flat in its box: the modes of the density are those of the Gaussians."""
    assert draws.params is not None
    weights, means, trils = (np.asarray(part)[:, :, : draws.num_gaussians] for part in draws.params)
    return Params(weights / weights.sum(axis=-1, keepdims=True), means, trils)  # pyright: ignore[reportArgumentType]


def _sorted_variables(draws: Draws) -> dict[str, Any]:
    found: dict[str, Any] = {} if draws.recorded is None else {"log_posterior": (("chain", "draw"), draws.recorded)}
    for name, values in draws.variables.items():
        numbers = np.sort(values.reshape(*draws.shape, draws.num_components, -1), axis=2)
        found[f"sorted_{name}"] = (("chain", "draw", "rank", f"{name}_number"), numbers)
    return found
