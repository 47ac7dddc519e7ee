"""Checks of many rows from a random sample of them: leave-one-out by the difference estimator (Magnusson et al. 2020).

The elpd of all rows is a sum of cheap approximations over all rows, the log density under one θ, plus the mean of the
errors of the approximation in the sample, times the number of rows. The errors vary little between rows.
"""

from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.utils import ELPDDataLOO

from bayesgmm.model.types import Params
from bayesgmm.results.posterior import Posterior
from bayesgmm.sweep.per_row import log_densities

SUBSAMPLING_SE = "subsampling_se"
"""Attribute of ArviZ's results for the standard error that the sample adds."""
MOST_DRAWS = 1000
"""About this many draws are used, at equal steps, beside a sample of the rows."""


def density_tree(posterior: Posterior, rows: np.ndarray) -> xr.DataTree:
    """A tree with the log densities of these rows under some of the draws, as ``az.loo`` reads it."""
    step = max(1, posterior.num_chains * posterior.num_samples // MOST_DRAWS)
    draws = np.arange(posterior.num_samples)[::step]
    some: Any = Params(*(np.asarray(part)[:, draws] for part in posterior.params))
    density = log_densities(some, posterior.table.take(rows), posterior.frame)
    coords = {"chain": np.arange(posterior.num_chains), "draw": draws}
    return xr.DataTree.from_dict({
        "posterior": xr.Dataset({"weights": (("chain", "draw", "component"), some.weights)}, coords),
        "log_likelihood": xr.Dataset({"x": (("chain", "draw", "obs"), density)}, coords | {"obs": rows}),
    })  # fmt: skip


def extrapolate(elpd: ELPDDataLOO, posterior: Posterior, rows: np.ndarray) -> None:
    """Replace the sums over the sample by estimates of the sums over all rows.

    ``se`` is that of the elpd of all rows, as without a sample; ``subsampling_se`` is the error of the sample.
    """
    total, count, values = posterior.table.num_rows, len(rows), elpd.elpd_i.values
    one: Any = Params(*(np.asarray(part)[None, None] for part in posterior.reference))
    plug_in = log_densities(one, posterior.table, posterior.frame)[0, 0]
    errors = values - plug_in[rows]
    elpd.elpd = float(plug_in.sum() + total * errors.mean())
    error = float(total * np.sqrt((1.0 - count / total) / count) * errors.std(ddof=1))
    setattr(elpd, SUBSAMPLING_SE, error)
    elpd.se = float(np.sqrt(total) * values.std(ddof=1))
    elpd.p = float(total * elpd.p_loo_i.values.mean())
    elpd.n_data_points = total


def subsampling_error(elpd: ELPDDataLOO) -> float:
    """Standard error that a sample of the rows adds to the elpd; 0 without one."""
    return float(getattr(elpd, SUBSAMPLING_SE, 0.0))
