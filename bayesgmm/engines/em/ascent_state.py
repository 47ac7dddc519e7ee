"""State and information of an ascent, and how it can end."""

import functools
import operator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int

from bayesgmm.engines.em.acceleration import Memory
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array

RUNNING, CONVERGED, MAX_ITER, COLLAPSED, EMPTY, NON_FINITE, ROUNDING, PRUNED, PLANNED = range(9)


STATUS = (
    "interrupted",
    "converged",
    "stopped at max_iter",
    "collapsed",
    "empty component",
    "non-finite objective",
    "stopped at rounding",
    "pruned",
    "stopped as planned",
)


FAILED = (COLLAPSED, EMPTY, NON_FINITE)
"""End states without a usable fit."""


class Best(NamedTuple):
    """The best θ so far."""

    params: Params
    objective: Float[Array, ""]
    value: Float[Array, ""]
    """The part of the objective that is not the prior's: the log-likelihood (CEM: of the classification)."""
    counts: Float[Array, "K"]
    plain: Params
    """θ after one M-step from ``params``."""


class AscentState(NamedTuple):
    """What the next iteration needs."""

    params: Params
    """The candidate θ. Its objective is not known yet."""
    leap: Bool[Array, ""]
    """Whether the candidate comes from the acceleration, not from the M-step."""
    best: Best
    last: Float[Array, ""]
    """Objective of the previous iteration."""
    gain: Float[Array, ""]
    """Gain of the previous iteration."""
    still: Int[Array, ""]
    """Iterations that met the stopping criterion since the last real gain."""
    iteration: Int[Array, ""]
    """M-steps up to the last evaluated θ; -1 before the first iteration."""
    status: Int[Array, ""]
    memory: Memory


class AscentInfo(NamedTuple):
    """Information for the user; the next iteration does not need it."""

    trace: Float[Array, "T"]
    """Objective after each M-step, the start first. In compiled code: the entries since the host last took them."""


class Ascent(NamedTuple):
    """One ascent, or several on a leading axis."""

    state: AscentState
    info: AscentInfo

    @property
    def params(self) -> Params:
        """The best θ so far."""
        return self.state.best.params

    @property
    def objective(self) -> Any:
        """Objective of the best θ so far."""
        return self.state.best.objective

    @property
    def value(self) -> Any:
        """Log-likelihood of the best θ so far (CEM: of the classification)."""
        return self.state.best.value

    @property
    def counts(self) -> Any:
        """Expected number of rows in each component, at the best θ so far."""
        return self.state.best.counts

    @property
    def iteration(self) -> Any:
        """M-steps so far."""
        return self.state.iteration

    @property
    def status(self) -> Any:
        """An index into `STATUS`."""
        return self.state.status

    @property
    def trace(self) -> Any:
        """Objective after each M-step, the start first."""
        return self.info.trace

    def with_status(self, status: Array) -> "Ascent":
        """The same ascent with another status."""
        return self._replace(state=self.state._replace(status=status))

    def with_trace(self, trace: Array) -> "Ascent":
        """The same ascent with another trace."""
        return self._replace(info=AscentInfo(trace))


class Limits(NamedTuple):
    """When iterations stop."""

    tol: Float[Array, ""]
    """Tolerance in units of the objective; 0 never stops."""
    max_iter: Int[Array, ""]
    until: Int[Array, ""]
    """Iteration at which ascents pause; they are still running."""


class Proposal(NamedTuple):
    """The candidate for the next iteration."""

    params: Params
    leap: Bool[Array, ""]
    memory: Memory
    back: Bool[Array, ""]
    """Whether the current θ is a leap that lowered the objective, and is rejected."""
    left: Array
    """Estimate of the remaining gain of the objective; ∞ if there is none."""


def usable(ascents: Ascent) -> Bool[Array, "*b"]:
    """Which ascents hold a θ that can be returned or iterated further."""
    finite = abs(ascents.objective) < np.inf  # operators work on the host, and inside a program
    return functools.reduce(operator.and_, (ascents.status != failed for failed in FAILED), finite)
