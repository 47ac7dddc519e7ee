"""Draws of other software as a `Posterior`, so that they can stand beside those of the engines."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program, Stopwatch
from bayesgmm.sweep.per_row import log_densities

if TYPE_CHECKING:
    import pandas as pd

BLOCK_VALUES = 2**24
"""Log densities (draw, row) held in memory at a time."""


@dataclass
class Reported(Stopwatch):
    """Seconds as other software reports them. What it compiled is not known."""

    @property
    def run_seconds(self) -> float:
        """The reported seconds; NaN without a report."""
        return self.total_seconds


@dataclass(frozen=True, repr=False)
class GivenPosterior(Posterior):
    """Draws of other software. Their log prior is that under the prior of the model beside which they stand."""

    def summary(self, level: float = 0.95) -> "pd.DataFrame":
        """As of every posterior; the draws are those of chains."""
        from bayesgmm.results.summary import summary_table

        return summary_table(self.params, self.table, level, chains=True)


def given_posterior(
    params: Params, model: Model, name: str, seconds: float = np.nan, stats: dict[str, Any] | None = None
) -> GivenPosterior:
    """A posterior of draws (chain, draw) in the user's units, as they are numbered.

    Parameters
    ----------
    params, model
        θ, and the model with the data and the prior.
    name
        What made the draws.
    seconds
        Seconds of sampling; NaN if not known.
    stats
        Statistics of the sampler, (chain, draw): ``diverging``, ``energy``.
    """
    weights = np.maximum(params.weights, np.finfo(float).tiny)
    params = params._replace(weights=weights / weights.sum(axis=-1, keepdims=True))
    shape = weights.shape
    with scope("float64"):
        flat = jax.tree.map(lambda leaf: np.asarray(leaf, float).reshape(-1, *leaf.shape[2:]), params)
        log_prior = np.asarray(_LOG_PRIORS(flat, model.family_prior)).reshape(shape[:2]) + model.prior_constant
    return GivenPosterior(
        params=params, log_likelihood=_log_likelihood(params, model), log_prior=log_prior, sample_stats=stats or {},
        algorithm=name, model=model, settings={}, reference=jax.tree.map(lambda leaf: leaf[0, 0], params),
        permutations=np.broadcast_to(np.arange(shape[2]), shape), num_warmup=0, interrupted=False,
        clock=Reported(np.nan, seconds), seed=0, continuation=None,
    )  # fmt: skip


def _log_likelihood(params: Params, model: Model) -> np.ndarray:
    """``Σ_n log p(x_n | θ)`` of each draw, in blocks of rows."""
    size, table = max(1, BLOCK_VALUES // params.weights[..., 0].size), model.table
    total = np.zeros(params.weights.shape[:2])
    for part in table.parts(size):
        total += log_densities(params, part, model.frame) @ part.counted
    return total


def _log_priors(params: Params, prior: Belief) -> Array:
    return jax.vmap(prior.log_kernel)(params)


_LOG_PRIORS = Program(_log_priors)
