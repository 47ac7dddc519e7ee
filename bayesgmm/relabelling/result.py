"""The result of a relabelling: a permutation of the components of each draw, and its ambiguity."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import ArgumentError, DrawsError
from bayesgmm.model.alignment import align
from bayesgmm.model.types import Params
from bayesgmm.numerics.assignment import assign, cost_of, exchange_ratios, inverse, renumber
from bayesgmm.relabelling.allocations import Allocations
from bayesgmm.relabelling.costs import apart_from_noise, disagreement, noise_last
from bayesgmm.relabelling.pivots import partition_of
from bayesgmm.results.convergence import convergence_table
from bayesgmm.results.draws import Draws
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.formatting import as_html, as_text
from bayesgmm.runtime.progress import listening

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

LONG_WORK = 2**24
"""Class probabilities (draw, component, row) from which a bar at the terminal shows the iterations."""
MOST_ITERATIONS = 100
IN_DOUBT = 0.5
"""A draw is in doubt if the exchange of two labels costs less than twice the present cost of these two labels."""


@dataclass(frozen=True, repr=False)
class Relabelling:
    """A common labelling of the components of all draws."""

    method: str
    permutations: np.ndarray
    """Integers (chain, draw, K): component ``permutations[…, k]`` of the draw gets label k."""
    exchange_ratios: np.ndarray
    """Cost of each pair of labels divided by its cost after an exchange of the two, (chain, draw, K, K); 0 to 1."""
    objective: np.ndarray
    """The objective, minimised, after each iteration."""
    draws: Draws
    about: Mapping[str, Any] = field(default_factory=dict)
    """Further results of the method, such as ``non_permutation_rate``."""

    @cached_property
    def ambiguity(self) -> np.ndarray:
        """Largest exchange ratio over pairs of labels, (chain, draw). 0: no doubt; 1: an exchange fits as well."""
        return self.exchange_ratios.max(axis=(-2, -1))

    @property
    def overall_ambiguity(self) -> float:
        """Mean ambiguity over draws."""
        return float(self.ambiguity.mean())

    @property
    def in_doubt(self) -> np.ndarray:
        """Whether the ambiguity of each draw exceeds a half, (chain, draw)."""
        return self.ambiguity > IN_DOUBT

    @property
    def share_in_doubt(self) -> float:
        """Share of draws whose ambiguity exceeds a half."""
        return float(self.in_doubt.mean())

    @cached_property
    def pair_ambiguity(self) -> np.ndarray:
        """Share of draws in doubt about each pair of labels, (K, K)."""
        return (self.exchange_ratios > IN_DOUBT).mean(axis=(0, 1))

    @property
    def num_switches(self) -> int:
        """Number of times that the permutation changes from one draw of a chain to the next."""
        return int((np.diff(self.permutations, axis=1) != 0).any(axis=2).sum())

    @cached_property
    def variables(self) -> dict[str, np.ndarray]:
        """Every variable that has components, relabelled, (chain, draw, component, …)."""
        return self.draws.renumbered(self.permutations)

    @cached_property
    def posterior(self) -> Posterior:
        """The relabelled `Posterior`, if the draws come from one. The original does not change.

        Raises
        ------
        DrawsError
            If the draws do not come from a `Posterior`; use `datatree`.
        """
        source = self.draws.source
        if not isinstance(source, Posterior):
            raise DrawsError("These draws do not come from an engine of bayesgmm. Use .datatree instead of .posterior.")
        params = Params(*(renumber(np.asarray(part), self.permutations, 2) for part in source.params))
        means = Params(*(np.asarray(part).mean(axis=(0, 1)) for part in (*params[:2], params.covariances)))
        usual, among = Params.of(*means), source.model.interchangeable
        reference = Params(*(part[align(source.reference, usual, among)] for part in source.reference))
        permutations = np.take_along_axis(source.permutations, self.permutations, axis=2)
        return replace(source, params=params, reference=reference, permutations=permutations)

    @cached_property
    def datatree(self) -> "xr.DataTree":
        """The relabelled DataTree: a copy in which every variable that has components is relabelled.

        A variable of the tree that holds labels of rows is not relabelled; `labels` is.
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
        """Relabelled classes of the rows, (chain, draw, N), if labels were given."""
        if self.draws.labels is None:
            return None
        return np.take_along_axis(np.argsort(self.permutations, axis=2), self.draws.labels.astype(int), axis=2)

    @cached_property
    def convergence(self) -> "pd.DataFrame":
        """Mean, sd, R-hat and ESS of the parameters of each component. Read label-invariant quantities first."""
        import xarray as xr

        arrays = {}
        for name, values in self.variables.items():
            if name != "covariances":
                arrays[name] = (
                    ["chain", "draw", "component", *(f"{name}_{i}" for i in range(values.ndim - 3))],
                    values,
                )
        dataset = xr.Dataset(arrays)
        table = convergence_table(dataset.assign_coords({dim: range(size) for dim, size in dataset.sizes.items()}))
        noise = [f"[{k}, " for k in range(self.draws.num_gaussians, self.draws.num_components)]
        return table.loc[[not any(part in name for part in noise) for name in table.index], :]  # but for its weight

    def summary(self) -> "pd.DataFrame":
        """Mean ± sd of the parameters of each component, with R-hat and ESS; see `convergence`."""
        return self.convergence

    def _title(self) -> str:
        chains, draws = self.draws.shape
        rate = self.about.get("non_permutation_rate")
        rate = "" if rate is None else f", non-permutation rate {rate:.3f}"
        noise = " and noise" * (self.draws.num_gaussians < self.draws.num_components)
        return (
            f"{self.method}: {self.draws.num_gaussians} components{noise}, {chains} chains × {draws} draws; mean "
            f"ambiguity {self.overall_ambiguity:.3f}, {self.share_in_doubt:.1%} of draws in doubt{rate}"
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
    """Alternate costs under the current permutations and the cheapest permutations until neither changes."""
    partition = partition_of(None, draws, allocations, least=0)
    permutations = assign(apart_from_noise(disagreement(allocations, partition), draws))
    objective: list[float] = []
    quick = draws.size * draws.num_components * allocations.num_rows < LONG_WORK
    with listening(False if quick else None) as listener:
        while True:
            costs = apart_from_noise(costs_of(permutations), draws)
            objective.append(float(cost_of(costs, permutations).sum()))
            listener("relabel", len(objective), MOST_ITERATIONS, f"{method}, cost {objective[-1]:.6g}")
            better = assign(costs)
            # Permutations of equal cost (two equal components) must not alternate for ever.
            stays = cost_of(costs, better) >= cost_of(costs, permutations) * (1.0 - 1e-12)
            better[stays] = permutations[stays]
            if stays.all() or len(objective) == MOST_ITERATIONS:
                listener("relabel", len(objective), len(objective), f"{method}, cost {objective[-1]:.6g}")
                return relabelling_from(draws, method, costs, permutations, objective=objective)
            permutations = better


WHOSE = {"prior": "the prior's", "labels": "class k", "fixed": "the one that holds them"}
"""What component k is in every draw, by what tells the components apart."""


def told_apart(source: Any) -> bool:
    """Whether something known of a posterior, or of the tree made of it, numbers the components; others do not say."""
    return numbering_of(source) in WHOSE


def refuse_told_apart(source: Any) -> None:
    """Refuse to relabel draws of which something known numbers the components."""
    if not told_apart(source):
        return
    numbering = str(numbering_of(source))
    by = {"labels": "A known class of some rows tells", "fixed": "Held parameters tell"}
    raise ArgumentError(
        f"{by.get(numbering, 'The prior of these draws tells')} the components apart: component k is "
        f"{WHOSE[numbering]} in every draw. A relabelling would mix them. Read the draws as they are."
    )


def numbering_of(source: Any) -> str | None:
    """What the components are numbered by (``Model.numbering``); None if the draws do not say."""
    if isinstance(source, Posterior):
        return source.model.numbering
    return getattr(source, "attrs", {}).get("numbering")


def as_numbered(draws: Draws) -> Relabelling:
    """The numbering that the draws have, as a relabelling without any doubt."""
    shape, num = draws.shape, draws.num_components
    identity = np.broadcast_to(np.arange(num), (*shape, num))
    return Relabelling("as numbered", identity, np.zeros((*shape, num, num)), np.zeros(1), draws)


def relabelling_from(
    draws: Draws,
    method: str,
    costs: np.ndarray,
    permutations: np.ndarray | None = None,
    *,
    given: bool = False,
    objective: list[float] | None = None,
    about: dict[str, Any] | None = None,
) -> Relabelling:
    """The cheapest permutations. Labels are sorted by `_order` unless the pivot fixes them."""
    costs = apart_from_noise(costs, draws)
    permutations = assign(costs) if permutations is None else permutations
    objective = [float(cost_of(costs, permutations).sum())] if objective is None else objective
    about = dict(about or {})
    permutations = _settled(draws, costs, permutations)
    if not given:
        order = _order(draws, permutations)
        costs, permutations = costs[:, order], permutations[:, order]
        if "pivot" in about:
            about["pivot"] = inverse(order)[about["pivot"]]
        permutations = _settled(draws, costs, permutations)
    return result_of(draws, method, costs, permutations, objective, about)


def _settled(draws: Draws, costs: np.ndarray, permutations: np.ndarray) -> np.ndarray:
    """Of the permutations of equal cost, that with increasing first parameters: a tie must not keep the numbering."""
    num = draws.num_components
    tied = np.flatnonzero((exchange_ratios(costs, permutations) == 1.0).any(axis=(1, 2)))
    if not len(tied):
        return permutations
    ranks = _first_parameter(draws)[tied].argsort(axis=1).argsort(axis=1)
    small = costs[tied] - 0.25 / num**3 * np.arange(num)[:, None] * ranks[:, None, :]
    found, same = assign(small), permutations.copy()
    equal = cost_of(costs[tied], found) <= cost_of(costs[tied], permutations[tied])
    same[tied[equal]] = found[equal]
    return same


def result_of(
    draws: Draws, method: str, costs: np.ndarray, permutations: np.ndarray, objective: list[float], about: Any = None
) -> Relabelling:
    """A `Relabelling` by chains, from the costs and permutations of the concatenated draws."""

    def by_chain(values: np.ndarray) -> np.ndarray:
        return values.reshape(*draws.shape, *values.shape[1:])

    ratios = exchange_ratios(costs, permutations)
    return Relabelling(method, by_chain(permutations), by_chain(ratios), np.asarray(objective), draws, about or {})


def _order(draws: Draws, permutations: np.ndarray) -> np.ndarray:
    """Order of the labels by the mean of the first number of ``means``, or of the first variable."""
    first = _first_parameter(draws)
    return np.argsort(noise_last(np.take_along_axis(first, permutations, axis=1).mean(axis=0), draws), kind="stable")


def _first_parameter(draws: Draws) -> np.ndarray:
    """The first number of ``means``, or of the first variable, (draw, component)."""
    if draws.params is not None:
        return np.asarray(draws.params.means)[..., 0].reshape(draws.size, -1)
    return draws.flat(draws.means_name or next(iter(draws.variables)))[:, :, 0]
