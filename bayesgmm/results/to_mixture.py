"""Where mixtures come from: parameters, fits and posteriors."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params, check_params
from bayesgmm.numerics.arrays import LARGEST
from bayesgmm.results.draws_table import DrawsTable
from bayesgmm.results.mixture import Mixture
from bayesgmm.results.mixture_arguments import feature_names
from bayesgmm.results.with_noise import refuse_noise

if TYPE_CHECKING:
    from bayesgmm.results.regression import Regression


def from_parameters(weights: Any, means: Any, covariances: Any, features: Any = None) -> Mixture:
    """A mixture of given parameters: a truth, a published fit, or draws of other software.

    Parameters
    ----------
    weights, means, covariances
        Shapes (K,), (K, D) and (K, D, D), in the user's units; or draws, with the same leading axes in all three.
    features
        Names of the D features; by default x0, x1, …

    Raises
    ------
    ArgumentError
        If the shapes do not match, a value is not finite, weights are negative or do not sum to 1, a covariance is not
        symmetric and positive definite, or the features are not D different names.
    """
    params = Params.of(weights, means, covariances)
    if not params.weights.size:
        raise ArgumentError(f"There are no draws: the weights have the shape {params.weights.shape}.")
    largest = max(np.abs(params.means).max(), np.abs(params.scale_trils).max())
    if largest >= LARGEST:
        raise ArgumentError(
            f"A mean or a standard deviation has the size {largest:.3g}, whose square exceeds double precision. "
            "Use larger units."
        )
    names, named = feature_names(features, params.means.shape[-1])
    return Mixture(params, names, named)


class HasMixture(DrawsTable):
    """What a fit and a posterior can do apart from their data."""

    @cached_property
    def mixture(self) -> Mixture:
        """The fitted mixture apart from its data; of a posterior the average over its draws. See `Mixture`.

        Raises `ArgumentError` if there is a noise component.
        """
        own: Any = self
        refuse_noise(own.table, "Mixtures (marginal, conditional, regress)")
        return self._gaussians

    @property
    def _gaussians(self) -> Mixture:
        """All components as Gaussians, the noise too."""
        own: Any = self
        return Mixture(check_params(own.params), own.table.features, own.table.named)

    def marginal(self, features: Any) -> Mixture:
        """The mixture of some features. See `Mixture.marginal`."""
        return self.mixture.marginal(features)

    def conditional(self, given: Any, *, update_draws: bool = False) -> Mixture:
        """The mixture of the other features given ``{feature: value}``. See `Mixture.conditional`."""
        return self.mixture.conditional(given, update_draws=update_draws)

    def regress(self, target: Any, x: Any, on: Any = None, *, update_draws: bool = False) -> "Regression":
        """The distribution of `target` given each row of x. See `Mixture.regress`."""
        return self.mixture.regress(target, x, on, update_draws=update_draws)
