"""What all results with draws share: their data, the convergence of their chains, and how they are joined."""

from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesgmm.data.order import same_features
from bayesgmm.data.table import Table
from bayesgmm.model.families import Family
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.mixing import MIXED, UNKNOWN, figures
from bayesgmm.results.convergence import convergence_table, state_of, worst_of
from bayesgmm.results.to_mixture import HasMixture
from bayesgmm.runtime.arguments import as_key
from bayesgmm.runtime.formatting import as_html, as_text
from bayesgmm.runtime.programs import Stopwatch
from bayesgmm.sweep import per_row

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesgmm.problem import Model


class OfChains(HasMixture):
    """Draws of θ with leading axes (chain, draw). Classes give ``params``, ``model``, ``invariants`` and a title."""

    if TYPE_CHECKING:
        params: Params
        model: Model
        interrupted: bool
        invariants: cached_property[xr.Dataset]
        datatree: cached_property[xr.DataTree]

    @property
    def table(self) -> Table:
        """The data."""
        return self.model.table

    @property
    def frame(self) -> Frame:
        """The standardised coordinates of the engine."""
        return self.model.frame

    @property
    def family(self) -> Family:
        """The covariance family."""
        return self.model.family

    @property
    def num_chains(self) -> int:
        """Number of chains."""
        return self.params.weights.shape[0]

    @property
    def num_samples(self) -> int:
        """Number of draws per chain, after warm-up."""
        return self.params.weights.shape[1]

    @cached_property
    def in_use(self) -> Params:
        """The draws, without components that no draw has."""
        return self.params

    def to_datatree(self) -> "xr.DataTree":
        """The same as `datatree`; fits have both too."""
        return self.datatree

    def score_samples(self, x=None) -> np.ndarray:
        """Log posterior predictive density of each row of x (default: the data), (N,): the log of the mean over draws.

        In the user's units.
        """
        return self._averages(x)[1]

    def draw_labels(self, x, seed) -> np.ndarray:
        """One z per row of x (None: the data) for each draw of θ, (chain, draw, N): draws from the posterior of z.

        For the fitted rows, Gibbs draws such z in its sweeps and does not store them.
        """
        return per_row.draw_labels(as_key(seed), self.in_use, same_features(x, self.table), self.frame)

    def _averages(self, x) -> tuple[np.ndarray, np.ndarray]:
        """Responsibilities and log densities of the rows of x, or of the data for None."""
        return per_row.average_over_draws(self.in_use, same_features(x, self.table), self.frame)

    @cached_property
    def convergence(self) -> "pd.DataFrame":
        """R-hat and ESS of the label-invariant quantities, and of K if it is drawn. Check these first."""
        return convergence_table(self.invariants)

    @property
    def worst_rhat(self) -> float:
        """Largest R-hat over the label-invariant quantities; NaN if there are too few draws."""
        return worst_of(self.convergence)[0]

    @property
    def smallest_ess(self) -> float:
        """Smallest bulk or tail ESS over the label-invariant quantities."""
        return worst_of(self.convergence)[1]

    @property
    def mixed(self) -> bool:
        """Whether R-hat and ESS of every label-invariant quantity pass the thresholds of Vehtari et al. (2021)."""
        return self.mixing == MIXED

    @property
    def mixing(self) -> str:
        """``"mixed"``, ``"slightly short"`` (more draws suffice), ``"not mixed"`` or ``"unknown"`` (no R-hat)."""
        return state_of(self.convergence, self.num_chains)

    def _run_words(self) -> str:
        """Covariances, chains and their mixing, for a title."""
        kind = f"{self.family.label(self.table.dim)} covariances{self.model.aside}"
        cut = ", interrupted" if self.interrupted else ""
        mixing = f"{self.mixing}: {figures(self.worst_rhat, self.smallest_ess)}"
        if self.mixing == UNKNOWN:
            mixing = "mixing cannot be assessed"
        chains = f"{self.num_chains} chain{'s' * (self.num_chains > 1)} × {self.num_samples} draws"
        return f"{kind}, {chains}{cut}; {mixing}"

    def _title(self) -> str:
        raise NotImplementedError

    def _shown(self) -> "pd.DataFrame":
        """The table below the title, as strings."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return as_text(self._title(), self._shown())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._shown())


def joined(first: Any, more: Any, names: tuple[str, ...]) -> Any:
    """The draws of both, concatenated within each chain: in the fields of these names."""

    def both(name: str) -> Any:
        return jax.tree.map(lambda *parts: np.concatenate(parts, axis=1), getattr(first, name), getattr(more, name))

    one, two = first.clock, more.clock
    clock = Stopwatch(one.compile_seconds + two.compile_seconds, one.total_seconds + two.total_seconds)
    settings = first.settings | {"num_samples": first.num_samples + more.num_samples}
    return replace(first, **{name: both(name) for name in names}, clock=clock, settings=settings)
