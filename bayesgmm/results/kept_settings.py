"""What is kept of a run with its draws: settings that can be pickled, and notes of what cannot be kept."""

import pickle
from dataclasses import dataclass
from typing import Any

from bayesgmm.errors import ArgumentError


@dataclass(frozen=True)
class NotKept:
    """Stands for a setting that could not be pickled."""

    what: str


@dataclass(frozen=True)
class NoChains:
    """Stands for chains that could not be kept, where a posterior has its ``continuation``."""

    why: str

    def __call__(self, *_: Any) -> Any:
        """Raise `ArgumentError`: the chains cannot go on."""
        raise ArgumentError(f"These chains cannot be extended: {self.why} Sample again, with more draws.")


def picklable(value: Any) -> Any:
    """The setting, or a note of it if it cannot be pickled (a guide without a name)."""
    if not callable(value):
        return value
    try:
        pickle.dumps(value)
    except (pickle.PicklingError, AttributeError, TypeError):
        return NotKept(repr(value))
    return value
