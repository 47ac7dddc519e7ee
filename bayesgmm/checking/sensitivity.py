"""Sensitivity of the posterior to the prior, by power-scaling."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import arviz as az
import numpy as np
import xarray as xr

from bayesgmm.checking.requirements import check_posterior
from bayesgmm.errors import ArgumentError
from bayesgmm.numerics.chains import numbers_of
from bayesgmm.problem import UNKNOWN_PRIOR
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import check_choice


def prior_sensitivity(posterior: Any, *, part: str | None = None) -> "pd.DataFrame":
    """Sensitivity of the posterior of each quantity to raising the prior, or the likelihood, to a power near 1.

    ``D = |d distance(p_α(·), p(·)) / d log2 α|`` with ``p_α ∝ p(θ)^α p(x | θ)``. Importance weights on the draws
    replace refits (Kallioinen, Paananen, Bürkner & Vehtari 2024). Above 0.05 for both: prior and data conflict. Above
    0.05 for the prior alone: the prior is strong or the likelihood weak.

    Parameters
    ----------
    posterior
        Draws of any engine, or of other software (see `bayesgmm.from_draws`).
    part
        ``"weights"`` or ``"components"`` to scale only that factor of the prior; None for the whole prior. The default
        prior of the weights is uniform: nothing is sensitive to its power.

    Returns
    -------
    DataFrame
        ``az.psense_summary`` of the label-invariant quantities, then of the weight and means of each component. The
        latter are meaningful only where the components are identified.

    Raises
    ------
    ArgumentError
        If `posterior` is no posterior or has fewer than 100 draws, if its prior is not known, or if there is no such
        `part`.
    """
    posterior = check_posterior(posterior, "prior_sensitivity", ())
    if part is not None:
        check_choice("part", part, PARTS, ", or None")
    if posterior.model.prior is None:
        raise ArgumentError(f"Sensitivity to the prior cannot be assessed. {UNKNOWN_PRIOR}")
    tree = scaling_tree(posterior)
    flat = part is not None and float(np.ptp(np.asarray(tree["log_prior"].to_dataset()[part]))) < FLAT
    with _without_arviz_log():
        table = az.psense_summary(tree, threshold=SENSITIVE, prior_var_names=None if flat else part)
    table = table.rename(index=lambda name: str(name).replace(SLASH, "/"))
    if flat:  # to a power, a constant density is the same density; ArviZ has no importance weights for it
        table = table.assign(prior=0.0, diagnosis="✓")
    figures = table[["prior", "likelihood"]]
    if not np.isfinite(figures.to_numpy(float)).all():
        names = ", ".join(map(str, table.index[figures.isna().any(axis=1)]))
        raise ArgumentError(f"The sensitivity of {names} cannot be computed: the draws vary too little. Draw more.")
    return table


@contextmanager
def _without_arviz_log() -> Iterator[None]:
    """Suppress the log message of ArviZ that there are issues: the table shows them."""
    log, keep = logging.getLogger("arviz_stats.psense"), lambda record: record.levelno > logging.WARNING
    log.addFilter(keep)
    try:
        yield
    finally:
        log.removeFilter(keep)


def scaling_tree(posterior: Posterior) -> xr.DataTree:
    """Quantities, log prior and log-likelihood of each draw, for ``az.psense`` and ``az.plot_psense_dist``.

    The log-likelihood is summed over the rows, so memory does not limit the number of rows.
    """
    tree = posterior.datatree
    invariant = posterior.invariants.drop_vars(["log_posterior", "log_likelihood"], errors="ignore")
    own = tree["posterior"].to_dataset()[["weights", "means"]]
    draws: Any = {d: own[d] for d in ("chain", "draw")}
    # Each number is a variable: psense_summary mixes up the names of those in matrices. What is constant says nothing.
    numbers = {
        name.replace("/", SLASH): xr.DataArray(values, draws, ("chain", "draw"))
        for quantity in (invariant, own) for name, values in numbers_of(quantity) if np.ptp(values) > 0.0
    }  # fmt: skip
    density = xr.DataArray(posterior.log_likelihood, draws, ("chain", "draw"))
    groups = {
        "posterior": xr.Dataset(numbers), "log_prior": tree["log_prior"].to_dataset(),
        "log_likelihood": xr.Dataset({"x": density}),
    }  # fmt: skip
    return xr.DataTree.from_dict(groups)


def sensitivity_of_noise(posterior: Posterior) -> float:
    """Largest sensitivity to the prior among `NOISE` variables that are independent of θ.

    The log prior can vary much between draws, for example with a component that is nearly empty. The importance weights
    then vary too, and with few draws every quantity appears sensitive.
    """
    tree = scaling_tree(posterior)
    shape = (posterior.num_chains, posterior.num_samples, NOISE)
    noise = xr.Dataset({"noise": (("chain", "draw", "i"), np.random.default_rng(0).standard_normal(shape))})
    tree["posterior"] = xr.DataTree(noise.assign_coords({d: tree["log_prior"][d] for d in ("chain", "draw")}))
    return float(az.psense(tree)["noise"].max())


SENSITIVE = 0.05
"""Power-scaling sensitivity above which a quantity depends on the prior or the likelihood (Kallioinen et al. 2024)."""


SLASH = "\u2215"
"""Stands for a slash in the name of a variable, which a DataTree does not take."""


NOISE = 40
FLAT = 1e-9
"""Range of a log density that is constant but for rounding."""


PARTS = ("weights", "components")
