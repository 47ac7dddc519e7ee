"""Coordinates of θ near a point, for every covariance family: as many as it has free parameters, and 0 at the point.

Weights move as ``softmax(log π + B u)``, means in standard deviations of their component. The factor of a covariance is
``A_k = exp(v_k) F_k M_k``, with a volume ``v_k`` and ``det M_k = 1``:

- orientation I: M_k is diagonal, ``diag(exp(B t_k))``; the identity for shape I.
- shape and orientation both E or both V: F_k is the Cholesky factor, and M_k is lower triangular with the diagonal
  ``exp(B t_k)``.
- otherwise: F_k holds the axes times their lengths; ``A_k = exp(v_k) C_k R(s_k) diag(lengths) diag(exp(B t_k))`` with
  the rotation ``R(s) = (I - S/2)⁻¹ (I + S/2)``, S skew (Cayley), whose first two derivatives at 0 are those of
  ``exp(S)``.

B is an orthonormal basis of the vectors that sum to 0. A part is one for all components (E), or one for each (V).
Parameters that are held have no coordinates: the weights that are free share what the held ones leave.
"""

import jax.numpy as jnp
import numpy as np

from bayesgmm.model.families import Family
from bayesgmm.model.fixed import NOTHING, Held
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import safe_cholesky

Base = tuple[Array, Array, Array, Array, Array]
"""Log weights, means, axes C_k, lengths (K, D), and Cholesky factors: the point at which the coordinates are 0."""


def sizes(family: Family, num: int, dim: int, held: Held = NOTHING) -> dict[str, tuple[int, int]]:
    """Shape of each part: (copies, numbers)."""
    times = {"E": 1, "V": num - len(held.covariances), "I": 0}
    return {
        "weights": (1, max(num - len(held.weights) - 1, 0)), "means": (num - len(held.means), dim),
        "volume": (times[family.volume], 1), "shape": (times[family.shape], dim - 1),
        "orientation": (times[family.orientation], dim * (dim - 1) // 2),
    }  # fmt: skip


def names(family: Family, features: tuple[str, ...], num: int, held: Held = NOTHING) -> list[str]:
    """What each coordinate moves, in words."""
    found = []
    letters = {"volume": family.volume, "shape": family.shape, "orientation": family.orientation}
    for part, (copies, numbers) in sizes(family, num, len(features), held).items():
        free = held.free("means" if part == "means" else "covariances", num)
        for copy in range(copies):
            one = num > 1 and (part == "means" or letters.get(part) == "V")
            whose = f"of component {free[copy]}" if one else "of all components" if num > 1 else "of the component"
            found += [
                f"the mean of {features[i]} {whose}" if part == "means" else f"the {part} {whose}"
                for i in range(numbers)
            ]
    return found


def base_of(params: Params, family: Family, held: Held = NOTHING) -> Base:
    """The point θ (host, in the user's units)."""
    covariances = np.asarray(params.covariances)
    gaussians = covariances[:-1] if held.noise else covariances
    num, dim = params.means.shape
    axes = np.broadcast_to(np.eye(dim), (num, dim, dim))
    if family.orientation == "E":  # common axes: of the sum of the covariances, each with the same volume
        axes = np.broadcast_to(np.linalg.eigh(_scaled(gaussians).sum(axis=0))[1], (num, dim, dim))
    elif family.orientation == "V":
        axes = np.linalg.eigh(covariances)[1]
    lengths = np.sqrt(np.einsum("kdi,kde,kei->ki", axes, covariances, axes))
    with np.errstate(divide="ignore"):
        logs = np.log(np.asarray(params.weights))
    return logs, np.asarray(params.means), axes, lengths, np.asarray(params.scale_trils)


def _scaled(covariances: np.ndarray) -> np.ndarray:
    logs = np.linalg.slogdet(covariances)[1]
    return covariances / np.exp(logs / covariances.shape[-1])[:, None, None]


def zero_sum_basis(size: int) -> np.ndarray:
    """Orthonormal columns that each sum to 0, (size, size - 1) (Helmert)."""
    basis = np.zeros((size, max(size - 1, 0)))
    for j in range(size - 1):
        basis[: j + 1, j], basis[j + 1, j] = 1.0, -(j + 1.0)
    return basis / np.linalg.norm(basis, axis=0)


def params_at(
    coordinates: Array, base: Base, scale: Array, center: Array, family: Family, held: Held = NOTHING
) -> Params:
    """θ at the coordinates, in the standardised coordinates ``(x - center) / scale`` of the engines."""
    logs, means = jnp.asarray(base[0]), jnp.asarray(base[1])
    num, dim = means.shape
    parts, start = {}, 0
    for part, (copies, numbers) in sizes(family, num, dim, held).items():
        values = coordinates[start : start + copies * numbers].reshape(copies, numbers)
        parts[part] = values if part == "weights" else _for_all(values, part, num, held)
        start += copies * numbers
    factors = _factors(parts, base, family) / scale[:, None]
    trils = safe_cholesky(factors @ jnp.swapaxes(factors, -1, -2))
    if held.noise:  # not even what all components share moves it
        trils = jnp.asarray(trils).at[-1].set(jnp.asarray(base[4])[-1] / scale[:, None])
    sds = jnp.sqrt(jnp.sum(jnp.square(base[4]), axis=-1))
    return Params(_weights(parts["weights"], logs, held), (means + sds * parts["means"] - center) / scale, trils)


def _for_all(values: Array, part: str, num: int, held: Held) -> Array:
    """Coordinates of the free components, with those of the held ones at 0; unchanged if nothing is held."""
    name = "means" if part == "means" else "covariances"
    free = held.free(name, num)
    if not getattr(held, name) or len(values) != len(free):  # nothing is held, or the family has no such part
        return values
    return jnp.zeros((num, values.shape[1]), values.dtype).at[free].set(values)


def _weights(moved: Array, logs: Array, held: Held) -> Array:
    """Weights at their coordinates."""
    num = len(logs)
    free = held.free("weights", num)
    if len(free) < 2:
        return jnp.exp(logs) / jnp.sum(jnp.exp(logs))
    some = logs[free] + (moved @ zero_sum_basis(len(free)).T)[0]
    own = jnp.exp(some - jnp.max(some))
    own = own / jnp.sum(own)
    if not held.weights:
        return own
    weights = jnp.exp(logs)
    return weights.at[free].set(own * jnp.sum(weights[free]))


def _factors(parts: dict[str, Array], base: Base, family: Family) -> Array:
    """Factors ``A_k`` of the covariances, in the user's units, (K, D, D)."""
    _, _, axes, lengths, trils = map(jnp.asarray, base)
    num, dim = lengths.shape
    eye = jnp.eye(dim, dtype=lengths.dtype)
    volume = jnp.exp(jnp.broadcast_to(parts["volume"], (num, 1)))[:, :, None]
    stretch = jnp.exp(parts["shape"] @ zero_sum_basis(dim).T) if family.shape != "I" else jnp.ones((1, dim))
    if family.orientation == "I":
        return volume * (lengths * stretch)[:, :, None] * eye
    angles = parts["orientation"]
    below = jnp.zeros((len(angles), dim, dim), lengths.dtype).at[:, *np.tril_indices(dim, -1)].set(angles)
    if family.shape == family.orientation:
        return volume * (trils @ (below + stretch[:, :, None] * eye))
    skew = below - jnp.swapaxes(below, -1, -2)
    turned = axes @ jnp.linalg.solve(eye - 0.5 * skew, eye + 0.5 * skew)
    return volume * turned * (lengths * stretch)[:, None, :]
