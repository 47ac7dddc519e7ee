"""Checks of what users give to a `Mixture`: features, given values, shares, rows. Errors come before any work."""

import difflib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from bayesgmm.data.order import in_order
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.numerics.arrays import LARGEST
from bayesgmm.runtime.arguments import as_floats, as_list
from bayesgmm.runtime.checks import check_number, shown


def feature_names(features: Any, dim: int) -> tuple[tuple[str, ...], bool]:
    """The names of D features and whether they were given; without any x0, x1 and so on.

    Raises
    ------
    ArgumentError
        If they are not D different texts.
    """
    if features is None:
        return tuple(f"x{d}" for d in range(dim)), False
    names = [features] if isinstance(features, str) else as_list("features", features)
    if not all(isinstance(name, str) for name in names) or len(set(names)) < len(names) or len(names) != dim:
        raise ArgumentError(f"features must be {dim} different names, one for each mean; got {shown(features)}.")
    return tuple(map(str, names)), True


def places_of(argument: str, features: Any, names: tuple[str, ...]) -> list[int]:
    """Indices of features that are given by name or index: one, or a list.

    Raises
    ------
    ArgumentError
        If there are none, one is unknown, or one stands twice.
    """
    single = isinstance(features, (str, int, np.integer)) or not isinstance(features, Iterable)
    places = [_place(argument, one, names) for one in ([features] if single else as_list(argument, features))]
    if not places:
        raise ArgumentError(f"{argument} names no feature. Choose among {_listed(names)}.")
    twice = sorted({names[place] for place in places if places.count(place) > 1})
    if twice:
        raise ArgumentError(f"{argument} has {', '.join(map(shown, twice))} twice. Name each feature once.")
    return places


def _place(argument: str, feature: Any, names: tuple[str, ...]) -> int:
    if isinstance(feature, str) and feature in names:
        return names.index(feature)
    whole = isinstance(feature, (int, np.integer)) and not isinstance(feature, bool)
    if whole and 0 <= int(feature) < len(names):
        return int(feature)
    near = difflib.get_close_matches(feature, names, 1, 0.6) if isinstance(feature, str) else []
    advice = f"Did you mean {shown(near[0])}?" if near else f"The features are {_listed(names)}."
    raise ArgumentError(f"{argument}: there is no feature {shown(feature)} in this mixture. {advice}")


def _listed(names: tuple[str, ...]) -> str:
    return ", ".join(map(shown, names[:8])) + (", …" if len(names) > 8 else "")


def given_values(given: Any, names: tuple[str, ...]) -> tuple[list[int], np.ndarray]:
    """Indices and values (1, A) of the features of ``{feature: value}``, or of one row as a Series.

    Raises
    ------
    ArgumentError
        If it is no such mapping; a feature is unknown, stands twice, or all of them are given; a value is no finite
        number whose square is a double.
    """
    pairs = _pairs(given)
    if pairs is None:
        example = f"{{{names[0]!r}: 1.0}}"
        raise ArgumentError(f"given must be a dict of features and values, such as {example}; got {shown(given)}.")
    places = places_of("given", [name for name, _ in pairs], names)
    if len(places) == len(names):
        raise ArgumentError(
            "given has all features of the mixture, so that none is left to have a distribution. "
            "Leave one out, or take score_samples for their density."
        )
    for name, value in pairs:
        if np.ndim(value):
            raise ArgumentError(
                f"given[{shown(name)}] must be one number, got {shown(value)}. For many rows use regress(target, x)."
            )
    return places, np.array(
        [[check_number(f"given[{shown(name)}]", _plain(value), -LARGEST, LARGEST) for name, value in pairs]]
    )


def _pairs(given: Any) -> list[tuple[Any, Any]] | None:
    """The items of a mapping or of a Series; None if it is neither."""
    series = getattr(given, "ndim", 0) == 1 and hasattr(given, "items")
    return list(given.items()) if isinstance(given, Mapping) or series else None


def _plain(value: Any) -> Any:
    """A number of NumPy, or in an array without axes, as a number of Python."""
    return value.item() if isinstance(value, (np.ndarray, np.generic)) and value.dtype.kind in "fiu" else value


def shares(name: str, value: Any) -> np.ndarray:
    """Probabilities above 0 and below 1, of any shape.

    Raises
    ------
    ArgumentError
        If one is not.
    """
    found = as_floats(name, value)
    if not ((found > 0) & (found < 1)).all():
        raise ArgumentError(f"{name} must be above 0 and below 1, got {shown(value)}.")
    return found


def no_nan(name: str, values: np.ndarray) -> np.ndarray:
    """Numbers that may be infinite, or an `ArgumentError` if one is NaN."""
    if np.isnan(values).any():
        raise ArgumentError(f"{name} must not be NaN, got {shown(values)}.")
    return values


def one_feature(what: str, names: tuple[str, ...], advice: str) -> None:
    """Refuse a mixture of several features where only one has an answer."""
    if len(names) > 1:
        raise ArgumentError(
            f"{what} are of one feature, and this mixture has {len(names)} ({_listed(names)}). {advice}"
        )


def rows_of(x: Any, names: tuple[str, ...], named: bool) -> np.ndarray:
    """Rows (N, D) with the features of a mixture, in its order; columns are put in order by name.

    Raises
    ------
    DataError
        If x is no table of finite numbers with these features.
    """
    table = as_table(x)
    if table.dim != len(names):
        raise DataError(
            f"The mixture has {len(names)} features ({_listed(names)}); the rows have {table.dim}. "
            "Give a column for each feature, in this order."
        )
    return _plain_values(in_order(table, names, named, "mixture"))


def given_table(
    x: Any, on: Any, target: list[int], names: tuple[str, ...], named: bool
) -> tuple[list[int], np.ndarray]:
    """Indices of the given features of a regression, and their values (N, A).

    Without ``on`` they are the columns of x, if these have names of the mixture, and all but the target otherwise.

    Raises
    ------
    ArgumentError
        If a feature is unknown, stands twice or is a target, or nothing is given.
    DataError
        If x is no table of finite numbers with these features.
    """
    places = None if on is None else places_of("on", on, names)
    both = [names[place] for place in places or [] if place in target]
    if both:
        raise ArgumentError(f"{', '.join(map(shown, both))} is given and a target. Leave it out of one of them.")
    rest = [place for place in range(len(names)) if place not in target]
    if not rest:
        raise ArgumentError("target has all features of the mixture, so that none is left to be given.")
    table = as_table(x)
    if places is None:
        known = table.named and set(table.features) <= {names[place] for place in rest}
        places = [names.index(name) for name in table.features] if known else rest
    own = tuple(names[place] for place in places)
    if table.dim != len(own):
        raise DataError(
            f"x has {table.dim} columns, and {len(own)} features are given ({_listed(own)}). Name them by on=[…], "
            "or give a column for each, in this order."
        )
    return places, _plain_values(in_order(table, own, named, "regression"))


def _plain_values(table: Table) -> np.ndarray:
    """The values, or a `DataError` if some were not seen, or with errors: a mixture by itself takes complete rows."""
    if table.complete:
        return table.values
    what = "gaps (NaN)" if table.gaps else "errors of measurement"
    raise DataError(
        f"The rows have {what}, and a mixture by itself takes complete rows without errors. Leave such rows out, give "
        "the features that were seen by on=[…], or use score_samples and impute of the fit or posterior."
    )
