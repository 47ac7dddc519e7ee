"""Convergence diagnostics of chains, from quantities that do not depend on the labelling."""

from typing import TYPE_CHECKING

from bayesgmm.numerics.chains import figures_of, numbers_of
from bayesgmm.numerics.mixing import mixing_state

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

GOOD_BFMI = 0.3
"""Threshold for E-BFMI. Below it, momentum resampling explores the tails too slowly (Betancourt 2016)."""


def convergence_table(quantities: "xr.Dataset") -> "pd.DataFrame":
    """Mean, sd, R-hat, bulk and tail ESS and Monte Carlo error of each quantity (Vehtari et al. 2021).

    R-hat is rank-normalised split R-hat. With fewer than four draws it is not defined, and the table holds NaN, shown
    as a dash.
    """
    from bayesgmm.results.digits import SummaryTable

    return SummaryTable.of({label: figures_of(draws) for label, draws in numbers_of(quantities)})


def largest_rhat(variables: "dict[str, np.ndarray]") -> float:
    """Largest rank-normalised split R-hat of the numbers in some variables (chain, draw, …); NaN if none has one."""
    import numpy as np
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    largest = float("nan")
    for values in variables.values():
        flat = values.reshape(*values.shape[:2], -1)
        for i in range(flat.shape[2] if flat.shape[1] >= 4 else 0):
            if np.ptp(draws := flat[:, :, i]) > 0:
                with np.errstate(divide="ignore", invalid="ignore"):  # a constant chain has no within-chain variance
                    largest = float(np.fmax(largest, array_stats.rhat(draws, chain_axis=0, draw_axis=1)))
    return largest


def worst_of(table: "pd.DataFrame") -> tuple[float, float]:
    """Largest R-hat and smallest bulk or tail ESS of a `convergence_table`; NaN if some quantity has none.

    Constant quantities are left out: they have nothing to mix. (The classes of well separated data are certain in every
    draw.)
    """
    moving = table.loc[table["sd"] != 0, :]
    if moving.empty:
        return float("nan"), float("nan")
    smallest = moving[["ess_bulk", "ess_tail"]].to_numpy().min()
    return float(moving["r_hat"].to_numpy().max()), float(smallest)


def state_of(table: "pd.DataFrame", num_chains: int) -> str:
    """Whether chains have mixed, from the rows of a `convergence_table`; see `bayesgmm.numerics.mixing`."""
    return mixing_state(*worst_of(table), num_chains)


def smallest_bfmi(energy: "np.ndarray | None") -> float:
    """Smallest E-BFMI over chains, from energies (chain, draw) (Betancourt 2016); NaN if there are too few."""
    import numpy as np

    if energy is None or energy.shape[1] < 4:
        return float("nan")
    moves, spread = np.square(np.diff(energy, axis=1)).mean(axis=1), energy.var(axis=1)
    return float((moves / spread).min()) if (spread > 0).all() else float("nan")
