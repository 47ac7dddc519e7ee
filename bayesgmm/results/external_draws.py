"""Draws made by other software: variables as arrays, and θ from the names of variables."""

import shlex
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from os import PathLike, fspath
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.noise import noise_from
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import ArgumentError, DrawsError
from bayesgmm.numerics.arrays import LARGEST
from bayesgmm.results.theta_of_draws import SPREADS
from bayesgmm.runtime.checks import shown

if TYPE_CHECKING:
    import xarray as xr


def checked_names(names: Any) -> dict[str, str]:
    """The argument ``names``: names in the source of the parameters.

    Raises
    ------
    DrawsError
        If a key is not one of a parameter, two forms of the covariances are named, or two parameters have one name.
    """
    known = ("weights", "means", *SPREADS)
    if names is not None and not isinstance(names, Mapping):
        raise DrawsError(f"names must map {', '.join(known)} to names in the draws, got {type(names).__name__}.")
    names = dict(names or {})
    unknown = [str(key) for key in names if not isinstance(key, str) or key not in known]
    if unknown:
        close = get_close_matches(unknown[0], known, 1)
        hint = f"Did you mean {close[0]}? " if close else ""
        raise DrawsError(f"names has the key {', '.join(unknown)}. {hint}The keys are {', '.join(known)}.")
    wrong = next((value for value in names.values() if not isinstance(value, str)), None)
    if wrong is not None:
        raise DrawsError(f"names must map to names in the draws, got {shown(wrong)}.")
    roles = {value: [ours for ours in names if names[ours] == value] for value in names.values()}
    twice = next((value for value, ours in roles.items() if len(ours) > 1), None)
    if twice is not None:
        raise DrawsError(f"names maps {' and '.join(roles[twice])} to one variable, {twice}. Give each its own.")
    if len(names.keys() & set(SPREADS)) > 1:
        raise DrawsError(f"names must have one of {', '.join(SPREADS)}, got {', '.join(names)}.")
    return names


def no_draws(source: Any) -> DrawsError:
    """The error for an object that is not draws."""
    if isinstance(source, str | PathLike):
        path = fspath(source)
        return DrawsError(
            f"{shown(path)} is a path, not draws. Pass xarray.load_datatree({path!r}), or run: "
            f"bayesgmm diagnose {shlex.quote(str(path))}"
        )
    if hasattr(source, "num_clusters") and hasattr(source, "at"):
        return DrawsError(
            "The draws of sample_telescoping differ in their number of components. Use those with one number of "
            "clusters: at(), or at(num_clusters)."
        )
    return DrawsError(
        f"Draws must be a Posterior, an ArviZ DataTree or a mapping of arrays, got {type(source).__name__}. An EM fit "
        "has no draws. Use sample_gibbs or sample_nuts."
    )


def with_component_dim(dataset: "xr.Dataset", component_dim: str, names: dict[str, str]) -> "xr.Dataset":
    """The dataset, in which weights, means and covariances with ArviZ's default dims (``w_dim_0``) share one."""
    if not isinstance(component_dim, str) or component_dim in ("chain", "draw"):
        raise DrawsError(f"component_dim must name the dimension of the components, got {shown(component_dim)}.")
    if component_dim != "component" and component_dim not in dataset.dims:
        others = ", ".join(str(dim) for dim in dataset.dims if dim not in ("chain", "draw"))
        raise DrawsError(
            f"component_dim: the draws have no dimension {component_dim!r}; besides chain and draw they have {others}."
        )
    for name in [names.get(ours, ours) for ours in ("weights", "means", *SPREADS)]:
        if name not in dataset.data_vars:
            continue
        array, default = dataset[name], f"{name}_dim_0"
        if component_dim in array.dims or default not in array.dims:
            continue
        if dataset.sizes.get(component_dim, array.sizes[default]) != array.sizes[default]:
            raise DrawsError(
                f"{name} has {array.sizes[default]} components along {default}, but {component_dim} has size "
                f"{dataset.sizes[component_dim]}. Say which dimension is that of the components by component_dim=."
            )
        array = array.drop_vars(default, errors="ignore").rename({default: component_dim})
        dataset = dataset.drop_vars(name).assign({name: array})
    return dataset


