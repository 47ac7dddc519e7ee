"""Settings of a run as they are pickled with its draws."""

import pickle
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class NotKept:
    """Stands for a setting that could not be pickled."""

    what: str


def picklable(value: Any) -> Any:
    """The setting, or a note of it if it cannot be pickled (a guide without a name)."""
    if not callable(value):
        return value
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return NotKept(repr(value))
    return value
