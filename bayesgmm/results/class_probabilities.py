"""The probability of each row's class, with its spread over the draws."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.errors import DataError
from bayesgmm.model.conditioning import log_joint, log_sum
from bayesgmm.model.types import Frame, Params
from bayesgmm.results.parameters import tails
from bayesgmm.sweep.per_row import responsibilities

if TYPE_CHECKING:
    import xarray as xr

BLOCK_VALUES = 2**22
"""Probabilities (draw, component, row) held in memory at a time."""
LEAST_ROWS, MOST_ROWS = 64, 4096


def class_probabilities(params: Params, table: Table, frame: Frame, level: float) -> "xr.Dataset":
    """Mean, sd, median and ends of ``p(z_n = k | θ, x)`` over draws of θ, each with dims (obs, component)."""
    import xarray as xr

    num = params.weights.shape[-1]
    below, above = tails(level)
    blocks = responsibilities(params, table, frame, _rows_at_once(params.weights.size))
    parts = [_summary(block, (below, 0.5, above)) for block in blocks]
    found = np.concatenate(parts, axis=-1)  # (figure, K, N)
    names = ("mean", "sd", "lower", "median", "upper")
    variables = {name: (("obs", "component"), values.T) for name, values in zip(names, found, strict=True)}
    coords = {"obs": np.arange(table.num_rows), "component": np.arange(num)}
    return xr.Dataset(variables, coords, {"level": level})


def responsibilities_of(mixture: Any, rows: np.ndarray) -> np.ndarray:
    """Responsibilities of rows under a `Mixture`, (N, K), averaged over its draws.

    Raises
    ------
    DataError
        If a row is so far out that its density is 0 in double precision.
    """
    shares, parts, done = mixture.weights_of_draws[:, None, None], [], 0
    for block in mixture.blocks(rows):
        joint = log_joint(mixture.draws, block)
        totals = log_sum(joint, axis=1)[:, None]
        if not np.isfinite(totals).all():
            row = done + int(np.flatnonzero(~np.isfinite(totals).all(axis=(0, 1)))[0])
            raise DataError(
                f"Row {row} is so far from every component that its density is 0 in double precision. Check its units."
            )
        parts.append((shares * np.exp(joint - totals)).sum(axis=0))
        done += len(block)
    return np.concatenate(parts, axis=-1).T


def _rows_at_once(values_per_row: int) -> int:
    """A power of two, so that the programs are few."""
    fitting = max(BLOCK_VALUES // values_per_row, 1)
    return int(np.clip(2 ** (fitting.bit_length() - 1), LEAST_ROWS, MOST_ROWS))


def _summary(block: np.ndarray, shares: tuple[float, ...]) -> np.ndarray:
    """Mean, sd and quantiles over draws: (draw, K, rows) → (figure, K, rows)."""
    return np.stack([block.mean(axis=0), block.std(axis=0), *np.quantile(block, shares, axis=0)])
