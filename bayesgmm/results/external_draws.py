"""Draws made by other software: variables as arrays, and θ from the names of variables."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import DrawsError
from bayesgmm.model.types import Params

if TYPE_CHECKING:
    import xarray as xr

SPREADS = ("covariances", "scale_trils", "variances", "sds")
"""Forms in which draws may hold Σ_k: matrices, Cholesky factors, variances, or standard deviations."""


def from_dataset(dataset: "xr.Dataset", component_dim: str) -> dict[str, np.ndarray]:
    """Every variable with the dimensions chain, draw and component, transposed to this order; others follow."""
    found = {
        str(name): array.transpose("chain", "draw", component_dim, ...).values
        for name, array in dataset.data_vars.items()
        if {"chain", "draw", component_dim} <= set(array.dims)
    }
    if not found:
        listing = "; ".join(f"{name}{list(map(str, array.dims))}" for name, array in dataset.data_vars.items())
        raise DrawsError(
            f"No variable has the dimensions chain, draw and {component_dim!r}. The variables are: {listing}. Give the "
            "name of the component dimension as component_dim=."
        )
    return found


def as_chains(name: str, values: Any) -> np.ndarray:
    """Values as an array (chain, draw, component, …)."""
    try:
        array = np.asarray(values, float)
    except (TypeError, ValueError):
        lengths = [len(chain) for chain in values] if hasattr(values, "__len__") else []
        raise DrawsError(
            f"{name} cannot be read as (chain, draw, component, …): its chains have {lengths} draws. Cut them to "
            "one length."
        ) from None
    if array.ndim < 3:
        raise DrawsError(f"{name} has shape {array.shape}; it must be (chain, draw, component, …).")
    return array


def observed(tree: "xr.DataTree") -> Table | None:
    """The data, if ``observed_data`` holds exactly one variable, and it is numeric with 1 or 2 dimensions."""
    if "observed_data" not in tree.children:
        return None
    arrays = list(tree["observed_data"].to_dataset().data_vars.values())
    usable = [array for array in arrays if array.ndim in (1, 2) and array.dtype.kind in "iuf"]
    return as_table(usable[0]) if len(arrays) == len(usable) == 1 else None


def params_of(variables: dict[str, np.ndarray], names: dict[str, str]) -> Params | None:
    """θ from the names of the variables; None if a part of it is missing."""
    found = {ours: variables.get(names.get(ours, ours)) for ours in ("weights", "means", *SPREADS)}
    weights, means = found["weights"], found["means"]
    spread = next((name for name in SPREADS if found[name] is not None), None)
    if weights is None or means is None or spread is None or weights.ndim != 3:
        return None
    means = means.reshape(*weights.shape, -1)
    values, dim = np.asarray(found[spread], float), means.shape[-1]
    name = names.get(spread, spread)
    if weights.min() < 0.0 or np.abs(weights.sum(axis=2) - 1.0).max() > 1e-4:
        raise DrawsError(
            f"{names.get('weights', 'weights')} must be at least 0 and sum to 1 over components in each draw."
        )
    each = (1, dim) if spread in ("variances", "sds") else (dim**2,)
    if values.size // weights.size not in each:
        raise DrawsError(
            f"{name} holds {values.size // weights.size} numbers for each component; with {dim} features {spread} must "
            f"hold {' or '.join(map(str, dict.fromkeys(each)))}. Say in names which of {', '.join(SPREADS)} it is."
        )
    if spread in ("variances", "sds"):
        if values.min() <= 0.0:
            raise DrawsError(f"{name} must be above 0, but its smallest value is {values.min():.3g}.")
        sds = np.sqrt(values) if spread == "variances" else values
        # One number per component is a spherical covariance.
        trils = sds.reshape(*weights.shape, -1, 1) * np.eye(dim)
    elif spread == "scale_trils":
        trils = values.reshape(*weights.shape, dim, dim)
    else:
        try:
            trils = np.linalg.cholesky(values.reshape(*weights.shape, dim, dim))
        except np.linalg.LinAlgError:
            raise DrawsError(
                f"{name} has a matrix that is not positive definite, so it is not a covariance. If these are "
                "precisions, invert them. If they are Cholesky factors, give them as scale_trils in names."
            ) from None
    return Params(weights, means, trils)  # pyright: ignore[reportArgumentType]
