"""The simulations behind a calibration: draw θ and data, run the engine, and rank θ among its draws."""

import inspect
import warnings
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, NamedTuple

import jax
import numpy as np

from bayesgmm.data.fingerprint import fingerprint_of_table
from bayesgmm.data.table import Table
from bayesgmm.engines.engine import Engine, engine_names, find_engine
from bayesgmm.errors import (
    ArgumentError,
    DataError,
    FitError,
    MixingWarning,
    NotConvergedWarning,
    SamplingInterrupted,
)
from bayesgmm.model.types import Frame, Params
from bayesgmm.problem import Model
from bayesgmm.results.convergence import worst_of
from bayesgmm.results.datatree import label_invariant
from bayesgmm.results.of_chains import OfChains
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.simulate import classes_of_simulated, sample_prior, simulated
from bayesgmm.runtime.arguments import check_names, derived_key, host_generator, shown
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.fingerprint import fingerprint, fingerprint_of_seed
from bayesgmm.sweep.per_row import log_densities
from bayesgmm.version import __version__

FIRST = 1000
"""Numbers of the keys of further tries."""
TRIES = 200
"""Most data sets that are drawn until one has no row outside of the noise's box."""
OUTSIDE = (
    f"{TRIES} simulated data sets had rows outside of the box of the noise: give the noise a larger volume, or a prior "
    "of means and covariances that keeps them in it"
)


class Target(NamedTuple):
    """What is calibrated: an engine of bayesgmm, or any callable with the signature of one."""

    run: Callable[..., Any]
    name: str
    identity: str
    """A name that is the same in every process."""
    engine: Engine | None
    settings: dict[str, int]


def target_of(engine: str | Callable[..., Posterior], settings: dict[str, int]) -> Target:
    """The engine of this name, or a callable, with those of the settings that it takes."""
    if callable(engine):
        name = getattr(engine, "__name__", type(engine).__name__)
        parameters = parameters_of(engine).values()
        if not any(p.name == "num_warmup" or p.kind is p.VAR_KEYWORD for p in parameters):
            settings = {part: value for part, value in settings.items() if part != "num_warmup"}
        return Target(engine, name, f"{getattr(engine, '__module__', '')}.{name}", None, settings)
    known = isinstance(engine, str) and engine in engine_names()
    found = find_engine(engine) if known else None
    if found is None or not found.draws:
        problem = f"{engine} returns a point estimate" if found else f"Unknown engine {shown(engine)}"
        drawing = [name for name in engine_names() if find_engine(name).draws]
        raise ArgumentError(
            f"{problem}. Only draws can be calibrated. Choose from {', '.join(drawing)}, or give a callable that "
            "returns a posterior."
        )
    return Target(found.whole or found.run, engine, engine, found, found.select(settings))


def check_options(target: Target, options: dict[str, Any]) -> None:
    """Refuse options that the engine does not take, before the first simulation."""
    parameters = parameters_of(target.run)
    if not any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        given = ("prior", "covariance_type", "seed", "reference", *target.settings)
        lacking = [name for name in given if parameters and name not in parameters]
        if lacking:
            raise ArgumentError(
                f"{target.name} takes no argument {', '.join(lacking)}, which calibrate gives to an engine that draws."
            )
        check_names(options, set(parameters) - {"x", "n_components", *given}, target.name)
    given = dict.fromkeys(("prior", "covariance_type", "seed", "reference", *target.settings, *options))
    try:
        inspect.signature(target.run).bind(None, None, **given)
    except (TypeError, ValueError) as error:
        raise ArgumentError(
            f"{target.name} cannot be called as an engine is, with x, n_components and {', '.join(given)} ({error})."
        ) from None


def parameters_of(engine: Callable[..., Any]) -> Mapping[str, inspect.Parameter]:
    """The parameters of an engine; none if it is built in and does not tell."""
    try:
        return inspect.signature(engine).parameters
    except (TypeError, ValueError):
        return {}


def run_identity(target: Target, model: Model, seed: Any, options: dict[str, Any]) -> dict[str, Any]:
    """Everything that determines the ranks, in short form."""
    if "<" in target.name:
        raise ArgumentError(
            f"A checkpoint identifies its engine by name, and {target.name} has no name. Define it with def."
        )
    return {
        "calibrate": target.identity, "bayesgmm": __version__, "jax": jax.__version__,
        "n_components": model.num_components, "covariance_type": model.family.name, "rows": model.table.num_rows,
        **_known(model.table),
        "features": list(model.table.features), "prior": fingerprint(model.prior),
        **({} if model.fixed is None else {"fixed": fingerprint(model.fixed.parts)}), "seed": fingerprint_of_seed(seed),
        **target.settings, **{option: _option_identity(value) for option, value in options.items()},
    }  # fmt: skip


def _known(table: Table) -> dict[str, Any]:
    """What is simulated of a table besides its number of rows, in short form."""
    if table.plain:
        return {}
    return {"known": fingerprint_of_table(replace(table, values=np.where(np.isnan(table.values), np.nan, 0.0)))}


def _option_identity(value: Any) -> str:
    """A short string that identifies an option in every process; for a fit it depends on θ only."""
    return value if isinstance(value, str) else fingerprint(getattr(value, "params", value))


