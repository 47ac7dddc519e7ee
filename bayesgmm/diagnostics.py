"""Have the chains mixed? Asked of quantities that do not depend on how components are numbered."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

TAILS = (0.05, 0.95)
GOOD_RHAT = 1.01
GOOD_ESS = 400
"""Thresholds of Vehtari et al. (2021): R-hat below 1.01, at least 100 effective draws for each of four chains."""


def convergence_table(quantities: "xr.Dataset") -> "pd.DataFrame":
    """Mean, sd, R-hat, bulk and tail ESS and Monte Carlo error of each quantity (Vehtari et al. 2021).

    R-hat compares chains and halves of chains by rank; with fewer than four draws it is not defined, and the table
    holds NaN, shown as a dash.
    """
    import numpy as np
    import pandas as pd
    from arviz_stats.base import array_stats

    rows = {}
    for name, array in quantities.data_vars.items():
        values = array.transpose("chain", "draw", ...).values
        for index in np.ndindex(values.shape[2:]):
            label = ", ".join(str(array[dim].values[i]) for dim, i in zip(array.dims[2:], index, strict=True))
            draws = values[(slice(None), slice(None), *index)]
            enough = draws.shape[1] >= 4 and np.ptp(draws) > 0
            rows[f"{name}[{label}]" if label else str(name)] = {
                "mean": draws.mean(),
                "sd": draws.std(ddof=1) if draws.size > 1 else np.nan,
                "mcse": float(array_stats.mcse(draws, chain_axis=0, draw_axis=1)) if enough else np.nan,
                "ess_bulk": float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="bulk")) if enough else np.nan,
                "ess_tail": float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="tail", prob=TAILS)) if enough else np.nan,
                "r_hat": float(array_stats.rhat(draws, chain_axis=0, draw_axis=1)) if enough else np.nan,
            }
    return pd.DataFrame.from_dict(rows, orient="index")
