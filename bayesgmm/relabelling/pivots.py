"""Inputs of a relabelling: a pivot draw, its partition of the rows, and components as points."""

from typing import Any

import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.relabelling.allocations import Allocations
from bayesgmm.results.draws import Draws
from bayesgmm.runtime.checks import as_list, check_count, shown


def draw_of(pivot: Any, draws: Draws, least: int | None = None) -> int:
    """Index of a draw in the concatenated chains. Default: the highest log posterior, or `least` if it is unknown."""
    if pivot is None:
        if draws.log_posteriors is not None:
            return int(np.argmax(draws.log_posteriors))
        if least is not None:
            return least
        raise ArgumentError("The draws hold no log posterior, so there is no default pivot. Give pivot=(chain, draw).")
    try:
        chain, draw = (check_count("pivot", number, least=0) for number in pivot)
        return int(np.ravel_multi_index((chain, draw), draws.shape))
    except (TypeError, ValueError):
        raise ArgumentError(
            f"The pivot must be a draw as (chain, draw) within {draws.shape}, or an array; got {shown(pivot)}."
        ) from None


def partition_of(pivot: Any, draws: Draws, allocations: Allocations, least: int | None = None) -> np.ndarray:
    """The pivot partition of the rows for ECR."""
    if not isinstance(pivot, np.ndarray):
        place = draw_of(pivot, draws, least)
        return np.concatenate([labels[place] for _, labels in allocations.labels()]).astype(int)
    num = draws.num_components
    if pivot.shape != (allocations.num_rows,) or pivot.dtype.kind not in "iu":
        raise ArgumentError(
            f"The pivot must be {allocations.num_rows} integers, one per row; got shape {pivot.shape} of {pivot.dtype}."
        )
    if pivot.min() < 0 or pivot.max() >= num:
        raise ArgumentError(f"The classes of the pivot must be 0 to {num - 1}, got {pivot.min()} to {pivot.max()}.")
    return pivot.astype(int)


def variable_of(draws: Draws, name: str) -> np.ndarray:
    """The variable `name` as (draw, component, number)."""
    if isinstance(name, str) and name == "means" and draws.means_name:
        name = draws.means_name
    if not isinstance(name, str) or name not in draws.variables:
        raise ArgumentError(f"No variable {shown(name)} with components; there are {', '.join(draws.variables)}.")
    return draws.flat(name)


def points_of(draws: Draws, variables: list[str] | None, scale: bool) -> np.ndarray:
    """Components of each draw as points, (draw, component, number)."""
    if variables is None:
        variables = [draws.means_name] if draws.means_name else list(draws.variables)
    variables = as_list("variables", variables)
    if not variables:
        raise ArgumentError(f"variables is empty. Choose from {', '.join(draws.variables)}.")
    points = np.concatenate([variable_of(draws, name) for name in variables], axis=2)
    return points / scales_of(draws, variables) if scale else points


def scales_of(draws: Draws, variables: list[str] | None) -> np.ndarray:
    """Standard deviation of each number over draws and components; `points_of` divides by it."""
    spread = points_of(draws, variables, scale=False)[:, : draws.num_gaussians].std(axis=(0, 1))
    return np.where(spread > 0, spread, 1.0)
