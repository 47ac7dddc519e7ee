"""Draws of the true rows given what was seen of them: gaps filled, errors of measurement taken off."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, PRNGKeyArray

from bayesgmm.data.table import Table
from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.arguments import key_array
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.block import Block, block_of
from bayesgmm.sweep.completion import complete_rows
from bayesgmm.sweep.e_step import draw
from bayesgmm.sweep.rows import FEWEST, padded_size


def true_rows(key: PRNGKeyArray, params: Params, table: Table, frame: Frame) -> np.ndarray:
    """A draw of the true rows under each draw of θ: first z, then x* given z and what was seen, (chain, draw, N, D).

    Values that were seen without error are the values themselves.
    """
    lead, dim = params.weights.shape[:-1], table.dim
    flat = jax.tree.map(lambda leaf: np.asarray(leaf).reshape(-1, *leaf.shape[len(lead) :]), frame.standardise(params))
    width = min(padded_size(table.num_rows, FEWEST), 4096)
    with scope("float64"):
        keys, parts = key_array(key, len(flat.weights)), []
        for i, part in enumerate(table.parts(width)):
            block = block_of(part, frame, params.weights.shape[-1], width, gaps=True)
            parts.append(np.asarray(_DRAW(flat, block, np.asarray(i), keys))[..., : part.num_rows])
    drawn = np.concatenate(parts, axis=-1).swapaxes(1, 2) * frame.scale + frame.center
    seen = ~np.isnan(table.values)
    if table.errors is not None:
        seen = seen & (np.diagonal(table.errors, axis1=1, axis2=2) == 0)
    return np.where(seen, table.values, drawn).reshape(*lead, table.num_rows, dim)


def _draw(params: Params, block: Block, index, keys) -> Float[Array, "S D n"]:
    def one(pair):
        theta, key = pair
        key_z, key_x = jr.split(jr.fold_in(key, index))
        scorer = log_joint_scorer(theta)
        scores, y, _ = complete_rows(scorer, block.x, jnp.asarray(block.seen), block.roots, key_x)
        z, _ = draw(key_z, scores if block.labels is None else scores + block.labels)
        x = scorer.locs[:, :, None] + jnp.einsum("kde,ken->kdn", theta.scale_trils, y, precision=lax.Precision.HIGHEST)
        return jnp.sum(z[:, None] * x, axis=0)

    return lax.map(one, (params, keys))


_DRAW = Program(_draw)
