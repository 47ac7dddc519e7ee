"""The table of a posterior: mean, sd, median, interval and quality of each parameter."""

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import sd
from bayesgmm.numerics.chains import QUALITY, figures_of
from bayesgmm.results.digits import SummaryTable
from bayesgmm.results.parameters import flatten, parameter_names, tails
from bayesgmm.results.with_noise import of_gaussians
from bayesgmm.runtime.checks import check_level


def shown_parameters(values: np.ndarray, table: Table, num: int) -> tuple[list[int], list[str]]:
    """Places and names of the parameters (…, P) that tables show: without covariances that are 0 in every draw.

    Also without mean and covariance of the noise.
    """
    names = parameter_names(table, num)
    some = values.reshape(-1, len(names)).any(axis=0)
    kept = [i for i, name in enumerate(names) if some[i] or not name.startswith("covariances")]
    kept = [i for i in kept if of_gaussians(names[i], table, num)]
    return kept, [names[i] for i in kept]


def summary_table(params: Params, table: Table, level: float, chains: bool) -> SummaryTable:
    """A row per weight, mean and covariance (each once); `chains` adds Monte Carlo error, ESS and R-hat."""
    level = check_level("level", level)
    draws = np.moveaxis(flatten(params), -1, 0)
    kept, names = shown_parameters(flatten(params), table, params.weights.shape[-1])
    below, above = tails(level)
    rows = {}
    for i, name in zip(kept, names, strict=True):
        values = draws[i]
        found = figures_of(values) if chains else {}
        low, middle, high = np.quantile(values, [below, 0.5, above])
        row = {"mean": values.mean(), "sd": float(sd(values)), "median": middle}
        row |= {f"{100 * below:.4g}%": low, f"{100 * above:.4g}%": high}
        rows[name] = row | {name: found[name] for name in QUALITY if chains}
    return SummaryTable.of(rows, "parameter")
