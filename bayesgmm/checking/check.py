"""Is the model any good for these data? Leave-one-out, LOO-PIT, predictive checks and prior sensitivity, in one call."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import arviz as az
import numpy as np
import xarray as xr
from arviz_stats.utils import ELPDDataLOO

from bayesgmm.checking.loo import check_posterior, leave_one_out, too_high
from bayesgmm.checking.loo_pit import pit_tree
from bayesgmm.checking.predictive import PredictiveChecks, predictive_checks
from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.uniformity import direction, holm
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import mixing_line, trust_line
from bayesgmm.runtime.arguments import as_key
from bayesgmm.runtime.formatting import as_html, as_text
from bayesgmm.runtime.progress import Progress, listening

if TYPE_CHECKING:
    import pandas as pd

LEVEL = 0.01
"""P-value, adjusted for the number of features, below which LOO-PITs are not uniform."""
SENSITIVE = 0.05
"""Power-scaling sensitivity above which a quantity depends on the prior or the likelihood (Kallioinen et al. 2024)."""
NOISE = 40
PARTS = (None, "weights", "components")


def prior_sensitivity(posterior: Posterior, *, part: str | None = None) -> "pd.DataFrame":
    """How much the posterior of each quantity moves if the prior, or the likelihood, is raised to a power near 1.

    ``D = |d distance(p_α(·), p(·)) / d log2 α|`` with ``p_α ∝ p(θ)^α p(x | θ)``, by importance weights on the draws: no
    refits (Kallioinen, Paananen, Bürkner & Vehtari 2024). Above 0.05 in both: prior and data disagree; in the prior alone: the
    prior is strong or the likelihood weak.

    Parameters
    ----------
    posterior
        Draws of any engine.
    part
        ``"weights"`` or ``"components"`` to scale that factor of the prior alone; None for the whole.

    Returns
    -------
    DataFrame
        ``az.psense_summary`` of label-invariant quantities, then of each component's weight and means, which mean what they say
        only where components are told apart.

    Raises
    ------
    ArgumentError
        If this is no posterior, has fewer than 100 draws, or has no such part.
    """
    check_posterior(posterior)
    if part not in PARTS:
        raise ArgumentError(f"part must be None, 'weights' or 'components', got {part!r}.")
    with _unsaid():
        table = az.psense_summary(scaling_tree(posterior), threshold=SENSITIVE, prior_var_names=part)
    figures = table[["prior", "likelihood"]]
    if not np.isfinite(figures.to_numpy(float)).all():
        names = ", ".join(map(str, table.index[figures.isna().any(axis=1)]))
        raise ArgumentError(f"No sensitivity can be told for {names}: the draws do not move enough. Draw more.")
    return table


@contextmanager
def _unsaid() -> Iterator[None]:
    """Leave out ArviZ's log message that there are issues: the table says which."""
    log, keep = logging.getLogger("arviz_stats.psense"), lambda record: record.levelno > logging.WARNING
    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)


def scaling_tree(posterior: Posterior) -> xr.DataTree:
    """What power-scaling needs, for ``az.psense`` and ``az.plot_psense_dist``: quantities, prior and likelihood of each draw.

    The log-likelihood is that of all rows together, so that any number of rows will do.
    """
    tree = posterior.datatree
    invariant = posterior.invariants.drop_vars(["log_posterior", "log_likelihood"], errors="ignore")
    own = tree["posterior"].to_dataset()[["weights", "means"]]
    own = own.rename(component="k")  # psense_summary has a dimension "component" of its own
    quantities = xr.Dataset(dict(invariant.data_vars) | dict(own.data_vars))
    still = [name for name, array in quantities.data_vars.items() if float(np.ptp(array.values)) == 0.0]
    density = xr.DataArray(posterior.log_likelihood, {d: own[d] for d in ("chain", "draw")}, ("chain", "draw"))
    groups = {
        "posterior": quantities.drop_vars(still), "log_prior": tree["log_prior"].to_dataset(),
        "log_likelihood": xr.Dataset({"x": density}),
    }  # fmt: skip
    return xr.DataTree.from_dict(groups)


