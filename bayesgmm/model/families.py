"""The fourteen covariance families, computed from the same statistics (Banfield & Raftery 1993; Celeux & Govaert 1995).

Let ``Σ_k = λ_k D_k A_k D_kᵀ``, with volume λ, shape A (``|A| = 1``) and orientation D. A family states for each of
the three whether it is equal in all components (E), varies (V), or is the identity (I). No family loops over the data.
Each computes Σ from effective counts n_k and scatters W_k. The result maximises
``-½ Σ_k [n_k log|Σ_k| + tr(Σ_k⁻¹ W_k)]``. With a prior, the counts and scatters include its contribution.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float

from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, inverse_tril, log_diagonal_sum, matmul, safe_cholesky, transposed
from bayesgmm.runtime.arguments import shown


class Family(NamedTuple):
    """Volume, shape and orientation of the covariances: each is equal (E), varies (V) or is the identity (I)."""

    volume: str
    shape: str
    orientation: str

    @property
    def name(self) -> str:
        """The mclust code."""
        return "".join(self)

    @property
    def pooled(self) -> bool:
        """Whether all components have the same covariance."""
        return "V" not in self

    @property
    def scale_free(self) -> bool:
        """Whether the family is invariant to a change of the unit of a feature."""
        return self.name in ("EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV")

    def label(self, dim: int) -> str:
        """The mclust code; E or V for one feature."""
        return self.volume if dim == 1 else self.name

    def num_parameters(self, num_components: int, dim: int) -> int:
        """Free parameters of the covariances (Celeux & Govaert 1995, table 1)."""
        times = {"E": 1, "V": num_components, "I": 0}
        angles = dim * (dim - 1) // 2
        return times[self.volume] + times[self.shape] * (dim - 1) + times[self.orientation] * angles

    def rows_needed(self, dim: int) -> int:
        """Rows that a component needs to estimate the part of its covariance that it does not share."""
        return dim + 1 if self.orientation == "V" else 1 if self.pooled else 2


FAMILIES = {
    name: Family(*name)
    for name in ("EII", "VII", "EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVE", "VVE", "EEV", "VEV", "EVV", "VVV")
}  # fmt: skip
CONJUGATE = ("EII", "VII", "EEI", "VVI", "EEE", "VVV")
"""Families with a conjugate prior: their covariances can be drawn directly from the posterior given z."""
ALIASES = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}
UNIVARIATE = {"E": "EEE", "V": "VVV"}
"""With one feature there are two families: equal variances and varying variances."""


def resolve_family(covariance_type: str, dim: int) -> Family:
    """The family with a given name: an mclust code, or full, tied, diag or spherical as in scikit-learn.

    Raises
    ------
    ArgumentError
        If the name is unknown, or the family does not fit the number of features.
    """
    if not isinstance(covariance_type, str):
        raise ArgumentError(f"covariance_type must be a word such as 'full' or 'VVV', got {shown(covariance_type)}.")
    name = ALIASES.get(covariance_type, covariance_type)
    if name in UNIVARIATE and dim == 1:
        return FAMILIES[UNIVARIATE[name]]
    if name in UNIVARIATE:
        raise ArgumentError(
            f"covariance_type {name!r} is for one feature, but the data have {dim}. "
            f"Choose a family with volume {name}: {', '.join(code for code in FAMILIES if code[0] == name)}."
        )
    if name not in FAMILIES:
        known = ", ".join([*ALIASES, *FAMILIES, *UNIVARIATE])
        raise ArgumentError(f"Unknown covariance_type {shown(covariance_type)}. Choose one of {known}.")
    if dim == 1:
        if name in ("EEE", "EEI", "EII", "VVV", "VVI", "VII"):
            return FAMILIES[UNIVARIATE[name[0]]]
        raise ArgumentError(
            f"covariance_type {name!r} needs more than one feature: one feature has no shape or orientation. "
            "Use 'E' or 'V'."
        )
    return FAMILIES[name]


INNER = 6
"""Iterations between volume and shape (or orientation) in an M-step. None decreases the objective of the M-step."""


def read_out(
    family: Family,
    counts: Float[Array, "K"],
    scatters: Float[Array, "K D D"],
    trils: Float[Array, "K D D"],
    active: Bool[Array, "K"],
) -> Float[Array, "K D D"]:
    """Cholesky factors of the covariances of a family, from effective counts and scatters.

    VEI, VEE, VEV, EVE and VVE have no closed form. They start from the current ``trils`` and maximise over one part
    at a time, so the objective cannot decrease. Components that are not ``active`` are excluded and get the identity.
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
        """Sum over the active components."""
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
        case _:  # VE: equal shape, varying volumes
            # The shape need not have determinant 1: the volumes absorb the rest, and the product is the variance.
            def iterate(_, volumes):
                shape = pool(spreads / volumes) / parts.total
                return (spreads / shape).mean(axis=1, keepdims=True) / counts

            volumes = lax.fori_loop(0, INNER, iterate, _geometric_mean(present))
            return volumes * pool(spreads / volumes) / parts.total


