"""State and information of an ascent, and how it can end."""

import functools
import operator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
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


STILL = 4
"""Iterations that must meet the stopping criterion, with no real gain between them."""


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


def status_of(here: Best, t: Array, still: Array, limits: Limits, noise: Array) -> Int[Array, ""]:
    """How an ascent ends after iteration t, or that it goes on."""
    status = jnp.where(t >= limits.max_iter, MAX_ITER, RUNNING)
    status = jnp.where(still >= STILL, jnp.where(noise < limits.tol, CONVERGED, ROUNDING), status)
    fault = lost(here.plain, here.counts)
    status = jnp.where((status == RUNNING) & (fault > 0), fault, status)
    return jnp.where(jnp.isfinite(here.objective), status, NON_FINITE)


def lost(params: Params, counts) -> Array:
    """Failure status of θ: a component without rows, or one that collapses onto too few points; 0 if neither."""
    eps = jnp.finfo(params.means.dtype).eps
    diagonal = jnp.diagonal(params.scale_trils, axis1=-2, axis2=-1)
    flat = diagonal**2 < 16.0 * eps * jnp.sum(params.scale_trils**2, axis=-1)  # no correct digit is left
    finite = jax.tree.reduce(jnp.logical_and, jax.tree.map(lambda leaf: jnp.isfinite(leaf).all(), params))
    collapsed = ~finite | flat.any() | (diagonal.min() < jnp.maximum(64.0 * eps, 1e-10))
    empty = (jnp.where(params.weights == 0.0, jnp.inf, counts).min() < 1e-6) & ~finite
    return jnp.where(empty, EMPTY, jnp.where(collapsed, COLLAPSED, 0))
