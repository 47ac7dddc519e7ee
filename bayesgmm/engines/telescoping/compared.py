"""The telescoping sampler among the engines of one number of components: its draws with that number of clusters."""

from dataclasses import replace
from typing import Any

import numpy as np

from bayesgmm.engines.checks import check_reference
from bayesgmm.engines.telescoping.sample_telescoping import ENGINE, MAX_COMPONENTS, sample_telescoping
from bayesgmm.errors import ArgumentError, FitError, PriorError
from bayesgmm.model.types import Params
from bayesgmm.numerics.mixing import figures
from bayesgmm.priors.concentration import Static
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.stick_breaking import refuse_sticks
from bayesgmm.problem import Problem, prepare
from bayesgmm.results.clusters import ClustersPosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.given_posterior import relabelled
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.progress import Progress


def sample_clusters(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    components: Any = None,
    max_components: Any = None,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    reference: MixtureFit | Params | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> ClustersPosterior:
    """The draws of `sample_telescoping` with n_components clusters, under a prior of a mixture of so many components.

    Given K, weights ~ Dirichlet(c, …, c) with the c of this prior, and the components have their prior. So the draws
    are those of the mixture with n_components components, given that none is empty. ``components`` is the prior of K,
    and the others are as for `sample_telescoping` and `sample_gibbs`.

    Raises
    ------
    ArgumentError, DataError, PriorError
        Before the run, if an input cannot be used.
    FitError
        If no draw has n_components clusters.
    """
    with scope(dtype):
        problem = prepare(x, n_components, prior, dtype, covariance_type)
    check_reference(reference, problem.model)
    check_alike(problem)
    given = problem.model.known_prior
    found = sample_telescoping(
        problem.table, covariance_type=problem.family.name, prior=_of_each(given), components=components,
        concentration=Static(float(np.asarray(given.weights.concentration).flat[0])),
        max_components=max(MAX_COMPONENTS, n_components) if max_components is None else max_components,
        num_warmup=num_warmup, num_samples=num_samples, num_chains=num_chains, seed=seed, dtype=dtype,
        progress_bar=progress_bar,
    )  # fmt: skip
    try:
        chosen = found.at(n_components)
    except ArgumentError as error:
        most, shown = found.most_probable[1], figures(found.worst_rhat, found.smallest_ess)
        if found.mixed:
            raise FitError(f"{error} The chains have mixed ({shown}): compare {most} components.") from None
        raise FitError(
            f"{error} But the chains have not mixed ({shown}), so that these shares may be far off: draw more "
            "(num_samples), or narrow the prior of the means."
        ) from None
    if reference is None:
        return chosen
    params = reference.params if isinstance(reference, MixtureFit) else reference
    return relabelled(chosen, params, chosen.model)  # pyright: ignore[reportReturnType]


def check_alike(problem: Problem) -> None:
    """Refuse a problem that tells the components apart.

    Raises
    ------
    ArgumentError, PriorError
        If parameters are held, or the prior differs between components.
    """
    if problem.model.fixed is not None:
        raise ArgumentError(
            "telescoping draws the number of components, so that no parameter of a component can be held. Leave fixed "
            "out, or use gibbs."
        )
    why = "it draws weights by their concentrations"
    refuse_sticks(problem.model.known_prior.weights, "telescoping does not take", why, "Use a Dirichlet, or gibbs.")
    if not problem.model.known_prior.exchangeable:
        raise PriorError(
            "telescoping draws the number of components, so that all need the same prior. Give one value for all, or "
            "use gibbs."
        )


def _of_each(prior: Belief) -> Belief:
    """The prior of one component of an exchangeable prior in full shape."""
    given = prior.components
    common = getattr(given, "common", ())
    fields: Any = given._asdict().items()  # pyright: ignore[reportAttributeAccessIssue]
    own = {name: value if name in common else np.asarray(value)[0] for name, value in fields}
    return Belief(Dirichlet(1.0), type(given)(**own))


TELESCOPING = replace(ENGINE, run=sample_clusters, whole=sample_telescoping, check_size=check_alike)