def refuse_tree(tree: "xr.DataTree") -> None:
    """Refuse the tree of a point fit, which has the shape of one draw, and of draws that differ in their K."""
    if "max_components" in tree.attrs:
        raise DrawsError(
            "The draws of this file differ in their number of components (sample_telescoping). Save the result itself "
            "(bayesgmm.save, or bayesgmm telescoping --save FILE.nc): bayesgmm.diagnose reads that, and its at() gives "
            "draws of one number of clusters."
        )
    if tree.attrs.get("status") and tree.attrs.get("engine"):
        raise DrawsError(
            f"This is a point fit ({tree.attrs['engine']}), which has no draws. Sample with sample_gibbs or "
            "sample_nuts; fit.intervals() says how sure an estimate is."
        )


def from_dataset(dataset: "xr.Dataset", component_dim: str) -> dict[str, np.ndarray]:
    """Every variable with the dimensions chain, draw and component, transposed to this order; others follow."""
    found = {
        str(name): as_chains(str(name), array.transpose("chain", "draw", component_dim, ...).values)
        for name, array in dataset.data_vars.items()
        if {"chain", "draw", component_dim} <= set(array.dims)
    }
    if not found:
        listing = "; ".join(f"{name}{list(map(str, array.dims))}" for name, array in dataset.data_vars.items())
        raise DrawsError(
            f"No variable has the dimensions chain, draw and {component_dim!r}. The variables are: {listing or 'none'}."
            " Give the name of the component dimension as component_dim=, and with ArviZ's default dimensions the "
            "names of the variables as names=."
        )
    return found


def as_chains(name: str, values: Any) -> np.ndarray:
    """Values as an array (chain, draw, component, …) of doubles; masked values become NaN."""
    try:
        array = values if isinstance(values, np.ma.MaskedArray) else np.asarray(values)
    except Exception:  # foreign objects fail in their own ways
        lengths = [len(chain) for chain in values if hasattr(chain, "__len__")] if isinstance(values, list) else []
        if not lengths:
            raise DrawsError(f"{name} is no array (chain, draw, component, …), got {shown(values)}.") from None
        raise DrawsError(
            f"{name} cannot be read as (chain, draw, component, …): its chains have {lengths} draws. Cut them to "
            "one length."
        ) from None
    if array.dtype.kind not in "iufb":
        raise DrawsError(
            f"{name} has values of type {array.dtype}, which are no draws. Drop it, or convert it to floats."
        )
    array = np.ma.filled(array.astype(float), np.nan)
    if array.ndim < 3:
        raise DrawsError(f"{name} has shape {array.shape}; it must be (chain, draw, component, …).")
    if array.size == 0:
        raise DrawsError(f"{name} has shape {array.shape}, so it is empty. Are chains or draws missing?")
    return array


def per_draw(posterior: Any, name: str) -> np.ndarray:
    """A variable of the group posterior as an array (chain, draw, …)."""
    if name not in getattr(posterior, "data_vars", ()):
        raise DrawsError(f"The draws have no variable {shown(name)} in the group posterior.")
    array = posterior[name]
    if not {"chain", "draw"} <= set(array.dims):
        raise DrawsError(
            f"{name} has dimensions {', '.join(map(str, array.dims)) or 'none'}; expected chain, draw and one for rows."
        )
    return array.transpose("chain", "draw", ...).values


def recorded_density(tree: "xr.DataTree", shape: tuple[int, int]) -> np.ndarray | None:
    """``lp`` of the group sample_stats, one finite number a draw, or None without it."""
    stats = tree["sample_stats"].to_dataset() if "sample_stats" in tree.children else {}
    if "lp" not in stats:
        return None
    lp = stats["lp"]
    if set(lp.dims) != {"chain", "draw"} or lp.transpose("chain", "draw").shape != shape or lp.dtype.kind not in "iuf":
        raise DrawsError(
            f"sample_stats has lp with dimensions {dict(lp.sizes)} of {lp.dtype}; expected one number for each of "
            f"{shape[0]} chains and {shape[1]} draws. Drop lp from sample_stats, or cut both groups to the same draws."
        )
    values = lp.transpose("chain", "draw").values.astype(float)
    if not np.isfinite(values).all():
        bad = int((~np.isfinite(values)).sum())
        raise DrawsError(f"lp in sample_stats is not finite in {bad} of {values.size} draws. Drop those draws, or lp.")
    return values


