"""Parameters that are held: weights, means or covariances of some components, known and not inferred."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.model.families import Family
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.linalg import fault_of_matrix
from bayesgmm.runtime.arguments import as_floats, shown

PARTS = ("weights", "means", "covariances")
OWN = ("VVV", "VVI", "VII")
"""Families in which each covariance has its own parameters, so that one can be held and the next be free."""


class Held(NamedTuple):
    """The components of which a part of θ is held. Hashable: it decides the shape of what is left to infer."""

    weights: tuple[int, ...] = ()
    means: tuple[int, ...] = ()
    covariances: tuple[int, ...] = ()
    noise: bool = False
    """Whether the last component is the noise and no Gaussian. Its mean and covariance are held."""

    def with_noise(self, num: int) -> "Held":
        """The same for K Gaussians, and a noise component after them."""
        return Held(self.weights, (*self.means, num), (*self.covariances, num), True)

    def free(self, part: str, num: int) -> np.ndarray:
        """The components of which this part is free."""
        return np.setdiff1d(np.arange(num), getattr(self, part))


NOTHING = Held()
FARTHEST = 1e9
"""Largest ratio of a held standard deviation to that of the data, and its inverse; see `check_size`."""
LEAST = 1e-12
"""The smallest weight that can be held: beside 1, a smaller one has few digits."""


@dataclass(frozen=True, eq=False)
class Fixed:
    """Parameters that are held, in the user's units. What is free is NaN."""

    weights: np.ndarray
    """(K,)"""
    means: np.ndarray
    """(K, D)"""
    scale_trils: np.ndarray
    """(K, D, D): lower Cholesky factors of the covariances."""

    @property
    def parts(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Weights, means and Cholesky factors."""
        return self.weights, self.means, self.scale_trils

    @cached_property
    def held(self) -> Held:
        """Which components hold what."""
        firsts = self.weights, self.means[:, 0], self.scale_trils[:, 0, 0]
        weights, means, covariances = (tuple(np.flatnonzero(~np.isnan(part)).tolist()) for part in firsts)
        return Held(weights, means, covariances)

    @cached_property
    def alike(self) -> np.ndarray:
        """Which pairs of components hold the same, so that they could exchange their numbers, (K, K)."""
        flat = np.concatenate([part.reshape(len(part), -1) for part in self.parts], 1)
        same = (flat[:, None] == flat) | (np.isnan(flat[:, None]) & np.isnan(flat))
        return same.all(axis=-1)

    def standardise(self, frame: Frame) -> "Fixed":
        """The same in standardised coordinates."""
        means, units = (self.means - frame.center) / frame.scale, np.asarray(frame.scale)[:, None]
        return Fixed(self.weights, means, self.scale_trils / units)

    def filled(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The held parameters, with 0 for free weights and means, and the identity for free covariances."""
        trils = np.where(np.isnan(self.scale_trils), np.eye(self.means.shape[1]), self.scale_trils)
        return np.nan_to_num(self.weights), np.nan_to_num(self.means), trils

    def put(self, params: Params) -> Params:
        """θ (host, any leading axes; noise may follow) in which each held parameter has its value to the last digit."""
        parts = [np.array(part, float) for part in params]
        for axes, (own, held) in enumerate(zip(parts, self.parts, strict=True), 1):
            here = np.moveaxis(own, -axes, 0)[: len(held)]
            moved = held.reshape(len(held), *(1,) * (own.ndim - axes), *held.shape[1:])
            here[...] = np.where(np.isnan(moved), here, moved)
        return Params(*parts)  # pyright: ignore[reportArgumentType]

    def num_held(self, family: Family, num_components: int) -> int:
        """Free parameters of the mixture that are held, of so many components with the noise."""
        dim, held = self.means.shape[1], self.held
        weights = min(len(held.weights), num_components - 1)
        of_one = family.num_parameters(1, dim)
        return weights + dim * len(held.means) + of_one * len(held.covariances)

    def code(self) -> str:
        """The argument ``fixed`` that says the same, as Python code."""
        covariances = self.scale_trils @ self.scale_trils.swapaxes(1, 2)
        found = {}
        for name, part in zip(PARTS, (self.weights, self.means, covariances), strict=True):
            which = getattr(self.held, name)
            if which:
                found[name] = {k: part[k].tolist() for k in which}
        return repr(found)

    def words(self) -> str:
        """What is held, in a few words."""
        found = []
        for part in PARTS:
            which = getattr(self.held, part)
            if which:
                whose = "all components" if len(which) == len(self.weights) else _components(which)
                found.append(f"{part} of {whose}")
        return ", ".join(found)


def with_held_weights(weights: Any, values: Any, xp: Any) -> Any:
    """Weights (last axis) in which the held ones have their values, and the others share the rest as they stand.

    ``values`` are 0 where a weight is free.
    """
    free = values == 0.0
    rest = 1.0 - xp.sum(values)
    own = xp.where(free, weights, 0.0)
    total = xp.sum(own, axis=-1, keepdims=True)
    number = xp.sum(free)
    known = (total <= 0) | (number == 1)  # no ratios to keep, or the rest is for one alone, to the last digit
    shares = xp.where(known, free / xp.maximum(number, 1), own / xp.where(total > 0, total, 1.0))
    return xp.where(free, rest * shares, values)


def resolve_fixed(fixed: Any, num: int, features: tuple[str, ...], family: Family) -> Fixed | None:
    """Read and check the argument ``fixed`` of the engines; None if nothing is held.

    Parameters
    ----------
    fixed
        A mapping from ``"weights"``, ``"means"`` and ``"covariances"`` to what is held of them: an array for all
        components, in which the free ones are NaN, None or masked, or a mapping from numbers of components to values.
        Features are in the order of the columns; those of a Series or DataFrame of pandas go by name.

    Raises
    ------
    ArgumentError
        If a part is unknown, a value has the wrong shape or is impossible, the family does not let one covariance be
        held alone, or nothing is left to infer.
    """
    if fixed is None or isinstance(fixed, Fixed):
        return fixed
    if not isinstance(fixed, Mapping):
        raise ArgumentError(
            f"fixed must be a mapping such as {{'means': {{0: [1.0, 2.0]}}}}, got {shown(fixed)}. Its keys are "
            f"{', '.join(PARTS)}."
        )
    unknown = [name for name in fixed if name not in PARTS]
    if unknown:
        raise ArgumentError(f"fixed has no part {', '.join(map(shown, unknown))}. Its keys are {', '.join(PARTS)}.")
    dim = len(features)
    shapes = {"weights": (), "means": (dim,), "covariances": (dim, dim)}
    parts = {name: _in_full(name, fixed.get(name), num, shape, features) for name, shape in shapes.items()}
    _check_weights(parts["weights"])
    trils = _factors(parts["covariances"], family, dim)
    found = Fixed(parts["weights"], parts["means"], trils)
    if not any(found.held):
        return None
    whole = [len(getattr(found.held, part)) == num for part in PARTS]
    if all(whole) or (num == 1 and all(whole[1:])):
        raise ArgumentError(
            "fixed holds every parameter, so there is nothing to infer. Leave something free, or use "
            "bayesgmm.from_parameters for a mixture of known parameters."
        )
    return found


def _in_full(name: str, given: Any, num: int, shape: tuple[int, ...], features: tuple[str, ...]) -> np.ndarray:
    """One part for all components, NaN where it is free."""
    full = np.full((num, *shape), np.nan)
    if given is None:
        return full
    if isinstance(given, Mapping):
        for k, value in given.items():
            if value is None:
                continue
            if isinstance(k, bool) or not isinstance(k, int | np.integer) or not 0 <= k < num:
                raise ArgumentError(
                    f"fixed {name} names component {shown(k)}. The components are the integers 0 to {num - 1}."
                )
            what = f"fixed {name} of component {k}"
            full[k] = _whole(what, _in_order(what, value, features), shape)
        return full
    if isinstance(given, np.ma.MaskedArray) and given.dtype.kind in "iuf":
        given = np.ma.filled(given.astype(float), np.nan)
    given = [full[0] if value is None else value for value in given] if isinstance(given, list | tuple) else given
    array = as_floats(f"fixed {name}", _in_order(f"fixed {name}", given, features))
    if array.shape != full.shape:
        raise ArgumentError(
            f"fixed {name} must have the shape {full.shape} (NaN where they are free), or be a mapping from numbers of "
            f"components to values of shape {shape}; got {array.shape}."
        )
    for k, value in enumerate(array):
        if not np.isnan(value).all():
            full[k] = _whole(f"fixed {name} of component {k}", value, shape)
    return full


def _in_order(what: str, value: Any, features: tuple[str, ...]) -> Any:
    """A Series or DataFrame of pandas with the features in the order of the data; other values as they are."""
    if not hasattr(value, "reindex") or not hasattr(value, "index"):
        return value
    for axis in ("index", "columns"):
        names = list(getattr(value, axis, ()))
        if any(isinstance(name, str) for name in names):
            if sorted(map(str, names)) != sorted(features):
                raise ArgumentError(
                    f"The {what} has the names {', '.join(map(str, names))}, and the features are "
                    f"{', '.join(features)}."
                )
            value = value.reindex(**{axis: list(features)})
    return value


def _whole(what: str, value: Any, shape: tuple[int, ...]) -> np.ndarray:
    array = as_floats(what, value)
    if array.shape != shape:
        raise ArgumentError(f"The {what} must have the shape {shape}, got {array.shape}.")
    if not np.isfinite(array).all():
        raise ArgumentError(f"The {what} must be finite: it is held as a whole, or free as a whole.")
    return array


def _check_weights(weights: np.ndarray) -> None:
    held = weights[~np.isnan(weights)]
    if not held.size:
        return
    if (held < LEAST).any():
        raise ArgumentError(
            f"A fixed weight must be at least {LEAST:g}, got {held.min():g}. Leave out a component without weight."
        )
    free, total = len(weights) - len(held), held.sum()
    if free and total >= 1.0:
        raise ArgumentError(f"The fixed weights add up to {total:.6g}, and nothing is left for the other {free}.")
    if not free and abs(total - 1.0) > 1e-6:
        raise ArgumentError(f"All weights are fixed, and they add up to {total:.6g} and not to 1.")


def _factors(covariances: np.ndarray, family: Family, dim: int) -> np.ndarray:
    """Cholesky factors of the held covariances, NaN where they are free."""
    trils = np.full_like(covariances, np.nan)
    which = np.flatnonzero(~np.isnan(covariances[:, 0, 0]))
    if not len(which):
        return trils
    if family.name not in OWN:
        raise ArgumentError(
            f"Covariances of the family {family.name} share parameters, so one cannot be held while others are free. "
            f"Use covariance_type='full', 'diag' or 'spherical' ({', '.join(OWN)})."
        )
    for k in which:
        fault = fault_of_matrix(f"fixed covariance of component {k}", covariances[k][None])
        if fault is not None:
            raise ArgumentError(f"A fixed covariance must be symmetric and positive definite, but {fault}.")
        member = np.diag(np.diagonal(covariances[k])) if family.orientation == "I" else covariances[k]
        if family.shape == "I":
            member = np.diagonal(covariances[k]).mean() * np.eye(dim)
        if not np.allclose(member, covariances[k], rtol=1e-9, atol=0.0):
            raise ArgumentError(
                f"The fixed covariance of component {k} is not {family.label(dim)}. Use covariance_type='full'."
            )
        trils[k] = np.linalg.cholesky(covariances[k])
    return trils


def check_size(fixed: Fixed, frame: Frame, features: tuple[str, ...]) -> None:
    """Refuse, with an `ArgumentError`, held means and covariances that are so unlike the data that digits are lost."""
    spreads = np.maximum(np.linalg.norm(fixed.scale_trils, axis=-1) / frame.scale, np.finfo(float).tiny)
    away = np.abs(fixed.means - frame.center) / frame.scale
    for name, sizes, shown_as, of in (
        ("standard deviation", np.maximum(spreads, 1.0 / spreads), spreads, "times that of the data"),
        ("mean", away, away, "standard deviations of the data from their mean"),
    ):
        k, d = np.unravel_index(np.where(np.isnan(sizes), 0.0, sizes).argmax(), sizes.shape)
        if sizes[k, d] > FARTHEST:
            raise ArgumentError(
                f"The fixed {name} of component {k} in {features[d]} is {shown_as[k, d]:.1e} {of}: the likelihood has "
                "no digits left. Check its units; fixed covariances hold variances, in squared units of the data."
            )


def _components(which: tuple[int, ...]) -> str:
    return f"component{'s' if len(which) > 1 else ''} {', '.join(map(str, which))}"
