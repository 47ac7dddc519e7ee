"""A mixture of finite mixtures: the number of components K has a prior too.

Miller & Harrison (2018); Frühwirth-Schnatter, Malsiner-Walli & Grün (2021), whose telescoping sampler is a Gibbs
sampler: given z, θ is drawn in the order of `MixturesGivenZ.sample`. K and K₊ are the numbers of components and of
those that have rows (clusters).

Arrays have room for K_max components. Those beyond K have weight 0 and come last.
"""

from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.gammas import draw_log_gammas, log_gamma
from bayesgmm.priors.concentration import LARGEST, SMALLEST, Concentration, is_known

PROPOSALS = 2
"""Random-walk proposals for the concentration in each sweep."""


class MixtureState(NamedTuple):
    """θ of a mixture of finite mixtures, with room for K_max components."""

    params: Params
    """Components with rows come first, then those without; weights are 0 beyond K."""
    num_components: Int[Array, ""]
    """K."""
    concentration: Float[Array, ""]
    """γ of `Static`, α of `Dynamic`."""
    counts: Float[Array, "M"]
    """Rows of each component at the z that θ was drawn from."""

    @property
    def diagonal(self) -> "MixtureState":
        """See `Params.diagonal`."""
        return self._replace(params=self.params.diagonal)


class FiniteMixtures(NamedTuple):
    """The prior of (K, concentration, weights, components)."""

    log_masses: Float[Array, "M"]
    """``log p(K = k)``, k = 1 … K_max; -∞ where there is no mass."""
    concentration: Concentration
    components: Any
    """The prior of the components within a family. All components have the same."""

    @property
    def diagonal(self) -> bool:
        """Whether all covariances are known to be diagonal."""
        return getattr(self.components, "diagonal", False)

    def update(self, stats: Stats) -> "MixturesGivenZ":
        """The posterior given the statistics of z."""
        order = jnp.argsort(stats.counts <= 0, stable=True)
        return MixturesGivenZ(self, stats._replace(**_in_order(stats, order)), order)


def _in_order(stats: Stats, order: Array) -> dict[str, Array]:
    return {name: getattr(stats, name)[order] for name in ("counts", "means", "scatters")}


class MixturesGivenZ(NamedTuple):
    """The posterior given z of (K, concentration, weights, components)."""

    prior: FiniteMixtures
    stats: Stats
    """Statistics of z; components with rows come first."""
    order: Int[Array, "M"]
    """The components of the θ that z was drawn from, in the order of the statistics."""

    @property
    def counts(self) -> Float[Array, "M"]:
        """Rows of each component."""
        return self.stats.counts

    @property
    def num_clusters(self) -> Int[Array, ""]:
        """K₊."""
        return jnp.sum(self.counts > 0)

    def sample(self, key: PRNGKeyArray, present: MixtureState) -> MixtureState:
        """Draw K given the partition, then the concentration given both, and then components and weights.

        Steps 2 to 4 of the telescoping sampler. Weights, means and covariances are integrated out where K is drawn.
        Where common hyperparameters are drawn, the components without rows are.
        """
        key_num, key_concentration, key_components, key_weights = jr.split(key, 4)
        num = self._draw_num(key_num, present.concentration).astype(present.num_components.dtype)
        concentration = self._draw_concentration(key_concentration, present.concentration, num)
        ordered = Params(*(part[self.order] for part in present.params))
        means, trils = self._draw_components(key_components, ordered)
        weights = self._draw_weights(key_weights, concentration, num)
        return MixtureState(Params(weights, means, trils), num, concentration, self.counts)

    def log_masses(self, concentration: Float[Array, ""]) -> Float[Array, "M"]:
        """``log p(K | partition)``, without its constant, for K = 1 … K_max.

        ``p(K) K! / (K - K₊)! · Γ(γ_K K) / Γ(N + γ_K K) · Π_k Γ(N_k + γ_K) / Γ(γ_K)`` over the components with rows.
        """
        num = jnp.arange(1, len(self.prior.log_masses) + 1, dtype=self.counts.dtype)
        empty = num - self.num_clusters
        orders = log_gamma(num + 1.0) - log_gamma(jnp.maximum(empty, 0.0) + 1.0)
        found = self.prior.log_masses + orders + self._log_partition(concentration, num)
        return jnp.where(empty >= 0, found, -jnp.inf)

    def _log_partition(self, concentration: Array, num: Array) -> Array:
        """Log probability of z given the concentration and K (with any shape), without factors of neither."""
        gamma = self.prior.concentration.of_each(concentration, num)
        total, rows = gamma * num, jnp.sum(self.counts)
        sizes = jnp.where(self.counts > 0, log_gamma(self.counts + gamma[..., None]), 0.0)
        own = jnp.sum(sizes, axis=-1) - self.num_clusters * log_gamma(gamma)
        return log_gamma(total) - log_gamma(total + rows) + own

    def _draw_num(self, key: PRNGKeyArray, concentration: Array) -> Int[Array, ""]:
        return 1 + jr.categorical(key, self.log_masses(concentration))

    def log_kernel(self, concentration: Array, num: Array) -> Float[Array, ""]:
        """Log density of log(concentration) given K and the partition, without its constant."""
        prior = self.prior.concentration.own.log_density(concentration) + jnp.log(concentration)
        return prior + self._log_partition(concentration, num)

    def _draw_concentration(self, key: PRNGKeyArray, present: Array, num: Int[Array, ""]) -> Float[Array, ""]:
        """Random-walk Metropolis steps for the log of the concentration, each with a scale that is drawn first."""
        if is_known(self.prior.concentration):
            return present
        num = num.astype(self.counts.dtype)
        key_normal, key_uniform = jr.split(key)
        normals = jr.normal(key_normal, (PROPOSALS, 2), self.counts.dtype)
        logs = jnp.log(jr.uniform(key_uniform, (PROPOSALS,), self.counts.dtype))
        value = self.log_kernel(present, num)
        for i in range(PROPOSALS):
            proposed = present * jnp.exp(normals[i, 0] * jnp.exp(normals[i, 1]))
            inside = (proposed > SMALLEST) & (proposed < LARGEST)
            proposed = jnp.where(inside, proposed, present)
            new = self.log_kernel(proposed, num)
            taken = inside & (logs[i] < new - value)
            present, value = jnp.where(taken, proposed, present), jnp.where(taken, new, value)
        return present

    def _draw_components(self, key: PRNGKeyArray, present: Params) -> tuple[Array, Array]:
        """Means and Cholesky factors; without rows, from the prior."""
        posterior = self.prior.components.update(self.stats)
        if not hasattr(posterior, "sample_among"):
            return posterior.sample(key, present)
        return posterior.sample_among(key, present, self.counts > 0)

    def _draw_weights(self, key: PRNGKeyArray, concentration: Array, num: Int[Array, ""]) -> Float[Array, "M"]:
        """``Dirichlet(N_k + γ_K)`` over the first K components."""
        gamma = self.prior.concentration.of_each(concentration, num.astype(self.counts.dtype))
        used = jnp.arange(len(self.counts)) < num
        logs = jnp.where(used, draw_log_gammas(key, self.counts + gamma), -jnp.inf)
        weights = jnp.exp(logs - jnp.max(logs))
        return jnp.where(used, jnp.maximum(weights / jnp.sum(weights), jnp.finfo(weights.dtype).tiny), 0.0)
