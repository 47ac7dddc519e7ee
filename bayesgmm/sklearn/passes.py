"""The pass over the rows for the variational algorithm of scikit-learn."""

from typing import Any

import jax.random as jr
import numpy as np

from bayesgmm.engines.step import KERNELS, no_term, step
from bayesgmm.model.types import Params, Stats
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows


def _stay(key: Any, posterior: Belief, present: Params) -> Params:
    """θ as it is: scikit-learn's formulas move it."""
    del key, posterior
    return present


_AVERAGE = KERNELS["em"]._replace(estimate=_stay, prior_term=no_term)


def _pass(params: Params, prior: Belief, rows: Rows) -> Stats:
    return step(_AVERAGE, jr.key(0), params, prior, rows)[1].stats


_PASS = Program(_pass)


def averaged(params: Params, problem: Problem) -> tuple[Stats, float]:
    """Statistics of the responsibilities under a θ in the user's units, standardised, and their entropy.

    The entropy is that of z, and of what was not seen of the rows. Call inside ``dtypes.scope``.
    """
    inside = problem.frame.standardise(params)
    stats = to_numpy(_PASS(inside, problem.standard_prior, problem.rows))
    return stats, float(stats.value - _complete(inside, stats))


def _complete(params: Params, stats: Stats) -> float:
    """``Σ_n Σ_k r_nk log(π_k N(x_n; μ_k, Σ_k))``, from the statistics of r."""
    held = stats.counts > 0
    counts, dim = stats.counts[held], stats.means.shape[1]
    trils, apart = params.scale_trils[held], (stats.means - params.means)[held]
    scatters = stats.scatters[held] + counts[:, None, None] * apart[:, :, None] * apart[:, None, :]
    whiteners = np.linalg.inv(trils)
    squares = np.einsum("kde,kef,kdf->k", whiteners, scatters, whiteners)
    logs = np.log(np.diagonal(trils, axis1=1, axis2=2)).sum(axis=1) + 0.5 * dim * np.log(2.0 * np.pi)
    return float(counts @ (np.log(params.weights[held]) - logs) - 0.5 * squares.sum())
