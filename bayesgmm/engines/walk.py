"""The path of θ under any row of the table of engines, at any place of the dial between Gibbs and EM."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

from bayesgmm.data.described import described
from bayesgmm.data.kinds import NOISE, check_rows
from bayesgmm.data.table import Table
from bayesgmm.engines.chain_starts import Init, chain_starts
from bayesgmm.engines.dial import ROWS, betas, check_beta, kernel_at, moving_kernel
from bayesgmm.engines.em.fit_em import check_has_mode
from bayesgmm.engines.engine import check_conjugacy
from bayesgmm.engines.step import step
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, prepare
from bayesgmm.results.parameters import flatten, parameter_names
from bayesgmm.runtime.arguments import as_key, check_choice, check_count, split_key
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import as_html, as_text
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows

if TYPE_CHECKING:
    import pandas as pd

MOST_COPIES = 10**6
MOST_STEPS = 10**6
ANNEALED = 0.75
"""Share of the steps of DAEM in which β rises; the others are those of EM."""


@dataclass(frozen=True, repr=False)
class Walk:
    """The path of θ under one engine. Components keep their numbers from step to step: nothing is relabelled."""

    params: Params
    """θ at the start and after each step, in the user's units: leading axis ``num_steps + 1``."""
    log_likelihood: np.ndarray
    """``log p(x | θ)`` at each of them; for ``"cem"`` the classification log-likelihood."""
    objective: np.ndarray
    """The log-likelihood plus the log prior density, constants included."""
    algorithm: str
    """The engine."""
    copies: float
    sharpness: float
    betas: np.ndarray | None
    """Power of the responsibilities in each step of ``"daem"``; None for the others."""
    model: Model
    seed: Any

    @property
    def num_steps(self) -> int:
        """Number of steps."""
        return len(self.objective) - 1

    @property
    def table(self) -> Table:
        """The data."""
        return self.model.table

    @property
    def n_components(self) -> int:
        """K."""
        return self.model.num_components

    def plot(self, ax: Any = None, coordinates: Any = None) -> Any:
        """Plot the path over the log posterior in two means. See `bayesgmm.plots.plot_paths`; returns axes."""
        from bayesgmm import plots

        return plots.plot_paths(self, ax, coordinates)

    def to_frame(self) -> "pd.DataFrame":
        """A row per step: every weight, mean and covariance, ``log_likelihood`` and ``objective``."""
        import pandas as pd

        names = parameter_names(self.model.table, self.model.num_components)
        frame = pd.DataFrame(flatten(self.params), columns=pd.Index(names)).rename_axis("step")
        return frame.assign(log_likelihood=self.log_likelihood, objective=self.objective)

    def _title(self) -> str:
        copies, sharpness = (f"{value:g}".replace("inf", "∞") for value in (self.copies, self.sharpness))
        drawn = f"{copies} {'copy' if copies == '1' else 'copies'} of z, sharpness {sharpness}"
        drawn += "" if self.betas is None else f", β from {self.betas[0]:g} to {self.betas[-1]:g}"
        ends = f"objective from {self.objective[0]:.3f} to {self.objective[-1]:.3f}"
        return f"{self.algorithm}: {self.num_steps} steps with {drawn}{self.model.aside}; {ends}"

    def __repr__(self) -> str:
        return as_text(self._title(), self.to_frame().iloc[[0, -1]].T)

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.to_frame().iloc[[0, -1]].T)


