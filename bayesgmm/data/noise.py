"""The region of a noise component: rows that belong to no cluster are uniform over it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.arguments import as_array, shown

FLAT = 1e-12
"""Data whose correlations have an eigenvalue below this lie in a plane of fewer dimensions."""
ROUNDING = 1e-9
"""By how much a given volume may fall below the hypervolume of the data, as a share of it."""


@dataclass(frozen=True, eq=False)
class Noise:
    """A box with any axes, in the user's units. The noise is uniform over it: its density is 1 / volume."""

    center: np.ndarray
    """(D,)"""
    edges: np.ndarray
    """(D, D): its edges as columns."""
    log_volume: float
    guess: np.ndarray | None = None
    """Which rows are noise at first, (N,), if the user says so; a start only."""
    given: bool = False
    """Whether the user gave the volume. Otherwise it is the hypervolume of the data, and counts as a parameter."""

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the uniform distribution over the box, (D, D)."""
        return self.edges @ self.edges.T / 12.0

    @property
    def attrs(self) -> dict[str, Any]:
        """The box as attributes of a file; see `noise_from`."""
        parts = {"noise_center": self.center, "noise_edges": self.edges, "noise_log_volume": self.log_volume}
        return {name: np.ravel(part).tolist() for name, part in parts.items()} | {"noise_given": int(self.given)}

    def take(self, rows: np.ndarray | slice) -> "Noise":
        """The same box, for these rows."""
        return self if self.guess is None else replace(self, guess=self.guess[rows])

    def sample(self, rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray:
        """Rows, with these leading axes, that are uniform over the box."""
        return self.center + (rng.random((*shape, len(self.center))) - 0.5) @ self.edges.T

    def standardise(self, frame: Any) -> "Noise":
        """The same box in the coordinates of a `bayesgmm.model.types.Frame`."""
        center, edges = (self.center - frame.center) / frame.scale, self.edges / np.asarray(frame.scale)[:, None]
        return Noise(center, edges, self.log_volume - float(frame.log_volume), self.guess, self.given)

    def holds(self, x: np.ndarray) -> bool:
        """Whether all rows x (…, D) lie in the box."""
        along = np.linalg.solve(self.edges, (x - self.center).reshape(-1, len(self.center)).T)
        return bool((np.abs(along) <= 0.5 + ROUNDING).all())

    def distribution_of(self, feature: int, values: np.ndarray) -> np.ndarray:
        """Marginal distribution function of one feature, that of a sum of uniform variables, at some values."""
        return np.interp(values - self.center[feature], *self._distribution(feature))

    def density_of(self, feature: int, grid: np.ndarray) -> np.ndarray:
        """Marginal density of one feature at equally spaced values, each averaged over its step."""
        half = 0.5 * (grid[1] - grid[0])
        ends = (self.distribution_of(feature, grid + side) for side in (half, -half))
        return np.subtract(*ends) / (2.0 * half)

    def _distribution(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        """Distances from the centre, and the marginal distribution function there."""
        widths = np.abs(self.edges[feature])
        widths = widths[widths > 1e-9 * widths.max()]
        reach = 0.5 * widths.sum()
        fine = np.linspace(-reach, reach, 4097)
        below = np.clip(fine / widths[0] + 0.5, 0.0, 1.0)
        for width in widths[1:]:  # each further uniform variable smooths the distribution function
            total = np.concatenate([[0.0], np.cumsum(0.5 * (below[1:] + below[:-1])) * (fine[1] - fine[0])])
            ahead = np.maximum(fine + 0.5 * width - reach, 0.0)  # beyond its end the function is 1
            below = (
                np.interp(fine + 0.5 * width, fine, total) + ahead - np.interp(fine - 0.5 * width, fine, total)
            ) / width
        return fine, below

    def in_order(self, order: list[int]) -> "Noise":
        """The same box with the features in this order."""
        return replace(self, center=self.center[order], edges=self.edges[order])


def noise_of(noise: Any, x: np.ndarray, counted: np.ndarray) -> Noise | None:
    """Read the argument ``noise`` for the rows x (N, D), of which some may count 0 times; None for False.

    The box is that of mclust (``hypvol``): the bounding box, or the box around the data in principal components if its
    volume is smaller. A given volume scales it.

    Raises
    ------
    ArgumentError
        If ``noise`` is neither a flag, a volume nor a flag for each row, or a volume is impossible.
    DataError
        If the box has the volume 0.
    """
    volume, guess = _read(noise, len(x))
    if volume is None and guess is None and noise is not None and not noise:
        return None
    rows = x[counted > 0]
    middle = rows.mean(axis=0)
    if (np.ptp(rows, axis=0) <= 0).any() or (volume is None and _flat(rows - middle)):
        raise DataError(
            "The rows lie in a plane of fewer dimensions than features: their hypervolume is 0, and the noise would "
            "have no density. Drop the features that are constant or depend on others, or give the volume of the noise."
        )
    boxes = [_box(rows, middle, np.eye(len(middle)))]
    if len(middle) > 1 and not _flat(rows - middle):
        apart = rows - middle
        boxes.append(_box(rows, middle, np.linalg.eigh(apart.T @ apart / len(apart))[1]))
    box = min(boxes, key=lambda box: box.log_volume)
    if volume is not None:
        box = _scaled(box, math.log(volume))
    return replace(box, guess=guess)


def num_gaussians(result: Any) -> int:
    """The number of components of a fit or a posterior without its noise."""
    return result.n_components - (result.table.noise is not None)


def noise_from(attrs: Mapping[Any, Any]) -> Noise | None:
    """The box that the attributes of a file say; None if they say none."""
    if "noise_center" not in attrs:
        return None
    center, edges, volume = (np.ravel(attrs[f"noise_{name}"]) for name in ("center", "edges", "log_volume"))
    return Noise(center, edges.reshape(len(center), -1), float(volume[0]), given=bool(attrs["noise_given"]))


def _read(noise: Any, num_rows: int) -> tuple[float | None, np.ndarray | None]:
    """The volume and the first guess that ``noise`` says, if it says them."""
    if isinstance(noise, bool | np.bool_):
        return None, None
    array = as_array("noise", noise)
    if array.dtype == bool and array.shape == (num_rows,):
        return None, _checked_guess(array)
    if array.dtype.kind not in "iuf" or array.ndim:
        raise ArgumentError(
            f"noise must be True, a volume in the units of the data, or True and False for each of the {num_rows} "
            f"rows (a first guess); got {shown(noise)}."
        )
    volume = float(array)
    if not math.isfinite(volume) or volume <= 0:
        raise ArgumentError(
            f"The volume of the noise must be finite and above 0, got {volume:g}. noise=True takes the hypervolume of "
            "the data."
        )
    return volume, None


def _checked_guess(guess: np.ndarray) -> np.ndarray:
    if guess.all():
        raise ArgumentError("noise calls every row noise, and leaves none to the components.")
    return guess.copy()


def _scaled(box: Noise, log_volume: float) -> Noise:
    """The box of this volume, about the same centre."""
    if log_volume < box.log_volume - ROUNDING:
        raise ArgumentError(
            f"The volume of the noise is {math.exp(log_volume):.6g}, less than the hypervolume of the data, "
            f"{math.exp(min(box.log_volume, 700.0)):.6g}: a uniform density over it could not reach all rows. Use "
            "noise=True, or a larger volume."
        )
    stretch = math.exp((log_volume - box.log_volume) / len(box.center))
    return Noise(box.center, box.edges * stretch, log_volume, given=True)


def _flat(apart: np.ndarray) -> bool:
    """Whether centred rows lie in a plane of fewer dimensions."""
    scale = np.sqrt((apart**2).mean(axis=0))
    inner = apart / np.where(scale > 0, scale, 1.0)
    return bool(np.linalg.eigvalsh(inner.T @ inner / len(inner))[0] < FLAT)


def _box(x: np.ndarray, middle: np.ndarray, axes: np.ndarray) -> Noise:
    """The box around the rows whose edges have the directions of these orthonormal columns."""
    along = (x - middle) @ axes
    low, high = along.min(axis=0), along.max(axis=0)
    with np.errstate(divide="ignore"):
        return Noise(middle + axes @ (0.5 * (low + high)), axes * (high - low), float(np.log(high - low).sum()))


def standard_log_density(noise: Noise | None, scale: Array) -> np.ndarray | None:
    """Log density of the noise in coordinates that are divided by ``scale``; None without noise."""
    return None if noise is None else np.asarray(np.log(np.asarray(scale)).sum() - noise.log_volume)
