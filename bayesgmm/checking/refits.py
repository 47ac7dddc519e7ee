"""An engine run again on other rows, with the settings that made the draws: for leave-one-out in earnest, and for K-fold."""

import warnings
from collections.abc import Callable
from typing import Any

import jax.random as jr
import numpy as np
import xarray as xr
from arviz_stats.loo import SamplingWrapper

from bayesgmm.data.table import Table
from bayesgmm.engines.engine import engine_names, find_engine
from bayesgmm.errors import ArgumentError, MixingWarning, NotConvergedWarning, SamplingInterrupted
from bayesgmm.model.types import Params
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.progress import Listener

STUCK = 1.05
"""R-hat of a refit above which it has gone elsewhere. (More lenient than for the posterior itself: there are many refits.)"""

Refit = Callable[[Table, Any], Posterior]
"""The engine on other rows, with a key."""


def refitter(posterior: Posterior) -> Refit:
    """How to run the posterior's engine again on other rows, with the settings that the posterior carries.

    Chains start from these chains' last draws, so that they begin in its modes.

    Raises
    ------
    ArgumentError
        If the engine is not known.
    """
    if posterior.algorithm not in engine_names():
        raise ArgumentError(
            f"These draws of {posterior.algorithm} do not say how they were made, so they cannot be made again without some "
            "rows. Use loo, or draws of sample_gibbs or sample_nuts."
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
                warnings.simplefilter("ignore", category)  # they are counted, and reported once
            return engine.run(posterior.model.on_rows(table), posterior.n_components, seed=key, **settings)

    return refit


def without(table: Table, rows: np.ndarray) -> Table:
    """The table without these rows."""
    return Table(np.delete(table.values, rows, axis=0), table.features)


def only(table: Table, rows: np.ndarray) -> Table:
    """These rows of the table."""
    return Table(table.values[rows], table.features)


class Folds(SamplingWrapper):
    """What ArviZ asks for while it goes through the folds."""

    def __init__(self, posterior: Posterior, key: Any, k: int, listener: Listener, stop: Any):
        super().__init__(model=refitter(posterior))
        self.table, self.key, self.k, self.listener, self.stop = posterior.table, key, k, listener, stop
        self.done = self.stuck = 0

    def sel_observations(self, idx):
        """The rows to fit, and the rows to predict."""
        return without(self.table, idx), only(self.table, idx)

    def sample(self, modified_observed_data):
        """One refit."""
        self.listener("kfold", self.done, self.k, "")
        posterior = self.model(modified_observed_data, jr.fold_in(self.key, self.done))
        if self.stop.is_set():
            raise SamplingInterrupted(f"Stopped in fold {self.done + 1} of {self.k}. Nothing can be returned.")
        self.done += 1
        self.stuck += posterior.worst_rhat > STUCK
        self.listener("kfold", self.done, self.k, f"{self.stuck} stuck" if self.stuck else "")
        return posterior

    def get_inference_data(self, fitted_model):
        """The posterior itself."""
        return fitted_model

    def log_likelihood__i(self, excluded_obs, idata__i):
        """Log density of the rows left out, averaged over draws already, so that any number of rows fits in memory."""
        return as_one_draw(idata__i, excluded_obs)


def as_one_draw(posterior: Posterior, table: Table) -> xr.DataArray:
    """Log density of rows, averaged over the draws, in the shape of one draw."""
    coords = {"chain": [0], "draw": [0], "obs": np.arange(table.num_rows)}
    return xr.DataArray(posterior.score_samples(table)[None, None], coords, ("chain", "draw", "obs"))
