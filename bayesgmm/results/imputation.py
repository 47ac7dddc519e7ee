"""The true values of rows with gaps or errors, drawn from the posterior."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Frame, Params
from bayesgmm.runtime.arguments import as_key, check_memory
from bayesgmm.sweep.impute import true_rows

if TYPE_CHECKING:
    import xarray as xr


def imputed(params: Params, table: Table, frame: Frame, seed: Any) -> "xr.DataArray":
    """Draws of the true rows, for the rows with a gap or an error; see `Posterior.impute`.

    Raises
    ------
    ArgumentError
        If every value was seen without error, or the draws do not fit in memory.
    """
    import xarray as xr

    key = as_key(seed)
    some = np.isnan(table.values).any(axis=1)
    if table.errors is not None:
        some |= table.errors.any(axis=(1, 2))
    rows = np.flatnonzero(some)
    if len(rows) == 0:
        raise ArgumentError("There is nothing to impute: every value was seen, and without error.")
    chains, draws = params.weights.shape[:2]
    size = 8.0 * chains * draws * len(rows) * table.dim
    check_memory(f"{chains} × {draws} draws of {len(rows)} rows", 3.0 * size, "Pass fewer rows, or use fewer draws.")
    coords = {
        "chain": np.arange(chains), "draw": np.arange(draws), "obs": rows, "feature": list(table.features)
    }  # fmt: skip
    return xr.DataArray(true_rows(key, params, table.take(rows), frame), coords, tuple(coords), name="x")
