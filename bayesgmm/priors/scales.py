"""Priors of standard deviations: half-normal and log-normal."""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.dtypes import double_on_host

MOST_LOG = 340.0
"""Log of a standard deviation whose variance is still within double precision."""


class HalfNormal(NamedTuple):
    """``s ~ |N(0, scale²)|``; ``scale`` is in the user's units, one for all features or one for each."""

    scale: Any

    words = "half-normal"

    def numpyro_distribution(self) -> Any:
        """The same as a NumPyro distribution."""
        import numpyro.distributions as dist

        return dist.HalfNormal(*(jnp.asarray(value) for value in self))

    def median(self) -> Array:
        """Median of s."""
        return self.scale * 0.6745

    def log_density(self, log_s: Array) -> Array:
        """Log density of s, at log s."""
        return -0.5 * jnp.exp(2.0 * log_s) / self.scale**2 + 0.5 * math.log(2.0 / math.pi) - jnp.log(self.scale)

    @double_on_host
    def sample(self, key: PRNGKeyArray) -> Array:
        """Draw log s."""
        return jnp.log(jnp.abs(jr.normal(key, jnp.shape(self.scale), jnp.asarray(self.scale).dtype))) + jnp.log(
            self.scale
        )

    def in_units(self, units: Array) -> "HalfNormal":
        """The same prior of s / units."""
        return HalfNormal(self.scale / units)

    def fault(self) -> str | None:
        """Why this is not a probability distribution; None if it is one."""
        return None if (np.asarray(self.scale) > 0).all() else "the scale of the half-normal must be above 0"


class LogNormal(NamedTuple):
    """``log s ~ N(loc, scale²)``; one for all features or one for each."""

    loc: Any
    scale: Any

    words = "log-normal"

    def numpyro_distribution(self) -> Any:
        """The same as a NumPyro distribution."""
        import numpyro.distributions as dist

        return dist.LogNormal(*(jnp.asarray(value) for value in self))

    def median(self) -> Array:
        """Median of s."""
        return jnp.exp(jnp.asarray(self.loc))

    def log_density(self, log_s: Array) -> Array:
        """Log density of s, at log s."""
        z = (log_s - self.loc) / self.scale
        return -0.5 * z**2 - log_s - 0.5 * math.log(2.0 * math.pi) - jnp.log(self.scale)

    @double_on_host
    def sample(self, key: PRNGKeyArray) -> Array:
        """Draw log s."""
        return self.loc + self.scale * jr.normal(key, jnp.shape(self.loc), jnp.asarray(self.loc).dtype)

    def in_units(self, units: Array) -> "LogNormal":
        """The same prior of s / units."""
        return LogNormal(self.loc - jnp.log(jnp.asarray(units)), self.scale)

    def fault(self) -> str | None:
        """Why this is not a probability distribution; None if it is one."""
        if not (np.asarray(self.scale) > 0).all():
            return "the scale of the log-normal must be above 0"
        if (np.abs(self.loc) + 5.0 * np.asarray(self.scale) > MOST_LOG).any():
            return f"the log-normal reaches standard deviations beyond exp(±{MOST_LOG:g}), whose squares overflow"
        return None
