"""What a relabelling leaves: one name for each component of each draw, and how far it may be believed."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import DrawsError
from bayesgmm.model.alignment import align
from bayesgmm.model.types import Params
from bayesgmm.numerics.assignment import assign, cost_of, exchange_ratios, inverse, renumber
from bayesgmm.relabelling.allocations import Allocations
from bayesgmm.relabelling.costs import disagreement
from bayesgmm.relabelling.pivots import partition_of
from bayesgmm.results.convergence import convergence_table
from bayesgmm.results.draws import Draws
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.formatting import as_html, as_text

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MOST_ITERATIONS = 100
IN_DOUBT = 0.5
"""A draw is in doubt if an exchange of two names would cost at most twice what its naming costs."""


@dataclass(frozen=True, repr=False)
class Relabelling:
    """A common naming of the components of all draws."""

    method: str
    permutations: np.ndarray
    """Integers (chain, draw, K): component ``permutations[…, k]`` of the draw is called k."""
    exchange_ratios: np.ndarray
    """For each draw and pair of names, (chain, draw, K, K): the cost of the naming over that of exchanging the two, 0 to 1."""
    objective: np.ndarray
    """What was minimised, after each iteration."""
    draws: Draws
    about: Mapping[str, Any] = field(default_factory=dict)
    """What else the method found, such as ``non_permutation_rate``."""

    @property
    def ambiguity(self) -> np.ndarray:
        """Of each draw, (chain, draw): the largest ratio over pairs of names. 0: no doubt; 1: an exchange fits as well."""
        return self.exchange_ratios.max(axis=(-2, -1))

    @property
    def overall_ambiguity(self) -> float:
        """Mean ambiguity over draws."""
        return float(self.ambiguity.mean())

    @property
    def share_in_doubt(self) -> float:
        """Share of draws whose ambiguity exceeds a half."""
        return float((self.ambiguity > IN_DOUBT).mean())

    @property
    def pair_ambiguity(self) -> np.ndarray:
        """For each pair of names, (K, K): the share of draws in which an exchange of the two is in doubt."""
        return (self.exchange_ratios > IN_DOUBT).mean(axis=(0, 1))

    @property
    def num_switches(self) -> int:
        """Times that the naming changed from one draw of a chain to the next."""
        return int((np.diff(self.permutations, axis=1) != 0).any(axis=2).sum())

    @cached_property
    def variables(self) -> dict[str, np.ndarray]:
        """Every variable that has components, in the common naming, (chain, draw, component, …)."""
        return self.draws.renumbered(self.permutations)

    @cached_property
    def posterior(self) -> Posterior:
        """The relabelled `Posterior`, where the draws came from one; the old one is as it was.

        Raises
        ------
        DrawsError
            If the draws came from elsewhere; use `datatree`.
        """
        source = self.draws.source
        if not isinstance(source, Posterior):
            raise DrawsError("These draws come from no engine of bayesgmm. Their relabelled DataTree is .datatree.")
        params = Params(*(renumber(np.asarray(part), self.permutations, 2) for part in source.params))
        means = Params(*(np.asarray(part).mean(axis=(0, 1)) for part in (*params[:2], params.covariances)))
        usual = Params.of(*means)
        reference = Params(*(part[align(source.reference, usual)] for part in source.reference))
        permutations = np.take_along_axis(source.permutations, self.permutations, axis=2)
        return replace(source, params=params, reference=reference, permutations=permutations)

    @cached_property
    def datatree(self) -> "xr.DataTree":
        """The relabelled DataTree: a copy, in which every variable that has components is in the common naming.

        Labels of rows that were named as a variable of the tree are not renamed; `labels` are.
        """
        import xarray as xr

        source, dim = self.draws.source, self.draws.component_dim
        if isinstance(source, Posterior):
            return self.posterior.datatree
        if source is None:
            dims = {
                name: ["component", *(f"{name}_dim_{i}" for i in range(v.ndim - 3))]
                for name, v in self.variables.items()
            }
            arrays = {name: (["chain", "draw", *dims[name]], values) for name, values in self.variables.items()}
            return xr.DataTree.from_dict({"posterior": xr.Dataset(arrays)})
        tree = source.copy(deep=True)
        for group in ("posterior", "sample_stats"):
            if group in tree.children:
                tree[group] = xr.DataTree(_renamed(tree[group].to_dataset(), dim, self.permutations))
        return tree

    @property
    def labels(self) -> np.ndarray | None:
        """The rows' classes in the common naming, (chain, draw, N), where labels were handed in."""
        if self.draws.labels is None:
            return None
        return np.take_along_axis(np.argsort(self.permutations, axis=2), self.draws.labels.astype(int), axis=2)

    @cached_property
    def convergence(self) -> "pd.DataFrame":
        """Mean, sd, R-hat and ESS of each component's parameters: to be read after the label-invariant ones."""
        import xarray as xr

        arrays = {}
        for name, values in self.variables.items():
            if name != "covariances":
                arrays[name] = (
                    ["chain", "draw", "component", *(f"{name}_{i}" for i in range(values.ndim - 3))],
                    values,
                )
        dataset = xr.Dataset(arrays)
        return convergence_table(dataset.assign_coords({dim: range(size) for dim, size in dataset.sizes.items()}))

    def summary(self) -> "pd.DataFrame":
        """Mean ± sd of each component's parameters, with R-hat and ESS; see `convergence`."""
        return self.convergence

    def _title(self) -> str:
        chains, draws = self.draws.shape
        rate = self.about.get("non_permutation_rate")
        told = "" if rate is None else f", non-permutation rate {rate:.3f}"
        return (
            f"{self.method}: {self.draws.num_components} components, {chains} chains × {draws} draws; mean ambiguity "
            f"{self.overall_ambiguity:.3f}, {self.share_in_doubt:.1%} of draws in doubt{told}"
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.summary())


