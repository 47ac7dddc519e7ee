"""The bootstrap of EM: refits to rows drawn with replacement, to data drawn from the fit, or to weighted rows.

See Efron & Tibshirani (1993); for weights Newton & Raftery (1994).

Replicates run in one program, each from the fit. They get the fit's numbering. Those that collapse are counted.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from bayesgmm.engines.em.ascent import ascend, start_ascents
from bayesgmm.engines.em.ascent_state import CONVERGED, Ascent, Limits, usable
from bayesgmm.errors import FitError
from bayesgmm.model import mixture
from bayesgmm.model.alignment import align, permute
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, to_problem
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.parameters import flatten
from bayesgmm.runtime.arguments import as_key, key_array
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.rows import Blocks, Rows, padded_size

BATCH_VALUES = 2**24
"""Numbers (replicate, row, component or feature) held in memory at a time."""
MOST_ITERATIONS, TOLERANCE = 1000, 1e-6


def refits(fit: MixtureFit, method: str, num: int, seed: Any) -> tuple[np.ndarray, str]:
    """Parameters of the refits (replicate, parameter), in the user's units and the fit's numbering, and a note.

    Raises
    ------
    FitError
        If no more than half of the replicates lead to a fit.
    """
    with scope(fit.settings["dtype"]) as dtype:
        problem = to_problem(fit.model, dtype)
        start = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), problem.frame.standardise(fit.params))
        lanes = min(padded_size(num), _most_lanes(problem))
        keys = key_array(as_key(seed), -(-num // lanes) * lanes)
        limits = Limits(np.asarray(TOLERANCE, dtype), np.asarray(MOST_ITERATIONS), np.asarray(MOST_ITERATIONS))
        parts = [
            _REFIT(keys[i : i + lanes], start, problem.standard_prior, problem.rows, limits, method=method)
            for i in range(0, num, lanes)
        ]
        ended = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:num], *parts)
        draws = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem.frame.restore(ended.params))
    good = np.asarray(usable(ended))
    if good.sum() <= num // 2:
        raise FitError(
            f"{num - good.sum()} of {num} replicates collapsed onto too few points. Use a prior, fewer components, or "
            "method='information'."
        )
    found = jax.tree.map(lambda leaf: leaf[None, good], draws)
    if fit.model.exchangeable:
        found = permute(found, align(found, fit.params))
    return flatten(found)[0], _note(num, good, int((good & (ended.status != CONVERGED)).sum()))


def _note(num: int, good: np.ndarray, slow: int) -> str:
    parts = [f"{num} replicates"]
    if not good.all():
        parts.append(f"{num - good.sum()} collapsed and are left out, so that the intervals are too narrow")
    if slow:
        parts.append(f"{slow} stopped before convergence")
    return "; ".join(parts) + "."


def _most_lanes(problem: Problem) -> int:
    num, dim = problem.num_components, problem.table.dim
    return max(1, BATCH_VALUES // (problem.rows.capacity * (dim + 1 + num * (dim + 2))))


def _refit(keys: Array, start: Params, prior: Belief, rows: Rows, limits: Limits, method: str) -> Ascent:
    """One refit for each key."""
    one = partial(jax.tree.map, lambda leaf: jnp.asarray(leaf)[None])

    def refitted(key: Array) -> Ascent:
        sample = _drawn(key, start, rows) if method == "parametric" else SAMPLES[method](key, rows)
        begun = start_ascents(one(start), one(prior), 1, True)
        ended = ascend(key[None], begun, one(prior), sample, limits, "em", True, True)
        return jax.tree.map(lambda leaf: leaf[0], ended)

    return jax.vmap(refitted)(keys)


def _resampled(key: Array, rows: Rows) -> Blocks:
    """As many rows, drawn with replacement."""
    chosen = jr.randint(key, (rows.capacity,), 0, rows.num_rows)
    return _of_size(rows.take(chosen).x, rows)


def _weighted(key: Array, rows: Rows) -> Blocks:
    """All rows with weights from the flat Dirichlet distribution, times N (the weighted-likelihood bootstrap)."""
    all_rows = _of_size(rows.take(jnp.arange(rows.capacity)).x, rows)
    share = jnp.where(jnp.arange(rows.capacity) < rows.num_rows, jr.exponential(key, (rows.capacity,), rows.dtype), 0.0)
    return all_rows._replace(weights=(share * (rows.num_rows / share.sum()))[None])


SAMPLES = {"bootstrap": _resampled, "weighted": _weighted}


def _drawn(key: Any, params: Params, rows: Rows) -> Blocks:
    """As many rows, drawn from θ."""
    _, x = mixture.draw_rows(key, params, rows.capacity)
    return _of_size(jnp.concatenate([jnp.ones((1, rows.capacity), x.dtype), x.T])[None], rows)


def _of_size(x: Array, rows: Rows) -> Blocks:
    """A block whose first rows count, and whose others are padding."""
    return Blocks(jnp.where(jnp.arange(x.shape[2]) < rows.num_rows, x, 0.0), jnp.asarray(rows.num_rows))


_REFIT = Program(_refit, static=("method",))
