"""Weights of which some are known: the others share what these leave."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import digamma, gammaln
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.fixed import with_held_weights
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.runtime.dtypes import scope


class HeldDirichlet(NamedTuple):
    """Weights of which some are known. The others share the rest by a Dirichlet of their concentrations."""

    concentration: Any
    """(K,)"""
    values: Any
    """(K,): the known weights; 0 where they are free."""

    def update(self, counts: Float[Array, "K"]) -> "HeldDirichlet":
        """The posterior given the number of rows in each component."""
        return HeldDirichlet(self.concentration + counts, self.values)

    def mode(self) -> Float[Array, "K"]:
        """The mode of the free weights, and the known ones; see `Dirichlet.mode`."""
        excess = jnp.where(self._free, jnp.maximum(self.concentration - 1.0, 0.0), 0.0)
        return with_held_weights(excess, jnp.asarray(self.values), jnp)

    @property
    def num_components(self) -> int:
        """K."""
        return np.shape(self.concentration)[-1]

    @property
    def unbounded_at_zero(self) -> bool:
        """Whether the density is unbounded where some weights are 0."""
        return Dirichlet(self.concentration).unbounded_at_zero

    def mode_needs(self) -> str:
        """What a bounded density needs, for messages."""
        return Dirichlet(self.concentration).mode_needs()

    def to_power(self, power: Any) -> "HeldDirichlet":
        """The distribution whose density of the free weights is this one's to a power."""
        return HeldDirichlet(Dirichlet(self.concentration).to_power(power).concentration, self.values)

    @property
    def rows_behind(self) -> Float[Array, ""]:
        """Effective number of rows behind the mode."""
        return Dirichlet(self.concentration).rows_behind

    def put(self, weights: Float[Array, "K"]) -> Float[Array, "K"]:
        """Weights with the known ones in their places; the free ones keep their ratios."""
        return with_held_weights(weights, jnp.asarray(self.values), jnp)

    def sample(self, key: PRNGKeyArray) -> Float[Array, "K"]:
        """Draw the free weights."""
        return self.put(Dirichlet(jnp.asarray(self.concentration))._drawn(key))

    def log_kernel(self, log_weights: Float[Array, "K"]) -> Float[Array, ""]:
        """``Σ (α_k - 1) log π_k``, with 0 · log 0 = 0."""
        return Dirichlet(jnp.asarray(self.concentration)).log_kernel(log_weights)

    def expected_log(self) -> Float[Array, "K"]:
        """``E[log π_k]``."""
        alpha, free = jnp.asarray(self.concentration), self._free
        own = jnp.log(self._rest) + digamma(alpha) - digamma(self._total)
        return jnp.where(free, own, jnp.log(jnp.where(free, 1.0, self.values)))

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density of the free weights' shares of the rest; 0 if fewer than two are free."""
        alpha, free = jnp.asarray(self.concentration), self._free
        own = gammaln(self._total) - jnp.sum(jnp.where(free, gammaln(alpha), 0.0))
        # The kernel has the weights themselves: the known ones, and these shares times the rest.
        return own - jnp.sum((alpha - 1.0) * jnp.log(jnp.where(free, self._rest, self.values)))

    def constant_on_host(self) -> float:
        """The log normaliser."""
        with scope("float64"):
            return float(self.log_normaliser())

    def expected_log_kernel(self, q: Any) -> Float[Array, ""]:
        """``E_q[log_kernel]`` under another distribution of the weights."""
        return self.log_kernel(q.expected_log())

    @property
    def _free(self) -> Array:
        return jnp.asarray(self.values) == 0.0

    @property
    def _rest(self) -> Array:
        return jnp.where(self._free.any(), 1.0 - jnp.sum(jnp.asarray(self.values)), 1.0)

    @property
    def _total(self) -> Array:
        """Sum of the free concentrations; 1 if none is free."""
        return jnp.where(self._free.any(), jnp.sum(jnp.where(self._free, self.concentration, 0.0)), 1.0)
