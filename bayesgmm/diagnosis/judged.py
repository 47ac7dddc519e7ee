"""What every diagnosis has: the convergence of label-invariant quantities, a status and a verdict."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.diagnosis.chain_groups import APART
from bayesgmm.numerics.mixing import COUNTS, MIXED, UNMIXED
from bayesgmm.results.convergence import convergence_table, state_of, worst_of
from bayesgmm.runtime.formatting import as_html, as_text, for_html

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


class Judged:
    """Mixing of chains in label-invariant quantities. Classes give the fields, ``status`` and ``verdict``."""

    if TYPE_CHECKING:
        name: str
        view: xr.Dataset
        groups: tuple[tuple[int, ...], ...]
        drift: np.ndarray

    @cached_property
    def convergence(self) -> "pd.DataFrame":
        """Mean, sd, R-hat, ESS and Monte Carlo error of the label-invariant quantities."""
        return convergence_table(self.view)

    @property
    def judged(self) -> "pd.DataFrame":
        """The rows of `convergence` that assess mixing.

        Counts are left out, because R-hat is meaningless for rare events.
        """
        table = self.convergence
        return table.loc[~table.index.isin(COUNTS), :]

    @property
    def worst_rhat(self) -> float:
        """Largest R-hat over `judged`; NaN with too few draws."""
        return worst_of(self.judged)[0]

    @property
    def smallest_ess(self) -> float:
        """Smallest bulk or tail ESS over `judged`."""
        return worst_of(self.judged)[1]

    @property
    def mixed(self) -> bool:
        """Whether R-hat is below 1.01 and ESS above 100 per chain for all rows of `judged` (Vehtari et al. 2021)."""
        return self.mixing == MIXED

    @property
    def mixing(self) -> str:
        """``"mixed"``, ``"slightly short"`` (more draws suffice), ``"not mixed"`` or ``"unknown"`` (no R-hat)."""
        return state_of(self.judged, self.view.sizes["chain"])

    @property
    def stuck(self) -> bool:
        """Whether chains stay in different modes: the chains differ, but the two halves of each chain agree."""
        return self.mixing == UNMIXED and len(self.groups) > 1 and bool((self.drift < APART).all())

    @property
    def status(self) -> str:
        """The finding in a few words."""
        raise NotImplementedError

    def verdict(self) -> list[str]:
        """What the draws support, and what to do next, in a few sentences."""
        raise NotImplementedError

    def summary(self) -> "pd.DataFrame":
        """R-hat, ESS and Monte Carlo errors of the label-invariant quantities."""
        return self.convergence

    def trees(self) -> dict[str, Any]:
        """DataTrees of relabelled draws by name, as functions that make them."""
        return {}

    def plot(self) -> dict[str, Any]:
        """Figures by name."""
        raise NotImplementedError

    def plot_ranks(self) -> Any:
        """Draw only the rank plots; None for a single chain, or fewer than four draws."""
        from bayesgmm.plots.ranks import can_rank, plot_ranks

        return plot_ranks(self.view) if can_rank(self.view) else None

    def __repr__(self) -> str:
        return as_text(
            "\n".join([f"{self.name}: {self.status}", *(f"• {line}" for line in self.verdict())]), self.summary()
        )

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{for_html(line)}</li>" for line in self.verdict())
        return f"<ul>{lines}</ul>" + as_html(f"{self.name}: {self.status}", self.summary())
