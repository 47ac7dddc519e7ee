"""A prior of the Gaussians of a mixture that has a noise component too: the last one, which is uniform over a box.

The noise has no parameter but its weight. In its place θ holds the mean and the covariance of the uniform distribution,
so that moments of the mixture are true. Priors and posteriors below are those of the Gaussians alone, so that no family
pools the rows of the noise.
"""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.data.noise import Noise
from bayesgmm.model.families import Family
from bayesgmm.model.fixed import NOTHING, Held
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import is_column, log_diagonal_sum
from bayesgmm.priors.conjugacy import Conjugacy


@partial(jax.tree_util.register_dataclass, data_fields=["inner", "mean", "tril"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class WithNoise:
    """A prior of means and covariances within a family, or its posterior given z, with a noise component after them."""

    inner: Any
    """That of the K Gaussians."""
    mean: Any
    """(D,): mean of the noise."""
    tril: Any
    """(D, D): Cholesky factor of its covariance; diagonal if all covariances are."""

    @property
    def conjugacy(self) -> Conjugacy:
        """The closed forms of the Gaussians."""
        return self.inner.conjugacy

    @property
    def family(self) -> Family:
        """The covariance family of the Gaussians."""
        return self.inner.family

    @property
    def metric(self) -> Any:
        """Units of the features, in which the family is defined."""
        return self.inner.metric

    @property
    def diagonal(self) -> bool:
        """Whether every covariance is diagonal."""
        return getattr(self.inner, "diagonal", False)

    @property
    def held(self) -> Held:
        """What is held of the Gaussians, and the noise."""
        return getattr(self.inner, "held", NOTHING).with_noise(self.num_gaussians)

    @property
    def num_gaussians(self) -> int:
        """K: the components without the noise."""
        return np.shape(getattr(self.inner, "inner", self.inner).loc)[0]

    def padded(self, num_gaussians: int) -> "WithNoise":
        """The same distribution for more Gaussians; those beyond K are placeholders."""
        return dataclasses.replace(self, inner=self.inner.padded(num_gaussians))

    def among(self, families: tuple[Family, ...]) -> "WithNoise":
        """The same distribution with the Gaussians of one of several families."""
        return dataclasses.replace(self, inner=self.inner.among(families))

    @property
    def loc(self) -> Array:
        """Location of the means, (K + 1, D)."""
        return _with_last(self.inner.loc, self.mean)

    @property
    def strength(self) -> Array:
        """Effective number of rows for each mean, (K + 1,): infinite for the noise."""
        return _with_last(self.inner.strength, np.inf)

    @property
    def counts(self) -> Array:
        """Effective number of rows for each covariance, (K + 1,): 1 for the noise, whose covariance does not move."""
        return _with_last(self.inner.counts, 1.0)

    def put_means(self, means: Array) -> Array:
        """Means (K + 1, D) with the known ones in their places."""
        own = means[:-1]
        return _with_last(self.inner.put_means(own) if hasattr(self.inner, "put_means") else own, self.mean)

    def put_trils(self, trils: Array) -> Array:
        """Cholesky factors (K + 1, D, D) with the known ones in their places."""
        own = trils[:-1]
        return _with_last(self.inner.put_trils(own) if hasattr(self.inner, "put_trils") else own, self.tril)

    def update(self, stats: Stats) -> "WithNoise":
        """The posterior given the statistics of the Gaussians."""
        own = Stats(stats.counts[:-1], stats.means[:-1], stats.scatters[:-1], stats.value)
        return dataclasses.replace(self, inner=self.inner.update(own))

    def mode(self, present: Params | None = None) -> tuple[Array, Array]:
        """The mode of the Gaussians, and the noise."""
        return self._with_last(self.inner.mode(without_noise(present)))

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> tuple[Array, Array]:
        """A draw of the Gaussians, and the noise."""
        return self._with_last(self.inner.sample(key, without_noise(present)))

    def project(self, params: Params) -> Params:
        """The member of the family nearest to θ, with the noise in its place."""
        own: Any = without_noise(params)
        near = self.inner.project(own)
        means, trils = self._with_last((near.means, near.scale_trils))
        return Params(params.weights, means, trils)

    def _with_last(self, gaussians: tuple[Array, Array]) -> tuple[Array, Array]:
        return _with_last(gaussians[0], self.mean), _with_last(gaussians[1], self.tril)

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density of the Gaussians without its constant."""
        return self.inner.log_kernel(means[:-1], whiteners[:-1], log_diagonals[:-1])

    def frozen(self, key: PRNGKeyArray, present: Params) -> "WithNoise":
        """The Gaussians as a density in closed form, and the noise; see `bayesgmm.priors.frozen`."""
        return dataclasses.replace(self, inner=self.inner.frozen(key, without_noise(present)))

    def cross_kernels(self, means: Array, trils: Array) -> Float[Array, "K K"]:
        """Log density, without constants, of each component at each component of θ; 0 for the noise."""
        return jnp.pad(self.inner.cross_kernels(means[:-1], trils[:-1]), (0, 1))

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density of the Gaussians."""
        return self.inner.log_normaliser()

    def expected_log_det(self) -> Float[Array, "K"]:
        """``E[log |Σ_k|]``."""
        return _with_last(self.inner.expected_log_det(), 2.0 * log_diagonal_sum(self.tril))

    def harmonic_trils(self) -> Float[Array, "K D E"]:
        """Cholesky factors of ``E[Σ_k⁻¹]⁻¹``; columns if they are diagonal."""
        trils = self.inner.harmonic_trils()
        own = jnp.asarray(self.tril)
        return _with_last(trils, jnp.diagonal(own)[:, None] if is_column(trils) else own)

    def expected_log_kernel(self, q: "WithNoise") -> Float[Array, ""]:
        """``E_q[log_kernel]`` of the Gaussians."""
        return self.inner.expected_log_kernel(q.inner)

    def standardise(self, frame: Frame) -> "WithNoise":
        """The same distribution in standardised coordinates."""
        mean, tril = (self.mean - frame.center) / frame.scale, self.tril / frame.scale[:, None]
        return WithNoise(self.inner.standardise(frame), mean, tril)


def without_noise(params: Params | None) -> Params | None:
    """θ without its last component. Weights keep their values."""
    if params is None:
        return None
    return Params(params.weights[..., :-1], params.means[..., :-1, :], params.scale_trils[..., :-1, :, :])


def _with_last(values: Any, last: Any) -> Any:
    """Values of the Gaussians, and that of the noise after them."""
    xp = np if isinstance(values, np.ndarray) and isinstance(last, np.ndarray | float) else jnp
    values, last = xp.asarray(values), xp.asarray(last)
    return xp.concatenate([values, last.astype(values.dtype)[None]])


def add_noise(components: Any, noise: Noise) -> WithNoise:
    """A prior within a family with this noise, in the same coordinates."""
    covariance = noise.covariance
    if components.family.orientation == "I":
        covariance = np.diag(np.diagonal(covariance))
    return WithNoise(components, np.asarray(noise.center), np.linalg.cholesky(covariance))
