"""Every engine by its name."""

import importlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from bayesgmm.data.table import Table
from bayesgmm.engines.em.em import fit_em
from bayesgmm.engines.mcmc.gibbs import sample_gibbs
from bayesgmm.errors import ArgumentError
from bayesgmm.model.alignment import align, permute
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior

ENGINES = {
    "mle": "EM, maximum likelihood (flat prior)",
    "em": "EM, maximum a posteriori",
    "cavi": "variational Bayes (CAVI)",
    "svi": "stochastic variational inference (a guide with all correlations)",
    "laplace": "Laplace's approximation at the mode",
    "gibbs": "Gibbs sampling",
    "nuts": "NUTS with z summed out",
}
POINT_ENGINES = ("mle", "em")

Result = MixtureFit | Posterior


def check_engines(engines: Sequence[str]) -> list[str]:
    """The engines asked for, once each; an unknown one is refused."""
    names = [engines] if isinstance(engines, str) else list(dict.fromkeys(engines))
    unknown = [name for name in names if name not in ENGINES]
    if unknown or not names:
        problem = f"Unknown engine {', '.join(map(repr, unknown))}." if unknown else "No engine was named."
        raise ArgumentError(f"{problem} Choose from {', '.join(ENGINES)}.")
    return names


def run_engine(
    name: str,
    table: Table,
    n_components: int,
    prior: Belief | None,
    n_init: int,
    chains: dict,
    reference: Any,
    shared: dict,
) -> Result:
    """Run one engine, its components numbered as in `reference`."""
    if name == "gibbs":
        return sample_gibbs(table, n_components, prior=prior, reference=reference, **chains, **shared)
    chains = {part: value for part, value in chains.items() if part != "tempering"}
    if name == "nuts":
        from bayesgmm.engines.mcmc.nuts import sample_nuts  # NumPyro loads only when NUTS is asked for

        return sample_nuts(table, n_components, prior=prior, reference=reference, **chains, **shared)
    if name in ("cavi", "svi", "laplace"):
        draws = {part: chains[part] for part in ("num_samples", "num_chains")}
        fit = getattr(importlib.import_module(f"bayesgmm.engines.variational.{name}"), f"fit_{name}")
        if name != "laplace":
            return fit(table, n_components, prior=prior, reference=reference, **draws, **shared)
        listener = shared.pop("progress_bar")
        listener(name, 0, 1, "")
        result = fit(table, n_components, prior=prior, reference=reference, **draws, **shared)
        listener(name, 1, 1, "")
        return result
    listener = shared["progress_bar"]
    shared = shared | {"progress_bar": lambda label, done, total, note: listener(name, done, total, note)}
    fit = fit_em(table, n_components, prior=None if name == "mle" else prior, n_init=n_init, **shared)
    return fit if reference is None else _renumber(fit, reference)


def _renumber(fit: MixtureFit, reference: Any) -> MixtureFit:
    target = reference.params if isinstance(reference, MixtureFit) else reference
    return replace(fit, params=permute(fit.params, align(fit.params, target)))
