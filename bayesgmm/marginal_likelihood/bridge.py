"""Bridge sampling of the evidence from draws of the posterior (Meng & Wong 1996; Frühwirth-Schnatter 2004, 2019).

Each chain is split into halves. One makes the proposal (`bayesgmm.marginal_likelihood.conditionals`), the other is
bridged to it, so that no draw is used for both (Overstall & Forster 2010). Then they change roles. Posterior and
proposal are the same for all permutations of components, so that it does not matter whether labels have switched.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.engines.to_posterior import prior_constant
from bayesgmm.marginal_likelihood.conditionals import (
    CONDITIONALS,
    LOG_DENSITIES,
    LOG_TARGETS,
    NUM_CONDITIONALS,
    PROPOSALS,
    Conditionals,
    spread_out,
)
from bayesgmm.model.types import Params
from bayesgmm.numerics.chains import effective_draws
from bayesgmm.numerics.importance import bridged
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.problem import Problem
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import key_array, split_key
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import check_stop
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Listener

CHUNK = 500
"""Draws of θ whose densities are computed in one program."""
MOST_DRAWS = 5000
"""Most draws of each half of the chains that are bridged; of more, these are evenly spaced."""


class Estimate(NamedTuple):
    """Log evidence in the user's units, and its error."""

    value: float
    error: float
    num_draws: int
    """Draws of the posterior in it."""
    by_chain: np.ndarray
    """The estimate with the draws of each chain alone."""


class Task(NamedTuple):
    """What both halves share."""

    problem: Problem
    draws: Params
    """(chain, draw), standardised."""
    targets: np.ndarray
    """Log density over data and θ at the draws, (chain, draw): standardised, with constants."""
    constant: float
    """The constant of the prior there."""
    report: Callable[[], None]


