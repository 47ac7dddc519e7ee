"""Laplace approximation: a Gaussian at the posterior mode in unconstrained coordinates (Tierney & Kadane 1986)."""

import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.flatten_util import ravel_pytree
from jax.scipy.linalg import solve_triangular
from jaxtyping import Float

from bayesgmm.data.described import described
from bayesgmm.engines.chain_starts import chain_starts
from bayesgmm.engines.checks import check_hessian
from bayesgmm.engines.coordinates import constrain, potential, unconstrain
from bayesgmm.engines.engine import DRAW_SETTINGS, Engine
from bayesgmm.engines.to_posterior import prior_constant
from bayesgmm.engines.variational.approximation import Approximated, Arguments, Task, run_approximation
from bayesgmm.errors import FitError
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Progress
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.likelihood import log_likelihood

STATIONARY = 1e-3
"""Squared Newton decrement below which a point is a mode; it is twice the remaining gain of the log density."""


@dataclass(frozen=True, repr=False)
class LaplacePosterior(ApproximatePosterior):
    """Independent draws from the Gaussian at the mode, transformed back to θ."""

    log_evidence: float
    """``log p(x)`` by Laplace's method, with all constants, for one of the K! labellings of the components."""

    def _title(self) -> str:
        return f"Laplace: {self.n_components} components, log evidence {self.log_evidence:.3f}; {self._khat_words()}"


def fit_laplace(
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
) -> LaplacePosterior:
    """Approximate the posterior by a Gaussian at its mode, in the coordinates of NUTS.

    EM finds the basin of the mode (the best of sixteen starts). If EM cannot ascend under the prior, as with a
    Dirichlet concentration below 1, it uses a weak conjugate prior instead. Newton's method (trust region of SciPy)
    then finds the mode of the density over unconstrained coordinates. It differs from the mode of EM, because a change
    of coordinates moves a mode. The covariance of the Gaussian is minus the inverse Hessian there, from second
    derivatives of the one pass over the data.

    Parameters
    ----------
    x, n_components, covariance_type, prior, weights, labels, errors, noise, fixed, reference, dtype
        As for `sample_gibbs`.
    num_samples, num_chains
        Independent draws, in the shape (chain, draw) of the samplers.
    seed
        int or JAX key.

    Returns
    -------
    LaplacePosterior

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    FitError
        If the posterior has no proper maximum there: its Hessian is singular to working precision.
    """
    x = described(x, weights, labels, errors, noise)
    arguments = Arguments(
        x, n_components, covariance_type, prior, fixed, num_samples, num_chains, seed, reference, dtype, progress_bar
    )
    return run_approximation("laplace", LaplacePosterior, _approximate, arguments, {})


def _approximate(task: Task) -> Approximated:
    problem = task.problem
    check_hessian(problem.model)
    task.listener("laplace", 0, 1, "")
    start = chain_starts(task.key_start, problem, 1, "em")
    template = jax.tree.map(lambda leaf: np.asarray(leaf)[0], start)
    mode, value, factor = _mode(template, problem)
    place = mode, factor, template
    params, values, log_ratios = to_numpy(_DRAWS(task.draw_keys, *place, problem.standard_prior, problem.rows))
    evidence = _evidence(mode, value, factor, template, problem)
    task.listener("laplace", 1, 1, "")
    return Approximated(params, values, log_ratios, False, {"log_evidence": evidence})


def log_mass(params: Params, problem: Problem) -> float:
    """``log p(x)`` by Laplace's method from a single mode: the one that Newton's method reaches from θ (user's units).

    Call it inside ``dtypes.scope``. The difference between two modes is the log ratio of their posterior shares.

    Raises
    ------
    FitError
        If the posterior has no proper maximum there.
    """
    template = jax.tree.map(lambda leaf: jnp.asarray(leaf, problem.dtype), problem.frame.standardise(params))
    return _evidence(*_mode(template, problem), template, problem)


