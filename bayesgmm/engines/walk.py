"""The path of θ under any row of the table of engines: the dial between Gibbs and EM.

One step draws m copies of z given θ and pools their statistics, then draws θ from its conditional density to the power
s. The plane of (m, s) holds Gibbs (1, 1), stochastic EM (1, ∞), Monte Carlo EM (m, ∞; Wei & Tanner 1990), state
augmentation for marginal estimation (SAME: (m, m); Doucet, Godsill & Robert 2002) and EM (∞, ∞). The stationary
density of SAME is ``p(θ | x)^m``: with m = 1 it is the posterior, and as m grows it contracts to the mode that EM
climbs to. Copies cost less than passes: for each row the counts of the classes are drawn at once.
"""

import dataclasses
import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

from bayesgmm.data.table import Table
from bayesgmm.engines.chain_starts import Init, chain_starts
from bayesgmm.engines.engine import check_conjugacy
from bayesgmm.engines.step import KERNELS, Kernel, mode, sample, step
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, Problem, prepare
from bayesgmm.results.parameters import flatten, parameter_names
from bayesgmm.runtime.arguments import as_key, check_choice, check_count, split_key
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import as_html, as_text
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.e_step import Assign, average, draw, draw_copies
from bayesgmm.sweep.rows import Rows

if TYPE_CHECKING:
    import pandas as pd

ROWS = {
    "em": (math.inf, math.inf), "cem": (math.inf, math.inf), "mcem": (None, math.inf), "sem": (1, math.inf),
    "same": (None, None), "gibbs": (1, 1),
}  # fmt: skip
"""(copies of z, sharpness of θ) of each engine; None stands for the argument `copies`."""
MOST_COPIES = 10**6
MOST_STEPS = 10**6


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
        ends = f"objective from {self.objective[0]:.3f} to {self.objective[-1]:.3f}"
        return f"{self.algorithm}: {self.num_steps} steps with {drawn}; {ends}"

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
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    start: Init = "dispersed",
    num_steps: int = 100,
    seed: Any = 0,
) -> Walk:
    """Follow θ step by step under one engine.

    Parameters
    ----------
    x, n_components, covariance_type, prior
        As for `sample_gibbs`; ``prior=None`` (maximum likelihood) for engines that maximise.
    engine
        ``"em"``, ``"cem"``, ``"sem"``, ``"mcem"``, ``"same"`` or ``"gibbs"``.
    copies
        Copies m of z that are drawn in each step, for ``"mcem"`` and ``"same"``; 10 by default.
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
    check_choice("engine", engine, ROWS)
    num_steps = check_count("num_steps", num_steps, most=MOST_STEPS, why="every θ is kept")
    copies_of, sharpness = _dial(engine, copies)
    if sharpness < math.inf and prior is None:
        raise PriorError(f"{engine} draws θ, so it needs a proper prior: without one the posterior is improper.")
    with scope("float64"):
        problem = prepare(x, n_components, prior, "float64", covariance_type)
        check_conjugacy(engine, Conjugacy.JOINT, problem.prior)
        if sharpness < math.inf and problem.family.name not in CONJUGATE:
            raise ArgumentError(
                f"{engine} draws covariances, which has a closed form for {', '.join(CONJUGATE)} only, not for "
                f"{problem.family.name}. Use one of these, or an engine that maximises (em, cem, sem, mcem)."
            )
        key_start, key_walk = split_key(as_key(seed))
        begin = jax.tree.map(lambda leaf: np.asarray(leaf)[0], chain_starts(key_start, problem, 1, start))
        setting = {"kernel": engine, "copies": copies_of, "sharpness": sharpness, "num_steps": num_steps}
        path, values, objective = _WALK(key_walk, begin, problem.standard_prior, problem.rows, **setting)
        params = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64), problem.frame.restore(path))
        values, objective = np.asarray(values, float), np.asarray(objective, float)
        values, objective = values - problem.log_volume, objective + _shift(problem, params)
        return Walk(params, values, objective, engine, copies_of, sharpness, problem.model, seed)


def _dial(engine: str, copies: Any) -> tuple[float, float]:
    """Copies of z and sharpness of θ."""
    if None not in ROWS[engine]:
        if copies is not None:
            raise ArgumentError(f"copies is for mcem and same. {engine} has {ROWS[engine][0]:g} of z. Leave it out.")
        return ROWS[engine]
    num = check_count("copies", 10 if copies is None else copies, most=MOST_COPIES)
    return num, math.inf if ROWS[engine][1] else num


def _shift(problem: Problem, params: Params) -> float:
    """The objective in the user's units minus that of the walk."""
    first = jax.tree.map(lambda leaf: leaf[0], params)
    inside = 0.0 if problem.prior is None else problem.standard_log_prior(problem.frame.standardise(first))
    return problem.model.log_prior(first) - inside - problem.log_volume


@functools.cache
def kernel_at(engine: str, copies: float, sharpness: float) -> Kernel:
    """The kernel of a place of the dial. The same object for the same place, so that its programs are kept."""
    if engine == "cem":
        return KERNELS["cem"]
    return KERNELS["gibbs"]._replace(assign=_assign(copies), estimate=_estimate(sharpness))


def _assign(copies: float) -> Assign:
    if copies == math.inf:
        return average
    return draw if copies == 1 else functools.partial(draw_copies, num=int(copies))


def _estimate(sharpness: float) -> Any:
    if sharpness == math.inf:
        return mode
    if sharpness == 1:
        return sample
    return lambda key, posterior, present: sharpened(posterior, sharpness).sample(key, present)


def sharpened(belief: Belief, power: float) -> Belief:
    """The conjugate distribution whose density is that of `belief` to this power, normalised."""
    weights = Dirichlet(power * (jnp.asarray(belief.weights.concentration) - 1.0) + 1.0)
    inner: Any = getattr(belief.components, "belief", belief.components)
    dim = inner.loc.shape[-1]
    df = power * inner.counts - (dim + 2.0)
    inner = inner._replace(strength=power * inner.strength, df=df, scale=power * inner.scale)
    if inner is not belief.components and hasattr(belief.components, "belief"):
        return Belief(weights, dataclasses.replace(belief.components, belief=inner))
    return Belief(weights, inner)


def _walk(
    key: Any, start: Params, prior: Belief, rows: Rows, kernel: str, copies: float, sharpness: float, num_steps: int
) -> tuple[Params, Array, Array]:
    """θ before each step and after the last, with the log-likelihood and the objective there."""
    at = kernel_at(kernel, copies, sharpness)

    def advance(params: Params, t: Array) -> tuple[Params, Any]:
        new, seen = step(at, jr.fold_in(key, t), params, prior, rows)
        return new, (params, seen.stats.value, seen.objective)

    return lax.scan(advance, start, jnp.arange(num_steps + 1))[1]


_WALK = Program(_walk, static=("kernel", "copies", "sharpness", "num_steps"))
