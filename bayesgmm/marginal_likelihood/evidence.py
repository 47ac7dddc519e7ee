"""The evidence (marginal likelihood) of a fitted model, by several methods."""

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from bayesgmm.data.kinds import CLASSES_DRAWN, check_rows
from bayesgmm.engines.engine import find_engine
from bayesgmm.errors import ArgumentError, MixingWarning, PriorError
from bayesgmm.marginal_likelihood.bridge import Estimate, by_bridge
from bayesgmm.marginal_likelihood.result import Evidence
from bayesgmm.marginal_likelihood.thames import by_thames
from bayesgmm.numerics.mixing import MIXED, UNKNOWN, UNMIXED
from bayesgmm.numerics.permanents import LARGEST
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.stick_breaking import refuse_sticks
from bayesgmm.problem import to_problem
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.clusters import ClustersPosterior
from bayesgmm.results.from_draws import as_posterior
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_key, check_choice
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.progress import Progress, listening

FEWEST_DRAWS = 100
"""Fewest draws, over all chains."""
LARGE_ERROR = 0.3
"""Standard error in nats above which a note asks for more draws."""


def evidence(posterior: Any, *, method: str = "bridge", seed: Any = 0, progress_bar: Progress = None) -> Evidence:
    """Estimate the evidence ``log p(x) = log ∫ p(x | θ) p(θ) dθ`` of a model from draws of its posterior.

    Parameters
    ----------
    posterior
        Draws of `sample_gibbs`, `sample_nuts` or `sample_exact`, or of other software with the prior that it had
        (``from_draws(…, prior=)``).
    method
        ``"bridge"``: bridge sampling between the posterior and a mixture of posteriors given z, over all permutations
        of the components (Frühwirth-Schnatter 2004, 2019). Half of each chain makes the mixture, and the other half is
        bridged to it; then they change roles. ``"thames"``: a truncated harmonic mean (Metodiev et al. 2025), with a
        larger error: a check, and for priors without closed forms given z (`NormalTimesLKJ`). ``"exact"``: the sum over
        all labellings, of `sample_exact`. ``"bound"``: the lower bound (ELBO) of `fit_cavi` and `fit_svi`.
        ``"laplace"``: Laplace's approximation, of `fit_laplace`.
    seed
        int or JAX key, for the draws of the mixture.
    progress_bar
        True, False, None (a bar in a terminal or notebook) or a callable.

    Returns
    -------
    Evidence
        With its Monte Carlo standard error, in the units of the data: if a feature is measured in units twice as
        large, the evidence grows by ``N log 2``.

    Raises
    ------
    ArgumentError, PriorError, DrawsError, DataError
        If there are no draws, or too few; if they come from an approximation, the prior is not known or has no closed
        forms given z, or the rows are of a kind that has no z.

    Warns
    -----
    MixingWarning
        If the chains have not mixed: modes that they miss are missing in the evidence.
    """
    posterior = _checked(posterior)
    method, key = check_choice("method", method, tuple(_METHODS)), as_key(seed)
    with listening(progress_bar) as listener:
        found = _METHODS[method](posterior, key, listener)
    if found.num_draws and posterior.mixing == UNMIXED:
        warnings.warn(found.notes[0], MixingWarning, stacklevel=2)
    return found


def _checked(posterior: Any) -> Posterior:
    """The posterior, with a known prior, read if it is draws of other software."""
    posterior = as_posterior(posterior)
    if not isinstance(posterior, Posterior):
        raise ArgumentError(
            f"This is a {type(posterior).__name__}, not a posterior. The evidence needs draws under a proper prior. "
            "Use sample_gibbs or sample_nuts with one number of components; for a fit without a prior, compare by "
            "fit.bic() or fit_table."
        )
    _ = posterior.model.known_prior
    return posterior


def _bridge(posterior: Posterior, key: Any, listener: Any) -> Evidence:
    _check_draws(posterior)
    _check_conditionals(posterior)
    with scope("float64"):
        found = by_bridge(posterior, to_problem(posterior.model, "float64"), key, listener)
    return _result(posterior, "bridge", found, notes=_notes(posterior, found))


def _thames(posterior: Posterior, key: Any, listener: Any) -> Evidence:
    _check_draws(posterior)
    with scope("float64"):
        found = by_thames(posterior, to_problem(posterior.model, "float64"), key, listener)
    notes = _notes(posterior, found)
    if not math.isfinite(found.value):
        notes = (*notes, "No draw of one half of the chains is in the region that the other half makes. Draw more.")
    return _result(posterior, "thames", found, notes)


