"""Diagnosis of draws with an unknown number of components: have K and K₊ mixed, and is K limited by K_max."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.diagnosis.chain_groups import group_chains, separations
from bayesgmm.diagnosis.judged import Judged
from bayesgmm.diagnosis.number_words import words
from bayesgmm.numerics.mixing import FEWEST_DRAWS, UNKNOWN, UNMIXED
from bayesgmm.results.telescoping_posterior import TelescopingPosterior

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

VISITS = 0.01
"""Share of its draws from which a chain visits a number of clusters."""


@dataclass(frozen=True, repr=False)
class NumberDiagnosis(Judged):
    """Result of `diagnose` for draws of `sample_telescoping`."""

    name: str
    view: "xr.Dataset"
    """K, K₊, the concentration if it is inferred, log-likelihood and other label-invariant quantities."""
    posterior: TelescopingPosterior
    groups: tuple[tuple[int, ...], ...]
    """Chains that agree on these quantities, the largest group first."""
    separation: np.ndarray
    """Distances between chains, (chain, chain), in standard deviations within chains."""
    drift: np.ndarray
    """Distance between the two halves of each chain, (chain,), in the same unit."""

    @property
    def status(self) -> str:
        """The finding in a few words.

        One of: too few draws, not assessed (a single chain, or constant draws), stuck, slow, slightly short, truncated
        (the posterior of K reaches K_max, and the prior goes beyond), sound.
        """
        if self.mixing == UNKNOWN:
            return "too few draws" if self.posterior.num_samples < FEWEST_DRAWS else "not assessed"
        if self.mixing == UNMIXED:
            return "stuck" if self.stuck else "slow"
        if self.posterior.truncated:
            return "truncated"
        return "sound" if self.mixed else self.mixing

    @property
    def stuck(self) -> bool:
        """Whether chains stay in different modes, and none visits the most frequent K₊ of another group of chains."""
        return super().stuck and not self._visited

    @property
    def _visited(self) -> bool:
        """Whether some chain has, in `VISITS` of its draws, the most frequent K₊ of a chain that it differs from."""
        drawn = self.posterior.num_clusters
        group_of = {chain: i for i, group in enumerate(self.groups) for chain in group}
        modes = [int(np.bincount(chain).argmax()) for chain in drawn]
        pairs = [(i, j) for i in group_of for j in group_of if group_of[i] != group_of[j] and modes[i] != modes[j]]
        return any(float((drawn[i] == modes[j]).mean()) >= VISITS for i, j in pairs)

    def by_chain(self) -> "pd.DataFrame":
        """The share of each chain's draws with each number of clusters K₊: a row per chain, a column per K₊."""
        import pandas as pd

        drawn = self.posterior.num_clusters
        sizes = np.unique(drawn)
        shares = (drawn[:, :, None] == sizes).mean(axis=1)
        return pd.DataFrame(shares, pd.RangeIndex(len(drawn), name="chain"), pd.Index(sizes, name="clusters"))

    def verdict(self) -> list[str]:
        """What the draws support, and what to do next, in a few sentences."""
        return words(self)

    def plot(self) -> dict[str, Any]:
        """Figures by name: rank plots of the label-invariant quantities, and the posteriors of K and K₊."""
        figures = {"posterior_of_k": self.posterior.plot().figure}
        return figures if (ranks := self.plot_ranks()) is None else {"ranks": ranks} | figures


def diagnose_number(found: TelescopingPosterior) -> NumberDiagnosis:
    """See `bayesgmm.diagnose`."""
    view = found.invariants
    apart, drift = separations(view, [])
    diagnosis = NumberDiagnosis("telescoping", view, found, (tuple(range(found.num_chains)),), apart, drift)
    if diagnosis.mixing != UNMIXED:
        return diagnosis
    return NumberDiagnosis("telescoping", view, found, tuple(group_chains(apart)), apart, drift)
