"""The telescoping sampler (Frühwirth-Schnatter, Malsiner-Walli & Grün 2021): the posterior of the number of components.

A sweep is one `step` of the table: z given θ as in Gibbs, then K given the partition, and θ given both
(`bayesgmm.priors.finite_mixtures`). No trans-dimensional move has to be tuned.
"""

import warnings
from contextlib import ExitStack
from dataclasses import dataclass, replace
from os import PathLike
from typing import Any

import numpy as np

from bayesgmm.data.described import described
from bayesgmm.data.kinds import CLASSES_DRAWN, LABELS, NOISE
from bayesgmm.data.table import Table, as_table, check_table
from bayesgmm.engines.checks import check_chain_arguments, check_sampled
from bayesgmm.engines.engine import CHAIN_SETTINGS, Engine
from bayesgmm.engines.mcmc.sampler import Sampler, run_blocks
from bayesgmm.engines.run_identity import run_identity
from bayesgmm.engines.telescoping.chains import Mixtures, advance_chains, start_chains
from bayesgmm.engines.telescoping.default_prior import resolved
from bayesgmm.engines.to_posterior import Collected
from bayesgmm.errors import MixingWarning, PriorError, SamplingInterrupted
from bayesgmm.model.families import CONJUGATE, Family, resolve_family
from bayesgmm.priors.concentration import checked_concentration
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.number_of_components import check_most, checked_components, masses_up_to
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.stick_breaking import refuse_sticks
from bayesgmm.problem import Model, build_model, to_problem
from bayesgmm.results.clusters import filled_first
from bayesgmm.results.of_chains import joined
from bayesgmm.results.telescoping_posterior import TelescopingPosterior
from bayesgmm.runtime.arguments import key_array, split_seed
from bayesgmm.runtime.checkpoint import Checkpoint, freeze, thaw
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.files import as_path
from bayesgmm.runtime.programs import stopwatch
from bayesgmm.runtime.progress import Progress, listening

MAX_COMPONENTS = 30
"""K_max, if the prior of K has no largest K."""