def _renamed(dataset: "xr.Dataset", dim: str, permutations: np.ndarray) -> "xr.Dataset":
    changed = {}
    for name, array in dataset.data_vars.items():
        if {"chain", "draw", dim} <= set(array.dims):
            front = array.transpose("chain", "draw", dim, ...)
            changed[name] = front.copy(data=renumber(front.values, permutations, 2)).transpose(*array.dims)
    return dataset.assign(changed)


def iterate(
    draws: Draws, method: str, allocations: Allocations, costs_of: Callable[[np.ndarray], np.ndarray]
) -> Relabelling:
    """Costs under the present naming, and the naming that is cheapest under these costs, in turn until neither changes."""
    partition = partition_of(None, draws, allocations, least=0)
    permutations = assign(disagreement(allocations, partition))
    objective: list[float] = []
    while True:
        costs = costs_of(permutations)
        objective.append(float(cost_of(costs, permutations).sum()))
        better = assign(costs)
        # Namings that cost the same (two components alike) must not take turns for ever.
        stays = cost_of(costs, better) >= cost_of(costs, permutations) * (1.0 - 1e-12)
        better[stays] = permutations[stays]
        if stays.all() or len(objective) == MOST_ITERATIONS:
            return name_by(draws, method, costs, permutations, objective=objective)
        permutations = better


def name_by(
    draws: Draws,
    method: str,
    costs: np.ndarray,
    permutations: np.ndarray | None = None,
    *,
    given: bool = False,
    objective: list[float] | None = None,
    about: dict[str, Any] | None = None,
) -> Relabelling:
    """The cheapest naming, its names in order unless they were given."""
    permutations = assign(costs) if permutations is None else permutations
    objective = [float(cost_of(costs, permutations).sum())] if objective is None else objective
    about = dict(about or {})
    if not given:
        order = _order(draws, permutations)
        costs, permutations = costs[:, order], permutations[:, order]
        if "pivot" in about:
            about["pivot"] = inverse(order)[about["pivot"]]
    return result_of(draws, method, costs, permutations, objective, about)


def result_of(
    draws: Draws, method: str, costs: np.ndarray, permutations: np.ndarray, objective: list[float], about: Any = None
) -> Relabelling:
    """Costs and a naming of all draws in one line, as a `Relabelling` by chains."""

    def by_chain(values: np.ndarray) -> np.ndarray:
        return values.reshape(*draws.shape, *values.shape[1:])

    ratios = exchange_ratios(costs, permutations)
    return Relabelling(method, by_chain(permutations), by_chain(ratios), np.asarray(objective), draws, about or {})


def _order(draws: Draws, permutations: np.ndarray) -> np.ndarray:
    """Names by the mean of the first number of ``means``, or of the first variable."""
    if draws.params is not None:
        first = draws.params.means[..., 0].reshape(draws.size, -1)
    else:
        first = draws.flat(draws.means_name or next(iter(draws.variables)))[:, :, 0]
    return np.argsort(np.take_along_axis(first, permutations, axis=1).mean(axis=0), kind="stable")
