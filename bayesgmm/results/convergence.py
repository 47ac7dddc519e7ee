"""Convergence diagnostics of chains, from quantities that do not depend on the labelling."""

from typing import TYPE_CHECKING, Any

from bayesgmm.numerics.mixing import FEWEST_DRAWS, mixing_state

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import xarray as xr

TAILS = (0.05, 0.95)
GOOD_BFMI = 0.3
"""Threshold for E-BFMI. Below it, momentum resampling explores the tails too slowly (Betancourt 2016)."""


def convergence_table(quantities: "xr.Dataset") -> "pd.DataFrame":
    """Mean, sd, R-hat, bulk and tail ESS and Monte Carlo error of each quantity (Vehtari et al. 2021).

    R-hat is rank-normalised split R-hat. With fewer than four draws it is not defined, and the table holds NaN, shown
    as a dash.
    """
    import numpy as np

    from bayesgmm.results.digits import SummaryTable

    rows = {}
    for name, array in quantities.data_vars.items():
        values = array.transpose("chain", "draw", ...).values
        for index in np.ndindex(values.shape[2:]):
            label = ", ".join(str(array[dim].values[i]) for dim, i in zip(array.dims[2:], index, strict=True))
            draws = values[(slice(None), slice(None), *index)]
            rows[f"{name}[{label}]" if label else str(name)] = figures_of(draws)
    return SummaryTable.of(rows)


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


def figures_of(draws: "np.ndarray") -> dict[str, float]:
    """Mean, sd, Monte Carlo error, ESS and R-hat of one number (chain, draw); NaN if there are too few draws."""
    import numpy as np
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    constant = draws.size > 1 and np.ptp(draws) == 0
    figures = {"mean": draws.mean(), "sd": 0.0 if constant else draws.std(ddof=1) if draws.size > 1 else np.nan}
    if draws.shape[1] < FEWEST_DRAWS or constant:
        return figures | dict.fromkeys(("mcse", "ess_bulk", "ess_tail", "r_hat"), np.nan)
    axes: dict[str, Any] = {"chain_axis": 0, "draw_axis": 1}
    stats: Any = array_stats
    with np.errstate(divide="ignore", invalid="ignore"):  # a constant chain has no within-chain variance
        return figures | {
            "mcse": float(stats.mcse(draws, **axes)),
            "ess_bulk": float(stats.ess(draws, method="bulk", **axes)),
            "ess_tail": float(stats.ess(draws, method="tail", prob=TAILS, **axes)),
            "r_hat": float(stats.rhat(draws, **axes)),
        }
