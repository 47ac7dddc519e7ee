"""The evidence by a truncated harmonic mean: THAMES (Metodiev et al. 2024; for mixtures 2025).

``1 / p(x)`` is the posterior mean of ``1_A(θ) / (p(x | θ) p(θ))`` divided by the volume of A. In unconstrained
coordinates A is where the posterior density is above its median over half of the relabelled draws, within an ellipsoid
about those above it. (Metodiev et al. use the covariance of all draws. Where tails are heavy, as with few rows, that
ellipsoid is mostly outside.) A holds only those θ whose best labelling is the common one. So the sum over the
permutations of a draw has one term, that of its relabelling, for any number of components, and the K! labellings enter
as a factor.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.flatten_util import ravel_pytree
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.engines.coordinates import constrain, log_jacobian, potential, unconstrain
from bayesgmm.engines.to_posterior import prior_constant
from bayesgmm.errors import ArgumentError
from bayesgmm.marginal_likelihood.bridge import CHUNK, Estimate, flat, relative_error, reporter
from bayesgmm.model.alignment import align, permute
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.chains import effective_draws
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import host_generator, split_key
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Listener
from bayesgmm.sweep.kinds_of_rows import Rows

NUM_POINTS = 4000
"""Points of the ellipsoid that measure the volume of A."""
LEVEL = 0.5
"""Share of the draws whose posterior density is below that of every point of A."""


class Located(NamedTuple):
    """Relabelled draws in unconstrained coordinates, (chain, draw, d), and their log densities there."""

    places: np.ndarray
    log_densities: np.ndarray
    reference: Params
    problem: Problem
    constant: float
    """The constant of the prior in these coordinates."""


class Region(NamedTuple):
    """A: where the ellipsoid, the density and the labelling agree."""

    center: np.ndarray
    factor: np.ndarray
    """Cholesky factor of the covariance of the draws of high density."""
    least: float
    """Lowest log density."""

    def distances(self, places: np.ndarray) -> np.ndarray:
        """Squared distances from the center, in units of the covariance."""
        white = np.linalg.solve(self.factor, (places - self.center).reshape(-1, places.shape[-1]).T)
        return np.square(white).sum(axis=0).reshape(places.shape[:-1])

    @property
    def radius(self) -> float:
        """√(d + 2): that of an ellipsoid over which the draws are spread evenly."""
        return math.sqrt(len(self.center) + 2.0)

    @property
    def log_volume(self) -> float:
        """Log volume of the ellipsoid."""
        dim = len(self.center)
        ball = 0.5 * dim * math.log(math.pi) - math.lgamma(0.5 * dim + 1.0)
        return ball + dim * math.log(self.radius) + float(np.log(np.diagonal(self.factor)).sum())


def by_thames(posterior: Posterior, problem: Problem, key: PRNGKeyArray, listener: Listener) -> Estimate:
    """The log evidence by THAMES. Call inside ``dtypes.scope("float64")``."""
    located = _locate(posterior, problem)
    half, dim = posterior.num_samples // 2, located.places.shape[-1]
    if posterior.num_chains * half < 2 * (dim + 1):
        raise ArgumentError(
            f"For thames {posterior.num_chains} × {posterior.num_samples} draws are too few to tell the covariance of "
            f"{dim} coordinates. Draw more than {4 * (dim + 1)} in all."
        )
    report = reporter(listener, 2 * (NUM_POINTS // CHUNK))
    first, second, keys = slice(0, half), slice(half, 2 * half), split_key(key)
    one, other = (
        _half(located, *sides, key, report) for sides, key in zip(((first, second), (second, first)), keys, strict=True)
    )
    value = 0.5 * (one[0] + other[0]) + _log_permutations(problem.model.interchangeable) - problem.log_volume
    error = max(0.5 * math.hypot(one[1], other[1]), 0.5 * abs(one[0] - other[0]))
    return Estimate(value, error, 2 * half * posterior.num_chains, np.empty(0))


def _locate(posterior: Posterior, problem: Problem) -> Located:
    standard = problem.frame.standardise
    draws, reference = Params(*map(np.asarray, standard(posterior.params))), standard(posterior.reference)
    reference = Params(*map(np.asarray, reference))
    draws = permute(draws, align(draws, reference, problem.model.interchangeable))
    places, jacobians = to_numpy(_PLACES(flat(draws), problem.standard_prior))
    theta = Params(*(part[0, 0] for part in draws))
    constant = prior_constant(problem, theta)
    shift = problem.log_volume - problem.prior_shift(theta) + constant
    shape = posterior.log_likelihood.shape
    densities = posterior.log_likelihood + posterior.log_prior + shift + jacobians.reshape(shape)
    return Located(places.reshape(*shape, -1), densities, reference, problem, constant)


def _half(located: Located, making: slice, using: slice, key: Any, report: Callable) -> tuple[float, float]:
    """Log evidence of one labelling (standardised) and its error, with A from one half of the chains."""
    region = _region(located.places[:, making], located.log_densities[:, making])
    places, logs = located.places[:, using], located.log_densities[:, using]
    inside = (region.distances(places) <= region.radius**2) & (logs >= region.least)
    share = _share_inside(located, region, key, report)
    if not inside.any() or share == 0.0:
        return math.nan, math.nan
    terms = np.where(inside, np.exp(region.least - logs), 0.0)
    of_volume = math.sqrt((1.0 - share) / share / NUM_POINTS)
    error = math.hypot(relative_error(terms, effective_draws(terms)), of_volume)
    return region.least - math.log(terms.mean()) + region.log_volume + math.log(share), error


def _region(places: np.ndarray, logs: np.ndarray) -> Region:
    least = float(np.quantile(logs, LEVEL))
    dense = places[logs >= least]
    return Region(dense.mean(axis=0), np.linalg.cholesky(np.atleast_2d(np.cov(dense.T))), least)


def _share_inside(located: Located, region: Region, key: Any, report: Callable) -> float:
    """Share of the ellipsoid that is in A, from points spread evenly over it."""
    generator, dim, problem = host_generator(key), len(region.center), located.problem
    noise = generator.normal(size=(NUM_POINTS, dim))
    noise *= generator.random((NUM_POINTS, 1)) ** (1.0 / dim) / np.linalg.norm(noise, axis=1, keepdims=True)
    points = region.center + region.radius * noise @ region.factor.T
    theta, inside = located.reference, 0
    for i in range(0, NUM_POINTS, CHUNK):
        params, logs = to_numpy(_AT(points[i : i + CHUNK], theta, problem.standard_prior, problem.rows))
        usual = align(params, theta, problem.model.interchangeable) == np.arange(problem.num_components)
        inside += int((usual.all(axis=1) & (logs + located.constant >= region.least)).sum())
        report()
    return inside / NUM_POINTS


def _log_permutations(alike: np.ndarray) -> float:
    """Log of the number of permutations among components that may exchange their numbers."""
    return sum(math.lgamma(group.sum() + 1.0) for group in np.unique(alike, axis=0))


def _places(params: Params, prior: Belief) -> tuple[Float[Array, "T d"], Float[Array, "T"]]:
    """Unconstrained coordinates of each θ (leading axis), and the log of their Jacobian."""

    def one(theta: Params):
        position = unconstrain(theta, prior)
        return ravel_pytree(position)[0], log_jacobian(position)

    return jax.vmap(one)(params)


def _at(places: Float[Array, "T d"], template: Params, prior: Belief, rows: Rows) -> tuple[Params, Float[Array, "T"]]:
    """Θ at each place (leading axis), and its log density there without the constant of the prior."""
    unravel = ravel_pytree(unconstrain(jax.tree.map(jnp.asarray, template), prior))[1]

    def one(place: Array):
        position = unravel(jnp.asarray(place))
        return constrain(position, prior), -potential(position, prior, rows)

    return lax.map(one, places)


_PLACES = Program(_places)
_AT = Program(_at)
