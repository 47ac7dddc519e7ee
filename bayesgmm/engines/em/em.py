"""Point estimates: EM (maximum likelihood or MAP), classification EM and stochastic EM."""

import warnings
from typing import Any

import jax.random as jr
import numpy as np

from bayesgmm.engines import starts as initialize
from bayesgmm.engines.em.ascent import (
    BATCHED_ROWS,
    COLLAPSED,
    EMPTY,
    MAX_ITER,
    PRUNED,
    ROUNDING,
    STATUS,
    Climb,
    climb,
    foot,
    usable,
)
from bayesgmm.engines.em.multistart import search
from bayesgmm.engines.em.to_fit import to_fit
from bayesgmm.errors import (
    ArgumentError,
    CollapseError,
    FitError,
    NotConvergedWarning,
    SamplingInterrupted,
    SpuriousComponentWarning,
)
from bayesgmm.model.types import Params
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.problem import Problem, as_key, check_count, check_has_mode, prepare, unbounded_because
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.runtime.programs import stopwatch
from bayesgmm.runtime.progress import Progress, listening

ALGORITHMS = ("em", "cem", "sem")


def fit_em(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = None,
    n_init: int = 16,
    init: Any = "auto",
    seed: Any = 0,
    algorithm: str = "em",
    weights_init: Any = None,
    means_init: Any = None,
    covariances_init: Any = None,
    labels_init: Any = None,
    max_iter: int = 1000,
    tol: float = 1e-6,
    accelerate: bool = True,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> MixtureFit:
    """Fit a Gaussian mixture by EM (Dempster, Laird & Rubin 1977), the best of several starts.

    With ``prior=None`` the objective is the log-likelihood; with a prior it is log-likelihood + log prior density over
    (weights, means, covariances), constants included, without a Jacobian. Nothing else is added: there is no hidden
    regularisation of covariances.

    Parameters
    ----------
    x
        Data of shape (N, D): DataFrame, array or xarray; see `bayesgmm.data.table.as_table`.
    n_components
        K.
    covariance_type
        mclust's codes (EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV, and E, V for one feature), or scikit-learn's
        ``"full"`` (VVV), ``"tied"`` (EEE), ``"diag"`` (VVI), ``"spherical"`` (VII). See `bayesgmm.model.families`.
    prior
        None (maximum likelihood), ``"default"`` (`default_prior`) or a `Prior`, in the user's units.
    n_init
        Number of starts. Each gets a short run, and the best quarter (four at least) are carried on. A given start
        replaces them.
    init
        ``"auto"``, ``"k-means++"``, ``"random"``, ``"hierarchical"`` (`bayesgmm.engines.starts.made_starts`), or a
        `MixtureFit` or `Params` to start from.
    seed
        int or JAX key.
    algorithm
        ``"em"``; ``"cem"`` assigns each row to its most probable component (Celeux & Govaert 1992); ``"sem"`` draws the
        assignments, runs `max_iter` iterations and returns the best θ visited (Celeux & Diebolt 1985).
    weights_init, means_init, covariances_init
        A start in the user's units, shapes (K,), (K, D), (K, D, D); weights and covariances may be left out.
    labels_init
        A start from a labelling (N,) with integers 0…K-1.
    max_iter
        Most M-steps.
    tol
        Stop when the log-likelihood still to be gained is estimated to be below this (by the acceleration's extrapolation, or
        Aitken's without); 0 runs `max_iter` iterations.
    accelerate
        Quasi-Newton acceleration, safeguarded: the objective never falls. False: plain EM. CEM and SEM are always plain.
    dtype
        ``"float64"`` or ``"float32"``.
    progress_bar
        True, False, None (a bar if someone is watching and the data are large) or a callable.

    Returns
    -------
    MixtureFit

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    CollapseError
        If every start ran into the singularities of an unbounded likelihood.

    Warns
    -----
    NotConvergedWarning
        If the best start stopped at `max_iter` (unless ``tol=0`` asked for that).
    SpuriousComponentWarning
        If, without a prior, a component rests on no more rows than its own part of the covariance needs; or if under a
        hierarchical prior the density has no highest mode.
    """
    _check_arguments(algorithm, max_iter, tol, n_init)
    with scope(dtype), stopwatch() as clock:
        problem = prepare(x, n_components, prior, dtype, covariance_type)
        check_has_mode(problem.prior)
        key_start, key_climb = jr.split(as_key(seed))
        given = {"weights": weights_init, "means": means_init, "covariances": covariances_init}
        starts = _starts(key_start, problem, n_init, init, labels_init, given)
        tol_used = 0.0 if algorithm == "sem" else tol
        brief = progress_bar is None and problem.table.num_rows <= BATCHED_ROWS
        with listening(False if brief else progress_bar) as listener:

            def report(done: int) -> None:
                listener(algorithm, done, max_iter, "")

            if algorithm == "em" and accelerate and tol > 0 and len(starts.weights) > 1:
                states, interrupted = search(key_climb, starts, problem, tol, max_iter, report)
            else:
                quick = accelerate and algorithm == "em"
                states, interrupted = climb(
                    key_climb, foot(starts, problem.belief, max_iter, quick), problem.belief, problem.rows, tol_used,
                    max_iter, algorithm, quick, report=report,
                )  # fmt: skip
                states = to_numpy(states)
            best = _best(states, problem, interrupted)
            steps = int(states.iteration[best])
            listener(algorithm, steps, steps, STATUS[int(states.status[best])])
        fit = to_fit(states, best, problem, algorithm, interrupted, clock, seed, marginal=algorithm == "cem")
    _warn(fit, np.asarray(states.counts[best]), tol_used)
    return fit


def _starts(key, problem: Problem, n_init: int, init: Any, labels: Any, given: dict[str, Any]) -> Params:
    ways = [labels is not None, any(part is not None for part in given.values()), not isinstance(init, str)]
    if sum(ways) > 1:
        raise ArgumentError("Give one start: labels_init, or means_init with its companions, or a fit as init.")
    if labels is not None:
        return initialize.label_start(labels, problem)
    if ways[1]:
        return initialize.given_start(problem, **given)
    if not isinstance(init, str):
        return initialize.warm_start(getattr(init, "params", init), problem)
    if init not in initialize.INITS:
        raise ArgumentError(f"init must be one of {', '.join(initialize.INITS)}, a fit or Params, got {init!r}.")
    return initialize.made_starts(key, problem, n_init, init)


def _best(states: Climb, problem: Problem, interrupted: bool) -> int:
    good = np.asarray(usable(states)) & (interrupted | (states.status != PRUNED))
    if not good.any() and interrupted:
        raise SamplingInterrupted("EM was stopped before any start had an objective. Nothing can be returned.")
    if not good.any():
        _raise_failure(states, problem)
    return int(np.where(good, states.objective, -np.inf).argmax())


def _raise_failure(states: Climb, problem: Problem) -> None:
    names = [STATUS[int(status)] for status in states.status]
    counted = ", ".join(f"{names.count(name)} {name}" for name in dict.fromkeys(names))
    advice = (
        "Use prior='default' (MAP), which bounds it; or ask for fewer components, or more starts (n_init)."
        if problem.prior is None
        else "Ask for fewer components, or for a prior with a larger scale."
    )
    in_single = " float32 resolves less than float64: try that first." if problem.dtype == "float32" else ""
    if np.isin(states.status, (COLLAPSED, EMPTY)).any():
        raise CollapseError(
            f"No start led to a fit ({counted} of {len(names)}): with free covariances the likelihood is unbounded where a "
            f"component closes in on too few points. {advice}{in_single}"
        )
    raise FitError(f"No start led to a fit ({counted} of {len(names)}). Check the scale of the data. {advice}")


def _check_arguments(algorithm: str, max_iter: int, tol: float, n_init: int) -> None:
    if algorithm not in ALGORITHMS:
        raise ArgumentError(f"algorithm must be one of {', '.join(ALGORITHMS)}, got {algorithm!r}.")
    check_count("max_iter", max_iter)
    check_count("n_init", n_init)
    if not tol >= 0:
        raise ArgumentError(f"tol must be 0 or positive, got {tol!r}.")


def _warn(fit: MixtureFit, counts: np.ndarray, tol: float) -> None:
    if fit.status == STATUS[MAX_ITER] and tol > 0:
        warnings.warn(
            f"EM stopped at max_iter={fit.n_iter} before its objective settled. Raise max_iter, or loosen tol.",
            NotConvergedWarning, stacklevel=3,
        )  # fmt: skip
    if fit.interrupted:
        warnings.warn("EM was interrupted; this is the best θ so far.", NotConvergedWarning, stacklevel=3)
    elif fit.status == STATUS[ROUNDING]:
        warnings.warn(
            "EM came to rest, but in this precision the log-likelihood cannot show gains as small as tol. "
            "Use dtype='float64', or a larger tol.",
            NotConvergedWarning, stacklevel=3,
        )  # fmt: skip
    unbounded = unbounded_because(fit.prior, fit.family, fit.table.values)
    if unbounded is not None:
        warnings.warn(
            f"{unbounded}. This fit is a local mode. The posterior is proper: sample it, or raise hyper_df or df.",
            SpuriousComponentWarning, stacklevel=3,
        )  # fmt: skip
    few, family = fit.family.rows_needed(fit.table.dim), fit.family.label(fit.table.dim)
    if fit.prior is None and counts.min() <= few:
        warnings.warn(
            f"A component rests on {counts.min():.1f} rows, no more than the {few} that its covariance ({family}) "
            "needs: this is likely a spurious mode of the likelihood. Use prior='default', or fewer components.",
            SpuriousComponentWarning, stacklevel=3,
        )  # fmt: skip