def _geometric_mean(values: Float[Array, "K D"]) -> Float[Array, "K 1"]:
    return jnp.exp(jnp.log(values).mean(axis=1, keepdims=True))


def _diagonal(family: Family, parts: _Parts) -> Array:
    along = partial(jnp.diagonal, axis1=1, axis2=2)
    variances = _variances(family, parts, along(parts.scatters), jnp.sum(jnp.square(parts.trils), axis=-1))
    return jnp.sqrt(variances)[:, :, None] * jnp.eye(variances.shape[1], dtype=variances.dtype)


def _equal_shape_own_orientation(family: Family, parts: _Parts) -> Array:
    """EEV, VEV: the axes of each component are those of its scatter, ordered by length.

    Lengths are singular values of factors: eigenvalues of the scatter itself would lose the short axes.
    """
    axes, roots, _ = jnp.linalg.svd(safe_cholesky(parts.scatters))
    spreads = jnp.square(roots)
    present = jnp.square(jnp.linalg.svd(parts.trils, compute_uv=False)) if family.volume == "V" else spreads
    variances = _variances(family, parts, spreads, present)
    return _factors(axes, variances)


def _factors(axes: Float[Array, "K D D"], variances: Float[Array, "K D"]) -> Float[Array, "K D D"]:
    """Cholesky factors of covariances with these axes and variances.

    They come from a QR factorisation of the root, so that short axes keep their digits. Rounding changes the
    determinant of a nearly singular matrix; the factors get the volumes of the variances.
    """
    upper = jnp.linalg.qr(jnp.sqrt(variances)[:, :, None] * transposed(axes), mode="r")
    factors = transposed(upper * jnp.sign(jnp.diagonal(upper, axis1=1, axis2=2))[:, :, None])
    volumes = jnp.exp(0.5 * jnp.log(variances).mean(axis=1) - log_diagonal_sum(factors) / axes.shape[-1])
    return factors * volumes[:, None, None]


def _one_matrix(family: Family, parts: _Parts) -> Array:
    """EEE, VEE: one matrix, scaled for each component if the volume varies."""
    dim = parts.scatters.shape[-1]

    def common(volumes):
        return cholesky(parts.pool(parts.scatters / volumes[:, None, None]) / parts.total)

    if family.volume == "E":
        return jnp.broadcast_to(common(jnp.ones_like(parts.counts)), parts.scatters.shape)

    def iterate(_, volumes):
        whitener = inverse_tril(common(volumes))
        return jnp.sum(matmul(whitener.T, whitener) * parts.scatters, axis=(1, 2)) / (dim * parts.counts)

    volumes = lax.fori_loop(0, INNER, iterate, jnp.exp(2.0 / dim * log_diagonal_sum(parts.trils)))
    return jnp.sqrt(volumes)[:, None, None] * common(volumes)


