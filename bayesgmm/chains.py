"""What Gibbs and NUTS share: checks, starts, and the way from raw draws to a `Posterior`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm import initialize, labels
from bayesgmm.clock import Program, Stopwatch
from bayesgmm.conjugate import Belief
from bayesgmm.drivers import Collected, Report, climb
from bayesgmm.errors import ArgumentError, PriorError, SamplingInterrupted
from bayesgmm.problem import Problem, check_count, check_family, log_kernel
from bayesgmm.progress import Listener
from bayesgmm.results import MixtureFit, Posterior
from bayesgmm.types import Params

Init = str | Params | MixtureFit
"""``"dispersed"``, ``"em"``, parameters in the user's units, or a fit."""


def check_chain_arguments(num_warmup: int, num_samples: int, num_chains: int, prior: Any, covariance_type: str) -> None:
    """Refuse lengths and priors that no sampler can use, before any work."""
    check_count("num_warmup", num_warmup, least=0)
    check_count("num_samples", num_samples)
    check_count("num_chains", num_chains)
    check_family(covariance_type)
    if prior is None:
        raise PriorError(
            "A sampler needs a proper prior; prior=None is the flat belief of maximum likelihood, under which the posterior "
            "of a mixture is improper. Use prior='default' or a bayesgmm.Prior."
        )


def chain_starts(key: PRNGKeyArray, problem: Problem, num_chains: int, init: Init) -> Params:
    """One start per chain (leading axis), in standardised coordinates.

    ``"dispersed"``: a k-means++ start of its own for each chain. ``"em"``: the best MAP mode of ten starts, for all.
    A fit, or parameters in the user's units (with or without an axis of chains), are taken as they are.
    """
    if isinstance(init, str):
        if init == "dispersed":
            return initialize.kmeans_starts(key, problem, num_chains)
        if init == "em":
            key_start, key_climb = jr.split(key)
            states = climb(
                key_climb,
                initialize.kmeans_starts(key_start, problem, 10),
                problem.belief,
                problem.rows,
                1e-3,
                500,
                "em",
            )
            best = jnp.argmax(jnp.where(jnp.isfinite(states.objective), states.objective, -jnp.inf))
            return jax.tree.map(lambda leaf: jnp.repeat(leaf[best][None], num_chains, axis=0), states.best)
        raise ArgumentError(f"init must be 'dispersed', 'em', Params or a fit, got {init!r}.")
    params = init.params if isinstance(init, MixtureFit) else init
    shape = (problem.num_components, problem.table.dim)
    if not isinstance(params, Params) or np.shape(params.means)[-2:] != shape:
        raise ArgumentError(f"init must hold parameters of {shape[0]} components in {shape[1]} dimensions.")
    inside = jax.tree.map(lambda leaf: jnp.asarray(leaf, problem.dtype), problem.frame.standardise(params))
    if inside.weights.ndim == 1:
        return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], num_chains, axis=0), inside)
    if inside.weights.shape[0] != num_chains:
        raise ArgumentError(f"init holds {inside.weights.shape[0]} starts for {num_chains} chains.")
    return inside


def to_report(listener: Listener, label: str, num_warmup: int, num_samples: int, note: Callable[[Any], str]) -> Report:
    """A driver's report as a call of the listener, with `note` made from the block's outputs."""
    total = num_warmup + num_samples

    def report(done: int, outputs: Any) -> None:
        listener(label, done, total, "warm-up" if done < num_warmup else note(outputs))

    return report


def to_posterior(
    problem: Problem,
    run: Collected,
    clock: Stopwatch,
    *,
    sample_stats: dict[str, np.ndarray],
    algorithm: str,
    num_warmup: int,
    seed: Any,
    reference: MixtureFit | Params | None,
) -> Posterior:
    """Bring draws to the user's units and to one labelling.

    ``run.outputs`` starts with (params, log-likelihood), both in standardised coordinates. The labelling is that of
    `reference`, or of the mode that EM reaches from the highest draw.

    Raises
    ------
    SamplingInterrupted
        If the run was stopped before its first draw was kept.
    """
    if run.outputs is None:
        raise SamplingInterrupted(
            f"{algorithm} was stopped during warm-up, before a draw was kept. Nothing can be returned."
        )
    assert problem.prior is not None
    draws, log_likelihood = run.outputs[:2]
    log_prior = np.asarray(_log_kernels(_merge(draws), problem.belief)).reshape(log_likelihood.shape)
    mode = _reference_mode(problem, draws, log_likelihood + log_prior, reference)
    draws = labels.permute(draws, labels.align(draws, mode))
    return Posterior(
        params=_to_host(problem.frame.restore(draws)),
        log_likelihood=np.asarray(log_likelihood, np.float64) - problem.log_volume,
        log_prior=np.asarray(log_prior, np.float64) + _prior_shift(problem, draws, log_prior),
        sample_stats=sample_stats,
        algorithm=algorithm,
        prior=problem.prior,
        table=problem.table,
        frame=problem.frame,
        map_estimate=_to_host(problem.frame.restore(mode)),
        num_warmup=num_warmup,
        interrupted=run.interrupted,
        clock=clock,
        seed=seed,
    )


def _reference_mode(
    problem: Problem, draws: Params, log_posterior: np.ndarray, reference: MixtureFit | Params | None
) -> Params:
    if reference is not None:
        params = reference.params if isinstance(reference, MixtureFit) else reference
        return jax.tree.map(np.asarray, problem.frame.standardise(params))
    top = np.unravel_index(np.argmax(log_posterior), log_posterior.shape)
    start = jax.tree.map(lambda leaf: jnp.asarray(leaf[top])[None], draws)
    states = climb(jr.key(0), start, problem.belief, problem.rows, 1e-3, 500, "em")
    mode = jax.tree.map(lambda leaf: np.asarray(leaf[0]), states.best)
    order = labels.by_first_mean(mode)
    return labels.permute(mode, order)


def _prior_shift(problem: Problem, draws: Params, log_prior: np.ndarray) -> float:
    """What one draw's log prior gains on the way to the user's units: a constant, the same for all draws."""
    first = _to_host(problem.frame.restore(jax.tree.map(lambda leaf: leaf[0, 0], draws)))
    assert problem.prior is not None
    return (
        float(log_kernel(*jax.tree.map(jnp.asarray, (first, problem.prior))))
        + problem.prior_constant
        - float(log_prior[0, 0])
    )


def _to_host(params: Params) -> Params:
    return jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), params)


def _merge(params: Params) -> Params:
    return jax.tree.map(lambda leaf: jnp.asarray(leaf.reshape(-1, *leaf.shape[2:])), params)


@Program
def _log_kernels(params: Params, belief: Belief):
    return jax.vmap(belief.log_kernel)(params)
