"""Probability integral transform (PIT) of each value under its leave-one-out predictive distribution, per feature."""

from typing import Any

import numpy as np
import xarray as xr
from arviz_stats.utils import ELPDDataLOO

from bayesgmm.checking.loo import draws_kept, leave_one_out, warn_unreliable_rows
from bayesgmm.checking.moment_matching import Matched
from bayesgmm.checking.requirements import check_posterior
from bayesgmm.data.kinds import UNLIKE_SIMULATED
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import check_flag
from bayesgmm.runtime.progress import Progress, listening
from bayesgmm.sweep.per_row import distribution_functions


def loo_pit(posterior: Any, *, moment_match: bool = True, progress_bar: Progress = None) -> xr.DataTree:
    """PIT of each value under its predictive distribution given the other rows: uniform if the model is right.

    ``PIT_nd = Σ_s w_ns Σ_k π_k Φ((x_nd - μ_kd) / σ_kd)`` over draws s, with the leave-one-out weights of `loo`. This is
    the exact distribution function; predictive draws would add noise (Gelfand, Dey & Chang 1992; Vehtari, Gelman &
    Gabry 2017).

    Parameters
    ----------
    posterior
        Draws of any engine, or of other software (see `bayesgmm.from_draws`).
    moment_match
        As for `loo`: rows whose k-hat is too high use the transformed draws.
    progress_bar
        As for `loo`.

    Returns
    -------
    DataTree
        Group ``loo_pit``, variable ``x[obs, feature]``, for
        ``az.plot_ecdf_pit(tree, group="loo_pit", sample_dims="obs")``.

    Raises
    ------
    ArgumentError
        As `loo`.

    Warns
    -----
    LooWarning
        As `loo`.
    """
    posterior = check_posterior(posterior, "loo_pit", UNLIKE_SIMULATED)
    check_flag("moment_match", moment_match)
    with listening(progress_bar) as listener:
        elpd, matched = leave_one_out(posterior, moment_match, listener)
    warn_unreliable_rows(elpd, posterior)
    return pit_tree(posterior, elpd, matched)


def pit_tree(posterior: Posterior, elpd: ELPDDataLOO, matched: dict[int, Matched]) -> xr.DataTree:
    """LOO-PITs from the results of `leave_one_out`, of its rows."""
    rows, frame = elpd.elpd_i["obs"].values, posterior.frame
    table = posterior.table if len(rows) == posterior.table.num_rows else posterior.table.take(rows)
    weights = np.exp(elpd.log_weights.transpose("chain", "draw", "obs").values.reshape(-1, table.num_rows))
    pit = distribution_functions(draws_kept(posterior, elpd.log_weights), table, frame, np.nan_to_num(weights))
    for row, moved in matched.items():
        alone = table.take(np.array([row]))
        pit[row] = distribution_functions(moved.params, alone, frame, np.exp(moved.log_weights)[:, None])[0]
    # Rounding must not give exactly 0 or 1, where the test of uniformity fails.
    pit = np.clip(pit, np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg)
    coords = {"obs": rows, "feature": list(table.features)}
    return xr.DataTree.from_dict({"loo_pit": xr.Dataset({"x": (("obs", "feature"), pit)}, coords)})