def _free_shape(family: Family, parts: _Parts) -> Array:
    """EVV, VVV: the scatter of each component, scaled to a common volume or divided by its count."""
    if family.volume == "V":
        return cholesky(parts.scatters / parts.counts[:, None, None])
    factors = cholesky(parts.scatters)
    sizes = jnp.exp(2.0 / factors.shape[-1] * log_diagonal_sum(factors))
    return factors * jnp.sqrt(parts.pool(sizes) / parts.total / sizes)[:, None, None]


def _common_axes(family: Family, parts: _Parts) -> Array:
    """EVE, VVE: common axes. Alternate between the variances along the axes and rotations in all planes.

    Given the variances, each rotation is the exact minimum in its plane, so the objective of the M-step cannot decrease
    (Flury & Gautschi 1986, for the formulation of Browne & McNicholas 2014).
    """
    # Scatters are turned by their roots R, where W = RᵀR: products of columns keep the digits of short axes.
    roots, present = transposed(safe_cholesky(parts.scatters)), transposed(parts.trils)
    dim = roots.shape[-1]
    # All components have the same axes, and so has any weighted sum. Unequal weights avoid equal singular values in it.
    shares = jnp.sqrt(1.0 + jnp.arange(len(parts.counts), dtype=parts.counts.dtype) / 7.0) * parts.active
    stacked = jnp.linalg.qr((present * shares[:, None, None]).reshape(-1, dim), mode="r")
    axes = transposed(jnp.linalg.svd(stacked)[2])
    first, second = np.triu_indices(dim, 1)

    def iterate(_, carry):
        axes, variances = carry
        variances = _variances(family, parts, _along(axes, roots), variances)
        rotate = partial(
            _rotate, jnp.asarray(first), jnp.asarray(second), jnp.where(parts.active[:, None], 1.0 / variances, 0.0)
        )
        axes, _ = lax.fori_loop(0, len(first), rotate, (axes, _turned(axes, roots)))
        return axes, variances

    axes, variances = lax.fori_loop(0, INNER // 2, iterate, (axes, _along(axes, present)))
    variances = _variances(family, parts, _along(axes, roots), variances)
    return _factors(jnp.broadcast_to(axes, roots.shape), variances)


def _rotate(first, second, precisions, plane, carry):
    axes, roots = carry
    i, j = first[plane], second[plane]
    excess = (precisions[:, i] - precisions[:, j])[:, None]
    one, other = roots[:, :, i], roots[:, :, j]
    p, q, r = (jnp.sum(excess * a * b) for a, b in ((one, one), (one, other), (other, other)))
    angle = 0.5 * jnp.arctan2(-2.0 * q, r - p)
    rotation = jnp.eye(axes.shape[0], dtype=axes.dtype)
    rotation = rotation.at[i, i].set(jnp.cos(angle)).at[j, j].set(jnp.cos(angle))
    rotation = rotation.at[j, i].set(jnp.sin(angle)).at[i, j].set(-jnp.sin(angle))
    return matmul(axes, rotation), _turned(rotation, roots)


def _turned(axes: Float[Array, "D D"], roots: Float[Array, "K D D"]) -> Float[Array, "K D D"]:
    """Roots of the matrices in the coordinates of the axes."""
    return matmul(roots, jnp.broadcast_to(axes, roots.shape))


def _along(axes: Float[Array, "D D"], roots: Float[Array, "K D D"]) -> Float[Array, "K D"]:
    """``a W aᵀ`` for each axis a, where W = RᵀR and R is a root."""
    return jnp.sum(jnp.square(_turned(axes, roots)), axis=1)


_READ_OUT = {
    "II": _diagonal, "EI": _diagonal, "VI": _diagonal, "EE": _one_matrix, "VE": _common_axes,
    "EV": _equal_shape_own_orientation, "VV": _free_shape,
}  # fmt: skip
