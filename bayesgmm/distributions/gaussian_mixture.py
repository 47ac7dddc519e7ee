"""The Gaussian mixture as a distribution of NumPyro, to be a part of larger models."""

import copy
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import numpyro.distributions as dist
from jax import lax
from jaxtyping import Float
from numpyro.distributions import constraints
from numpyro.distributions.util import clamp_probs, lazy_property, validate_sample

from bayesgmm.distributions.arguments import (
    MATRICES,
    Shape,
    alike,
    array,
    broadcast,
    floats,
    of_class,
    one_of,
    shapes_of,
    tril_of_precision,
)
from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import cholesky, gram, inverse_tril, outer, transposed
from bayesgmm.sweep.batches import over_batches
from bayesgmm.sweep.densities import log_densities, normalised, scores_of_rows


class _Derived(lazy_property):
    """What follows from the arguments, computed when it is asked for. It is not kept, so the pytree stays the same."""

    def __get__(self, instance: Any, obj_type: Any = None) -> Any:
        return self if instance is None else self.wrapped(instance)


class GaussianMixture(dist.Distribution):
    r"""A mixture of K Gaussians in D dimensions, with z integrated out: ``p(x) = Σ_k π_k N(x; μ_k, Σ_k)``.

    As ``MixtureSameFamily(Categorical(weights), MultivariateNormal(means, ...))``, with the same log density and
    derivatives, but faster: value and gradient of many rows take one pass over the rows each.

    Leading axes are batches and broadcast. Components without a batch are scored once, however many batches the weights
    have. Rows with the same components form one product of matrices.

    Parameters
    ----------
    weights
        (…, K), on the simplex. Or give ``logits``.
    means
        (…, K, D), in the units of the data.
    covariance_matrix, precision_matrix, scale_tril
        Exactly one, (…, K, D, D), or (…, 1, D, D) for all components: covariances, their inverses, or their lower
        Cholesky factors.
    logits
        (…, K), logs of the weights up to a constant.
    validate_args
        Whether values are checked too, as in all distributions of NumPyro.

    Raises
    ------
    ArgumentError
        If not exactly one of ``weights`` and ``logits``, or of the three matrices, is given; if shapes do not match;
        and with ``validate_args``, if weights are not on the simplex, or matrices not positive definite. It is a
        ``ValueError``.
    """

    arg_constraints = {  # noqa: RUF012 - as in NumPyro
        "weights": constraints.simplex, "logits": constraints.real_vector, "means": constraints.real_matrix,
        "covariance_matrix": constraints.independent(constraints.positive_definite, 1),
        "precision_matrix": constraints.independent(constraints.positive_definite, 1),
        "scale_tril": constraints.independent(constraints.lower_cholesky, 1),
    }  # fmt: skip
    support: Any = constraints.real_vector  # pyright: ignore[reportIncompatibleMethodOverride]
    pytree_data_fields = ("weights", "logits", "means", "scale_tril")
    means: Any
    scale_tril: Any

    def __init__(
        self,
        weights: Any = None,
        means: Any = None,
        covariance_matrix: Any = None,
        precision_matrix: Any = None,
        scale_tril: Any = None,
        *,
        logits: Any = None,
        validate_args: bool | None = None,
    ):
        mixing = one_of(weights=weights, logits=logits)
        matrices = one_of(covariance_matrix=covariance_matrix, precision_matrix=precision_matrix, scale_tril=scale_tril)
        (self.means,) = one_of(means=means).values()
        for name, part in (mixing | matrices).items():
            setattr(self, name, part)
        given = mixing | matrices | {"means": self.means}
        batch, event = shapes_of({name: np.shape(part) for name, part in given.items()})
        if "covariance_matrix" in matrices:
            self.scale_tril = cholesky(floats(self.covariance_matrix))
        elif "precision_matrix" in matrices:
            self.scale_tril = tril_of_precision(floats(self.precision_matrix))
        super().__init__(batch, event, validate_args=validate_args)

    def validate_args(self, strict: bool = True) -> None:
        """Check the values of the arguments, where they are known.

        Raises
        ------
        ArgumentError
            If weights are not on the simplex, or matrices not positive definite.
        """
        try:
            super().validate_args(strict)
        except ValueError as problem:
            raise ArgumentError(
                f"{problem} Weights must be at least 0 and sum to 1, means and logits be finite, covariances and "
                "precisions symmetric and positive definite, and scale_tril lower triangular with a diagonal above 0."
            ) from None

    def get_args(self) -> dict[str, Any]:
        """The arguments that were given, in the precision of the computation."""
        return {name: floats(value) for name, value in super().get_args().items()}

    @classmethod
    def infer_shapes(cls, *args: Any, **kwargs: Any) -> tuple[Shape, Shape]:
        """Batch and event shape, from the shapes of the arguments of the constructor."""
        names = ("weights", "means", *MATRICES)
        given = dict(zip(names, args, strict=False)) | kwargs
        return shapes_of({name: tuple(shape) for name, shape in given.items() if shape is not None})

    @_Derived
    def weights(self) -> Array:
        """Weights (…, K)."""
        return jax.nn.softmax(floats(self.logits), axis=-1)

    @_Derived
    def logits(self) -> Array:
        """Logs of the weights (…, K)."""
        return jnp.log(clamp_probs(floats(self.weights)))

    @_Derived
    def covariance_matrix(self) -> Array:
        """Covariances of the components (…, K, D, D); `covariance` is that of the mixture."""
        return gram(floats(self.scale_tril))

    @_Derived
    def precision_matrix(self) -> Array:
        """Inverse covariances of the components (…, K, D, D)."""
        return gram(transposed(inverse_tril(floats(self.scale_tril))))

    @property
    def mixture_size(self) -> int:
        """Number of components K."""
        return np.shape(self.means)[-2]

    @property
    def mixing_distribution(self) -> dist.Distribution:
        """The ``Categorical`` of the class z, as in ``MixtureSameFamily``."""
        return dist.CategoricalLogits(self._log_weights)

    @property
    def component_distribution(self) -> dist.MultivariateNormal:
        """The Gaussians of all components; the components are its last batch axis."""
        return dist.MultivariateNormal(floats(self.means), scale_tril=floats(self.scale_tril))

    @property
    def _log_weights(self) -> Array:
        return jax.nn.log_softmax(self.logits, axis=-1)

    def expand(self, batch_shape: Any) -> "GaussianMixture":
        """The same mixture with this batch shape; nothing is copied.

        Raises
        ------
        ArgumentError
            If the batch shape does not broadcast to it.
        """
        batch_shape = tuple(batch_shape)
        if broadcast("batch_shape", self.batch_shape, batch_shape) != batch_shape:
            raise ArgumentError(f"A mixture of batch shape {self.batch_shape} cannot be expanded to {batch_shape}.")
        expanded = copy.copy(self)
        expanded._batch_shape = batch_shape
        return expanded

    def log_prob(self, value: Any, intermediates: Any = None) -> Array:
        """Log density of the rows (…, D): shape (…), the axes before D broadcast with the batch shape.

        Raises
        ------
        ArgumentError
            If a value has another number of features than the mixture, or batches do not match.
        """
        del intermediates
        return self._log_density(array("value", value))

    @validate_sample
    def _log_density(self, value: Any) -> Array:
        x, batch = self._rows(value)
        if self._scored(x) == batch:
            log_weights, means, trils, x = alike(self._log_weights, self.means, self.scale_tril, x)
            return over_batches(log_densities, log_weights, means, trils, x, batch)
        return normalised(jnp.moveaxis(self._log_joint(x), -1, 0))[1]  # several weights share rows

    def class_probabilities(self, value: Any) -> Float[Array, "..."]:
        """``P(z = k | x)`` of the rows (…, D): shape (…, K). Raises `ArgumentError` as `log_prob` does."""
        return jax.nn.softmax(self._log_joint(value), axis=-1)

    def sample_classes(self, key: Any, value: Any) -> Array:
        """A draw of the class of each row (…, D) given the row: integers (…), as ``infer_discrete`` draws them.

        Raises `ArgumentError` as `log_prob` does.
        """
        return jr.categorical(key, self._log_joint(value), axis=-1)

    def sample(self, key: Any, sample_shape: Shape = ()) -> Array:
        """Rows of the shape ``sample_shape + batch_shape + (D,)``."""
        return self.sample_with_intermediates(key, sample_shape)[0]

    def sample_with_intermediates(self, key: Any, sample_shape: Shape = ()) -> tuple[Array, list[Array]]:
        """As `sample`, and a list of the classes of the rows, as ``MixtureSameFamily`` returns them."""
        key_z, key_x = jr.split(key)
        shape = tuple(sample_shape) + self.batch_shape
        z = jr.categorical(key_z, self._log_weights, axis=-1, shape=shape)
        means, trils = (floats(part) for part in (self.means, self.scale_tril))
        noise = jr.normal(key_x, shape + self.event_shape, means.dtype)
        moved = jnp.einsum("...de,...e->...d", of_class(trils, z, 2), noise, precision=lax.Precision.HIGHEST)
        return of_class(means, z, 1) + moved, [z]

    @property
    def mean(self) -> jax.Array:
        """Mean of the mixture, (…, D)."""
        return jnp.broadcast_to(jnp.einsum("...k,...kd->...d", *self._weighted), self.batch_shape + self.event_shape)

    @property
    def variance(self) -> jax.Array:
        """Variances of the mixture, (…, D): the diagonal of its `covariance`."""
        return jnp.diagonal(self.covariance, axis1=-2, axis2=-1)

    @property
    def covariance(self) -> Array:
        """Covariance of the mixture, (…, D, D): within and between the components."""
        weights, means = self._weighted
        apart = means - self.mean[..., None, :]
        parts = gram(floats(self.scale_tril)) + outer(apart)
        return jnp.einsum("...k,...kde->...de", weights, parts)

    @property
    def _weighted(self) -> tuple[Array, Array]:
        return floats(self.weights), floats(self.means)

    def _rows(self, value: Any) -> tuple[Array, Shape]:
        """The value as rows, and the shape of its log density."""
        x = floats(array("value", value))
        if x.shape[-1:] != self.event_shape:
            raise ArgumentError(
                f"value has shape {x.shape}; its last axis must have the {self.event_shape[0]} features."
            )
        return x, broadcast("value", x.shape[:-1], self.batch_shape)

    def _scored(self, x: Array) -> Shape:
        """Shape of the rows that differ in their scores, weights apart."""
        return np.broadcast_shapes(x.shape[:-1], np.shape(self.means)[:-2], np.shape(self.scale_tril)[:-3])

    def _log_joint(self, value: Any) -> Array:
        """``log p(x, z = k)``, (…, K)."""
        x, batch = self._rows(value)
        log_weights, means, trils, x = alike(self._log_weights, self.means, self.scale_tril, x)
        scores = over_batches(scores_of_rows, None, means, trils, x, self._scored(x))
        return jnp.broadcast_to(scores + log_weights, (*batch, self.mixture_size))
