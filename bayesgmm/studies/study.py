"""One call, many data sets: bias, coverage and cost of every engine, with Monte Carlo errors."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from os import PathLike
from typing import Any

import jax.random as jr
import numpy as np

from bayesgmm.engines.checks import MOST_CHAINS, check_chain_arguments
from bayesgmm.engines.engine import engine_names, find_engine, find_engines
from bayesgmm.errors import ArgumentError, DataError, FitError
from bayesgmm.model.families import resolve_family
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import prepare
from bayesgmm.results.intervals import METHODS
from bayesgmm.runtime.arguments import as_key, check_choice, check_count, check_names, shown
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.files import as_path
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.lock import Lock
from bayesgmm.runtime.progress import Progress, check_progress, listening
from bayesgmm.studies.replicate import Plan, draw_sample
from bayesgmm.studies.result import Study
from bayesgmm.studies.running import on_dask, on_executor, on_joblib, run_all
from bayesgmm.studies.truths import Cell, Truths, truths_of

MOST_REPLICATES = 10**6
RESERVED = {"x", "n_components", "prior", "covariance_type", "seed", "reference", "progress_bar"}
"""Arguments of an engine that the study gives."""


def study(
    truths: Any,
    *,
    n: Any = (50, 200, 1000),
    engines: Sequence[str] | Mapping[str, Mapping[str, Any]] = ("em", "gibbs"),
    num_replicates: int = 100,
    n_components: Any = None,
    n_features: Any = None,
    overlap: Any = None,
    imbalance: Any = None,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    level: float = 0.9,
    em_intervals: str | None = "information",
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 2,
    tempering: int = 1,
    n_init: int = 10,
    test_rows: int = 1000,
    seed: Any = 0,
    checkpoint: str | PathLike | None = None,
    client: Any = None,
    executor: Any = None,
    n_jobs: int | None = None,
    progress_bar: Progress = None,
) -> Study:
    """Run engines on many simulated data sets, and measure how far they are from the truth.

    Parameters
    ----------
    truths
        Where data come from: `Params`, a fit, a dict of several by name; ``"random"``: each replicate draws a mixture
        by `random_mixture`; ``"prior"``: each replicate draws θ from `prior`.
    n
        A number of rows, or several.
    engines
        Names, as for `compare`; or a dict of columns, each with settings of its engine:
        ``{"em": {}, "one start": {"engine": "em", "n_init": 1}}``.
    num_replicates
        Data sets per cell. Monte Carlo errors fall with its square root.
    n_components, n_features, overlap, imbalance
        A number or several: the grid of ``"random"`` truths, see `random_mixture`. ``"prior"`` takes one of each of
        the first two.
    covariance_type, prior
        The model of every engine, as for `compare`.
    level
        Of the intervals whose coverage is counted.
    em_intervals
        Intervals of point estimates, see `MixtureFit.intervals`; None: none.
    num_warmup, num_samples, num_chains, tempering, n_init
        As for `compare`.
    test_rows
        Further rows of each data set, on which the log score is measured.
    seed
        int or JAX key. A replicate depends on the seed, its cell and its number only: not on the grid, the number of
        replicates, or the number of workers.
    checkpoint
        A folder. Each replicate is written there when it ends, and the same call goes on from there; also with more
        replicates or another grid.
    client
        A Dask client: replicates run on its cluster, and again if a worker dies.
    executor
        An executor of ``concurrent.futures``, or one with its interface.
    n_jobs
        Number of joblib's workers, with the backend that ``joblib.parallel_config`` has set.
    progress_bar
        True, False, None (a bar in a terminal or notebook) or a callable.

    Returns
    -------
    Study
        After Ctrl-C, the replicates so far.

    Raises
    ------
    ArgumentError, PriorError, CheckpointError
        Before the first replicate.
    """
    plan = _plan(
        truths_of(
            truths, n, covariance_type, prior,
            {"n_components": n_components, "n_features": n_features, "overlap": overlap, "imbalance": imbalance},
        ), engines, covariance_type, prior, level, em_intervals, test_rows, seed,
        {"num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains, "tempering": tempering,
         "n_init": n_init},
    )  # fmt: skip
    num_replicates = check_count("num_replicates", num_replicates, most=MOST_REPLICATES, why="each runs every engine")
    check_progress(progress_bar)
    workers = _workers(client, executor, n_jobs)
    folder = None if checkpoint is None else as_path("checkpoint", checkpoint)
    cells = plan.truths.cells
    for cell in cells:
        _try_out(plan, cell)
    with listening(progress_bar) as listener, interruptible() as stop, ExitStack() as held:
        if folder is not None:
            held.enter_context(Lock(folder))
        lines = run_all(plan, cells, num_replicates, folder, workers, listener, stop)
    if not lines:
        raise FitError("The study was stopped before its first replicate had ended. Nothing can be returned.")
    return Study(plan, cells, num_replicates, lines, seed)


def _plan(
    truths: Truths, engines: Any, covariance_type: str, prior: Any, level: Any, em_intervals: Any, test_rows: Any,
    seed: Any, settings: dict[str, Any],
) -> Plan:  # fmt: skip
    level = check_level("level", level)
    if em_intervals is not None:
        check_choice("em_intervals", em_intervals, METHODS)
    columns = _columns(engines, settings)
    drawn = any(find_engine(name).draws for name, _ in columns.values())
    chains = settings["num_warmup"], settings["num_samples"], settings["num_chains"]
    check_chain_arguments(*chains, prior if drawn else "default")
    for name in ("tempering", "n_init"):
        check_count(name, settings[name], most=MOST_CHAINS)
    test_rows = check_count("test_rows", test_rows, most=10**6)
    words = np.asarray(jr.key_data(as_key(seed)))
    return Plan(truths, prior, covariance_type, columns, level, em_intervals, test_rows, words)


def _columns(engines: Any, settings: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Label of a column → its engine and the settings that it takes."""
    if not isinstance(engines, Mapping):
        return {one.name: (one.name, one.select(settings)) for one in find_engines(engines)}
    if not engines:
        raise ArgumentError(f"No engine was named. Choose from {', '.join(engine_names())}.")
    found = {}
    for label, own in engines.items():
        if not isinstance(label, str) or not isinstance(own, Mapping):
            raise ArgumentError(f"engines must map names to dicts of settings, got {shown(label)}: {shown(own)}.")
        own = dict(own)
        engine = find_engine(own.pop("engine", label))
        check_names(own, set(engine.arguments) - RESERVED, engine.name)
        found[label] = engine.name, engine.select(settings) | own
    return found


