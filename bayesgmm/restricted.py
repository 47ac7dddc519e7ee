"""Beliefs about components whose covariances belong to a family: the prior's part, and the mode that EM takes."""

import dataclasses
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from scipy.special import gammaln, multigammaln  # pyright: ignore[reportAttributeAccessIssue]

from bayesgmm.arrays import Array
from bayesgmm.conjugate import NormalInverseWishart, flat_belief
from bayesgmm.families import Family, read_out
from bayesgmm.linalg import gram, outer
from bayesgmm.types import Frame, Params, Stats


@partial(jax.tree_util.register_dataclass, data_fields=["belief", "metric", "active"], meta_fields=["family"])
@dataclasses.dataclass(frozen=True)
class Restricted:
    """A belief about components whose covariances belong to a family; its mode is the family's read-out.

    ``belief`` is the conjugate form before the restriction: ``df + D + 2`` is the effective count, ``scale`` the effective
    scatter. ``metric`` are the features' units, in which the family is meant; components that are not ``active`` are
    place-holders.
    """

    family: Family
    belief: NormalInverseWishart
    metric: Any
    """(D,)"""
    active: Any
    """(K,), bool"""

    @property
    def loc(self) -> Array:
        """Location of the means, (K, D)."""
        return self.belief.loc

    @property
    def strength(self) -> Array:
        """Effective rows behind each mean, (K,)."""
        return self.belief.strength

    @property
    def counts(self) -> Array:
        """Effective rows behind each covariance, (K,)."""
        return self.belief.counts

    @property
    def scale(self) -> Array:
        """Effective scatters, (K, D, D)."""
        return self.belief.scale

    def update(self, stats: Stats) -> "Restricted":
        """Conjugate update of what the restriction is read off."""
        return dataclasses.replace(self, belief=self.belief.update(stats))

    def mode(self, present: Params) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Joint mode of (μ, Σ) within the family; iterative families go on from ``present``."""
        return self.loc, self._read_out(self.counts, self.scale, present.scale_trils)

    def project(self, params: Params) -> Params:
        """The member of the family nearest to θ in Kullback-Leibler divergence; θ itself if it is one."""
        scatters = params.weights[:, None, None] * gram(params.scale_trils)
        trils = self._read_out(params.weights, scatters, params.scale_trils)
        return params._replace(scale_trils=trils)

    def _read_out(self, counts, scatters, trils):
        units = self.metric[:, None]
        found = read_out(self.family, counts, scatters * outer(self.metric), trils * units, self.active)
        return jnp.where(self.active[:, None, None], found / units, found)

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant."""
        return self.belief.log_kernel(means, whiteners, log_diagonals)

    def standardise(self, frame: Frame) -> "Restricted":
        """The same belief in standardised coordinates; the family keeps its meaning in the user's units."""
        return dataclasses.replace(self, belief=self.belief.standardise(frame), metric=np.asarray(frame.scale))


def restrict(
    prior: NormalInverseWishart | None, family: Family, num_components: int, dim: int
) -> tuple[Restricted, float]:
    """The belief of a family under a prior (None: flat), and the log of its constant (Fraley & Raftery 2007, section 2).

    - means: ``N(μ_k | loc, Σ_k / strength)``;
    - Σ of free orientation: the density ``IW(Σ; df, scale)``; diagonal: ``IG(df/2, scale_jj/2)`` for each variance;
      spherical: ``IG(df/2, s/2)`` for the variance, s the mean of the diagonal of ``scale``;
    - counted once if all components share one covariance, else for each component.
    """
    metric, active = np.ones(dim), np.ones(num_components, bool)
    if prior is None:
        return Restricted(family, flat_belief(num_components, dim).components, metric, active), 0.0
    loc, strength, df, scale = (np.asarray(value, float) for value in prior)
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
    share = 1.0 / num_components if family.pooled else 1.0
    effective = NormalInverseWishart(loc, strength, 1.0 + share * power - (dim + 2.0), share * matrix)
    means = 0.5 * dim * np.log(strength / (2.0 * np.pi))
    return Restricted(family, effective, metric, active), float(np.sum(share * np.asarray(constant) + means))
