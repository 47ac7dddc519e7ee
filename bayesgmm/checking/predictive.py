"""Posterior predictive checks: compare tails, pairs and clusters of the data with those of replicated data."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from bayesgmm.checking.requirements import check_posterior
from bayesgmm.data.kinds import UNLIKE_SIMULATED
from bayesgmm.data.noise import Noise
from bayesgmm.model.types import Frame, Params
from bayesgmm.results.simulate import predictive
from bayesgmm.runtime.arguments import as_key, check_count, derived_key, host_generator, split_key
from bayesgmm.runtime.formatting import as_html, as_text, for_terminal, for_tree
from bayesgmm.sweep.per_row import shares_and_entropy

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

MOST_ROWS = 20_000
"""Most rows that are checked; a random subset if there are more."""
MOST_FEATURES = 8
"""Most features, with their pairs, that have separate statistics; also the most ranks of clusters."""
MOST_NEIGHBOURS = 1000
"""Most rows in the search for nearest neighbours."""
BLOCK_VALUES = 2**22
MOST = 100_000
"""Most replicated data sets."""
FEWEST = 20
SURPRISING = 0.01
"""P-value below which the verdict reports a statistic."""


@dataclass(frozen=True, repr=False)
class PredictiveChecks:
    """Statistics of the data and of replicated data sets, one for each of `num` posterior draws of θ."""

    observed: "pd.DataFrame"
    """A column per statistic, a row per draw of θ. Most statistics do not depend on θ: they are equal in every row."""
    replicated: "pd.DataFrame"
    """The same statistics of a data set drawn given that θ."""
    aspects: dict[str, str]
    """The aspect of each statistic: ``"tails"``, ``"pairs"`` or ``"clusters"``."""
    note: str
    """The part of the data that was used, if not all."""

    def summary(self) -> "pd.DataFrame":
        """A row per statistic: observed, mean and central 90 % of the replicates, and p-values.

        ``above`` is the posterior predictive p-value: the share of draws in which the replicate exceeds the data (ties
        count half). ``p`` is two-sided: twice the smaller of ``above`` and its complement.
        """
        import pandas as pd

        replicated = self.replicated
        above = (replicated > self.observed).mean() + 0.5 * (replicated == self.observed).mean()
        floor = 1.0 / (len(replicated) + 1)
        columns = {
            "aspect": pd.Series(self.aspects), "observed": self.observed.mean(), "replicated": replicated.mean(),
            "5 %": replicated.quantile(0.05), "95 %": replicated.quantile(0.95), "above": above,
            "p": np.maximum(2.0 * np.minimum(above, 1.0 - above), floor),
        }  # fmt: skip
        return pd.DataFrame(columns, index=replicated.columns)

    @property
    def surprising(self) -> "pd.DataFrame":
        """The rows of `summary` with a p-value below 1 %, sorted by standardised distance from the replicates."""
        summary = self.summary()
        width = np.maximum(self.replicated.std().to_numpy(), np.finfo(float).tiny)
        gap = np.abs(summary["observed"].to_numpy() - summary["replicated"].to_numpy())
        order = np.argsort(-gap / width, kind="stable")
        return summary.iloc[order][summary["p"].to_numpy()[order] < SURPRISING]

    def verdict(self) -> str:
        """The conclusion from the replicates, in a sentence or two."""
        found, total = self.surprising, len(self.aspects)
        basis = f"{total} statistics, {len(self.replicated)} replicates{self.note}"
        if found.empty:
            smallest = self.summary()["p"].min()
            return f"Predictive checks: the data look like the replicates ({basis}; smallest p {smallest:.2g})."
        parts = [
            f"{for_terminal(name)} is {row['observed']:.3g}, in replicates {row['5 %']:.3g} to {row['95 %']:.3g}"
            for name, row in found.head(3).iterrows()
        ]
        more = f"; and {len(found) - 3} more" if len(found) > 3 else ""
        advice = " ".join(ADVICE[aspect] for aspect in dict.fromkeys(found["aspect"]))
        return f"Predictive checks: the model does not reproduce the data. {'; '.join(parts)}{more} ({basis}). {advice}"

    @property
    def datatree(self) -> "xr.DataTree":
        """Groups ``posterior_predictive`` and ``observed_data``; each statistic is a scalar variable.

        For ``az.plot_ppc_tstat(tree, t_stat="mean")``: the mean of a scalar is the scalar. In names, ``/`` becomes
        ``∕`` (U+2215), because a DataTree does not take it. If a statistic of the data depends on θ,
        ``observed_data`` has its mean over the draws, and ``discrepancies`` has all values.
        """
        import xarray as xr

        coords = {"chain": [0], "draw": np.arange(len(self.replicated))}
        draws = {
            group: xr.Dataset(
                {for_tree(n): (("chain", "draw"), frame[n].to_numpy()[None]) for n in frame.columns}, coords
            )
            for group, frame in (("posterior_predictive", self.replicated), ("discrepancies", self.observed))
        }
        data = xr.Dataset({for_tree(str(name)): float(value) for name, value in self.observed.mean().items()})
        return xr.DataTree.from_dict(draws | {"observed_data": data})

    def plot(self) -> dict[str, Any]:
        """Plot each statistic with its replicates (``az.plot_ppc_tstat``); return a figure per aspect."""
        from bayesgmm import plots

        return plots.plot_predictive_checks(self)

    def __repr__(self) -> str:
        return as_text(self.verdict(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self.verdict(), self.summary())


ADVICE = {
    "tails": "Tails: look at the most outlying rows (predict_proba, score_samples); allow more components.",
    "pairs": "Pairs: use covariance_type='full', or more components.",
    "clusters": "Clusters: the components do not describe the clusters; try another n_components, or a weaker prior.",
}


def predictive_checks(posterior: Any, *, num: int = 500, max_rows: int = MOST_ROWS, seed: Any = 0) -> PredictiveChecks:
    """Compare statistics of the data with those of data sets drawn from the posterior (Gelman, Meng & Stern 1996).

    ``p = P(T(x_rep, θ) ≥ T(x, θ) | x)``. Statistics of the tails: the 1 % and 99 % quantiles and the excess kurtosis of
    each feature, and the largest squared Mahalanobis distance from the mean. Of pairs: the correlation of each pair,
    and the median distance to the nearest neighbour in units of the features' standard deviations. Of clusters (these
    depend on θ): the sorted shares of rows in each component, by most probable class; the number of components with
    rows; and the mean entropy of the classes.

    The model was fitted to these data, so the p-values are conservative: if the model is right, they concentrate around
    ½ and are not uniform. A small p-value indicates a misfit; a large one does not indicate a fit. Statistics that the
    model fits directly, such as a mean, are never surprising. (`loo_pit` compares each row with a fit to the other
    rows.)

    Parameters
    ----------
    posterior
        Draws of any engine, or of other software (see `bayesgmm.from_draws`).
    num
        Number of replicated data sets, each given one posterior draw of θ; at least 20.
    max_rows
        Of more rows than this, a random sample is compared with replicates of its size; at least 20.
    seed
        int or JAX key.

    Returns
    -------
    PredictiveChecks
        Correlations and statistics of single features use the first 8 features.

    Raises
    ------
    ArgumentError
        If `posterior` is no posterior or has fewer than 100 draws, or if `num` or `max_rows` is too small.
    """
    import pandas as pd

    posterior = check_posterior(posterior, "predictive_checks", UNLIKE_SIMULATED)
    num = check_count("num", num, least=FEWEST, most=MOST, why="each is a data set")
    max_rows = check_count("max_rows", max_rows, least=FEWEST)
    key_draws, key_rows, key_data = split_key(as_key(seed), 3)
    total = posterior.num_chains * posterior.num_samples
    chosen = host_generator(key_draws).choice(total, size=num, replace=num > total)
    params = Params(*(part.reshape(-1, *part.shape[2:])[chosen] for part in posterior.params))
    table = posterior.table
    order = host_generator(key_rows).permutation(table.num_rows)[:max_rows]
    x, names = table.values[order], table.features
    blocks = _replicates(params, x, posterior.frame, names, key_data, table.noise)
    observed, replicated = (pd.concat(frames, ignore_index=True) for frames in zip(*blocks, strict=True))
    return PredictiveChecks(observed, replicated, {name: _aspect(name) for name in replicated}, _note(table, len(x)))


def _note(table: Any, num_rows: int) -> str:
    parts = [f", {num_rows} of the rows"] if num_rows < table.num_rows else []
    parts += [f", {MOST_FEATURES} of the {table.dim} features separately"] if table.dim > MOST_FEATURES else []
    return "".join(parts)


def _replicates(
    params: Params, x: np.ndarray, frame: Frame, names: tuple[str, ...], key: Any, noise: Noise | None
) -> Iterator[Any]:
    """Statistics of the data and of the replicates, in blocks of draws."""
    import pandas as pd

    scale = x.std(axis=0)
    fixed = _statistics(x[None], scale, names)
    size = min(len(params.weights), max(1, BLOCK_VALUES // x.size))
    for i in range(0, len(params.weights), size):
        some = Params(*(part[i : i + size] for part in params))
        drawn = predictive(derived_key(key, i), Params(*(part[None] for part in some)), len(x), noise)[0]
        ours = {name: np.broadcast_to(value, len(drawn)) for name, value in fixed.items()}
        theirs = _statistics(drawn, scale, names)
        if params.weights.shape[1] > 1:
            found = [_cluster_statistics(*one, noise) for one in shares_and_entropy(some, x, drawn, frame, noise)]
            ours, theirs = ours | found[0], theirs | found[1]
        yield pd.DataFrame(ours), pd.DataFrame(theirs)


def _statistics(
    x: Float[np.ndarray, "B N D"], scale: Float[np.ndarray, "D"], names: tuple[str, ...]
) -> dict[str, np.ndarray]:
    """The statistics of each data set that do not depend on θ."""
    own = min(len(names), MOST_FEATURES)
    centred = x - x.mean(axis=1, keepdims=True)
    covariances = centred.swapaxes(1, 2) @ centred / x.shape[1]
    variances = np.diagonal(covariances, axis1=1, axis2=2)
    low, high = np.quantile(x[..., :own], (0.01, 0.99), axis=1)
    kurtosis = (centred[..., :own] ** 4).mean(axis=1) / variances[:, :own] ** 2 - 3.0
    found = {}
    for d, name in enumerate(names[:own]):
        found |= {f"1 % quantile [{name}]": low[:, d], f"99 % quantile [{name}]": high[:, d]}
        found[f"excess kurtosis [{name}]"] = kurtosis[:, d]
    # In the eigenbasis, so that distances exist for a singular covariance (few rows).
    values, vectors = np.linalg.eigh(covariances)
    rotated = (centred @ vectors) ** 2 / np.maximum(values, values[:, -1:] * 1e-14)[:, None]
    found["largest squared Mahalanobis distance"] = rotated.sum(axis=2).max(axis=1)
    for d in range(own):
        for e in range(d + 1, own):
            pair = covariances[:, d, e] / np.sqrt(variances[:, d] * variances[:, e])
            found[f"correlation [{names[d]}, {names[e]}]"] = pair
    found["median neighbour distance"] = np.array([_nearest(one / scale) for one in x])
    return found


def _nearest(x: Float[np.ndarray, "N D"]) -> float:
    from scipy.spatial import KDTree

    some = x[:MOST_NEIGHBOURS]  # the rows are in random order
    return float(np.median(KDTree(some).query(some, k=2)[0][:, 1]))


def _cluster_statistics(shares: np.ndarray, entropy: np.ndarray, noise: Noise | None) -> dict[str, np.ndarray]:
    """The statistics that depend on θ, from the shares of the rows in each component (the noise last)."""
    shares, rest = np.split(shares, [shares.shape[1] - (noise is not None)], axis=1)
    ranked = np.sort(shares, axis=1)[:, ::-1]
    found = {f"share of rows [rank {k}]": ranked[:, k] for k in range(min(ranked.shape[1], MOST_FEATURES))}
    found |= {} if noise is None else {"share of rows [noise]": rest[:, 0]}
    return found | {"components with rows": (shares > 0).sum(axis=1).astype(float), "entropy of the classes": entropy}


def _aspect(name: str) -> str:
    if name.startswith(("correlation", "median neighbour")):
        return "pairs"
    return "clusters" if name.startswith(("share", "components", "entropy")) else "tails"
