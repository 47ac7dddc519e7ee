"""Geweke's joint-distribution test of a Gibbs kernel (Geweke 2004)."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

import bayesgmm as bg
from bayesgmm.engines.step import step
from bayesgmm.model.types import Frame
from bayesgmm.sweep.rows import to_rows
from oracles.agreement import mean_and_error
from oracles.parameters import prior_of
from oracles.posteriors import TINY_PRIOR


def geweke(kernel, num=4000, chains=8):
    hyper = TINY_PRIOR | {"concentration": 2.0, "df": 6.0, "strength": 1.0}
    with jax.enable_x64(True):
        prior = jax.tree.map(jnp.asarray, prior_of(**hyper).expand(2, 1))
        rows = to_rows(np.zeros((3, 1)), Frame(np.zeros(1), np.ones(1)))

        def statistics(params, x):
            mu, s2, w = params.means[:, 0], params.covariances[:, 0, 0], params.weights
            return jnp.array([
                mu.sum(), (mu**2).sum(), s2.sum(), jnp.log(s2).sum(), (w**2).sum(), (w * mu).sum(), jnp.prod(w),
                x.sum(), jnp.minimum(x**2, 25).sum(), bg.log_likelihood(params, x), jnp.abs(mu[0] - mu[1]),
            ])  # fmt: skip

        def forward(key):
            key_theta, key_x = jr.split(key)
            params = prior.sample(key_theta)
            return params, bg.sample(key_x, params, 3)[1]

        def chain(key):
            key_start, key_run = jr.split(key)
            start = forward(key_start)

            def turn(state, key):
                params, x = state
                key_step, key_x = jr.split(key)
                params, _ = step(
                    kernel, key_step, params, prior, rows._replace(x=jnp.concatenate([jnp.ones((1, 3)), x.T])[None])
                )
                x = bg.sample(key_x, params, 3)[1]
                return (params, x), statistics(params, x)

            return jax.lax.scan(turn, start, jr.split(key_run, num))[1]

        successive = np.asarray(jax.jit(jax.vmap(chain))(jr.split(jr.key(0), chains)))
        marginal = np.asarray(jax.jit(jax.vmap(lambda key: statistics(*forward(key))))(jr.split(jr.key(1), 60_000)))
    scores = []
    for i in range(successive.shape[-1]):
        mean, error = mean_and_error(successive[:, :, i])
        other = marginal[:, i].std() / np.sqrt(len(marginal))
        scores.append((mean - marginal[:, i].mean()) / np.hypot(error, other))
    return np.array(scores)
