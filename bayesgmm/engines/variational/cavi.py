"""Coordinate-ascent variational inference: EM with a distribution of θ (Attias 2000; Bishop 2006, section 10.2).

For many rows it can begin with stochastic steps, each on a batch of rows (Hoffman, Blei, Wang & Paisley 2013). A step
moves the statistics of q a share of the way towards those of the batch, weighted as if the batch were all the rows.
"""

import warnings
from contextlib import closing
from functools import partial
from os import PathLike
from threading import Event
from typing import Any

import jax
import numpy as np

from bayesgmm.data.described import described
from bayesgmm.engines.checks import MOST_CHAINS
from bayesgmm.engines.disk_checkpoints import open_checkpoint
from bayesgmm.engines.engine import DRAW_SETTINGS, Engine
from bayesgmm.engines.mini_batches import check_batches, in_order
from bayesgmm.engines.starts import make_starts, sampled
from bayesgmm.engines.variational.approximation import Approximated, Arguments, Task, run_approximation
from bayesgmm.engines.variational.cavi_batches import BATCHES, FIRST_BATCH, FROM_SAMPLE, STREAMED
from bayesgmm.engines.variational.cavi_iterations import AFTER_BATCHES, BEGIN, CaviRun, advance, draw
from bayesgmm.engines.variational.variational_posterior import VariationalPosterior as VariationalPosterior
from bayesgmm.errors import FitError, NotConvergedWarning, SamplingInterrupted
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Frame, Params
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.prior import Belief
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import check_count, check_number, derived_key, key_array
from bayesgmm.runtime.checkpoint import Checkpoint
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.progress import Progress
from bayesgmm.sweep.passed import watched

SAMPLE_TOL = 1e-3
"""Tolerance on the sample of rows on disk, which gives a start."""
BLOCK = 100
"""Stochastic steps between two progress reports (and checks for Ctrl-C)."""


