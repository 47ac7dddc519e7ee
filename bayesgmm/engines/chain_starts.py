"""Starting values of chains: dispersed, at the best mode, in several modes, or given by the user."""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.engines.checks import check_params
from bayesgmm.engines.em.ascent import begin, run_ascents
from bayesgmm.engines.em.ascent_state import usable
from bayesgmm.engines.em.multistart import search
from bayesgmm.engines.roles import in_roles
from bayesgmm.engines.starts import make_starts, weak_prior
from bayesgmm.errors import ArgumentError, FitError, SamplingInterrupted
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import check_choice, split_key
from bayesgmm.runtime.dtypes import on_device, to_numpy
from bayesgmm.runtime.programs import Program

SAME_BASIN = 0.05
"""Modes whose log posteriors differ by less than this count as one mode."""

Init = str | Params | MixtureFit
"""``"dispersed"``, ``"em"``, ``"basins"``, parameters in the user's units, or a fit."""


def chain_starts(key: PRNGKeyArray, problem: Problem, num_chains: int, init: Init) -> Params:
    """One start per chain (leading axis), in standardised coordinates.

    ``"dispersed"``: a k-means++ start for each chain. ``"em"``: the best MAP mode of sixteen starts, for all chains.
    ``"basins"``: a distinct mode for each chain, the highest first. If these chains agree, they have moved between the
    modes. If EM does not take the prior, the search for starts uses a weak conjugate prior instead.
    """
    searched = problem
    if problem.prior is not None and not problem.prior.has_mode:
        weak = on_device(weak_prior(problem.model), problem.dtype)
        searched = problem._replace(standard_prior=weak)
    starts = _in_family(_any_starts(key, searched, num_chains, init), problem.standard_prior)
    return in_roles(starts, problem) if isinstance(init, str) else starts


@Program
def _in_family(starts: Params, prior: Belief) -> Params:
    return jax.vmap(prior.components.project)(starts)


def _any_starts(key: PRNGKeyArray, problem: Problem, num_chains: int, init: Init) -> Params:
    if not isinstance(init, str):
        return _given_starts(problem, num_chains, init)
    if init == "dispersed":
        made = make_starts(key, problem, num_chains, "k-means++")
        lanes = np.arange(num_chains) % len(made.weights)  # one start, if all classes are known
        return jax.tree.map(lambda leaf: leaf[lanes], made)
    if init == "em":
        return _best_mode(key, problem, num_chains)
    if init == "basins":
        return _distinct_modes(key, problem, num_chains)
    check_choice("init", init, ("dispersed", "em", "basins"), ", Params or a fit")
    raise AssertionError


def _given_starts(problem: Problem, num_chains: int, init: Params | MixtureFit) -> Params:
    params = check_params("init", init, problem.model)
    inside = jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype), problem.frame.standardise(params))
    if inside.weights.ndim == 1:
        return jax.tree.map(lambda leaf: np.repeat(leaf[None], num_chains, axis=0), inside)
    if inside.weights.shape[0] != num_chains:
        raise ArgumentError(f"init holds {inside.weights.shape[0]} starts for {num_chains} chains.")
    return inside


def _best_mode(key: PRNGKeyArray, problem: Problem, num_chains: int) -> Params:
    key_start, key_ascent = split_key(key)
    ascents, interrupted = search(key_ascent, make_starts(key_start, problem, 16), problem, 1e-3, 500)
    if interrupted:
        raise SamplingInterrupted("The run was stopped while EM searched for a start. No draw was kept.")
    best = np.argmax(np.where(usable(ascents), ascents.objective, -np.inf))
    return jax.tree.map(lambda leaf: np.repeat(leaf[best][None], num_chains, axis=0), ascents.params)


def _distinct_modes(key: PRNGKeyArray, problem: Problem, num_chains: int) -> Params:
    """Distinct modes of the posterior, the highest first; repeated if there are fewer modes than chains."""
    key_start, key_ascent = split_key(key)
    starts = make_starts(key_start, problem, max(16, 2 * num_chains))
    ascents = begin(starts, problem.standard_prior, True)
    ascents, interrupted = run_ascents(key_ascent, ascents, problem.standard_prior, problem.rows, 1e-3, 500, "em", True)
    if interrupted:
        raise SamplingInterrupted("The run was stopped while EM searched for starts. No draw was kept.")
    ascents = to_numpy(ascents)
    objectives = np.where(usable(ascents), ascents.objective, -np.inf)
    order = [i for i in np.argsort(-objectives, kind="stable") if np.isfinite(objectives[i])]
    distinct = [
        i for n, i in enumerate(order) if n == 0 or objectives[order[n - 1]] - objectives[i] > SAME_BASIN
    ]  # fmt: skip
    if not distinct:
        raise FitError(
            "No EM start reached a mode for the chains. Use init='dispersed', or a prior with a larger scale."
        )
    chosen = np.resize(distinct, num_chains)
    return jax.tree.map(lambda leaf: leaf[chosen], ascents.params)
