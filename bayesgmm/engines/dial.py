"""The dial between Gibbs and EM: kernels by copies of z, sharpness of θ, and temperature of the responsibilities.

One step draws m copies of z given θ and pools their statistics, then draws θ from its conditional density to the power
s. The plane of (m, s) holds Gibbs (1, 1), stochastic EM (1, ∞), Monte Carlo EM (m, ∞; Wei & Tanner 1990), state
augmentation for marginal estimation (SAME: (m, m); Doucet, Godsill & Robert 2002) and EM (∞, ∞). The stationary
density of SAME is ``p(θ | x)^m``: with m = 1 it is the posterior, and as m grows it contracts to the mode that EM
climbs to. Copies cost less than passes: for each row the counts of the classes are drawn at once.

Deterministic annealing EM (DAEM; Ueda & Nakano 1998) is EM with responsibilities to the power β, normalised. At a
fixed β no step lowers ``1/β Σ_n log Σ_k (π_k N(x_n; μ_k, Σ_k))^β + log p(θ)``, minus the annealed free energy.
"""

import dataclasses
import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np
from jax.tree_util import Partial

from bayesgmm.engines.step import KERNELS, Kernel, mode, sample
from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.checks import check_number
from bayesgmm.sweep.e_step import Assign, anneal, average, draw, draw_copies

ROWS = {
    "em": (math.inf, math.inf), "cem": (math.inf, math.inf), "daem": (math.inf, math.inf), "mcem": (None, math.inf),
    "sem": (1, math.inf), "same": (None, None), "gibbs": (1, 1),
}  # fmt: skip
"""(copies of z, sharpness of θ) of each engine; None stands for the argument `copies`."""
FIRST_BETA = 0.7
"""First β of an annealing. Far below, components merge: where they are equal, each step shrinks the differences of
their means by the factor β, so that they part no more."""


@functools.cache
def kernel_at(engine: str, copies: float, sharpness: float) -> Kernel:
    """The kernel of a place of the dial. The same object for the same place, so that its programs are kept."""
    if engine == "cem":
        return KERNELS["cem"]
    return KERNELS["gibbs"]._replace(assign=_assign(copies), estimate=_estimate(sharpness))


def moving_kernel(engine: str, number: Array) -> Kernel:
    """The kernel of an engine of `MOVING` at a number of its schedule, for use inside a program."""
    return MOVING[engine](number)


def _annealed(beta: Array) -> Kernel:
    return KERNELS["em"]._replace(assign=Partial(anneal, beta=beta))


def _copied(num: Array, sharpness: Any = math.inf) -> Kernel:
    return KERNELS["gibbs"]._replace(assign=Partial(draw_copies, num=num), estimate=_estimate(sharpness))


MOVING: dict[str, Callable[[Array], Kernel]] = {
    "daem": _annealed, "mcem": _copied, "same": lambda num: _copied(num, num)
}  # fmt: skip
"""Kernels along a schedule: of β; of the copies of z; of copies and sharpness together."""
ANNEALED = ("daem",)
"""Engines whose schedule is one of β."""


def check_beta(beta_start: Any, engine: str) -> float | None:
    """First β of an annealing; None for engines without one, which take no `beta_start`."""
    if engine not in ANNEALED:
        if beta_start is not None:
            raise ArgumentError(f"beta_start is for daem, and {engine} has no temperature. Leave it out.")
        return None
    return check_number("beta_start", FIRST_BETA if beta_start is None else beta_start, 0.0, 1.0, open_low=True)


def betas(first: float, num: int) -> np.ndarray:
    """β of `num` steps: it rises by equal ratios from `first`, and reaches 1 at the step after these."""
    return first ** (1.0 - np.arange(num) / max(num, 1))


def _assign(copies: float) -> Assign:
    if copies == math.inf:
        return average
    return draw if copies == 1 else functools.partial(draw_copies, num=int(copies))


def _estimate(sharpness: Any) -> Any:
    if isinstance(sharpness, float | int) and sharpness in (1, math.inf):
        return sample if sharpness == 1 else mode
    return lambda key, posterior, present: sharpened(posterior, sharpness).sample(key, present)


def sharpened(belief: Belief, power: Any) -> Belief:
    """The conjugate distribution whose density is that of `belief` to this power, normalised."""
    weights = belief.weights.to_power(power)
    if hasattr(belief.components, "inner"):  # some parameters are held: the rest is sharpened
        rest = sharpened(Belief(weights, belief.components.inner), power).components
        return Belief(weights, dataclasses.replace(belief.components, inner=rest))
    inner: Any = getattr(belief.components, "belief", belief.components)
    dim = inner.loc.shape[-1]
    df = power * inner.counts - (dim + 2.0)
    inner = inner._replace(strength=power * inner.strength, df=df, scale=power * inner.scale)
    if inner is not belief.components and hasattr(belief.components, "belief"):
        return Belief(weights, dataclasses.replace(belief.components, belief=inner))
    return Belief(weights, inner)
