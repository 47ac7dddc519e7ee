"""Simulation-based calibration: whether an engine draws from the posterior that model and prior define.

Draw θ from the prior and data from θ; let the engine sample the posterior of those data. If it is right, θ ranks uniformly
among its own posterior draws, in every quantity (Cook, Gelman & Rubin 2006; Talts et al. 2018). Components have no fixed
numbers, so the quantities are label-invariant; some depend on the data, without which an engine that ignores the data would
pass (Modrák et al. 2023).
"""

import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass, replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.random as jr
import numpy as np

from bayesgmm.data.table import Table, as_table
from bayesgmm.engines.checks import check_sampled
from bayesgmm.engines.engine import Engine, find_engine
from bayesgmm.errors import (
    ArgumentError,
    DataError,
    FitError,
    MixingWarning,
    NotConvergedWarning,
    PriorError,
    SamplingInterrupted,
)
from bayesgmm.model import mixture
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.uniformity import direction, holm, uniformity
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model, prepare
from bayesgmm.results.datatree import label_invariant
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.simulate import predictive, sample_prior
from bayesgmm.runtime.arguments import as_key, check_count, host_generator
from bayesgmm.runtime.checkpoint import append_line, fingerprint, read_lines
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import as_html, as_text, significant
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.progress import Progress, listening
from bayesgmm.version import __version__

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

LEVEL = 0.01
"""Family-wise level below which the verdict is that an engine is not calibrated."""
FEWEST = 20
"""Simulations below which nothing can be said."""


@dataclass(frozen=True, repr=False)
class Calibration:
    """Where θ ranked among its posterior draws, simulation by simulation."""

    engine: str
    pit: "pd.DataFrame"
    """Share of the (thinned) draws below θ, a row per simulation, a column per quantity: uniform on (0, 1) if all is right."""
    effective: np.ndarray
    """Draws that each simulation's ranks rest on, after thinning to the smallest effective sample size."""
    failures: tuple[str, ...]
    """Simulations in which the engine came to no posterior, and why."""
    interrupted: bool

    @property
    def num_sims(self) -> int:
        """Simulations that ended in ranks."""
        return len(self.pit)

    def summary(self) -> "pd.DataFrame":
        """A row per quantity: mean and sd of the ranks beside those of a uniform, and the p-value of uniformity.

        The p-value is that of the widest departure of the empirical distribution function from the uniform one, pointwise
        binomial tail probabilities being the measure (Säilynoja, Bürkner & Vehtari 2022); ``adjusted`` is Holm's.
        """
        import pandas as pd

        values = self.pit.to_numpy()
        p = np.array([uniformity(column) for column in values.T])
        columns = {"mean": values.mean(axis=0), "sd": values.std(axis=0), "p": p, "adjusted": holm(p)}
        return pd.DataFrame(columns, index=self.pit.columns)

    @property
    def calibrated(self) -> bool:
        """Whether no quantity's ranks depart from the uniform at the 1 % level, all quantities taken together."""
        return self.num_sims >= FEWEST and bool(self.summary()["adjusted"].min() >= LEVEL)

    def verdict(self) -> str:
        """What the ranks support, in a sentence or two."""
        told = [f"{self.num_sims} simulations"]
        if self.num_sims:
            told[0] += f", {np.median(self.effective):.0f} effective draws in the median one"
        if self.failures:
            told.append(f"{len(self.failures)} more failed ({self.failures[0]})")
        if self.interrupted:
            told.append("interrupted")
        basis = "; ".join(told)
        if self.num_sims < FEWEST:
            return f"{self.engine}: too few simulations to tell ({basis})."
        summary = self.summary()
        if self.calibrated:
            return (
                f"{self.engine}: no departure from calibration found in any of {len(summary)} label-invariant quantities "
                f"(smallest adjusted p {summary['adjusted'].min():.2g}; {basis})."
            )
        worst = summary.sort_values("p").iloc[0]
        return (
            f"{self.engine}: not calibrated. θ does not rank uniformly in {summary['p'].idxmin()}: the draws are "
            f"{direction(worst['mean'], worst['sd'])} (p {worst['p']:.2g}; {basis}). Either the engine or its settings do not "
            "reach the posterior of this model: look at mixing first (longer runs, R-hat), then at the approximation."
        )

    def plot(self, ax: Any = None) -> Any:
        """Draw the ranks' distribution functions with their simultaneous band; return the axes."""
        from bayesgmm import plots

        return plots.plot_calibration(self, ax)

    def __repr__(self) -> str:
        return as_text(self.verdict(), self._table()) if self.num_sims else self.verdict()

    def _repr_html_(self) -> str:
        return as_html(self.verdict(), self._table()) if self.num_sims else self.verdict()

    def _table(self) -> "pd.DataFrame":
        """The summary for reading: a dash where there is no p-value."""
        return self.summary().map(significant)


