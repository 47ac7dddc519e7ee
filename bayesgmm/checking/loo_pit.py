"""Where each value lies in its predictive distribution given all other rows, feature by feature."""

import jax
import jax.numpy as jnp
import numpy as np
import xarray as xr
from arviz_stats.utils import ELPDDataLOO
from jax import lax
from jax.scipy.stats import norm
from jaxtyping import Float

from bayesgmm.checking.loo import check_posterior, draws_kept, leave_one_out, tell_what_is_left
from bayesgmm.checking.moment_matching import Matched
from bayesgmm.model.types import Frame, Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Progress, listening

BLOCK_ROWS = 4096


def loo_pit(posterior: Posterior, *, moment_match: bool = True, progress_bar: Progress = None) -> xr.DataTree:
    """Where each value lies in its feature's predictive distribution given the other rows: uniform if the model is right.

    ``PIT_nd = Σ_s w_ns Σ_k π_k Φ((x_nd - μ_kd) / σ_kd)`` over draws s, with the leave-one-out weights of `loo`: the
    distribution function itself, where draws of the predictive would add their noise (Gelfand, Dey & Chang 1992; Vehtari,
    Gelman & Gabry 2017).

    Parameters
    ----------
    posterior
        Draws of any engine.
    moment_match
        As for `loo`: rows whose k-hat is too high are averaged over moved draws.
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
    check_posterior(posterior)
    with listening(progress_bar) as listener:
        elpd, matched = leave_one_out(posterior, moment_match, listener)
    tell_what_is_left(elpd, posterior)
    return pit_tree(posterior, elpd, matched)


def pit_tree(posterior: Posterior, elpd: ELPDDataLOO, matched: dict[int, Matched]) -> xr.DataTree:
    """LOO-PITs from `leave_one_out`'s answer."""
    table, frame = posterior.table, posterior.frame
    weights = np.exp(elpd.log_weights.transpose("chain", "draw", "obs").values.reshape(-1, table.num_rows))
    pit = _averaged(draws_kept(posterior), table.values, np.nan_to_num(weights), frame)
    for row, moved in matched.items():
        pit[row] = _averaged(moved.params, table.values[row : row + 1], np.exp(moved.log_weights)[:, None], frame)[0]
    # Rounding must not take a value to the very edge, where no test of uniformity can place it.
    pit = np.clip(pit, np.finfo(float).tiny, 1.0 - np.finfo(float).epsneg)
    coords = {"obs": np.arange(table.num_rows), "feature": list(table.features)}
    return xr.DataTree.from_dict({"loo_pit": xr.Dataset({"x": (("obs", "feature"), pit)}, coords)})


def _averaged(params: Params, rows: np.ndarray, weights: np.ndarray, frame: Frame) -> np.ndarray:
    """Distribution functions of each feature at each row, (N, D), averaged over draws with weights (S, N)."""
    with scope("float64"):
        theta = jax.tree.map(jnp.asarray, frame.standardise(params))
        x = (rows - frame.center) / frame.scale
        parts = [
            np.asarray(_CDF(theta, jnp.asarray(x[i : i + BLOCK_ROWS]), jnp.asarray(weights[:, i : i + BLOCK_ROWS])))
            for i in range(0, len(x), BLOCK_ROWS)
        ]
    return np.concatenate(parts)


def _cdf(params: Params, x: Float[Array, "n D"], weights: Float[Array, "S n"]) -> Float[Array, "n D"]:
    def add(total, draw):
        theta, weight = draw
        spread = jnp.sqrt(jnp.sum(theta.scale_trils**2, axis=-1))
        below = norm.cdf((x[:, None] - theta.means) / spread)  # (n, K, D)
        return total + weight[:, None] * jnp.einsum("k,nkd->nd", theta.weights, below), None

    return lax.scan(add, jnp.zeros_like(x), (params, weights))[0]


_CDF = Program(_cdf)
