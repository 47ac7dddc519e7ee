"""One Gaussian mixture, every inference, side by side."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesgmm.calibration import Calibration, calibrate
    from bayesgmm.cavi import VariationalPosterior, fit_cavi
    from bayesgmm.checking import ModelCheck, check, prior_sensitivity
    from bayesgmm.comparison import Comparison, compare
    from bayesgmm.conjugate import Dirichlet, NormalInverseWishart, Prior
    from bayesgmm.credible_ball import CredibleBall
    from bayesgmm.crossvalidation import kfold, loo
    from bayesgmm.datasets import load_dataset
    from bayesgmm.diagnosis import Diagnosis, diagnose
    from bayesgmm.em import fit_em
    from bayesgmm.forward import sample_prior
    from bayesgmm.gibbs import sample_gibbs
    from bayesgmm.invariants import label_invariant_view
    from bayesgmm.laplace import LaplacePosterior, fit_laplace
    from bayesgmm.mixture import log_density, log_joint, log_likelihood, responsibilities, sample
    from bayesgmm.model import gaussian_mixture
    from bayesgmm.nuts import sample_nuts
    from bayesgmm.partition_agreement import PartitionDistances, partition_distances
    from bayesgmm.partition_distance import adjusted_rand, binder_distance, variation_of_information
    from bayesgmm.partitions import Partition, partition
    from bayesgmm.pit import loo_pit
    from bayesgmm.posterior import Posterior
    from bayesgmm.problem import default_prior
    from bayesgmm.relabelled import Relabelling
    from bayesgmm.relabelling import relabel
    from bayesgmm.replicates import PredictiveChecks, predictive_checks
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
    "checking": ("ModelCheck", "check", "prior_sensitivity"),
    "comparison": ("Comparison", "compare"),
    "conjugate": ("Dirichlet", "NormalInverseWishart", "Prior"),
    "credible_ball": ("CredibleBall",),
    "crossvalidation": ("kfold", "loo"),
    "datasets": ("load_dataset",),
    "diagnosis": ("Diagnosis", "diagnose"),
    "em": ("fit_em",),
    "forward": ("sample_prior",),
    "gibbs": ("sample_gibbs",),
    "invariants": ("label_invariant_view",),
    "laplace": ("LaplacePosterior", "fit_laplace"),
    "mixture": ("log_density", "log_joint", "log_likelihood", "responsibilities", "sample"),
    "model": ("gaussian_mixture",),
    "nuts": ("sample_nuts",),
    "partition_agreement": ("PartitionDistances", "partition_distances"),
    "partition_distance": ("adjusted_rand", "binder_distance", "variation_of_information"),
    "partitions": ("Partition", "partition"),
    "pit": ("loo_pit",),
    "problem": ("default_prior",),
    "posterior": ("Posterior",),
    "relabelled": ("Relabelling",),
    "relabelling": ("relabel",),
    "replicates": ("PredictiveChecks", "predictive_checks"),
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
    "sample_gibbs", "sample_nuts", "sample_prior", "calibrate", "Calibration", "check", "ModelCheck", "loo", "kfold", "loo_pit",
    "predictive_checks", "PredictiveChecks", "prior_sensitivity", "relabel", "Relabelling", "diagnose",
    "Diagnosis", "label_invariant_view", "MixtureFit", "Posterior",
    "VariationalPosterior", "StochasticPosterior", "LaplacePosterior", "Prior", "Dirichlet", "NormalInverseWishart",
    "NormalInverseGamma", "NormalTimesInverseWishart", "HierarchicalInverseWishart", "NormalTimesLKJ", "HalfNormal",
    "LogNormal", "default_prior", "gaussian_mixture", "Params", "log_joint", "log_density", "log_likelihood",
    "responsibilities", "sample", "partition", "Partition", "CredibleBall", "partition_distances", "PartitionDistances",
    "adjusted_rand", "variation_of_information", "binder_distance",
]  # fmt: skip


def __getattr__(name: str):
    """Load a public name when it is first used, so that ``import bayesgmm`` stays light."""
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"bayesgmm.{_MODULE_OF[name]}"), name)
    raise AttributeError(f"module 'bayesgmm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
