"""The cells of a study: where its data sets come from."""

import itertools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.families import resolve_family
from bayesgmm.model.types import Params, check_params
from bayesgmm.priors.prior import Belief, within_family
from bayesgmm.priors.within_family import check_drawn
from bayesgmm.results.simulate import sample_prior
from bayesgmm.results.with_noise import refuse_noise
from bayesgmm.runtime.arguments import as_list, check_count, check_number, derived_key, named_key, shown
from bayesgmm.studies.random_mixtures import MOST_COMPONENTS, MOST_FEATURES, random_mixture

MOST_ROWS = 10**7
GRID = ("n_components", "n_features", "overlap", "imbalance")


class Cell(NamedTuple):
    """One place of the grid."""

    design: tuple[tuple[str, Any], ...]
    """Names and values of what the truth depends on."""
    n: int
    """Rows of each data set."""

    @property
    def place(self) -> dict[str, Any]:
        """All coordinates of the cell."""
        return {**dict(self.design), "n": self.n}

    @property
    def label(self) -> str:
        """The coordinates in words, the same in every process."""
        return ", ".join(f"{name}={value}" for name, value in self.place.items())


@dataclass(frozen=True)
class Truths:
    """Fixed mixtures, mixtures from the prior, or random mixtures of a given overlap."""

    fixed: dict[str, Params]
    """By name; empty if each replicate has a truth of its own."""
    family_prior: Belief | None
    """Where truths are drawn from, in full shape; None if they are fixed or random."""
    covariance_type: str
    sizes: tuple[int, ...]
    """Numbers of rows."""
    grid: dict[str, tuple]
    """Values of K, D, overlap and imbalance of random mixtures; K alone if truths come from the prior."""

    @property
    def cells(self) -> list[Cell]:
        """All cells, in order."""
        axes = {"truth": tuple(self.fixed)} if self.fixed else self.grid
        designs = [tuple(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]
        return [Cell(design, n) for design in designs for n in self.sizes]

    def draw(self, cell: Cell, key: Any, replicate: int) -> Params:
        """The truth of a replicate. It does not depend on the number of rows."""
        design = dict(cell.design)
        if self.fixed:
            return self.fixed[design["truth"]]
        key = derived_key(named_key(key, json.dumps(cell.design)), replicate)
        if self.family_prior is not None:
            return Params(*(np.asarray(part)[0, 0] for part in sample_prior(key, self.family_prior, 1)))
        return random_mixture(**design, covariance_type=random_kind(self.covariance_type), seed=key)


def random_kind(covariance_type: str) -> str:
    """The kind of random covariances that a family holds."""
    letters = resolve_family(covariance_type, 2).name
    if letters[1:] == "II":
        return "spherical"
    return "diag" if letters[2] == "I" else "tied" if letters == "EEE" else "full"


def truths_of(truths: Any, n: Any, covariance_type: str, prior: Any, grid: dict[str, Any]) -> Truths:
    """The checked truths of a study.

    Raises
    ------
    ArgumentError, PriorError
        If they are none of the kinds that `study` takes, or an argument belongs to another kind.
    """
    sizes = tuple(check_count("n", size, most=MOST_ROWS) for size in _values("n", n))
    given = {name: _values(name, value) for name, value in grid.items() if value is not None}
    if isinstance(truths, str) and truths == "random":
        return Truths({}, None, covariance_type, sizes, _random_grid(given))
    if isinstance(truths, str) and truths == "prior":
        return Truths({}, _prior_of(prior, covariance_type, given), covariance_type, sizes, _prior_grid(given))
    if given:
        raise ArgumentError(f"{', '.join(given)} belongs to truths='random' or 'prior'. These truths are given.")
    found = truths if isinstance(truths, Mapping) else {"truth": truths}
    fixed = {str(name): _checked(name, value) for name, value in found.items()}
    if not fixed:
        raise ArgumentError("truths is empty. Give Params, a fit, a dict of them, 'prior' or 'random'.")
    shapes = {np.shape(params.means) for params in fixed.values()}
    if len(shapes) > 1:
        raise ArgumentError(f"All truths of one study must have one K and D, got means of shapes {sorted(shapes)}.")
    return Truths(fixed, None, covariance_type, sizes, {})


def _values(name: str, value: Any) -> tuple:
    several = isinstance(value, list | tuple | range) or (isinstance(value, np.ndarray) and value.ndim == 1)
    found: tuple[Any, ...] = tuple(as_list(name, value)) if several else (value,)
    if not found:
        raise ArgumentError(f"{name} is empty. Give at least one value.")
    repeated = [value for i, value in enumerate(found) if value in found[:i]]
    if repeated:
        raise ArgumentError(f"{name} has {shown(repeated[0])} twice. Give each value once.")
    return tuple(one.item() if isinstance(one, np.generic) else one for one in found)


def _random_grid(given: dict[str, tuple]) -> dict[str, tuple]:
    lacking = [name for name in ("n_components", "n_features") if name not in given]
    if lacking:
        raise ArgumentError(f"Random truths need {' and '.join(lacking)}, such as n_components=3, n_features=2.")
    filled = {"overlap": (0.01,), "imbalance": (1.0,)} | given
    for name, most in zip(GRID[:2], (MOST_COMPONENTS, MOST_FEATURES), strict=True):
        filled[name] = tuple(check_count(name, value, most=most) for value in filled[name])
    for name in GRID[2:]:
        filled[name] = tuple(check_number(name, value, low=0.0) for value in filled[name])
    return {name: filled[name] for name in GRID}


def _prior_grid(given: dict[str, tuple]) -> dict[str, tuple]:
    wrong = [name for name in GRID[2:] if name in given] + [n for n in GRID[:2] if len(given.get(n, ())) != 1]
    if wrong:
        raise ArgumentError(
            "Truths from the prior need one n_components and one n_features, and no overlap or imbalance, which the "
            f"prior determines. Not so: {', '.join(wrong)}."
        )
    return {name: (check_count(name, given[name][0]),) for name in GRID[:2]}


def _prior_of(prior: Any, covariance_type: str, given: dict[str, tuple]) -> Belief:
    if not isinstance(prior, Belief):
        raise PriorError(
            "truths='prior' needs a bayesgmm.Prior: the default prior is made from data, of which there are none yet. "
            "Take one from similar data: bg.default_prior(x, n_components)."
        )
    (num,), (dim,) = _prior_grid(given).values()
    family = resolve_family(covariance_type, dim)
    check_drawn(family)
    return within_family(prior.expand(num, dim).taken_by(family), family, num, dim)[0]


def _checked(name: Any, value: Any) -> Params:
    refuse_noise(getattr(value, "table", None), "Truths of a study")
    params = getattr(value, "params", value)
    if not isinstance(params, Params):
        raise ArgumentError(
            f"truths must be bayesgmm.Params, a fit, a dict of them, 'prior' or 'random'; {shown(name)} is "
            f"{shown(value)}."
        )
    params = check_params(params)
    if params.weights.ndim != 1:
        raise ArgumentError(f"The truth {shown(name)} holds several mixtures. Give one, such as a posterior mean.")
    return params
