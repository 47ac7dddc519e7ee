"""Priors of means apart from covariances, with inverse-Wishart covariances, as users write them.

The scale of the inverse-Wishart is given (`NormalTimesInverseWishart`), or unknown too (`HierarchicalInverseWishart`): EM then
takes its expectation, Gibbs draws it, and gradients follow the density with the scale summed out. What becomes of these priors
once rows are seen is in `bayesgmm.priors.semiconjugate_posterior`.
"""

import math
from typing import Any, NamedTuple

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax.scipy.special import multigammaln
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.errors import PriorError
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, gram, inverse_tril, log_diagonal_sum, matvec, outer, transposed
from bayesgmm.priors.hyperparameters import fault_of_inverse_wishart, fault_of_matrix, in_full
from bayesgmm.priors.normal_inverse_wishart import NormalInverseWishart, sample_inverse_wishart


class NormalTimesInverseWishart(NamedTuple):
    """``μ_k ~ N(loc, covariance)`` and, independently, ``Σ_k ~ IW(df, scale)``, in the user's own units.

    Shapes as in `NormalInverseWishart`; a number for ``covariance`` or ``scale`` means that multiple of the identity. With tied
    covariances there is one ``Σ ~ IW(df, scale)``. For one feature ``IW(df, scale)`` is the inverse-gamma(df / 2, scale / 2).
    """

    loc: Any
    covariance: Any
    df: Any
    scale: Any

    def expand(self, num_components: int, dim: int) -> "NormalTimesInverseWishart":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        return NormalTimesInverseWishart(
            in_full("loc", self.loc, (k, d)), in_full("covariance", self.covariance, (k, d, d)), in_full("df", self.df, (k,)),
            in_full("scale", self.scale, (k, d, d)),
        )  # fmt: skip

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (fully shaped) belief is no probability distribution; None if it is one."""
        del variances_only  # never of diagonal covariances
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        wrong = fault_of_matrix("covariance of the mean's prior", np.asarray(self.covariance))
        return wrong or fault_of_inverse_wishart(np.asarray(self.df), np.asarray(self.scale))

    def mode(self, present: Params | None = None) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """``loc`` and ``scale / (df + D + 1)``, as means and Cholesky factors."""
        del present
        counts = jnp.asarray(self.df) + (jnp.shape(self.loc)[-1] + 1.0)
        return jnp.asarray(self.loc), cholesky(self.scale / counts[:, None, None])

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Any:
        """Draw (means, Cholesky factors)."""
        del present
        return _sample(key, self)

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant."""
        return _log_kernel(self, means, whiteners, log_diagonals)

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, covariances), summed over components."""
        return normal_constant(self.covariance) + self.constant_of_scales(1.0)

    def in_units(self, frame: Frame) -> "NormalTimesInverseWishart":
        """The same prior in standardised coordinates."""
        loc, covariance, df, scale = self
        units = outer(jnp.asarray(frame.scale))
        return NormalTimesInverseWishart((loc - frame.center) / frame.scale, covariance / units, df, scale / units)

    def averaged(self) -> "NormalTimesInverseWishart":
        """One covariance has one prior: that of the average hyperparameters."""
        df, scale = np.asarray(self.df), np.asarray(self.scale)
        scale = np.broadcast_to(scale.mean(axis=0), scale.shape).copy()
        return self._replace(df=np.broadcast_to(df.mean(), df.shape).copy(), scale=scale)

    def scale_given(self, key: PRNGKeyArray | None, precisions: Array | None, share: float) -> Float[Array, "K D D"]:
        """Scale of each Σ_k: known."""
        del key, precisions, share
        return jnp.asarray(self.scale)

    def log_scales(self, precisions: Array, share: float) -> Float[Array, ""]:
        """What the scale adds to the log density of covariances with these precisions: ``-½ Σ tr(scale Σ_k⁻¹)``."""
        return -0.5 * share * jnp.sum(jnp.asarray(self.scale) * precisions)

    def constant_of_scales(self, share: float) -> Float[Array, ""]:
        """The constant of the covariances' density."""
        return share * jnp.sum(_wishart_constant(jnp.asarray(self.df), self.scale))


