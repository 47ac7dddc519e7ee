"""Independent priors for means and covariances, within a family and given z.

``μ_k ~ N(loc, covariance)`` and ``Σ_k ~ IW(df, scale)``. Given z, the prior of the means is conjugate given the
covariances, and vice versa. EM maximises over one and then the other (ECM, Meng & Rubin 1993). Gibbs draws one and then
the other (Gelman et al. 2013, section 3.7; Richardson & Green 1997 for one feature). The priors are in
`bayesgmm.priors.semiconjugate`.
"""

import dataclasses
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jaxtyping import Bool, Float, PRNGKeyArray

from bayesgmm.errors import PriorError
from bayesgmm.model.families import FAMILIES, Family
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, gram, inverse_tril, matvec, outer, transposed
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.frozen import Blocks
from bayesgmm.priors.inverse_wishart import sample_inverse_wishart
from bayesgmm.priors.normal_means import log_normal_kernel, normal_constant


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["own", "counts_seen", "means_seen", "scatters_seen"],
    meta_fields=["pooled"],
)
@dataclasses.dataclass(frozen=True)
class Independent:
    """An independent prior within a family, or its posterior given z. If ``pooled``, all components share one Σ."""

    own: Any
    """The prior as users specify it."""
    counts_seen: Any
    """Rows in each component, (K,)."""
    means_seen: Any
    """Their means, (K, D)."""
    scatters_seen: Any
    """Their scatters, (K, D, D)."""
    pooled: bool

    conjugacy: ClassVar[Conjugacy] = Conjugacy.CONDITIONAL
    metric: ClassVar[float] = 1.0

    @property
    def family(self) -> Family:
        """Free covariances, or one for all if ``pooled``."""
        return FAMILIES["EEE" if self.pooled else "VVV"]

    @property
    def loc(self) -> Array:
        """Location of the prior of the means, (K, D)."""
        return self.own.loc

    @property
    def scale(self) -> Array:
        """Scale of the prior of the covariances, (K, D, D)."""
        return self.own.scale

    @property
    def strength(self) -> Array:
        """Number of rows for each mean, (K,)."""
        return self.counts_seen

    @property
    def counts(self) -> Array:
        """Effective number of rows for each covariance, (K,)."""
        return self._powers + self.counts_seen

    @property
    def _share(self) -> float:
        return 1.0 / len(self.own.df) if self.pooled else 1.0

    @property
    def _powers(self) -> Array:
        """Exponents of ``|Σ_k|^(-1/2)`` in the prior."""
        return self._share * (self.own.df + (jnp.shape(self.own.loc)[-1] + 1.0))

    def update(self, stats: Stats) -> "Independent":
        """The posterior given these statistics only."""
        return Independent(self.own, stats.counts, stats.means, stats.scatters, self.pooled)

    def mode(self, present: Params) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """One ECM iteration: means given the current covariances, then covariances given those means."""
        means = self.mode_of_means(present.scale_trils)
        return means, self.mode_of_trils(means, present.scale_trils)

    def mode_of_means(self, trils: Float[Array, "K D D"]) -> Float[Array, "K D"]:
        """Mode of the means given the covariances."""
        return self._means_given(trils)[0]

    def mode_of_trils(self, means: Float[Array, "K D"], present: Float[Array, "K D D"]) -> Float[Array, "K D D"]:
        """Mode of the covariances given the means; an unknown scale is averaged given the ``present`` ones."""
        powers, scatters = self._scatters_given(means, None, present)
        return self._for_all(cholesky(scatters / powers[:, None, None]))

    def sample(
        self, key: PRNGKeyArray, present: Params | None = None
    ) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """One Gibbs sweep: covariances given the current means, then means given those covariances.

        Without a current θ, a draw from the prior.
        """
        return self.sample_among(key, present, None)

    def sample_among(
        self, key: PRNGKeyArray, present: Params | None, filled: Bool[Array, "K"] | None
    ) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """As `sample`; an unknown scale is drawn given the covariances of the ``filled`` components only (None: all).

        If the others have no rows, they are integrated out there, and then drawn from their prior given the scale.
        """
        key_means, key_scale = jr.split(key)
        means, trils = (self.own.loc, None) if present is None else present[1:]
        trils = self.sample_trils(key_scale, jr.fold_in(key, 2), means, trils, filled)
        return self.sample_means(key_means, trils), trils

    def sample_trils(
        self, key: PRNGKeyArray, key_scale: PRNGKeyArray, means: Array, present: Array | None, filled: Any = None
    ) -> Float[Array, "K D D"]:
        """Draw the covariances given the means; an unknown scale is drawn first, given those that are known."""
        powers, scatters = self._scatters_given(means, key_scale, present, filled)
        dim = jnp.shape(self.own.loc)[-1]
        return self._for_all(sample_inverse_wishart(key, powers - (dim + 1.0), scatters))

    def sample_means(self, key: PRNGKeyArray, trils: Float[Array, "K D D"]) -> Float[Array, "K D"]:
        """Draw the means given the covariances."""
        means, factors = self._means_given(trils)
        noise = jr.normal(key, means.shape, means.dtype)
        # The precision is F Fᵀ, so F⁻ᵀ times noise has covariance (F Fᵀ)⁻¹.
        return means + matvec(transposed(inverse_tril(factors)), noise)

    def project(self, params: Params) -> Params:
        """θ itself; if ``pooled``, with the weighted mean of the covariances for all."""
        if not self.pooled:
            return params
        common = jnp.sum(params.weights[:, None, None] * gram(params.scale_trils), axis=0, keepdims=True)
        return params._replace(scale_trils=self._for_all(cholesky(common)))

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density of the prior without its constant; ``whiteners`` are L⁻¹ and ``log_diagonals`` are log |L|."""
        scales = self.own.log_scales(gram(transposed(whiteners)), self._share)
        return (
            log_normal_kernel(means, self.own.loc, self.own.covariance) + scales - jnp.sum(self._powers * log_diagonals)
        )

    def frozen(self, key: PRNGKeyArray, present: Params) -> Blocks:
        """Means given the covariances of θ, and covariances given its means; an unknown scale is drawn."""
        loc, factors = self._means_given(present.scale_trils)
        powers, scatters = self._scatters_of_each(present.means, key, present.scale_trils)
        return Blocks(loc, factors, powers, scatters, jnp.asarray(self.pooled))

    def standardise(self, frame: Frame) -> "Independent":
        """The same distribution in standardised coordinates."""
        return dataclasses.replace(self, own=self.own.in_units(frame))

    def _means_given(self, trils: Float[Array, "K D D"]) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Mean of each μ_k given Σ_k, and the Cholesky factor of its precision."""
        ours, theirs = (gram(transposed(inverse_tril(t))) for t in (cholesky(jnp.asarray(self.own.covariance)), trils))
        theirs = self.counts_seen[:, None, None] * theirs
        factors = cholesky(ours + theirs)
        inverse = inverse_tril(factors)
        # Relative to the prior location, to avoid cancellation if it is far from 0.
        pull = matvec(theirs, self.means_seen - self.own.loc)
        return self.own.loc + matvec(transposed(inverse), matvec(inverse, pull)), factors

    def _scatters_given(
        self, means: Array, key: PRNGKeyArray | None, trils: Array | None, filled: Any = None
    ) -> tuple[Array, Array]:
        """Exponent and scatter of each Σ_k (or of the common Σ) given the means, and given the scale if unknown."""
        powers, scatters = self._scatters_of_each(means, key, trils, filled)
        if self.pooled:
            return powers.sum(keepdims=True), scatters.sum(axis=0, keepdims=True)
        return powers, scatters

    def _scatters_of_each(
        self, means: Array, key: PRNGKeyArray | None, trils: Array | None, filled: Any = None
    ) -> tuple[Array, Array]:
        """As `_scatters_given`, each component's own part if they share one Σ."""
        shift = self.means_seen - means
        about = self.scatters_seen + self.counts_seen[:, None, None] * outer(shift)
        precisions = None if trils is None else gram(transposed(inverse_tril(trils)))
        scale = self.own.scale_given(key, precisions, self._share, None if self.pooled else filled)
        return self._powers + self.counts_seen, self._share * scale + about

    def _for_all(self, trils: Array) -> Float[Array, "K D D"]:
        return jnp.broadcast_to(trils, jnp.shape(self.own.covariance))

    def as_written(self) -> Any:
        """The prior as users specify it, without the statistics."""
        return self.own


def independent(prior: Any, family: Family) -> tuple[Independent, float]:
    """A (full) prior of `bayesgmm.priors.semiconjugate` within a covariance family, and the log of its constant.

    Raises
    ------
    PriorError
        If the family is neither free (VVV) nor tied (EEE).
    """
    if family.name not in ("VVV", "EEE"):
        raise PriorError(
            f"{type(prior).__name__} is a prior of free or tied covariances, not of {family.name}. Use "
            "covariance_type='full' or 'tied', or a NormalInverseWishart prior."
        )
    pooled = family.name == "EEE"
    prior = prior.averaged() if pooled else prior
    counts, means, scatters = (np.zeros_like(value, dtype=float) for value in (prior.df, prior.loc, prior.covariance))
    share = 1.0 / len(prior.df) if pooled else 1.0
    with jax.enable_x64(True):
        constant = normal_constant(prior.covariance) + prior.constant_of_scales(share)
        return Independent(prior, counts, means, scatters, pooled), float(constant)
