"""Mixtures as distributions of NumPyro, to be parts of larger models."""

from bayesgmm.distributions.gaussian_mixture import GaussianMixture as GaussianMixture
