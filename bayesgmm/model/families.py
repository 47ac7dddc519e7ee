"""The fourteen covariance families: read-outs of the same statistics (Banfield & Raftery 1993; Celeux & Govaert 1995).

With ``Σ_k = λ_k D_k A_k D_kᵀ`` a family says of volume λ, shape A (``|A| = 1``) and orientation D whether it is equal in all
components (E), varies (V), or is the identity (I). None has a loop over data: each reads Σ off effective counts n_k
and scatters W_k, maximising ``-½ Σ_k [n_k log|Σ_k| + tr(Σ_k⁻¹ W_k)]``. With a prior the counts and scatters hold its part.
"""

from functools import partial
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float

from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, gram, inverse_tril, log_diagonal_sum, matmul, transposed


class Family(NamedTuple):
    """What is equal (E), varies (V) or is the identity (I): volume, shape and orientation of the covariances."""

    volume: str
    shape: str
    orientation: str

    @property
    def name(self) -> str:
        """Mclust's code."""
        return "".join(self)

    @property
    def pooled(self) -> bool:
        """Whether all components have one covariance."""
        return "V" not in self

    @property
    def scale_free(self) -> bool:
        """Whether the family stays itself when a feature changes its unit."""
        return self.name in ("EEI", "VEI", "EVI", "VVI", "EEE", "VEE", "EVV", "VVV")

    def label(self, dim: int) -> str:
        """Mclust's code: E or V for one feature."""
        return self.volume if dim == 1 else self.name

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
CONJUGATE = ("EII", "VII", "EEI", "VVI", "EEE", "VVV")
"""Families with a conjugate prior: the posterior of their covariances given z can be drawn directly."""
ALIASES = {"full": "VVV", "tied": "EEE", "diag": "VVI", "spherical": "VII"}
UNIVARIATE = {"E": "EEE", "V": "VVV"}
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
            f"Its multivariate forms begin with {name}: {', '.join(code for code in FAMILIES if code[0] == name)}."
        )
    if name not in FAMILIES:
        known = ", ".join([*ALIASES, *FAMILIES, *UNIVARIATE])
        raise ArgumentError(f"Unknown covariance_type {covariance_type!r}. There are: {known}.")
    if dim == 1:
        if name in ("EEE", "EEI", "EII", "VVV", "VVI", "VII"):
            return FAMILIES[UNIVARIATE[name[0]]]
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
    return cholesky(matmul(axes * variances[:, None, :], transposed(axes)))


def _one_matrix(family: Family, parts: _Parts) -> Array:
    """EEE, VEE: one matrix, in sizes of their own if the volume varies."""
    dim = parts.scatters.shape[-1]

    def common(volumes):
        return cholesky(parts.pool(parts.scatters / volumes[:, None, None]) / parts.total)

    if family.volume == "E":
        return jnp.broadcast_to(common(jnp.ones_like(parts.counts)), parts.scatters.shape)

    def turn(_, volumes):
        whitener = inverse_tril(common(volumes))
        return jnp.sum(matmul(whitener.T, whitener) * parts.scatters, axis=(1, 2)) / (dim * parts.counts)

    volumes = lax.fori_loop(0, INNER, turn, jnp.exp(2.0 / dim * log_diagonal_sum(parts.trils)))
    return jnp.sqrt(volumes)[:, None, None] * common(volumes)


def _free_shape(family: Family, parts: _Parts) -> Array:
    """EVV, VVV: each component's own scatter, scaled to a common volume or by its own count."""
    if family.volume == "V":
        return cholesky(parts.scatters / parts.counts[:, None, None])
    factors = cholesky(parts.scatters)
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

    def turn(_, carry):
        axes, variances = carry
        variances = _variances(family, parts, jnp.diagonal(_rotated(axes, parts.scatters), axis1=1, axis2=2), variances)
        rotate = partial(
            _rotate, jnp.asarray(first), jnp.asarray(second), jnp.where(parts.active[:, None], 1.0 / variances, 0.0)
        )
        axes, _ = lax.fori_loop(0, len(first), rotate, (axes, _rotated(axes, parts.scatters)))
        return axes, variances

    present = jnp.diagonal(_rotated(axes, gram(parts.trils)), axis1=1, axis2=2)
    axes, variances = lax.fori_loop(0, INNER // 2, turn, (axes, present))
    variances = _variances(family, parts, jnp.diagonal(_rotated(axes, parts.scatters), axis1=1, axis2=2), variances)
    return cholesky(matmul(axes * variances[:, None, :], jnp.broadcast_to(axes.T, parts.scatters.shape)))


def _rotate(first, second, precisions, plane, carry):
    axes, scatters = carry
    i, j = first[plane], second[plane]
    excess = precisions[:, i] - precisions[:, j]
    p, q, r = (jnp.sum(excess * scatters[:, a, b]) for a, b in ((i, i), (i, j), (j, j)))
    angle = 0.5 * jnp.arctan2(-2.0 * q, r - p)
    turn = jnp.eye(axes.shape[0], dtype=axes.dtype)
    turn = turn.at[i, i].set(jnp.cos(angle)).at[j, j].set(jnp.cos(angle))
    turn = turn.at[j, i].set(jnp.sin(angle)).at[i, j].set(-jnp.sin(angle))
    return matmul(axes, turn), _rotated(turn, scatters)


def _rotated(axes, matrices):
    """``axesᵀ M axes`` for each matrix."""
    wide = jnp.broadcast_to(axes, matrices.shape)
    return matmul(transposed(wide), matmul(matrices, wide))


_READ_OUT = {
    "II": _diagonal, "EI": _diagonal, "VI": _diagonal, "EE": _one_matrix, "VE": _common_axes,
    "EV": _equal_shape_own_orientation, "VV": _free_shape,
}  # fmt: skip