def _check_draws(posterior: Posterior) -> None:
    """Refuse draws that are too few, or not of the posterior itself."""
    if isinstance(posterior, ApproximatePosterior) and not find_engine(posterior.algorithm).exact:
        own = "; or method='bound' or 'laplace', for its own estimate."
        raise ArgumentError(
            f"Draws of {posterior.algorithm} come from an approximation, and the evidence needs draws of the "
            f"posterior. Use sample_gibbs or sample_nuts{own}"
        )
    if isinstance(posterior, ClustersPosterior) or "num_components" in posterior.sample_stats:  # of older files
        raise ArgumentError(
            "These are the draws with one number of clusters, given that no component is empty. The evidence is "
            f"about all draws of a model: use sample_gibbs(x, {posterior.n_components}, prior=…), with this prior."
        )
    why = "it sums over the orders of the components, which have different densities"
    instead = "Use a Dirichlet with a small concentration, or sample_exact for few rows."
    refuse_sticks(posterior.model.known_prior.weights, "The evidence by draws does not take", why, instead)
    draws = posterior.num_chains * posterior.num_samples
    if draws < FEWEST_DRAWS or posterior.num_samples < 2:
        raise ArgumentError(
            f"{posterior.num_chains} × {posterior.num_samples} draws are too few for the evidence. It needs at least "
            f"{FEWEST_DRAWS}, and 2 of each chain. Draw more."
        )


def _check_conditionals(posterior: Posterior) -> None:
    """Refuse models whose posterior given z has no closed form, or whose components have too many permutations."""
    model = posterior.model
    check_rows("evidence", CLASSES_DRAWN, model.table, "Use fit_cavi and method='bound'.")
    if model.family_prior.components.conjugacy == Conjugacy.NONE:
        raise PriorError(
            f"Under a {type(model.known_prior.components).__name__} prior means and covariances cannot be drawn "
            "given z, as bridge sampling needs. Use method='thames', or a NormalInverseWishart, "
            "NormalTimesInverseWishart or HierarchicalInverseWishart prior."
        )
    if model.num_components > LARGEST:
        raise ArgumentError(
            f"The evidence sums over all permutations of at most {LARGEST} components, got {model.num_components}. "
            "Compare many components by loo, or by the posterior of K."
        )


def _notes(posterior: Posterior, found: Estimate) -> tuple[str, ...]:
    notes, mixing = [], posterior.mixing
    if mixing == UNMIXED:
        notes.append(
            f"The chains have not mixed (worst R-hat {posterior.worst_rhat:.2f}). If they miss a mode, so does this "
            "evidence, and the error does not show it. Draw more, or use sample_gibbs(tempering=…)."
        )
    elif mixing not in (MIXED, UNKNOWN):
        notes.append("The chains are slightly short: draw more for a better error.")
    low, high = (found.by_chain.min(), found.by_chain.max()) if found.by_chain.size else (0.0, 0.0)
    if high - low > 0.5 + 6.0 * found.error * math.sqrt(len(found.by_chain)):
        notes.append(f"The draws of single chains give from {low:.2f} to {high:.2f}: they differ in their modes.")
    if found.error > LARGE_ERROR:
        notes.append("The standard error is large. Draw more.")
    return tuple(notes)


def _exact(posterior: Posterior, key: Any, listener: Any) -> Evidence:
    del key, listener
    exact = isinstance(posterior, ApproximatePosterior) and find_engine(posterior.algorithm).exact
    value = _own(posterior, "log_evidence" if exact else "", "exact", "sample_exact")
    return _result(posterior, "exact", Estimate(value, 0.0, 0, np.empty(0)))


def _bound(posterior: Posterior, key: Any, listener: Any) -> Evidence:
    del key, listener
    value = _own(posterior, "elbo", "bound", "fit_cavi or fit_svi")
    note = "A lower bound on the log evidence, for one of the permutations of the components."
    return _result(posterior, "bound", Estimate(value, math.nan, 0, np.empty(0)), (note,))


def _laplace(posterior: Posterior, key: Any, listener: Any) -> Evidence:
    del key, listener
    exact = isinstance(posterior, ApproximatePosterior) and find_engine(posterior.algorithm).exact
    value = _own(posterior, "" if exact else "log_evidence", "laplace", "fit_laplace")
    note = "Laplace's approximation of the log evidence, for one of the permutations of the components."
    return _result(posterior, "laplace", Estimate(value, math.nan, 0, np.empty(0)), (note,))


def _own(posterior: Posterior, name: str, method: str, function: str) -> float:
    """An estimate that the posterior has itself, or an `ArgumentError`."""
    if not name or not hasattr(posterior, name):
        raise ArgumentError(
            f"method={method!r} is for the results of {function}, and this is one of {posterior.algorithm}."
        )
    return float(getattr(posterior, name))


def _result(posterior: Posterior, method: str, found: Estimate, notes: tuple[str, ...] = ()) -> Evidence:
    model = posterior.model
    plural = "s" * (posterior.n_components > 1)
    words = (
        f"{posterior.n_components} component{plural}, {model.family.label(model.table.dim)} covariances{model.aside}"
    )
    by_chain = found.by_chain if found.by_chain.size else None
    return Evidence(
        found.value, found.error, method, found.num_draws, posterior.algorithm, words, by_chain, notes
    )  # fmt: skip


_METHODS: dict[str, Callable[[Posterior, Any, Any], Evidence]] = {
    "bridge": _bridge, "thames": _thames, "exact": _exact, "bound": _bound, "laplace": _laplace,
}  # fmt: skip
