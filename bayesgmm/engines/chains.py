"""What Gibbs and NUTS share: checks, starts, and the way from raw draws to a `Posterior`."""

import os
import warnings
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.engines import starts as initialize
from bayesgmm.engines.em.ascent import climb, foot, usable
from bayesgmm.engines.em.multistart import search
from bayesgmm.engines.mcmc.chain_loop import Collected, Report
from bayesgmm.errors import ArgumentError, FitError, MixingWarning, PriorError, SamplingInterrupted
from bayesgmm.model import alignment as labels
from bayesgmm.model.families import Family
from bayesgmm.model.types import Params
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.priors.within_family import CONJUGATE
from bayesgmm.problem import Problem, check_count, climbs, log_kernel
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.programs import Program, Stopwatch
from bayesgmm.runtime.progress import Listener

SAME_BASIN = 0.05
"""Modes whose log posterior differs by less are taken for one."""

Init = str | Params | MixtureFit
"""``"dispersed"``, ``"em"``, ``"basins"``, parameters in the user's units, or a fit."""


def check_chain_arguments(num_warmup: int, num_samples: int, num_chains: int, prior: Any) -> None:
    """Refuse lengths and priors that no sampler can use, before any work."""
    check_count("num_warmup", num_warmup, least=0)
    check_count("num_samples", num_samples)
    check_count("num_chains", num_chains)
    if prior is None:
        raise PriorError(
            "A sampler needs a proper prior; prior=None is the flat belief of maximum likelihood, under which the posterior "
            "of a mixture is improper. Use prior='default' or a bayesgmm.Prior."
        )


def check_family(engine: str, family: Family, dim: int) -> None:
    """Refuse covariance families that an engine (named as in `compare`) cannot take."""
    if engine in ("mle", "em"):
        return
    if family.name not in CONJUGATE:
        raise ArgumentError(
            f"Under covariance_type {family.label(dim)!r} the belief about covariances is not conjugate, and no sampler here "
            f"takes it. Use full, tied, diag or spherical (or {', '.join(CONJUGATE)}), or fit_em."
        )


def check_sampled(problem: Problem, num_chains: int, num_draws: int) -> None:
    """Refuse more draws than memory holds."""
    k, dim = problem.num_components, problem.table.dim
    # The draws, their copies in the user's units and in one labelling, and their covariances in the DataTree.
    needed = 4 * 8.0 * num_chains * num_draws * k * (1 + dim + dim**2)
    if needed > memory():
        raise ArgumentError(
            f"{num_chains} chains × {num_draws} draws of {k} components in {dim} dimensions would take about "
            f"{needed / 2**30:.0f} GB, more than this machine has. Ask for fewer chains or draws."
        )


