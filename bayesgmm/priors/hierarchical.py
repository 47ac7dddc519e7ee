"""A prior with independent means and covariances whose inverse-Wishart scale has a prior too."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jax.scipy.special import multigammaln
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.errors import PriorError
from bayesgmm.model.families import Family
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, fault_of_matrix, gram, inverse_tril, log_diagonal_sum, outer, transposed
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.hyperparameters import describe_components, in_full
from bayesgmm.priors.inverse_wishart import sample_inverse_wishart
from bayesgmm.priors.normal_means import normal_constant
from bayesgmm.priors.semiconjugate import components_log_kernel, numpyro_sites_of, sample_components
from bayesgmm.priors.semiconjugate_posterior import Independent, independent
from bayesgmm.runtime.dtypes import double_on_host
from bayesgmm.runtime.formatting import array_words, significant


class HierarchicalInverseWishart(NamedTuple):
    """``μ_k ~ N(loc, covariance)``, ``Σ_k ~ IW(df, C)``, and one common ``C ~ Wishart(hyper_df, hyper_scale)``.

    The scale of the covariances is learnt from the data: components have similar sizes (Richardson & Green 1997, for
    one feature; Frühwirth-Schnatter 2006, section 6.3.2, for several). Hyperparameters are in the user's units. Shapes
    are as in `NormalTimesInverseWishart`, except that ``df`` and ``hyper_df`` are numbers; ``hyper_scale`` is (D, D) or
    a number, meaning that multiple of the identity. C has the mean ``hyper_df * hyper_scale`` and needs
    ``hyper_df > D - 1``. For one feature ``σ²_k ~ IG(α, β)``, ``β ~ Gamma(g, rate h)`` is
    ``df = 2α, hyper_df = 2g, hyper_scale = 1 / h``.
    """

    loc: Any
    covariance: Any
    df: Any
    hyper_df: Any
    hyper_scale: Any

    conjugacy = Conjugacy.CONDITIONAL
    sites_are_theta = False
    common = ("hyper_df", "hyper_scale")
    """Hyperparameters without an axis of components."""

    def taken_by(self, family: Family) -> "HierarchicalInverseWishart":
        """The prior in the form that a covariance family accepts: unchanged."""
        del family
        return self

    def within(self, family: Family) -> tuple[Independent, float]:
        """The (full) prior within a covariance family, and the log of its constant."""
        return independent(self, family)

    def describe(self, family: Family) -> list[str]:
        """The prior within a family in mathematical notation, line by line."""
        del family
        df, hyper = significant(float(np.max(self.df))), significant(float(np.max(self.hyper_df)))
        own = {"loc": self.loc, "covariance": self.covariance}
        return [
            f"C ~ Wishart(df = {hyper}, scale = {array_words(self.hyper_scale)}), one for all components",
            f"Σ_k ~ inverse-Wishart(df = {df}, scale = C)",
            *describe_components(
                own, lambda name, own: [f"μ_{name} ~ N({array_words(own['loc'])}, {array_words(own['covariance'])})"]
            ),
        ]

    def numpyro_sites(self) -> tuple[Any, Any]:
        """The NumPyro sample statements of this (full) prior; returns means and Cholesky factors."""
        import numpyro
        import numpyro.distributions as dist

        wishart = dist.Wishart(self.hyper_df, scale_matrix=jnp.asarray(self.hyper_scale))
        return numpyro_sites_of(self, numpyro.sample("scale", wishart))

    def unbounded_because(self, family: Family, values: np.ndarray) -> str | None:
        """Why the posterior density of these rows has no highest mode; None if it has one.

        Integrate out the scale. Let K - 1 covariances degenerate in one direction, with standard deviation ε. The
        density is then of order ``ε^(hyper_df + K df - (K - 1)(df + D + 1) - m)``, with m the number of rows on their
        hyperplanes: each degenerate covariance reduces the scale for the others. The first hyperplane can hold D rows,
        and each parallel one can hold one row, or more if a feature has repeated values. Covariances that degenerate in
        all directions, each on one row, give no stronger condition.
        """
        if family.pooled or len(self.loc) == 1:
            return None
        num, dim = np.shape(self.loc)
        repeats = (np.unique(column, return_counts=True)[1] for column in values.T)
        on_planes = max(num + dim - 2, *(int(np.sort(counts)[1 - num :].sum()) for counts in repeats))
        needed, given = (num - 1) * (dim + 1) + on_planes, float(self.hyper_df) + float(np.min(self.df))
        if given >= needed:
            return None
        return (
            "Under this HierarchicalInverseWishart the posterior density has no highest mode. It is unbounded where "
            f"components collapse on few rows, because hyper_df + df = {given:g} is less than (K - 1)(D + 1) + "
            f"{on_planes} = {needed}: {on_planes} rows fit on K - 1 parallel hyperplanes"
        )

    @property
    def scale(self) -> Array:
        """Prior mean of the scale C, repeated for each component."""
        num = jnp.shape(self.loc)[0]
        mean = jnp.asarray(self.hyper_df) * jnp.asarray(self.hyper_scale)
        return jnp.broadcast_to(mean, (num, *jnp.shape(mean)))

    def expand(self, num_components: int, dim: int) -> "HierarchicalInverseWishart":
        """Every hyperparameter in full shape, as NumPy arrays; see `Belief.expand`."""
        k, d = num_components, dim
        df = in_full("df", self.df, (k,))
        if (df != df[0]).any() and not np.isnan(df).any():
            raise PriorError("The components of a HierarchicalInverseWishart share one df. Give one number.")
        return HierarchicalInverseWishart(
            in_full("loc", self.loc, (k, d)), in_full("covariance", self.covariance, (k, d, d)), df,
            in_full("hyper_df", self.hyper_df, (1,))[0], in_full("hyper_scale", self.hyper_scale, (1, d, d))[0],
        )  # fmt: skip

    def fault(self, variances_only: bool = False) -> str | None:
        """Why this (full) prior is not a probability distribution; None if it is one."""
        del variances_only  # diagonal families are refused
        if not all(np.isfinite(value).all() for value in self):
            return "a hyperparameter is not finite"
        wrong = fault_of_matrix("prior covariance of the means", np.asarray(self.covariance))
        hyper = np.asarray(self.hyper_scale)[None]
        if (np.asarray(self.df) <= hyper.shape[-1] - 1).any():
            return f"the inverse-Wishart needs df > D - 1 = {hyper.shape[-1] - 1}, got {np.min(self.df):g}"
        if self.hyper_df <= hyper.shape[-1] - 1:
            return f"the Wishart of the scale needs hyper_df > D - 1 = {hyper.shape[-1] - 1}, got {self.hyper_df:g}"
        return wrong or fault_of_matrix("hyper_scale", hyper)

    @double_on_host
    def sample(self, key: PRNGKeyArray, present: Params | None = None) -> Any:
        """Draw (means, Cholesky factors)."""
        del present
        return sample_components(key, self)

    @double_on_host
    def log_kernel(self, means: Array, whiteners: Array, log_diagonals: Array) -> Float[Array, ""]:
        """Log density without its constant, with C integrated out."""
        return components_log_kernel(self, means, whiteners, log_diagonals)

    @double_on_host
    def log_normaliser(self) -> Float[Array, ""]:
        """The constant of the density over (means, covariances)."""
        return normal_constant(self.covariance) + self.constant_of_scales(1.0)

    def in_units(self, frame: Frame) -> "HierarchicalInverseWishart":
        """The same prior in standardised coordinates."""
        loc, covariance, df, hyper_df, hyper_scale = self
        units = outer(frame.scale)
        loc, covariance = (loc - frame.center) / frame.scale, covariance / units
        return HierarchicalInverseWishart(loc, covariance, df, hyper_df, hyper_scale / units)

    def averaged(self) -> "HierarchicalInverseWishart":
        """The prior of one covariance for all components: unchanged."""
        return self

    def scale_given(
        self, key: PRNGKeyArray | None, precisions: Array | None, share: float, filled: Array | None = None
    ) -> Float[Array, "K D D"]:
        """C given the covariances: a draw, or the mean if there is no key.

        C ~ ``Wishart(hyper_df + K df, (hyper_scale⁻¹ + Σ_k Σ_k⁻¹)⁻¹)``; without precisions, C has its prior. The sums
        are over the components that are ``filled`` (None: all).
        """
        df, matrix = self._about_scale(precisions, share, filled)
        if key is None:
            inverse = inverse_tril(cholesky(matrix))
            return jnp.broadcast_to(df * gram(transposed(inverse)), self.scale.shape)
        factor = sample_inverse_wishart(key, df[None], matrix[None])[0]
        return jnp.broadcast_to(gram(transposed(inverse_tril(factor))), self.scale.shape)

    def log_scales(self, precisions: Array, share: float) -> Float[Array, ""]:
        """Term of the integrated-out scale in the log density of covariances with these precisions."""
        df, matrix = self._about_scale(precisions, share)
        return -df * log_diagonal_sum(cholesky(matrix))

    def constant_of_scales(self, share: float) -> Float[Array, ""]:
        """The constant of the density of the covariances, with C integrated out."""
        dim = jnp.shape(self.hyper_scale)[-1]
        df, hyper = jnp.asarray(self.df), jnp.asarray(self.hyper_df)
        total = hyper + share * jnp.sum(df)
        own = share * jnp.sum(multigammaln(0.5 * df, dim)) + multigammaln(0.5 * hyper, dim)
        return multigammaln(0.5 * total, dim) - own - hyper * log_diagonal_sum(cholesky(jnp.asarray(self.hyper_scale)))

    def _about_scale(
        self, precisions: Array | None, share: float, filled: Array | None = None
    ) -> tuple[Array, Float[Array, "D D"]]:
        inverse = gram(transposed(inverse_tril(cholesky(jnp.asarray(self.hyper_scale)))))
        hyper = jnp.asarray(self.hyper_df)
        if precisions is None:
            return hyper, inverse
        dfs = jnp.asarray(self.df)[: len(precisions)]  # all share one df, and some may be unknown yet
        if filled is not None:
            dfs, precisions = jnp.where(filled, dfs, 0.0), jnp.where(filled[:, None, None], precisions, 0.0)
        return hyper + share * jnp.sum(dfs), inverse + share * precisions.sum(axis=0)
