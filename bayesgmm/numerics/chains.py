"""Figures of the numbers that chains draw: R-hat, ESS and Monte Carlo error, each from (chain, draw)."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.numerics.arrays import sd
from bayesgmm.numerics.mixing import FEWEST_DRAWS

if TYPE_CHECKING:
    import xarray as xr

TAILS = (0.05, 0.95)
QUALITY = ("mcse", "ess_bulk", "ess_tail", "r_hat")
"""The figures that assess draws."""


def numbers_of(quantities: "xr.Dataset") -> Iterator[tuple[str, np.ndarray]]:
    """Each number of each quantity, with its label: ``sorted_weights[0]`` and its draws (chain, draw)."""
    for name, array in quantities.data_vars.items():
        values = array.transpose("chain", "draw", ...).values
        for index in np.ndindex(values.shape[2:]):
            label = ", ".join(str(array[dim].values[i]) for dim, i in zip(array.dims[2:], index, strict=True))
            yield f"{name}[{label}]" if label else str(name), values[(slice(None), slice(None), *index)]


def figures_of(draws: np.ndarray) -> dict[str, float]:
    """Mean, sd, Monte Carlo error, ESS and R-hat of one number (chain, draw); NaN if there are too few draws."""
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    constant = draws.size > 1 and np.ptp(draws) == 0
    figures = {"mean": draws.mean(), "sd": float(sd(draws, ddof=1)) if draws.size > 1 else np.nan}
    if draws.shape[1] < FEWEST_DRAWS or constant:
        return figures | dict.fromkeys(QUALITY, np.nan)
    axes: dict[str, Any] = {"chain_axis": 0, "draw_axis": 1}
    stats: Any = array_stats
    with np.errstate(divide="ignore", invalid="ignore"):  # a constant chain has no within-chain variance
        return figures | {
            "mcse": float(stats.mcse(draws, **axes)),
            "ess_bulk": float(stats.ess(draws, method="bulk", **axes)),
            "ess_tail": float(stats.ess(draws, method="tail", prob=TAILS, **axes)),
            "r_hat": float(stats.rhat(draws, **axes)),
        }


def effective_draws(draws: np.ndarray) -> float:
    """Effective number of draws (chain, draw) for their mean; all of them if they are constant or too few to assess."""
    from arviz_stats.base import array_stats  # pyright: ignore[reportPrivateImportUsage]

    if draws.shape[1] < FEWEST_DRAWS or np.ptp(draws) == 0:
        return float(draws.size)
    stats: Any = array_stats
    with np.errstate(divide="ignore", invalid="ignore"):  # a constant chain has no within-chain variance
        found = float(stats.ess(draws, chain_axis=0, draw_axis=1, method="mean"))
    return found if np.isfinite(found) else float(draws.size)
