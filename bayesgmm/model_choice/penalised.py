"""Information criteria of the fits, and the sequence of bootstrap tests."""

import numpy as np

from bayesgmm.model_choice.answers import Answer, Candidate, nothing, ranked, written
from bayesgmm.model_choice.bootstrap_test import Step, steps
from bayesgmm.model_choice.work import Work
from bayesgmm.runtime.arguments import named_key
from bayesgmm.runtime.formatting import criterion_name, significant

BARE = 2.0
"""A difference of BIC up to this is worth no more than a bare mention (Kass & Raftery 1995, section 3.2)."""
GRADES = ((2.0, "hardly any"), (6.0, "positive"), (10.0, "strong"), (np.inf, "very strong"))
"""Evidence by the difference of twice the log evidence (Kass & Raftery 1995), which that of BIC approximates."""


def information(name: str, work: Work) -> Answer:
    """The answer of a criterion of `bayesgmm.results.criteria`."""
    cells, title = work.cells, criterion_name(name)
    fitted = [cells.get(one) for one in work.candidates]
    values = np.array([np.nan if c is None or c.fit is None else float(getattr(c.fit, name)()) for c in fitted])
    trusted = np.array([c is not None and not c.spurious for c in fitted])
    return ranked(
        name, title, work.candidates, values, larger=False, trusted=trusted,
        close=lambda difference, _: difference < BARE,
        say=lambda best, rivals, others: _say(name, best, rivals, others),
    )  # fmt: skip


def _say(name: str, best: str, rivals: list, others: list) -> str:
    if not others:
        return f"{best}, the only one."
    if rivals:
        near = ", ".join(f"{what} (+{difference:.1f})" for what, difference, _ in rivals)
        return f"{best}, but {near} {'is' if len(rivals) == 1 else 'are'} within {BARE:g}: too close to tell apart."
    what, difference, _ = others[0]
    grade = next(word for end, word in GRADES if difference <= end)
    evidence = f", {grade} evidence on the scale of Kass & Raftery" if name == "bic" else ""
    return f"{best}. The next, {what}, is {difference:.1f} behind{evidence}."


def bootstrap_sequence(name: str, work: Work) -> Answer:
    """The bootstrap likelihood-ratio tests within one family: that of the smallest BIC, if there are several."""
    title, cells = "bootstrap test", work.cells
    family = family_of(work)
    own = {c.n_components: cells[c].fit for c in work.candidates if c.family == family and cells[c].fit is not None}
    if not own:
        return nothing(name, title, work.candidates, True, ["There is no fit."])
    sizes = sorted(own)
    unbroken = [size for i, size in enumerate(sizes) if size == sizes[0] + i]
    done: list[Step] = []
    for step in steps(
        {size: fit for size, fit in own.items() if size in unbroken and fit is not None}, work.prior, unbroken[-1],
        work.num_bootstrap, work.level, named_key(work.key("lrt"), family),
    ):  # fmt: skip
        done.append(step)
        work.listener("bootstrap test", len(done), len(unbroken) - 1, f"{family} {step.size}: p {step.p_value:.3f}")
        if work.stop.is_set():
            break
    return _sequence(name, title, work, family, done)


def _sequence(name: str, title: str, work: Work, family: str, done: list[Step]) -> Answer:
    places = {c: i for i, c in enumerate(work.candidates)}
    values, p_values = np.full(len(places), np.nan), np.full(len(places), np.nan)
    for step in done:
        at = places[Candidate(family, step.size)]
        values[at], p_values[at] = step.ratio, step.p_value
    nan = np.full(len(values), np.nan)
    if not done:
        return nothing(name, title, work.candidates, True, ["It needs the fits of K and K + 1 components."])
    last = done[-1]
    rejected = last.p_value <= work.level
    best = Candidate(family, last.size + rejected)
    return Answer(
        name, title, work.candidates, values, nan, nan, nan, best, _near(family, done, rejected, work),
        f"{title}: {_sequence_words(best, done, rejected, work)}", True, {"p": p_values},
        (*_failures(done, work), *(f"{title}: {words}" for words in within_words(work, family))), work.level,
    )  # fmt: skip


def _near(family: str, done: list[Step], rejected: bool, work: Work) -> tuple[Candidate, ...]:
    """Numbers of components that another set of replicates may well choose: p within two errors of the level."""
    error = 2.0 * np.sqrt(work.level * (1.0 - work.level) / work.num_bootstrap)
    near = []
    if not rejected and done[-1].p_value - work.level < error:
        near.append(Candidate(family, done[-1].size + 1))
    rejections = done if rejected else done[:-1]
    near += [Candidate(family, s.size) for s in rejections if work.level - s.p_value < error and s.p_value > _least(s)]
    return tuple(one for one in near if one in work.candidates)


def _least(step: Step) -> float:
    """The smallest p-value that the replicates can give."""
    return 1.0 / (len(step.replicates) + 1.0)


def _sequence_words(best: Candidate, done: list[Step], rejected: bool, work: Work) -> str:
    families = len({one.family for one in work.candidates}) > 1
    tests = ", ".join(f"{s.size} against {s.size + 1} has p = {significant(s.p_value, 2)}" for s in done)
    count = f"{work.num_bootstrap} data sets each"
    if done[-1].p_value != done[-1].p_value:
        return f"{written(best, families)}, but the last test failed ({tests}; {count})."
    close = _near(best.family, done, rejected, work)
    doubt = f" The p-value is so close to the level that more data sets may change the answer to {_listed(close)}."
    end = " Every test rejects, up to the largest K: try more." if rejected else ""
    return f"{written(best, families)} at level {work.level:g}: {tests} ({count}).{doubt if close else ''}{end}"


def _listed(candidates: tuple[Candidate, ...]) -> str:
    return " or ".join(str(one.n_components) for one in candidates)


def _failures(done: list[Step], work: Work) -> list[str]:
    total = sum(step.failed for step in done)
    if not total:
        return []
    flat = "Under prior='default' none does." if work.prior is None else "Use a prior with a larger scale."
    count = len(done) * work.num_bootstrap
    return [f"Bootstrap test: in {total} of {count} data sets a fit collapsed; they are left out. {flat}"]


def within_words(work: Work, family: str) -> list[str]:
    """That a criterion compares numbers of components within one of several families."""
    if len({one.family for one in work.candidates}) == 1:
        return []
    return [f"within {family}, the family of the smallest BIC."]


def family_of(work: Work) -> str:
    """The one family of criteria that compare numbers of components only: that of the smallest BIC."""
    families = dict.fromkeys(one.family for one in work.candidates)
    if len(families) == 1:
        return next(iter(families))
    best = information("bic", work).best
    return next(iter(families)) if best is None else best.family