def check_values(name: str, values: np.ndarray) -> None:
    """Refuse draws (chain, draw, …) that are not finite, or too large to square."""
    bad = ~np.isfinite(values.reshape(*values.shape[:2], -1)).all(axis=2)
    if bad.any():
        chain, draw = np.argwhere(bad)[0]
        tail = " to its end: was that chain shorter?" if bad[chain, draw:].all() else "."
        raise DrawsError(
            f"{name} is not finite in {bad.sum()} of {bad.size} draws, first in chain {chain} from draw "
            f"{draw}{tail} Drop those draws, and cut all chains to one length."
        )
    if np.abs(values).max(initial=0.0) >= LARGEST:
        raise DrawsError(f"{name} has values of {LARGEST:g} or more, whose squares exceed double precision.")


def observed(tree: "xr.DataTree") -> Table | None:
    """The data, if ``observed_data`` holds exactly one variable, and it is numeric with 1 or 2 dimensions."""
    if "observed_data" not in tree.children:
        return None
    arrays = list(tree["observed_data"].to_dataset().data_vars.values())
    usable = [array for array in arrays if array.ndim in (1, 2) and array.dtype.kind in "iuf"]
    if not len(arrays) == len(usable) == 1:
        return None
    table = as_table(usable[0])
    counted = table.features == tuple(map(str, range(table.dim)))  # ArviZ's default coordinates are no names
    return _with_noise(as_table(table.values) if counted else table, tree)


def _with_noise(table: Table, tree: "xr.DataTree") -> Table:
    """The data with the noise component that the tree has, if it has one and the data do not."""
    return replace(table, noise=noise_from(tree.attrs)) if table.noise is None else table


def data_of(tree: "xr.DataTree", given: Table | None) -> Table | None:
    """The data as given, or those of the tree, which must not differ."""
    held = tree["observed_data"].to_dataset() if "observed_data" in tree.children else {}
    rows = {held[name].shape[0] for name in held if held[name].ndim}
    if given is not None and len(rows) == 1 and given.num_rows not in rows:
        raise DrawsError(
            f"The data have {given.num_rows} rows, but the group observed_data of the draws has {rows.pop()}. Pass the "
            "data that were fitted."
        )
    own, given = observed(tree), None if given is None else _with_noise(given, tree)
    if given is None or own is None:
        return own if given is None else given
    if given.values.shape != own.values.shape or not np.allclose(given.values, own.values, rtol=1e-5):
        raise DrawsError(
            "The draws have their own data in the group observed_data, and x= differs from them. Leave x= out, or "
            "drop that group if the draws are of other data."
        )
    return given


def features_of(means: Any, table: Table) -> tuple[tuple[str, ...], bool]:
    """The names of the features from the coordinates of the means' last dimension, and whether they are a user's."""
    dim = means.dims[-1]
    labels = means.coords[dim].values.tolist() if dim in means.coords else []
    if len(labels) != table.dim or not all(isinstance(label, str) for label in labels):
        return table.features, False
    return tuple(labels), labels != [f"x{d}" for d in range(table.dim)]


def refuse_about(source: str, about: Mapping[str, Any]) -> None:
    """Refuse arguments of `as_draws` that have no use with this source, unless they have the values of its defaults."""
    for name, value in about.items():
        if name == "component_dim":
            default = isinstance(value, str) and value == "component"
        else:
            default = value is None or (name == "names" and isinstance(value, Mapping) and not value)
        if not default:
            raise ArgumentError(f"{name} is about draws of other software; it has no use with {source}. Leave it out.")
