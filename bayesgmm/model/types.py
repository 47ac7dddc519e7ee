"""The values that the layers exchange: pytrees, so ``vmap``, ``scan`` and ``shard`` work."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import fault_of_matrix, gram
from bayesgmm.runtime.arguments import as_floats, shown


class Params(NamedTuple):
    """θ: the parameters of a Gaussian mixture. Leading axes ``*b`` are draws, chains or starts."""

    weights: Float[Array, "*b K"]
    means: Float[Array, "*b K D"]
    scale_trils: Float[Array, "*b K D D"]
    """Lower Cholesky factors of the covariances."""

    def _repr_html_(self) -> str:
        """For Jupyter: a row per component with weight, means and standard deviations; shapes of several θ."""
        import pandas as pd

        from bayesgmm.runtime.formatting import as_html

        *batch, num, dim = np.shape(self.means)
        if batch:
            title = f"Params: {' × '.join(map(str, batch))} θ of {num} components and {dim} features"
            return as_html(title, pd.DataFrame({"shape": [str(np.shape(part)) for part in self]}, index=self._fields))
        sds = np.sqrt((np.asarray(self.scale_trils) ** 2).sum(axis=-1))
        columns = {
            f"{what}[x{d}]": values[:, d]
            for d in range(dim)
            for what, values in (("mean", np.asarray(self.means)), ("sd", sds))
        }
        frame = pd.DataFrame({"weight": np.asarray(self.weights), **columns})
        return as_html(f"Params: {num} components, {dim} features", frame.rename_axis("component"))

    @property
    def covariances(self) -> Float[Array, "*b K D D"]:
        """Σ_k = L_k L_kᵀ."""
        trils = self.scale_trils
        return trils @ trils.swapaxes(-1, -2) if isinstance(trils, np.ndarray) else gram(trils)

    @property
    def diagonal(self) -> "Params":
        """The same θ without correlations, each factor as a column (D, 1): for passes over the rows.

        The column has standard deviations, so that a start whose covariances are not diagonal keeps its variances.
        """
        trils = self.scale_trils
        sds = trils if trils.shape[-1] == 1 else jnp.sqrt(jnp.sum(jnp.square(trils), axis=-1))[..., None]
        return self._replace(scale_trils=sds)

    @classmethod
    def of(cls, weights, means, covariances) -> "Params":
        """Build θ from covariance matrices (NumPy; shapes ``(K,)``, ``(K, D)``, ``(K, D, D)``).

        Raises
        ------
        ArgumentError
            If the shapes do not match, a value is not finite, the weights are negative or do not sum to 1, or a
            covariance is not symmetric and positive definite.
        """
        weights, means = as_floats("weights", weights), as_floats("means", means)
        covariances = as_floats("covariances", covariances)
        check_shapes(weights.shape, means.shape, covariances.shape)
        if not np.isfinite(covariances).all():
            raise ArgumentError("params must be finite: a covariance is NaN or infinite.")
        fault = fault_of_matrix("matrix of a component", covariances)
        if fault is not None:
            raise ArgumentError(f"Covariances must be symmetric and positive definite, but {fault}.")
        return check_params(cls(weights, means, np.linalg.cholesky(covariances)))


def check_params(params: Params) -> Params:
    """θ on the host as arrays, or an `ArgumentError` if its shapes or values are impossible."""
    if not isinstance(params, Params):
        raise ArgumentError(f"params must be a bayesgmm.Params, got {shown(params)}.")
    weights, means, trils = (as_floats(name, part) for name, part in params._asdict().items())
    check_shapes(weights.shape, means.shape, trils.shape)
    if not all(np.isfinite(part).all() for part in (weights, means, trils)):
        raise ArgumentError("params must be finite: a weight, mean or covariance is NaN or infinite.")
    if (weights < 0).any() or (np.abs(weights.sum(axis=-1) - 1.0) > 1e-5).any():
        total = np.asarray(weights.sum(axis=-1)).flat[0]
        raise ArgumentError(f"The weights must not be negative and must sum to 1; they sum to {total:.6g}.")
    if (np.diagonal(trils, axis1=-2, axis2=-1) <= 0).any() or np.triu(trils, 1).any():
        raise ArgumentError("scale_trils must be lower triangular, with a diagonal above 0. See Params.of.")
    return Params(weights, means, trils)


def check_shapes(weights: tuple[int, ...], means: tuple[int, ...], trils: tuple[int, ...]) -> None:
    """Refuse shapes that are not those of one θ, or of several with the same leading axes."""
    fits = len(means) >= 2 and all(means[-2:]) and weights == means[:-1] and trils == (*means, means[-1])
    if not fits:
        raise ArgumentError(
            "Weights, means and covariances must have the shapes (K,), (K, D) and (K, D, D), got "
            f"{weights}, {means} and {trils}."
        )


class Stats(NamedTuple):
    """Sufficient statistics: all that an engine gets from one pass over the data."""

    counts: Float[Array, "K"]
    """Σ_n z_nk: the (expected) number of rows in each component."""
    means: Float[Array, "K D"]
    """Mean row of each component."""
    scatters: Float[Array, "K D D"]
    """Scatter of each component about its mean."""
    value: Float[Array, ""]
    """Objective of the pass: the log-likelihood, or the classification log-likelihood if z was maximised."""


class Frame(NamedTuple):
    """Standardised coordinates ``(x - center) / scale``, in which the engines compute."""

    center: Float[Array, "D"]
    scale: Float[Array, "D"]

    @classmethod
    def around(cls, center: np.ndarray, scale: np.ndarray) -> "Frame":
        """A frame near this center and scale with exact arithmetic.

        The scale is a power of 2, and the center is a multiple of the scale. Then ``(x - center) / scale`` is exact,
        unless x has digits below the precision of the center. Data near 0 may have such digits; their center is 0.
        """
        scale = np.exp2(np.round(np.log2(scale)))
        steps = np.round(center / scale)
        return cls(scale * np.where(np.abs(steps) <= 2.0, 0.0, steps), scale)  # pyright: ignore[reportArgumentType]

    def rows(self, values: np.ndarray) -> np.ndarray:
        """Rows (N, D) in the user's units → standardised rows."""
        return (values - self.center) / self.scale

    def standardise(self, params: Params) -> Params:
        """θ in the user's units → θ in standardised coordinates."""
        means = (params.means - self.center) / self.scale
        return Params(params.weights, means, params.scale_trils / self.scale[:, None])

    def restore(self, params: Params) -> Params:
        """θ in standardised coordinates → θ in the user's units (the factor stays lower triangular)."""
        means = params.means * self.scale + self.center
        return Params(params.weights, means, params.scale_trils * self.scale[:, None])

    @property
    def log_volume(self) -> Float[Array, ""]:
        """``log |d user / d standardised|``: subtract it from a log density of one row to get the user's units."""
        xp = np if isinstance(self.scale, np.ndarray) else jnp
        return xp.asarray(xp.log(self.scale).sum())