def by_bridge(posterior: Posterior, problem: Problem, key: PRNGKeyArray, listener: Listener) -> Estimate:
    """The log evidence by bridge sampling. Call inside ``dtypes.scope("float64")``."""
    half = posterior.num_samples // 2
    pieces = -(-posterior.num_chains * len(_kept(posterior.num_chains, half)) // CHUNK)
    task = _task(posterior, problem, reporter(listener, 6 * pieces))
    first, second = slice(0, half), slice(half, 2 * half)
    keys = split_key(key)
    one, other = _half(task, first, second, keys[0]), _half(task, second, first, keys[1])
    # Both estimate the same, so that their difference shows errors that the formula of each leaves out.
    error = max(0.5 * np.hypot(one.error, other.error), 0.5 * abs(one.value - other.value))
    value, by_chain = (0.5 * (a + b) - problem.log_volume for a, b in ((one.value, other.value), (one[3], other[3])))
    return Estimate(float(value), float(error), one.num_draws + other.num_draws, np.asarray(by_chain))


def _task(posterior: Posterior, problem: Problem, report: Callable[[], None]) -> Task:
    draws = Params(*map(np.asarray, problem.frame.standardise(posterior.params)))
    theta = Params(*(part[0, 0] for part in draws))
    # The constant over the same parameters of the covariances as those of the proposal.
    conjugate = problem.standard_prior.components.conjugacy == Conjugacy.JOINT
    constant = float(LOG_NORMALISER(problem.standard_prior)) if conjugate else prior_constant(problem, theta)
    shift = problem.log_volume - problem.prior_shift(theta) + constant
    return Task(problem, draws, posterior.log_likelihood + posterior.log_prior + shift, constant, report)


def reporter(listener: Listener, total: int) -> Callable[[], None]:
    """What is called after each of `total` pieces of work: it shows progress, and Ctrl-C stops there."""
    done = iter(range(1, total + 1))

    def report() -> None:
        check_stop()
        listener("evidence", next(done), total, "")

    return report


def _kept(num_chains: int, half: int) -> np.ndarray:
    """Places of the draws of each half chain that are bridged."""
    return spread_out(half, max(1, MOST_DRAWS // num_chains))


def _half(task: Task, making: slice, bridging: slice, key: PRNGKeyArray) -> Estimate:
    """The estimate with a proposal from one half of the chains, bridged to the other half; standardised."""
    key_z, key_theta = split_key(key)
    mixture = _mixture(task, making, key_z)
    num_chains = len(task.targets)
    kept = bridging.start + _kept(num_chains, bridging.stop - bridging.start)
    bridged_to = flat(jax.tree.map(lambda leaf: leaf[:, kept], task.draws))
    proposed = _proposed(mixture, len(bridged_to.weights), key_theta)
    first = task.targets[:, kept].ravel() - _log_densities(task, bridged_to, mixture)
    second = _log_targets(task, proposed) - _log_densities(task, proposed, mixture)
    return _estimate(first.reshape(num_chains, -1), np.where(np.isnan(second), -np.inf, second))


def _mixture(task: Task, making: slice, key: PRNGKeyArray) -> Conditionals:
    """The proposal. Of few draws each has several z, so that the shape of the programs stays."""
    made = flat(jax.tree.map(lambda leaf: leaf[:, making], task.draws))
    at = np.resize(spread_out(len(made.weights), NUM_CONDITIONALS), NUM_CONDITIONALS)
    some = jax.tree.map(lambda leaf: leaf[at], made)
    return CONDITIONALS(key_array(key, NUM_CONDITIONALS), some, task.problem.standard_prior, task.problem.rows)


def flat(draws: Params) -> Params:
    """Draws on one leading axis."""
    return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), draws)


def _proposed(mixture: Conditionals, num: int, key: PRNGKeyArray) -> Params:
    """Draws from the proposal, as many from each posterior given z."""
    chosen = np.arange(-(-num // CHUNK) * CHUNK) % NUM_CONDITIONALS
    keys = key_array(key, len(chosen))
    parts = [PROPOSALS(keys[i : i + CHUNK], chosen[i : i + CHUNK], mixture) for i in range(0, len(chosen), CHUNK)]
    return Params(*(np.concatenate(part)[:num] for part in zip(*to_numpy(parts), strict=True)))


def _log_densities(task: Task, draws: Params, mixture: Conditionals) -> np.ndarray:
    alike = task.problem.model.interchangeable
    return in_chunks(lambda part: LOG_DENSITIES(part, mixture, alike), draws, task.report)


def _log_targets(task: Task, draws: Params) -> np.ndarray:
    problem = task.problem
    found = in_chunks(lambda part: LOG_TARGETS(part, problem.standard_prior, problem.rows), draws, task.report)
    return found + task.constant


def in_chunks(function: Callable[[Params], Any], draws: Params, report: Callable[[], None]) -> np.ndarray:
    """The values of a program at draws (leading axis), in chunks of one size; the last repeats a draw."""
    values, num = [], len(draws.weights)
    for i in range(0, num, CHUNK):
        place = np.minimum(np.arange(i, i + CHUNK), num - 1)
        values.append(np.asarray(function(jax.tree.map(lambda leaf, place=place: leaf[place], draws))))
        report()
    return np.concatenate(values)[:num]


def _estimate(first: np.ndarray, second: np.ndarray) -> Estimate:
    """The estimate from log ratios of posterior to proposal, at draws of both: (chain, draw) and independent ones.

    The error is that of the ratio of two means (Frühwirth-Schnatter 2004, eq. 12); the autocorrelation of the chains
    enters by their effective draws.
    """
    effective = effective_draws(first)
    value, log_first, log_second = bridged(first.ravel(), second, effective)
    terms = np.exp(log_first - log_first.max()).reshape(first.shape)
    error = np.hypot(
        relative_error(terms, effective_draws(terms)), relative_error(np.exp(log_second - log_second.max()), None)
    )
    by_chain = [bridged(chain, second, effective / len(first))[0] for chain in first]
    return Estimate(value, float(error), first.size, np.array(by_chain))


def relative_error(terms: np.ndarray, effective: float | None) -> float:
    """Standard error of a mean, relative to it; of independent terms without an effective number."""
    return float(terms.std() / terms.mean() / np.sqrt(effective or terms.size))


LOG_NORMALISER = Program(lambda prior: prior.weights.log_normaliser() + prior.components.log_normaliser())
