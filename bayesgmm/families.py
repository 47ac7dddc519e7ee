"""The fourteen covariance families: read-outs of the same statistics (Banfield & Raftery 1993; Celeux & Govaert 1995).

With ``Σ_k = λ_k D_k A_k D_kᵀ`` a family says of volume λ, shape A (``|A| = 1``) and orientation D whether it is equal in all
components (E), varies (V), or is the identity (I). None has a loop over data: each reads Σ off effective counts n_k
and scatters W_k, maximising ``-½ Σ_k [n_k log|Σ_k| + tr(Σ_k⁻¹ W_k)]``. With a prior the counts and scatters hold its part.
"""

import dataclasses
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jax.scipy.special import gammaln, multigammaln
from jaxtyping import Bool, Float

from bayesgmm.arrays import Array
from bayesgmm.conjugate import NormalInverseWishart
from bayesgmm.errors import ArgumentError
from bayesgmm.linalg import gram, inverse_tril, log_diagonal_sum, outer
from bayesgmm.types import Frame, Params, Stats


class Family(NamedTuple):
    """What is equal (E), varies (V) or is the identity (I): volume, shape and orientation of the covariances."""

    volume: str
    shape: str
    orientation: str

    @property
    def name(self) -> str:
        """mclust's code."""
        return "".join(self)

    @property
    def pooled(self) -> bool:
        """Whether all components have one covariance."""
        return "V" not in self

    @property
    def scale_free(self) -> bool:
        """Whether the family stays itself when a feature changes its unit."""
        return self.name in ("EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV")

    def num_parameters(self, num_components: int, dim: int) -> int:
        """Free parameters of the covariances (Celeux & Govaert 1995, table 1)."""
        times = {"E": 1, "V": num_components, "I": 0}
        angles = dim * (dim - 1) // 2
        return times[self.volume] + times[self.shape] * (dim - 1) + times[self.orientation] * angles

    def rows_needed(self, dim: int) -> int:
        """Rows below which a component's own part of its covariance rests on too little."""
        return dim + 1 if self.orientation == "V" else 1 if self.pooled else 2


FAMILIES = {
    name: Family(*name)
    for name in ("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV")
}  # fmt: skip
ALIASES = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}
UNIVARIATE = {"E": "EII", "V": "VII"}
"""With one feature there are only an equal and a varying variance."""


def resolve_family(covariance_type: str, dim: int) -> Family:
    """The family that a name stands for: an mclust code, or scikit-learn's full, tied, diag or spherical.

    Raises
    ------
    ArgumentError
        If the name is unknown, or the family needs more than one feature.
    """
    name = ALIASES.get(covariance_type, covariance_type)
    if name in UNIVARIATE and dim == 1:
        return FAMILIES[UNIVARIATE[name]]
    if name in UNIVARIATE:
        raise ArgumentError(
            f"covariance_type {name!r} is for one feature, and the data have {dim}. "
            f"Its multivariate forms begin with {name}: 'EEE' (tied), 'VVV' (full), …"
        )
    if name not in FAMILIES:
        known = ", ".join([*ALIASES, *FAMILIES, *UNIVARIATE])
        raise ArgumentError(f"Unknown covariance_type {covariance_type!r}. There are: {known}.")
    if dim == 1:
        if name in ("EEE", "EEI", "EII"):
            return FAMILIES["EII"]
        if name in ("VVV", "VVI", "VII"):
            return FAMILIES["VII"]
        raise ArgumentError(
            f"covariance_type {name!r} needs more than one feature: with one there is no shape or orientation. Use 'E' or 'V'."
        )
    return FAMILIES[name]


INNER = 6
"""Turns between volume and shape (or orientation) within an M-step; each can only raise the M-step's objective."""


def read_out(
    family: Family,
    counts: Float[Array, "K"],
    scatters: Float[Array, "K D D"],
    trils: Float[Array, "K D D"],
    active: Bool[Array, "K"],
) -> Float[Array, "K D D"]:
    """Cholesky factors of the family's covariances, from effective counts and scatters.

    VEI, VEE, VEV, EVE and VVE have no closed form; they go on from the present ``trils`` by turns that each maximise over
    one part, so that the objective cannot fall. Components that are not ``active`` take no part and get the identity.
    """
    eye = jnp.eye(scatters.shape[-1], dtype=scatters.dtype)
    mask = active[:, None, None]
    scatters, trils = jnp.where(mask, scatters, eye), jnp.where(mask, trils, eye)
    parts = _Parts(jnp.where(active, counts, 1.0), scatters, trils, active)
    covariances = _READ_OUT[family.shape + family.orientation]
    return jnp.where(mask, covariances(family, parts), eye)