def sample_telescoping(
    x: Any,
    *,
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    components: Any = None,
    concentration: Any = None,
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    max_components: Any = None,
    num_warmup: int = 1000,
    num_samples: int = 1000,
    num_chains: int = 4,
    seed: Any = 0,
    checkpoint: str | PathLike | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> TelescopingPosterior:
    """Sample the posterior of a mixture whose number of components K is unknown (a mixture of finite mixtures).

    ``K ~ components``, ``weights ~ Dirichlet(γ_K, …, γ_K)`` and each component from ``prior``. The rows occupy K₊ ≤ K
    components: the clusters.

    Parameters
    ----------
    x, covariance_type, dtype, progress_bar
        As for `sample_gibbs`: the covariance families are those with a conjugate prior.
    prior
        ``"default"`` or a proper conjugate `Prior` that is the same for all components, in the user's units. Only its
        components are used: ``concentration`` is in the place of its weights. The default does not depend on K. Free
        and tied covariances: ``μ_k ~ N(m, diag(R²))``, ``Σ_k ~ IW(D + 4, C)``, ``C ~ Wishart(D, (D + 4) / (100 D)
        diag(R²))``, with m and R the middles and the ranges of the features. Diagonal and spherical ones: the
        `default_prior` of four components.
    components
        Prior of K: `BetaNegativeBinomialComponents` (the default, BNB(1, 4, 3): mean 2 with a heavy tail),
        `UniformComponents`, `GeometricComponents`, `PoissonComponents`, or `FixedComponents`. The last, with a small
        concentration, is a sparse finite mixture.
    concentration
        `Static` (γ_K = γ) or `Dynamic` (γ_K = α / K), of a number or of a prior (`Gamma`, `FDistribution`). The
        default is ``Dynamic(FDistribution(6, 3))``.
    weights, errors
        What else is known of the rows; see `rows`. Gaps (NaN) are taken too.
    labels, noise
        Refused: known classes and a noise component tell the components apart.
    max_components
        K_max: the prior of K is truncated there and normalised. By default the largest K of the prior, or 30. The time
        of a sweep hardly depends on it; memory does.
    num_warmup, num_samples, num_chains
        Warm-up sweeps (dropped), sweeps kept, and chains (run in parallel). K mixes more slowly than θ at a fixed K:
        10,000 draws are often needed.
    seed
        int or JAX key.
    checkpoint
        A folder. The run is saved there every few seconds; the same call resumes it, bit for bit.

    Returns
    -------
    TelescopingPosterior
        After Ctrl-C during sampling: the draws so far, with ``interrupted`` set. ``extend(n)`` draws more.

    Raises
    ------
    DataError, PriorError, ArgumentError, CheckpointError
        Before the run, if an input cannot be used.
    SamplingInterrupted
        If stopped during warm-up.

    Warns
    -----
    MixingWarning
        If the prior of K goes beyond ``max_components`` and so may the posterior: P(K = K_max) is above 0.001.
    """
    check_chain_arguments(num_warmup, num_samples, num_chains, prior)
    components, concentration = checked_components(components), checked_concentration(concentration)
    most = check_most(components, max_components, MAX_COMPONENTS)
    masses_up_to(components, most)
    folder = None if checkpoint is None else as_path("checkpoint", checkpoint)
    table = as_table(described(x, weights, labels, errors, noise))
    settings = {
        "num_warmup": int(num_warmup), "num_samples": int(num_samples), "num_chains": int(num_chains),
        "max_components": most, "dtype": None,
    }  # fmt: skip
    with scope(dtype) as settings["dtype"], listening(progress_bar) as listener, ExitStack() as held:
        model = mixture_model(table, prior, resolve_family(covariance_type, table.dim), most)
        check_sampled(model, settings["num_chains"], settings["num_samples"])
        with stopwatch() as clock:
            mixtures = Mixtures(to_problem(model, settings["dtype"]), components, concentration)
            ENGINE.check_problem(mixtures.problem)
            keys = split_seed(seed)
            saved = None
            if folder is not None:
                own = {name: value for name, value in settings.items() if name != "num_samples"}
                own |= {"components": components.describe(), "concentration": concentration.describe()}
                saved = held.enter_context(Checkpoint(folder, run_identity(model, SAMPLER.name, seed, **own)))
            state = start_chains(keys.start, key_array(keys.run, settings["num_chains"]), mixtures)
            run = run_blocks(SAMPLER, state, mixtures, num_warmup, num_samples, listener, saved)
            if run.outputs is None:
                raise SamplingInterrupted("telescoping was stopped during warm-up. No draw was kept.")
    found = TelescopingPosterior(
        **_drawn(mixtures, run), components=components, concentration=concentration, model=model, settings=settings,
        num_warmup=settings["num_warmup"], interrupted=run.interrupted, clock=clock, seed=seed,
        continuation=TelescopingChains(freeze(run.state)),
    )  # fmt: skip
    _warn_of_boundary(found)
    return found


def mixture_model(table: Table, prior: Any, family: Family, most: int) -> Model:
    """The model with room for `most` components, which all have the same prior.

    Raises
    ------
    ArgumentError, DataError, PriorError
        If the rows, the family or the prior cannot be used.
    """
    check_table(table, 1)
    own = resolved(prior, table, family)
    own.check_parts()
    why, instead = "its weights given K are a Dirichlet", "Use sample_gibbs, or concentration=Dynamic(alpha)."
    refuse_sticks(own.weights, "sample_telescoping does not take", why, instead)
    ENGINE.check(own, family, table.dim)
    full = own._replace(weights=Dirichlet(1.0)).expand(most, table.dim)
    if not full.exchangeable:
        raise PriorError(
            "The number of components can be inferred only if all have the same prior: the prior of component k must "
            "not depend on k. Give one value for all components, or use sample_gibbs."
        )
    return build_model(table, most, full, family)


def _drawn(mixtures: Mixtures, run: Collected) -> dict[str, Any]:
    """The draws in the user's units, as fields of the result."""
    params, log_likelihood, stats = run.outputs
    model = mixtures.problem.model
    params = filled_first(model.restore(params), stats["counts"])
    return {
        "params": params,
        "num_components": stats["num_components"].astype(np.int32),
        "counts": -np.sort(-stats["counts"], axis=-1),
        "concentrations": np.asarray(stats["concentration"], float),
        "log_likelihood": np.asarray(log_likelihood, float) - mixtures.problem.log_volume,
    }


@dataclass(frozen=True)
class TelescopingChains:
    """The chains of a posterior, which can go on."""

    state: Any
    """Their state on the host (`bayesgmm.runtime.checkpoint.freeze`)."""

    def __call__(self, posterior: TelescopingPosterior, num_samples: int, progress_bar: Progress) -> Any:
        """The posterior with `num_samples` more draws per chain."""
        dtype = posterior.settings["dtype"]
        with scope(dtype), stopwatch() as clock, listening(progress_bar) as listener:
            check_sampled(posterior.model, posterior.num_chains, posterior.num_samples + num_samples)
            problem = to_problem(posterior.model, dtype)
            mixtures = Mixtures(problem, posterior.components, posterior.concentration)
            run = run_blocks(SAMPLER, thaw(self.state), mixtures, 0, num_samples, listener)
        if run.outputs is None:
            return replace(posterior, interrupted=True)
        more = replace(posterior, **_drawn(mixtures, run), clock=clock)
        chains = TelescopingChains(freeze(run.state))
        names = "params", "num_components", "counts", "concentrations", "log_likelihood"
        found = replace(joined(posterior, more, names), interrupted=run.interrupted, continuation=chains)
        _warn_of_boundary(found)
        return found


def _warn_of_boundary(found: TelescopingPosterior) -> None:
    """Warn if the posterior reaches K_max, and the prior goes beyond."""
    if found.truncated:
        most, share = found.max_components, found.share_at_most
        warnings.warn(
            f"The prior of K is truncated at max_components={most}, and K is {most} in {share:.1%} of the draws: the "
            "posterior depends on the truncation. Use a larger max_components, or a prior that ends there "
            f"(UniformComponents({most})).",
            MixingWarning, stacklevel=3,
        )  # fmt: skip


def _note(outputs: Any) -> str:
    return f"K mostly {np.bincount(np.ravel(outputs[2]['num_components'])).argmax()}"


SAMPLER: Any = Sampler("telescoping", start_chains, advance_chains, note=_note)  # pyright: ignore[reportArgumentType]
ENGINE = Engine(
    "telescoping",
    "telescoping sampler of a mixture of finite mixtures",
    sample_telescoping,
    CHAIN_SETTINGS,
    needs=Conjugacy.CONDITIONAL,
    families=CONJUGATE,
    refuses=(*CLASSES_DRAWN, LABELS, NOISE),
)
"""What it takes; `bayesgmm.engines.telescoping.compared` has it as an engine among those of one K."""
