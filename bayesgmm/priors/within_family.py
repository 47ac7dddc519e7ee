"""Conjugate priors within a covariance family, and the posterior and mode of θ given z."""

import dataclasses
import math
from collections.abc import Callable
from functools import partial
from typing import Any, ClassVar

import jax
import jax.numpy as jnp
import jax.random as jr
import jax.scipy.special as jsp
import numpy as np
from jax import lax
from jax.custom_batching import custom_vmap
from jaxtyping import Float, PRNGKeyArray
from scipy.special import gammaln, multigammaln  # pyright: ignore[reportAttributeAccessIssue]

from bayesgmm.errors import PriorError
from bayesgmm.model.families import CONJUGATE, Family, read_out
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.gammas import draw_gammas
from bayesgmm.numerics.linalg import cholesky, full, gram, log_diagonal_sum, outer
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.frozen import conjugate_cross_kernels, unchanged
from bayesgmm.priors.inverse_wishart import sample_inverse_wishart, sample_means
from bayesgmm.runtime.formatting import array_words, significant


@partial(
    jax.tree_util.register_dataclass, data_fields=["belief", "metric", "active", "which"], meta_fields=["families"]
)
@dataclasses.dataclass(frozen=True)
class Restricted:
    """Prior, or posterior given z, of means and covariances within a covariance family.

    `read_out` computes the mode from the effective counts and scatters.
    """

    families: tuple[Family, ...]
    """Usually one. With several, ``which`` selects one, so one compiled program covers all of them."""
    belief: Any
    """The `NormalInverseWishart` before the restriction: effective count ``df + D + 2``, scatter ``scale``."""
    metric: Any
    """(D,): units of the features. The family is defined in these units."""
    active: Any
    """(K,), bool: components that are not active are placeholders."""
    which: Any
    """(), int: index into ``families``, the same for all lanes of a batch."""

    conjugacy: ClassVar[Conjugacy] = Conjugacy.JOINT
    frozen = unchanged
    cross_kernels = conjugate_cross_kernels

    @property
    def family(self) -> Family:
        """The family, if there is only one."""
        return self.families[0]

    @property
    def diagonal(self) -> bool:
        """Whether every covariance is diagonal."""
        return all(family.orientation == "I" for family in self.families)

    @property
    def num_gaussians(self) -> int:
        """K."""
        return len(self.loc)

    @property
    def loc(self) -> Array:
        """Location of the means, (K, D)."""
        return self.belief.loc

    @property
    def strength(self) -> Array:
        """Effective number of rows for each mean, (K,)."""
        return self.belief.strength

    @property
    def counts(self) -> Array:
        """Effective number of rows for each covariance, (K,)."""
        return self.belief.counts

    @property
    def scale(self) -> Array:
        """Effective scatters, (K, D, D)."""
        return self.belief.scale

    def update(self, stats: Stats) -> "Restricted":
        """Conjugate update of the effective counts and scatters."""
        return dataclasses.replace(self, belief=self.belief.update(stats))

    def mode(self, present: Params) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Joint mode of (μ, Σ) within the family; iterative families start from ``present``."""
        return self.loc, self._read_out(self.counts, self.scale, present.scale_trils)

    def sample(
        self, key: PRNGKeyArray, present: Params | None = None
    ) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Draw (means, Cholesky factors) from the conjugate distribution of a family in `CONJUGATE`.

        With the means integrated out, Σ has the density ``Π |Σ_k|^(-powers_k/2) exp(-tr(Σ_k⁻¹ W_k)/2)``. This is
        inverse-Wishart for free orientations, and inverse-gamma for the variances of diagonal and spherical
        covariances. A pooled family has one Σ for all components.
        """
        del present
        key_mean, key_scale = jr.split(key)
        trils = self.sample_trils(key_scale)
        return sample_means(key_mean, self.loc, self.strength, trils), trils

    def sample_trils(self, key: PRNGKeyArray) -> Float[Array, "K D D"]:
        """Draw Cholesky factors of the covariances, with the means integrated out."""
        check_drawn(self.family)
        powers, scatters = self._apart_from_means()
        if self.family.orientation == "I":
            return self._from_variances(scatters / draw_gammas(key, powers))
        return self._for_all(sample_inverse_wishart(key, powers, scatters))

    def _apart_from_means(self) -> tuple[Array, Array]:
        """Parameters of the distribution of Σ with the means integrated out, in the user's units.

        Returns df and scale of inverse-Wisharts, or shape and scale of inverse-gammas. The leading axis is K, or 1 if
        the family is pooled; inverse-gammas have an axis of variances too.
        """
        dim = self.loc.shape[-1]
        powers, scatters = self.counts - 1.0, self.scale * outer(self.metric)
        if self.family.pooled:
            powers, scatters = powers.sum(keepdims=True), scatters.sum(axis=0, keepdims=True)
        if self.family.orientation != "I":
            return powers - (dim + 1.0), scatters
        spreads = jnp.diagonal(scatters, axis1=1, axis2=2)
        if self.family.shape == "I":
            powers, spreads = dim * powers, spreads.sum(axis=1, keepdims=True)
        return jnp.broadcast_to(0.5 * powers[:, None] - 1.0, spreads.shape), 0.5 * spreads

    def _from_variances(self, variances: Array) -> Float[Array, "K D D"]:
        dim = self.loc.shape[-1]
        return self._for_all(jnp.sqrt(variances)[:, :, None] * jnp.eye(dim, dtype=variances.dtype))

    def _for_all(self, trils: Array) -> Float[Array, "K D D"]:
        """Convert Cholesky factors (one per component, or one for all) from the user's units to these coordinates."""
        return jnp.broadcast_to(trils / self.metric[:, None], (*self.loc.shape, self.loc.shape[-1]))

    def harmonic_trils(self) -> Float[Array, "K D E"]:
        """Cholesky factors of ``E[Σ_k⁻¹]⁻¹``; columns if they are diagonal."""
        powers, scatters = self._apart_from_means()
        if self.diagonal:  # as columns
            return jnp.broadcast_to(jnp.sqrt(scatters / powers) / self.metric, self.loc.shape)[..., None]
        return self._for_all(cholesky(scatters / powers[:, None, None]))

    def expected_log_det(self) -> Float[Array, "K"]:
        """``E[log |Σ_k|]``."""
        powers, scatters = self._apart_from_means()
        num, dim = self.loc.shape
        if self.family.orientation == "I":
            logs = jnp.log(scatters) - jsp.digamma(powers)
            own = jnp.sum(jnp.broadcast_to(logs, (len(logs), dim)), axis=-1)
        else:
            halves = 0.5 * (powers[:, None] - jnp.arange(dim, dtype=scatters.dtype))
            own = (
                2.0 * log_diagonal_sum(cholesky(scatters)) - dim * math.log(2.0) - jnp.sum(jsp.digamma(halves), axis=1)
            )
        return jnp.broadcast_to(own, (num,)) - 2.0 * jnp.sum(jnp.log(self.metric))

    def expected_log_kernel(self, q: "Restricted") -> Float[Array, ""]:
        """``E_q[log_kernel]``: the log density without its constant, averaged over q, a distribution of the family."""
        return self.belief.expected_log_kernel(q)

    def log_normaliser(self) -> Float[Array, ""]:
        """Minus the log integral of ``exp(log_kernel)`` over means and free covariance parameters (user's units)."""
        dim = self.loc.shape[-1]
        return 0.5 * dim * jnp.sum(jnp.log(self.strength / (2.0 * math.pi))) - jnp.sum(self.log_integrals())

    def log_integrals(self) -> Float[Array, "c"]:
        """Log integral over each free covariance, means integrated out but for their own factors, (K,) or (1,)."""
        powers, scatters = self._apart_from_means()
        dim = self.loc.shape[-1]
        if self.family.orientation == "I":
            integrals = jnp.sum(jsp.gammaln(powers) - powers * jnp.log(scatters), axis=-1)
        else:
            logs = jsp.multigammaln(0.5 * powers, dim) - powers * log_diagonal_sum(cholesky(scatters))
            integrals = 0.5 * dim * math.log(2.0) * powers + logs
        total = jnp.sum(self.counts - 1.0, keepdims=True) if self.family.pooled else self.counts - 1.0
        return integrals + total * jnp.sum(jnp.log(self.metric))

    def project(self, params: Params) -> Params:
        """The member of the family nearest to θ in Kullback-Leibler divergence; θ itself if it is in the family."""
        trils = params.scale_trils
        covariances = full(jnp.sum(jnp.square(trils), axis=-1)[..., None]) if self.diagonal else gram(trils)
        scatters = params.weights[:, None, None] * covariances
        trils = self._read_out(params.weights, scatters, params.scale_trils)
        return params._replace(scale_trils=trils)

    def _read_out(self, counts, scatters, trils):
        units = self.metric[:, None]
        parts = counts, scatters * outer(self.metric), trils * units, self.active
        found = _one_of([partial(read_out, family) for family in self.families], self.which, *parts)
        return jnp.where(self.active[:, None, None], found / units, found)

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant."""
        return self.belief.log_kernel(means, whiteners, log_diagonals)

    def standardise(self, frame: Frame) -> "Restricted":
        """The same distribution in standardised coordinates. The family stays defined in the user's units."""
        return dataclasses.replace(self, belief=self.belief.standardise(frame), metric=self.metric * frame.scale)

    def padded(self, num_components: int) -> "Restricted":
        """The same distribution for more components. Those beyond K are placeholders."""
        active = np.arange(num_components) < len(self.loc)
        return dataclasses.replace(self, belief=self.belief.padded(num_components, 0.0), active=active)

    def among(self, families: tuple[Family, ...]) -> "Restricted":
        """The same distribution as one of several families, for a program that covers them all."""
        return dataclasses.replace(self, families=families, which=np.asarray(families.index(self.family)))


