"""Stochastic variational inference with NumPyro guides, in the coordinates of NUTS.

The target is the marginal posterior. One pass over the rows, or over a random batch of them, integrates z out (Hoffman
et al. 2013; Kucukelbir et al. 2017). Any NumPyro guide that is a density over unconstrained coordinates can be used.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from numpyro.infer import autoguide

from bayesgmm.data.described import described
from bayesgmm.engines.chain_starts import Init, chain_starts
from bayesgmm.engines.checks import MOST_CHAINS
from bayesgmm.engines.engine import DRAW_SETTINGS, Engine
from bayesgmm.engines.mini_batches import check_batches
from bayesgmm.engines.starts import sampled
from bayesgmm.engines.to_posterior import prior_constant
from bayesgmm.engines.variational.approximation import Approximated, Arguments, Task, run_approximation
from bayesgmm.engines.variational.svi_on_disk import draw_on_disk, run_on_disk
from bayesgmm.engines.variational.svi_steps import BLOCK, DRAWS, START, STEPS, Recipe, draw_from_guide
from bayesgmm.errors import ArgumentError, FitError
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.fit import MixtureFit
from bayesgmm.runtime.arguments import check_choice, check_count, check_number, key_array, split_key
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.formatting import significant
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.progress import Listener, Progress
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.passed import HostRows

GUIDES: dict[str, Callable] = {
    "normal": autoguide.AutoDiagonalNormal,
    "low_rank": autoguide.AutoLowRankMultivariateNormal,
    "dense": autoguide.AutoMultivariateNormal,
    "flow": autoguide.AutoIAFNormal,
}
"""By flexibility: independent coordinates, a few shared directions, all correlations, autoregressive flows."""
FLOW_SPREAD = 0.1
"""Scale of flow coordinates in those of θ. A flow begins at N(0, 1), so this is the first spread of other guides."""


@dataclass(frozen=True, repr=False)
class StochasticPosterior(ApproximatePosterior):
    """Independent draws from the guide after the last step."""

    guide: str
    elbo: float
    """``E_q[log p(x, θ) - log q(θ)]``, with all constants: a lower bound on ``log p(x)``, estimated from draws."""
    elbo_error: float
    """Monte Carlo standard error of ``elbo``."""
    trace: np.ndarray
    """Noisy estimates of the ELBO, one per step, without the constants in ``elbo``."""

    def _title(self) -> str:
        return (
            f"SVI, guide {self.guide}: {self.n_components} components, ELBO {self.elbo:.3f} ± "
            f"{significant(self.elbo_error, 2)} after {len(self.trace)} steps; {self._khat_words()}"
        )


def fit_svi(
    x: Any,
    n_components: int,
    *,
    guide: str | Callable = "dense",
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    fixed: Any = None,
    batch_size: int | None = None,
    num_steps: int = 4000,
    learning_rate: float = 0.05,
    num_particles: int = 4,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    init: Init = "em",
    reference: MixtureFit | Params | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> StochasticPosterior:
    """Approximate the posterior by stochastic gradient steps on the ELBO of a guide.

    The steps use Adam (``numpyro.optim.Adam``), with a step size that falls to a hundredth by the end. The guide begins
    around the start.

    Parameters
    ----------
    x, n_components, covariance_type, prior, weights, labels, errors, noise, fixed, reference, dtype
        As for `sample_nuts`.
    guide
        ``"normal"``, ``"low_rank"``, ``"dense"``, ``"flow"`` (`GUIDES`), or a callable that makes a guide from a model,
        as the ``AutoContinuous`` classes of NumPyro do. It must take ``init_loc_fn``. Its posterior must allow draws
        and have a density. The coordinates of the model are 0 at the start.
    batch_size
        Rows of each step, drawn at random; None for all rows. Rows on disk (`open_rows`) need it: the steps read them
        in their order, again and again.
    num_steps, learning_rate, num_particles
        Number of steps, initial step size, and draws from the guide per step.
    num_samples, num_chains
        Independent draws from the guide, in the shape (chain, draw) of the samplers.
    seed
        int or JAX key.
    init
        As for `sample_gibbs`, with one start.

    Returns
    -------
    StochasticPosterior
        After Ctrl-C: draws from the current guide, with ``interrupted`` set.

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    FitError
        If the ELBO becomes infinite or NaN.
    """
    x = described(x, weights, labels, errors, noise)
    _check_arguments(guide, num_steps, num_particles, batch_size, learning_rate)
    num_steps, num_particles, learning_rate = int(num_steps), int(num_particles), float(learning_rate)
    arguments = Arguments(
        x, n_components, covariance_type, prior, fixed, num_samples, num_chains, seed, reference, dtype, progress_bar
    )
    settings = {
        "guide": guide, "batch_size": batch_size, "num_steps": num_steps, "learning_rate": learning_rate,
        "num_particles": num_particles, "init": getattr(init, "params", init),
    }  # fmt: skip
    return run_approximation("svi", StochasticPosterior, partial(_approximate, **settings), arguments, settings)


def _check_arguments(
    guide: Any, num_steps: int, num_particles: int, batch_size: int | None, learning_rate: float
) -> None:
    check_count("num_steps", num_steps)
    check_count("num_particles", num_particles, most=MOST_CHAINS)
    if batch_size is not None:
        check_count("batch_size", batch_size)
    check_number("learning_rate", learning_rate, low=0.0, open_low=True)
    if not callable(guide):
        check_choice("guide", guide, GUIDES, ", or a callable")


def _approximate(
    task: Task,
    *,
    guide: str | Callable,
    batch_size: int | None,
    num_steps: int,
    learning_rate: float,
    num_particles: int,
    init: Init,
) -> Approximated:
    problem = task.problem
    make, name = (GUIDES[guide], guide) if isinstance(guide, str) else (guide, getattr(guide, "__name__", "own"))
    batch = _batch_of(batch_size, problem)
    spread = FLOW_SPREAD if guide == "flow" else 1.0
    recipe = Recipe(make, spread, num_steps, learning_rate, num_particles, batch)
    some = sampled(problem)
    start = jax.tree.map(lambda leaf: np.asarray(leaf)[0], chain_starts(task.key_start, some, 1, init))
    arguments = start, problem.standard_prior, some.rows
    key_run, key_draw = split_key(task.key_run)
    keys = key_array(key_draw, task.num_draws)
    state = _begin(key_run, keys, arguments, recipe, name)
    if isinstance(problem.rows, HostRows):
        check = partial(_check_finite, dtype=problem.dtype)
        state, trace = run_on_disk(state, *arguments[:2], problem.rows, recipe, task.listener, check)
        params, values, log_ratios = draw_on_disk(keys, state, *arguments, problem.rows, recipe)
    else:
        state, trace = _run(state, arguments, recipe, task.listener)
        params, values, log_ratios = to_numpy(DRAWS(keys, state, *arguments, recipe=recipe))
    one = jax.tree.map(lambda leaf: np.asarray(leaf[0]), Params(*params))
    constant = prior_constant(problem, one) - problem.log_volume
    fields = {
        "guide": name, "elbo": float(log_ratios.mean()) + constant, "elbo_error": _standard_error(log_ratios),
        "trace": np.asarray(trace, float),
    }  # fmt: skip
    return Approximated(params, values, log_ratios, len(trace) < num_steps, fields)


def _run(state: Any, arguments: tuple[Params, Belief, Rows], recipe: Recipe, listener: Listener) -> Any:
    """The state of the guide after its steps, and the estimates of the ELBO; Ctrl-C ends the steps early."""
    trace: list[float] = []
    with interruptible() as stop:
        while len(trace) < recipe.num_steps and not stop.is_set():
            count = min(BLOCK, recipe.num_steps - len(trace))
            state, losses = STEPS(state, np.asarray(count), *arguments, recipe=recipe)
            trace.extend(-np.asarray(losses)[:count])
            _check_finite(trace, str(arguments[2].dtype))
            listener("svi", len(trace), recipe.num_steps, f"ELBO {np.mean(trace[-count:]):.1f}")
    return state, trace


def _batch_of(batch_size: int | None, problem: Problem) -> int:
    """Rows of a batch; 0 for all rows in each step."""
    if problem.table.on_disk:
        check_batches("SVI", problem.table)
        if batch_size is None:
            raise ArgumentError("Rows on disk (open_rows) need batch_size: each step of SVI reads a batch of them.")
        return min(int(batch_size), problem.table.num_rows)
    return 0 if batch_size is None or batch_size >= problem.table.num_rows else int(batch_size)


def _check_finite(trace: list[float], dtype: str) -> None:
    if not np.isfinite(trace).all():
        single = ", or use dtype='float64'" if dtype == "float32" else ""
        raise FitError(f"The ELBO is not finite after {len(trace)} steps. Lower learning_rate{single}.")


def _standard_error(values: np.ndarray) -> float:
    """Standard error of the mean; NaN, shown as a dash, for a single value."""
    return float(values.std(ddof=1) / len(values) ** 0.5) if len(values) > 1 else float("nan")


def _begin(key: Any, keys: Any, arguments: tuple[Params, Belief, Rows], recipe: Recipe, name: str) -> Any:
    """The initial state of the guide. For a user's guide, tracing the draws checks that it allows draws."""
    try:
        state = START(key, *arguments, recipe=recipe)
        if recipe.guide not in GUIDES.values():
            jax.eval_shape(partial(draw_from_guide, recipe=recipe), keys, state, *arguments)
    except (AttributeError, NotImplementedError, TypeError) as error:
        raise ArgumentError(
            f"The guide {name} cannot be used ({type(error).__name__}: {error}). It must be an AutoContinuous. Its "
            "get_posterior() must allow draws and have a log density. Try AutoMultivariateNormal or AutoIAFNormal."
        ) from None
    return state


SVI_ENGINE = Engine(
    "svi",
    "stochastic variational inference (guide with all correlations)",
    fit_svi,
    DRAW_SETTINGS,
    families=CONJUGATE,
    from_disk=True,
    in_batches=True,
)
