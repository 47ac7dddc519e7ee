"""From the end of a climb to a fit in the user's units."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.engines.em.ascent import CONVERGED, FAILED, PRUNED, STATUS, Climb, usable
from bayesgmm.engines.kernels import log_likelihood
from bayesgmm.model.alignment import by_first_mean, permute
from bayesgmm.model.types import Params
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.problem import Problem, log_kernel
from bayesgmm.results.fit import Basin, MixtureFit
from bayesgmm.runtime.programs import Stopwatch


def to_fit(
    states: Climb, best: int, problem: Problem, algorithm: str, interrupted: bool, clock: Stopwatch, seed: Any,
    marginal: bool = False,
) -> MixtureFit:  # fmt: skip
    """The fit at the end of climb `best` of several (on the host); ``marginal``: the objective is no log-likelihood."""
    chosen = jax.tree.map(lambda leaf: leaf[best], states)
    objective = float(chosen.objective)
    restored = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem.frame.restore(chosen.best))
    inside, outside = 0.0, 0.0  # log p(θ) in standardised coordinates, and in the user's: a flat belief has none
    if problem.prior is not None:
        inside = _log_prior(chosen.best, problem.belief)
        outside = _log_prior(restored, problem.penalty) + problem.prior_constant
    value = objective - inside - problem.log_volume
    shift = value + outside - objective
    return MixtureFit(
        params=permute(restored, by_first_mean(restored)),
        log_likelihood=_marginal(chosen.best, problem) if marginal else value,
        objective=value + outside,
        converged=int(chosen.status) == CONVERGED,
        status=STATUS[int(chosen.status)],
        n_iter=int(chosen.iteration),
        trace=np.asarray(chosen.trace, np.float64)[: int(chosen.iteration) + 1] + shift,
        basins=_basins(states, shift),
        algorithm=algorithm,
        family=problem.family,
        prior=problem.prior,
        table=problem.table,
        frame=problem.frame,
        interrupted=interrupted,
        clock=clock,
        seed=seed,
    )


def _log_prior(params: Params, belief: Belief) -> float:
    return float(log_kernel(*jax.tree.map(jnp.asarray, (params, belief))))


def _marginal(params: Params, problem: Problem) -> float:
    params = Params(*map(jnp.asarray, params))
    return float(log_likelihood(params, problem.rows)) - problem.log_volume


def _basins(states: Climb, shift: float) -> tuple[Basin, ...]:
    """Starts that ended within 1e-3 of one another in the objective are one basin; others are listed by kind."""
    ended = np.asarray(usable(states)) & (states.status != PRUNED)
    order = np.lexsort((-np.where(np.isfinite(states.objective), states.objective, -np.inf), ~ended))
    groups: list[list[int]] = []
    for i in map(int, order):
        home = next((group for group in groups if _same(states, group[0], i)), None)
        if home is None:
            groups.append([i])
        else:
            home.append(i)
    return tuple(
        Basin(
            objective=float(states.objective[group[0]]) + shift,
            hits=len(group),
            mean_iterations=float(states.iteration[np.array(group)].mean()),
            status=STATUS[int(states.status[group[0]])],
        )
        for group in groups
    )


def _same(states: Climb, first: int, second: int) -> bool:
    if states.status[first] != states.status[second]:
        return False
    kind_only = int(states.status[first]) in (*FAILED, PRUNED)
    return kind_only or float(abs(states.objective[first] - states.objective[second])) < 1e-3
