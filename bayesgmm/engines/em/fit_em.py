"""Point estimates: EM (maximum likelihood or MAP), classification, stochastic and deterministic annealing EM."""

from collections.abc import Callable
from functools import partial
from os import PathLike
from typing import Any

import numpy as np

from bayesgmm.data.described import described
from bayesgmm.engines import starts as starting
from bayesgmm.engines.dial import ANNEALED, check_beta
from bayesgmm.engines.disk_checkpoints import open_checkpoint
from bayesgmm.engines.em.arguments import check_arguments
from bayesgmm.engines.em.ascent import BATCHED_ROWS, begin, run_ascents
from bayesgmm.engines.em.ascent_state import PRUNED, STATUS, Ascent, usable
from bayesgmm.engines.em.explore import higher_by
from bayesgmm.engines.em.multistart import best_of_sample, check_starts, prepare_search, search
from bayesgmm.engines.em.online import Schedule, online_ascents
from bayesgmm.engines.em.outcome import raise_failure, warn_of, warned_of_merger
from bayesgmm.engines.em.schedules import anneal_and_ascend
from bayesgmm.engines.em.to_fit import to_fit
from bayesgmm.engines.engine import check_conjugacy, find_engine
from bayesgmm.engines.known_classes import all_known
from bayesgmm.engines.mini_batches import FORGETTING
from bayesgmm.errors import (
    ArgumentError,
    PriorError,
    SamplingInterrupted,
)
from bayesgmm.model.types import Params
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, Problem, prepare
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import as_key, check_choice, split_key
from bayesgmm.runtime.checkpoint import Checkpoint
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.runtime.programs import stopwatch
from bayesgmm.runtime.progress import Listener, Progress, listening
from bayesgmm.sweep.passed import HostRows, watched