def calibrate(
    x: Any,
    n_components: int,
    *,
    engine: str | Callable[..., Posterior] = "gibbs",
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    n_sims: int = 200,
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 2,
    seed: Any = 0,
    checkpoint: str | PathLike | None = None,
    progress_bar: Progress = None,
    **options: Any,
) -> Calibration:
    """Check an engine by simulation on your own model: this prior, this many rows, features and components.

    Parameters
    ----------
    x
        Data (N, D). Only their shape and feature names enter, and the default prior, which is made from them.
    n_components, covariance_type, prior
        The model, as for `sample_gibbs`.
    engine
        Name of an engine that draws (``"gibbs"``, ``"nuts"``, ``"cavi"``, ``"svi"``, ``"laplace"``), or a callable with the
        signature of one that returns a `Posterior`.
    n_sims
        Simulations, each a run of the engine. 200 find gross errors; small ones need a thousand.
    num_warmup, num_samples, num_chains
        Of each run. Draws are thinned to the smallest effective sample size before θ is ranked among them.
    seed
        int or JAX key.
    checkpoint
        A folder to which each simulation's ranks are written, and from which the same call goes on.
    progress_bar
        True, False, None (a bar if someone is watching) or a callable.
    options
        Handed to the engine.

    Returns
    -------
    Calibration
        With Ctrl-C, of the simulations so far.

    Raises
    ------
    ArgumentError, DataError, PriorError, CheckpointError
        Before the first simulation.
    """
    check_count("n_sims", n_sims)
    check_count("num_samples", num_samples, least=4)
    if prior is None:
        raise PriorError(
            "There is nothing to simulate from: prior=None is improper. Use 'default' or a bayesgmm.Prior."
        )
    settings = {"num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains}
    subject = _subject(engine, settings)
    with scope("float64"):
        model = prepare(as_table(x), n_components, prior, "float64", covariance_type).model
    if subject.engine is not None:
        subject.engine.check(model.prior, model.family, model.table.dim)
    check_sampled(model, num_chains, num_samples)
    path, lines = None, []
    if checkpoint is not None:
        path = Path(checkpoint) / "ranks.jsonl"
        lines = read_lines(path, _question(subject, model, seed, options))
    key_prior, key_data, key_run, key_rank = jr.split(as_key(seed), 4)
    simulation = _Simulation(subject, model, covariance_type, key_prior, key_data, key_run, key_rank, options)
    with listening(progress_bar) as listener, interruptible() as stop:
        for number in range(len(lines), n_sims):
            if stop.is_set():
                break
            line = simulation.run(number)
            if stop.is_set():
                break  # a run cut short is not a simulation
            lines.append(line)
            if path is not None and not append_line(path, line):
                path = None
            failed = sum("failure" in line for line in lines)
            listener(f"calibrate {subject.name}", number + 1, n_sims, f"{failed} failed" if failed else "")
    return _to_calibration(subject.name, lines[:n_sims], n_sims)


def _to_calibration(name: str, lines: list[Any], n_sims: int) -> Calibration:
    import pandas as pd

    good = [line for line in lines if "failure" not in line]
    return Calibration(
        name, pd.DataFrame([line["pit"] for line in good]), np.array([line["effective"] for line in good]),
        tuple(line["failure"] for line in lines if "failure" in line), len(lines) < n_sims,
    )  # fmt: skip


class _Subject(NamedTuple):
    """What is calibrated: an engine of ours, or any callable with the signature of one."""

    run: Callable[..., Posterior]
    name: str
    identity: str
    """By which another process knows it again."""
    engine: Engine | None
    settings: dict[str, int]


def _subject(engine: str | Callable[..., Posterior], settings: dict[str, int]) -> _Subject:
    if callable(engine):
        name = getattr(engine, "__name__", type(engine).__name__)
        parameters = inspect.signature(engine).parameters.values()
        if not any(p.name == "num_warmup" or p.kind is p.VAR_KEYWORD for p in parameters):
            settings = {part: value for part, value in settings.items() if part != "num_warmup"}
        return _Subject(engine, name, f"{getattr(engine, '__module__', '')}.{name}", None, settings)
    found = find_engine(engine)
    if not found.draws:
        raise ArgumentError(
            f"{engine} returns a point, and only draws can be calibrated. Choose an engine that draws, such as gibbs, or give "
            "a callable that returns a posterior."
        )
    return _Subject(found.run, engine, engine, found, found.select(settings))


def _question(subject: _Subject, model: Model, seed: Any, options: dict[str, Any]) -> dict[str, Any]:
    """All that the ranks follow from, in few words."""
    if "<" in subject.name:
        raise ArgumentError(
            f"A checkpoint must know its engine again by name, and {subject.name} has none. Give it one with def."
        )
    return {
        "calibrate": subject.identity, "bayesgmm": __version__, "jax": jax.__version__,
        "n_components": model.num_components, "covariance_type": model.family.name, "rows": model.table.num_rows,
        "features": list(model.table.features), "prior": fingerprint(model.prior), "seed": fingerprint(as_key(seed)),
        **subject.settings, **{option: _known(value) for option, value in options.items()},
    }  # fmt: skip


class _Simulation(NamedTuple):
    """All simulations of one calibration; each follows from its number."""

    subject: _Subject
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
        drawn = sample_prior(jr.fold_in(self.key_prior, number), model.family_prior, 1)
        values = predictive(jr.fold_in(self.key_data, number), drawn, table.num_rows)[0, 0]
        truth, data = Params(*(np.asarray(part)[0, 0] for part in drawn)), replace(table, values=values)
        arguments = {
            "prior": model.prior, "covariance_type": self.covariance_type, "seed": jr.fold_in(self.key_run, number),
            "reference": truth, **self.subject.settings, **self.options,
        }  # fmt: skip
        try:
            with warnings.catch_warnings():
                for category in (MixingWarning, NotConvergedWarning):
                    warnings.simplefilter("ignore", category)  # the ranks show it
                x = data if self.subject.engine is None else model.on_rows(data)
                posterior = self.subject.run(x, model.num_components, **arguments)
        except (FitError, DataError, SamplingInterrupted) as error:
            return {"failure": str(error).split(". ")[0]}
        return _ranks(posterior, truth, data, model, host_generator(jr.fold_in(self.key_rank, number)))


def _known(value: Any) -> str:
    """An option in a few characters, by which another process knows it again; of a fit only θ is used."""
    return value if isinstance(value, str) else fingerprint(getattr(value, "params", value))


def _ranks(posterior: Posterior, truth: Params, data: Table, model: Model, rng: np.random.Generator) -> dict[str, Any]:
    """Ranks of one θ among the draws from its data's posterior."""
    kept = thinned(posterior)
    of_truth = _quantities_of(truth, data, posterior.frame, model)
    pit = {}
    for name, array in posterior.invariants.data_vars.items():
        values = array.transpose("chain", "draw", ...).values
        values = values.reshape(-1, *values.shape[2:])[kept]
        here = of_truth[name].values[0, 0]
        for i, index in enumerate(np.ndindex(values.shape[1:])):
            rank = (values[(slice(None), *index)] < here[index]).sum()
            ties = (values[(slice(None), *index)] == here[index]).sum()  # weights at the smallest number above 0
            label = f"{name}[{i}]" if values.ndim > 1 else str(name)
            pit[label] = float((rank + rng.random() * (ties + 1)) / (len(kept) + 1))
    return {"pit": pit, "effective": len(kept)}


def _quantities_of(truth: Params, data: Table, frame: Frame, model: Model) -> "xr.Dataset":
    """The label-invariant quantities of one θ, as of one draw of one chain."""
    log_likelihood = np.asarray(mixture.log_likelihood(truth, data.values)).reshape(1, 1)
    with scope("float64"):
        log_prior = np.asarray(model.log_prior(truth)).reshape(1, 1)
    one = Params(*(part[None, None] for part in truth))
    return label_invariant(one, data, frame, log_likelihood, log_prior)


def thinned(posterior: Posterior) -> np.ndarray:
    """Indices into the draws of all chains together that leave about as many as are effective."""
    total = posterior.num_chains * posterior.num_samples
    least = posterior.convergence[["ess_bulk", "ess_tail"]].to_numpy().min()
    count = int(np.clip(least, 1, total)) if np.isfinite(least) else 1
    return np.linspace(0, total - 1, count).astype(int)
