"""What approximations of the posterior share: draws, their importance ratios, and the honesty check on them."""

from dataclasses import dataclass, fields
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.engines.chains import to_posterior
from bayesgmm.engines.mcmc.chain_loop import Collected
from bayesgmm.model.types import Params
from bayesgmm.problem import Problem, log_kernel
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.programs import Stopwatch

GOOD_K = 0.7
"""Pareto k-hat above which an approximation is not to be trusted (Yao, Vehtari, Simpson & Gelman 2018)."""


FEWEST_IN_TAIL = 5
"""Draws that a tail must have for its shape to be estimated."""


@dataclass(frozen=True, repr=False)
class ApproximatePosterior(Posterior):
    """Independent draws from an approximation of the posterior."""

    pareto_k: float
    """PSIS k-hat of the draws as an importance sample of the posterior: above 0.7, they are not to be trusted."""

    @property
    def trusted(self) -> bool:
        """Whether k-hat allows it."""
        return self.pareto_k <= GOOD_K

    def _attrs(self) -> dict[str, Any]:
        return super()._attrs() | {"pareto_k": self.pareto_k}

    def _honesty(self) -> str:
        if np.isnan(self.pareto_k):
            return "too few draws for Pareto k-hat"
        return f"Pareto k-hat {self.pareto_k:.2f}" + ("" if self.trusted else ": not to be trusted")


def shared_fields(
    problem: Problem, draws: Any, shape: tuple[int, int], clock: Stopwatch, **about: Any
) -> dict[str, Any]:
    """What an `ApproximatePosterior` shares with a `Posterior`, from flat draws (params, log-likelihoods)."""
    outputs = jax.tree.map(lambda leaf: leaf.reshape(*shape, *leaf.shape[1:]), (*draws, {}))
    posterior = to_posterior(problem, Collected(None, outputs, False), clock, num_warmup=0, **about)
    return {field.name: getattr(posterior, field.name) for field in fields(Posterior)}


def prior_constant(problem: Problem, params: Params) -> float:
    """Log normaliser of the prior over what `coordinates` calls θ: standardised, but for log standard deviations.

    It does not depend on the θ at which it is asked.
    """
    outside = log_kernel(*jax.tree.map(jnp.asarray, (problem.frame.restore(params), problem.penalty)))
    inside = log_kernel(*jax.tree.map(jnp.asarray, (params, problem.belief)))
    num, dim = problem.num_components, problem.table.dim
    matrices = 0 if problem.family.orientation == "I" else 1 if problem.family.pooled else num
    volume = (num + matrices * (dim + 1)) * float(problem.frame.log_volume)
    return float(outside) + problem.prior_constant - float(inside) + volume


def pareto_k(log_ratios: np.ndarray) -> float:
    """Shape of the upper tail of importance ratios; -∞ if all are equal, up to rounding: the approximation is exact then.

    NaN with too few draws to have a tail.
    """
    from arviz_stats.base.array import array_stats

    log_ratios = np.asarray(log_ratios, float)
    if min(0.2 * len(log_ratios), 3.0 * len(log_ratios) ** 0.5) < FEWEST_IN_TAIL:
        return float("nan")
    if np.ptp(log_ratios) < 1e-6:
        return float("-inf")
    # ArviZ takes log-likelihoods, whose negatives are the log ratios of leave-one-out.
    return float(array_stats.psislw(-log_ratios, axis=-1)[1])
