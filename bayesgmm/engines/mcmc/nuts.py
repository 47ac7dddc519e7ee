"""NUTS on the marginal posterior: the sampler of NumPyro, with the gradient from one pass over the data.

θ moves in the unconstrained coordinates of `bayesgmm.engines.coordinates`. NumPyro is imported to trace a program.
A program that is read from disk does not need it.
"""

from functools import partial
from os import PathLike
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int, Key

from bayesgmm.data.described import described
from bayesgmm.data.kinds import ON_DISK, WORDS
from bayesgmm.engines import coordinates
from bayesgmm.engines.chain_starts import Init
from bayesgmm.engines.coordinates import constrain, log_jacobian, unconstrain
from bayesgmm.engines.engine import CHAIN_SETTINGS, Engine
from bayesgmm.engines.mcmc.chain_loop import collect
from bayesgmm.engines.mcmc.mass_matrix import posterior_variances
from bayesgmm.engines.mcmc.sampler import Sampler, run_sampler
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.families import CONJUGATE
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import check_choice, check_count, check_flag, check_number
from bayesgmm.runtime.programs import Program, compile_ahead
from bayesgmm.runtime.progress import Progress
from bayesgmm.sweep.fetched import Fetched, fetched
from bayesgmm.sweep.kinds_of_rows import Rows
from bayesgmm.sweep.passed import HostRows
from bayesgmm.sweep.sharded import over_chains

MANY_ROWS = 2000
"""From this number of rows, the mass matrix starts from the EM information. Below, its compilation does not pay off."""
DEEPEST = 20
"""Largest tree depth."""


class Recipe(NamedTuple):
    """Static settings, compiled into a run of NUTS."""

    num_warmup: int
    target_accept_prob: float
    max_tree_depth: int
    dense_mass: bool
    likelihood: str


class NutsState(NamedTuple):
    """State of a chain: the ``HMCState`` of NumPyro, as types that do not need NumPyro."""

    count: Any
    z: Any
    """Unconstrained θ."""
    rest: tuple[Any, ...]
    """Other leaves of the state, in order."""
    key: Any