def fit_em(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = None,
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    fixed: Any = None,
    n_init: int = 16,
    init: Any = "auto",
    seed: Any = 0,
    algorithm: str = "em",
    beta_start: float | None = None,
    weights_init: Any = None,
    means_init: Any = None,
    covariances_init: Any = None,
    labels_init: Any = None,
    max_iter: int | None = None,
    tol: float = 1e-6,
    accelerate: bool = True,
    batch_size: int | None = None,
    num_passes: int = 2,
    forgetting: float = FORGETTING,
    averaged: bool = True,
    checkpoint: str | PathLike | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> MixtureFit:
    """Fit a Gaussian mixture by EM (Dempster, Laird & Rubin 1977), and keep the best of several starts.

    With ``prior=None`` the objective is the log-likelihood. With a prior it is log-likelihood + log prior density over
    (weights, means, covariances), with all constants and without a Jacobian. There is no other term: covariances have
    no hidden regularisation.

    Parameters
    ----------
    x
        Data of shape (N, D): DataFrame, array, xarray or Dask; see `bayesgmm.data.table.as_table`.
    n_components
        K.
    covariance_type
        An mclust code (EII VII EEI VEI EVI VVI EEE VEE EVE VVE EEV VEV EVV VVV, and E, V for one feature), or a
        scikit-learn type: ``"full"`` (VVV), ``"tied"`` (EEE), ``"diag"`` (VVI), ``"spherical"`` (VII). See
        `bayesgmm.model.families`.
    prior
        None (maximum likelihood), ``"default"`` (`default_prior`) or a `Prior`, in the user's units.
    weights, labels, errors, noise
        What else is known of the rows: how often each counts, its class, its errors of measurement, and whether
        some belong to no cluster; see `rows`.
    fixed
        Parameters that are known and held while the rest is inferred, such as ``{"means": {0: [1.0, 2.0]}}``: by
        ``"weights"``, ``"means"``, ``"covariances"``, a mapping from components to values, or an array for all
        components with NaN where they are free. In the user's units; see `bayesgmm.model.fixed.resolve_fixed`.
    n_init
        Number of starts. Each gets a short run, and the best quarter (at least four) continue. A given start replaces
        them.
    init
        ``"auto"``, ``"k-means++"``, ``"random"``, ``"hierarchical"`` (`bayesgmm.engines.starts.make_starts`), or a
        `MixtureFit` or `Params` to start from.
    seed
        int or JAX key.
    algorithm
        ``"em"``; ``"cem"`` assigns each row to its most probable component (Celeux & Govaert 1992); ``"sem"`` draws the
        assignments, runs `max_iter` iterations and returns the best θ visited (Celeux & Diebolt 1985); ``"daem"`` first
        takes responsibilities to a power β that rises to 1, so that less depends on the start (deterministic annealing:
        Ueda & Nakano 1998).
    beta_start
        First β of ``"daem"``, above 0 and at most 1; 0.7 by default. β rises by equal ratios over 100 steps (at most
        half of `max_iter`). The smaller it is, the less depends on the start, and the more components can merge for
        good.
    weights_init, means_init, covariances_init
        A start in the user's units, shapes (K,), (K, D), (K, D, D); weights and covariances may be left out.
    labels_init
        A start from a labelling (N,) with integers 0…K-1.
    max_iter
        Maximum number of M-steps with all rows: 1000, and after batches 0, by default.
    tol
        Stop when the estimate of the remaining gain in log-likelihood falls below this. The estimate is extrapolated by
        the acceleration; without it, by the rule of Aitken. 0 runs `max_iter` iterations.
    accelerate
        Quasi-Newton acceleration with a safeguard: the objective never decreases. False: plain EM. CEM and SEM are
        always plain, and so are the steps of DAEM below β = 1.
    batch_size, num_passes
        Online EM (Cappé & Moulines 2009): an M-step after every `batch_size` rows, in so many passes over all rows. The
        rows in memory are shuffled for each pass; rows on disk are read in their order, which should be random. No
        exact criterion stops it: its status is "stopped as planned", and ``converged`` is False, unless `max_iter` lets
        EM go on with all rows until it settles. One more pass gives the exact log-likelihood.
    forgetting, averaged
        Of online EM: batch t moves the statistics by ``(t + 10)^-forgetting``, above 0.5 and at most 1; and whether the
        result comes from their mean over the second half of the batches (Polyak & Juditsky 1992).
    checkpoint
        A folder, for rows on disk (`open_rows`) or in Dask: the run is saved there between passes. However it ended,
        the same call resumes it.
    dtype
        ``"float64"`` or ``"float32"``.
    progress_bar
        True, False, None (a bar if the session is interactive and the data are large) or a callable.

    Returns
    -------
    MixtureFit

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    CollapseError
        If every start reached a singularity of the unbounded likelihood.

    Warns
    -----
    LocalOptimumWarning
        If the optimum that a given start led to is not the highest: a split and a merger raise the objective. Also if
        DAEM ends where two components are equal.
    NotConvergedWarning
        If the best start stopped at `max_iter` (unless ``tol=0`` asked for that). Also if online EM reads rows on disk
        that are not in random order.
    SpuriousComponentWarning
        If there is no prior and a component rests on no more rows than its part of the covariance needs. Also if the
        density has no highest mode under a hierarchical prior.
    """
    x = described(x, weights, labels, errors, noise)
    schedule = Schedule.of(batch_size, num_passes, forgetting, averaged)
    max_iter, tol, n_init = check_arguments(algorithm, max_iter, tol, n_init, accelerate, schedule, checkpoint)
    given = {"weights": weights_init, "means": means_init, "covariances": covariances_init}
    first_beta = check_beta(beta_start, algorithm)
    settings = {
        "n_init": n_init, "init": getattr(init, "params", init), "algorithm": algorithm, "beta_start": beta_start,
        "max_iter": max_iter, "tol": tol, "accelerate": accelerate, "labels_init": labels_init,
    } | {f"{name}_init": part for name, part in given.items()} | (schedule.settings if schedule else {})  # fmt: skip
    with scope(dtype) as dtype, stopwatch() as clock:
        problem = prepare(x, n_components, prior, dtype, covariance_type, fixed)
        _check_problem(problem, algorithm)
        key_start, key_ascent = split_key(as_key(seed))
        given_start = not isinstance(init, str) or any(part is not None for part in (labels_init, *given.values()))
        quick, whole = accelerate and not all_known(problem.table), schedule is None and not problem.table.on_disk
        if quick and whole and not given_start and algorithm == "em":
            prepare_search(init, n_init, problem, tol, max_iter)
        starts = starts_of(key_start, problem, n_init, init, labels_init, given)
        saving = open_checkpoint(checkpoint, problem, algorithm, settings, seed)
        with listening(_shown(progress_bar, problem)) as listener, saving as saved:
            run, gain = _run(algorithm, quick, first_beta, schedule, saved), 0.0
            ascents, interrupted = run(key_ascent, starts, problem, _tol_of(algorithm, tol), max_iter, listener)
            if whole and given_start and algorithm == "em" and tol > 0 and not interrupted:
                ascents, interrupted, gain = higher_by(key_ascent, ascents, problem, tol, max_iter, accelerate)
            best = best_of(ascents, problem, interrupted)
            listener(algorithm, steps := int(ascents.iteration[best]), steps, STATUS[int(ascents.status[best])])
        fit = to_fit(ascents, best, problem, algorithm, interrupted, clock, seed, settings | {"dtype": dtype})
    warn_of(fit, np.asarray(ascents.counts[best]), _tol_of(algorithm, tol), gain)
    return warned_of_merger(fit) if algorithm in ANNEALED else fit


def _check_problem(problem: Problem, algorithm: str) -> None:
    check_has_mode(problem.prior, problem.model)
    find_engine(algorithm).check_problem(problem)


def _run(
    algorithm: str, accelerate: bool, first_beta: float | None, schedule: Schedule | None, saved: Checkpoint | None
) -> Callable[..., tuple[Ascent, bool]]:
    """What leads from the starts to the ascents."""
    if first_beta is not None:
        return partial(anneal_and_ascend, beta_start=first_beta, accelerate=accelerate)
    if schedule is not None:
        return partial(online_ascents, schedule=schedule, accelerate=accelerate)
    quick = accelerate and algorithm == "em"
    return partial(_ascend, algorithm=algorithm, accelerate=quick, checkpoint=saved)


def _shown(progress_bar: Progress, problem: Problem) -> Progress:
    """The progress bar of the user; by default none for small data."""
    return False if progress_bar is None and problem.table.num_rows <= BATCHED_ROWS else progress_bar


def _tol_of(algorithm: str, tol: float) -> float:
    """The tolerance that is used: paths of draws do not settle."""
    return 0.0 if algorithm == "sem" else tol


def _ascend(
    key,
    starts: Params,
    problem: Problem,
    tol: float,
    max_iter: int,
    listener: Listener,
    algorithm: str,
    accelerate: bool,
    checkpoint: Checkpoint | None,
) -> tuple[Ascent, bool]:
    """All ascents, on the host, and whether Ctrl-C interrupted one."""
    rows = problem.rows
    listener = watched(listener, rows, algorithm, max_iter)

    def report(done: int) -> None:
        listener(algorithm, done, max_iter, rows.note if isinstance(rows, HostRows) else "")

    if isinstance(rows, HostRows):
        starts = best_of_sample(key, starts, starting.sampled(problem), max_iter)
    elif accelerate and tol > 0 and len(starts.weights) > 1:
        return search(key, starts, problem, tol, max_iter, report)
    ascents, interrupted = run_ascents(
        key, begin(starts, problem.standard_prior, accelerate), problem.standard_prior, problem.rows, tol,
        max_iter, algorithm, accelerate, report=report, checkpoint=checkpoint,
    )  # fmt: skip
    return to_numpy(ascents), interrupted


def check_has_mode(prior: Belief | str | None, model: Model | None = None) -> None:
    """Refuse a prior under which EM has no mode to ascend to. Weights that a model holds are nowhere near 0.

    Raises
    ------
    PriorError
        If it is no prior, θ given z has no closed form, or the density is unbounded at weight 0.
    """
    if isinstance(prior, Belief):
        prior.check_parts()
    check_conjugacy("em", Conjugacy.CONDITIONAL, prior)
    known = model is not None and len(model.held.free("weights", model.num_components)) < 2
    if isinstance(prior, Belief) and prior.unbounded_at_zero and not known:
        raise PriorError(
            f"With {prior.weights.unbounded_with()} the posterior density is unbounded at weight 0. It has no mode. "
            f"Use {prior.weights.mode_needs()} for MAP, or sample the posterior (sample_gibbs, sample_nuts)."
        )


def starts_of(key, problem: Problem, n_init: int, init: Any, labels: Any, given: dict[str, Any]) -> Params:
    """The starts of a call (leading axis), in standardised coordinates: found, or the given one."""
    own = not isinstance(init, str) or init != "auto"
    ways = [labels is not None, any(part is not None for part in given.values()), own]
    if sum(ways) > 1:
        raise ArgumentError(
            "Give one start only: labels_init, or means_init (with weights_init, covariances_init), or init."
        )
    if labels is not None:
        return starting.label_start(labels, problem)
    if ways[1]:
        return starting.given_start(problem, **given)
    if not isinstance(init, str):
        return starting.warm_start(getattr(init, "params", init), problem)
    check_choice("init", init, starting.INITS, ", a fit or Params")
    check_starts(problem.model, n_init)
    return starting.make_starts(key, starting.sampled(problem), n_init, init)


def best_of(ascents: Ascent, problem: Problem, interrupted: bool) -> int:
    """The highest ascent with a usable end. Raises a `FitError` if there is none."""
    good = np.asarray(usable(ascents)) & (interrupted | (np.asarray(ascents.status) != PRUNED))
    if not good.any() and interrupted:
        raise SamplingInterrupted("EM was stopped before any start had an objective. Nothing can be returned.")
    if not good.any():
        raise_failure(ascents, problem)
    return int(np.where(good, ascents.objective, -np.inf).argmax())
