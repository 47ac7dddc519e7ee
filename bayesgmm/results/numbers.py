"""Prior and posterior of the number of components K and of the number of clusters K₊."""

from typing import TYPE_CHECKING, Any

import jax
import numpy as np
import pandas as pd

from bayesgmm.numerics.chains import figures_of
from bayesgmm.priors.concentration import Concentration, nodes
from bayesgmm.priors.dirichlet import urn
from bayesgmm.priors.number_of_components import NumberOfComponents, masses_up_to
from bayesgmm.results.datatree import label_invariant_dataset
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import as_html, as_text
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.written_tables import Written

if TYPE_CHECKING:
    import xarray as xr

NODES = 64
"""Values of the concentration over which the prior of K₊ is averaged."""


SHOWN = 0.001
"""Share of the draws with a K or K₊, from which a table shows it."""


class PosteriorOfK(Written, pd.DataFrame):  # pyright: ignore[reportIncompatibleMethodOverride]
    """A row for each k: prior and posterior of K and of K₊, and the Monte Carlo errors of the posteriors."""

    @property
    def _constructor(self):
        return pd.DataFrame

    def shown(self) -> pd.DataFrame:
        """The table as strings, probability ± Monte Carlo error, up to the last k that `SHOWN` of the draws have."""
        posteriors = self[["posterior_components", "posterior_clusters"]].to_numpy(float)
        last = int(np.flatnonzero(posteriors.max(axis=1) >= SHOWN)[-1]) + 1
        columns = {}
        for name, symbol in (("components", "K"), ("clusters", "K₊")):
            own = self.iloc[:last]
            columns[f"prior of {symbol}"] = [f"{value:.3g}" for value in own[f"prior_{name}"]]
            pairs = zip(own[f"posterior_{name}"], own[f"error_{name}"], strict=True)
            columns[f"posterior of {symbol}"] = [_with_error(*pair) for pair in pairs]
        return pd.DataFrame(columns, index=self.index[:last])

    def _written(self) -> pd.DataFrame:
        return self.shown()

    def __repr__(self) -> str:
        return as_text("", self.shown())

    def _repr_html_(self) -> str:
        return as_html("", self.shown())


def _with_error(probability: float, error: float) -> str:
    if not error > 0:
        return f"{probability:g}" if probability else "–"
    digits = max(0, int(np.ceil(1.0 - np.log10(error))))
    return f"{probability:.{digits}f} ± {error:.{digits}f}"


def posterior_of_k(found: Any) -> PosteriorOfK:
    """The table of a `TelescopingPosterior`, up to the largest K that was drawn.

    The error of a probability is that of the mean of its indicator over the chains, by the effective sample size. It is
    NaN where the indicator never changes.
    """
    most = int(found.num_components.max())
    k = np.arange(1, most + 1)
    priors = {
        "components": masses_up_to(found.components, found.max_components)[:most],
        "clusters": found.prior_of_clusters[1 : most + 1],
    }
    columns = {}
    for name, drawn in (("components", found.num_components), ("clusters", found.num_clusters)):
        figures = [figures_of((drawn == value).astype(float)) for value in k]
        columns[f"prior_{name}"] = priors[name]
        columns[f"posterior_{name}"] = [one["mean"] for one in figures]
        columns[f"error_{name}"] = [one["mcse"] for one in figures]
    return PosteriorOfK(columns, index=pd.Index(k, name="k"))


def prior_of_clusters(
    components: NumberOfComponents, concentration: Concentration, num_rows: int, most: int
) -> np.ndarray:
    """``P(K₊ = k)``, k = 0 … most, for `num_rows` rows: averaged over K ≤ most and over the concentration's prior.

    Given K and γ_K it follows from the Pólya urn, as in `Dirichlet.occupied`.
    """
    masses = masses_up_to(components, most)
    numbers = np.flatnonzero(masses) + 1.0
    values = nodes(concentration, NODES)
    gammas = concentration.of_each(values[:, None], numbers).ravel()
    each = np.broadcast_to(numbers, (len(values), len(numbers))).ravel()
    begin = np.zeros(most + 1)
    begin[min(num_rows, 1)] = 1.0
    with scope("float64"):
        chances = np.asarray(_urns(begin, each, 1.0 / gammas, np.asarray(num_rows)))
    of_each = chances.reshape(len(values), len(numbers), -1).mean(axis=0)
    return masses[masses > 0] @ of_each


@Program
def _urns(begin: Any, numbers: Any, inverses: Any, num_rows: Any) -> Any:
    return jax.vmap(urn, in_axes=(None, 0, 0, None))(begin, numbers, inverses, num_rows)


def number_invariants(found: Any) -> "xr.Dataset":
    """K, K₊, the concentration if it is inferred, and label-invariant quantities of θ, with dims (chain, draw, …)."""
    numbers = {
        "num_components": found.num_components.astype(float), "num_clusters": found.num_clusters.astype(float),
        "log_likelihood": found.log_likelihood,
    }  # fmt: skip
    if not found.concentration_known:
        numbers["concentration"] = found.concentrations
    return label_invariant_dataset(numbers, found.in_use, found.table, found.frame)
