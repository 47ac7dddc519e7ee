"""Fit a Gaussian mixture by EM, variational Bayes and MCMC under one prior, and compare the answers."""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bayesgmm import distributions as distributions
    from bayesgmm import plots as plots
    from bayesgmm.checking.calibration import Calibration, calibrate
    from bayesgmm.checking.check import ModelCheck, check
    from bayesgmm.checking.loo import kfold, loo
    from bayesgmm.checking.loo_pit import loo_pit
    from bayesgmm.checking.predictive import PredictiveChecks, predictive_checks
    from bayesgmm.checking.sensitivity import prior_sensitivity
    from bayesgmm.comparison.comparison import Comparison
    from bayesgmm.comparison.run import compare
    from bayesgmm.data.datasets import load_dataset
    from bayesgmm.data.described import rows
    from bayesgmm.data.on_disk.open_rows import open_rows
    from bayesgmm.diagnosis.diagnosis import Diagnosis, diagnose
    from bayesgmm.diagnosis.label_invariant_view import label_invariant_view
    from bayesgmm.diagnosis.number_of_components import NumberDiagnosis
    from bayesgmm.engines.em.copies import fit_mcem, fit_same
    from bayesgmm.engines.em.fit_em import fit_em
    from bayesgmm.engines.exact import ExactPosterior, sample_exact
    from bayesgmm.engines.mcmc.gibbs import sample_gibbs
    from bayesgmm.engines.mcmc.nuts import sample_nuts
    from bayesgmm.engines.numpyro_model import gaussian_mixture
    from bayesgmm.engines.prior_samples import sample_prior
    from bayesgmm.engines.telescoping.sample_telescoping import sample_telescoping
    from bayesgmm.engines.variational.cavi import VariationalPosterior, fit_cavi
    from bayesgmm.engines.variational.laplace import LaplacePosterior, fit_laplace
    from bayesgmm.engines.variational.svi import StochasticPosterior, fit_svi
    from bayesgmm.engines.walk import Walk, walk
    from bayesgmm.marginal_likelihood.evidence import evidence
    from bayesgmm.marginal_likelihood.result import Evidence
    from bayesgmm.model.mixture import log_density, log_joint, log_likelihood, responsibilities, sample
    from bayesgmm.model.overlap import overlap
    from bayesgmm.model.types import Params
    from bayesgmm.model_choice.select import select
    from bayesgmm.model_choice.selection import Selection
    from bayesgmm.partitions.agreement import PartitionDistances, partition_distances
    from bayesgmm.partitions.credible_ball import CredibleBall
    from bayesgmm.partitions.distance import adjusted_rand, binder_distance, variation_of_information
    from bayesgmm.partitions.merged import Merging
    from bayesgmm.partitions.merging import merge
    from bayesgmm.partitions.partition import Partition, partition
    from bayesgmm.priors.concentration import Dynamic, FDistribution, Gamma, Static
    from bayesgmm.priors.default import default_prior
    from bayesgmm.priors.dirichlet import Dirichlet
    from bayesgmm.priors.hierarchical import HierarchicalInverseWishart
    from bayesgmm.priors.inverse_gamma import NormalInverseGamma
    from bayesgmm.priors.lkj import NormalTimesLKJ
    from bayesgmm.priors.normal_inverse_wishart import NormalInverseWishart
    from bayesgmm.priors.number_of_components import (
        BetaNegativeBinomialComponents,
        FixedComponents,
        GeometricComponents,
        PoissonComponents,
        UniformComponents,
    )
    from bayesgmm.priors.prior import Prior
    from bayesgmm.priors.scales import HalfNormal, LogNormal
    from bayesgmm.priors.semiconjugate import NormalTimesInverseWishart
    from bayesgmm.priors.stick_breaking import StickBreaking
    from bayesgmm.relabelling.methods import relabel
    from bayesgmm.relabelling.result import Relabelling
    from bayesgmm.results.density_region import HighestDensityRegion
    from bayesgmm.results.fit import MixtureFit
    from bayesgmm.results.from_draws import from_draws
    from bayesgmm.results.mixture import Mixture
    from bayesgmm.results.posterior import Posterior
    from bayesgmm.results.profile import Profile
    from bayesgmm.results.regression import Regression
    from bayesgmm.results.telescoping_posterior import TelescopingPosterior
    from bayesgmm.results.to_mixture import from_parameters
    from bayesgmm.runtime.processes import join_processes
    from bayesgmm.runtime.program_folder import CacheInfo, cache_info, clear_cache
    from bayesgmm.saving.results import load, save
    from bayesgmm.selection.cells import FitTable
    from bayesgmm.selection.class_mixtures import ClassMixtures
    from bayesgmm.selection.fit_classes import fit_classes
    from bayesgmm.selection.fit_table import fit_table
    from bayesgmm.studies.random_mixtures import random_mixture
    from bayesgmm.studies.result import Study
    from bayesgmm.studies.study import study
    from bayesgmm.version import __version__ as __version__