class Simulations(NamedTuple):
    """The simulations of one calibration; the number of a simulation determines its keys."""

    target: Target
    model: Model
    covariance_type: str
    key_prior: Any
    key_data: Any
    key_run: Any
    key_rank: Any
    options: dict[str, Any]

    def run(self, number: int) -> dict[str, Any]:
        """Draw θ and data, run the engine, and rank θ among its draws."""
        model, table = self.model, self.model.table
        drawn, key, values = self._inside(number)
        if drawn is None:
            return {"failure": OUTSIDE}
        labels = table.labels
        if labels is not None:  # of the same rows the class is known
            labels = np.where(labels < 0, -1, classes_of_simulated(key, drawn, table)[0, 0])
        if table.gaps:
            values[np.isnan(table.values)] = np.nan
        truth, data = Params(*(np.asarray(part)[0, 0] for part in drawn)), with_rows(table, values, labels)
        arguments = {
            "prior": model.prior, "covariance_type": self.covariance_type, "seed": derived_key(self.key_run, number),
            "reference": truth, **self.target.settings, **self.options,
        }  # fmt: skip
        try:
            with warnings.catch_warnings():
                for category in (MixingWarning, NotConvergedWarning):
                    warnings.simplefilter("ignore", category)  # the ranks show these failures
                x = data if self.target.engine is None else model.on_rows(data)
                posterior = self.target.run(x, model.num_gaussians, **arguments)
        except (FitError, DataError, SamplingInterrupted) as error:
            return {"failure": str(error).split(". ")[0]}
        if not isinstance(posterior, Posterior):
            raise ArgumentError(
                f"{self.target.name} returned a {type(posterior).__name__}. Only an engine that returns a Posterior "
                "(draws) can be calibrated."
            )
        of_truth = _quantities_of(truth, data, posterior.frame, model)
        known = ["sorted_weights"] if len(model.held.free("weights", model.num_components)) < 2 else []
        return ranks(
            posterior, of_truth.drop_vars(known, errors="ignore"), host_generator(derived_key(self.key_rank, number))
        )

    def _inside(self, number: int) -> tuple[Params | None, Any, np.ndarray]:
        """θ of the prior, the key of its data, and the data; no θ if every try has rows outside of the noise's box.

        To reject data, whatever they tell of θ, leaves the posterior of those that are kept. Outside of its box the
        noise has a density too, so there the engine has another model than the simulation.
        """
        noise = self.model.table.noise
        for attempt in range(1 if noise is None else TRIES):
            keys = [derived_key(key, number) for key in (self.key_prior, self.key_data)]
            keys = [derived_key(key, FIRST + attempt) for key in keys] if attempt else keys
            drawn = sample_prior(keys[0], self.model.family_prior, 1)
            values = simulated(keys[1], drawn, self.model.table)[0, 0]
            if noise is None or noise.holds(values):
                return drawn, keys[1], values
        return None, None, np.empty(0)


def with_rows(table: Table, values: np.ndarray, labels: np.ndarray | None) -> Table:
    """The table with simulated rows; which rows its user called noise at first says nothing of them."""
    noise = None if table.noise is None else replace(table.noise, guess=None)
    return replace(table, values=values, labels=labels, noise=noise)


def ranks(posterior: OfChains, of_truth: "xr.Dataset", rng: np.random.Generator) -> dict[str, Any]:
    """Ranks of the quantities of one θ among those of the draws from the posterior of its data."""
    kept, pit = thinned(posterior), {}
    for name, array in posterior.invariants[list(of_truth.data_vars)].data_vars.items():
        values = array.transpose("chain", "draw", ...).values
        values = values.reshape(-1, *values.shape[2:])[kept]
        here = of_truth[name].values[0, 0]
        for i, index in enumerate(np.ndindex(values.shape[1:])):
            rank = (values[(slice(None), *index)] < here[index]).sum()
            ties = (values[(slice(None), *index)] == here[index]).sum()  # weights at the smallest positive number
            label = f"{name}[{i}]" if values.ndim > 1 else str(name)
            pit[label] = float((rank + rng.random() * (ties + 1)) / (len(kept) + 1))
    return {"pit": pit, "effective": len(kept)}


def _quantities_of(truth: Params, data: Table, frame: Frame, model: Model) -> "xr.Dataset":
    """The label-invariant quantities of one θ, in the shape of one draw of one chain."""
    one = Params(*(part[None, None] for part in truth))
    log_likelihood = log_densities(one, data, frame) @ data.counted
    with scope("float64"):
        log_prior = np.asarray(model.log_prior(truth)).reshape(1, 1)
    return label_invariant(one, data, frame, log_likelihood, log_prior)


def thinned(posterior: OfChains) -> np.ndarray:
    """Indices of a thinned set of draws, of all chains together: about as many as the effective sample size."""
    total = posterior.num_chains * posterior.num_samples
    _, least = worst_of(posterior.convergence)
    count = int(np.clip(least, 1, total)) if np.isfinite(least) else 1
    return np.linspace(0, total - 1, count).astype(int)
