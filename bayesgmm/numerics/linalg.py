"""Small triangular linear algebra, batched over leading axes."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesgmm.numerics.arrays import Array

SMALL = 6
"""Up to this size, products and factors are written out element by element. Many tiny matrices then become one loop
over the batch, instead of one library call for each (3 × 3, 300 of them: ten times as fast)."""

FEW = 32
"""Up to so many features, results handle diagonal matrices as all others: one program serves both."""


def matmul(a: Float[Array, "*b D E"], b: Float[Array, "*b E F"]) -> Float[Array, "*b D F"]:
    """``A B`` for each pair of the batch."""
    if max(*a.shape[-2:], b.shape[-1]) > SMALL:
        return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
    return sum(
        (a[..., :, e, None] * b[..., e, None, :] for e in range(1, a.shape[-1])),
        a[..., :, 0, None] * b[..., 0, None, :],
    )


def matvec(a: Float[Array, "*b D E"], v: Float[Array, "*b F"]) -> Float[Array, "*b D"]:
    """``A v`` for each pair of the batch; A may be a column."""
    if is_column(a):
        return a[..., 0] * v
    return jnp.sum(a * v[..., None, :], axis=-1)


def transposed(matrix: Float[Array, "*b D E"]) -> Float[Array, "*b E D"]:
    """``Mᵀ`` for each matrix of the batch."""
    return jnp.swapaxes(matrix, -1, -2)


def cholesky(matrix: Float[Array, "*b D D"]) -> Float[Array, "*b D D"]:
    """Lower Cholesky factor; NaN where the matrix is not positive definite."""
    if matrix.shape[-1] > SMALL:
        return jnp.linalg.cholesky(matrix)
    return _eliminated(matrix)


def safe_cholesky(matrix: Float[Array, "*b D D"]) -> Float[Array, "*b D D"]:
    """Lower Cholesky factor of a matrix that may be singular: what is lost in rounding counts as ε of its feature."""
    dim, little = matrix.shape[-1], jnp.finfo(matrix.dtype).eps
    variances = jnp.diagonal(matrix, axis1=-2, axis2=-1)
    if dim > SMALL:
        return jnp.linalg.cholesky(matrix + 4 * dim * little * variances[..., None] * jnp.eye(dim, dtype=matrix.dtype))
    return _eliminated(matrix, little * variances)


def _eliminated(matrix: Array, least: Array | None = None) -> Array:
    """The factor element by element; pivots are at least `least`."""
    dim = matrix.shape[-1]
    rows: list[list[Array]] = [[] for _ in range(dim)]
    for j in range(dim):
        for i in range(j, dim):
            rest = matrix[..., i, j] - sum(rows[i][e] * rows[j][e] for e in range(j))
            if i == j and least is not None:
                rest = jnp.maximum(rest, least[..., j])
            rows[i].append(jnp.sqrt(rest) if i == j else rest / rows[j][j])
    return _lower(rows)


def inverse_tril(tril: Float[Array, "*b D E"]) -> Float[Array, "*b D E"]:
    """Inverse of a lower-triangular matrix, also lower triangular: by substitution, or by log2(D) pairs of products.

    Let M invert the diagonal blocks of size b, and let C hold the entries that join them into blocks of size 2b. Then
    M - M C M inverts the blocks of size 2b. (After a LAPACK solve, the threads of OpenBLAS spin for 25 ms and slow the
    threads of XLA. At D = 64, K = 16, N = 20,000 this doubled the time of a sweep.)
    """
    if is_column(tril):
        return 1.0 / tril
    dim = tril.shape[-1]
    if dim <= SMALL:
        return _substituted(tril)
    inverse = jnp.eye(dim, dtype=tril.dtype) / jnp.diagonal(tril, axis1=-2, axis2=-1)[..., None, :]
    place, size = np.arange(dim), 1
    while size < dim:
        block, half = place // (2 * size), place // size
        joins = (block[:, None] == block) & (half[:, None] > half)
        inverse = inverse - matmul(matmul(inverse, jnp.where(joins, tril, 0.0)), inverse)
        size *= 2
    return inverse


def _substituted(tril: Float[Array, "*b D D"]) -> Float[Array, "*b D D"]:
    rows: list[list[Array]] = []
    for i in range(tril.shape[-1]):
        pivot = 1.0 / tril[..., i, i]
        rest = [-pivot * sum(tril[..., i, e] * rows[e][j] for e in range(j, i)) for j in range(i)]
        rows.append([*rest, pivot])
    return _lower(rows)


def _lower(rows: list[list[Array]]) -> Float[Array, "*b D D"]:
    """The lower-triangular matrix with these rows, given element by element."""
    zero = jnp.zeros_like(rows[0][0])
    return jnp.stack([jnp.stack(row + [zero] * (len(rows) - len(row)), axis=-1) for row in rows], axis=-2)


def log_diagonal_sum(tril: Float[Array, "*b D E"]) -> Float[Array, "*b"]:
    """``log |L|`` of a lower-triangular L with positive diagonal: half of ``log |L Lᵀ|``."""
    if is_column(tril):
        return jnp.sum(jnp.log(tril[..., 0]), axis=-1)
    return jnp.sum(jnp.log(jnp.diagonal(tril, axis1=-2, axis2=-1)), axis=-1)


def is_column(matrix: Float[Array, "*b D E"]) -> bool:
    """Whether a matrix is held as its diagonal, a column (D, 1): so a diagonal matrix needs no D² numbers.

    `inverse_tril`, `log_diagonal_sum` and `congruence` take such columns. With one feature both are the same.
    """
    return matrix.shape[-1] == 1


def all_diagonal(matrices: np.ndarray) -> bool:
    """Whether matrices on the host are diagonal, of more than `FEW` features, so that it matters."""
    diagonals = np.diagonal(matrices, axis1=-2, axis2=-1)
    return matrices.shape[-1] > FEW and bool(np.count_nonzero(matrices) == np.count_nonzero(diagonals))


def column(matrix: Float[Array, "*b D E"]) -> Float[Array, "*b D 1"]:
    """The diagonal as a column."""
    return matrix if is_column(matrix) else jnp.diagonal(matrix, axis1=-2, axis2=-1)[..., None]


def full(matrix: Float[Array, "*b D E"]) -> Float[Array, "*b D D"]:
    """The matrix itself, also of one that is held as a column."""
    dim = matrix.shape[-2]
    return matrix * jnp.eye(dim, dtype=matrix.dtype) if is_column(matrix) and dim > 1 else matrix


def congruence(factor: Float[Array, "*b D E"], matrix: Float[Array, "*b D E"]) -> Float[Array, "*b D E"]:
    """``F M Fᵀ`` for each pair of the batch; both may be columns."""
    if is_column(factor):
        return jnp.square(factor) * matrix
    return matmul(matmul(factor, matrix), transposed(factor))


def outer(vector: Float[Array, "*b D"]) -> Float[Array, "*b D D"]:
    """``v vᵀ`` for each vector of the batch."""
    return vector[..., :, None] * vector[..., None, :]


def gram(matrix: Float[Array, "*b D E"]) -> Float[Array, "*b D D"]:
    """``M Mᵀ`` for each matrix of the batch."""
    return matmul(matrix, transposed(matrix))


def root_of(matrices: np.ndarray) -> np.ndarray:
    """R with ``R Rᵀ`` the given matrices (NumPy), symmetric and positive semi-definite, that may be singular."""
    values, vectors = np.linalg.eigh(0.5 * (matrices + matrices.swapaxes(-1, -2)))
    return vectors * np.sqrt(np.maximum(values, 0.0))[..., None, :]


def fault_of_matrix(name: str, matrix: np.ndarray) -> str | None:
    """Why matrices (NumPy, finite) cannot be covariances; None if they can be. Units of the features do not matter."""
    variances = np.diagonal(matrix, axis1=-2, axis2=-1)
    if (variances <= 0).any():
        return f"the {name} is not positive definite"
    size = np.sqrt(variances)
    correlations = matrix / size[..., :, None] / size[..., None, :]
    if (np.abs(correlations - correlations.swapaxes(-1, -2)) > 1e-6).any():
        return f"the {name} is not symmetric"
    try:
        np.linalg.cholesky(correlations)
    except np.linalg.LinAlgError:
        return f"the {name} is not positive definite"
    return None
