"""Diagnosis of draws: a verdict in words, and the numbers behind it."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from bayesgmm.diagnosis.chain_groups import group_chains, separations, stacking_weights
from bayesgmm.diagnosis.judged import Judged
from bayesgmm.diagnosis.label_invariant_view import label_invariant_view
from bayesgmm.diagnosis.missed_modes import MissedMode, find_missed_mode
from bayesgmm.diagnosis.number_of_components import NumberDiagnosis, diagnose_number
from bayesgmm.diagnosis.run_facts import run_facts
from bayesgmm.diagnosis.words import words
from bayesgmm.numerics.importance import GOOD_K
from bayesgmm.numerics.mixing import COUNTS, FEWEST_DRAWS, UNKNOWN, UNMIXED
from bayesgmm.priors.stick_breaking import StickBreaking
from bayesgmm.relabelling import methods as relabelling
from bayesgmm.relabelling.result import Relabelling, as_numbered, told_apart
from bayesgmm.results.convergence import largest_rhat
from bayesgmm.results.draws import ABOUT, Draws, Source, as_draws
from bayesgmm.results.external_draws import refuse_about
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.telescoping_posterior import TelescopingPosterior
from bayesgmm.runtime.arguments import as_key, check_flag, check_names

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MOST_ROWS = 2000
"""Most rows that are used to relabel the draws; more rows do not improve the relabelling."""


@dataclass(frozen=True, repr=False)
class Diagnosis(Judged):
    """Result of `diagnose`: what the draws support, and what they do not."""

    name: str
    view: "xr.Dataset"
    """Label-invariant quantities; see `label_invariant_view`."""
    relabelling: Relabelling
    permutations: np.ndarray
    """Permutation that relabels each draw of the engine, (chain, draw, K)."""
    groups: tuple[tuple[int, ...], ...]
    """Chains in the same mode, the largest group first."""
    separation: np.ndarray
    """Distances between chains, (chain, chain), in standard deviations within chains."""
    drift: np.ndarray
    """Distance between the two halves of each chain, (chain,), in the same unit."""
    stacking: np.ndarray
    """Stacking weight of each group; not its share of the posterior."""
    missed: MissedMode | None
    """A mode that EM finds and no chain reached; None without a search, or if the search finds none."""
    searched: bool
    """Whether EM searched for missed modes."""
    num_divergences: int
    smallest_bfmi: float
    pareto_k: float | None
    """Pareto k-hat of the draws of an approximation; None for chains."""

    @property
    def component_rhat(self) -> float:
        """Largest R-hat over the component parameters, after relabelling."""
        return largest_rhat({name: one for name, one in self.relabelling.variables.items() if name != "covariances"})

    @property
    def num_switches(self) -> int:
        """Number of label switches: changes of the permutation from one draw of a chain to the next."""
        return int((np.diff(self.permutations.astype(int), axis=1) != 0).any(axis=2).sum())

    @property
    def num_permutations(self) -> int:
        """Number of distinct permutations in the draws of the engine, at most K!."""
        return len(np.unique(self.permutations.reshape(-1, self.permutations.shape[-1]), axis=0))

    @property
    def occupied(self) -> "pd.Series | None":
        """Posterior distribution of the number K₊ of occupied components; None if not available."""
        return self._counts("occupied")

    @property
    def modes(self) -> "pd.Series | None":
        """Posterior distribution of the number of modes of the density; None if not available."""
        return self._counts("num_modes")

    def _counts(self, name: str) -> "pd.Series | None":
        import pandas as pd

        if name not in self.view:
            return None
        shares = pd.Series(self.view[name].values.ravel()).value_counts(normalize=True).sort_index()
        return shares.rename_axis(name).rename("share")

    @property
    def by_sticks(self) -> bool:
        """Whether the prior of the weights breaks sticks: components without rows are what it expects."""
        prior = getattr(getattr(self.relabelling.draws.source, "model", None), "prior", None)
        return prior is not None and isinstance(prior.weights, StickBreaking)

    @property
    def too_many(self) -> bool:
        """Whether K is too large: more than half of the draws leave a component empty, or have labels in doubt."""
        if self.by_sticks:
            return False
        occupied, num = self.occupied, self.relabelling.draws.num_gaussians
        empty = occupied is not None and float(occupied[occupied.index < num].sum()) > 0.5
        return bool(empty or self.relabelling.share_in_doubt > 0.5)

    @property
    def status(self) -> str:
        """The finding in a few words.

        One of: too few draws, not assessed (a single chain, or constant draws), stuck, slow, missed mode, not to be
        trusted, slightly short, too many components, labels in doubt, sound.
        """
        k = self.pareto_k
        if self.mixing == UNKNOWN if k is None else np.isnan(k):
            few = k is not None or self.relabelling.draws.shape[1] < FEWEST_DRAWS
            return "too few draws" if few else "not assessed"
        if k is None and self.mixing == UNMIXED:
            return "stuck" if self.stuck else "slow"
        if self.missed is not None and self.missed.matters:
            return "missed mode"
        if k is not None and k > GOOD_K:
            return "not to be trusted"
        if k is None and not self.mixed:
            return self.mixing
        if self.too_many:
            return "too many components"
        return "labels in doubt" if self.relabelling.share_in_doubt > 0.05 else "sound"

    def verdict(self) -> list[str]:
        """What the draws support, and what to do next, in a few sentences."""
        return words(self)

    def by_group(self) -> "pd.DataFrame":
        """One row per group of chains: number of chains, means of label-invariant quantities, stacking weight.

        Stacking weights are not shares of the posterior.
        """
        import pandas as pd

        rows = {}
        for group, weight in zip(self.groups, self.stacking, strict=True):
            here = self.view.isel(chain=list(group))
            row: dict[str, float] = {"chains": len(group)}
            for name, array in here.data_vars.items():
                values = array.mean(["chain", "draw"])
                cells = values.values.ravel()
                if name in ("log_posterior", "sorted_weights", "allocation_entropy", *COUNTS):
                    row |= {f"{name}[{i}]" if cells.size > 1 else str(name): float(v) for i, v in enumerate(cells)}
            rows[", ".join(map(str, group))] = row | {"stacking weight (not the posterior's)": float(weight)}
        return pd.DataFrame.from_dict(rows, orient="index").rename_axis("chains numbered")

    def components_by_group(self) -> "pd.DataFrame":
        """Posterior means of weights and means after relabelling, one block of columns per group of chains."""
        import pandas as pd

        columns = {}
        for group in self.groups:
            for name, values in self.relabelling.variables.items():
                if name != "covariances":
                    means = values[list(group)].mean(axis=(0, 1)).reshape(values.shape[2], -1)
                    for i, column in enumerate(means.T):
                        columns[f"chains {', '.join(map(str, group))}", f"{name}[{i}]"] = column
        draws = self.relabelling.draws
        names = {draws.num_gaussians: "noise"} if draws.num_gaussians < draws.num_components else {}
        return pd.DataFrame(columns).rename_axis("component").rename(index=names)

    def plot(self) -> dict[str, Any]:
        """Figures by name: rank plots of the label-invariant quantities, and the relabelled components."""
        from bayesgmm import plots

        figures = {"labels": plots.plot_point_process(self.relabelling).figure}
        return figures if (ranks := self.plot_ranks()) is None else {"ranks": ranks} | figures

    def plot_ranks(self) -> Any:
        """Draw only the rank plots; None for a single chain, fewer than four draws, or draws of an approximation."""
        return super().plot_ranks() if self.pareto_k is None else None

    def trees(self) -> dict[str, Any]:
        """The relabelled draws by name, as functions that make DataTrees."""
        return {"relabelled": lambda: self.relabelling.datatree}


@overload
def diagnose(  # pyright: ignore[reportOverlappingOverload]
    source: TelescopingPosterior, *, search: bool = True, seed: Any = 0
) -> NumberDiagnosis: ...


@overload
def diagnose(source: Source, *, search: bool = True, seed: Any = 0, **about: Any) -> Diagnosis: ...


def diagnose(source: Source, *, search: bool = True, seed: Any = 0, **about: Any) -> Diagnosis | NumberDiagnosis:
    """Diagnose draws of a mixture: have the chains mixed, did labels switch, are there several modes, is K too large.

    Mixing is assessed on label-invariant quantities. Then the draws are relabelled (by the method of Stephens if class
    probabilities are available), and relabelling uncertainty is reported. Only then are components examined one by one.
    Chains that disagree are grouped by mode. Each group has a stacking weight, which is not its share of the posterior.

    Draws of `sample_telescoping` have no common labels: their K, K₊ and label-invariant quantities are assessed, and
    whether K is limited by K_max. For their components diagnose ``posterior.at(num_clusters)``.

    Parameters
    ----------
    source, about
        A `Posterior`, a `TelescopingPosterior`, or draws made by other software with keyword arguments of `as_draws`.
    search
        Whether EM searches for modes that no chain reached. R-hat cannot detect that all chains share one wrong mode.
        The search needs a `Posterior`, because a DataTree does not contain the prior.
    seed
        int or JAX key.

    Returns
    -------
    Diagnosis
        Of draws of `sample_telescoping`: a `NumberDiagnosis`.

    Raises
    ------
    DrawsError
        If the draws cannot be read, or have a single component.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> x = bg.load_dataset("faithful")
    >>> bg.diagnose(bg.sample_gibbs(x, 2, progress_bar=False)).status
    'sound'
    """
    check_flag("search", search)
    check_names(about, ABOUT, "diagnose")
    if isinstance(source, TelescopingPosterior):
        refuse_about("a TelescopingPosterior", about)
        as_key(seed)
        return diagnose_number(source)
    draws = as_draws(source, **about)
    view = label_invariant_view(draws, seed=seed)
    found = _relabelled(draws)
    posterior = draws.source if isinstance(draws.source, Posterior) else None
    apart, drift = separations(view, [values for name, values in found.variables.items() if name != "covariances"])
    diagnosis = Diagnosis(
        view=view, relabelling=found, groups=(tuple(range(draws.shape[0])),), separation=apart, drift=drift,
        stacking=np.ones(1), missed=None, searched=search and posterior is not None, **run_facts(draws, found),
    )  # fmt: skip
    if diagnosis.pareto_k is None and diagnosis.mixing == UNMIXED:
        groups = group_chains(apart)
        stacking = stacking_weights(draws, groups) if len(groups) > 1 else np.ones(1)
        diagnosis = replace(diagnosis, groups=tuple(groups), stacking=stacking)
    if diagnosis.searched and posterior is not None:
        diagnosis = replace(diagnosis, missed=find_missed_mode(posterior, seed))
    return diagnosis


def _relabelled(draws: Draws) -> Relabelling:
    """Relabel all draws, using at most `MOST_ROWS` rows; under a prior that numbers the components, leave them."""
    if told_apart(draws.source):
        return as_numbered(draws)
    few = draws
    if draws.table is not None and draws.table.num_rows > MOST_ROWS:
        rows = np.linspace(0, draws.table.num_rows - 1, MOST_ROWS).astype(int)
        order = np.argsort(draws.table.filled[:, 0], kind="stable")[rows]
        some = {
            name: None if (held := getattr(draws, name)) is None else held[:, :, order]
            for name in ("labels", "probabilities")
        }
        few = replace(draws, table=draws.table.take(order), recorded=draws.log_posteriors, **some)
    if (few.params is not None and few.table is not None) or few.probabilities is not None:
        return replace(relabelling.stephens(few), draws=draws)
    if few.labels is not None:
        return replace(relabelling.ecr_iterative_1(few), draws=draws)
    return relabelling.point_process(few)