_HOME = {
    "checking.calibration": ("Calibration", "calibrate"),
    "engines.variational.cavi": ("VariationalPosterior", "fit_cavi"),
    "checking.check": ("ModelCheck", "check"),
    "checking.sensitivity": ("prior_sensitivity",),
    "comparison.comparison": ("Comparison",),
    "comparison.run": ("compare",),
    "priors.dirichlet": ("Dirichlet",),
    "priors.stick_breaking": ("StickBreaking",),
    "priors.inverse_gamma": ("NormalInverseGamma",),
    "priors.normal_inverse_wishart": ("NormalInverseWishart",),
    "priors.default": ("default_prior",),
    "priors.prior": ("Prior",),
    "partitions.credible_ball": ("CredibleBall",),
    "checking.loo": ("kfold", "loo"),
    "data.datasets": ("load_dataset",),
    "data.described": ("rows",),
    "data.on_disk.open_rows": ("open_rows",),
    "diagnosis.diagnosis": ("Diagnosis", "diagnose"),
    "diagnosis.number_of_components": ("NumberDiagnosis",),
    "engines.em.fit_em": ("fit_em",),
    "engines.em.copies": ("fit_mcem", "fit_same"),
    "engines.prior_samples": ("sample_prior",),
    "engines.mcmc.gibbs": ("sample_gibbs",),
    "diagnosis.label_invariant_view": ("label_invariant_view",),
    "engines.walk": ("Walk", "walk"),
    "engines.exact": ("ExactPosterior", "sample_exact"),
    "engines.variational.laplace": ("LaplacePosterior", "fit_laplace"),
    "marginal_likelihood.evidence": ("evidence",),
    "marginal_likelihood.result": ("Evidence",),
    "model.mixture": ("log_density", "log_joint", "log_likelihood", "responsibilities", "sample"),
    "model_choice.select": ("select",),
    "model_choice.selection": ("Selection",),
    "engines.numpyro_model": ("gaussian_mixture",),
    "engines.mcmc.nuts": ("sample_nuts",),
    "engines.telescoping.sample_telescoping": ("sample_telescoping",),
    "priors.concentration": ("Dynamic", "FDistribution", "Gamma", "Static"),
    "priors.number_of_components": (
        "BetaNegativeBinomialComponents",
        "FixedComponents",
        "GeometricComponents",
        "PoissonComponents",
        "UniformComponents",
    ),
    "results.telescoping_posterior": ("TelescopingPosterior",),
    "partitions.agreement": ("PartitionDistances", "partition_distances"),
    "partitions.distance": ("adjusted_rand", "binder_distance", "variation_of_information"),
    "partitions.merged": ("Merging",),
    "partitions.merging": ("merge",),
    "partitions.partition": ("Partition", "partition"),
    "checking.loo_pit": ("loo_pit",),
    "results.posterior": ("Posterior",),
    "results.profile": ("Profile",),
    "results.density_region": ("HighestDensityRegion",),
    "results.mixture": ("Mixture",),
    "results.regression": ("Regression",),
    "results.to_mixture": ("from_parameters",),
    "results.from_draws": ("from_draws",),
    "relabelling.result": ("Relabelling",),
    "relabelling.methods": ("relabel",),
    "checking.predictive": ("PredictiveChecks", "predictive_checks"),
    "results.fit": ("MixtureFit",),
    "runtime.processes": ("join_processes",),
    "runtime.program_folder": ("CacheInfo", "cache_info", "clear_cache"),
    "saving.results": ("load", "save"),
    "selection.cells": ("FitTable",),
    "selection.class_mixtures": ("ClassMixtures",),
    "selection.fit_classes": ("fit_classes",),
    "selection.fit_table": ("fit_table",),
    "priors.hierarchical": ("HierarchicalInverseWishart",),
    "priors.lkj": ("NormalTimesLKJ",),
    "priors.scales": ("HalfNormal", "LogNormal"),
    "engines.variational.svi": ("StochasticPosterior", "fit_svi"),
    "model.types": ("Params",),
    "priors.semiconjugate": ("NormalTimesInverseWishart",),
    "model.overlap": ("overlap",),
    "studies.random_mixtures": ("random_mixture",),
    "studies.result": ("Study",),
    "studies.study": ("study",),
    "version": ("__version__",),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}