class HierarchicalInverseWishart(NamedTuple):
    """``μ_k ~ N(loc, covariance)``, ``Σ_k ~ IW(df, C)``, and one ``C ~ Wishart(hyper_df, hyper_scale)`` for all components.

    The scale of the covariances is learnt from the data: components resemble each other in size (Richardson & Green 1997, for
    one feature; Frühwirth-Schnatter 2006, section 6.3.2, for several). In the user's own units; shapes as in
    `NormalTimesInverseWishart`, but ``df`` is one number, as ``hyper_df`` is, and ``hyper_scale`` is (D, D) or a number,
    meaning that multiple of the identity. C has the mean ``hyper_df * hyper_scale`` and needs ``hyper_df > D - 1``. For one
    feature ``σ²_k ~ IG(α, β)``, ``β ~ Gamma(g, rate h)`` is ``df = 2α, hyper_df = 2g, hyper_scale = 1 / h``.
    """

    loc: Any
    covariance: Any
    df: Any
    hyper_df: Any
    hyper_scale: Any

    @property
    def scale(self) -> Array:
        """Mean of the scale C, for each component."""
        num = jnp.shape(self.loc)[0]
        mean = jnp.asarray(self.hyper_df) * jnp.asarray(self.hyper_scale)
        return jnp.broadcast_to(mean, (num, *jnp.shape(mean)))

    def expand(self, num_components: int, dim: int) -> "HierarchicalInverseWishart":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        df = in_full("df", self.df, (k,))
        if np.ptp(df) > 0:
            raise PriorError("The components of a HierarchicalInverseWishart share one df: give one number.")
        return HierarchicalInverseWishart(
            in_full("loc", self.loc, (k, d)), in_full("covariance", self.covariance, (k, d, d)), df,
            in_full("hyper_df", self.hyper_df, (1,))[0], in_full("hyper_scale", self.hyper_scale, (1, d, d))[0],
        )  # fmt: skip

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (fully shaped) belief is no probability distribution; None if it is one."""
        del variances_only  # never of diagonal covariances
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        wrong = fault_of_matrix("covariance of the mean's prior", np.asarray(self.covariance))
        hyper = np.asarray(self.hyper_scale)[None]
        if (np.asarray(self.df) <= hyper.shape[-1] - 1).any():
            return f"the inverse-Wishart needs df > D - 1 = {hyper.shape[-1] - 1}, got {np.min(self.df):g}"
        if self.hyper_df <= hyper.shape[-1] - 1:
            return f"the Wishart of the scale needs hyper_df > D - 1 = {hyper.shape[-1] - 1}, got {self.hyper_df:g}"
        return wrong or fault_of_matrix("hyper_scale", hyper)

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Any:
        """Draw (means, Cholesky factors)."""
        del present
        return _sample(key, self)

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant, C summed out."""
        return _log_kernel(self, means, whiteners, log_diagonals)

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, covariances)."""
        return normal_constant(self.covariance) + self.constant_of_scales(1.0)

    def in_units(self, frame: Frame) -> "HierarchicalInverseWishart":
        """The same prior in standardised coordinates."""
        loc, covariance, df, hyper_df, hyper_scale = self
        units = outer(jnp.asarray(frame.scale))
        loc, covariance = (loc - frame.center) / frame.scale, covariance / units
        return HierarchicalInverseWishart(loc, covariance, df, hyper_df, hyper_scale / units)

    def averaged(self) -> "HierarchicalInverseWishart":
        """One covariance has one prior: this one."""
        return self

    def scale_given(self, key: PRNGKeyArray | None, precisions: Array | None, share: float) -> Float[Array, "K D D"]:
        """C given the covariances: a draw, or without key its mean.

        It is ``Wishart(hyper_df + K df, (hyper_scale⁻¹ + Σ_k Σ_k⁻¹)⁻¹)``; without precisions from its own prior.
        """
        df, matrix = self._about_scale(precisions, share)
        if key is None:
            inverse = inverse_tril(cholesky(matrix))
            return jnp.broadcast_to(df * gram(transposed(inverse)), self.scale.shape)
        factor = sample_inverse_wishart(key, df[None], matrix[None])[0]
        return jnp.broadcast_to(gram(transposed(inverse_tril(factor))), self.scale.shape)

    def log_scales(self, precisions: Array, share: float) -> Float[Array, ""]:
        """What the scale, summed out, adds to the log density of covariances with these precisions."""
        df, matrix = self._about_scale(precisions, share)
        return -df * log_diagonal_sum(cholesky(matrix))

    def constant_of_scales(self, share: float) -> Float[Array, ""]:
        """The constant of the covariances' density: what is left of two Wishart integrals."""
        dim = jnp.shape(self.hyper_scale)[-1]
        df, hyper = jnp.asarray(self.df), jnp.asarray(self.hyper_df)
        total = hyper + share * jnp.sum(df)
        own = share * jnp.sum(multigammaln(0.5 * df, dim)) + multigammaln(0.5 * hyper, dim)
        return multigammaln(0.5 * total, dim) - own - hyper * log_diagonal_sum(cholesky(jnp.asarray(self.hyper_scale)))

    def _about_scale(self, precisions: Array | None, share: float) -> tuple[Array, Float[Array, "D D"]]:
        inverse = gram(transposed(inverse_tril(cholesky(jnp.asarray(self.hyper_scale)))))
        hyper = jnp.asarray(self.hyper_df)
        if precisions is None:
            return hyper, inverse
        return hyper + share * jnp.sum(jnp.asarray(self.df)), inverse + share * precisions.sum(axis=0)