def sample_nuts(
    x: Any,
    n_components: int,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    fixed: Any = None,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    init: Init = "dispersed",
    reference: MixtureFit | Params | None = None,
    checkpoint: str | PathLike | None = None,
    likelihood: str = "marginal",
    target_accept_prob: float = 0.8,
    max_tree_depth: int = 10,
    dense_mass: bool = False,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> Posterior:
    """Sample the posterior by NUTS (Hoffman & Gelman 2014) with z integrated out.

    Parameters
    ----------
    x, n_components, covariance_type, prior, weights, labels, errors, noise, fixed, num_warmup, num_samples, num_chains
        As for `sample_gibbs`.
    seed, init, reference, checkpoint, dtype, progress_bar
        As for `sample_gibbs`.
    likelihood
        ``"marginal"``: log-likelihood and gradient from one pass over the data (Fisher's identity). ``"enumerated"``:
        NumPyro enumerates z in `gaussian_mixture`; the density is the same, but slower. ``"labels"``: z is kept as
        labels, drawn one by one between moves of θ by the ``DiscreteHMCGibbs`` of NumPyro; for few rows.
    target_accept_prob, max_tree_depth, dense_mass
        As in ``numpyro.infer.NUTS``.

    Returns
    -------
    Posterior
        ``sample_stats`` holds ``diverging``, ``n_steps``, ``tree_depth``, ``acceptance_rate``, ``energy``,
        ``step_size``. With ``likelihood="labels"``, ``tree_depth`` and ``energy`` are missing, because
        ``DiscreteHMCGibbs`` does not keep them.

    Raises
    ------
    DataError, PriorError, ArgumentError, CheckpointError
        Before the run, if an input cannot be used.
    SamplingInterrupted
        If stopped during warm-up.
    """
    x = described(x, weights, labels, errors, noise)
    check_choice("likelihood", likelihood, ("marginal", "enumerated", "labels"))
    target_accept_prob = check_number("target_accept_prob", target_accept_prob, 0.0, 1.0, open_low=True, open_high=True)
    max_tree_depth = check_count("max_tree_depth", max_tree_depth, most=DEEPEST, why="a tree has 2 ** depth steps")
    num_warmup, dense_mass = check_count("num_warmup", num_warmup, least=0), check_flag("dense_mass", dense_mass)
    recipe = Recipe(num_warmup, target_accept_prob, max_tree_depth, dense_mass, likelihood)
    if likelihood != "marginal" and str(covariance_type) not in ("full", "VVV", "V"):
        raise ArgumentError(f"likelihood={likelihood!r} allows only free covariances. Use likelihood='marginal'.")
    if likelihood != "marginal" and fixed is not None:
        raise ArgumentError(f"likelihood={likelihood!r} takes no fixed parameters. Use likelihood='marginal'.")
    if (
        likelihood != "marginal"
        and isinstance(prior, Belief)
        and not getattr(prior.components, "sites_are_theta", True)
    ):
        raise PriorError(
            f"likelihood={likelihood!r} uses other coordinates than a {type(prior.components).__name__} prior needs. "
            "Use 'marginal', which has the same density, or the NUTS of NumPyro on bayesgmm.gaussian_mixture."
        )
    return run_sampler(
        nuts(recipe), x, n_components, covariance_type=covariance_type, prior=prior, fixed=fixed,
        num_warmup=num_warmup,
        num_samples=num_samples, num_chains=num_chains, seed=seed, init=init, reference=reference,
        checkpoint=checkpoint, dtype=dtype, progress_bar=progress_bar,
    )  # fmt: skip


def nuts(recipe: Recipe) -> Sampler:
    """NUTS as a `Sampler`."""
    settings = tuple((name, value) for name, value in recipe._asdict().items() if name != "num_warmup")
    refused = () if recipe.likelihood == "marginal" else (*WORDS, ON_DISK)
    called = f"likelihood={recipe.likelihood!r}"
    return Sampler("nuts", partial(_start, recipe), partial(_advance, recipe), settings, refused, called, _note)


def potential(prior: Belief, data: Rows | Fetched | Float[Array, "N D"]):
    """Minus the log posterior density of unconstrained θ, up to the constant of the prior: a function of `Position`.

    With `Rows` it is the marginal posterior from one pass over the data. With a plain matrix of standardised rows,
    NumPyro enumerates z. Both give the same function.
    """
    if isinstance(data, Rows | Fetched):
        return lambda position: coordinates.potential(position, prior, data)
    from numpyro.contrib.funsor import config_enumerate, enum
    from numpyro.infer.util import potential_energy

    from bayesgmm.engines.numpyro_model import gaussian_mixture

    prior = prior.as_written()
    model = enum(config_enumerate(gaussian_mixture), first_available_dim=-2)
    constant = prior.log_normaliser()
    return lambda position: potential_energy(model, (prior, data), {}, position, enum=True) + constant


def _settings(recipe: Recipe) -> dict[str, Any]:
    return {name: getattr(recipe, name) for name in ("target_accept_prob", "max_tree_depth", "dense_mass")}


def _kernel(recipe: Recipe, prior: Belief, data):
    """The NUTS of NumPyro as a pair (init, sample), for this posterior."""
    from numpyro.infer.hmc import hmc

    init_kernel, sample_kernel = hmc(potential_fn_gen=potential, algo="NUTS")
    start = partial(
        init_kernel, num_warmup=recipe.num_warmup, model_args=(prior, data), **_settings(recipe),
    )  # fmt: skip
    return start, lambda state: sample_kernel(state, model_args=(prior, data), model_kwargs={})


def _start(recipe: Recipe, keys: Key[Array, "C"], starts: Params, problem: Problem):
    if isinstance(problem.rows, HostRows):
        with fetched(problem.rows) as rows:
            return jax.block_until_ready(_START(keys, starts, problem.standard_prior, rows, recipe=recipe))
    arguments = problem.standard_prior, _data(recipe, problem)
    # NumPyro's handlers, which the other two likelihoods use, must not run in two threads.
    if recipe.likelihood == "marginal" and not _START.known(keys, starts, *arguments, recipe=recipe):
        shapes = partial(jax.eval_shape, partial(_starts, recipe=recipe), keys, starts, *arguments)
        count = np.asarray(0)
        work = lambda: _BLOCK.prepare(shapes(), count, *arguments, recipe=recipe)  # noqa: E731
        compile_ahead("nuts", (keys, starts, *arguments), work)
    return _START(keys, starts, problem.standard_prior, _data(recipe, problem), recipe=recipe)


def _advance(recipe: Recipe, states, count: Int[Array, ""], problem: Problem):
    if isinstance(problem.rows, HostRows):
        with fetched(problem.rows) as rows:
            return jax.block_until_ready(_BLOCK(states, count, problem.standard_prior, rows, recipe=recipe))
    return _BLOCK(states, count, problem.standard_prior, _data(recipe, problem), recipe=recipe)


def _data(recipe: Recipe, problem: Problem):
    return problem.rows if recipe.likelihood == "marginal" else problem.matrix()


def _starts(keys: Key[Array, "C"], starts: Params, prior: Belief, data, recipe: Recipe):
    if recipe.likelihood == "labels":
        from bayesgmm.engines.mcmc import nuts_with_labels

        prior = prior.as_written()
        return jax.vmap(
            lambda key, params: nuts_with_labels.start(key, params, prior, data, recipe.num_warmup, _settings(recipe))
        )(keys, starts)

    def one(data, prior: Belief, key, params: Params):
        start, _ = _kernel(recipe, prior, data)
        place = unconstrain(params, prior)
        if not isinstance(data, Rows | Fetched) or data.capacity < MANY_ROWS:
            return _without_types(start(place, rng_key=key))
        variances = posterior_variances(params, prior, data, recipe.dense_mass)
        return _without_types(start(place, rng_key=key, inverse_mass_matrix=variances))

    return over_chains(one, data, prior, keys, starts)


def _block(states, count: Int[Array, ""], prior: Belief, data, recipe: Recipe):
    if recipe.likelihood == "labels":
        from bayesgmm.engines.mcmc import nuts_with_labels

        prior = prior.as_written()
        return jax.vmap(
            lambda state: nuts_with_labels.block(state, count, prior, data, recipe.num_warmup, _settings(recipe))
        )(states)

    def one(data, shared, state):
        prior, count = shared
        start, sample = _kernel(recipe, prior, data)
        # The NumPyro sampler gets its settings from this call. The compiler drops the unused results.
        template = start(state.z, rng_key=state.key)

        def advance(state):
            state = sample(_with_types(state, template))
            params = constrain(state.z, prior)
            log_likelihood = -state.potential_energy - prior.log_kernel(params) - log_jacobian(state.z)
            stats = {
                "diverging": state.diverging,
                "n_steps": state.num_steps,
                "tree_depth": jnp.ceil(jnp.log2(state.num_steps + 1.0)).astype(int),
                "acceptance_rate": state.accept_prob,
                "energy": state.energy,
                "step_size": state.adapt_state.step_size,
            }
            return _without_types(state), (params, log_likelihood, stats)

        return collect(advance, state, count)

    return over_chains(one, data, (prior, count), states)


def _without_types(state: Any) -> NutsState:
    """The HMCState of NumPyro as a `NutsState`."""
    count, z, *rest, key = state
    return NutsState(count, z, tuple(jax.tree.leaves(rest)), key)


def _with_types(state: NutsState, template: Any) -> Any:
    """The `HMCState` again; ``template`` has its structure."""
    _, _, *rest, _ = template
    return type(template)(state.count, state.z, *jax.tree.unflatten(jax.tree.structure(rest), state.rest), state.key)


def _note(outputs) -> str:
    divergences = int(outputs[2]["diverging"].sum())
    return f"{divergences} divergences in the last block" if divergences else ""


_START = Program(_starts, static=("recipe",))
_BLOCK = Program(_block, static=("recipe",))
NUTS = Engine(
    "nuts", "NUTS with z integrated out", sample_nuts, CHAIN_SETTINGS, families=CONJUGATE, from_disk=True,
    sampler=lambda settings, num_warmup: nuts(Recipe(num_warmup, *(settings[name] for name in Recipe._fields[1:]))),
)  # fmt: skip
