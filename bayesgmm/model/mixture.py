"""The equations of the Gaussian mixture: one equation, one function (Bishop 2006, chapter 9).

With ``z_n ~ Categorical(weights)`` and ``x_n | z_n = k ~ N(means_k, covariances_k)``:

==========================================  ======================
``log π_k + log N(x_n; μ_k, Σ_k)``          `log_joint`
``log p(x_n) = log Σ_k π_k N(x_n; μ_k, Σ_k)``  `log_density`
``Σ_n log p(x_n)``                          `log_likelihood`
``r_nk = p(z_n = k | x_n)``                 `responsibilities`
``(z, x) ~ p(z, x | θ)``                    `sample`
==========================================  ======================

Each function is pure JAX. Use it under ``jit``, ``grad`` and ``vmap``, in the precision of its arguments. With NumPy
arrays, it computes in double precision and returns NumPy arrays; then values are checked too, not shapes alone.
"""

import math
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import logsumexp
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.model.types import Params, check_params, check_shapes
from bayesgmm.numerics.arrays import LARGEST, Array
from bayesgmm.numerics.linalg import (
    full,
    gram,
    inverse_tril,
    is_column,
    log_diagonal_sum,
    matvec,
    transposed,
)
from bayesgmm.runtime.arguments import as_floats, as_key, check_count, check_memory, shown
from bayesgmm.runtime.dtypes import double_on_host, on_device_already


class Scorer(NamedTuple):
    """The scores that determine z given θ: ``score_k(x) = offset_k - ½ |whitener_k (x - loc_k)|²``.

    The scores of every engine have this form. For EM and the samplers, it is ``log π_k + log N(x; μ_k, Σ_k)``.
    For variational Bayes, it is the expectation of this expression.
    """

    offsets: Float[Array, "K"]
    locs: Float[Array, "K D"]
    whiteners: Float[Array, "K D D"]
    trils: Float[Array, "K D D"]
    """Inverses of the whiteners, to transform whitened statistics back. Both are columns (D, 1) if diagonal."""

    def residuals(self, x: Float[Array, "D n"]) -> Float[Array, "K D n"]:
        """``y_k = whitener_k (x - loc_k)`` of a feature-major block of rows.

        Subtract first, then whiten. A difference of whitened rows would lose digits that a tight cluster needs.
        """
        apart = x[None] - self.locs[:, :, None]
        if is_column(self.whiteners):
            return self.whiteners * apart
        return jnp.einsum("kde,ken->kdn", self.whiteners, apart, precision=jax.lax.Precision.HIGHEST)

    def scores(self, residuals: Float[Array, "K D n"]) -> Float[Array, "K n"]:
        """Scores of every row under every component, from its residuals."""
        return self.offsets[:, None] - 0.5 * jnp.sum(residuals**2, axis=1)

    @property
    def full(self) -> "Scorer":
        """The same scores, with matrices."""
        return self._replace(whiteners=full(self.whiteners), trils=full(self.trils))

    def with_noise(self, log_density: Float[Array, ""]) -> "Scorer":
        """The same scores, but for the last component: it has this density everywhere.

        What its offset says of the Gaussian in its place is taken off: ``log π`` is left.
        """
        dim = self.locs.shape[-1]
        log_weights = self.offsets + log_diagonal_sum(self.trils) + 0.5 * dim * math.log(2.0 * math.pi)
        last = jnp.arange(len(self.offsets)) == len(self.offsets) - 1
        whiteners = jnp.where(last[:, None, None], 0.0, self.whiteners)
        return self._replace(offsets=jnp.where(last, log_weights + log_density, self.offsets), whiteners=whiteners)

    def separate(self) -> Float[Array, "K D2"]:
        """The same scores for diagonal whiteners, as coefficients of (1, x, x²)."""
        precisions = jnp.square(self.whiteners[..., 0])
        linear = precisions * self.locs
        constant = jnp.maximum(self.offsets, -1e30) - 0.5 * jnp.sum(linear * self.locs, axis=-1)
        return jnp.concatenate([constant[:, None], linear, -0.5 * precisions], axis=1)

    def quadratic(self) -> Float[Array, "K D1 D1"]:
        """The same scores as ``x̃ᵀ Q_k x̃`` with x̃ = (1, x)."""
        precisions = gram(transposed(self.whiteners))
        linear = matvec(precisions, self.locs)
        # A weight of zero gives -1e30, not -inf, because padding has x̃ = 0 and -inf times 0 is NaN.
        constant = jnp.maximum(self.offsets, -1e30) - 0.5 * jnp.sum(linear * self.locs, axis=-1)
        upper = jnp.concatenate([constant[:, None, None], 0.5 * linear[:, None, :]], axis=2)
        return jnp.concatenate([upper, jnp.concatenate([0.5 * linear[:, :, None], -0.5 * precisions], axis=2)], axis=1)


class PaddedScorer(NamedTuple):
    """Scores of K_max components, of which the first K have a weight above 0."""

    scorer: Scorer
    num_components: Int[Array, ""]
    """K."""


def log_joint_scorer(params: Params) -> Scorer:
    """The score ``log π_k + log N(x; μ_k, Σ_k)`` as a quadratic form in x (Bishop 2006, eq. 2.43)."""
    dim = params.means.shape[-1]
    constants = -log_diagonal_sum(params.scale_trils) - 0.5 * dim * math.log(2.0 * math.pi)
    whiteners = inverse_tril(params.scale_trils)
    return Scorer(jnp.log(params.weights) + constants, params.means, whiteners, params.scale_trils)


@double_on_host
def log_joint(params: Params, x: Float[Array, "N D"]) -> Float[Array, "N K"]:
    """``log p(x_n, z_n = k) = log π_k + log N(x_n; μ_k, Σ_k)`` for every row and component. See `checked_rows`."""
    params, x = checked_rows(params, x)
    return _log_joint(params, x)


