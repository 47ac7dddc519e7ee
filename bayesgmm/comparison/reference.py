"""The reference of a comparison: the column beside which the others are judged."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np

from bayesgmm.comparison.given import REFERENCE, read_given
from bayesgmm.engines.checks import check_sampled
from bayesgmm.engines.engine import Engine, engine_names, find_engine
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.families import Family
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, Problem
from bayesgmm.results.given_posterior import GivenPosterior
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.checks import shown

LONGER = 10
"""A reference run by chains has so many times the draws of the other samplers."""
REPLICAS = 12
"""It has at least so many replicas per chain, if the engine can be tempered and there are labels to switch."""


@dataclass(frozen=True)
class Reference:
    """What is the reference, decided before any engine runs."""

    column: str
    """Name of its column."""
    engine: Engine | None = None
    """The engine that is run for it, if one is."""
    settings: Mapping[str, Any] | None = None
    result: Posterior | None = None
    """Draws of the user."""

    @property
    def title(self) -> str:
        """What the column is, if an engine is run for it."""
        assert self.engine is not None
        assert self.settings is not None
        count = self.settings["num_samples"] * self.settings["num_chains"]
        replicas = self.settings.get("tempering", 1)
        tempered = f", {replicas} replicas per chain" if replicas > 1 else ""
        return f"{self.engine.title}, {count:,} draws{tempered}"


def plan_reference(
    reference: Any, chosen: list[Engine], given: Mapping[str, Any], settings: Mapping[str, Any], problem: Problem
) -> Reference | None:
    """What is the reference of a comparison.

    Parameters
    ----------
    reference
        The argument of `compare`.
    chosen, settings
        The engines of the comparison, and their settings.
    given
        The columns of the user, already read.
    problem
        The model and the data.

    Raises
    ------
    ArgumentError, DataError, DrawsError, PriorError
        If this cannot be the reference of this comparison.
    """
    if reference is None:
        return None
    if not isinstance(reference, str):
        return Reference(REFERENCE, result=_as_reference("reference", reference, problem.model))
    if reference in given:
        _as_reference(f"reference={reference!r}", given[reference], problem.model)
        return Reference(reference)
    if reference not in engine_names():
        names = [name for name in engine_names() if _is_truth(find_engine(name))]
        raise ArgumentError(
            f"reference must be draws, or one of {', '.join([*names, *given])}, got {shown(reference)}. For a file "
            "give xarray.load_datatree(path)."
        )
    engine = find_engine(reference)
    if not _is_truth(engine):
        names = ", ".join(name for name in engine_names() if _is_truth(find_engine(name)))
        raise ArgumentError(
            f"{reference} does not draw from the posterior of this K itself, so that it cannot be the reference. Use "
            f"{names}, or draws of your own."
        )
    engine.check(problem.prior, problem.family, problem.table.dim)
    engine.check_problem(problem)
    if engine.exact and engine in chosen:
        return Reference(reference)
    longer = _longer(engine, settings, problem.num_components)
    check_sampled(problem.model, longer["num_chains"], longer["num_samples"])
    return Reference(REFERENCE, engine, longer)


def _is_truth(engine: Engine) -> bool:
    """Whether its draws come from the posterior itself, at least in the limit."""
    return engine.draws and not engine.draws_number and (engine.exact or engine.has_warmup)


def _longer(engine: Engine, settings: Mapping[str, Any], num_components: int) -> dict[str, Any]:
    """The settings of a run that is long enough to stand for the posterior."""
    own = engine.select(settings)
    own["num_samples"] = LONGER * settings["num_samples"]
    if "tempering" in own and num_components > 1:
        own["tempering"] = max(own["tempering"], REPLICAS)
    return own


def _as_reference(what: str, value: Any, model: Model) -> Posterior:
    result = read_given(what, REFERENCE, value, model)
    if not isinstance(result, Posterior):
        raise ArgumentError(f"{what} is a point fit, which has no spread. Give draws, or the name of an engine.")
    if isinstance(result, GivenPosterior):  # its family was checked, its prior is not known
        return result
    _check_family(what, result.family, model)
    if not same_prior(result.model.prior, model.prior):
        raise PriorError(f"{what} was drawn under another prior, so that it is another posterior. Use the same prior.")
    return result


def _check_family(what: str, family: Family, model: Model) -> None:
    dim = model.table.dim
    if family != model.family:
        raise ArgumentError(
            f"{what} has {family.label(dim)} covariances, the comparison {model.family.label(dim)} ones. Use the same "
            "covariance_type."
        )


def same_prior(one: Belief | None, other: Belief | None) -> bool:
    """Whether two priors are the same distribution, to rounding."""
    ours, theirs = jax.tree.flatten(one), jax.tree.flatten(other)
    return ours[1] == theirs[1] and all(
        np.shape(a) == np.shape(b) and np.allclose(a, b, rtol=1e-9, atol=0.0)
        for a, b in zip(ours[0], theirs[0], strict=True)
    )
