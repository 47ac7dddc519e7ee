"""NUTS on the marginal posterior: NumPyro's sampler, with the derivative from the one pass over the data.

θ is moved in unconstrained coordinates: weights by stick-breaking, means as they are, Cholesky factors by their lower
triangle with a log diagonal. The prior is a density over covariances; the change of variables adds
``log |dΣ/dL| = D log 2 + Σ_i (D - i + 1) log L_ii`` (i from 1) and the transforms' own Jacobians.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
from jaxtyping import Float, Int, Key
from numpyro.contrib.funsor import config_enumerate, enum
from numpyro.distributions import biject_to, constraints
from numpyro.infer.hmc import hmc
from numpyro.infer.util import potential_energy

from bayesgmm.arrays import Array
from bayesgmm.blocks import collect, run_chains
from bayesgmm.chains import Init, chain_starts, check_chain_arguments, check_reference, to_posterior, to_report
from bayesgmm.clock import Program, stopwatch
from bayesgmm.conjugate import Belief
from bayesgmm.errors import ArgumentError
from bayesgmm.kernels import log_posterior
from bayesgmm.model import gaussian_mixture
from bayesgmm.precision import scope
from bayesgmm.problem import as_key, check_count, prepare
from bayesgmm.progress import Progress, listening
from bayesgmm.results import MixtureFit, Posterior
from bayesgmm.sweep import Rows
from bayesgmm.types import Params

Position = dict[str, Float[Array, "..."]]
"""Unconstrained θ, by the site names of the NumPyro model."""

TRANSFORMS = {
    "weights": biject_to(constraints.simplex),
    "means": biject_to(constraints.real),
    "scale_trils": biject_to(constraints.lower_cholesky),
}


class Recipe(NamedTuple):
    """What is compiled into a run of NUTS."""

    num_warmup: int
    target_accept_prob: float
    max_tree_depth: int
    dense_mass: bool


def sample_nuts(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    init: Init = "dispersed",
    reference: MixtureFit | Params | None = None,
    likelihood: str = "marginal",
    target_accept_prob: float = 0.8,
    max_tree_depth: int = 10,
    dense_mass: bool = False,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> Posterior:
    """Sample the posterior by NUTS (Hoffman & Gelman 2014) with z summed out.

    Parameters
    ----------
    x, n_components, covariance_type, prior, num_warmup, num_samples, num_chains, seed, init, reference, dtype, progress_bar
        As for `sample_gibbs`.
    likelihood
        ``"marginal"``: log-likelihood and gradient from one sweep (Fisher's identity). ``"enumerated"``: NumPyro's own
        enumeration of z in `gaussian_mixture`. Both are the same density; the first is faster.
    target_accept_prob, max_tree_depth, dense_mass
        As in ``numpyro.infer.NUTS``.

    Returns
    -------
    Posterior
        ``sample_stats`` holds ``diverging``, ``n_steps``, ``tree_depth``, ``acceptance_rate``, ``energy``, ``step_size``.

    Raises
    ------
    DataError, PriorError, ArgumentError
        Before the run, if an input cannot be used.
    SamplingInterrupted
        If stopped during warm-up.
    """
    check_chain_arguments(num_warmup, num_samples, num_chains, prior, covariance_type)
    if likelihood not in ("marginal", "enumerated"):
        raise ArgumentError(f"likelihood must be 'marginal' or 'enumerated', got {likelihood!r}.")
    if not 0 < target_accept_prob < 1:
        raise ArgumentError(f"target_accept_prob must lie between 0 and 1, got {target_accept_prob!r}.")
    check_count("max_tree_depth", max_tree_depth)
    recipe = Recipe(num_warmup, target_accept_prob, max_tree_depth, dense_mass)
    with scope(dtype), stopwatch() as clock, listening(progress_bar) as listener:
        problem = prepare(x, n_components, prior, dtype)
        key_start, key_run = jr.split(as_key(seed), 3)[:2]  # the third is the DataTree's
        starts = chain_starts(key_start, problem, num_chains, init)
        check_reference(reference, problem)
        keys = jr.split(key_run, num_chains)
        data = problem.rows if likelihood == "marginal" else problem.matrix()
        state = _START(keys, starts, problem.belief, data, recipe=recipe)
        run = run_chains(
            lambda state, count: _BLOCK(state, count, problem.belief, data, recipe=recipe),
            state, num_warmup, num_samples, to_report(listener, "nuts", num_warmup, num_samples, _note),
        )  # fmt: skip
        return to_posterior(
            problem, run, clock, sample_stats=run.outputs[2] if run.outputs else {}, algorithm="nuts",
            num_warmup=num_warmup, seed=seed, reference=reference,
        )  # fmt: skip


def potential(prior: Belief, data: Rows | Float[Array, "N D"]):
    """Minus the log posterior density of unconstrained θ, up to the prior's constant, as a function of `Position`.

    From `Rows` it is the marginal posterior by one sweep; from a plain matrix of standardised rows it is NumPyro's
    enumeration of z. Both are one function.
    """
    if isinstance(data, Rows):
        return lambda position: -log_posterior(constrain(position), prior, data) - log_jacobian(position)
    story = enum(config_enumerate(gaussian_mixture), first_available_dim=-2)
    constant = prior.log_normaliser()
    return lambda position: potential_energy(story, (prior, data), {}, position, enum=True) + constant


def unconstrain(params: Params) -> Position:
    """θ → unconstrained coordinates."""
    return {name: TRANSFORMS[name].inv(value) for name, value in params._asdict().items()}


def constrain(position: Position) -> Params:
    """Unconstrained coordinates → θ."""
    return Params(**{name: TRANSFORMS[name](position[name]) for name in Params._fields})


def log_jacobian(position: Position) -> Float[Array, ""]:
    """``log |d(weights, means, covariances) / d position|``."""
    params = constrain(position)
    dim = params.means.shape[-1]
    moved = sum(
        jnp.sum(TRANSFORMS[name].log_abs_det_jacobian(position[name], getattr(params, name)))
        for name in ("weights", "scale_trils")
    )
    log_diagonal = jnp.log(jnp.diagonal(params.scale_trils, axis1=-2, axis2=-1))
    powers = jnp.arange(dim, 0, -1)
    return moved + jnp.sum(powers * log_diagonal) + log_diagonal.size * math.log(2.0)


def _kernel(recipe: Recipe, prior: Belief, data):
    """NumPyro's NUTS as a pair (init, sample), bound to this posterior."""
    init_kernel, sample_kernel = hmc(potential_fn_gen=potential, algo="NUTS")
    start = partial(
        init_kernel, num_warmup=recipe.num_warmup, target_accept_prob=recipe.target_accept_prob,
        max_tree_depth=recipe.max_tree_depth, dense_mass=recipe.dense_mass, model_args=(prior, data),
    )  # fmt: skip
    return start, lambda state: sample_kernel(state, model_args=(prior, data), model_kwargs={})


def _start(keys: Key[Array, "C"], starts: Params, prior: Belief, data, recipe: Recipe):
    start, _ = _kernel(recipe, prior, data)
    return jax.vmap(lambda key, params: start(unconstrain(params), rng_key=key))(keys, starts)


def _block(states, count: Int[Array, ""], prior: Belief, data, recipe: Recipe):
    def one(state):
        start, sample = _kernel(recipe, prior, data)
        # NumPyro's sampler learns its settings when it is started; the compiler drops what the start would compute.
        start(state.z, rng_key=state.rng_key)

        def advance(state):
            state = sample(state)
            params = constrain(state.z)
            log_likelihood = -state.potential_energy - prior.log_kernel(params) - log_jacobian(state.z)
            stats = {
                "diverging": state.diverging,
                "n_steps": state.num_steps,
                "tree_depth": jnp.ceil(jnp.log2(state.num_steps + 1.0)).astype(int),
                "acceptance_rate": state.accept_prob,
                "energy": state.energy,
                "step_size": state.adapt_state.step_size,
            }
            return state, (params, log_likelihood, stats)

        return collect(advance, state, count)

    return jax.vmap(one)(states)


def _note(outputs) -> str:
    divergences = int(outputs[2]["diverging"].sum())
    return f"{divergences} divergences in the last block" if divergences else ""


_START = Program(_start, static=("recipe",))
_BLOCK = Program(_block, static=("recipe",))