def memory() -> float:
    """Bytes of memory this machine has; infinite where it does not say."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, OSError, ValueError):  # not a POSIX system
        return float("inf")


def chain_starts(key: PRNGKeyArray, problem: Problem, num_chains: int, init: Init) -> Params:
    """One start per chain (leading axis), in standardised coordinates.

    ``"dispersed"``: a k-means++ start of its own for each chain. ``"em"``: the best MAP mode of sixteen starts, for all.
    ``"basins"``: a distinct mode for each, the highest first: chains that then agree have crossed between them.
    A fit, or parameters in the user's units (with or without an axis of chains), are taken as they are. Under a prior that EM
    cannot climb under, a weak conjugate one stands in for the search of starts.
    """
    if problem.prior is not None and not climbs(problem.prior):
        weak = initialize.weak_belief(problem)
        weak = jax.tree.map(lambda leaf: jnp.asarray(leaf, problem.dtype), weak)
        return _in_family(_any_starts(key, problem._replace(belief=weak), num_chains, init), problem.belief)
    return _in_family(_any_starts(key, problem, num_chains, init), problem.belief)


@Program
def _in_family(starts: Params, belief: Belief) -> Params:
    return jax.vmap(belief.components.project)(starts)


def _any_starts(key: PRNGKeyArray, problem: Problem, num_chains: int, init: Init) -> Params:
    if isinstance(init, str):
        if init == "dispersed":
            return initialize.made_starts(key, problem, num_chains, "k-means++")
        if init == "em":
            key_start, key_climb = jr.split(key)
            starts = initialize.made_starts(key_start, problem, 16)
            states, interrupted = search(key_climb, starts, problem, 1e-3, 500)
            if interrupted:
                raise SamplingInterrupted("Stopped while EM looked for a start, before a draw was kept.")
            best = jnp.argmax(jnp.where(usable(states), states.objective, -jnp.inf))
            return jax.tree.map(lambda leaf: jnp.repeat(leaf[best][None], num_chains, axis=0), states.best)
        if init == "basins":
            return _basins(key, problem, num_chains)
        raise ArgumentError(f"init must be 'dispersed', 'em', 'basins', Params or a fit, got {init!r}.")
    params = _checked_params("init", init, problem)
    inside = jax.tree.map(lambda leaf: jnp.asarray(leaf, problem.dtype), problem.frame.standardise(params))
    if inside.weights.ndim == 1:
        return jax.tree.map(lambda leaf: jnp.repeat(leaf[None], num_chains, axis=0), inside)
    if inside.weights.shape[0] != num_chains:
        raise ArgumentError(f"init holds {inside.weights.shape[0]} starts for {num_chains} chains.")
    return inside


def _basins(key: PRNGKeyArray, problem: Problem, num_chains: int) -> Params:
    """Distinct modes of the posterior, the highest first, and over again if there are fewer than chains."""
    key_start, key_climb = jr.split(key)
    starts = initialize.made_starts(key_start, problem, max(16, 2 * num_chains))
    states = foot(starts, problem.belief, 500, True)
    states, interrupted = climb(key_climb, states, problem.belief, problem.rows, 1e-3, 500, "em", True)
    if interrupted:
        raise SamplingInterrupted("Stopped while EM looked for starts, before a draw was kept.")
    heights = np.where(np.asarray(usable(states)), np.asarray(states.objective), -np.inf)
    order = [i for i in np.argsort(-heights, kind="stable") if np.isfinite(heights[i])]
    distinct = [i for n, i in enumerate(order) if n == 0 or heights[order[n - 1]] - heights[i] > SAME_BASIN]
    if not distinct:
        raise FitError(
            "No start of EM led to a mode to begin from. Use init='dispersed', or a prior with a larger scale."
        )
    chosen = np.resize(distinct, num_chains)
    return jax.tree.map(lambda leaf: jnp.asarray(leaf)[chosen], states.best)


def check_reference(reference: MixtureFit | Params | None, problem: Problem) -> None:
    """Refuse a reference of another shape before any draw is made."""
    if reference is not None and _checked_params("reference", reference, problem).weights.ndim != 1:
        raise ArgumentError("reference must hold one set of parameters, without leading axes.")


def _checked_params(name: str, value: Any, problem: Problem) -> Params:
    params = value.params if isinstance(value, MixtureFit) else value
    k, dim = problem.num_components, problem.table.dim
    shapes = {"weights": (k,), "means": (k, dim), "scale_trils": (k, dim, dim)}
    if not isinstance(params, Params) or any(
        np.shape(getattr(params, part))[-len(shape) :] != shape for part, shape in shapes.items()
    ):
        raise ArgumentError(f"{name} must be a fit or Params of {k} components in {dim} dimensions.")
    finite = all(np.isfinite(part).all() for part in params)
    if not finite or (np.asarray(params.weights) <= 0).any():
        raise ArgumentError(f"{name} must be finite, with weights above 0.")
    if (np.diagonal(np.asarray(params.scale_trils), axis1=-2, axis2=-1) <= 0).any():
        raise ArgumentError(f"{name} must have positive definite covariances.")
    return params


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
    algorithm: str,
    num_warmup: int,
    seed: Any,
    reference: MixtureFit | Params | None,
) -> Posterior:
    """Bring draws to the user's units and to one labelling.

    ``run.outputs`` are (params, log-likelihood, statistics), in standardised coordinates. The labelling is that of
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
    draws, log_likelihood, sample_stats = run.outputs
    log_prior = np.asarray(_log_kernels(_merge(draws), problem.belief)).reshape(log_likelihood.shape)
    mode = _reference_mode(problem, draws, log_likelihood + log_prior, reference)
    namings = labels.align(draws, mode)
    draws = labels.permute(draws, namings)
    posterior = Posterior(
        params=_to_host(problem.frame.restore(draws)),
        log_likelihood=np.asarray(log_likelihood, np.float64) - problem.log_volume,
        log_prior=np.asarray(log_prior, np.float64) + _prior_shift(problem, draws, log_prior),
        sample_stats=sample_stats,
        algorithm=algorithm,
        family=problem.family,
        prior=problem.prior,
        penalty=problem.penalty,
        table=problem.table,
        frame=problem.frame,
        reference=_to_host(problem.frame.restore(mode)),
        namings=namings.astype(np.uint8 if problem.num_components <= 256 else int),
        num_warmup=num_warmup,
        interrupted=run.interrupted,
        clock=clock,
        seed=seed,
        continuation=None,
    )
    if posterior.num_divergences:
        warnings.warn(
            f"{posterior.num_divergences} of {log_likelihood.size} transitions diverged: the sampler could not follow the "
            "posterior everywhere. Raise target_accept_prob, or compare with sample_gibbs.",
            MixingWarning, stacklevel=3,
        )  # fmt: skip
    return posterior


def _reference_mode(
    problem: Problem, draws: Params, log_posterior: np.ndarray, reference: MixtureFit | Params | None
) -> Params:
    if reference is not None:
        params = reference.params if isinstance(reference, MixtureFit) else reference
        return jax.tree.map(np.asarray, problem.frame.standardise(params))
    top = np.unravel_index(np.argmax(log_posterior), log_posterior.shape)
    mode = jax.tree.map(lambda leaf: leaf[top], draws)
    # Without a mode that EM can climb to the highest draw serves.
    if problem.prior is not None and climbs(problem.prior):
        start = jax.tree.map(lambda leaf: jnp.asarray(leaf)[None], mode)
        states = foot(start, problem.belief, 500, True)
        states, _ = climb(jr.key(0), states, problem.belief, problem.rows, 1e-3, 500, "em", True)
        mode = jax.tree.map(lambda leaf: np.asarray(leaf[0]), states.best)
    order = labels.by_first_mean(mode)
    return labels.permute(mode, order)


def _prior_shift(problem: Problem, draws: Params, log_prior: np.ndarray) -> float:
    """What one draw's log prior gains on the way to the user's units: a constant, the same for all draws."""
    first = _to_host(problem.frame.restore(jax.tree.map(lambda leaf: leaf[0, 0], draws)))
    assert problem.prior is not None
    return (
        float(log_kernel(*jax.tree.map(jnp.asarray, (first, problem.penalty))))
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
