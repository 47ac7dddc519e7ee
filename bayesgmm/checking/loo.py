"""Predictive accuracy for new rows: leave-one-out and K-fold cross-validation of the marginal likelihood of each row.

The likelihood of a row marginalises its class z. Given a drawn z, leave-one-out would answer another question, and its
importance weights would fail in most rows. Results are ArviZ objects, for ``az.compare``, ``az.plot_khat`` and the
like.
"""

import warnings
from typing import Any, cast

import arviz as az
import numpy as np
import xarray as xr
from arviz_stats.utils import ELPDDataLOO, ELPDDataLOOKFold
from scipy.special import logsumexp  # pyright: ignore[reportAttributeAccessIssue]

from bayesgmm.checking.moment_matching import Matched, match, to_cloud
from bayesgmm.checking.refits import STUCK, Folds, Refit, as_one_draw, refitter, without
from bayesgmm.checking.requirements import check_posterior
from bayesgmm.checking.row_sample import density_tree, extrapolate
from bayesgmm.errors import ArgumentError, LooWarning, SamplingInterrupted
from bayesgmm.model.types import Params
from bayesgmm.numerics.importance import bridge
from bayesgmm.results.approximation import ApproximatePosterior
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_key, check_count, check_flag, derived_key, host_generator, split_key
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.progress import Listener, Progress, listening
from bayesgmm.sweep.per_row import log_densities

NOTHING = 1e-12
"""Log densities of a row that vary by less than this say nothing: nothing was seen of the row."""


def loo(
    posterior: Any,
    *,
    moment_match: bool = True,
    refit: bool = False,
    seed: Any = 0,
    progress_bar: Progress = None,
) -> ELPDDataLOO:
    """Expected log density of new rows by leave-one-out, without refits (PSIS-LOO).

    ``elpd = Σ_i log p(x_i | x_-i)``. Each term is an average over the posterior draws with weights ``1 / p(x_i | θ)``.
    A generalised Pareto distribution smooths the largest weights; its shape k-hat shows whether they are reliable
    (Vehtari, Gelman & Gabry 2017). Where k-hat is too high, moment matching transforms the draws to lower it (Paananen
    et al. 2021; `bayesgmm.checking.moment_matching`).

    Parameters
    ----------
    posterior
        Draws of any engine, or of other software (see `bayesgmm.from_draws`). Draws of an approximation are treated as
        draws of the posterior.
    moment_match
        Transform the draws where k-hat is too high. Takes milliseconds to seconds for each such row. Not for draws of
        other software whose prior is not known.
    refit
        Run the engine again, with the same settings, without each row whose k-hat is still too high. Slow.
    seed
        int or JAX key, for the refits.
    progress_bar
        True, False, None (a bar in a terminal or notebook) or a callable.

    Returns
    -------
    arviz_stats.utils.ELPDDataLOO
        In the user's units. ``pareto_k`` is the k-hat of the final weights (0 for a refit), and ``influence_pareto_k``
        that before moment matching and refits. ``log_weights`` are the log weights of the posterior draws; they are NaN
        for rows that use other draws. Ctrl-C during the refits keeps the refits so far.

    Raises
    ------
    ArgumentError
        If `posterior` is no posterior, has fewer than 100 draws, has too many rows to hold its ``log_likelihood`` in
        memory, or cannot be refitted (with ``refit=True``) because its engine is unknown.

    Warns
    -----
    LooWarning
        If k-hat stays too high in some rows, or k-hat of an approximate posterior is not acceptable.
    """
    posterior = check_posterior(posterior)
    check_flag("moment_match", moment_match)
    check_flag("refit", refit)
    key = as_key(seed)
    again = refitter(posterior) if refit else None
    with listening(progress_bar) as listener:
        elpd, _ = leave_one_out(posterior, moment_match, listener)
        if again is not None:
            _refit_rows(elpd, posterior, again, key, listener)
    warn_unreliable_rows(elpd, posterior)
    return elpd


