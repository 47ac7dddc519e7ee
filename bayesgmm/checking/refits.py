"""Refits: run the engine again on other rows with the same settings, for exact leave-one-out and for K-fold."""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.loo import SamplingWrapper

from bayesgmm.data.table import Table
from bayesgmm.engines.engine import engine_names, find_engine
from bayesgmm.errors import ArgumentError, MixingWarning, NotConvergedWarning, SamplingInterrupted
from bayesgmm.model.types import Params
from bayesgmm.numerics.mixing import CLEARLY
from bayesgmm.results.kept_settings import NotKept
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import derived_key
from bayesgmm.runtime.progress import Listener

STUCK = CLEARLY
"""R-hat above which the chains of a refit have not mixed. (More lenient than for the posterior: refits are many.)"""

Refit = Callable[[Table, Any], Posterior]
"""Runs the engine on other rows, with a key."""


def can_refit(posterior: Posterior) -> bool:
    """Whether the engine of these draws is known here, and fits this number of components."""
    return posterior.algorithm in engine_names() and not find_engine(posterior.algorithm).draws_number


def refitter(posterior: Posterior) -> Refit:
    """A function that runs the engine of the posterior again on other rows, with the same settings.

    Chains start from the last draws of the posterior, so they start in its modes.

    Raises
    ------
    ArgumentError
        If the engine is unknown.
    """
    if not can_refit(posterior):
        raise ArgumentError(
            f"Refits are not possible: the engine of these draws ({posterior.algorithm}) is unknown, or draws the "
            "number of components too. Use loo without refit=True, or draws of sample_gibbs or sample_nuts."
        )
    lost = [name for name, value in posterior.settings.items() if isinstance(value, NotKept)]
    if lost:
        raise ArgumentError(
            f"Refits are not possible: the setting {', '.join(lost)} could not be pickled with the draws. Draw again "
            "in this process, or give the setting as a function or class with an importable name."
        )
    engine = find_engine(posterior.algorithm)
    settings = {
        **posterior.settings, "num_samples": posterior.num_samples, "num_chains": posterior.num_chains,
        "reference": posterior.reference, "prior": posterior.prior, "covariance_type": posterior.family.name,
        "progress_bar": False,
    }  # fmt: skip
    if engine.has_warmup and "init" in engine.arguments:
        last = Params(*(part[:, -1] for part in posterior.params))
        settings["init"] = last._replace(weights=np.maximum(last.weights, np.finfo(float).tiny))

    def refit(table: Table, key: Any) -> Posterior:
        with warnings.catch_warnings():
            for category in (MixingWarning, NotConvergedWarning):
                warnings.simplefilter("ignore", category)  # counted, and reported once
            return engine.run(posterior.model.on_rows(table), posterior.n_components, seed=key, **settings)

    return refit


def without(table: Table, rows: np.ndarray) -> Table:
    """The table without these rows."""
    return table.take(np.delete(np.arange(table.num_rows), rows))


class Folds(SamplingWrapper):
    """The sampling wrapper that ArviZ calls for each fold."""

    def __init__(self, posterior: Posterior, key: Any, k: int, listener: Listener, stop: Any):
        super().__init__(model=refitter(posterior))
        self.table, self.key, self.k, self.listener, self.stop = posterior.table, key, k, listener, stop
        self.done = self.stuck = 0

    def sel_observations(self, idx):
        """The rows to fit, and the rows to predict."""
        return without(self.table, idx), self.table.take(idx)

    def sample(self, modified_observed_data):
        """One refit."""
        self.listener("kfold", self.done, self.k, "")
        posterior = self.model(modified_observed_data, derived_key(self.key, self.done))
        if self.stop.is_set():
            raise SamplingInterrupted(f"Stopped in fold {self.done + 1} of {self.k}. There is no partial result.")
        self.done += 1
        self.stuck += posterior.worst_rhat > STUCK
        self.listener("kfold", self.done, self.k, f"{self.stuck} stuck" if self.stuck else "")
        return posterior

    def get_inference_data(self, fitted_model):
        """The posterior, unchanged."""
        return fitted_model

    def log_likelihood__i(self, excluded_obs, idata__i):
        """Log density of the left-out rows, already averaged over draws, so that any number of rows fits in memory."""
        return as_one_draw(idata__i, excluded_obs)


def as_one_draw(posterior: Posterior, table: Table) -> xr.DataArray:
    """Log density of rows, averaged over the draws, in the shape of one draw."""
    coords = {"chain": [0], "draw": [0], "obs": np.arange(table.num_rows)}
    return xr.DataArray(posterior.score_samples(table)[None, None], coords, ("chain", "draw", "obs"))
