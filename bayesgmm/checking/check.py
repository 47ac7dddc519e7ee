"""All checks of a fitted model in one call: leave-one-out, LOO-PIT, predictive checks and prior sensitivity."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from arviz_stats.utils import ELPDDataLOO

from bayesgmm.checking.loo import leave_one_out, too_high
from bayesgmm.checking.loo_pit import pit_tree
from bayesgmm.checking.predictive import PredictiveChecks, predictive_checks
from bayesgmm.checking.refits import can_refit
from bayesgmm.checking.requirements import check_posterior
from bayesgmm.checking.row_sample import subsampling_error
from bayesgmm.checking.sensitivity import SENSITIVE, prior_sensitivity, sensitivity_of_noise
from bayesgmm.data.kinds import UNLIKE_SIMULATED
from bayesgmm.numerics.uniformity import direction, holm
from bayesgmm.problem import UNKNOWN_PRIOR
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.verdict import khat_line, mixing_line
from bayesgmm.runtime.arguments import as_key, check_count, choose_rows
from bayesgmm.runtime.formatting import as_html, as_text, for_terminal
from bayesgmm.runtime.progress import Progress, listening

if TYPE_CHECKING:
    import pandas as pd

MOST_ROWS = 5000
"""Of more rows, a sample is checked."""
FEWEST_ROWS = 100
LEVEL = 0.01
"""P-value below which LOO-PITs are not uniform; adjusted for the number of features."""


@dataclass(frozen=True, repr=False)
class ModelCheck:
    """Results of `check`."""

    posterior: Posterior
    loo: ELPDDataLOO
    """Leave-one-out, after moment matching."""
    pit: xr.DataTree
    """LOO-PITs, as `loo_pit` returns them."""
    predictive: PredictiveChecks
    sensitivity: "pd.DataFrame | None"
    """As `prior_sensitivity` returns it; None if the prior of the draws is not known."""
    noise: float
    """Sensitivity to the prior that pure noise shows with this number of draws; see `sensitivity_of_noise`."""

    @property
    def uniformity(self) -> "pd.Series":
        """P-value of uniformity of the LOO-PITs of each feature (Tesso et al. 2026), Holm-adjusted for their number."""
        import pandas as pd

        pits, noise = self.pit["loo_pit"].to_dataset(), self.posterior.table.noise
        if noise is not None and not noise.given:  # the box ends at these rows, so their PITs are 0 or 1
            edge = noise.on_edge(self.posterior.table.values[self.loo.elpd_i["obs"].values])
            pits = pits.isel(obs=np.flatnonzero(~edge))
        p = pits.azstats.uniformity_test(dim="obs", method="pot_c")[0]["x"]
        return pd.Series(holm(np.atleast_1d(p.values)), index=list(self.posterior.table.features))

    def verdict(self) -> list[str]:
        """The conclusion of each check, and what to do if it fails."""
        return [
            _mixing(self.posterior),
            self._loo_line(),
            self._pit_line(),
            self.predictive.verdict(),
            self._prior_line(),
        ]

    @property
    def sound(self) -> bool:
        """Whether every check passed."""
        return bool((self.summary()["sound"] == "yes").all())

    def summary(self) -> "pd.DataFrame":
        """A row per check: its most extreme figure, and whether it passed."""
        import pandas as pd

        k, uniformity = self.loo.pareto_k.values.max(), self.uniformity
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
        }
        if self.sensitivity is not None:
            prior = self.sensitivity["prior"]
            rows["prior"] = (
                f"sensitivity of {prior.idxmax()}",
                prior.max(),
                not self._sensitive(self.sensitivity).any(),
            )
        parts = {part: (figure, value, "yes" if fine else "no") for part, (figure, value, fine) in rows.items()}
        return pd.DataFrame.from_dict(parts, orient="index", columns=["figure", "value", "sound"])

    def plot(self) -> dict[str, Any]:
        """Plot every check; return a figure for each: k-hat, LOO-PIT, tails, pairs, clusters, prior."""
        from bayesgmm import plots

        return plots.plot_check(self)

    def _loo_line(self) -> str:
        elpd, bad, parameters = self.loo, too_high(self.loo), self.posterior.model.num_parameters
        numbers, total = elpd.elpd_i["obs"].values, self.posterior.table.num_rows
        sampled = len(numbers) < total
        parts = [
            f"Leave-one-out: elpd {elpd.elpd:.1f} ± {elpd.se:.1f}, {elpd.p:.1f} effective parameters of {parameters}."
        ]
        if sampled:
            parts.append(
                f"Estimated from a random sample of {len(numbers):,} of {total:,} rows, with a standard error of "
                f"{subsampling_error(elpd):.2g} for that."
            )
        if elpd.p > 1.2 * parameters:
            parts.append("That is more than there are: the model does not fit some rows.")
        if moved := int((elpd.influence_pareto_k.values > elpd.good_k).sum()) - len(bad):
            parts.append(f"Moment matching was needed in {moved} {'row' if moved == 1 else 'rows'}.")
        if not bad:
            return " ".join([*parts, f"Pareto k-hat is good in every row{' of the sample' if sampled else ''}."])
        shown = ", ".join(str(numbers[row]) for row in bad[:5]) + (", …" if len(bad) > 5 else "")
        way = ("kfold" if sampled else "loo(refit=True)") if can_refit(self.posterior) else "refits without these rows"
        parts.append(
            f"Unreliable in {len(bad)} {'row' if len(bad) == 1 else 'rows'} ({shown}): Pareto k-hat up to "
            f"{elpd.pareto_k.values.max():.2f}. Such a row changes the posterior strongly: look at it. For a "
            f"reliable elpd use {way}."
        )
        return " ".join(parts)

    def _pit_line(self) -> str:
        p = self.uniformity
        wrong = [name for name, value in p.items() if value < LEVEL]
        if not wrong:
            return f"LOO-PIT: no departure from uniformity in any feature (smallest adjusted p {p.min():.2g})."
        values = self.pit["loo_pit"].to_dataset()["x"]
        parts = [
            f"{for_terminal(name)}: the marginal predictive distribution is {_shape(values.sel(feature=name).values)}"
            for name in wrong[:3]
        ]
        more = f"; and {len(wrong) - 3} more features" if len(wrong) > 3 else ""
        return (
            f"LOO-PIT: not uniform. {'; '.join(parts)}{more} (smallest adjusted p {p.min():.2g}). Allow more "
            "components, or another covariance_type. Coarsely rounded data also have this effect."
        )

    def _sensitive(self, table: "pd.DataFrame") -> "pd.Series":
        return table["diagnosis"].str.startswith("potential") & (table["prior"] > self.noise)

    def _prior_line(self) -> str:
        table = self.sensitivity
        if table is None:
            return f"Prior: not assessed. {UNKNOWN_PRIOR}"
        order = np.argsort(-table["prior"].to_numpy())
        found = table.iloc[order][self._sensitive(table).to_numpy()[order]]
        blind = (
            f" With these draws any value below {self.noise:.2g} is noise: draw more." if self.noise > SENSITIVE else ""
        )
        if found.empty:
            return f"Prior: no quantity is sensitive to it (largest sensitivity {table['prior'].max():.2g}).{blind}"
        parts = [
            f"{for_terminal(name)} {row['prior']:.2g} ({str(row['diagnosis']).removeprefix('potential ')})"
            for name, row in found.head(3).iterrows()
        ]
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        return (
            f"Prior: {len(found)} of {len(table)} quantities are sensitive to it: {'; '.join(parts)}{more}. This is "
            "expected of an informative prior. If it is the default prior, try weaker priors and report how the "
            f"results change.{blind}"
        )

    def __repr__(self) -> str:
        return as_text("\n".join(self.verdict()), self.summary())

    def _repr_html_(self) -> str:
        return as_html(" ".join(self.verdict()), self.summary())


def check(posterior: Any, *, max_rows: int = MOST_ROWS, seed: Any = 0, progress_bar: Progress = None) -> ModelCheck:
    """Run all checks that need no refits: `loo`, `loo_pit`, `predictive_checks`, `prior_sensitivity`.

    Print the result for the verdict of each check; ``.plot()`` draws each. The verdict includes the warnings of the
    checks.

    Parameters
    ----------
    posterior
        Draws of any engine, or of other software (see `bayesgmm.from_draws`).
    max_rows
        Of more rows than this, leave-one-out, LOO-PIT and replicates use a random sample, and the verdict says so. The
        elpd is then an estimate of that of all rows (Magnusson et al. 2020). At least 100.
    seed
        int or JAX key, for the replicates and the sample of rows.
    progress_bar
        True, False, None (a bar in a terminal or notebook) or a callable.

    Returns
    -------
    ModelCheck

    Raises
    ------
    ArgumentError
        If `posterior` is no posterior, has fewer than 100 draws, or `max_rows` is too small.
    """
    posterior = check_posterior(posterior, "check", UNLIKE_SIMULATED)
    max_rows = check_count("max_rows", max_rows, least=FEWEST_ROWS)
    rows = choose_rows(posterior.table.num_rows, max_rows, as_key(seed))
    with listening(progress_bar) as listener:
        parts = 3
        listener("check", 0, parts, "")
        elpd, matched = leave_one_out(posterior, True, listener, rows)
        pit = pit_tree(posterior, elpd, matched)
        listener("check", 1, parts, "leave-one-out")
        replicates = predictive_checks(posterior, max_rows=max_rows, seed=seed)
        listener("check", 2, parts, "predictive checks")
        sensitivity, noise = None, float("nan")
        if posterior.model.prior is not None:
            sensitivity, noise = prior_sensitivity(posterior), sensitivity_of_noise(posterior)
        listener("check", 3, parts, "")
    return ModelCheck(posterior, elpd, pit, replicates, sensitivity, noise)


def _mixing(posterior: Posterior) -> str:
    name = posterior.algorithm
    line = (
        khat_line(name, posterior, None, None)
        if isinstance(posterior, ApproximatePosterior)
        else mixing_line(name, posterior)
    )
    return f"Draws: {line}"


def _shape(pit: np.ndarray) -> str:
    """In words, how a predictive distribution differs from the data, given the PITs of the data."""
    mean, sd = float(pit.mean()), float(pit.std())
    if max(abs(mean - 0.5) / 0.289, abs(sd / 0.289 - 1.0)) < 0.05:
        return "wrong in shape"
    return direction(mean, sd)
