"""The conjugate prior of diagonal and spherical covariances: normal-inverse-gamma for each feature."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.errors import PriorError
from bayesgmm.model.families import Family
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.hyperparameters import in_full
from bayesgmm.priors.normal_inverse_wishart import NormalInverseWishart
from bayesgmm.runtime.dtypes import double_on_host


class NormalInverseGamma(NamedTuple):
    """``σ²_kj ~ IG(shape, scale_j)``, ``μ_kj | σ²_kj ~ N(loc_j, σ²_kj / strength)``.

    For diagonal and spherical covariances, or one feature. Spherical covariances have one variance,
    ``σ²_k ~ IG(shape, mean of scale)``. Results hold the equivalent `NormalInverseWishart`, with ``df = 2 shape`` and
    the diagonal ``2 scale``. The methods are for diagonal covariances: each feature has a one-dimensional
    normal-inverse-Wishart.
    """

    loc: Any
    strength: Any
    shape: Any
    scale: Any

    conjugacy = Conjugacy.JOINT
    sites_are_theta = True

    def taken_by(self, family: Family) -> NormalInverseWishart:
        """The (full) prior in the form that a covariance family accepts: the equivalent `NormalInverseWishart`.

        Raises
        ------
        PriorError
            If covariances of the family have correlations.
        """
        if family.orientation != "I" and np.shape(self.loc)[-1] > 1:
            raise PriorError(
                f"NormalInverseGamma is a prior of variances. Covariances of the family {family.name} have "
                "correlations too. Use covariance_type='diag' or 'spherical', or a NormalInverseWishart prior."
            )
        return self.as_wishart()

    def within(self, family: Family) -> tuple[Any, float]:
        """What this (full) prior says within a covariance family, and the log of its constant."""
        return self.taken_by(family).within(family)

    def describe(self, family: Family) -> list[str]:
        """The prior within a family in mathematical notation, line by line."""
        return self.taken_by(family).describe(family)

    def unbounded_because(self, family: Family, values: np.ndarray) -> str | None:
        """Why the posterior density has no highest mode; None, because under this prior it has one."""
        del family, values

    def numpyro_sites(self) -> tuple[Any, Any]:
        """The NumPyro sample statements of this (full) prior; returns means and (diagonal) Cholesky factors."""
        import numpyro
        import numpyro.distributions as dist

        num, dim = jnp.shape(self.loc)
        with numpyro.plate("component", num):
            shape, scale = jnp.asarray(self.shape)[:, None], jnp.asarray(self.scale)
            inverse_gamma: Any = dist.InverseGamma(shape, scale).to_event(1)
            variances: Any = numpyro.sample("variances", inverse_gamma)
            trils: Any = numpyro.deterministic("scale_trils", jnp.sqrt(variances)[..., None] * jnp.eye(dim))
            spread = trils / jnp.sqrt(jnp.asarray(self.strength))[:, None, None]
            means = numpyro.sample("means", dist.MultivariateNormal(jnp.asarray(self.loc), scale_tril=spread))
        return means, trils

    def expand(self, num_components: int, dim: int) -> "NormalInverseGamma":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        return NormalInverseGamma(
            in_full("loc", self.loc, (k, d)), in_full("strength", self.strength, (k,)),
            in_full("shape", self.shape, (k,)), in_full("scale", self.scale, (k, d)),
        )  # fmt: skip

    def as_wishart(self) -> NormalInverseWishart:
        """The same prior of the variances, as a (full) `NormalInverseWishart`."""
        matrices = np.asarray(self.scale)[:, :, None] * np.eye(np.shape(self.loc)[-1])
        return NormalInverseWishart(self.loc, self.strength, 2.0 * self.shape, 2.0 * matrices)

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (full) prior is not a probability distribution; None if it is one."""
        del variances_only  # it is always a prior of variances
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        wrong = [name for name in ("strength", "shape", "scale") if (np.asarray(getattr(self, name)) <= 0).any()]
        return f"NormalInverseGamma needs {' and '.join(wrong)} above 0" if wrong else None

    @double_on_host
    def update(self, stats: Stats) -> "NormalInverseGamma":
        """Conjugate update, from the diagonals of the scatters only."""
        num, dim = jnp.shape(self.loc)
        spreads = jnp.diagonal(stats.scatters, axis1=-2, axis2=-1).reshape(-1, 1, 1)
        seen = Stats(jnp.repeat(stats.counts, dim), stats.means.reshape(-1, 1), spreads, stats.value)
        loc, strength, df, scale = self._features().update(seen)
        return NormalInverseGamma(
            loc.reshape(num, dim), strength[::dim], 0.5 * df[::dim], 0.5 * scale.reshape(num, dim)
        )

    @double_on_host
    def mode(self, present: Params | None = None) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Joint mode of means and variances, as means and Cholesky factors."""
        return self._joined(*self._features().mode(present))

    @double_on_host
    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Any:
        """Draw (means, Cholesky factors)."""
        return self._joined(*self._features().sample(key, present))

    @double_on_host
    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density over means and variances without its constant."""
        del log_diagonals
        ones = jnp.diagonal(whiteners, axis1=-2, axis2=-1).reshape(-1, 1, 1)
        return self._features().log_kernel(means.reshape(-1, 1), ones, -jnp.log(ones[:, 0, 0]))

    @double_on_host
    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, variances), summed over components."""
        return self._features().log_normaliser()

    def _features(self) -> NormalInverseWishart:
        """One normal-inverse-Wishart of one dimension for each component and feature."""
        dim = jnp.shape(self.loc)[-1]
        loc, scale = jnp.reshape(self.loc, (-1, 1)), jnp.reshape(self.scale, (-1, 1, 1))
        strength, shape = (jnp.repeat(jnp.asarray(value), dim) for value in (self.strength, self.shape))
        return NormalInverseWishart(loc, strength, 2.0 * shape, 2.0 * scale)

    def _joined(self, means: Array, trils: Array) -> tuple[Array, Array]:
        num, dim = jnp.shape(self.loc)
        return means.reshape(num, dim), trils.reshape(num, dim, 1) * jnp.eye(dim, dtype=trils.dtype)
