"""`bayesgmm.distributions.GaussianMixture` against NumPyro's ``MixtureSameFamily``, in both precisions."""

from collections.abc import Callable

import numpy as np
from timing import alternate, row

SIZES = ((150, 4, 3), (2_000, 8, 8), (10_000, 8, 8), (100_000, 8, 8))


def problem(n: int, d: int, k: int):
    """Weights, means, Cholesky factors and rows of clusters, in the precision of JAX's configuration."""
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    means = 3 * rng.normal(size=(k, d))
    x = means[rng.integers(k, size=n)] + rng.normal(size=(n, d))
    trils = np.linalg.cholesky(0.5 * np.eye(d) + 0.3)[None].repeat(k, axis=0)
    return tuple(jnp.asarray(part, dtype=float) for part in (np.full(k, 1 / k), x[:k], trils, x))


def ours(weights, means, trils, x):
    import bayesgmm as bg

    return bg.distributions.GaussianMixture(weights, means, scale_tril=trils).log_prob(x).sum()


def peer(weights, means, trils, x):
    import numpyro.distributions as dist

    components = dist.MultivariateNormal(means, scale_tril=trils)
    return dist.MixtureSameFamily(dist.Categorical(weights), components).log_prob(x).sum()


def bench_distribution() -> None:
    """Value; value and gradient in θ; the same with the gradient in the rows; a product with the Hessian."""
    import jax

    for double in (False, True):
        with jax.enable_x64(double):
            for size in SIZES:
                data = problem(*size)
                n, d, k = size
                for what, work in works(data).items():
                    name = f"{what}, N={n} D={d} K={k}, {'double' if double else 'single'} precision"
                    row(name, *alternate(work(ours), work(peer)), "NumPyro MixtureSameFamily")


def works(data) -> dict[str, Callable]:
    """What is timed: of a log density, a compiled function without arguments."""
    import jax

    def compiled(function, args=data):
        fast = jax.jit(function)
        return lambda: jax.block_until_ready(fast(*args))

    def product(density):
        gradient = jax.grad(density, argnums=(0, 1, 2))
        return lambda *args: jax.jvp(lambda *theta: gradient(*theta, args[3]), args[:3], args[:3])

    return {
        "value": compiled,
        "value and gradient": lambda f: compiled(jax.value_and_grad(f, argnums=(0, 1, 2))),
        "… and the gradient in the rows": lambda f: compiled(jax.value_and_grad(f, argnums=(0, 1, 2, 3))),
        "product with the Hessian": lambda f: compiled(product(f)),
    }
