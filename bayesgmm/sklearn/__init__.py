"""Estimators for scikit-learn: the parameters, attributes and answers of ``sklearn.mixture``, and more inferences."""

try:
    import sklearn as _sklearn
except ImportError as error:
    raise ImportError(
        "bayesgmm.sklearn needs scikit-learn 1.9 or newer, which is not installed: pip install 'bayesgmm[sklearn]'."
    ) from error

from bayesgmm.sklearn.bayesian_mixture import BayesianGaussianMixture as BayesianGaussianMixture
from bayesgmm.sklearn.gaussian_mixture import GaussianMixture as GaussianMixture

del _sklearn
__all__ = ["BayesianGaussianMixture", "GaussianMixture"]
