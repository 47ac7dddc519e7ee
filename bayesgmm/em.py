"""Point estimates: EM (maximum likelihood or MAP), classification EM and stochastic EM."""

import warnings
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from bayesgmm import initialize
from bayesgmm.clock import stopwatch
from bayesgmm.conjugate import Belief
from bayesgmm.drivers import (
    BATCHED_ROWS,
    COLLAPSED,
    CONVERGED,
    EMPTY,
    MAX_ITER,
    NON_FINITE,
    ROUNDING,
    STATUS,
    Climb,
    climb,
)
from bayesgmm.errors import (
    ArgumentError,
    CollapseError,
    FitError,
    NotConvergedWarning,
    PriorError,
    SamplingInterrupted,
    SpuriousComponentWarning,
)
from bayesgmm.kernels import log_likelihood
from bayesgmm.labels import by_first_mean, permute
from bayesgmm.precision import scope, to_numpy
from bayesgmm.problem import Problem, as_key, check_count, log_kernel, prepare
from bayesgmm.progress import Progress, listening
from bayesgmm.results import Basin, MixtureFit
from bayesgmm.types import Params

ALGORITHMS = ("em", "cem", "sem")
FAILED = (COLLAPSED, EMPTY, NON_FINITE)


def fit_em(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = None,
    n_init: int = 10,
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
        Data of shape (N, D): DataFrame, array or xarray; see `bayesgmm.data.as_table`.
    n_components
        K.
    covariance_type
        ``"full"``; other families are refused for now.
    prior
        None (maximum likelihood), ``"default"`` (`default_prior`) or a `Prior`, in the user's units.
    n_init
        Number of k-means++ starts. A given start replaces them.
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
        Stop when Aitken's estimate of the log-likelihood still to be gained falls below this; 0 runs `max_iter` iterations.
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
        If, without a prior, a component rests on D + 1 rows or fewer.
    """
    _check_arguments(algorithm, max_iter, tol, n_init)
    with scope(dtype), stopwatch() as clock:
        problem = prepare(x, n_components, prior, dtype, covariance_type)
        _check_prior(problem)
        key_start, key_climb = jr.split(as_key(seed))
        given = (weights_init, means_init, covariances_init)
        if labels_init is not None and any(part is not None for part in given):
            raise ArgumentError("Give labels_init, or means_init with its companions, but not both.")
        if labels_init is not None:
            starts = initialize.label_start(labels_init, problem)
        elif any(part is not None for part in given):
            starts = initialize.given_start(problem, *given)
        else:
            starts = initialize.kmeans_starts(key_start, problem, n_init)
        tol_used = 0.0 if algorithm == "sem" else tol
        brief = progress_bar is None and problem.table.num_rows <= BATCHED_ROWS
        with listening(False if brief else progress_bar) as listener:
            states, interrupted = climb(
                key_climb, starts, problem.belief, problem.rows, tol_used, max_iter, algorithm,
                accelerate and algorithm == "em", lambda done: listener(algorithm, done, max_iter, ""),
            )  # fmt: skip
            states = to_numpy(states)
            best = _best(states, problem, interrupted)
            steps = int(states.iteration[best])
            listener(algorithm, steps, steps, STATUS[int(states.status[best])])
        values = _values(states, best, problem, algorithm)
    fit = MixtureFit(
        **values,
        interrupted=interrupted,
        algorithm=algorithm,
        prior=problem.prior,
        table=problem.table,
        frame=problem.frame,
        clock=clock,
        seed=seed,
    )
    _warn(fit, states.counts[best], tol_used)
    return fit


def _values(states: Climb, best: int, problem: Problem, algorithm: str) -> dict[str, Any]:
    """Fields of the fit that come from the climb, back in the user's units."""
    chosen = jax.tree.map(lambda leaf: leaf[best], states)
    objective, log_prior_inside = float(chosen.objective), _log_prior(chosen.best, problem.belief)
    value = objective - log_prior_inside - problem.log_volume
    restored = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem.frame.restore(chosen.best))
    log_prior = 0.0
    if problem.prior is not None:
        log_prior = _log_prior(restored, problem.penalty) + problem.prior_constant
    shift = value + log_prior - objective
    return {
        "params": permute(restored, by_first_mean(restored)),
        "log_likelihood": _marginal(chosen.best, problem) if algorithm == "cem" else value,
        "objective": value + log_prior,
        "converged": int(chosen.status) == CONVERGED,
        "status": STATUS[int(chosen.status)],
        "n_iter": int(chosen.iteration),
        "trace": np.asarray(chosen.trace, np.float64)[: int(chosen.iteration) + 1] + shift,
        "basins": _basins(states, shift),
    }


