"""A prior under which means do not know of covariances: ``μ_k ~ N(loc, covariance)``, ``Σ_k ~ IW(df, scale)``.

Given z it is conjugate for each of the two given the other: EM climbs over one and then the other (ECM, Meng & Rubin 1993), and
Gibbs draws one and then the other (Gelman et al. 2013, section 3.7; Richardson & Green 1997 for one feature).
"""

import dataclasses
import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import multigammaln
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.arrays import Array
from bayesgmm.conjugate import sample_inverse_wishart
from bayesgmm.errors import PriorError
from bayesgmm.families import Family
from bayesgmm.hyperparameters import fault_of_inverse_wishart, fault_of_matrix, in_full
from bayesgmm.linalg import cholesky, gram, inverse_tril, log_diagonal_sum, matmul, matvec, outer, transposed
from bayesgmm.types import Frame, Params, Stats


class NormalTimesInverseWishart(NamedTuple):
    """``μ_k ~ N(loc, covariance)`` and, independently, ``Σ_k ~ IW(df, scale)``, in the user's own units.

    Shapes as in `NormalInverseWishart`; a number for ``covariance`` or ``scale`` means that multiple of the identity. With tied
    covariances there is one ``Σ ~ IW(df, scale)``. For one feature ``IW(df, scale)`` is the inverse-gamma(df / 2, scale / 2).
    """

    loc: Any
    covariance: Any
    df: Any
    scale: Any

    def expand(self, num_components: int, dim: int) -> "NormalTimesInverseWishart":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        return NormalTimesInverseWishart(
            in_full("loc", self.loc, (k, d)), in_full("covariance", self.covariance, (k, d, d)), in_full("df", self.df, (k,)),
            in_full("scale", self.scale, (k, d, d)),
        )  # fmt: skip

    def fault(self) -> str | None:
        """Why this (fully shaped) belief is no probability distribution; None if it is one."""
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        wrong = fault_of_matrix("covariance of the mean's prior", np.asarray(self.covariance))
        return wrong or fault_of_inverse_wishart(np.asarray(self.df), np.asarray(self.scale))

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Any:
        """Draw (means, Cholesky factors)."""
        return _plain(self).sample(key, present)

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant."""
        return _plain(self).log_kernel(means, whiteners, log_diagonals)

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, covariances), summed over components."""
        return jnp.sum(_normal_constant(self.covariance) + _wishart_constant(jnp.asarray(self.df), self.scale))


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["own", "counts_seen", "means_seen", "scatters_seen"],
    meta_fields=["pooled"],
)
@dataclasses.dataclass(frozen=True)
class Independent:
    """`NormalTimesInverseWishart` after seeing rows (none: the prior itself), of one Σ for all components if ``pooled``."""

    own: NormalTimesInverseWishart
    counts_seen: Any
    """(K,)"""
    means_seen: Any
    """(K, D)"""
    scatters_seen: Any
    """(K, D, D)"""
    pooled: bool

    @property
    def loc(self) -> Array:
        """Location of the means' prior, (K, D)."""
        return self.own.loc

    @property
    def scale(self) -> Array:
        """Scale of the covariances' prior, (K, D, D)."""
        return self.own.scale

    @property
    def strength(self) -> Array:
        """Rows behind each mean, (K,)."""
        return self.counts_seen

    @property
    def counts(self) -> Array:
        """Effective rows behind each covariance, (K,)."""
        return self._powers + self.counts_seen

    @property
    def _share(self) -> float:
        return 1.0 / len(self.own.df) if self.pooled else 1.0

    @property
    def _powers(self) -> Array:
        """What the prior adds to the exponents of ``|Σ_k|^(-1/2)``."""
        return self._share * (self.own.df + (jnp.shape(self.own.loc)[-1] + 1.0))

    def update(self, stats: Stats) -> "Independent":
        """The belief after seeing the rows behind these statistics, and no others."""
        return Independent(self.own, stats.counts, stats.means, stats.scatters, self.pooled)

    def mode(self, present: Params) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """One turn of ECM: means given the present covariances, then covariances given those means."""
        means, _ = self._means_given(present.scale_trils)
        powers, scatters = self._scatters_given(means)
        return means, self._for_all(cholesky(scatters / powers[:, None, None]))

    def sample(
        self, key: PRNGKeyArray, present: Params | None = None
    ) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """One turn of Gibbs: covariances given the present means, then means given those covariances; the prior, unseen."""
        key_means, key_scale = jr.split(key)
        dim = jnp.shape(self.own.loc)[-1]
        powers, scatters = self._scatters_given(self.own.loc if present is None else present.means)
        trils = self._for_all(sample_inverse_wishart(key_scale, powers - (dim + 1.0), scatters))
        means, factors = self._means_given(trils)
        noise = jr.normal(key_means, means.shape, means.dtype)
        # The precision is F Fᵀ: F⁻ᵀ times noise has its inverse as covariance.
        return means + matvec(transposed(inverse_tril(factors)), noise), trils

    def project(self, params: Params) -> Params:
        """θ itself, or with one covariance for all, the mean of them."""
        if not self.pooled:
            return params
        common = jnp.sum(params.weights[:, None, None] * gram(params.scale_trils), axis=0, keepdims=True)
        return params._replace(scale_trils=self._for_all(cholesky(common)))

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density of the prior without its constant; ``whiteners`` are L⁻¹ and ``log_diagonals`` are log |L|."""
        shift = matvec(inverse_tril(cholesky(jnp.asarray(self.own.covariance))), means - self.own.loc)
        spread = jnp.sum(matmul(whiteners, jnp.asarray(self.own.scale)) * whiteners, axis=(-2, -1))
        return -jnp.sum(self._powers * log_diagonals + 0.5 * self._share * spread + 0.5 * jnp.sum(shift**2, axis=-1))

    def standardise(self, frame: Frame) -> "Independent":
        """The same belief in standardised coordinates."""
        loc, covariance, df, scale = self.own
        units = outer(jnp.asarray(frame.scale))
        own = NormalTimesInverseWishart((loc - frame.center) / frame.scale, covariance / units, df, scale / units)
        return dataclasses.replace(self, own=own)

    def _means_given(self, trils: Float[Array, "K D D"]) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Mean of each μ_k given Σ_k, and the Cholesky factor of its precision."""
        ours, theirs = (gram(transposed(inverse_tril(t))) for t in (cholesky(jnp.asarray(self.own.covariance)), trils))
        theirs = self.counts_seen[:, None, None] * theirs
        factors = cholesky(ours + theirs)
        inverse = inverse_tril(factors)
        # From the prior's location, so that no digit is lost where it is far.
        pull = matvec(theirs, self.means_seen - self.own.loc)
        return self.own.loc + matvec(transposed(inverse), matvec(inverse, pull)), factors

    def _scatters_given(self, means: Float[Array, "K D"]) -> tuple[Array, Array]:
        """Exponent and scatter of each Σ_k (or of the one) given the means."""
        shift = self.means_seen - means
        about = self.scatters_seen + self.counts_seen[:, None, None] * outer(shift)
        powers, scatters = self._powers + self.counts_seen, self._share * jnp.asarray(self.own.scale) + about
        if self.pooled:
            return powers.sum(keepdims=True), scatters.sum(axis=0, keepdims=True)
        return powers, scatters

    def _for_all(self, trils: Array) -> Float[Array, "K D D"]:
        return jnp.broadcast_to(trils, jnp.shape(self.own.scale))