def sensitivity_of_noise(posterior: Posterior) -> float:
    """Largest sensitivity to the prior among `NOISE` variables that have nothing to do with it.

    Where the log prior varies much from draw to draw, as with a component that is hardly occupied, the weights do too, and so
    few draws seem to be sensitive whatever they hold.
    """
    tree = scaling_tree(posterior)
    shape = (posterior.num_chains, posterior.num_samples, NOISE)
    noise = xr.Dataset({"noise": (("chain", "draw", "i"), np.random.default_rng(0).standard_normal(shape))})
    tree["posterior"] = xr.DataTree(noise.assign_coords({d: tree["log_prior"][d] for d in ("chain", "draw")}))
    return float(az.psense(tree)["noise"].max())


@dataclass(frozen=True, repr=False)
class ModelCheck:
    """What `check` found."""

    posterior: Posterior
    loo: ELPDDataLOO
    """Leave-one-out, after moment matching."""
    pit: xr.DataTree
    """LOO-PITs, as `loo_pit` returns them."""
    predictive: PredictiveChecks
    sensitivity: "pd.DataFrame"
    """As `prior_sensitivity` returns it."""
    noise: float
    """The sensitivity that so many draws show of what has nothing to do with the prior."""

    @property
    def uniformity(self) -> "pd.Series":
        """P-value of the uniformity of each feature's LOO-PITs (Tesso et al. 2026), adjusted for their number (Holm)."""
        import pandas as pd

        p = self.pit["loo_pit"].to_dataset().azstats.uniformity_test(dim="obs", method="pot_c")[0]["x"]
        return pd.Series(holm(np.atleast_1d(p.values)), index=list(self.posterior.table.features))

    def verdict(self) -> list[str]:
        """Whether the model may be believed, part by part, and what to do if not."""
        return [
            _mixing(self.posterior),
            self._loo_line(),
            self._pit_line(),
            self.predictive.verdict(),
            self._prior_line(),
        ]

    @property
    def sound(self) -> bool:
        """Whether no part found anything to mend."""
        return bool((self.summary()["sound"] == "yes").all())

    def summary(self) -> "pd.DataFrame":
        """A row per part: its most telling figure, and whether that is as it should be."""
        import pandas as pd

        k, uniformity, prior = self.loo.pareto_k.values.max(), self.uniformity, self.sensitivity["prior"]
        posterior, p = self.posterior, self.predictive.summary()["p"]
        trusted = posterior.trusted if isinstance(posterior, ApproximatePosterior) else posterior.mixed
        mixing = (
            ("Pareto k-hat of the draws", posterior.pareto_k) if isinstance(posterior, ApproximatePosterior)
            else ("worst R-hat", posterior.worst_rhat)
        )  # fmt: skip
        rows = {
            "draws": (*mixing, trusted),
            "leave-one-out": ("largest k-hat", k, k <= self.loo.good_k),
            "LOO-PIT": (f"p of uniformity [{uniformity.idxmin()}]", uniformity.min(), uniformity.min() >= LEVEL),
            "predictive checks": (f"p of {p.idxmin()}", p.min(), self.predictive.surprising.empty),
            "prior": (f"sensitivity of {prior.idxmax()}", prior.max(), not self._sensitive().any()),
        }
        told = {part: (figure, value, "yes" if fine else "no") for part, (figure, value, fine) in rows.items()}
        return pd.DataFrame.from_dict(told, orient="index", columns=["figure", "value", "sound"])

    def plot(self) -> dict[str, Any]:
        """Draw every part; return a figure for each: k-hat, LOO-PIT, tails, pairs, clusters, prior."""
        from bayesgmm import plots

        return plots.plot_check(self)

    def _loo_line(self) -> str:
        elpd, bad, parameters = self.loo, too_high(self.loo), self.posterior.model.num_parameters
        told = [
            f"Leave-one-out: elpd {elpd.elpd:.1f} ± {elpd.se:.1f}, {elpd.p:.1f} effective parameters of {parameters}."
        ]
        if elpd.p > 1.2 * parameters:
            told.append("That is more than there are: some rows are not what the model expects.")
        if moved := int((elpd.influence_pareto_k.values > elpd.good_k).sum()) - len(bad):
            told.append(f"In {moved} {'row' if moved == 1 else 'rows'} the draws had to be moved.")
        if not bad:
            return " ".join([*told, "Pareto k-hat is good in every row."])
        shown = ", ".join(map(str, bad[:5])) + (", …" if len(bad) > 5 else "")
        told.append(
            f"Not to be relied on in {len(bad)} {'row' if len(bad) == 1 else 'rows'} ({shown}): Pareto k-hat up to "
            f"{elpd.pareto_k.values.max():.2f}. Such a row moves the posterior on its own: look at it; for the figure use "
            "loo(refit=True)."
        )
        return " ".join(told)

    def _pit_line(self) -> str:
        p = self.uniformity
        wrong = [name for name, value in p.items() if value < LEVEL]
        if not wrong:
            return f"LOO-PIT: every feature's margin predicts rows it has not seen (smallest adjusted p {p.min():.2g})."
        values = self.pit["loo_pit"].to_dataset()["x"]
        told = [f"{name}: the predictive margin is {_shape(values.sel(feature=name).values)}" for name in wrong[:3]]
        more = f"; and {len(wrong) - 3} more features" if len(wrong) > 3 else ""
        return (
            f"LOO-PIT: not uniform. {'; '.join(told)}{more} (smallest adjusted p {p.min():.2g}). Allow more components, or "
            "another covariance_type; coarsely rounded data show here too."
        )

    def _sensitive(self) -> "pd.Series":
        return self.sensitivity["diagnosis"].str.startswith("potential") & (self.sensitivity["prior"] > self.noise)

    def _prior_line(self) -> str:
        table = self.sensitivity
        order = np.argsort(-table["prior"].to_numpy())
        found = table.iloc[order][self._sensitive().to_numpy()[order]]
        blind = (
            f" With these draws anything below {self.noise:.2g} is noise: draw more." if self.noise > SENSITIVE else ""
        )
        if found.empty:
            return f"Prior: no quantity depends on it much (largest sensitivity {table['prior'].max():.2g}).{blind}"
        told = [
            f"{name} {row['prior']:.2g} ({str(row['diagnosis']).removeprefix('potential ')})"
            for name, row in found.head(3).iterrows()
        ]
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        return (
            f"Prior: {len(found)} of {len(table)} quantities depend on it: {'; '.join(told)}{more}. If it says what you know, "
            f"this is as it should be; if it was a default, try weaker ones, or report how the answer moves with it.{blind}"
        )

    def __repr__(self) -> str:
        return as_text("\n".join(self.verdict()), self.summary())

    def _repr_html_(self) -> str:
        return as_html(" ".join(self.verdict()), self.summary())


