"""Permanents of non-negative matrices: sums over all permutations without K! terms."""

from itertools import combinations

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesgmm.numerics.arrays import Array

LARGEST = 12
"""Largest matrix: it takes 24,576 products."""


def log_permanents(logs: Float[Array, "*b K K"]) -> Float[Array, "*b"]:
    """``log Σ_ρ Π_k M[k, ρ(k)]`` of matrices given by their logs; -∞ where no permutation has a positive product.

    Row by row, the sum over the first m rows is kept for each set of m columns: ``f(S) = Σ_{j∈S} f(S∖j) M[m, j]``. All
    terms are positive, so that no digits cancel, as they do in Ryser's formula. Rows and columns are scaled first. A
    permanent below 1e-308 times the product of the scales is 0.
    """
    num = logs.shape[-1]
    rows = _finite(jnp.max(logs, axis=-1, keepdims=True))
    columns = _finite(jnp.max(logs - rows, axis=-2, keepdims=True))
    matrix = jnp.moveaxis(jnp.exp(logs - rows - columns), (-2, -1), (0, 1))
    sums = jnp.ones((1, *matrix.shape[2:]), matrix.dtype)
    for row, (before, added) in zip(range(num), _sets(num), strict=True):
        sums = jnp.sum(sums[before] * matrix[row][added], axis=1)
    return jnp.log(sums[0]) + jnp.sum(rows, axis=(-2, -1)) + jnp.sum(columns, axis=(-2, -1))


def _finite(scales: Array) -> Array:
    return jnp.where(jnp.isfinite(scales), scales, 0.0)


def _sets(num: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """For each size, the sets of columns: the places of their subsets with one column less, and those columns."""
    found: list[tuple[np.ndarray, np.ndarray]] = []
    places: dict[tuple[int, ...], int] = {(): 0}
    for size in range(1, num + 1):
        sets = list(combinations(range(num), size))
        less = [[places[tuple(c for c in one if c != out)] for out in one] for one in sets]
        found.append((np.array(less), np.array(sets)))
        places = {one: place for place, one in enumerate(sets)}
    return found
