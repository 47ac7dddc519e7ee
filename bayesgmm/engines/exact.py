"""The exact posterior of few rows under a conjugate prior, by enumeration of all labellings of the rows.

``p(θ, z | x) = p(z | x) p(θ | z, x)``. With a conjugate prior ``p(x, z)`` is a ratio of normalising constants, and
``p(θ | z, x)`` is the update of the prior: the two halves of a Gibbs sweep, without the chain. The K^N labellings are
weighed, some are drawn by their weights, and θ is drawn given each. The draws are independent and exact.
"""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.data.described import described
from bayesgmm.data.kinds import LABELS, NOISE, WORDS
from bayesgmm.engines.engine import DRAW_SETTINGS, Engine
from bayesgmm.engines.known_classes import certain, class_shares
from bayesgmm.engines.variational.approximation import Approximated, Arguments, Task, run_approximation
from bayesgmm.errors import ArgumentError
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import gram
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import host_generator
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import check_stop
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Progress
from bayesgmm.sweep.likelihood import log_likelihood
from bayesgmm.sweep.rows import Complete

MOST_LABELLINGS = 2**21
"""Most labellings that are enumerated: twenty-one rows for K = 2, thirteen for K = 3."""
TOGETHER = 1024
"""Labellings that are weighed in one program."""


@dataclass(frozen=True, repr=False)
class ExactPosterior(ApproximatePosterior):
    """Independent draws from the exact posterior. ``pareto_k`` is -∞: there is nothing to correct."""

    log_evidence: float
    """``log p(x)``, exact, with all constants; with known classes ``log p(x, classes)``."""
    num_labellings: int
    """K^N, for the N rows whose class is not known."""

    def _title(self) -> str:
        return (
            f"Exact posterior from {self.num_labellings:,} labellings: {self.n_components} components, log evidence "
            f"{self.log_evidence:.3f}, {self.num_chains * self.num_samples} independent draws"
        )


