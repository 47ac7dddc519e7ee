"""Group chains by mode, on label-invariant quantities and relabelled components."""

from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.model.types import Params
from bayesgmm.numerics.mixing import COUNTS
from bayesgmm.results.datatree import MOST_VALUES
from bayesgmm.results.draws import Draws
from bayesgmm.sweep.per_row import log_densities

if TYPE_CHECKING:
    import xarray as xr

APART = 1.5
"""Two chains are in different modes if the means of some quantity differ by more than this many sd within chains."""


def separations(view: "xr.Dataset", components: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Distances between chains, (chain, chain), and between the two halves of each chain, (chain,).

    A distance is the largest difference of means, in standard deviations within chains. The maximum is over the
    label-invariant quantities and the relabelled component parameters (arrays with leading axes chain and draw).
    """
    values = _columns(view, components)  # (chain, draw, quantity)
    means, spread = values.mean(axis=1), values.std(axis=1)
    between = np.abs(means[:, None] - means[None])
    within = np.sqrt(0.5 * (spread[:, None] ** 2 + spread[None] ** 2))
    half = values.shape[1] // 2
    first, second = values[:, :half], values[:, half:]
    drift = np.abs(first.mean(axis=1) - second.mean(axis=1)) if half else np.zeros_like(means)
    own = np.sqrt(0.5 * (first.std(axis=1) ** 2 + second.std(axis=1) ** 2)) if half else spread
    return _ratio(between, within).max(axis=-1), _ratio(drift, own).max(axis=-1)


def group_chains(apart: np.ndarray) -> list[tuple[int, ...]]:
    """Groups of chains in the same mode, the largest group first: complete linkage at `APART`."""
    from scipy.cluster.hierarchy import fcluster, linkage
    from scipy.spatial.distance import squareform

    if len(apart) == 1:
        return [(0,)]
    names = fcluster(linkage(squareform(apart, checks=False), "complete"), APART, "distance")
    groups = [tuple(map(int, np.flatnonzero(names == name))) for name in np.unique(names)]
    return sorted(groups, key=lambda group: (-len(group), group))


def stacking_weights(draws: Draws, groups: list[tuple[int, ...]]) -> np.ndarray:
    """Stacking weights: the mixture of the groups that predicts left-out rows best (Yao, Vehtari & Gelman 2022).

    They are not shares of the posterior: a mode with little posterior mass may predict well.
    NaN if the draws lack parameters or data, so that the densities of the rows are not available, or if a group hardly
    moves, so that leave-one-out is not defined.
    """
    import warnings

    import arviz as az
    import xarray as xr

    if draws.params is None or draws.table is None:
        return np.full(len(groups), np.nan)
    step = max(1, -(-draws.size * draws.table.num_rows // MOST_VALUES))
    found = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a high k-hat: these modes are in doubt anyway
        for i, group in enumerate(groups):
            here: Any = (np.asarray(part)[list(group), ::step] for part in draws.params)
            params = Params(*here)
            rows = log_densities(params, draws.table, draws.frame)
            arrays = {"log_likelihood": xr.Dataset({"x": (("chain", "draw", "obs"), rows)})}
            posterior = xr.Dataset({"weights": (("chain", "draw", "component"), np.asarray(params.weights))})
            try:
                found[str(i)] = az.loo(xr.DataTree.from_dict(arrays | {"posterior": posterior}), pointwise=True)
            except ValueError:  # the largest importance weights are all equal
                return np.full(len(groups), np.nan)
        table = az.compare(found, method="stacking")
    return table["weight"].loc[[str(i) for i in range(len(groups))]].to_numpy(float)


def _columns(view: "xr.Dataset", components: list[np.ndarray]) -> np.ndarray:
    step = components[0].shape[1] // view.sizes["draw"] if components else 1
    arrays = [values[:, ::step][:, : view.sizes["draw"]] for values in components]
    arrays += [
        array.transpose("chain", "draw", ...).values for name, array in view.data_vars.items() if name not in COUNTS
    ]
    return np.concatenate([values.reshape(*values.shape[:2], -1) for values in arrays], axis=2)


def _ratio(distance: np.ndarray, spread: np.ndarray) -> np.ndarray:
    """Distance divided by spread: 0 if the distance is 0, and at most 1e12 (chains that do not move)."""
    return np.where(distance > 0, distance, 0.0) / np.where(distance > 0, np.maximum(spread, 1e-12 * distance), 1.0)