class _Parts(NamedTuple):
    counts: Float[Array, "K"]
    scatters: Float[Array, "K D D"]
    trils: Float[Array, "K D D"]
    active: Bool[Array, "K"]

    def pool(self, values: Array) -> Array:
        """Sum over the components that take part."""
        shape = (-1,) + (1,) * (values.ndim - 1)
        return jnp.sum(jnp.where(self.active.reshape(shape), values, 0.0), axis=0)

    @property
    def total(self) -> Float[Array, ""]:
        return self.pool(self.counts)


def _variances(family: Family, parts: _Parts, spreads: Float[Array, "K D"], present: Float[Array, "K D"]) -> Array:
    """Variances (K, D) along given axes, from the scatter along each axis (Celeux & Govaert 1995, section 4)."""
    counts, pool = parts.counts[:, None], parts.pool
    match family.volume + family.shape:
        case "EI":
            return jnp.broadcast_to(pool(spreads).mean() / parts.total, spreads.shape)
        case "VI":
            return jnp.broadcast_to(spreads.mean(axis=1, keepdims=True) / counts, spreads.shape)
        case "EE":
            return jnp.broadcast_to(pool(spreads) / parts.total, spreads.shape)
        case "VV":
            return spreads / counts
        case "EV":
            sizes = _geometric_mean(spreads)
            return spreads / sizes * pool(sizes) / parts.total
        case _:  # VE: a shape in common, volumes of their own

            # The shape need not have volume 1: what it lacks is in the volumes, and their product is the variance.
            def turn(_, volumes):
                shape = pool(spreads / volumes) / parts.total
                return (spreads / shape).mean(axis=1, keepdims=True) / counts

            volumes = lax.fori_loop(0, INNER, turn, _geometric_mean(present))
            return volumes * pool(spreads / volumes) / parts.total


def _geometric_mean(values: Float[Array, "K D"]) -> Float[Array, "K 1"]:
    return jnp.exp(jnp.log(values).mean(axis=1, keepdims=True))


def _diagonal(family: Family, parts: _Parts) -> Array:
    along = partial(jnp.diagonal, axis1=1, axis2=2)
    variances = _variances(family, parts, along(parts.scatters), along(gram(parts.trils)))
    return jnp.sqrt(variances)[:, :, None] * jnp.eye(variances.shape[1], dtype=variances.dtype)


def _equal_shape_own_orientation(family: Family, parts: _Parts) -> Array:
    """EEV, VEV: each component's axes are those of its own scatter, in the order of their length."""
    spreads, axes = jnp.linalg.eigh(parts.scatters)
    present = jnp.linalg.eigvalsh(gram(parts.trils)) if family.volume == "V" else spreads
    variances = _variances(family, parts, spreads, present)
    return jnp.linalg.cholesky(jnp.einsum("kde,ke,kfe->kdf", axes, variances, axes))


def _one_matrix(family: Family, parts: _Parts) -> Array:
    """EEE, VEE: one matrix, in sizes of their own if the volume varies."""
    dim = parts.scatters.shape[-1]

    def common(volumes):
        return jnp.linalg.cholesky(parts.pool(parts.scatters / volumes[:, None, None]) / parts.total)

    if family.volume == "E":
        return jnp.broadcast_to(common(jnp.ones_like(parts.counts)), parts.scatters.shape)

    def turn(_, volumes):
        whitener = inverse_tril(common(volumes))
        return jnp.einsum("de,kef,df->k", whitener, parts.scatters, whitener) / (dim * parts.counts)

    volumes = lax.fori_loop(0, INNER, turn, jnp.exp(2.0 / dim * log_diagonal_sum(parts.trils)))
    return jnp.sqrt(volumes)[:, None, None] * common(volumes)


def _free_shape(family: Family, parts: _Parts) -> Array:
    """EVV, VVV: each component's own scatter, scaled to a common volume or by its own count."""
    if family.volume == "V":
        return jnp.linalg.cholesky(parts.scatters / parts.counts[:, None, None])
    factors = jnp.linalg.cholesky(parts.scatters)
    sizes = jnp.exp(2.0 / factors.shape[-1] * log_diagonal_sum(factors))
    return factors * jnp.sqrt(parts.pool(sizes) / parts.total / sizes)[:, None, None]


