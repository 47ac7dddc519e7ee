"""What the criteria say together, in words."""

from collections import Counter
from collections.abc import Sequence

from bayesgmm.model_choice.answers import Answer


def agreed(answers: Sequence[Answer]) -> int | None:
    """The number of components that no criterion rules out; of several, that which most choose, then the smallest.

    None if there is none.
    """
    found = [one for one in answers if one.best is not None]
    if not found:
        return None
    common = frozenset.intersection(*(one.possible for one in found))
    votes = Counter(one.best.n_components for one in found if one.best is not None)
    return min(common, key=lambda size: (-votes[size], size)) if common else None


def conclusion(answers: Sequence[Answer]) -> list[str]:
    """One line about all criteria, then the sentence of each."""
    found = [one for one in answers if one.best is not None]
    return [f"{_together(found)}{_unanswered(answers)}{_spurious(found)}", *(one.words for one in answers)]


def _unanswered(answers: Sequence[Answer]) -> str:
    """Which criteria have no answer, if others have."""
    without = [one.title for one in answers if one.best is None]
    return f" No answer: {', '.join(without)}." if without and len(without) < len(answers) else ""


def _spurious(found: Sequence[Answer]) -> str:
    """Numbers of components that are left out because their best fits have a spurious component."""
    sizes = sorted({one.n_components for answer in found for one in answer.spurious})
    if not sizes:
        return ""
    names = ", ".join(answer.title for answer in found if answer.spurious)
    return f" Left out by {names}, since a component of its fit has too few rows: K = {_joined(sizes)}."


def _together(found: Sequence[Answer]) -> str:
    chosen = {one.title: one.best.n_components for one in found if one.best is not None}
    if not chosen:
        return "No criterion has an answer."
    sizes = set(chosen.values())
    if len(tried := {one.n_components for one in found[0].candidates}) == 1:
        return f"K = {tried.pop()} is the only number of components that was tried."
    unsure = [one for one in found if one.rivals]
    if len(sizes) == 1:
        size = sizes.pop()
        if len(chosen) == 1:
            return f"{next(iter(chosen))} chooses K = {size}{_doubt(unsure)}."
        all_ = "Both" if len(chosen) == 2 else f"All {len(chosen)}"
        return f"{all_} criteria choose K = {size}{_doubt(unsure)}."
    listed = ", ".join(f"{title} {size}" for title, size in chosen.items())
    size = agreed(found)
    if size is None:
        return (
            f"The criteria disagree: {listed}. No number of components is possible for all of them. They answer "
            "different questions: choose the criterion by yours (docs/selecting.md)."
        )
    common = sorted(frozenset.intersection(*(one.possible for one in found)) - {size})
    more = f" Nor do they rule out {_joined(common)}." if common else ""
    return f"The criteria differ ({listed}), but within their errors none rules out K = {size}.{more}"


def _doubt(unsure: Sequence[Answer]) -> str:
    """Which criteria cannot tell their choice from others."""
    if not unsure:
        return ", and none has another number close to it"
    parts = []
    for one in unsure:
        rivals = sorted({rival.n_components for rival in one.rivals})
        parts.append(f"{one.title} cannot tell it from {_joined(rivals)}")
    return f"; {', '.join(parts)}"


def _joined(sizes: Sequence[int]) -> str:
    words = list(map(str, sizes))
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
