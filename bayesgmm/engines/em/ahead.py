"""Programs of EM that are compiled before they are needed."""

from functools import partial
from typing import Any

import jax
import numpy as np

from bayesgmm.engines.em.ascent import ASCEND, BATCHED_ROWS, START, TRACED, for_each, start_ascents
from bayesgmm.engines.em.ascent_state import Ascent, Limits
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.arguments import as_key
from bayesgmm.sweep.kinds_of_rows import Rows


def shapes_of_ascents(num: int, prior: Belief, dtype: Any) -> Ascent:
    """The shapes of `begin` for `num` starts. Its program is prepared."""
    k, dim = np.shape(prior.components.loc)
    shapes = (num, k), (num, k, dim), (num, k, dim, dim)
    leaves: Any = [jax.ShapeDtypeStruct(shape, dtype) for shape in shapes]
    starts = Params(*leaves)
    each, settings = for_each(prior, num), {"size": TRACED, "accelerate": True}
    START.prepare(starts, each, **settings)
    return jax.eval_shape(partial(start_ascents, **settings), starts, each)


def prepare_ascents(num: int, prior: Belief, rows: Rows) -> None:
    """Prepare `begin` and `run_ascents` (accelerated EM) for `num` starts."""
    ascents = shapes_of_ascents(num, prior, rows.dtype)
    limits = Limits(np.asarray(0.0, rows.dtype), np.asarray(0), np.asarray(0))
    small = rows.capacity <= BATCHED_ROWS
    ASCEND.prepare(
        as_key(0), ascents, for_each(prior, num), rows, limits, kernel="em", batched=small, accelerate=True
    )  # fmt: skip