def kfold(posterior: Any, *, k: int = 10, seed: Any = 0, progress_bar: Progress = None) -> ELPDDataLOOKFold:
    """Expected log density of new rows by K-fold cross-validation, with a refit for each of the `k` folds.

    ``elpd = Σ_i log p(x_i | rows of the other folds)``. It needs no importance weights, and allows more rows than fit
    in memory for PSIS-LOO. It is slightly lower than the elpd of LOO, because each fit uses fewer rows. Refits run the
    same engine with the same settings; chains start from the last draws of the original chains. In an outlying row a
    few draws dominate the average density: there LOO, with moment matching or refits, has the smaller error.

    Parameters
    ----------
    posterior
        Draws of any engine, or of other software (see `bayesgmm.from_draws`).
    k
        Number of random folds of equal size; from 2 to the number of rows.
    seed
        int or JAX key, for folds and refits.
    progress_bar
        As for `loo`.

    Returns
    -------
    arviz_stats.utils.ELPDDataLOOKFold

    Raises
    ------
    ArgumentError
        If `posterior` is no posterior, its engine is unknown, or the folds leave too few rows to fit.
    SamplingInterrupted
        With Ctrl-C: a sum over some of the folds is not usable.

    Warns
    -----
    LooWarning
        If the chains of a refit have not mixed (R-hat above 1.05).
    """
    posterior = check_posterior(posterior)
    table = posterior.table
    k = check_count("k", k, least=2)
    left = table.num_rows - -(-table.num_rows // k) if k <= table.num_rows else 0
    if left <= table.dim or left < posterior.n_components:
        raise ArgumentError(
            f"{k} folds of {table.num_rows} rows leave {left} rows to fit {posterior.n_components} components in "
            f"{table.dim} dimensions. Use between 2 and {table.num_rows} folds; more folds leave more rows."
        )
    key_folds, key_runs = split_key(as_key(seed))
    with listening(progress_bar) as listener, interruptible() as stop:
        folds = Folds(posterior, key_runs, k, listener, stop)
        elpd = az.loo_kfold(
            _whole(posterior), folds, pointwise=True, k=k,
            seed=host_generator(key_folds),  # pyright: ignore[reportArgumentType]
        )  # fmt: skip
    elpd.n_samples = posterior.num_chains * posterior.num_samples
    if folds.stuck:
        warnings.warn(
            f"In {folds.stuck} of {k} folds the chains have not mixed (R-hat above {STUCK}). Sample the posterior for "
            "longer or with tempering; the refits use its settings.",
            LooWarning, stacklevel=2,
        )  # fmt: skip
    return elpd


def leave_one_out(
    posterior: Posterior, moment_match: bool, listener: Listener, rows: np.ndarray | None = None
) -> tuple[ELPDDataLOO, dict[int, Matched]]:
    """PSIS-LOO with pointwise values, and the transformed draws of the rows in which moment matching lowers k-hat.

    With `rows`, from this random sample of the rows; then positions in the sample take the place of row numbers.
    """
    tree = posterior.datatree if rows is None else density_tree(posterior, rows)
    group = pointwise(posterior) if rows is None else tree["log_likelihood"].to_dataset()["x"]
    density = group.values.reshape(-1, group.sizes["obs"])
    efficiency = relative_efficiency(posterior, len(density))
    try:
        with warnings.catch_warnings():
            # `warn_unreliable_rows` warns after moment matching and refits.
            warnings.filterwarnings("ignore", message="Estimated shape parameter")
            found = az.loo(tree, var_name="x", pointwise=True, reff=efficiency)
    except ValueError as error:
        raise ArgumentError(f"Leave-one-out fails because the draws vary too little ({error}). Draw more.") from None
    elpd = cast(ELPDDataLOO, found)
    elpd.pareto_k[np.ptp(density, axis=0) < NOTHING] = 0.0  # rows of which nothing was seen
    elpd.influence_pareto_k = elpd.pareto_k.copy()
    elpd.p_loo_i = (logsumexp(density, axis=0) - np.log(len(density))) - elpd.elpd_i
    matched = {}
    bad = too_high(elpd) if moment_match and posterior.model.prior is not None else []
    cloud = to_cloud(posterior, draws_kept(posterior, group), efficiency) if len(bad) else None
    for number, row in enumerate(bad):
        found = match(cloud, row if rows is None else int(rows[row])) if cloud is not None else None
        if found is not None:
            matched[row] = found
            value = float(np.asarray(logsumexp(found.log_density + found.log_weights)))
            _replace_row(elpd, row, value, found.pareto_k)
        listener("moment matching", number + 1, len(bad), "")
    _add_up(elpd)
    if rows is not None:
        extrapolate(elpd, posterior, rows)
    return elpd, matched


def pointwise(posterior: Posterior) -> xr.DataArray:
    """Marginal log density of each row, (chain, draw, obs), in the user's units."""
    tree = posterior.datatree
    if "log_likelihood" not in tree.children:
        raise ArgumentError(
            f"With {posterior.table.num_rows} rows the log density of each row in each draw does not fit in memory. "
            "Fit and check a random subset of the rows, use kfold, or hold out rows for posterior.score_samples(rows)."
        )
    return tree["log_likelihood"].to_dataset()["x"]


def draws_kept(posterior: Posterior, group: xr.DataArray) -> Params:
    """θ of the draws in an array such as `pointwise`, which may be thinned; one leading axis."""
    kept = group["draw"].values
    return Params(*(part[:, kept].reshape(-1, *part.shape[2:]) for part in posterior.params))


def relative_efficiency(posterior: Posterior, count: int) -> float:
    """Effective draws per draw, for densities at fixed rows; label-invariant, as leave-one-out is."""
    table = posterior.convergence
    effective = table.loc[table.index.str.startswith("log_density"), "ess_bulk"].to_numpy().mean()
    return float(np.clip(effective / count, 1.0 / count, 1.0)) if np.isfinite(effective) else 1.0


def too_high(elpd: ELPDDataLOO) -> list[int]:
    """Rows whose k-hat is above ArviZ's threshold, min(1 - 1 / log10(draws), 0.7)."""
    return np.flatnonzero(~(elpd.pareto_k.values <= elpd.good_k)).tolist()


def warn_unreliable_rows(elpd: ELPDDataLOO, posterior: Posterior) -> None:
    """Warn about rows with unreliable elpd, and about an approximation that is not acceptable."""
    bad = too_high(elpd)
    if bad:
        worst = elpd.pareto_k.values[bad].max()
        shown = ", ".join(map(str, bad[:8])) + (", …" if len(bad) > 8 else "")
        warnings.warn(
            f"Leave-one-out is unreliable in {len(bad)} of {elpd.n_data_points} rows (counting from 0: {shown}): their "
            f"Pareto k-hat is above {elpd.good_k:.2f} (up to {worst:.2f}). Look at these rows. Use refit=True to refit "
            "without each of them, or kfold, which needs no weights.",
            LooWarning, stacklevel=3,
        )  # fmt: skip
    if isinstance(posterior, ApproximatePosterior) and not posterior.trusted:
        warnings.warn(
            f"The draws of {posterior.algorithm} are not an acceptable approximation of the posterior (Pareto k-hat "
            f"{posterior.pareto_k:.2f}), so leave-one-out is unreliable. Use sample_gibbs or sample_nuts.",
            LooWarning, stacklevel=3,
        )  # fmt: skip


def _refit_rows(elpd: ELPDDataLOO, posterior: Posterior, refit: Refit, key: Any, listener: Listener) -> None:
    """Refit without each row whose k-hat is too high; Ctrl-C keeps the refits so far."""
    bad = too_high(elpd)
    with interruptible() as stop:
        for number, row in enumerate(bad):
            listener("refits", number, len(bad), f"row {row}")
            try:
                other = refit(without(posterior.table, np.array([row])), derived_key(key, row))
            except SamplingInterrupted:
                break
            if stop.is_set():
                break  # an interrupted run is not a refit
            alone = posterior.table.take(np.array([row]))
            with_row, without_row = (log_densities(one.params, alone, one.frame).ravel() for one in (posterior, other))
            _replace_row(elpd, row, bridge(with_row, without_row), 0.0)
            listener("refits", number + 1, len(bad), "")
    _add_up(elpd)


def _replace_row(elpd: ELPDDataLOO, row: int, value: float, k: float) -> None:
    elpd.p_loo_i[row] += elpd.elpd_i.values[row] - value
    elpd.elpd_i[row] = value
    elpd.pareto_k[row] = k
    elpd.log_weights[{"obs": row}] = np.nan  # this value does not use weights of the posterior draws


def _add_up(elpd: ELPDDataLOO) -> None:
    values = elpd.elpd_i.values
    elpd.elpd, elpd.p = float(values.sum()), float(elpd.p_loo_i.values.sum())
    elpd.se = float(np.sqrt(len(values) * values.var(ddof=1)))
    elpd.warning = bool(too_high(elpd))


def _whole(posterior: Posterior) -> xr.DataTree:
    """Log density of each row given all rows, averaged over draws, as one draw: ArviZ computes p_kfold from it."""
    return xr.DataTree.from_dict({"log_likelihood": xr.Dataset({"x": as_one_draw(posterior, posterior.table)})})
