"""The draws of a `TelescopingPosterior` that have a given number of clusters, as an ordinary `Posterior`."""

from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.model.alignment import align, by_first_mean, permute
from bayesgmm.model.types import Params
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, build_model
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import significant
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.per_row import log_densities

SHOWN = 0.01
"""Numbers of clusters with a smaller share of the draws are not listed."""


@dataclass(frozen=True, repr=False)
class ClustersPosterior(Posterior):
    """The draws with one number of clusters, of a run in which K varies; none of its components is empty."""

    shares: np.ndarray
    """Share of the draws of the whole run with 0 … K_max clusters."""

    def remark(self) -> str:
        """The posterior of the number of clusters, from which these draws were taken, in words."""
        num, concentration = self.n_components, np.asarray(self.prior.weights.concentration).flat[0]
        return (
            f"K₊ is {_listed(self.shares)} of its draws. These are the draws with K₊ = {num}, in which no component is "
            f"empty, under weights ~ Dirichlet({significant(concentration)}): where components may be empty, this is "
            f"another posterior than that of K = {num} fixed."
        )


def _listed(shares: np.ndarray) -> str:
    sizes = [k for k in np.argsort(-shares, kind="stable") if shares[k] >= SHOWN]
    return ", ".join(f"{k} in {shares[k]:.0%}".replace("%", " %") for k in sizes)


def at_clusters(found: Any, num: int) -> ClustersPosterior:
    """See `TelescopingPosterior.at`."""
    chosen = found.num_clusters == num
    shares = np.bincount(found.num_clusters.ravel(), minlength=found.max_components + 1) / found.num_clusters.size
    if not chosen.any():
        raise ArgumentError(f"No draw has {num} clusters. K₊ is {_listed(shares)} of the draws.")
    kept = [_rows_of_chains(part, chosen) for part in (*found.params, found.concentrations, found.num_components)]
    weights, means, trils = (np.asarray(part[:, :, :num], float) for part in kept[:3])
    params = Params(weights / weights.sum(axis=-1, keepdims=True), means, trils)
    gamma = float(np.mean(found.concentration.of_each(kept[3], kept[4])))
    model = _model_of(found.model, num, gamma)
    log_likelihood = log_densities(params, model.table, model.frame) @ model.table.counted
    log_prior = _log_priors(params, model)
    top = np.unravel_index(np.argmax(log_likelihood + log_prior), log_prior.shape)
    reference = jax.tree.map(lambda leaf: leaf[top], params)
    reference = permute(reference, by_first_mean(reference, model.interchangeable))
    permutations = align(params, reference, model.interchangeable)
    return ClustersPosterior(
        params=permute(params, permutations),
        log_likelihood=log_likelihood,
        log_prior=log_prior,
        sample_stats={"num_components": kept[4], "concentration": kept[3]},
        algorithm="telescoping",
        model=model,
        settings=found.settings,
        reference=reference,
        permutations=permutations.astype(np.uint8 if num <= 256 else int),
        num_warmup=found.num_warmup,
        interrupted=found.interrupted,
        clock=found.clock,
        seed=found.seed,
        continuation=None,
        shares=shares,
    )


def filled_first(params: Params, counts: np.ndarray) -> Params:
    """Components with rows first, largest first, then those without rows, and then those of weight 0."""
    order = np.lexsort((-(np.asarray(params.weights) > 0).astype(int), -counts), axis=-1)
    return permute(params, order)


def _rows_of_chains(draws: np.ndarray, chosen: np.ndarray) -> np.ndarray:
    """The chosen draws of each chain, cut to one length; in one chain if this would drop half of them."""
    lengths = chosen.sum(axis=1)
    if 2 * lengths.min() * len(lengths) < lengths.sum():
        return draws[chosen][None]
    return np.stack([own[mine][: lengths.min()] for own, mine in zip(draws, chosen, strict=True)])


def _model_of(model: Model, num: int, gamma: float) -> Model:
    """The model of `num` components under the same prior of each, with weights ~ Dirichlet(gamma)."""
    given = model.known_prior.components
    common = getattr(given, "common", ())
    fields = given._asdict().items()
    own = type(given)(**{name: value if name in common else np.asarray(value)[:num] for name, value in fields})
    prior = Belief(Dirichlet(np.full(num, gamma)), own)
    with scope("float64"):
        return build_model(model.table, num, prior, model.family)


def _log_priors(params: Params, model: Model) -> np.ndarray:
    flat = jax.tree.map(lambda leaf: np.asarray(leaf, float).reshape(-1, *leaf.shape[2:]), params)
    with scope("float64"):
        values = np.asarray(_log_kernels(flat, jax.tree.map(np.asarray, model.family_prior)))
    return values.reshape(params.weights.shape[:2]) + model.prior_constant


@Program
def _log_kernels(params: Params, prior: Belief):
    return jax.vmap(prior.log_kernel)(params)
