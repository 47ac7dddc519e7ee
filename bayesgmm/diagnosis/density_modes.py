"""Modes of a mixture density: a mixture of K Gaussians may have fewer modes than components."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Float, Int

from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import gram, inverse_tril, transposed
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program

STEPS = 200
"""Number of fixed-point iterations from a component mean. Each is an EM step and does not lower the density."""
SAME = 0.1
"""Two end points are one mode if they are closer than this, in standard deviations of the density there."""
BATCH = 128
"""Draws processed in parallel."""


def count_modes(params: Params, frame: Frame) -> np.ndarray:
    """Number of density modes that are reached from the component means of each draw, (chain, draw).

    From each mean, the fixed-point iteration ``x ← (Σ_k r_k P_k)⁻¹ Σ_k r_k P_k μ_k`` converges to a mode. Here
    ``r = p(z | x)``, and P are the precisions (Carreira-Perpiñán 2000, eq. 6).
    """
    batch = params.weights.shape[:-1]
    with scope("float64"):
        standard = frame.standardise(params)
        flat = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[len(batch) :]), standard)
        return np.asarray(_COUNT(flat)).reshape(batch)


def _count(params: Params) -> Int[Array, "S"]:
    return lax.map(_modes_of_one, params, batch_size=BATCH)


def _modes_of_one(theta: Params) -> Int[Array, ""]:
    scorer = log_joint_scorer(theta)
    precisions = gram(transposed(inverse_tril(theta.scale_trils)))
    pulls = jnp.einsum("kde,ke->kd", precisions, theta.means)

    def curvature(x: Float[Array, "K D"]) -> tuple[Float[Array, "K K2"], Float[Array, "K D D"]]:
        shares = jax.nn.softmax(scorer.scores(scorer.residuals(x.T)), axis=0).T  # (start, component)
        return shares, jnp.einsum("sk,kde->sde", shares, precisions)

    def iterate(_, x: Float[Array, "K D"]) -> Float[Array, "K D"]:
        shares, total = curvature(x)
        return jnp.linalg.solve(total, (shares @ pulls)[..., None])[..., 0]

    ends = lax.fori_loop(0, STEPS, iterate, theta.means)
    apart = ends[:, None] - ends[None]
    distances = jnp.einsum("std,sde,ste->st", apart, curvature(ends)[1], apart)
    earlier = jnp.tril(distances < SAME**2, -1)
    return jnp.sum(~jnp.any(earlier, axis=1))


_COUNT = Program(_count)