def _log_prior(params: Params, belief: Belief) -> float:
    return float(log_kernel(*jax.tree.map(jnp.asarray, (params, belief))))


def _marginal(params: Params, problem: Problem) -> float:
    params = Params(*map(jnp.asarray, params))
    return float(log_likelihood(params, problem.rows)) - problem.log_volume


def _best(states: Climb, problem: Problem, interrupted: bool) -> int:
    usable = ~np.isin(states.status, FAILED) & np.isfinite(states.objective)
    if not usable.any() and interrupted:
        raise SamplingInterrupted("EM was stopped before any start had an objective. Nothing can be returned.")
    if not usable.any():
        _raise_failure(states, problem)
    return int(np.where(usable, states.objective, -np.inf).argmax())


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


def _basins(states: Climb, shift: float) -> tuple[Basin, ...]:
    """Starts that ended within 1e-3 of one another in the objective are one basin; failures are listed by kind."""
    usable = np.isfinite(states.objective) & ~np.isin(states.status, FAILED)
    order = np.lexsort((-np.where(np.isfinite(states.objective), states.objective, -np.inf), ~usable))
    groups: list[list[int]] = []
    for i in map(int, order):
        home = next((group for group in groups if _same(states, group[0], i)), None)
        if home is None:
            groups.append([i])
        else:
            home.append(i)
    return tuple(
        Basin(
            objective=float(states.objective[group[0]]) + shift,
            hits=len(group),
            mean_iterations=float(states.iteration[np.array(group)].mean()),
            status=STATUS[int(states.status[group[0]])],
        )
        for group in groups
    )


def _same(states: Climb, first: int, second: int) -> bool:
    if states.status[first] != states.status[second]:
        return False
    failed = int(states.status[first]) in FAILED
    return failed or float(abs(states.objective[first] - states.objective[second])) < 1e-3


def _check_arguments(algorithm: str, max_iter: int, tol: float, n_init: int) -> None:
    if algorithm not in ALGORITHMS:
        raise ArgumentError(f"algorithm must be one of {', '.join(ALGORITHMS)}, got {algorithm!r}.")
    check_count("max_iter", max_iter)
    check_count("n_init", n_init)
    if not tol >= 0:
        raise ArgumentError(f"tol must be 0 or positive, got {tol!r}.")


def _check_prior(problem: Problem) -> None:
    if problem.prior is not None and (np.asarray(problem.prior.weights.concentration) < 1).any():
        raise PriorError(
            "With a Dirichlet concentration below 1 the posterior density is unbounded at weight 0, so it has no mode. "
            "Use a concentration of at least 1 for MAP, or sample the posterior (sample_gibbs, sample_nuts)."
        )


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
    few = fit.table.dim + 1
    if fit.prior is None and counts.min() <= few:
        warnings.warn(
            f"A component rests on {counts.min():.1f} rows, no more than the {few} that its covariance needs: this is likely a "
            "spurious mode of the likelihood. Use prior='default', or fewer components.",
            SpuriousComponentWarning, stacklevel=3,
        )  # fmt: skip
