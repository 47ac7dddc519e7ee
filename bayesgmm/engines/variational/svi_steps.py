"""The compiled steps of SVI: a guide fitted to the marginal posterior, and draws from it."""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpyro
from jax import lax
from jaxtyping import Int
from numpyro import distributions as dist
from numpyro.infer import SVI, Trace_ELBO, init_to_value

from bayesgmm.engines.coordinates import Position, constrain, log_jacobian, potential, unconstrain
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.likelihood import log_likelihood

BLOCK = 100
"""Steps between two progress reports (and checks for Ctrl-C)."""


class Recipe(NamedTuple):
    """Static settings, compiled into a run."""

    guide: Callable
    spread: float
    """Scale of the guide coordinates in those of θ; both are 0 at the start."""
    num_steps: int
    learning_rate: float
    num_particles: int
    batch_size: int
    """0 for all rows."""


class Given(NamedTuple):
    """One batch of rows, in place of all rows from which a batch is drawn."""

    batch: Rows
    share: Any
    """Ratio of all rows to those of the batch."""


def marginal_model(start: Position, spread: float, prior: Belief, rows: Rows | Given, batch_size: int) -> None:
    """The marginal posterior as a NumPyro model of unconstrained θ minus the start, in units of `spread`."""
    sites: Any = {
        site: numpyro.sample(site, dist.ImproperUniform(dist.constraints.real, (), jnp.shape(value)))
        for site, value in start.items()
    }
    position = shifted(sites, start, spread)
    if isinstance(rows, Given):
        batch, share = rows
    elif not batch_size:
        numpyro.factor("target", -potential(position, prior, rows))
        return
    else:
        batch = rows.take(jr.randint(jnp.asarray(numpyro.prng_key()), (batch_size,), 0, rows.num_rows))
        share = rows.num_rows / batch_size
    params = constrain(position, prior)
    value = share * log_likelihood(params, batch)
    numpyro.factor("target", value + prior.log_kernel(params) + log_jacobian(position))


def shifted(sites: Position, start: Position, spread: float) -> Position:
    """Unconstrained θ from the coordinates of a guide, which are 0 at the start."""
    return {site: start[site] + spread * sites[site] for site in start}


def make_svi(recipe: Recipe, start: Params, prior: Belief, rows: Rows | Given) -> tuple[SVI, Any, Position]:
    """The SVI object of NumPyro, its guide, and the start in unconstrained coordinates."""
    position = unconstrain(start, prior)
    model = partial(marginal_model, position, recipe.spread, prior, rows, recipe.batch_size)
    guide = recipe.guide(model, init_loc_fn=init_to_value(values=jax.tree.map(jnp.zeros_like, position)))

    def step_size(step):
        return recipe.learning_rate * 0.01 ** (step / recipe.num_steps)

    return SVI(model, guide, numpyro.optim.Adam(step_size), Trace_ELBO(recipe.num_particles)), guide, position


def _start(key, start: Params, prior: Belief, rows: Rows, recipe: Recipe):
    return make_svi(recipe, start, prior, rows)[0].init(key)


def _block(state, count: Int[Array, ""], start: Params, prior: Belief, rows: Rows, recipe: Recipe):
    svi = make_svi(recipe, start, prior, rows)[0]
    svi.init(jr.key(0))  # gives the object its settings; the compiler drops the unused results

    def body(i, carry):
        state, losses = carry
        state, loss = svi.update(state)
        return state, losses.at[i].set(loss)

    return lax.fori_loop(0, count, body, (state, jnp.zeros(BLOCK, rows.dtype)))


def draw_from_guide(keys, state, start: Params, prior: Belief, rows: Rows, recipe: Recipe):
    """Draws of θ, their log-likelihoods, and the log ratios of posterior to guide, up to the constant of the prior."""
    place = place_from_guide(state, start, prior, rows, recipe)

    def one(key):
        position, params, rest = place(key)
        return params, log_likelihood(params, rows), rest - potential(position, prior, rows)

    return lax.map(one, keys)


def place_from_guide(state, start: Params, prior: Belief, rows: Rows, recipe: Recipe) -> Callable:
    """``place(key)``: a draw from the guide, unconstrained; the same as θ; and minus its log density."""
    svi, guide, origin = make_svi(recipe, start, prior, rows)
    svi.init(jr.key(0))
    density = guide.get_posterior(svi.get_params(state))

    def place(key):
        flat = density.sample(key)
        position = shifted(guide._unpack_latent(flat), origin, recipe.spread)
        log_q = jnp.sum(density.log_prob(flat)) - flat.size * math.log(recipe.spread)
        return position, constrain(position, prior), -log_q

    return place


START = Program(_start, static=("recipe",))


STEPS = Program(_block, static=("recipe",))


DRAWS = Program(draw_from_guide, static=("recipe",))
