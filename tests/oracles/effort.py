"""Size of the slow suite: BAYESGMM_EFFORT=1 runs all of it; .ci/run uses less."""

import os
from collections import defaultdict

import pytest

EFFORT = float(os.environ.get("BAYESGMM_EFFORT", "1"))
SOME = pytest.mark.slow(some=True)
"""Marks slow variants of one test, such as its covariance families: with less effort the first of each ten runs."""
EVERY = 10
WHOLE = pytest.mark.slow(whole=True)
"""Marks what other tests protect too, by another way: it runs in the whole slow suite only."""


def left_out(items):
    """The `SOME` variants of each test, and the `WHOLE` ones, that do not run with less effort."""
    variants, dropped = defaultdict(list), set()
    for item in items:
        marks = [mark.kwargs for mark in item.iter_markers("slow")]  # of the function and of its variant
        if any(mark.get("some") for mark in marks):
            variants[item.nodeid.partition("[")[0]].append(item)
        if any(mark.get("whole") for mark in marks):
            dropped.add(item)
    return dropped | {item for found in variants.values() for i, item in enumerate(found) if i % EVERY}


def some_and_slow(cases, every):
    """Every n-th case for the default suite (none if 0); the others are marked slow, and BAYESGMM_EFFORT thins them."""
    first = cases[::every] if every else []
    rest = [case for case in cases if case not in first][:: round(1 / EFFORT)]
    return [*first, *(slow_case(case) for case in rest)]


def mostly_slow(cases, often):
    """The first cases for the default suite; with less effort, every tenth of the others runs."""
    return [*cases[:often], *(pytest.param(*(c if isinstance(c, tuple) else (c,)), marks=SOME) for c in cases[often:])]


def slow_case(case):
    if hasattr(case, "values"):
        return pytest.param(*case.values, marks=pytest.mark.slow, id=case.id)
    return pytest.param(*case, marks=pytest.mark.slow)
