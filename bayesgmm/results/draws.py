"""Draws of a mixture in one format: from our samplers, or from any DataTree with a component dimension."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.order import in_order
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import ArgumentError, DrawsError
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.assignment import renumber
from bayesgmm.results.external_draws import (
    as_chains,
    check_values,
    checked_names,
    data_of,
    features_of,
    from_dataset,
    no_draws,
    per_draw,
    recorded_density,
    refuse_about,
    refuse_tree,
    with_component_dim,
)
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.theta_of_draws import is_simplex, params_of
from bayesgmm.results.usual_names import draws_in, usual_names
from bayesgmm.runtime.checks import shown
from bayesgmm.sweep.per_row import log_densities

if TYPE_CHECKING:
    import xarray as xr

ABOUT = ("component_dim", "names", "x", "labels", "probabilities")
"""Arguments of `as_draws` about the draws, which other functions pass on."""


@dataclass(frozen=True)
class Draws:
    """Draws with leading axes (chain, draw), before a common relabelling."""

    variables: dict[str, np.ndarray]
    """Every variable that has components, (chain, draw, component, …)."""
    params: Params | None
    """θ, if weights, means and covariances are available."""
    table: Table | None
    """The data, if known."""
    labels: np.ndarray | None
    """Component of each row in each draw, (chain, draw, N), if stored."""
    probabilities: np.ndarray | None
    """Responsibilities ``p(z_n = k | θ, x)`` of each draw, (chain, draw, N, K), if given."""
    recorded: np.ndarray | None
    """Log posterior density of each draw, if recorded."""
    source: "Posterior | xr.DataTree | None"
    component_dim: str
    means_name: str | None
    """Name of the variable that holds the means, if there is one."""

    @property
    def shape(self) -> tuple[int, int]:
        """Chains, draws per chain."""
        return next(iter(self.variables.values())).shape[:2]

    @property
    def size(self) -> int:
        """Total number of draws."""
        return self.shape[0] * self.shape[1]

    @property
    def num_components(self) -> int:
        """K; K + 1 with a noise component, the last."""
        return next(iter(self.variables.values())).shape[2]

    @property
    def num_gaussians(self) -> int:
        """The components that may exchange their labels: all but the noise."""
        return self.num_components - (self.table is not None and self.table.noise is not None)

    @property
    def num_rows(self) -> int | None:
        """N, if known."""
        per_row = self.labels if self.labels is not None else self.probabilities
        return per_row.shape[2] if per_row is not None else self.table.num_rows if self.table is not None else None

    @cached_property
    def frame(self) -> Frame:
        """Coordinates in which densities are computed."""
        if isinstance(self.source, Posterior):
            return self.source.frame
        assert self.table is not None
        center, scale = self.table.moments()[0], np.sqrt(np.diagonal(self.table.moments()[1]))
        return Frame.around(center, np.where(scale > 0, scale, 1.0))  # a feature may be constant

    @cached_property
    def log_posteriors(self) -> np.ndarray | None:
        """Log posterior density of each draw, or the log-likelihood if only that is available; None without either."""
        if self.recorded is not None or self.params is None or self.table is None:
            return self.recorded
        size = max(1, 2**24 // self.size)
        parts = [log_densities(self.params, part, self.frame) @ part.counted for part in self.table.parts(size)]
        return np.sum(parts, axis=0)

    def flat(self, name: str) -> np.ndarray:
        """A variable as an array (draw, component, value)."""
        values = self.variables[name]
        return values.reshape(self.size, self.num_components, -1)

    def renumbered(self, permutations: np.ndarray) -> dict[str, np.ndarray]:
        """The relabelled variables: component k is component ``permutations[…, k]`` of the draw."""
        return {name: renumber(values, permutations, 2) for name, values in self.variables.items()}


Source = Any
"""A `Posterior`, DataTree, ``posterior`` Dataset, mapping of arrays (chain, draw, component, …), or `Draws`."""


def as_draws(
    source: Source,
    *,
    component_dim: str = "component",
    names: Mapping[str, str] | None = None,
    x: Any = None,
    labels: Any = None,
    probabilities: Any = None,
    fewest_components: int = 2,
) -> Draws:
    """Read draws of any engine or software.

    Parameters
    ----------
    source
        A `Posterior`; an ArviZ DataTree or its ``posterior`` Dataset, from any software; or a mapping of names to
        arrays (chain, draw, component, …).
    component_dim
        Name of the component dimension in the source. Weights, means and covariances may also have ArviZ's default
        dimensions (``w_dim_0``).
    names
        Names in the source of ``weights``, ``means`` and one of ``covariances``, ``scale_trils``, ``variances``,
        ``sds``, if they differ from these. Methods that use rows compute responsibilities from these variables.
    x
        The data (N, D), if the source has no ``observed_data`` with exactly one variable.
    labels
        Component of each row in each draw: integers (chain, draw, N), from 0 or 1 on, or the name of the variable.
    probabilities
        Responsibilities of each row in each draw, (chain, draw, N, K), or the name of the variable.
    fewest_components
        Smallest number of components allowed; 1 if the caller does not relabel.

    Raises
    ------
    ArgumentError
        If `component_dim`, `names` or `x` are given with a `Posterior`, which holds its own; or `component_dim` with a
        mapping, whose third axis has the components.
    DrawsError
        If there is no such dimension, if there are fewer than `fewest_components` components, if a value is not finite,
        if chains differ in length, if weights or covariances are not valid, if a key of `names` is unknown, or if x has
        other features or rows than the draws.
    """
    if isinstance(source, Draws | Posterior):
        refuse_about(f"a {type(source).__name__}", {"component_dim": component_dim, "names": names, "x": x})
    if isinstance(source, Draws):
        refuse_about("Draws", {"labels": labels, "probabilities": probabilities})
        return source
    if isinstance(source, Posterior):
        params = source.params
        parts = {"weights": params.weights, "means": params.means, "covariances": params.covariances}
        variables = {name: np.asarray(part) for name, part in parts.items()}
        recorded = source.log_likelihood + source.log_prior
        draws = Draws(variables, params, source.table, None, None, recorded, source, "component", "means")
        _check(draws, fewest_components)
    else:
        draws = _read(source, component_dim, checked_names(names), x, fewest_components)
        if x is not None and draws.params is None and labels is None and probabilities is None:
            raise DrawsError(
                f"x has no use without weights, means and covariances. The draws have {', '.join(draws.variables)}. "
                "Say which these are by names=, or leave x= out."
            )
    return _with_rows(draws, labels, probabilities)


def _read(source: Any, component_dim: str, names: dict[str, str], x: Any, fewest_components: int) -> Draws:
    import xarray as xr

    tree, recorded, table = None, None, None if x is None else as_table(x)
    if isinstance(source, xr.Dataset):
        source = xr.DataTree.from_dict({"posterior": source})
    if isinstance(source, xr.DataTree) and not source.children and {"chain", "draw"} <= set(source.dims):
        source = xr.DataTree.from_dict({"posterior": source.to_dataset()})  # the node of that group
    if isinstance(source, xr.DataTree):
        if "posterior" not in source.children:
            raise DrawsError(f"The DataTree has no group posterior, only {', '.join(source.children) or 'none'}.")
        refuse_tree(source)
        dataset = source["posterior"].to_dataset()
        names = names or usual_names(draws_in(dataset))
        posterior = with_component_dim(dataset, component_dim, names)
        variables = from_dataset(posterior, component_dim)
        tree = source.copy()
        tree["posterior"] = xr.DataTree(posterior)
        recorded = recorded_density(source, next(iter(variables.values())).shape[:2])
        table = data_of(source, table)
    elif isinstance(source, Mapping):
        refuse_about("arrays, whose third axis has the components", {"component_dim": component_dim})
        variables = {str(name): as_chains(str(name), values) for name, values in source.items()}
        names = names or usual_names(variables)
    else:
        raise no_draws(source)
    if not variables:
        raise DrawsError("The draws are empty. Give variables as arrays (chain, draw, component, …).")
    for ours, theirs in names.items():
        if theirs not in variables:
            raise DrawsError(f"names maps {ours} to {theirs!r}, but the source has only {', '.join(variables)}.")
    means_name = names.get("means", "means")
    held = means_name if means_name in variables else None
    draws = Draws(variables, None, table, None, None, recorded, tree, component_dim, held)
    _check(draws, fewest_components)
    params = params_of(variables, names)
    if params is not None and table is not None and table.dim != params.means.shape[-1]:
        raise DrawsError(
            f"The data have {table.dim} features ({', '.join(table.features)}), the draws {params.means.shape[-1]}. "
            "Pass the features that were fitted, in their order, as x=."
        )
    if x is not None and table is not None and params is not None and tree is not None:
        draws = replace(draws, table=in_order(table, *features_of(tree["posterior"][means_name], table), "posterior"))
    return replace(draws, params=params)


def _check(draws: Draws, fewest_components: int) -> None:
    for name, values in draws.variables.items():
        if values.shape[:3] != (*draws.shape, draws.num_components):
            raise DrawsError(
                f"{name} has {values.shape[:3]} chains, draws and components, but the first variable has "
                f"{(*draws.shape, draws.num_components)}. All must have the same. Cut chains to one length and "
                "use one K."
            )
        check_values(name, values)
    if draws.num_gaussians < fewest_components:
        raise DrawsError("There is a single component, so labels cannot switch.")


def _with_rows(draws: Draws, labels: Any, probabilities: Any) -> Draws:
    if labels is not None:
        labels = _as_labels(_named_variable(draws, labels), draws)
    if probabilities is not None:
        probabilities = _named_variable(draws, probabilities)
        if probabilities.dtype.kind not in "iuf":
            raise DrawsError(f"probabilities must be numbers, got {probabilities.dtype}.")
        rows = draws.num_rows if labels is None else labels.shape[2]
        rows = probabilities.shape[2] if rows is None and probabilities.ndim == 4 else rows
        if probabilities.shape != (*draws.shape, rows, draws.num_components) or not rows:
            raise DrawsError(
                f"probabilities have shape {probabilities.shape}; expected (chain, draw, N, K), here "
                f"{(*draws.shape, rows or 'N', draws.num_components)}."
            )
        if not np.isfinite(probabilities).all() or not is_simplex(probabilities, 1e-6):
            raise DrawsError("probabilities must be finite, at least 0 and sum to 1 over components.")
        probabilities = probabilities.astype(float)
    return replace(draws, labels=labels, probabilities=probabilities)


def _named_variable(draws: Draws, value: Any) -> np.ndarray:
    if not isinstance(value, str):
        if np.ma.is_masked(value):
            raise DrawsError("Labels or probabilities are masked in some rows. Drop those rows from them and from x.")
        try:
            return np.asarray(value)
        except Exception:  # foreign objects fail in their own ways
            raise DrawsError("Labels or probabilities are no array, or their chains differ in length.") from None
    import xarray as xr

    tree = draws.source
    if isinstance(tree, xr.DataTree):
        return per_draw(tree["posterior"], value)
    raise DrawsError(f"Only a DataTree has variables by name. Give the array itself, not {shown(value)}.")


def _as_labels(values: np.ndarray, draws: Draws) -> np.ndarray:
    rows = None if draws.table is None else draws.table.num_rows
    if values.ndim != 3 or values.shape[:2] != draws.shape or rows not in (None, values.shape[2]) or not values.size:
        expected = (*draws.shape, rows or "N")
        raise DrawsError(f"labels have shape {values.shape}; expected (chain, draw, N), here {expected}.")
    if values.dtype.kind not in "iu":
        raise DrawsError(f"labels must be integers, got {values.dtype}.")
    first = int(values.max() == draws.num_components)  # R and JAGS count from 1
    if values.min() < first or values.max() - first >= draws.num_components:
        raise DrawsError(
            f"labels run from {values.min()} to {values.max()}; expected 0 to {draws.num_components - 1}, or 1 to "
            f"{draws.num_components}."
        )
    if draws.num_components > 256:
        raise ArgumentError("More than 256 components cannot be relabelled by their rows.")
    return (values - first).astype(np.uint8)
