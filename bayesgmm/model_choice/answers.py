"""What one criterion says: its value for every candidate, the best, those close to it, and a sentence."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Candidate(NamedTuple):
    """One model: a covariance family with a number of components."""

    family: str
    n_components: int


@dataclass(frozen=True)
class Answer:
    """The answer of one criterion; arrays have one entry for each candidate, NaN where there is none."""

    name: str
    title: str
    """The criterion as it is written in tables."""
    candidates: tuple[Candidate, ...]
    values: np.ndarray
    errors: np.ndarray
    """Standard errors of the values; NaN where a criterion has none."""
    differences: np.ndarray
    """The value minus that of the best."""
    errors_of_differences: np.ndarray
    best: Candidate | None
    """None if no candidate has a value."""
    rivals: tuple[Candidate, ...]
    """Other numbers of components, each with its best family, that this criterion cannot tell from the best."""
    words: str
    """The answer, and how sure it is, in a sentence."""
    larger_is_better: bool
    more: dict[str, np.ndarray] = field(default_factory=dict)
    """Further columns, such as stacking weights or p-values."""
    notes: tuple[str, ...] = ()
    level: float | None = None
    """Level of a sequence of tests."""
    unit: str = "nats"
    """Of the values where larger is better, for the picture."""
    decimals: int = 1
    """Of the values in the table."""
    spurious: tuple[Candidate, ...] = ()
    """Numbers of components that would be the best or a rival, if their fits had no spurious component."""

    @property
    def possible(self) -> frozenset[int]:
        """Numbers of components that the criterion does not rule out."""
        found = [] if self.best is None else [self.best, *self.rivals]
        return frozenset(one.n_components for one in found)


def best_of_each(
    candidates: Sequence[Candidate], values: np.ndarray, larger: bool, trusted: np.ndarray | None = None
) -> list[int]:
    """For each number of components, in ascending order, the index of its best candidate with a value.

    Candidates that are not `trusted` count only where no other has a value.
    """
    trusted = np.ones(len(values), bool) if trusted is None else trusted
    cost = -values if larger else values
    found = []
    for size in sorted({one.n_components for one in candidates}):
        own = [i for i, one in enumerate(candidates) if one.n_components == size and np.isfinite(cost[i])]
        if own:
            found.append(min(own, key=lambda i: (not trusted[i], cost[i])))
    return found


def nothing(name: str, title: str, candidates: Sequence[Candidate], larger: bool, why: Iterable[str]) -> Answer:
    """The answer of a criterion without any value."""
    empty = np.full(len(candidates), np.nan)
    words = f"{title}: no answer. {' '.join(why)}".strip()
    return Answer(name, title, tuple(candidates), empty, empty, empty, empty, None, (), words, larger)


Close = Callable[[float, float], bool]
"""Whether a difference (at least 0: how much worse) with its standard error is too small to tell two models apart."""


def ranked(
    name: str, title: str, candidates: Sequence[Candidate], values: np.ndarray, *, larger: bool, close: Close,
    say: Callable[[str, list[tuple[str, float, float]], list[tuple[str, float, float]]], str],
    errors: np.ndarray | None = None, errors_of_differences: Callable[[int], np.ndarray] | None = None,
    trusted: np.ndarray | None = None, more: dict[str, np.ndarray] | None = None, notes: Iterable[str] = (),
) -> Answer:  # fmt: skip
    """The answer of a criterion that ranks candidates by a value.

    Parameters
    ----------
    name, title, candidates, values
        The criterion and its values (C,).
    larger
        Whether larger is better.
    close
        See `Close`.
    say
        Makes the sentence from the best in words, and from the rivals and all others, nearest first: each in words,
        with how much worse it is and the standard error of that.
    errors, errors_of_differences
        Standard errors of the values; those of the differences to the candidate of an index.
    trusted
        Candidates that may be best; others only if none of these has a value.
    more, notes
        See `Answer`.
    """
    none = np.full(len(values), np.nan)
    leaders = best_of_each(candidates, values, larger, trusted)
    if not leaders:
        return nothing(name, title, candidates, larger, notes)
    cost = -values if larger else values
    trusted = np.ones(len(values), bool) if trusted is None else trusted
    best = min(leaders, key=lambda i: (not trusted[i], cost[i]))
    spread = none if errors_of_differences is None else errors_of_differences(best)
    others = sorted((i for i in leaders if i != best), key=lambda i: cost[i])
    rivals = [i for i in others if trusted[i] and close(cost[i] - cost[best], spread[i])]
    spurious = tuple(candidates[i] for i in others if not trusted[i] and close(cost[i] - cost[best], spread[i]))
    families = len({one.family for one in candidates}) > 1

    def described(indices: list[int]) -> list[tuple[str, float, float]]:
        return [(written(candidates[i], families), float(cost[i] - cost[best]), float(spread[i])) for i in indices]

    largest = max(one.n_components for one in candidates)
    words = say(written(candidates[best], families), described(rivals), described(others))
    if candidates[best].n_components == largest and len({one.n_components for one in candidates}) > 1:
        words += " It is the largest K that was tried: try more."
    return Answer(
        name, title, tuple(candidates), values, none if errors is None else errors, values - values[best], spread,
        candidates[best], tuple(candidates[i] for i in rivals), f"{title}: {words}", larger, more or {}, tuple(notes),
        spurious=spurious,
    )  # fmt: skip


def written(candidate: Candidate, with_family: bool) -> str:
    """A candidate in words: ``3``, or ``3 (EEE)`` where there are several families."""
    return f"{candidate.n_components} ({candidate.family})" if with_family else str(candidate.n_components)