@double_on_host
def log_density(params: Params, x: Float[Array, "N D"]) -> Float[Array, "N"]:
    """``log p(x_n) = log Σ_k π_k N(x_n; μ_k, Σ_k)``: the convex combination of Gaussians (Bishop 2006, eq. 9.7).

    Examples
    --------
    >>> import bayesgmm as bg
    >>> theta = bg.Params.of(weights=[0.4, 0.6], means=[[0.0], [3.0]], covariances=[[[1.0]], [[1.0]]])
    >>> bg.log_density(theta, [[0.0], [1.5]]).round(4)
    array([-1.8185, -2.0439])
    """
    params, x = checked_rows(params, x)
    return logsumexp(_log_joint(params, x), axis=1)


@double_on_host
def log_likelihood(params: Params, x: Float[Array, "N D"]) -> Float[Array, ""]:
    """``Σ_n log p(x_n)``: the log of a sum, so there is no closed-form maximum (Bishop 2006, eq. 9.14).

    Examples
    --------
    >>> import bayesgmm as bg
    >>> theta = bg.Params.of(weights=[0.4, 0.6], means=[[0.0], [3.0]], covariances=[[[1.0]], [[1.0]]])
    >>> round(float(bg.log_likelihood(theta, [[0.0], [1.5]])), 4)
    -3.8625
    """
    params, x = checked_rows(params, x)
    return jnp.sum(logsumexp(_log_joint(params, x), axis=1))


@double_on_host
def responsibilities(params: Params, x: Float[Array, "N D"]) -> Float[Array, "N K"]:
    """``r_nk = p(z_n = k | x_n)``: the posterior over classes, the E-step of EM (Bishop 2006, eq. 9.13).

    Examples
    --------
    >>> import bayesgmm as bg
    >>> theta = bg.Params.of(weights=[0.4, 0.6], means=[[0.0], [3.0]], covariances=[[[1.0]], [[1.0]]])
    >>> bg.responsibilities(theta, [[1.5], [3.0]]).round(3)
    array([[0.4  , 0.6  ],
           [0.007, 0.993]])
    """
    params, x = checked_rows(params, x)
    return jax.nn.softmax(_log_joint(params, x), axis=1)


@double_on_host
def sample(key: Any, params: Params, num: int) -> tuple[Int[Array, "N"], Float[Array, "N D"]]:
    """Draw `num` rows: first a class z, then x from the Gaussian of this class. ``key`` may be any seed.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> theta = bg.Params.of(weights=[0.4, 0.6], means=[[0.0], [3.0]], covariances=[[[1.0]], [[1.0]]])
    >>> z, x = bg.sample(0, theta, 5)
    >>> z.shape, x.shape
    ((5,), (5, 1))
    """
    num = check_count("num", num, least=0)
    params = checked(params, on_device_already(params))
    check_memory(f"{num} rows of {params.means.shape[-1]} features", 8.0 * num * params.means.shape[-1])
    return draw_rows(as_key(key), params, num)


def draw_rows(key: PRNGKeyArray, params: Params, num: int) -> tuple[Int[Array, "N"], Float[Array, "N D"]]:
    """As `sample`, without checks."""
    key_z, key_x = jr.split(key)
    z = jr.categorical(key_z, jnp.log(params.weights), shape=(num,))
    noise = jr.normal(key_x, (num, params.means.shape[-1]), params.means.dtype)
    return z, params.means[z] + jnp.einsum("nde,ne->nd", params.scale_trils[z], noise)


def _log_joint(params: Params, x: Float[Array, "N D"]) -> Float[Array, "N K"]:
    scorer = log_joint_scorer(params)
    return scorer.scores(scorer.residuals(x.T)).T


def checked(params: Params, device: bool) -> Params:
    """One θ as arrays of JAX: on the host, shapes and values are checked; elsewhere, shapes.

    Raises
    ------
    ArgumentError
        If θ is impossible, or there are several.
    """
    if not isinstance(params, Params):
        raise ArgumentError(f"params must be a bayesgmm.Params, got {shown(params)}.")
    params = params if device else check_params(params)
    params = Params(*(
        part if isinstance(part, jax.Array) else jnp.asarray(as_floats(name, part))
        for name, part in params._asdict().items()
    ))  # fmt: skip
    check_shapes(params.weights.shape, params.means.shape, params.scale_trils.shape)
    if params.weights.ndim != 1:
        raise ArgumentError(f"params must hold one θ, got leading axes {params.weights.shape[:-1]}. Use jax.vmap.")
    return params


def checked_rows(params: Params, x: Any) -> tuple[Params, Float[Array, "N D"]]:
    """One θ, and rows with its features, as arrays of JAX; see `checked`.

    Raises
    ------
    ArgumentError, DataError
        If θ is impossible, x does not have its features, or a row on the host is not finite or too large to square.
    """
    device = on_device_already((params, x))
    params = checked(params, device)
    rows = x if isinstance(x, jax.Array) else as_floats("x", x, DataError)
    if rows.ndim != 2 or rows.shape[1] != params.means.shape[1]:
        raise DataError(f"x must have the shape (N, {params.means.shape[1]}), got {rows.shape}.")
    if isinstance(rows, np.ndarray) and not np.isfinite(rows).all():
        raise DataError("x must be finite, but holds NaN or infinite values.")
    if isinstance(rows, np.ndarray) and rows.size and np.abs(rows).max() >= LARGEST:
        raise DataError(f"x has a value of size {np.abs(rows).max():.3g}, whose square exceeds double precision.")
    return params, jnp.asarray(rows, params.means.dtype if device else None)
