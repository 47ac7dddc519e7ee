"""The textbook's other route: z kept as labels, drawn one by one between NUTS moves of θ (NumPyro's ``DiscreteHMCGibbs``).

For teaching and for checks: it knows nothing of mixtures, so that each draw costs as many likelihoods as there are rows.
"""

from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpyro
from numpyro.infer import NUTS, DiscreteHMCGibbs, init_to_value

from bayesgmm.engines.coordinates import constrain
from bayesgmm.engines.mcmc.chain_loop import collect
from bayesgmm.engines.numpyro_model import gaussian_mixture
from bayesgmm.model.mixture import log_likelihood
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief

SITES = ("weights", "means", "scale_trils")


def start(key: Any, params: Params, prior: Belief, x: Any, num_warmup: int, settings: dict[str, Any]) -> Any:
    """State of a chain, from θ and with z from the model."""
    return _kernel(params, settings).init(key, num_warmup, None, (prior, x), {})


def block(state: Any, count: Any, prior: Belief, x: Any, num_warmup: int, settings: dict[str, Any]) -> tuple[Any, Any]:
    """`count` draws on: the state, and (θ, log-likelihood, NUTS's statistics) of each."""
    num, dim = jnp.shape(prior.components.loc)
    trils = jnp.broadcast_to(jnp.eye(dim, dtype=x.dtype), (num, dim, dim))
    kernel = _kernel(Params(jnp.full(num, 1.0 / num, x.dtype), jnp.zeros((num, dim), x.dtype), trils), settings)
    # NumPyro's sampler learns its settings when it is started; the compiler drops what the start would compute.
    kernel.init(jr.key(0), num_warmup, None, (prior, x), {})

    def advance(state):
        state = kernel.sample(state, (prior, x), {})
        params = constrain({site: state.z[site] for site in SITES}, prior)
        moved: Any = next(part for part in state.block_states if hasattr(part, "diverging"))
        stats = {
            "diverging": moved.diverging,
            "n_steps": moved.num_steps,
            "acceptance_rate": moved.accept_prob,
            "step_size": moved.adapt_state.step_size,
        }
        return state, (params, log_likelihood(params, x), stats)

    return collect(advance, state, count)


def _kernel(params: Params, settings: dict[str, Any]) -> DiscreteHMCGibbs:
    values = dict(zip(SITES, (params.weights, params.means, params.scale_trils), strict=True))
    return DiscreteHMCGibbs(NUTS(_story, init_strategy=init_to_value(values=values), **settings), modified=True)


def _story(prior: Belief, x: Any) -> None:
    with numpyro.handlers.infer_config(config_fn=lambda site: {"enumerate": ""}):
        gaussian_mixture(prior, x)
