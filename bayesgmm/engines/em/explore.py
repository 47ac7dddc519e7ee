"""Exploration beyond an optimum, by moves that split and merge components."""

from collections.abc import Callable

import jax
import numpy as np

from bayesgmm.engines.cuts import cut_in_order
from bayesgmm.engines.divisions import division_stats, one_hot
from bayesgmm.engines.em.ascent import begin, run_ascents
from bayesgmm.engines.em.ascent_state import PRUNED, Ascent, usable
from bayesgmm.engines.em.moves import equal_pair, moves
from bayesgmm.engines.noise_starts import noise_shares, with_noise
from bayesgmm.engines.roles import in_roles
from bayesgmm.engines.starts import class_params, first_of
from bayesgmm.model.types import Params
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import to_numpy

SHORT = 15
"""Iterations by which a move must end higher."""
HIGHER = 1e-3
"""A move counts if it ends higher than the best optimum by more than this."""
FEW_MOVES = 8
"""Moves that are tried, one after another, at the optimum of a given start."""
MOVED_ROWS = 2_000
"""About the maximum number of rows by which moves are chosen."""


def explore(
    ascents: Ascent,
    interrupted: bool,
    problem: Problem,
    run: Callable[[Params, int], tuple[Ascent, bool]],
    most: int,
    max_iter: int,
    promising: bool,
) -> tuple[Ascent, bool]:
    """Moves from the best ascent (`moves`), as long as one of them ends higher. That one is added to the ascents.

    ``run`` ascends from starts on a leading axis, up to a number of iterations. At most `most` moves are tried at a
    time, or only those that are ``promising``: all for `SHORT` iterations, and the best to its end if it is higher by
    then.
    """
    while not interrupted and (top := best_ascent(ascents)) is not None:
        theta = jax.tree.map(lambda leaf, top=top: np.asarray(leaf[top], np.float64), ascents.params)
        made, least = _moves(theta, problem, most, promising), float(ascents.objective[top]) + HIGHER
        higher, interrupted = _higher(made, least, problem, run, SHORT)
        if higher is not None and not interrupted:
            higher, interrupted = _higher([higher[1]], least, problem, run, max_iter)
        if higher is None:
            break
        ascents = joined([ascents, higher[0]])
    return ascents, interrupted


def higher_by(key, ascents: Ascent, problem: Problem, tol, max_iter: int, accelerate: bool):
    """Look beyond the optimum that a given start led to (one ascent).

    If components are equal, EM was at a saddle: it goes on from the best move. Otherwise the optimum is kept. Returns
    the ascents, whether Ctrl-C interrupted, and by how much a few iterations from a move end higher; 0 if none does.
    """

    def run(some: Params, limit: int) -> tuple[Ascent, bool]:
        found, interrupted = [], False
        for i in range(len(some.weights)):
            start = begin(jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], some), problem.standard_prior, accelerate)
            one, interrupted = run_ascents(
                key, start, problem.standard_prior, problem.rows, tol, limit, "em", accelerate
            )  # fmt: skip
            found.append(to_numpy(one))
            if interrupted:
                break
        return joined(found), interrupted

    top = best_ascent(ascents)
    if top is None:
        return ascents, False, 0.0
    theta = jax.tree.map(lambda leaf: np.asarray(leaf[top], np.float64), ascents.params)
    if equal_pair(theta) is not None:
        return *explore(ascents, False, problem, run, FEW_MOVES, max_iter, promising=True), 0.0
    higher, interrupted = _higher(
        _moves(theta, problem, FEW_MOVES, promising=True), float(ascents.objective[top]) + HIGHER, problem, run, SHORT
    )
    gain = 0.0 if higher is None else float(higher[0].objective[0] - ascents.objective[top])
    return ascents, interrupted, gain


def _moves(theta: Params, problem: Problem, most: int, promising: bool) -> list[Params]:
    """The moves from θ. If components are equal, a division by cuts at gaps comes first.

    Under a prior that tells the components apart, another numbering of θ comes before all.
    """
    rows = some_rows(problem)
    if problem.table.noise is not None:
        clustered = rows[noise_shares(theta, problem, rows) < 0.5]
        share, theta = float(theta.weights[-1]), Params(*(part[:-1] for part in theta))
        theta = theta._replace(weights=theta.weights / theta.weights.sum())
        made = _moves_of(theta, clustered, problem, most, promising)
        return [with_noise(one, problem, share) for one in made]
    return _moves_of(theta, rows, problem, most, promising)


def _moves_of(theta: Params, rows: np.ndarray, problem: Problem, most: int, promising: bool) -> list[Params]:
    made = moves(theta, rows, most, promising)
    if equal_pair(theta) is not None and (labels := cut_in_order(rows, len(theta.weights))) is not None:
        division = division_stats(rows, one_hot(labels, len(theta.weights))[None])
        made = [class_params(first_of(division), shrink=True), *made[: most - 1]]
    if problem.model.exchangeable or problem.table.noise is not None:
        return made
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), theta, *made)
    numbered = in_roles(stacked, problem)
    return [jax.tree.map(lambda leaf, i=i: leaf[i], numbered) for i in range(min(most, len(made) + 1))]


def _higher(made: list[Params], least: float, problem: Problem, run, limit: int):
    """The highest ascent from `made` (on a leading axis of 1) with its start, if it ends above ``least``."""
    if not made:
        return None, False
    tried, interrupted = run(jax.tree.map(lambda *leaves: np.stack(leaves).astype(problem.dtype), *made), limit)
    found = best_ascent(tried)
    if found is None or not tried.objective[found] > least:
        return None, interrupted
    return (jax.tree.map(lambda leaf: leaf[found : found + 1], tried), made[found]), interrupted


def best_ascent(ascents: Ascent) -> int | None:
    """The highest ascent (on the host) that has ended well; None if there is none."""
    good = usable(ascents) & (ascents.status != PRUNED)
    return int(np.where(good, ascents.objective, -np.inf).argmax()) if good.any() else None


def some_rows(problem: Problem) -> np.ndarray:
    """At most about `MOVED_ROWS` standardised rows, by which moves are chosen."""
    values, weights = problem.table.filled, problem.table.weights
    values = values if weights is None else values[weights > 0]
    return problem.frame.rows(values[:: max(1, len(values) // MOVED_ROWS)])


def joined(parts: list[Ascent]) -> Ascent:
    """All ascents on one leading axis; their traces may differ in length."""
    longest = max(one.trace.shape[1] for one in parts)
    padded = [one.with_trace(np.pad(one.trace, ((0, 0), (0, longest - one.trace.shape[1])))) for one in parts]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *padded)