def _common_axes(family: Family, parts: _Parts) -> Array:
    """EVE, VVE: axes in common; turns between the variances along them and a sweep of plane rotations.

    Given the variances, each rotation is the exact minimum in its plane (Flury & Gautschi 1986, in the form that Browne &
    McNicholas 2014 give the problem), so that the M-step's objective cannot fall.
    """
    dim = parts.scatters.shape[-1]
    # Components share their axes, so that any combination of them has the axes too; unequal shares keep it from being round.
    shares = 1.0 + jnp.arange(len(parts.counts), dtype=parts.counts.dtype) / 7.0
    _, axes = jnp.linalg.eigh(parts.pool(gram(parts.trils) * shares[:, None, None]))
    first, second = np.triu_indices(dim, 1)

    def seen(axes, matrices):
        return jnp.einsum("di,kde,ej->kij", axes, matrices, axes)

    def turn(_, carry):
        axes, variances = carry
        variances = _variances(family, parts, jnp.diagonal(seen(axes, parts.scatters), axis1=1, axis2=2), variances)
        rotate = partial(_rotate, jnp.asarray(first), jnp.asarray(second), jnp.where(parts.active[:, None], 1.0 / variances, 0.0))
        axes, _ = lax.fori_loop(0, len(first), rotate, (axes, seen(axes, parts.scatters)))
        return axes, variances

    present = jnp.diagonal(seen(axes, gram(parts.trils)), axis1=1, axis2=2)
    axes, variances = lax.fori_loop(0, INNER // 2, turn, (axes, present))
    variances = _variances(family, parts, jnp.diagonal(seen(axes, parts.scatters), axis1=1, axis2=2), variances)
    return jnp.linalg.cholesky(jnp.einsum("de,ke,fe->kdf", axes, variances, axes))


def _rotate(first, second, precisions, plane, carry):
    axes, scatters = carry
    i, j = first[plane], second[plane]
    excess = precisions[:, i] - precisions[:, j]
    p, q, r = (jnp.sum(excess * scatters[:, a, b]) for a, b in ((i, i), (i, j), (j, j)))
    angle = 0.5 * jnp.arctan2(-2.0 * q, r - p)
    turn = jnp.eye(axes.shape[0], dtype=axes.dtype)
    turn = turn.at[i, i].set(jnp.cos(angle)).at[j, j].set(jnp.cos(angle))
    turn = turn.at[j, i].set(jnp.sin(angle)).at[i, j].set(-jnp.sin(angle))
    return axes @ turn, jnp.einsum("di,kde,ej->kij", turn, scatters, turn)


_READ_OUT = {
    "II": _diagonal, "EI": _diagonal, "VI": _diagonal, "EE": _one_matrix, "VE": _common_axes,
    "EV": _equal_shape_own_orientation, "VV": _free_shape,
}  # fmt: skip


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
    metric: Float[Array, "D"]
    active: Bool[Array, "K"]

    @property
    def loc(self) -> Array:
        """Location of the means, (K, D)."""
        return self.belief.loc

    @property
    def scale(self) -> Array:
        """Effective scatters, (K, D, D)."""
        return self.belief.scale

    def update(self, stats: Stats) -> "Restricted":
        """Conjugate update of what the restriction is read off."""
        return dataclasses.replace(self, belief=self.belief.update(stats))

    def mode(self, present: Params) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Joint mode of (μ, Σ) within the family; iterative families go on from ``present``."""
        counts = self.belief.df + (self.metric.shape[0] + 2.0)
        return self.belief.loc, self._read_out(counts, self.belief.scale, present.scale_trils)

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


def restrict(prior: NormalInverseWishart | None, family: Family, num_components: int, dim: int) -> tuple[Restricted, float]:
    """The belief of a family under a prior (None: flat), and the log of its constant (Fraley & Raftery 2007, section 2).

    - means: ``N(μ_k | loc, Σ_k / strength)``;
    - Σ of free orientation: the density ``IW(Σ; df, scale)``; diagonal: ``IG(df/2, scale_jj/2)`` for each variance;
      spherical: ``IG(df/2, s/2)`` for the variance, s the mean of the diagonal of ``scale``;
    - counted once if all components share one covariance, else for each component.
    """
    metric, active = np.ones(dim), np.ones(num_components, bool)
    zero = np.zeros(num_components)
    if prior is None:
        flat = NormalInverseWishart(
            np.zeros((num_components, dim)), zero, zero - (dim + 2.0), np.zeros((num_components, dim, dim))
        )
        return Restricted(family, flat, metric, active), 0.0
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
