"""Draws of other software as a `Posterior`, so that they can stand beside those of the engines."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import jax
import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.model.alignment import align, permute
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model
from bayesgmm.results.draws import Draws
from bayesgmm.results.fit import MixtureFit
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
    if model.prior is None:
        log_prior = np.zeros(shape[:2])
    return GivenPosterior(
        params=params, log_likelihood=_log_likelihood(params, model), log_prior=log_prior, sample_stats=stats or {},
        algorithm=name, model=model, settings={}, reference=jax.tree.map(lambda leaf: leaf[0, 0], params),
        permutations=np.broadcast_to(np.arange(shape[2]), shape), num_warmup=0, interrupted=False,
        clock=Reported(np.nan, seconds), seed=0, continuation=None,
    )  # fmt: skip


def relabelled(result: MixtureFit | Posterior, reference: Params, model: Model) -> MixtureFit | Posterior:
    """The result in the labelling of a reference; components that prior or labels tell apart stay as they are."""
    here = Params(*map(np.asarray, model.frame.standardise(result.params)))
    there = Params(*map(np.asarray, model.frame.standardise(reference)))
    permutations = align(here, there, model.interchangeable)
    params = permute(result.params, permutations)
    if isinstance(result, MixtureFit):
        return replace(result, params=params)
    before = np.asarray(result.permutations)
    composed = np.take_along_axis(before, permutations.astype(int), axis=-1).astype(before.dtype)
    return replace(result, params=params, permutations=composed, reference=reference)


def check_family(what: str, params: Params, model: Model) -> None:
    """Refuse draws outside the covariance family, under whose prior they have no density."""
    family, covariances = model.family, np.asarray(params.covariances)
    sizes = np.sqrt(np.diagonal(covariances, axis1=-2, axis2=-1))
    scale = sizes[..., :, None] * sizes[..., None, :]
    outside = family.orientation == "I" and (np.abs(covariances / scale - np.eye(scale.shape[-1])) > 1e-6).any()
    outside |= family.pooled and (np.abs(covariances - covariances[..., :1, :, :]) > 1e-6 * scale).any()
    if outside:
        raise ArgumentError(
            f"{what} has covariances outside {family.label(model.table.dim)}. Use the covariance_type of the draws."
        )


def seconds_of(source: Any) -> float:
    """Seconds of sampling as ArviZ keeps them, or NaN."""
    groups = [] if source is None else [source, source["posterior"]]
    found = [group.attrs.get("sampling_time") for group in groups]
    seconds = [float(one) for one in found if isinstance(one, int | float | np.number) and one > 0]
    return seconds[0] if seconds else float("nan")


def stats_of(draws: Draws) -> dict[str, np.ndarray]:
    """Divergences and energies of a Hamiltonian sampler, if there are any."""
    tree: Any = draws.source
    if tree is None or "sample_stats" not in tree.children:
        return {}
    group = tree["sample_stats"].to_dataset()
    arrays = {name: group[name] for name in ("diverging", "energy") if name in group}
    values = {
        name: array.transpose("chain", "draw").values
        for name, array in arrays.items() if set(array.dims) == {"chain", "draw"} and array.dtype.kind in "biuf"
    }  # fmt: skip
    return {name: one for name, one in values.items() if one.shape == draws.shape}


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
