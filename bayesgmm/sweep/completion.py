"""Scores of rows that were seen in part or with errors, and the moments of the true rows given what was seen.

A true row x* of component k is Gaussian with mean m and covariance L Lᵀ. Seen is ``x = M x* + e`` with the mask M and
an error e of known covariance ``S = R Rᵀ`` (Bovy, Hogg & Roweis 2011, eqs. 9-16). A gap is an infinite error, and an
error of 0 is no error. With ``T = M L Lᵀ Mᵀ + S = C Cᵀ``, ``u = C⁻¹ (x - M m)`` and ``G = C⁻¹ M L``, the true row in
whitened coordinates, ``y = L⁻¹ (x* - m)``, has mean ``Gᵀ u`` and covariance ``I - Gᵀ G``. Every engine's score is a
constant less half the square of y (`Scorer`), so that this holds for all engines, with that constant.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.model.mixture import Scorer
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, gram, inverse_tril, log_diagonal_sum, matmul, transposed

WRITTEN_OUT = 8
"""Up to so many features, the algebra of each row is written out element by element."""
PRECISE = jax.lax.Precision.HIGHEST


class Completed(NamedTuple):
    """What a pass needs of a block: scores, and the true rows in whitened coordinates."""

    scores: Float[Array, "K n"]
    means: Float[Array, "K D n"]
    """E[y], or a draw of y."""
    rest: Float[Array, "K D D n"] | None
    """Covariance of y, the last axis of length 1 if it is the same for all rows; None if y was drawn."""


def of_pattern(scorer: Scorer, seen: Float[Array, "D"]) -> tuple[Scorer, Float[Array, "K D D"], Float[Array, "K D D"]]:
    """The scorer of rows of which the same features were seen (1, else 0), G, and ``I - Gᵀ G``.

    Its residuals are u. Features that were not seen have no part in it, whatever stands in their place.
    """
    eye = jnp.eye(seen.shape[0], dtype=scorer.locs.dtype)
    factor = cholesky(gram(scorer.trils * seen[:, None]) + (1.0 - seen) * eye)
    whiteners = inverse_tril(factor) * seen[:, None]
    gain = matmul(whiteners, scorer.trils)
    constant = _constants(scorer) - log_diagonal_sum(factor) - 0.5 * math.log(2.0 * math.pi) * jnp.sum(seen)
    return Scorer(constant, scorer.locs * seen, whiteners, factor), gain, eye - matmul(transposed(gain), gain)


def complete_pattern(
    scorer: Scorer, x: Float[Array, "D n"], seen: Float[Array, "D"], key: PRNGKeyArray | None
) -> Completed:
    """Rows of which the same features were seen (1, else 0), without errors. With a key, y is drawn."""
    part, gain, rest = of_pattern(scorer, seen)
    u = part.residuals(x)
    scores, means = part.scores(u), jnp.einsum("ked,ken->kdn", gain, u, precision=PRECISE)
    if key is None:
        return Completed(scores, means, rest[..., None])
    # I - Gᵀ G is a projection, hence its own root.
    noise = jr.normal(key, x.shape, x.dtype)
    return Completed(scores, means + jnp.einsum("kde,en->kdn", rest, noise, precision=PRECISE), None)


def complete_rows(
    scorer: Scorer, x: Float[Array, "D n"], seen: Float[Array, "D n"], roots: Float[Array, "D D n"] | None,
    key: PRNGKeyArray | None,
) -> Completed:  # fmt: skip
    """Rows each with its own mask (1, else 0) and root of the covariance of its errors. With a key, y is drawn."""
    parts = _written_out if x.shape[0] <= WRITTEN_OUT else _by_library
    drawn = None
    if key is not None:
        key_true, key_error = jr.split(key)
        noise = jr.normal(key_true, x.shape, x.dtype)
        error = jnp.zeros_like(x) if roots is None else jnp.sum(roots * jr.normal(key_error, x.shape, x.dtype), axis=1)
        drawn = noise, seen * error
    logs, squares, means, rest = parts(scorer, x, seen, roots, drawn)
    scores = _constants(scorer)[:, None] - 0.5 * math.log(2.0 * math.pi) * jnp.sum(seen, axis=0) - logs - 0.5 * squares
    return Completed(scores, means, rest)


def scores_of_rows(
    scorer: Scorer, x: Float[Array, "D n"], seen: Float[Array, "D n"], roots: Float[Array, "D D n"] | None
) -> Float[Array, "K n"]:
    """The scores alone."""
    return complete_rows(scorer, x, seen, roots, None).scores


def _constants(scorer: Scorer) -> Float[Array, "K"]:
    """Log of the mass of each component: ``log ∫ exp(score_k(x)) dx``, which is log π_k for EM and the samplers."""
    dim = scorer.locs.shape[-1]
    return scorer.offsets + 0.5 * dim * math.log(2.0 * math.pi) + log_diagonal_sum(scorer.trils)


def _written_out(scorer: Scorer, x, seen, roots, drawn):
    """(log |C|, |u|², E[y] or a draw, I - Gᵀ G or None): the algebra of the module text, each entry an array (K, n)."""
    dim, trils = x.shape[0], scorer.trils[..., None]
    places = range(dim)
    masked = [[trils[:, i, d] * seen[i] for d in range(i + 1)] for i in places]
    error = None if roots is None else [[jnp.sum(roots[i] * roots[j], 0) for j in range(i + 1)] for i in places]
    factor, pivots = _factor(masked, None if error is None else _once(error), seen)

    def solved(right: list[Array]) -> list[Array]:
        found: list[Array] = []
        for i in places:
            found.append((right[i] - sum(factor[i][e] * found[e] for e in range(i))) * pivots[i])
        return _once(found)

    u = solved([seen[i] * (jnp.where(seen[i] > 0, x[i], 0.0) - scorer.locs[:, i, None]) for i in places])
    gain: list[list[Array]] = []  # lower triangular, as C and M L are
    for i in places:
        rest = [masked[i][d] - sum(factor[i][e] * gain[e][d] for e in range(d, i)) for d in range(i + 1)]
        gain.append(_once([part * pivots[i] for part in rest]))
    logs, squares = -sum(jnp.log(pivot) for pivot in pivots), sum(part**2 for part in u)
    if drawn is not None:
        noise, added = drawn
        mixed = [sum(masked[i][d] * noise[d] for d in range(i + 1)) + added[i] for i in places]
        u = [a - b for a, b in zip(u, solved(mixed), strict=True)]
    means = jnp.stack(_once([sum(gain[i][d] * u[i] for i in range(d, dim)) for d in places]), axis=1)
    if drawn is not None:
        return logs, squares, means + drawn[0], None
    lower = _once([
        [float(d == e) - sum(gain[i][d] * gain[i][e] for i in range(d, dim)) for e in range(d + 1)] for d in places
    ])  # fmt: skip
    rest = jnp.stack([jnp.stack([lower[max(d, e)][min(d, e)] for e in places], 1) for d in places], 1)
    return logs, squares, means, rest


def _factor(
    masked: list[list[Array]], error: list[list[Array]] | None, seen: Array
) -> tuple[list[list[Array]], list[Array]]:
    """C below its diagonal, and the inverse of its diagonal."""
    factor: list[list[Array]] = []
    for i, row in enumerate(masked):
        found: list[Array] = []
        for j in range(i + 1):
            total = sum((row[d] * masked[j][d] for d in range(1, j + 1)), row[0] * masked[j][0])
            total = total if error is None else total + error[i][j]
            total = total + (1.0 - seen[i]) if i == j else total
            total = total - sum(found[e] * (found if i == j else factor[j])[e] for e in range(j))
            found.append(jax.lax.rsqrt(total) if i == j else total * factor[j][j])
        factor.append(_once(found))
    return factor, [row[-1] for row in factor]


def _once(parts: Any) -> Any:
    """The same arrays, each computed once: XLA would otherwise compute them again for each use (four times as slow)."""
    return jax.lax.optimization_barrier(parts)


def _by_library(scorer: Scorer, x, seen, roots, drawn):
    """The same with one matrix for each component and row."""
    rows, eye = jnp.moveaxis(seen, -1, 0), jnp.eye(x.shape[0], dtype=x.dtype)
    trils = scorer.trils[:, None] * rows[None, :, :, None]
    total = gram(trils) + (1.0 - rows)[..., None] * eye
    if roots is not None:
        total = total + gram(jnp.moveaxis(seen[:, None] * roots, -1, 0))
    factor = cholesky(total)
    inverse = inverse_tril(factor)
    apart = rows * (jnp.where(rows > 0, x.T, 0.0) - scorer.locs[:, None])
    u = jnp.einsum("knde,kne->knd", inverse, apart, precision=PRECISE)
    squares, gain = jnp.sum(u**2, axis=-1), matmul(inverse, trils)
    if drawn is not None:
        noise, error = drawn
        mixed = jnp.einsum("knde,en->knd", trils, noise, precision=PRECISE) + error.T
        u = u - jnp.einsum("knde,kne->knd", inverse, mixed, precision=PRECISE)
    means = jnp.einsum("kned,kne->kdn", gain, u, precision=PRECISE)
    if drawn is not None:
        return log_diagonal_sum(factor), squares, means + drawn[0], None
    rest = eye - matmul(transposed(gain), gain)
    return log_diagonal_sum(factor), squares, means, jnp.moveaxis(rest, 1, -1)