def fit_cavi(
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
    n_init: int = 8,
    batch_size: int | None = None,
    num_steps: int = 300,
    max_iter: int = 2000,
    tol: float = 1e-6,
    checkpoint: str | PathLike | None = None,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    reference: MixtureFit | Params | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> VariationalPosterior:
    """Approximate the posterior by ``q(z) q(weights) Π q(means_k, covariances_k)``: the best of several starts.

    Each iteration is an EM iteration with expectations in both updates: q(z) given q(θ), then q(θ) given q(z), which
    is conjugate. The bound (ELBO) never decreases. q ignores the dependence between z and θ, so its spreads are too
    small. Pareto k-hat measures how much this matters.

    Parameters
    ----------
    x, n_components, covariance_type, prior, weights, labels, errors, noise, fixed, reference, dtype
        As for `sample_gibbs`.
    n_init
        Number of starts.
    batch_size, num_steps
        Every start begins with `num_steps` steps on random batches of `batch_size` rows. Then only the best start
        continues, with all rows. None: all rows in each iteration of each start. With rows on disk (`open_rows`), the
        start is chosen on their sample; then it takes steps on batches in the order of the rows, in at most one pass.
    max_iter
        Maximum number of iterations with all rows.
    tol
        Stop when the Aitken estimate of the remaining gain of the bound falls below this.
    checkpoint
        A folder, for rows on disk: the run is saved there between passes. However it ended, the same call resumes it.
    num_samples, num_chains
        Independent draws from q, in the shape (chain, draw) of the samplers.
    seed
        int or JAX key.

    Returns
    -------
    VariationalPosterior
        After Ctrl-C: draws from the current q, with ``interrupted`` set.

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    FitError
        If no start has a finite bound.
    SamplingInterrupted
        If stopped before the first iteration.

    Warns
    -----
    NotConvergedWarning
        If the best start stopped at `max_iter`.
    """
    x = described(x, weights, labels, errors, noise)
    n_init, max_iter = check_count("n_init", n_init, most=MOST_CHAINS), check_count("max_iter", max_iter)
    tol, num_steps = check_number("tol", tol, low=0.0, open_low=True), check_count("num_steps", num_steps)
    batch_size = None if batch_size is None else check_count("batch_size", batch_size)
    arguments = Arguments(
        x, n_components, covariance_type, prior, fixed, num_samples, num_chains, seed, reference, dtype, progress_bar
    )
    settings = {
        "n_init": n_init, "batch_size": batch_size, "num_steps": num_steps, "max_iter": max_iter, "tol": tol,
    }  # fmt: skip
    approximate = partial(_approximate, checkpoint=checkpoint, seed=seed, settings=settings)
    posterior = run_approximation("cavi", VariationalPosterior, approximate, arguments, settings)
    if not posterior.converged and not posterior.interrupted:
        warnings.warn(
            f"CAVI stopped at max_iter={max_iter} before its bound settled. Raise max_iter or tol.",
            NotConvergedWarning, stacklevel=2,
        )  # fmt: skip
    return posterior


def _approximate(task: Task, *, checkpoint: str | PathLike | None, seed: Any, settings: dict[str, Any]) -> Approximated:
    if settings["batch_size"] is not None:
        check_batches("CAVI", task.problem.table)
    problem, max_iter = task.problem, settings["max_iter"]
    batches: tuple[Any, int] = settings["batch_size"], settings["num_steps"]
    with open_checkpoint(checkpoint, problem, "cavi", settings, seed) as saved, interruptible() as stop:
        starts = make_starts(task.key_start, sampled(problem), settings["n_init"])
        if problem.table.on_disk:
            runs = BEGIN(starts, problem.standard_prior, sampled(problem).rows)
            runs = _best_of_sample(runs, task, max_iter, stop)
            if batches[0] is not None and not (saved is not None and saved.has_state):
                runs = _streamed(runs, task, *batches, stop)
        else:
            runs = _begin(derived_key(task.key_start, 1), starts, task, *batches, stop)
        runs, interrupted = _run(runs, task, settings["tol"], max_iter, stop, saved)
    bounds = np.asarray(runs.state.elbo)
    if not np.isfinite(bounds).any():
        if interrupted:
            raise SamplingInterrupted("CAVI was stopped before its first iteration. Nothing can be returned.")
        raise FitError("No start led to a finite bound. Check the scale of the data, or use dtype='float64'.")
    best: CaviRun = jax.tree.map(lambda leaf: leaf[int(np.nanargmax(bounds))], runs)
    params, values, log_ratios = draw(task.draw_keys, best.state.q, problem)
    fields = {
        "q": _in_units(best.state.q, problem.frame), "elbo": float(best.state.elbo) - problem.log_volume,
        "trace": np.asarray(best.trace[: int(best.state.iteration)], float) - problem.log_volume,
        "converged": bool(best.state.settled),
    }  # fmt: skip
    return Approximated(params, values, log_ratios, interrupted, fields)


def _in_units(q: Belief, frame: Frame) -> Belief:
    """q(θ) in the user's units."""
    back = Frame(-frame.center / frame.scale, 1.0 / frame.scale)
    return to_numpy(Belief(q.weights, q.components.standardise(back)))


def _begin(key: Any, starts: Params, task: Task, batch_size: int | None, num_steps: int, stop: Event) -> CaviRun:
    """The starts (leading axis) before their first iteration with all rows.

    After stochastic steps: only the best start. If Ctrl-C ended these steps, it has its bound.
    """
    problem = task.problem
    if batch_size is None or batch_size >= problem.table.num_rows:
        return BEGIN(starts, problem.standard_prior, problem.rows)
    keys, batch_size = key_array(key, len(starts.weights)), int(batch_size)
    shared = problem.standard_prior, problem.rows
    running, done = FIRST_BATCH(keys, starts, *shared, batch_size=batch_size), 0
    while done < num_steps and not stop.is_set():
        count = min(BLOCK, num_steps - done)
        steps = np.asarray(done), np.asarray(done + count)
        running = jax.block_until_ready(BATCHES(keys, running, *shared, *steps, batch_size=batch_size))
        done += count
        task.listener("cavi, batches", done, num_steps, "")
    runs, bounds = AFTER_BATCHES(running.theta, problem.standard_prior, problem.rows)
    best = int(np.nanargmax(bounds)) if np.isfinite(bounds).any() else 0
    # Only after Ctrl-C. Otherwise the first iteration would find no gain over the bound of its q, and settle.
    if stop.is_set():
        runs = runs._replace(state=runs.state._replace(elbo=bounds))
    return jax.tree.map(lambda leaf: leaf[best : best + 1], runs)


def _best_of_sample(runs: CaviRun, task: Task, max_iter: int, stop: Event) -> CaviRun:
    """The best run where it has settled on the sample of rows, before its first iteration with all rows on disk."""
    some = sampled(task.problem)
    found, _ = _run(runs, task._replace(problem=some), SAMPLE_TOL, max_iter, stop)
    bounds = np.asarray(found.state.elbo)
    best = int(np.nanargmax(bounds)) if np.isfinite(bounds).any() else 0
    q = jax.tree.map(lambda leaf: np.asarray(leaf)[best : best + 1], found.state.q)
    return AFTER_BATCHES(q, some.standard_prior, some.rows)[0]


def _streamed(runs: CaviRun, task: Task, batch_size: int, num_steps: int, stop: Event) -> CaviRun:
    """The run after steps on batches of the rows on disk, in their order, before its first iteration with all rows."""
    problem, few, done = task.problem, sampled(task.problem), 0
    num_rows, prior = problem.table.num_rows, problem.standard_prior
    size = min(batch_size, num_rows)
    total = min(num_steps, -(-num_rows // size))
    numbers = np.asarray(num_rows, problem.dtype), np.asarray(size, problem.dtype)
    running = FROM_SAMPLE(runs.state.q, prior, few.rows, numbers[0])
    heard = watched(task.listener, problem.rows, "cavi, batches", total)
    with closing(in_order(problem.rows, size)) as found:
        for batches, num in found:
            count = min(num, total - done)
            running = to_numpy(STREAMED(running, prior, batches, np.asarray(done), np.asarray(count), *numbers))
            done += count
            heard("cavi, batches", done, total, "")
            if done == total or stop.is_set():
                break
    return AFTER_BATCHES(running.theta, prior, few.rows)[0]


def _run(
    runs: CaviRun, task: Task, tol: float, max_iter: int, stop: Event, saved: Checkpoint | None = None
) -> tuple[CaviRun, bool]:
    """Iterate with all rows, in blocks, until every start settles or reaches `max_iter`; whether Ctrl-C stopped it."""
    problem, limit, room = task.problem, 0, runs.trace.shape[1]
    traces: list[Any] = []
    heard = watched(task.listener, problem.rows, "cavi", max_iter)
    if saved is not None:
        runs, limit, blocks = saved.load(runs)
        traces = [block["trace"] for block in blocks]
        saved.add(runs, limit, None, now=True)
    size = 1 if problem.table.on_disk else 16
    while limit < max_iter and not stop.is_set():
        last = (limit // room + 1) * room  # for further iterations, the traces have no space
        limit, size = min(limit + size, max_iter, last), size if problem.table.on_disk else 2 * size
        limits = np.asarray(tol, problem.dtype), np.asarray(limit)
        runs, note = advance(runs, problem, *limits)
        state = runs.state
        reached = np.max(state.elbo, initial=-np.inf, where=np.isfinite(state.elbo)) - problem.log_volume
        over, full = state.settled.all(), limit == last and not state.settled.all()
        if full:
            traces.append(runs.trace)
        if saved is not None:
            ended = bool(over) or limit >= max_iter or stop.is_set()
            saved.add(runs, limit, {"trace": traces[-1]} if full else None, now=ended)
        heard("cavi", max_iter if over else limit, max_iter, f"ELBO {reached:.1f}{note}")
        if over:
            break
    runs = to_numpy(runs)
    whole = np.concatenate([*traces, runs.trace], axis=1)
    return runs._replace(trace=whole), stop.is_set() and not runs.state.settled.all()


CAVI = Engine(
    "cavi",
    "variational Bayes (CAVI)",
    fit_cavi,
    DRAW_SETTINGS,
    needs=Conjugacy.JOINT,
    families=CONJUGATE,
    from_disk=True,
)