def check(posterior: Posterior, *, seed: Any = 0, progress_bar: Progress = None) -> ModelCheck:
    """Check a fitted model in every way that needs no refits: `loo`, `loo_pit`, `predictive_checks`, `prior_sensitivity`.

    Print the result for a verdict, part by part; ``.plot()`` draws each. Warnings of the parts are sentences of the verdict.

    Parameters
    ----------
    posterior
        Draws of any engine.
    seed
        int or JAX key, of the replicates.
    progress_bar
        True, False, None (a bar if someone is watching) or a callable.

    Returns
    -------
    ModelCheck

    Raises
    ------
    ArgumentError
        If this is no posterior, has fewer than 100 draws, or more rows than leave-one-out can hold.
    """
    check_posterior(posterior)
    as_key(seed)
    with listening(progress_bar) as listener:
        parts = 3
        listener("check", 0, parts, "")
        elpd, matched = leave_one_out(posterior, True, listener)
        pit = pit_tree(posterior, elpd, matched)
        listener("check", 1, parts, "leave-one-out")
        replicates = predictive_checks(posterior, seed=seed)
        listener("check", 2, parts, "predictive checks")
        sensitivity, noise = prior_sensitivity(posterior), sensitivity_of_noise(posterior)
        listener("check", 3, parts, "prior")
    return ModelCheck(posterior, elpd, pit, replicates, sensitivity, noise)


def _mixing(posterior: Posterior) -> str:
    name = posterior.algorithm
    line = (
        trust_line(name, posterior, None, None)
        if isinstance(posterior, ApproximatePosterior)
        else mixing_line(name, posterior)
    )
    return f"Draws: {line}"


def _shape(pit: np.ndarray) -> str:
    """In words, how a predictive distribution lies if the data have these PITs in it."""
    mean, sd = float(pit.mean()), float(pit.std())
    if max(abs(mean - 0.5) / 0.289, abs(sd / 0.289 - 1.0)) < 0.05:
        return "of another shape"
    return direction(mean, sd)