def sample_exact(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    fixed: Any = None,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    reference: MixtureFit | Params | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> ExactPosterior:
    """Draw from the exact posterior of few rows, and compute the exact evidence, by enumeration of all labellings.

    Parameters
    ----------
    x, n_components, covariance_type, prior, fixed, reference, dtype, progress_bar
        As for `sample_gibbs`. The prior must be conjugate (`NormalInverseWishart`, `NormalInverseGamma`).
    weights, labels, errors, noise
        Rows of which more is known than values are refused.
    num_samples, num_chains
        Independent draws, in the shape (chain, draw) of the samplers.
    seed
        int or JAX key.

    Returns
    -------
    ExactPosterior

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used, or there are more than 2²¹ labellings.
    """
    x = described(x, weights, labels, errors, noise)
    arguments = Arguments(
        x, n_components, covariance_type, prior, fixed, num_samples, num_chains, seed, reference, dtype, progress_bar
    )
    return run_approximation("exact", ExactPosterior, _approximate, arguments, {})


def _approximate(task: Task) -> Approximated:
    problem = task.problem
    total = _number_of_labellings(problem)
    prior, rows, logs = problem.standard_prior, problem.rows, np.empty(0)
    together = min(TOGETHER, total)
    for first in range(0, total, together):
        check_stop()
        logs = np.append(logs, np.asarray(_WEIGH(np.asarray(first), prior, rows, together=together), float))
        task.listener("exact", min(first + together, total), total, "")
    logs = logs[:total]
    top = logs.max()
    shares = np.exp(logs - top)
    evidence = top + math.log(shares.sum()) + _constant(problem) - problem.log_volume
    chosen = host_generator(task.key_start).choice(total, task.num_draws, p=shares / shares.sum())
    params, values = to_numpy(_DRAW(task.draw_keys, chosen, prior, rows))
    fields = {"log_evidence": float(evidence), "num_labellings": total}
    return Approximated(params, values, np.zeros(task.num_draws), False, fields)


def _number_of_labellings(problem: Problem) -> int:
    """K^N, or an `ArgumentError` if they are too many."""
    num, rows = problem.num_components, problem.table.num_rows
    known = class_shares(problem.table, num)
    rows -= 0 if known is None else int(certain(known).sum())
    most = int(math.log(MOST_LABELLINGS) / math.log(max(num, 2)) + 1e-9)
    if num > 1 and rows > most:
        raise ArgumentError(
            f"exact enumerates all labellings of the rows: {num}^{rows} = 1e{rows * math.log10(num):.0f} here, at most "
            f"{MOST_LABELLINGS:,}. With {num} components use at most {most} rows of unknown class, or sample_gibbs."
        )
    return num**rows


def _constant(problem: Problem) -> float:
    """The normaliser of the prior, and that of the rows' densities."""
    rows, dim = problem.table.num_rows, problem.table.dim
    return float(_NORMALISER(problem.standard_prior)) - 0.5 * rows * dim * math.log(2.0 * math.pi)


def _posterior_given(index: Array, prior: Belief, rows: Complete) -> tuple[Belief, Array]:
    """``p(θ | z, x)`` for the labelling with this number, and the log probability of what is known of the classes.

    To the latter the density of the rows of noise is added. The digits of the number in base K are the labels of the
    rows whose class is not known.
    """
    every = rows.take(jnp.arange(rows.capacity))  # all rows: one component may have more than a block
    x, num = every.x[0], prior.weights.num_components
    places, labels, known = jnp.arange(x.shape[1]), 0, jnp.zeros((num, x.shape[1]), x.dtype)
    if every.labels is not None:
        known = jnp.asarray(every.labels)[0]
        free = jnp.isfinite(known).sum(axis=0) > 1
        places, labels = jnp.cumsum(free) - 1, jnp.where(free, 0, jnp.argmax(known, axis=0) + 1)
    drawn = (index // num ** jnp.maximum(places, 0)) % num
    labels = jnp.where(jnp.asarray(labels) > 0, labels - 1, drawn)
    held = (labels == jnp.arange(num)[:, None]) * x[0]  # padding belongs to no component
    counts = jnp.sum(held, axis=1)
    means = (held @ x[1:].T) / jnp.maximum(counts, 1.0)[:, None]
    apart = (x[1:] - means[:, :, None]) * held[:, None, :]
    said = jnp.sum(x[0] * jnp.take_along_axis(known, labels[None], axis=0)[0])
    if every.noise is not None:  # a Gaussian row has the constant that `_constant` takes from all rows
        said += counts[-1] * (every.noise + 0.5 * (len(x) - 1) * math.log(2.0 * math.pi))
    return prior.update(Stats(counts, means, gram(apart), jnp.zeros((), x.dtype))), said


def _weigh(first: Array, prior: Belief, rows: Complete, together: int) -> Array:
    """``log p(x, z)`` of labellings in a row, without the constants that they share."""

    def one(index: Array) -> Array:
        posterior, said = _posterior_given(index, prior, rows)
        return said - posterior.log_normaliser()

    return jax.vmap(one)(first + jnp.arange(together))


def _draw(keys: Array, chosen: Array, prior: Belief, rows: Complete) -> tuple[Params, Array]:
    """θ given each labelling, and the marginal log-likelihood there."""

    def one(key: Any, index: Array) -> tuple[Params, Array]:
        params = _posterior_given(index, prior, rows)[0].sample(key)
        return params, log_likelihood(params, rows)

    return jax.vmap(one)(keys, chosen)


_WEIGH = Program(_weigh, static=("together",))
_DRAW = Program(_draw)
_NORMALISER = Program(lambda prior: prior.log_normaliser())

EXACT = Engine(
    "exact", "the exact posterior, by enumeration of all labellings", sample_exact, DRAW_SETTINGS,
    needs=Conjugacy.JOINT, families=CONJUGATE, exact=True, check_size=_number_of_labellings,
    refuses=tuple(kind for kind in WORDS if kind not in (LABELS, NOISE)),
)  # fmt: skip
