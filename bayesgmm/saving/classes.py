"""The classes, by the names that they have in files. Nothing else is made from a file."""

import importlib
from collections.abc import Callable
from typing import Any

_RESULTS = {
    "MixtureFit": "bayesgmm.results.fit:MixtureFit",
    "Posterior": "bayesgmm.results.posterior:Posterior",
    "GivenPosterior": "bayesgmm.results.given_posterior:GivenPosterior",
    "VariationalPosterior": "bayesgmm.engines.variational.variational_posterior:VariationalPosterior",
    "StochasticPosterior": "bayesgmm.engines.variational.svi:StochasticPosterior",
    "LaplacePosterior": "bayesgmm.engines.variational.laplace:LaplacePosterior",
    "ExactPosterior": "bayesgmm.engines.exact:ExactPosterior",
    "TelescopingPosterior": "bayesgmm.results.telescoping_posterior:TelescopingPosterior",
    "ClustersPosterior": "bayesgmm.results.clusters:ClustersPosterior",
    "Comparison": "bayesgmm.comparison.comparison:Comparison",
    "FitTable": "bayesgmm.selection.cells:FitTable",
    "ClassMixtures": "bayesgmm.selection.class_mixtures:ClassMixtures",
    "Study": "bayesgmm.studies.result:Study",
    "Mixture": "bayesgmm.results.mixture:Mixture",
    "Partition": "bayesgmm.partitions.partition:Partition",
    "Relabelling": "bayesgmm.relabelling.result:Relabelling",
    "Evidence": "bayesgmm.marginal_likelihood.result:Evidence",
    "Selection": "bayesgmm.model_choice.selection:Selection",
    "Merging": "bayesgmm.partitions.merged:Merging",
}
KINDS = tuple(_RESULTS)
"""What can be saved."""
_PARTS = {
    "Params": "bayesgmm.model.types:Params",
    "Frame": "bayesgmm.model.types:Frame",
    "Family": "bayesgmm.model.families:Family",
    "Fixed": "bayesgmm.model.fixed:Fixed",
    "Held": "bayesgmm.model.fixed:Held",
    "Noise": "bayesgmm.data.noise:Noise",
    "Basin": "bayesgmm.results.fit:Basin",
    "Stopwatch": "bayesgmm.runtime.programs:Stopwatch",
    "Reported": "bayesgmm.results.given_posterior:Reported",
    "NotKept": "bayesgmm.results.kept_settings:NotKept",
    "NoChains": "bayesgmm.results.kept_settings:NoChains",
    "Draws": "bayesgmm.results.draws:Draws",
    "HeldOut": "bayesgmm.comparison.held_out:HeldOut",
    "Candidate": "bayesgmm.model_choice.answers:Candidate",
    "Answer": "bayesgmm.model_choice.answers:Answer",
    "Cell": "bayesgmm.selection.cells:Cell",
    "Plan": "bayesgmm.studies.replicate:Plan",
    "Truths": "bayesgmm.studies.truths:Truths",
    "StudyCell": "bayesgmm.studies.truths:Cell",
}
_PRIORS = {
    "Prior": "bayesgmm.priors.prior:Belief",
    "Dirichlet": "bayesgmm.priors.dirichlet:Dirichlet",
    "StickBreaking": "bayesgmm.priors.stick_breaking:StickBreaking",
    "HeldDirichlet": "bayesgmm.priors.held_weights:HeldDirichlet",
    "NormalInverseWishart": "bayesgmm.priors.normal_inverse_wishart:NormalInverseWishart",
    "NormalInverseGamma": "bayesgmm.priors.inverse_gamma:NormalInverseGamma",
    "NormalTimesInverseWishart": "bayesgmm.priors.semiconjugate:NormalTimesInverseWishart",
    "HierarchicalInverseWishart": "bayesgmm.priors.hierarchical:HierarchicalInverseWishart",
    "NormalTimesLKJ": "bayesgmm.priors.lkj:NormalTimesLKJ",
    "HalfNormal": "bayesgmm.priors.scales:HalfNormal",
    "LogNormal": "bayesgmm.priors.scales:LogNormal",
    "UniformComponents": "bayesgmm.priors.number_of_components:UniformComponents",
    "FixedComponents": "bayesgmm.priors.number_of_components:FixedComponents",
    "GeometricComponents": "bayesgmm.priors.number_of_components:GeometricComponents",
    "PoissonComponents": "bayesgmm.priors.number_of_components:PoissonComponents",
    "BetaNegativeBinomialComponents": "bayesgmm.priors.number_of_components:BetaNegativeBinomialComponents",
    "Static": "bayesgmm.priors.concentration:Static",
    "Dynamic": "bayesgmm.priors.concentration:Dynamic",
    "Gamma": "bayesgmm.priors.concentration:Gamma",
    "FDistribution": "bayesgmm.priors.concentration:FDistribution",
    "Restricted": "bayesgmm.priors.within_family:Restricted",
    "Separated": "bayesgmm.priors.lkj:Separated",
    "Independent": "bayesgmm.priors.semiconjugate_posterior:Independent",
    "HeldComponents": "bayesgmm.priors.held:HeldComponents",
    "HeldIndependent": "bayesgmm.priors.held:HeldIndependent",
    "HeldConjugate": "bayesgmm.priors.held:HeldConjugate",
    "WithNoise": "bayesgmm.priors.with_noise:WithNoise",
}
"""As users give them, and as they are within a family (the approximation of variational Bayes)."""
_CHAINS = {
    "FrozenKey": "bayesgmm.runtime.checkpoint:FrozenKey",
    "TelescopingChains": "bayesgmm.engines.telescoping.sample_telescoping:TelescopingChains",
    "TelescopingState": "bayesgmm.engines.telescoping.chains:TelescopingState",
    "MixtureState": "bayesgmm.priors.finite_mixtures:MixtureState",
    "GibbsState": "bayesgmm.engines.mcmc.gibbs:GibbsState",
    "TemperedState": "bayesgmm.engines.mcmc.gibbs:TemperedState",
    "Replicas": "bayesgmm.engines.mcmc.tempering:Replicas",
    "NutsState": "bayesgmm.engines.mcmc.nuts:NutsState",
    "HMCState": "numpyro.infer.hmc:HMCState",
    "HMCAdaptState": "numpyro.infer.hmc_util:HMCAdaptState",
    "HMCGibbsState": "numpyro.infer.hmc_gibbs:HMCGibbsState",
    "DiscreteGibbsState": "numpyro.infer.gibbs:DiscreteGibbsState",
}
_HOMES = _RESULTS | _PARTS | _PRIORS | _CHAINS
_NAMES = {home: name for name, home in _HOMES.items()}
_FUNCTIONS = {"bootstrap": "bayesgmm.engines.em.bootstrap:refits"}
_NAMES_OF_FUNCTIONS = {home: name for name, home in _FUNCTIONS.items()}


def name_of(cls: type) -> str | None:
    """The name of a class in files; None if it cannot be saved."""
    return _NAMES.get(f"{cls.__module__}:{cls.__qualname__}")


def class_of(name: str) -> Any:
    """The class of this name in files; None if there is none."""
    return _found(_HOMES.get(name))


def name_of_function(function: Callable) -> str | None:
    """The name in files of the function that refits a fit; None for others."""
    return _NAMES_OF_FUNCTIONS.get(f"{function.__module__}:{getattr(function, '__qualname__', '')}")


def function_of(name: str) -> Any:
    """The function of this name in files; None if there is none."""
    return _found(_FUNCTIONS.get(name))


def _found(home: str | None) -> Any:
    if home is None:
        return None
    module, _, attribute = home.partition(":")
    return getattr(importlib.import_module(module), attribute)
