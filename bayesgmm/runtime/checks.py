"""Checks of simple arguments: counts, numbers, flags, words, names, lists and paths. Each raises an `ArgumentError`."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from bayesgmm.errors import ArgumentError

MOST_DRAWS = 2**31 - 1
"""Largest count of steps or draws: what a 32-bit integer holds."""


LARGEST = float(np.finfo(float).max)


def shown(value: Any) -> str:
    """A wrong argument in a message: short, on one line, and also if it cannot show itself."""
    try:
        text = " ".join(repr(value).split())
    except Exception:  # the repr of a foreign object may fail in any way
        text = f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:77] + "…"


def check_count(name: str, value: Any, least: int = 1, most: int | None = MOST_DRAWS, why: str = "") -> int:
    """A count as an int, or an `ArgumentError` if it is no integer, or outside of `least` … `most`."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ArgumentError(f"{name} must be an integer of at least {least}, got {shown(value)}.")
    if most is not None and value > most:
        raise ArgumentError(f"{name} must be at most {most}{why and f' ({why})'}, got {shown(value)}.")
    return int(value)


def check_number(
    name: str, value: Any, low: float = -np.inf, high: float = np.inf, *, open_low: bool = False,
    open_high: bool = False,
) -> float:  # fmt: skip
    """A finite real number as a float, or an `ArgumentError` if it is none, or outside of the interval."""
    real = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    real = real and (abs(value) <= LARGEST if isinstance(value, int) else bool(np.isfinite(value)))
    if not real or not low <= value <= high or (open_low and value == low) or (open_high and value == high):
        ends = f"{'above' if open_low else 'at least'} {low:g}" if low > -np.inf else ""
        ends += " and " if ends and high < np.inf else ""
        ends += f"{'below' if open_high else 'at most'} {high:g}" if high < np.inf else ""
        raise ArgumentError(f"{name} must be a finite number{ends and f' {ends}'}, got {shown(value)}.")
    return float(value)


def check_level(name: str, value: Any) -> float:
    """A share between 0 and 1, or an `ArgumentError`."""
    return check_number(name, value, 0.0, 1.0, open_low=True, open_high=True)


def check_flag(name: str, value: Any) -> bool:
    """True or False, or an `ArgumentError`."""
    if not isinstance(value, (bool, np.bool_)):
        raise ArgumentError(f"{name} must be True or False, got {shown(value)}.")
    return bool(value)


def check_choice(name: str, value: Any, choices: Iterable[str], other: str = "") -> str:
    """One of a few words, or an `ArgumentError`. ``other`` says what else the argument may be."""
    choices = list(choices)
    if not isinstance(value, str) or value not in choices:
        raise ArgumentError(f"{name} must be one of {', '.join(choices)}{other}, got {shown(value)}.")
    return str(value)


def as_list(name: str, values: Any) -> list[Any]:
    """The items of an iterable, or an `ArgumentError` if it is none."""
    try:
        return list(values)
    except Exception:  # foreign objects fail in their own ways
        raise ArgumentError(f"{name} must be a list, got {shown(values)}.") from None


def check_names(names: Iterable[str], allowed: Iterable[str], function: str) -> None:
    """Refuse arguments that a function does not take, and list those that it takes."""
    allowed = sorted(allowed)
    unknown = [name for name in names if name not in allowed]
    if unknown:
        takes = f"It takes {', '.join(allowed)}." if allowed else "It takes none."
        raise ArgumentError(f"{function} takes no argument {', '.join(map(shown, unknown))}. {takes}")
