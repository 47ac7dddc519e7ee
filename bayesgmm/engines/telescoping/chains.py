"""The chains of the telescoping sampler: their starts, and blocks of compiled sweeps."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Int, PRNGKeyArray

from bayesgmm.engines.divisions import Divisions
from bayesgmm.engines.mcmc.chain_loop import collect
from bayesgmm.engines.starts import starts_from
from bayesgmm.engines.step import KERNELS, step
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.concentration import Concentration, middle
from bayesgmm.priors.finite_mixtures import FiniteMixtures, MixtureState
from bayesgmm.priors.number_of_components import NumberOfComponents, masses_up_to
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import on_device
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows

START = 10
"""Most clusters at the start of a chain."""
ROWS_OF_EACH = 2
"""A cluster at the start has at least so many times D + 1 distinct rows, on average."""


class TelescopingState(NamedTuple):
    """State of a chain: its θ, its key, and its number of sweeps. Each sweep folds that number into the key."""

    theta: MixtureState
    key: PRNGKeyArray
    sweeps: Int[Array, ""]


class Mixtures(NamedTuple):
    """A problem with room for K_max components, and the priors of K and of the concentration."""

    problem: Problem
    components: NumberOfComponents
    concentration: Concentration

    @property
    def most(self) -> int:
        """K_max."""
        return self.problem.num_components

    @property
    def prior(self) -> FiniteMixtures:
        """The prior as the sampler uses it, on the device."""
        with np.errstate(divide="ignore"):
            logs = np.log(masses_up_to(self.components, self.most))
        logs, concentration = on_device((logs, _as_arrays(self.concentration)), self.problem.dtype)
        return FiniteMixtures(logs, concentration, self.problem.standard_prior.components)


def _as_arrays(concentration: Concentration) -> Concentration:
    return jax.tree.map(np.asarray, concentration)


def start_chains(key: PRNGKeyArray, run_keys: Any, mixtures: Mixtures) -> TelescopingState:
    """Chains at θ from divisions of the rows into a few clusters, by k-means++."""
    problem, num_chains = mixtures.problem, len(run_keys)
    divisions = Divisions(key, problem)
    largest = int(np.flatnonzero(masses_up_to(mixtures.components, mixtures.most))[-1]) + 1
    # With fewer rows each, clusters of single rows teach the common scale of the covariances that it is nearly 0.
    num = min(START, largest, max(1, divisions.num_distinct // (ROWS_OF_EACH * (problem.table.dim + 1))))
    stats, local = divisions.stats(num, num_chains, "k-means++")
    starts = _padded(starts_from(stats, local, divisions.target, problem.dtype), mixtures.most, num_chains)
    inside = _in_family(starts, problem.standard_prior.components)
    values = np.full(num_chains, middle(mixtures.concentration), problem.dtype)
    counts = np.zeros((num_chains, mixtures.most), problem.dtype)
    theta = MixtureState(inside, np.full(num_chains, num), values, counts)
    return TelescopingState(theta, run_keys, np.zeros(num_chains, int))


def _padded(starts: Params, most: int, num_chains: int) -> Params:
    """Starts of K_max components, one for each chain. Those that are added have weight 0 and the unit covariance."""
    lanes = np.arange(num_chains) % len(starts.weights)
    weights, means, trils = (np.asarray(part)[lanes] for part in starts)
    added, dim = most - weights.shape[1], means.shape[-1]
    more = (num_chains, added)
    eye = np.broadcast_to(np.eye(dim, dtype=means.dtype), (*more, dim, dim))
    zeros = np.zeros((*more, dim), means.dtype)
    return Params(
        np.concatenate([weights, zeros[..., 0]], axis=1),  # pyright: ignore[reportArgumentType]
        np.concatenate([means, zeros], axis=1),  # pyright: ignore[reportArgumentType]
        np.concatenate([trils, eye], axis=1),  # pyright: ignore[reportArgumentType]
    )


@Program
def _in_family(starts: Params, components: Any) -> Params:
    def project(params: Params) -> Params:
        equal = jnp.full_like(params.weights, 1.0 / len(params.weights))
        return components.project(params._replace(weights=equal))._replace(weights=params.weights)

    return jax.vmap(project)(starts)


def advance_chains(state: TelescopingState, count: Int[Array, ""], mixtures: Mixtures) -> tuple[Any, Any]:
    """State and outputs after `count` sweeps of every chain."""
    return _BLOCK(state, count, mixtures.prior, mixtures.problem.rows)


def _block(state: TelescopingState, count: Int[Array, ""], prior: FiniteMixtures, rows: Rows):
    def advance(state: TelescopingState):
        key, now = jr.fold_in(state.key, state.sweeps), state.theta
        theta, seen = step(KERNELS["telescoping"], key, now, prior, rows)
        # A sweep computes the log-likelihood of the θ that it starts from. So the chain records that θ.
        stats = {
            "num_components": now.num_components,
            "concentration": now.concentration,
            "counts": now.counts.astype(jnp.int32),
        }
        return TelescopingState(theta, state.key, state.sweeps + 1), (now.params, seen.stats.value, stats)

    return jax.vmap(lambda state: collect(advance, state, count))(state)


_BLOCK = Program(_block)