def _workers(client: Any, executor: Any, n_jobs: Any) -> Any:
    given = [
        name for name, value in (("client", client), ("executor", executor), ("n_jobs", n_jobs)) if value is not None
    ]
    if len(given) > 1:
        raise ArgumentError(f"Give one of {', '.join(given)}: they are ways to run the same replicates.")
    if client is not None:
        return on_dask(client)
    if executor is not None:
        if not hasattr(executor, "submit"):
            raise ArgumentError(f"executor must have a method submit, got {shown(executor)}.")
        return on_executor(executor)
    if n_jobs is None or n_jobs == 1:
        return None
    return on_joblib(-1 if n_jobs == -1 else check_count("n_jobs", n_jobs, most=10_000))


def _try_out(plan: Plan, cell: Cell) -> None:
    """Prepare the first data set of a cell, so that what no engine can take is refused before the run."""
    truth = plan.truths.draw(cell, as_key(plan.key_words), 0)
    num, dim = truth.means.shape
    family = resolve_family(plan.covariance_type, dim)
    try:
        with scope("float64"):
            data = draw_sample(as_key(plan.key_words), truth, cell.n, 1).data
            prior = prepare(data, num, plan.prior, "float64", plan.covariance_type).prior
    except DataError as error:
        raise ArgumentError(f"The cell {cell.label} cannot be run: {error}") from None
    for name, _ in plan.engines.values():
        find_engine(name).check(prior, family, dim)