class NormalInverseGamma(NamedTuple):
    """``σ²_kj ~ IG(shape, scale_j)``, ``μ_kj | σ²_kj ~ N(loc_j, σ²_kj / strength)``.

    For diagonal and spherical covariances, or one feature; spherical ones have one ``σ²_k ~ IG(shape, mean of scale)``. A fit
    carries it as what it equals there, the `NormalInverseWishart` with ``df = 2 shape`` and the diagonal ``2 scale``. Its own
    methods are those of diagonal covariances, each feature a normal-inverse-Wishart of one dimension.
    """

    loc: Any
    strength: Any
    shape: Any
    scale: Any

    def expand(self, num_components: int, dim: int) -> "NormalInverseGamma":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        return NormalInverseGamma(
            in_full("loc", self.loc, (k, d)), in_full("strength", self.strength, (k,)), in_full("shape", self.shape, (k,)),
            in_full("scale", self.scale, (k, d)),
        )  # fmt: skip

    def as_wishart(self) -> NormalInverseWishart:
        """The same belief about the variances, as a (fully shaped) `NormalInverseWishart`."""
        matrices = np.asarray(self.scale)[:, :, None] * np.eye(np.shape(self.loc)[-1])
        return NormalInverseWishart(self.loc, self.strength, 2.0 * self.shape, 2.0 * matrices)

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (fully shaped) belief is no probability distribution; None if it is one."""
        del variances_only  # always
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        wrong = [name for name in ("strength", "shape", "scale") if (np.asarray(getattr(self, name)) <= 0).any()]
        return f"NormalInverseGamma needs {' and '.join(wrong)} above 0" if wrong else None

    def update(self, stats: Stats) -> "NormalInverseGamma":
        """Conjugate update; of the scatters only the diagonals count."""
        num, dim = jnp.shape(self.loc)
        spreads = jnp.diagonal(stats.scatters, axis1=-2, axis2=-1).reshape(-1, 1, 1)
        seen = Stats(jnp.repeat(stats.counts, dim), stats.means.reshape(-1, 1), spreads, stats.value)
        loc, strength, df, scale = self._features().update(seen)
        return NormalInverseGamma(
            loc.reshape(num, dim), strength[::dim], 0.5 * df[::dim], 0.5 * scale.reshape(num, dim)
        )

    def mode(self, present: Params | None = None) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
        """Joint mode of means and variances, as means and Cholesky factors."""
        return self._joined(*self._features().mode(present))

    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Any:
        """Draw (means, Cholesky factors)."""
        return self._joined(*self._features().sample(key, present))

    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density over means and variances without its constant."""
        del log_diagonals
        ones = jnp.diagonal(whiteners, axis1=-2, axis2=-1).reshape(-1, 1, 1)
        return self._features().log_kernel(means.reshape(-1, 1), ones, -jnp.log(ones[:, 0, 0]))

    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, variances), summed over components."""
        return self._features().log_normaliser()

    def _features(self) -> NormalInverseWishart:
        """The belief about each component and feature, of one dimension."""
        dim = jnp.shape(self.loc)[-1]
        loc, scale = jnp.reshape(self.loc, (-1, 1)), jnp.reshape(self.scale, (-1, 1, 1))
        strength, shape = (jnp.repeat(jnp.asarray(value), dim) for value in (self.strength, self.shape))
        return NormalInverseWishart(loc, strength, 2.0 * shape, 2.0 * scale)

    def _joined(self, means: Array, trils: Array) -> tuple[Array, Array]:
        num, dim = jnp.shape(self.loc)
        return means.reshape(num, dim), trils.reshape(num, dim, 1) * jnp.eye(dim, dtype=trils.dtype)


def log_normal_kernel(means: Array, loc: Any, covariance: Any) -> Float[Array, ""]:
    """``Σ_k log N(μ_k | loc_k, covariance_k)`` without its constant."""
    shift = matvec(inverse_tril(cholesky(jnp.asarray(covariance))), means - loc)
    return -0.5 * jnp.sum(shift**2)


def normal_constant(covariance: Any) -> Float[Array, ""]:
    """The constant of `log_normal_kernel`."""
    dim = jnp.shape(covariance)[-1]
    return -jnp.sum(0.5 * dim * math.log(2.0 * math.pi) + log_diagonal_sum(cholesky(jnp.asarray(covariance))))


def _sample(key: PRNGKeyArray, prior: Any) -> tuple[Float[Array, "K D"], Float[Array, "K D D"]]:
    key_means, key_trils, key_scale = jr.split(key, 3)
    scale = prior.scale_given(key_scale, None, 1.0)
    trils = sample_inverse_wishart(key_trils, jnp.asarray(prior.df), scale)
    noise = jr.normal(key_means, jnp.shape(prior.loc), scale.dtype)
    return prior.loc + matvec(cholesky(jnp.asarray(prior.covariance)), noise), trils


def _log_kernel(prior: Any, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
    powers = prior.df + (means.shape[-1] + 1.0)
    scales = prior.log_scales(gram(transposed(whiteners)), 1.0)
    return log_normal_kernel(means, prior.loc, prior.covariance) + scales - jnp.sum(powers * log_diagonals)


def _wishart_constant(df: Any, scale: Any) -> Array:
    dim = jnp.shape(scale)[-1]
    log_det = 2.0 * log_diagonal_sum(cholesky(jnp.asarray(scale)))
    return 0.5 * df * (log_det - dim * math.log(2.0)) - multigammaln(0.5 * df, dim)
