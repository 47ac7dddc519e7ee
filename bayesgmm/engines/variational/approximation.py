"""One run of any approximation: from the user's call to an `ApproximatePosterior`."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Key, PRNGKeyArray

from bayesgmm.engines.checks import check_chain_arguments, check_reference, check_sampled
from bayesgmm.engines.engine import find_engine
from bayesgmm.engines.to_posterior import Origin, posterior_fields, prepare_reference
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.importance import pareto_k
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, prepare
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import key_array, split_seed
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import stopwatch
from bayesgmm.runtime.progress import Listener, Progress, listening


class Task(NamedTuple):
    """The input of an approximation."""

    problem: Problem
    key_start: PRNGKeyArray
    key_run: PRNGKeyArray
    num_draws: int
    listener: Listener

    @property
    def draw_keys(self) -> Key[Array, "N"]:
        """A key for each draw."""
        return key_array(self.key_run, self.num_draws)


class Approximated(NamedTuple):
    """The output of an approximation."""

    params: Params
    """Independent draws (leading axis), standardised."""
    log_likelihoods: np.ndarray
    log_ratios: np.ndarray
    """Log ratio of the posterior density to the density of the approximation, up to a constant, at each draw."""
    interrupted: bool
    fields: dict[str, Any]
    """Fields of its result besides those of an `ApproximatePosterior`."""


class Arguments(NamedTuple):
    """Arguments that the public functions share; see `sample_gibbs`."""

    x: Any
    n_components: int
    covariance_type: str
    prior: Belief | str | None
    fixed: Any
    num_samples: int
    num_chains: int
    seed: Any
    reference: MixtureFit | Params | None
    dtype: str
    progress_bar: Progress


def run_approximation[Result: ApproximatePosterior](
    name: str,
    result: type[Result],
    approximate: Callable[[Task], Approximated],
    arguments: Arguments,
    settings: dict[str, Any],
) -> Result:
    """Check, prepare, approximate, and return the draws as a posterior."""
    given = arguments
    check_chain_arguments(0, given.num_samples, given.num_chains, given.prior)
    shape = int(given.num_chains), int(given.num_samples)
    with scope(given.dtype) as dtype, stopwatch() as clock, listening(given.progress_bar) as listener:
        problem = prepare(given.x, given.n_components, given.prior, dtype, given.covariance_type, given.fixed)
        engine = find_engine(name)
        engine.check(problem.prior, problem.family, problem.table.dim)
        engine.check_problem(problem)
        check_sampled(problem.model, *shape)
        check_reference(given.reference, problem.model)
        prepare_reference(problem, given.reference)
        keys = split_seed(given.seed)
        found = approximate(Task(problem, keys.start, keys.run, shape[0] * shape[1], listener))
        settings = {"num_samples": given.num_samples, "num_chains": given.num_chains, "dtype": dtype} | settings
        origin = Origin(name, 0, given.seed, given.reference, settings)
        draws = Params(*found.params), found.log_likelihoods
        shared = posterior_fields(problem, draws, shape, found.interrupted, clock, origin)
    return result(**shared, pareto_k=pareto_k(found.log_ratios), **found.fields)