def walk(
    x: Any,
    n_components: int,
    *,
    engine: str = "gibbs",
    copies: int | None = None,
    beta_start: float | None = None,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    fixed: Any = None,
    start: Init = "dispersed",
    num_steps: int = 100,
    seed: Any = 0,
) -> Walk:
    """Follow θ step by step under one engine.

    Parameters
    ----------
    x, n_components, covariance_type, prior
        As for `sample_gibbs`; ``prior=None`` (maximum likelihood) for engines that maximise.
    weights, labels, errors, fixed
        What else is known of the rows; see `rows`.
    engine
        ``"em"``, ``"cem"``, ``"daem"``, ``"sem"``, ``"mcem"``, ``"same"`` or ``"gibbs"``.
    copies
        Copies m of z that are drawn in each step, for ``"mcem"`` and ``"same"``; 10 by default.
    beta_start
        Power β of the responsibilities in the first step of ``"daem"``; 0.7 by default. β rises by equal ratios to 1
        over the first three quarters of the steps. The last quarter is EM.
    start
        Where to begin: `Params`, a fit, or a way to choose (`sample_gibbs`, ``init``).
    num_steps
        Number of steps.
    seed
        int or JAX key.

    Returns
    -------
    Walk

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the walk, if an input cannot be used.
    """
    x = described(x, weights, labels, errors)
    check_choice("engine", engine, ROWS)
    num_steps = check_count("num_steps", num_steps, most=MOST_STEPS, why="every θ is kept")
    copies_of, sharpness = _dial(engine, copies)
    first = check_beta(beta_start, engine)
    if sharpness < math.inf and prior is None:
        raise PriorError(f"{engine} draws θ, so it needs a proper prior: without one the posterior is improper.")
    with scope("float64"):
        problem = prepare(x, n_components, prior, "float64", covariance_type, fixed)
        check_rows("walk", (NOISE,), problem.table, "fit_em does.")
        check_conjugacy(engine, Conjugacy.JOINT, problem.prior)
        if problem.prior is not None and problem.prior.unbounded_at_zero and sharpness != 1:
            check_has_mode(problem.prior, problem.model)
        if sharpness < math.inf and problem.family.name not in CONJUGATE:
            raise ArgumentError(
                f"{engine} draws covariances, which has a closed form for {', '.join(CONJUGATE)} only, not for "
                f"{problem.family.name}. Use one of these, or an engine that maximises (em, cem, sem, mcem)."
            )
        key_start, key_walk = split_key(as_key(seed))
        begin = jax.tree.map(lambda leaf: np.asarray(leaf)[0], chain_starts(key_start, problem, 1, start))
        setting = {"kernel": engine, "copies": copies_of, "sharpness": sharpness, "num_steps": num_steps}
        schedule = None if first is None else _schedule(first, num_steps)
        path, values, objective = _WALK(key_walk, begin, problem.standard_prior, problem.rows, schedule, **setting)
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem.frame.restore(path))
        values, objective = np.asarray(values, float), np.asarray(objective, float)
        values, objective = values - problem.log_volume, objective + problem.prior_shift(begin) - problem.log_volume
        used = None if schedule is None else schedule[:-1]
        return Walk(params, values, objective, engine, copies_of, sharpness, used, problem.model, seed)


def _dial(engine: str, copies: Any) -> tuple[float, float]:
    """Copies of z and sharpness of θ."""
    if None not in ROWS[engine]:
        if copies is not None:
            raise ArgumentError(f"copies is for mcem and same. {engine} has {ROWS[engine][0]:g} of z. Leave it out.")
        return ROWS[engine]
    num = check_count("copies", 10 if copies is None else copies, most=MOST_COPIES)
    return num, math.inf if ROWS[engine][1] else num


def _schedule(first: float, num_steps: int) -> np.ndarray:
    """β of each step, and of the evaluation of the last θ."""
    rising = betas(first, math.ceil(ANNEALED * num_steps))
    return np.append(rising, np.ones(num_steps + 1 - len(rising)))


def _walk(
    key: Any, start: Params, prior: Belief, rows: Rows, schedule: Array | None, kernel: str, copies: float,
    sharpness: float, num_steps: int,
) -> tuple[Params, Array, Array]:  # fmt: skip
    """θ before each step and after the last, with the log-likelihood and the objective there."""

    def advance(params: Params, at: Any) -> tuple[Params, Any]:
        t, number = at
        chosen = kernel_at(kernel, copies, sharpness) if schedule is None else moving_kernel(kernel, number)
        new, seen = step(chosen, jr.fold_in(key, t), params, prior, rows)
        return new, (params, seen.stats.value, seen.objective)

    return lax.scan(advance, start, (jnp.arange(num_steps + 1), schedule))[1]


_WALK = Program(_walk, static=("kernel", "copies", "sharpness", "num_steps"))
