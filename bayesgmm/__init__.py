"""One Gaussian mixture, every inference, side by side."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesgmm.calibration import Calibration, calibrate
    from bayesgmm.cavi import VariationalPosterior, fit_cavi
    from bayesgmm.comparison import Comparison, compare
    from bayesgmm.conjugate import Dirichlet, NormalInverseWishart, Prior
    from bayesgmm.datasets import load_dataset
    from bayesgmm.em import fit_em
    from bayesgmm.forward import sample_prior
    from bayesgmm.gibbs import sample_gibbs
    from bayesgmm.laplace import LaplacePosterior, fit_laplace
    from bayesgmm.mixture import log_density, log_joint, log_likelihood, responsibilities, sample
    from bayesgmm.model import gaussian_mixture
    from bayesgmm.nuts import sample_nuts
    from bayesgmm.posterior import Posterior
    from bayesgmm.problem import default_prior
    from bayesgmm.results import MixtureFit
    from bayesgmm.selection import FitTable, fit_table
    from bayesgmm.separated import HalfNormal, LogNormal, NormalTimesLKJ
    from bayesgmm.svi import StochasticPosterior, fit_svi
    from bayesgmm.types import Params
    from bayesgmm.wishart import HierarchicalInverseWishart, NormalInverseGamma, NormalTimesInverseWishart

__version__ = "0.1.0"

_HOME = {
    "calibration": ("Calibration", "calibrate"),
    "cavi": ("VariationalPosterior", "fit_cavi"),
    "comparison": ("Comparison", "compare"),
    "conjugate": ("Dirichlet", "NormalInverseWishart", "Prior"),
    "datasets": ("load_dataset",),
    "em": ("fit_em",),
    "forward": ("sample_prior",),
    "gibbs": ("sample_gibbs",),
    "laplace": ("LaplacePosterior", "fit_laplace"),
    "mixture": ("log_density", "log_joint", "log_likelihood", "responsibilities", "sample"),
    "model": ("gaussian_mixture",),
    "nuts": ("sample_nuts",),
    "problem": ("default_prior",),
    "posterior": ("Posterior",),
    "results": ("MixtureFit",),
    "selection": ("FitTable", "fit_table"),
    "separated": ("HalfNormal", "LogNormal", "NormalTimesLKJ"),
    "svi": ("StochasticPosterior", "fit_svi"),
    "types": ("Params",),
    "wishart": ("HierarchicalInverseWishart", "NormalInverseGamma", "NormalTimesInverseWishart"),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

__all__ = [  # noqa: RUF022 - in the order of the workflow
    "load_dataset", "compare", "Comparison", "fit_em", "fit_table", "FitTable", "fit_cavi", "fit_svi", "fit_laplace",
    "sample_gibbs", "sample_nuts", "sample_prior", "calibrate", "Calibration", "MixtureFit", "Posterior",
    "VariationalPosterior", "StochasticPosterior", "LaplacePosterior", "Prior", "Dirichlet", "NormalInverseWishart",
    "NormalInverseGamma", "NormalTimesInverseWishart", "HierarchicalInverseWishart", "NormalTimesLKJ", "HalfNormal",
    "LogNormal", "default_prior", "gaussian_mixture", "Params", "log_joint", "log_density", "log_likelihood",
    "responsibilities", "sample",
]  # fmt: skip


def __getattr__(name: str):
    """Load a public name when it is first used, so that ``import bayesgmm`` stays light."""
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"bayesgmm.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'bayesgmm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
