"""Separate priors for scales and correlations: ``Σ = diag(s) R diag(s)``.

``s_j`` is half-normal or log-normal, and ``R ~ LKJ`` (Barnard, McCulloch & Meng 2000; Lewandowski, Kurowicka & Joe
2009). The prior is not conjugate, so only gradient-based engines accept it.
"""

import dataclasses
import math
from functools import partial
from typing import Any, ClassVar, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import betaln
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.errors import PriorError
from bayesgmm.model.families import FAMILIES, Family
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, fault_of_matrix, gram, inverse_tril, matvec, outer
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.hyperparameters import describe_components, in_full
from bayesgmm.priors.normal_inverse_wishart import flat_components
from bayesgmm.priors.normal_means import log_normal_kernel, normal_constant
from bayesgmm.priors.scales import HalfNormal, LogNormal
from bayesgmm.priors.within_family import Restricted, restrict_flat
from bayesgmm.runtime.dtypes import double_on_host
from bayesgmm.runtime.formatting import array_words, significant


class NormalTimesLKJ(NamedTuple):
    """``μ_k ~ N(loc, covariance)``, ``Σ_k = diag(s_k) R_k diag(s_k)``, with separate priors for s_k and R_k.

    ``s_kj ~ scales``, a `HalfNormal` or `LogNormal`, and ``R_k ~ LKJ(concentration)``. ``concentration = 1`` gives a
    uniform density over correlation matrices; values above 1 favour small correlations. ``loc`` and ``covariance`` are
    as in `NormalTimesInverseWishart`, in the user's units. Diagonal covariances have no R; tied ones have one Σ.
    """

    loc: Any
    covariance: Any
    concentration: Any
    scales: HalfNormal | LogNormal

    conjugacy = Conjugacy.NONE
    sites_are_theta = False

    def taken_by(self, family: Family) -> "NormalTimesLKJ":
        """The prior in the form that a covariance family accepts: unchanged."""
        del family
        return self

    def within(self, family: Family) -> tuple["Separated", float]:
        """The (full) prior within a covariance family, and the log of its constant; see `separated`."""
        return separated(self, family)

    def describe(self, family: Family) -> list[str]:
        """The prior within a family in mathematical notation, line by line."""
        kind = self.scales.words

        def lines(name: str, own: dict[str, Any]) -> list[str]:
            hyper = ", ".join(f"{part} = {array_words(value)}" for part, value in own["scales"]._asdict().items())
            found = [f"standard deviations of Σ_{name} ~ {kind}({hyper})"]
            if family.orientation != "I":
                found.append(f"correlations of Σ_{name} ~ LKJ({significant(float(own['concentration']))})")
            return [*found, f"μ_{name} ~ N({array_words(own['loc'])}, {array_words(own['covariance'])})"]

        return describe_components(self._asdict(), lines)

    def numpyro_sites(self) -> tuple[Any, Any]:
        """The NumPyro sample statements of this (full) prior, for free covariances; returns means, Cholesky factors."""
        import numpyro
        import numpyro.distributions as dist

        num, dim = jnp.shape(self.loc)
        with numpyro.plate("component", num):
            s: Any = numpyro.sample("scales", self.scales.numpyro_distribution().to_event(1))
            trils = s[..., None]
            if dim > 1:
                eta = jnp.asarray(self.concentration)
                trils = trils * numpyro.sample("correlation_trils", dist.LKJCholesky(dim, eta))
            numpyro.deterministic("scale_trils", trils)
            spread = jnp.linalg.cholesky(jnp.asarray(self.covariance))
            means = numpyro.sample("means", dist.MultivariateNormal(jnp.asarray(self.loc), scale_tril=spread))
        return means, trils

    def unbounded_because(self, family: Family, values: np.ndarray) -> str | None:
        """Why the posterior density has no highest mode. Always None: EM does not accept this prior."""
        del family, values

    def expand(self, num_components: int, dim: int) -> "NormalTimesLKJ":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        if not isinstance(self.scales, HalfNormal | LogNormal):
            raise PriorError(f"scales must be a bayesgmm.HalfNormal or LogNormal, got {type(self.scales).__name__}.")
        scales = type(self.scales)(
            *(in_full(f"scales {name}", value, (k, d)) for name, value in self.scales._asdict().items())
        )
        return NormalTimesLKJ(
            in_full("loc", self.loc, (k, d)), in_full("covariance", self.covariance, (k, d, d)),
            in_full("concentration", self.concentration, (k,)), scales,
        )  # fmt: skip

    @property
    def scale(self) -> Array:
        """Diagonal covariances with each scale at its prior median, (K, D, D)."""
        typical = self.scales.median()
        return jnp.eye(jnp.shape(self.loc)[-1]) * (typical**2)[..., None, :]

    @double_on_host
    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> tuple[Array, Array]:
        """Draw (means, Cholesky factors) of free covariances."""
        return self._free().sample(key, present)

    @double_on_host
    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density over means and free covariances without its constant."""
        return self._free().log_kernel(means, whiteners, log_diagonals)

    def _free(self) -> "Separated":
        return Separated(self, restrict_flat(flat_components(*jnp.shape(self.loc)), FAMILIES["VVV"]))

    @double_on_host
    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density, summed over components."""
        num, dim = jnp.shape(self.loc)
        volumes = jnp.sum(log_volume_of_correlations(dim, jnp.asarray(self.concentration)))
        return normal_constant(self.covariance) - num * dim * math.log(2.0) - volumes

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (full) prior is not a probability distribution; None if it is one."""
        del variances_only  # the conditions are the same for all families
        if not all(np.isfinite(value).all() for value in jax.tree.leaves(self)):
            return "a hyperparameter is not finite"
        if (np.asarray(self.concentration) <= 0).any():
            return "the LKJ concentration must be above 0"
        return self.scales.fault() or fault_of_matrix("prior covariance of the means", np.asarray(self.covariance))


@partial(jax.tree_util.register_dataclass, data_fields=["own", "space"], meta_fields=[])
@dataclasses.dataclass(frozen=True)
class Separated:
    """`NormalTimesLKJ` within a covariance family."""

    own: NormalTimesLKJ
    space: Restricted
    """The family, with a flat prior."""

    conjugacy: ClassVar[Conjugacy] = Conjugacy.NONE

    @property
    def family(self) -> Family:
        """The covariance family."""
        return self.space.family

    @property
    def metric(self) -> Array:
        """Units of the features, (D,)."""
        return self.space.metric

    @property
    def loc(self) -> Array:
        """Location of the means, (K, D)."""
        return self.own.loc

    @property
    def scale(self) -> Array:
        """Typical covariances, (K, D, D)."""
        return self.own.scale

    @property
    def _counted(self) -> int:
        """Number of distinct covariances: 1 if the family is pooled, else K."""
        return 1 if self.family.pooled else jnp.shape(self.own.loc)[0]

    def project(self, params: Params) -> Params:
        """The member of the family nearest to θ."""
        return self.space.project(params)

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density over means and free covariance parameters, without the constants of means and correlations.

        The Jacobian is ``dΣ / d(s, R) = 2^D Π s_j^D`` for free matrices, and ``dσ² / ds = 2 s`` for diagonal ones.
        """
        num, dim = self._counted, means.shape[-1]
        log_s = 0.5 * jnp.log(jnp.diagonal(gram(inverse_tril(whiteners)), axis1=-2, axis2=-1))[:num]
        scales = jax.tree.map(lambda leaf: jnp.asarray(leaf)[:num], self.own.scales)
        density = log_normal_kernel(means, self.own.loc, self.own.covariance) + jnp.sum(scales.log_density(log_s))
        if self.family.orientation == "I":
            return density - jnp.sum(log_s)
        log_det = 2.0 * (log_diagonals[:num] - jnp.sum(log_s, axis=-1))
        return density + jnp.sum((jnp.asarray(self.own.concentration)[:num] - 1.0) * log_det) - dim * jnp.sum(log_s)

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> tuple[Array, Array]:
        """Draw (means, Cholesky factors)."""
        from numpyro.distributions import LKJCholesky  # NumPyro is imported only when needed

        del present
        key_means, key_scales, key_factors = jr.split(key, 3)
        num, dim = jnp.shape(self.own.loc)
        noise = jr.normal(key_means, (num, dim), jnp.asarray(self.own.loc).dtype)
        means = self.own.loc + matvec(cholesky(jnp.asarray(self.own.covariance)), noise)
        s = jnp.exp(self.own.scales.sample(key_scales))
        if self.family.orientation == "I" or dim == 1:
            factors = jnp.broadcast_to(jnp.eye(dim, dtype=noise.dtype), (num, dim, dim))
        else:
            keys = jr.split(key_factors, num)
            factors = jnp.stack([
                jnp.asarray(LKJCholesky(dim, jnp.asarray(self.own.concentration)[k]).sample(keys[k]))
                for k in range(num)
            ])  # fmt: skip
        trils = s[:, :, None] * factors
        return means, jnp.broadcast_to(trils[: self._counted], (num, dim, dim))

    def standardise(self, frame: Frame) -> "Separated":
        """The same prior in standardised coordinates."""
        loc, covariance, concentration, scales = self.own
        loc, covariance = (loc - frame.center) / frame.scale, covariance / outer(frame.scale)
        own = NormalTimesLKJ(loc, covariance, concentration, scales.in_units(frame.scale))
        return Separated(own, dataclasses.replace(self.space, metric=np.asarray(frame.scale)))