def _evidence(mode: np.ndarray, value: float, factor: np.ndarray, template: Params, problem: Problem) -> float:
    constant = prior_constant(problem, to_numpy(_THETA(mode, template, problem.standard_prior)))
    gaussian = 0.5 * len(mode) * math.log(2.0 * math.pi) - np.log(np.diagonal(factor)).sum()
    return float(gaussian - value + constant - problem.log_volume)


def _mode(template: Params, problem: Problem) -> tuple[np.ndarray, float, np.ndarray]:
    """The mode, minus the log density there, and the Cholesky factor of minus the Hessian."""
    from scipy.optimize import minimize

    arguments = template, problem.standard_prior, problem.rows
    start = np.asarray(_PLACE(template, problem.standard_prior), float)

    def gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = _SLOPE(jnp.asarray(flat, problem.dtype), *arguments)
        return float(value), np.asarray(slope, float)

    def hessian(flat: np.ndarray) -> np.ndarray:
        return np.asarray(_CURVATURE(jnp.asarray(flat, problem.dtype), *arguments), float)

    options = {"gtol": 1e-6, "maxiter": 200}
    try:
        found = minimize(gradient, start, jac=True, hess=hessian, method="trust-exact", options=options)
        factor = np.linalg.cholesky(hessian(found.x))
        if not np.isfinite(factor).all():
            raise ValueError("the Hessian is not finite")
        decrement = np.linalg.solve(factor, gradient(found.x)[1])
        if not (decrement**2).sum() < STATIONARY:
            raise ValueError(f"the gradient is not 0: the Newton decrement is {np.sqrt((decrement**2).sum()):.2g}")
    except (np.linalg.LinAlgError, ValueError) as error:
        raise FitError(
            f"No Gaussian fits the posterior at its mode ({error}). The posterior is flat in some direction, or a "
            "covariance is singular to working precision. Use fewer components, use dtype='float64', or sample the "
            "posterior (sample_gibbs)."
        ) from None
    return found.x, float(found.fun), factor


def _potential(flat: Any, template: Params, prior: Belief, rows: Rows) -> Float[Array, ""]:
    position = ravel_pytree(unconstrain(template, prior))[1](flat)
    return potential(position, prior, rows)


def _value_and_slope(flat: Any, template: Params, prior: Belief, rows: Rows):
    return jax.value_and_grad(_potential)(flat, template, prior, rows)


def _curvature(flat: Any, template: Params, prior: Belief, rows: Rows):
    return jax.hessian(_potential)(flat, template, prior, rows)


def _draws(keys, mode: Any, factor: Any, template: Params, prior: Belief, rows: Rows):
    """Draws of θ, their log-likelihoods, and the log ratios of posterior to Gaussian, up to a constant."""
    rebuild = ravel_pytree(unconstrain(template, prior))[1]

    def one(key):
        noise = jr.normal(key, mode.shape, mode.dtype)
        flat = mode + solve_triangular(factor, noise, trans="T", lower=True)
        params = constrain(rebuild(flat), prior)
        ratio = 0.5 * jnp.sum(noise**2) - _potential(flat, template, prior, rows)
        return params, log_likelihood(params, rows), ratio

    return jax.lax.map(one, keys)


def _theta(flat: Any, template: Params, prior: Belief) -> Params:
    return constrain(ravel_pytree(unconstrain(template, prior))[1](flat), prior)


def _place(template: Params, prior: Belief) -> Any:
    return ravel_pytree(unconstrain(template, prior))[0]


_PLACE = Program(_place)
_THETA = Program(_theta)
_SLOPE = Program(_value_and_slope)
_CURVATURE = Program(_curvature)
_DRAWS = Program(_draws)
LAPLACE = Engine("laplace", "Laplace approximation at the mode", fit_laplace, DRAW_SETTINGS, families=CONJUGATE)