def _one_of(functions: list[Callable], which, *args):
    """The value of one of several functions. All lanes of a batch use the same one, so only that one is computed."""
    if len(functions) == 1:
        return functions[0](*args)

    @custom_vmap
    def call(which, *args):
        return lax.switch(which, functions, *args)

    @call.def_vmap
    def _(axis_size, in_batched, which, *args):
        axes = [0 if batched else None for batched in in_batched[1:]]
        lanes = [jax.vmap(function, in_axes=axes, axis_size=axis_size) for function in functions]
        return lax.switch(which[0] if in_batched[0] else which, lanes, *args), True

    return call(which, *args)


def check_drawn(family: Family) -> None:
    """Refuse a covariance family whose prior has no direct draws.

    Raises
    ------
    PriorError
        If it is not in `CONJUGATE`.
    """
    if family.name not in CONJUGATE:
        raise PriorError(
            f"There are no direct draws from a prior of covariances of the family {family.name}. Use covariance_type="
            f"'full', 'tied', 'diag' or 'spherical' ({', '.join(CONJUGATE)})."
        )


def restrict(prior: Any, family: Family) -> tuple[Restricted, float]:
    """A (full) `NormalInverseWishart` within a family, and the log of its constant (Fraley & Raftery 2007, section 2).

    - means: ``N(μ_k | loc, Σ_k / strength)``;
    - Σ of free orientation: the density ``IW(Σ; df, scale)``; diagonal: ``IG(df/2, scale_jj/2)`` for each variance;
      spherical: ``IG(df/2, s/2)`` for the variance, with s the mean of the diagonal of ``scale``;
    - the density of Σ counts once if all components share one covariance, else once for each component.
    """
    loc, strength, df, scale = (np.asarray(value, float) for value in prior)
    num, dim = loc.shape
    if family.pooled:  # one covariance has one prior, with the average hyperparameters
        df, scale = np.broadcast_to(df.mean(), df.shape), np.broadcast_to(scale.mean(axis=0), scale.shape)
    diagonal = np.diagonal(scale, axis1=1, axis2=2)
    if family.shape == "I":
        mean = diagonal.mean(axis=1)
        power, matrix = (df + 2.0) / dim, (mean / dim)[:, None, None] * np.eye(dim)
        constant = 0.5 * df * np.log(mean / 2.0) - gammaln(0.5 * df)
    elif family.orientation == "I":
        power, matrix = df + 2.0, diagonal[:, :, None] * np.eye(dim)
        constant = (0.5 * df[:, None] * np.log(diagonal / 2.0) - gammaln(0.5 * df)[:, None]).sum(axis=1)
    else:
        power, matrix = df + dim + 1.0, scale
        log_det = np.linalg.slogdet(scale)[1]
        constant = 0.5 * df * (log_det - dim * np.log(2.0)) - multigammaln(0.5 * df, dim)
    share = 1.0 / num if family.pooled else 1.0
    effective = type(prior)(loc, strength, 1.0 + share * power - (dim + 2.0), share * matrix)
    means = 0.5 * dim * np.log(strength / (2.0 * np.pi))
    return restrict_flat(effective, family), float(np.sum(share * np.asarray(constant) + means))


def restrict_flat(effective: Any, family: Family) -> Restricted:
    """These effective counts and scatters within a family, unchanged; for a flat prior they are 0."""
    num, dim = effective.loc.shape
    return Restricted((family,), effective, np.ones(dim), np.ones(num, bool), np.asarray(0))


def covariance_line(family: Family, name: str, df: float, scale: np.ndarray) -> str:
    """The prior that `restrict` puts on the free covariance parameters, in mathematical notation."""
    shared = ", one for all components" if family.pooled else ""
    own = "" if family.pooled else f"_{name}"
    if family.orientation != "I":
        kind = "" if family.name in ("EEE", "VVV") else f", restricted to {family.name}"
        return f"Σ{own} ~ inverse-Wishart(df = {significant(df)}, scale = {array_words(scale)}){shared}{kind}"
    half, diagonal = significant(df / 2), np.diagonal(scale) / 2
    if family.shape == "I":
        return f"σ²{own} ~ inverse-gamma({half}, {significant(float(diagonal.mean()))}){shared}"
    return f"σ²{own} of each feature ~ inverse-gamma({half}, {array_words(diagonal)}){shared}"