def separated(prior: NormalTimesLKJ, family: Family) -> tuple[Separated, float]:
    """The (full) prior within a covariance family, and the log of its constant.

    The constant has a factor 1/2 for each scale (σ² = s²), and the constants of means and correlations.

    Raises
    ------
    PriorError
        If the family is not VVV, EEE, VVI or EEI, or if it has one covariance but K different priors for it.
    """
    num, dim = np.shape(prior.loc)
    if family.name not in ("VVV", "EEE", "VVI", "EEI"):
        raise PriorError(
            f"NormalTimesLKJ is a prior of free, tied or diagonal covariances, not of {family.name}. Use "
            "covariance_type='full', 'tied' or 'diag' (or EEI), or a NormalInverseWishart prior."
        )
    if family.pooled and any(np.ptp(value, axis=0).any() for value in (prior.concentration, *prior.scales)):
        raise PriorError(
            "All components share one covariance, so it has one prior. Give its hyperparameters without a K axis."
        )
    counted = 1 if family.pooled else num
    with jax.enable_x64(True):
        constant = float(normal_constant(prior.covariance)) - counted * dim * math.log(2.0)
        if family.orientation != "I":
            constant -= float(jnp.sum(log_volume_of_correlations(dim, jnp.asarray(prior.concentration)[:counted])))
    return Separated(prior, restrict_flat(flat_components(num, dim), family)), constant


def log_volume_of_correlations(dim: int, concentration: Any) -> Float[Array, "*k"]:
    """``log ∫ |R|^(η - 1) dR`` over correlation matrices (Lewandowski, Kurowicka & Joe 2009, eq. 16)."""
    eta = jnp.asarray(concentration)[..., None]
    k = jnp.arange(1.0, dim)
    halves = eta + 0.5 * (dim - k - 1.0)
    return jnp.sum(
        (2.0 * eta - 2.0 + dim - k) * (dim - k) * math.log(2.0) + (dim - k) * betaln(halves, halves), axis=-1
    )
