"""Convert the end of an ascent to a fit in the user's units."""

from typing import Any

import jax
import numpy as np

from bayesgmm.engines.em.ascent_state import CONVERGED, FAILED, PRUNED, STATUS, Ascent, usable
from bayesgmm.engines.em.bootstrap import refits
from bayesgmm.engines.host_likelihoods import log_likelihoods
from bayesgmm.model.alignment import by_first_mean, permute
from bayesgmm.model.types import Params
from bayesgmm.problem import Problem
from bayesgmm.results.fit import Basin, MixtureFit
from bayesgmm.runtime.programs import Program, Stopwatch
from bayesgmm.sweep.likelihood import log_likelihood
from bayesgmm.sweep.passed import HostRows

REFITTED = ("em", "daem")
"""Algorithms whose fits the bootstrap can refit: it climbs by EM."""


def to_fit(
    ascents: Ascent, best: int, problem: Problem, algorithm: str, interrupted: bool, clock: Stopwatch, seed: Any,
    settings: dict[str, Any],
) -> MixtureFit:  # fmt: skip
    """The fit from ascent `best` of several ascents (on the host)."""
    chosen = jax.tree.map(lambda leaf: leaf[best], ascents)
    objective = float(chosen.objective)
    restored = problem.model.restore(chosen.params)
    # Not the objective less log p(θ): under a prior of enormous weight that difference has no digits.
    value = float(chosen.value) - problem.log_volume
    outside = problem.model.log_prior(restored)
    shift = value + outside - objective
    return MixtureFit(
        params=permute(restored, by_first_mean(restored, problem.model.interchangeable)),
        # The objective of CEM is a classification log-likelihood.
        log_likelihood=_marginal(chosen.params, problem) if algorithm == "cem" else value,
        objective=value + outside,
        converged=int(chosen.status) == CONVERGED,
        status=STATUS[int(chosen.status)],
        n_iter=int(chosen.iteration),
        trace=np.asarray(chosen.trace, np.float64)[: int(chosen.iteration) + 1] + shift,
        basins=_basins(ascents, shift),
        algorithm=algorithm,
        model=problem.model,
        settings=settings,
        interrupted=interrupted,
        clock=clock,
        seed=seed,
        resample=refits if algorithm in REFITTED else None,
    )


def _marginal(params: Params, problem: Problem) -> float:
    if isinstance(problem.rows, HostRows):
        one = jax.tree.map(lambda leaf: leaf[None], params)
        return float(log_likelihoods(one, problem.standard_prior, problem.rows)[0]) - problem.log_volume
    return float(_LIKELIHOOD(params, problem.rows)) - problem.log_volume


_LIKELIHOOD = Program(log_likelihood)


def _basins(ascents: Ascent, shift: float) -> tuple[Basin, ...]:
    """Basins: starts whose final objectives differ by less than 1e-3. Failed and pruned starts group by status."""
    ended = np.asarray(usable(ascents)) & (ascents.status != PRUNED)
    order = np.lexsort((-np.where(np.isfinite(ascents.objective), ascents.objective, -np.inf), ~ended))
    groups: list[list[int]] = []
    for i in map(int, order):
        home = next((group for group in groups if _same(ascents, group[0], i)), None)
        if home is None:
            groups.append([i])
        else:
            home.append(i)
    return tuple(
        Basin(
            objective=float(ascents.objective[group[0]]) + shift,
            hits=len(group),
            mean_iterations=float(ascents.iteration[np.array(group)].mean()),
            status=STATUS[int(ascents.status[group[0]])],
        )
        for group in groups
    )


def _same(ascents: Ascent, first: int, second: int) -> bool:
    if ascents.status[first] != ascents.status[second]:
        return False
    kind_only = int(ascents.status[first]) in (*FAILED, PRUNED)
    return kind_only or float(abs(ascents.objective[first] - ascents.objective[second])) < 1e-3
