"""Point estimates by copies of z: Monte Carlo EM (Wei & Tanner 1990) and SAME (Doucet, Godsill & Robert 2002)."""

from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from bayesgmm.data.described import described
from bayesgmm.engines.checks import MOST_CHAINS
from bayesgmm.engines.em.ascent import BATCHED_ROWS
from bayesgmm.engines.em.fit_em import best_of, check_has_mode, starts_of
from bayesgmm.engines.em.outcome import warn_of
from bayesgmm.engines.em.schedules import BLOCK, Followed, evaluated, follow
from bayesgmm.engines.em.to_fit import to_fit
from bayesgmm.engines.engine import find_engine
from bayesgmm.model.alignment import align, permute
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem, prepare
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import as_key, check_count, split_key
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import stopwatch
from bayesgmm.runtime.progress import Progress, check_progress, listening

MOST_COPIES, MOST_STEPS = 10**6, 10**5


def fit_mcem(
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
    copies: int = 100,
    num_steps: int = 200,
    n_init: int = 10,
    init: Any = "auto",
    seed: Any = 0,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> MixtureFit:
    """Fit a Gaussian mixture by Monte Carlo EM: the E-step is an average over draws of z (Wei & Tanner 1990).

    The estimate is the average of weights, means and covariances over the last half of the steps (Fort & Moulines
    2003), taken into the covariance family. It lies within Monte Carlo error of a mode, plus a bias of order
    1 / `copies`.

    Parameters
    ----------
    x, n_components, covariance_type, prior, seed, dtype, progress_bar
        As for `fit_em`.
    weights, labels, errors, noise, fixed
        What else is known of the rows and of θ; see `rows` and `fit_em`.
    copies
        Draws of z for each row in each step.
    num_steps
        Number of steps; rounded up to a multiple of ten.
    n_init, init
        Starts, as for `fit_em`. The path from each runs to its end, and the highest is kept.

    Returns
    -------
    MixtureFit
        ``converged`` is False: the steps do not settle. ``trace`` has the objective before each step, and at the
        estimate.

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    CollapseError
        If every start reached a singularity of the unbounded likelihood.
    """
    x = described(x, weights, labels, errors, noise)
    num, length, settings = _checked(copies, num_steps, n_init, init)
    schedule = np.full(length, float(num))
    return _fit(
        "mcem", x, n_components, prior, covariance_type, fixed, schedule, _average, settings, init, seed, dtype,
        progress_bar,
    )  # fmt: skip


def fit_same(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    fixed: Any = None,
    copies: int = 1000,
    num_steps: int = 300,
    n_init: int = 10,
    init: Any = "auto",
    seed: Any = 0,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> MixtureFit:
    """Search for the posterior mode by SAME: Gibbs with more and more copies of z (Doucet, Godsill & Robert 2002).

    The copies rise by equal ratios from 1 (Gibbs) to `copies`. The estimate is the last θ: a draw from about
    ``p(θ | x)^copies``. With p free parameters its log posterior lies about p / (2 `copies`) below that of its mode.

    Parameters
    ----------
    x, n_components, covariance_type, prior, seed, dtype, progress_bar
        As for `sample_gibbs`; the prior must be a conjugate one (`NormalInverseWishart`, `NormalInverseGamma`).
    weights, labels, errors, noise, fixed
        What else is known of the rows and of θ; see `rows` and `fit_em`.
    copies
        Copies of z in the last step.
    num_steps
        Number of steps; rounded up to a multiple of ten.
    n_init, init
        Starts, as for `fit_em`. The path from each runs to its end, and the highest is kept.

    Returns
    -------
    MixtureFit
        ``converged`` is False: the steps do not settle. ``trace`` has the objective before each step, and at the
        estimate.

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    """
    x = described(x, weights, labels, errors, noise)
    num, length, settings = _checked(copies, num_steps, n_init, init)
    schedule = np.round(np.geomspace(1.0, num, length))
    return _fit(
        "same", x, n_components, prior, covariance_type, fixed, schedule, _last, settings, init, seed, dtype,
        progress_bar,
    )  # fmt: skip


def _checked(copies: Any, num_steps: Any, n_init: Any, init: Any) -> tuple[int, int, dict[str, Any]]:
    """The number of copies, the steps rounded up to whole blocks, and the settings of the fit."""
    num = check_count("copies", copies, most=MOST_COPIES)
    steps = check_count("num_steps", num_steps, most=MOST_STEPS)
    settings = {"copies": num, "num_steps": steps, "n_init": n_init, "init": getattr(init, "params", init)}
    return num, -(-steps // BLOCK) * BLOCK, settings


def _fit(
    name: str, x: Any, n_components: int, prior: Belief | str | None, covariance_type: str, fixed: Any,
    schedule: np.ndarray, estimate: Callable[[Followed, Params, Problem], Params], settings: dict[str, Any], init: Any,
    seed: Any, dtype: str, progress_bar: Progress,
) -> MixtureFit:  # fmt: skip
    """One run of either: paths from all starts, an estimate of each, and the highest of them as a fit."""
    n_init = check_count("n_init", settings["n_init"], most=MOST_CHAINS)
    check_progress(progress_bar)
    with scope(dtype) as dtype, stopwatch() as clock:
        problem = prepare(x, n_components, prior, dtype, covariance_type, fixed)
        engine = find_engine(name)
        engine.check(problem.prior, problem.family, problem.table.dim)
        engine.check_problem(problem)
        check_has_mode(problem.prior, problem.model)
        key_start, key_run = split_key(as_key(seed))
        starts = starts_of(key_start, problem, n_init, init, None, {"means": None})
        brief = progress_bar is None and problem.table.num_rows <= BATCHED_ROWS
        with listening(False if brief else progress_bar) as listener:
            found = follow(key_run, starts, problem, name, schedule, listener, len(schedule))
        ascents = evaluated(found, estimate(found, starts, problem), problem)
        best = best_of(ascents, problem, found.interrupted)
        used = settings | {"dtype": dtype}
        fit = to_fit(ascents, best, problem, name, found.interrupted, clock, seed, used)
    warn_of(fit, np.asarray(ascents.counts[best]), 0.0, 0.0)
    return fit


def _last(found: Followed, starts: Params, problem: Problem) -> Params:
    del problem
    return jax.tree.map(lambda path: path[:, -1], found.path) if found.path.weights.shape[1] else starts


def _average(found: Followed, starts: Params, problem: Problem) -> Params:
    """The average over the last half of each path, with the numbering of its end."""
    last = _last(found, starts, problem)
    half = jax.tree.map(lambda path: path[:, path.shape[1] // 2 :], found.path)
    if not half.weights.shape[1]:
        return last
    made = [
        _average_of(jax.tree.map(lambda leaf, i=i: leaf[i : i + 1], half), last, i, problem)
        for i in range(len(half.weights))
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves).astype(problem.dtype), *made)


def _average_of(draws: Params, last: Params, i: int, problem: Problem) -> Params:
    end = jax.tree.map(lambda leaf: leaf[i], last)
    draws = permute(draws, align(draws, end, problem.model.interchangeable))
    weights, means, covariances = (
        np.mean(np.asarray(part, float), axis=(0, 1)) for part in (draws.weights, draws.means, draws.covariances)
    )
    trils: Any = np.linalg.cholesky(covariances)
    return Params(weights / weights.sum(), means, trils)
