"""Simulation-based calibration: whether an engine draws from the posterior that model and prior define.

Draw θ from the prior and data given θ; then let the engine sample the posterior of those data. If the engine is
correct, the rank of θ among the posterior draws is uniform in every quantity (Cook, Gelman & Rubin 2006; Talts et al.
2018). Component labels are arbitrary, so the quantities are label-invariant. Some of them depend on the data: without
these, an engine that ignores the data would pass (Modrák et al. 2023).
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.checking.number_simulations import NumberSimulations, number_of
from bayesgmm.checking.simulations import Simulations, Target, check_options, run_identity, target_of
from bayesgmm.data.table import Table, as_table
from bayesgmm.engines.checks import MOST_CHAINS, check_sampled
from bayesgmm.errors import (
    ArgumentError,
    PriorError,
)
from bayesgmm.numerics.uniformity import direction, holm, uniformity
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.within_family import check_drawn
from bayesgmm.problem import Model, prepare
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_key, check_count, split_key
from bayesgmm.runtime.checkpoint import append_line, read_lines
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.files import as_path
from bayesgmm.runtime.formatting import as_html, as_text, significant
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.lock import Lock
from bayesgmm.runtime.progress import Progress, check_progress, listening

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.01
"""Family-wise significance level of the test of calibration."""
MOST_SIMS = 10**6
"""Most simulations of one calibration."""
FEWEST = 20
"""Fewest simulations for a verdict."""


@dataclass(frozen=True, repr=False)
class Calibration:
    """Ranks of θ among its posterior draws, one row per simulation."""

    engine: str
    pit: "pd.DataFrame"
    """Share of thinned draws below θ: a row per simulation, a column per quantity. Uniform on (0, 1) if calibrated."""
    effective: np.ndarray
    """Number of draws of each simulation, after thinning to the smallest effective sample size."""
    failures: tuple[str, ...]
    """Reasons why the engine returned no posterior, one for each failed simulation."""
    interrupted: bool

    @property
    def num_sims(self) -> int:
        """Number of simulations with ranks."""
        return len(self.pit)

    def summary(self) -> "pd.DataFrame":
        """A row per quantity: mean and sd of the ranks (uniform: 0.5 and 0.289), and the p-value of uniformity.

        The test statistic is the smallest pointwise binomial tail probability of the empirical distribution function
        (Säilynoja, Bürkner & Vehtari 2022). ``adjusted`` is the p-value adjusted by the method of Holm.
        """
        import pandas as pd

        values = self.pit.to_numpy()
        p = np.array([uniformity(column) for column in values.T])
        columns = {"mean": values.mean(axis=0), "sd": values.std(axis=0), "p": p, "adjusted": holm(p)}
        return pd.DataFrame(columns, index=self.pit.columns)

    @property
    def calibrated(self) -> bool:
        """Whether the ranks of all quantities are compatible with uniformity at the family-wise 1 % level."""
        return self.num_sims >= FEWEST and bool(self.summary()["adjusted"].min() >= LEVEL)

    @property
    def status(self) -> str:
        """``"calibrated"``, ``"not calibrated"`` or ``"too few simulations"`` (fewer than 20)."""
        if self.num_sims < FEWEST:
            return "too few simulations"
        return "calibrated" if self.calibrated else "not calibrated"

    def verdict(self) -> str:
        """The conclusion from the ranks, in a sentence or two."""
        parts = [f"{self.num_sims} simulations"]
        if self.num_sims:
            parts[0] += f", {np.median(self.effective):.0f} effective draws in the median one"
        if self.failures:
            parts.append(f"{len(self.failures)} more failed ({self.failures[0]})")
        if self.interrupted:
            parts.append("interrupted")
        basis = "; ".join(parts)
        if self.num_sims < FEWEST:
            return f"{self.engine}: too few simulations for a verdict ({basis})."
        summary = self.summary()
        if self.calibrated:
            return (
                f"{self.engine}: no departure from calibration found in any of {len(summary)} label-invariant "
                f"quantities (smallest adjusted p {summary['adjusted'].min():.2g}; {basis})."
            )
        worst = summary.sort_values("p").iloc[0]
        return (
            f"{self.engine}: not calibrated. The ranks of θ in {summary['p'].idxmin()} are not uniform: the draws are "
            f"{direction(worst['mean'], worst['sd'])} (p {worst['p']:.2g}; {basis}). With these settings the engine "
            "does not sample the posterior of this model. If it runs chains, check their mixing first (longer runs, "
            "R-hat)."
        )

    def plot(self, ax: Any = None) -> Any:
        """Plot the distribution functions of the ranks with their simultaneous band; return the axes."""
        from bayesgmm import plots

        return plots.plot_calibration(self, ax)

    def __repr__(self) -> str:
        return as_text(self.verdict(), self._table()) if self.num_sims else self.verdict()

    def _repr_html_(self) -> str:
        return as_html(self.verdict(), self._table()) if self.num_sims else self.verdict()

    def _table(self) -> "pd.DataFrame":
        """The formatted summary: a dash where there is no p-value."""
        return self.summary().map(significant)


def calibrate(
    x: Any,
    n_components: int | None = None,
    *,
    engine: str | Callable[..., Posterior] = "gibbs",
    covariance_type: str = "full",
    prior: Belief | str | None = "default",
    fixed: Any = None,
    n_sims: int = 200,
    num_warmup: int = 500,
    num_samples: int = 500,
    num_chains: int = 2,
    seed: Any = 0,
    checkpoint: str | PathLike | None = None,
    progress_bar: Progress = None,
    **options: Any,
) -> Calibration:
    """Check an engine by simulation for a given prior and number of rows, features and components.

    Parameters
    ----------
    x
        Data (N, D). Only their shape and feature names are used, and the default prior, which depends on them. What is
        known of their rows (`rows`) is simulated too: the same gaps, errors of the same size, weights of 0 and 1. A
        noise component keeps its box; data with rows outside are drawn again, which leaves the ranks uniform.
    n_components, covariance_type, prior, fixed
        The model, as for `sample_gibbs`. The telescoping sampler draws the number of components too: leave n_components
        out there, and give its ``components``, ``concentration`` and ``max_components`` as options.
    engine
        Name of an engine that draws (``"gibbs"``, ``"nuts"``, ``"cavi"``, ``"svi"``, ``"laplace"``, ``"telescoping"``),
        or a callable with the signature of an engine that returns a `Posterior`.
    n_sims
        Number of simulations; each runs the engine once. 200 find gross errors; small ones need a thousand.
    num_warmup, num_samples, num_chains
        Settings of each run. Draws are thinned to the smallest effective sample size before θ is ranked among them.
    seed
        int or JAX key.
    checkpoint
        A folder to which the ranks of each simulation are written. The same call resumes from it.
    progress_bar
        True, False, None (a bar in a terminal or notebook) or a callable.
    options
        Further arguments of the engine.

    Returns
    -------
    Calibration
        After Ctrl-C, the simulations so far.

    Raises
    ------
    ArgumentError, DataError, PriorError, CheckpointError
        Before the first simulation.
    """
    n_sims = check_count("n_sims", n_sims, most=MOST_SIMS, why="each runs the engine once")
    num_warmup = check_count("num_warmup", num_warmup, least=0)
    num_samples = check_count("num_samples", num_samples, least=4)
    num_chains = check_count("num_chains", num_chains, most=MOST_CHAINS)
    check_progress(progress_bar)
    folder = None if checkpoint is None else as_path("checkpoint", checkpoint)
    if prior is None:
        raise PriorError(
            "There is nothing to simulate from: prior=None is improper. Use 'default' or a bayesgmm.Prior."
        )
    settings = {"num_warmup": num_warmup, "num_samples": num_samples, "num_chains": num_chains}
    target = target_of(engine, settings)
    model, about, simulation = _simulations(target, x, n_components, covariance_type, prior, fixed, seed, options)
    _check_known(model.table)
    check_drawn(model.family)
    check_sampled(model, num_chains, num_samples)
    path, lines = None, []
    with listening(progress_bar) as listener, interruptible() as stop, ExitStack() as held:
        if folder is not None:
            path = folder / "ranks.jsonl"
            held.enter_context(Lock(folder))
            lines = read_lines(path, run_identity(target, model, seed, about), ("failure",), ("pit", "effective"))
        for number in range(len(lines), n_sims):
            if stop.is_set():
                break
            line = simulation.run(number)
            if stop.is_set():
                break  # an interrupted run is not a simulation
            lines.append(line)
            if path is not None and not append_line(path, line):
                path = None
            failed = sum("failure" in line for line in lines)
            listener(f"calibrate {target.name}", number + 1, n_sims, f"{failed} failed" if failed else "")
    return _to_calibration(target.name, lines[:n_sims], n_sims)


def _simulations(
    target: Target, x: Any, n_components: Any, covariance_type: str, prior: Any, fixed: Any, seed: Any,
    options: dict[str, Any],
) -> tuple[Model, dict[str, Any], Simulations | NumberSimulations]:  # fmt: skip
    """The model, what identifies the options in a checkpoint, and the simulations."""
    key_prior, key_data, key_run, key_rank = split_key(as_key(seed), 4)
    if target.engine is not None and target.engine.draws_number:
        number = number_of(target, as_table(x), n_components, covariance_type, prior, fixed, options)
        model, about = number.model, options | number.words
        simulation = NumberSimulations(target, number, key_prior, key_data, key_run, key_rank, options)
    else:
        check_options(target, options)
        with scope("float64"):
            num = check_count("n_components", n_components)
            model = prepare(as_table(x), num, prior, "float64", covariance_type, fixed).model
        if target.engine is not None:
            target.engine.check(model.prior, model.family, model.table.dim)
        if target.engine is None and fixed is not None:
            options = options | {"fixed": fixed}
        about = options
        simulation = Simulations(target, model, covariance_type, key_prior, key_data, key_run, key_rank, options)
    return model, about, simulation


def _check_known(table: Table) -> None:
    """Refuse what is known of rows and cannot be simulated."""
    if table.labels is not None and table.labels.ndim == 2:
        raise ArgumentError("calibrate simulates known classes, not probabilities of classes. Give labels (N,).")
    if table.weights is not None and not np.isin(table.weights, (0.0, 1.0)).all():
        raise ArgumentError(
            "calibrate simulates rows that count once or not at all: rows that a model draws do not repeat. Use "
            "weights of 0 and 1."
        )


def _to_calibration(name: str, lines: list[Any], n_sims: int) -> Calibration:
    import pandas as pd

    good = [line for line in lines if "failure" not in line]
    return Calibration(
        name, pd.DataFrame([line["pit"] for line in good]), np.array([line["effective"] for line in good]),
        tuple(line["failure"] for line in lines if "failure" in line), len(lines) < n_sims,
    )  # fmt: skip
