"""The textbook alternative: z kept as labels, drawn one by one between NUTS moves of θ (``DiscreteHMCGibbs``).

It is for teaching and for checks. It does not use the structure of a mixture: to draw z, it evaluates the likelihood of
all rows N (K - 1) times.
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
    """State of a chain, from a given θ and with z drawn from the model."""
    return _kernel(params, settings).init(key, num_warmup, None, (prior, x), {})


def block(state: Any, count: Any, prior: Belief, x: Any, num_warmup: int, settings: dict[str, Any]) -> tuple[Any, Any]:
    """The state after `count` more draws, and (θ, log-likelihood, NUTS statistics) of each draw."""
    num, dim = jnp.shape(prior.components.loc)
    trils = jnp.broadcast_to(jnp.eye(dim, dtype=x.dtype), (num, dim, dim))
    kernel = _kernel(Params(jnp.full(num, 1.0 / num, x.dtype), jnp.zeros((num, dim), x.dtype), trils), settings)
    # The NumPyro sampler gets its settings from this call. The compiler drops the unused results.
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
    return DiscreteHMCGibbs(NUTS(_model, init_strategy=init_to_value(values=values), **settings), modified=True)


def _model(prior: Belief, x: Any) -> None:
    with numpyro.handlers.infer_config(config_fn=lambda site: {"enumerate": ""}):
        gaussian_mixture(prior, x)