def independent(prior: NormalTimesInverseWishart, family: Family) -> tuple[Independent, float]:
    """The belief within a covariance family, and the log of its constant.

    Raises
    ------
    PriorError
        If the family is neither free (VVV) nor tied (EEE).
    """
    if family.name not in ("VVV", "EEE"):
        raise PriorError(
            f"NormalTimesInverseWishart is a prior of free or tied covariances, not of {family.name}. Use covariance_type= "
            "'full' or 'tied', or a NormalInverseWishart prior."
        )
    pooled = family.name == "EEE"
    if pooled:  # one covariance has one prior: that of the average hyperparameters
        df, scale = np.asarray(prior.df), np.asarray(prior.scale)
        scale = np.broadcast_to(scale.mean(axis=0), scale.shape).copy()
        prior = prior._replace(df=np.broadcast_to(df.mean(), df.shape).copy(), scale=scale)
    own = Independent(prior, *_nothing(prior), pooled)
    share = 1.0 / len(prior.df) if pooled else 1.0
    with jax.enable_x64(True):
        wishart = _wishart_constant(jnp.asarray(prior.df), jnp.asarray(prior.scale))
        constant = jnp.sum(_normal_constant(jnp.asarray(prior.covariance)) + share * wishart)
        return own, float(constant)


def _plain(prior: NormalTimesInverseWishart) -> Independent:
    return Independent(prior, *_nothing(prior), False)


def _nothing(prior: NormalTimesInverseWishart) -> tuple[Any, Any, Any]:
    xp = np if isinstance(prior.loc, np.ndarray) else jnp
    return xp.zeros_like(prior.df), xp.zeros_like(prior.loc), xp.zeros_like(prior.scale)


def _normal_constant(covariance: Any) -> Array:
    dim = jnp.shape(covariance)[-1]
    return -0.5 * dim * math.log(2.0 * math.pi) - log_diagonal_sum(cholesky(jnp.asarray(covariance)))


def _wishart_constant(df: Any, scale: Any) -> Array:
    dim = jnp.shape(scale)[-1]
    log_det = 2.0 * log_diagonal_sum(cholesky(jnp.asarray(scale)))
    return 0.5 * df * (log_det - dim * math.log(2.0)) - multigammaln(0.5 * df, dim)
