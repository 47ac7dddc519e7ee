"""Steps of SVI on mini-batches of rows on disk, in their order, and draws from the guide."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax

from bayesgmm.engines.coordinates import log_jacobian
from bayesgmm.engines.host_likelihoods import log_likelihoods
from bayesgmm.engines.mini_batches import in_order
from bayesgmm.engines.variational.svi_steps import Given, Recipe, make_svi, place_from_guide
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.dtypes import to_numpy
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Listener
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.mini_batches import Batches
from bayesgmm.sweep.passed import HostRows, watched


def run_on_disk(
    state: Any, start: Params, prior: Belief, rows: HostRows, recipe: Recipe, listener: Listener,
    check: Callable[[list[float]], None],
) -> tuple[Any, list[float]]:  # fmt: skip
    """The state of the guide after its steps, and the estimates of the ELBO; Ctrl-C ends the steps early.

    The steps go over the rows again and again, each time in their order. ``check`` sees the estimates after each block.
    """
    trace: list[float] = []
    num_rows, heard = np.asarray(rows.num_rows, rows.dtype), watched(listener, rows, "svi", recipe.num_steps)
    with interruptible() as stop:
        while len(trace) < recipe.num_steps and not stop.is_set():
            with closing(in_order(rows, recipe.batch_size)) as found:
                for batches, num in found:
                    count = min(num, recipe.num_steps - len(trace))
                    state, losses = _STEPS(state, batches, np.asarray(count), num_rows, start, prior, recipe=recipe)
                    trace.extend(-np.asarray(losses, float)[:count])
                    check(trace)
                    heard("svi", len(trace), recipe.num_steps, f"ELBO {np.mean(trace[-count:]):.1f}")
                    if len(trace) == recipe.num_steps or stop.is_set():
                        break
    return state, trace


def draw_on_disk(
    keys: Any, state: Any, start: Params, prior: Belief, few: Rows, rows: HostRows, recipe: Recipe
) -> tuple[Params, np.ndarray, np.ndarray]:
    """Draws of θ, their log-likelihoods by one reading of all rows, and the log ratios of posterior to guide."""
    params, rest = to_numpy(_PLACES(keys, state, start, prior, few, recipe=recipe))
    params = Params(*params)
    values = log_likelihoods(params, prior, rows)
    return params, values, values + rest


def _steps(state, batches: Batches, count, num_rows, start: Params, prior: Belief, recipe: Recipe):
    def body(i, carry):
        state, losses = carry
        svi = make_svi(recipe, start, prior, Given(batches.batch(i), num_rows / batches.size(i)))[0]
        svi.init(jr.key(0))  # gives the object its settings; the compiler drops the unused results
        state, loss = svi.update(state)
        return state, losses.at[i].set(loss)

    return lax.fori_loop(0, count, body, (state, jnp.zeros(batches.most, num_rows.dtype)))


def _places(keys, state, start: Params, prior: Belief, few: Rows, recipe: Recipe):
    """Draws of θ, and of each the log ratio without the likelihood."""
    place = place_from_guide(state, start, prior, few, recipe)

    def one(key):
        position, params, rest = place(key)
        return params, rest + prior.log_kernel(params) + log_jacobian(position)

    return lax.map(one, keys)


_STEPS = Program(_steps, static=("recipe",))
_PLACES = Program(_places, static=("recipe",))
