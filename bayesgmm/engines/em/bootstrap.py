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
from bayesgmm.errors import ArgumentError, FitError
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
from bayesgmm.sweep.incomplete import Incomplete
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.rows import Blocks, padded_size

BATCH_VALUES = 2**24
"""Numbers (replicate, row, component or feature) held in memory at a time."""
MOST_ITERATIONS, TOLERANCE = 1000, 1e-6


def refits(fit: MixtureFit, method: str, num: int, seed: Any) -> tuple[np.ndarray, str]:
    """Parameters of the refits (replicate, parameter), in the user's units and the fit's numbering, and a note.

    Raises
    ------
    FitError
        If no more than half of the replicates lead to a fit.
    ArgumentError
        If data are to be drawn from the fit, and weights, classes, gaps or errors of the rows are known, which are not
        drawn.
    """
    if method == "parametric" and not fit.table.plain:
        raise ArgumentError(
            "The parametric bootstrap draws complete rows that count once, unlike these data. Use method='bootstrap', "
            "'weighted' or 'sandwich'."
        )
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
    found = permute(found, align(found, fit.params, fit.model.interchangeable))
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
        sample = drawn_like(key, start, rows) if method == "parametric" else SAMPLES[method](key, rows)
        begun = start_ascents(one(start), one(prior), 1, True)
        ended = ascend(key[None], begun, one(prior), sample, limits, "em", True, True)
        return jax.tree.map(lambda leaf: leaf[0], ended)

    return jax.vmap(refitted)(keys)


def _resampled(key: Any, rows: Rows) -> Blocks | Incomplete:
    """As many rows, drawn with replacement. A row that counts k times is k of the rows that are drawn from."""
    if rows.weights is None:
        return _of_size(rows.take(jr.randint(key, (rows.capacity,), 0, rows.num_rows)), rows)
    everything = rows.take(jnp.arange(rows.capacity))
    weights = _blocks(_of_size(everything, rows)).weights
    assert weights is not None
    total = weights.sum()
    counts = jr.multinomial(key, jnp.round(total), (weights / total)[0], dtype=rows.dtype)
    return _with_weights(everything, (counts * (total / jnp.maximum(counts.sum(), 1.0)))[None])


def _weighted(key: Array, rows: Rows) -> Blocks | Incomplete:
    """All rows with weights from the flat Dirichlet distribution, times N (the weighted-likelihood bootstrap).

    A row that counts k times has the sum of k such weights: a gamma variate.
    """
    everything = _of_size(rows.take(jnp.arange(rows.capacity)), rows)
    own = _blocks(everything).weights
    if own is None:
        held = jnp.arange(rows.capacity) < rows.num_rows
        share, total = jnp.where(held, jr.exponential(key, (rows.capacity,), rows.dtype), 0.0), rows.num_rows
    else:
        share, total = jnp.where(own[0] > 0, jr.gamma(key, jnp.where(own[0] > 0, own[0], 1.0)), 0.0), own.sum()
    return _with_weights(everything, (share * (total / share.sum()))[None])


SAMPLES = {"bootstrap": _resampled, "weighted": _weighted}


def drawn_like(key: Any, params: Params, rows: Rows) -> Blocks | Incomplete:
    """As many rows, drawn from θ."""
    _, x = mixture.draw_rows(key, params, rows.capacity)
    x = jnp.concatenate([jnp.ones((1, rows.capacity), x.dtype), x.T])[None]
    return _of_size(Blocks(x, jnp.asarray(rows.capacity)), rows)


def _blocks(sample: Blocks | Incomplete) -> Blocks:
    return sample if isinstance(sample, Blocks) else sample.blocks


def _with_blocks(sample: Blocks | Incomplete, blocks: Blocks) -> Blocks | Incomplete:
    return blocks if isinstance(sample, Blocks) else sample._replace(blocks=blocks)


def _with_weights(sample: Blocks | Incomplete, weights: Array) -> Blocks | Incomplete:
    return _with_blocks(sample, _blocks(sample)._replace(weights=weights))


def _of_size(sample: Blocks | Incomplete, rows: Rows) -> Blocks | Incomplete:
    """A block whose first rows count, and whose others are padding."""
    blocks = _blocks(sample)
    held = jnp.arange(blocks.x.shape[2]) < rows.num_rows
    weights = None if blocks.weights is None else jnp.where(held, blocks.weights, 0.0)
    x = jnp.where(held, blocks.x, 0.0)
    return _with_blocks(sample, Blocks(x, jnp.asarray(rows.num_rows), weights, blocks.labels, blocks.noise))


_REFIT = Program(_refit, static=("method",))
