"""scikit-learn's own tests of its mixtures, from the installed package, with our estimators in their place."""

import importlib.util

import numpy as np
import pytest

pytest.importorskip("sklearn", minversion="1.9")

import sklearn.mixture

from bayesgmm.sklearn import BayesianGaussianMixture, GaussianMixture

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning", "ignore::RuntimeWarning", "ignore::DeprecationWarning"
)

LEFT_OUT = {
    "test_suffstat_sk_full": "private functions of scikit-learn, no estimator",
    "test_suffstat_sk_tied": "private functions of scikit-learn, no estimator",
    "test_suffstat_sk_diag": "private functions of scikit-learn, no estimator",
    "test_gaussian_suffstat_sk_spherical": "private functions of scikit-learn, no estimator",
    "test_compute_log_det_cholesky": "private functions of scikit-learn, no estimator",
    "test_gaussian_mixture_log_probabilities": "private functions of scikit-learn, no estimator",
    "test_gaussian_mixture_estimate_log_prob_resp": "a private method that we do not call",
    "test_log_dirichlet_norm": "private functions of scikit-learn, no estimator",
    "test_log_wishart_norm": "private functions of scikit-learn, no estimator",
    "test_gaussian_mixture_all_init_does_not_estimate_gaussian_parameters": "counts calls of a private function",
    "test_gaussian_mixture_setting_best_params": "a component on one point, whose variance there is a rounding error above 0",
    "test_gaussian_mixture_array_api_compliance": "arrays of other libraries are converted; we do not claim to keep them",
    "test_gaussian_mixture_raises_where_array_api_not_implemented": "as above",
}


def _load(name: str):
    """A copy of a module of their tests, in which their package has our estimators."""
    spec = importlib.util.find_spec(f"sklearn.mixture.tests.{name}")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    with pytest.MonkeyPatch.context() as patch:
        for ours in (GaussianMixture, BayesianGaussianMixture):
            patch.setattr(sklearn.mixture, ours.__name__, ours)
        spec.loader.exec_module(module)
    return module


def _tests():
    for module in map(_load, ("test_gaussian_mixture", "test_bayesian_mixture", "test_mixture")):
        for name, test in vars(module).items():
            if name.startswith("test_") and name not in LEFT_OUT:
                short = module.__name__.rsplit(".", 1)[-1].removeprefix("test_")
                yield f"test_{short}__{name.removeprefix('test_')}", test


globals().update(_tests())


@pytest.fixture
def global_random_seed():
    return 42


@pytest.fixture(params=[np.float64, np.float32], ids=["float64", "float32"])
def global_dtype(request):
    return request.param