_FOLDERS = ("distributions", "plots", "sklearn")
"""Modules of the public face, such as ``bayesgmm.plots``."""

__all__ = [  # noqa: RUF022 - in the order of the workflow
    "load_dataset", "rows", "open_rows", "join_processes", "compare", "Comparison", "fit_em", "fit_mcem", "fit_same",
    "fit_table", "FitTable", "select", "Selection", "fit_classes", "ClassMixtures",
    "fit_cavi", "fit_svi", "fit_laplace", "sample_gibbs", "sample_nuts", "sample_exact", "sample_telescoping",
    "sample_prior", "walk",
    "Walk", "calibrate", "Calibration", "check", "ModelCheck", "loo", "kfold", "loo_pit", "predictive_checks",
    "PredictiveChecks", "prior_sensitivity", "evidence", "Evidence",
    "study", "Study", "random_mixture", "overlap", "relabel",
    "Relabelling", "diagnose", "Diagnosis", "NumberDiagnosis",
    "label_invariant_view", "from_draws", "from_parameters", "Mixture", "Regression", "HighestDensityRegion",
    "MixtureFit", "Profile", "Posterior", "VariationalPosterior", "StochasticPosterior",
    "LaplacePosterior", "ExactPosterior", "TelescopingPosterior",
    "Prior", "Dirichlet", "StickBreaking", "NormalInverseWishart", "NormalInverseGamma",
    "NormalTimesInverseWishart", "HierarchicalInverseWishart", "NormalTimesLKJ", "HalfNormal", "LogNormal",
    "UniformComponents", "GeometricComponents", "PoissonComponents", "BetaNegativeBinomialComponents",
    "FixedComponents", "Static", "Dynamic", "Gamma", "FDistribution",
    "default_prior", "gaussian_mixture", "Params", "log_joint", "log_density", "log_likelihood",
    "responsibilities", "sample", "merge", "Merging", "partition", "Partition", "CredibleBall", "partition_distances",
    "PartitionDistances", "adjusted_rand", "variation_of_information", "binder_distance", "save", "load",
    "cache_info", "clear_cache", "CacheInfo",
]  # fmt: skip


def __getattr__(name: str):
    """Load a public name when it is first used, so that ``import bayesgmm`` stays light."""
    if name in _MODULE_OF:
        return getattr(importlib.import_module(f"bayesgmm.{_MODULE_OF[name]}"), name)
    if name in _FOLDERS:
        return importlib.import_module(f"bayesgmm.{name}")
    raise AttributeError(f"module 'bayesgmm' has no attribute {name!r}")


def __dir__() -> list[str]:
    return [*__all__, *_FOLDERS, "__version__"]
