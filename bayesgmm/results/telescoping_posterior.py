"""Draws of mixtures whose number of components is not known: the result of `sample_telescoping`."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params
from bayesgmm.priors.concentration import Concentration, is_known
from bayesgmm.priors.number_of_components import NumberOfComponents, masses_up_to
from bayesgmm.problem import Model
from bayesgmm.results.clusters import ClustersPosterior, at_clusters
from bayesgmm.results.numbers import PosteriorOfK, number_invariants, posterior_of_k, prior_of_clusters
from bayesgmm.results.of_chains import OfChains
from bayesgmm.results.telescoping_tree import telescoping_tree
from bayesgmm.runtime.arguments import check_count, split_seed
from bayesgmm.runtime.programs import Stopwatch
from bayesgmm.runtime.progress import Progress, check_progress

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

BOUNDARY = 1e-3
"""Posterior probability of K_max from which the truncation of the prior is reported."""


@dataclass(frozen=True, repr=False)
class TelescopingPosterior(OfChains):
    """Draws of (K, θ), in the user's units; leading axes are (chain, draw).

    K is the number of components and K₊ the number of those that have rows: the clusters. The labels of components mean
    nothing across draws; `at` gives the draws with one K₊, relabelled.
    """

    params: Params
    """With room for K_max components: those with rows first, largest first, then the others; weight 0 beyond K."""
    num_components: np.ndarray
    """K of each draw."""
    counts: np.ndarray
    """Rows of each component at the z that θ was drawn from, (chain, draw, K_max)."""
    concentrations: np.ndarray
    """γ (`Static`) or α (`Dynamic`) of each draw."""
    log_likelihood: np.ndarray
    """``Σ_n log p(x_n | θ)`` of each draw."""
    components: NumberOfComponents
    """Prior of K, before it is truncated at K_max."""
    concentration: Concentration
    """Prior of the weights given K."""
    model: Model
    """The model, with K_max components, and the data. Its prior of the weights is not used."""
    settings: dict[str, Any]
    num_warmup: int
    interrupted: bool
    clock: Stopwatch
    seed: Any
    continuation: Callable[["TelescopingPosterior", int, Progress], "TelescopingPosterior"] | None
    """Continues the chains."""

    @property
    def num_clusters(self) -> np.ndarray:
        """K₊ of each draw, (chain, draw)."""
        return (self.counts > 0).sum(axis=-1)

    @property
    def max_components(self) -> int:
        """K_max."""
        return self.params.weights.shape[-1]

    @property
    def share_at_most(self) -> float:
        """Share of the draws with K = K_max."""
        return float((self.num_components == self.max_components).mean())

    @property
    def truncated(self) -> bool:
        """Whether the posterior of K reaches K_max (in 0.1 % of the draws) although its prior goes beyond."""
        beyond = self.components.largest is None or self.components.largest > self.max_components
        return beyond and self.share_at_most > BOUNDARY

    @property
    def number_known(self) -> bool:
        """Whether the prior of K has a single number."""
        return int((masses_up_to(self.components, self.max_components) > 0).sum()) == 1

    @property
    def n_components(self) -> int:
        """K_max, as an axis of arrays."""
        return self.max_components

    @cached_property
    def in_use(self) -> Params:
        """The draws with room for the largest K that was drawn."""
        most = int(self.num_components.max())
        return Params(*(part[:, :, :most] for part in self.params))

    def extend(self, num_samples: int, progress_bar: Progress = None) -> "TelescopingPosterior":
        """The same chains with `num_samples` more draws each, identical to those of one longer run.

        Raises
        ------
        ArgumentError
            If `num_samples` is not a valid number of draws.
        """
        num_samples = check_count("num_samples", num_samples)
        check_progress(progress_bar)
        assert self.continuation is not None
        return self.continuation(self, num_samples, progress_bar)

    def posterior_of_k(self) -> PosteriorOfK:
        """Prior and posterior of K and of K₊, with Monte Carlo errors: a table with a row for each number.

        Columns ``prior_components``, ``posterior_components``, ``error_components`` (K), and the same of ``clusters``
        (K₊).
        """
        return self._posterior_of_k

    @cached_property
    def _posterior_of_k(self) -> PosteriorOfK:
        return posterior_of_k(self)

    def summary(self) -> PosteriorOfK:
        """The table `posterior_of_k`."""
        return self._posterior_of_k

    def _written(self) -> "pd.DataFrame":
        return self._posterior_of_k.shown()

    @cached_property
    def prior_of_clusters(self) -> np.ndarray:
        """``P(K₊ = k)``, k = 0 … K_max, under the prior, for as many rows as the data have."""
        rows = round(self.table.total)
        return prior_of_clusters(self.components, self.concentration, rows, self.max_components)

    @property
    def most_probable(self) -> tuple[int, int]:
        """The K and the K₊ that most draws have."""
        return _most_frequent(self.num_components), _most_frequent(self.num_clusters)

    def at(self, num_clusters: int | None = None) -> ClustersPosterior:
        """The draws with this K₊ (default: the most frequent), as an ordinary `Posterior` of their clusters.

        Components without rows are left out, and the weights of the others are normalised. Given K₊ = k and a known
        `Static` concentration, these are draws of the mixture with k components of which each has rows. The labels are
        those that match the draw of highest posterior density best; see `relabel` for other methods.

        All chains keep as many draws as the shortest has, so that R-hat and ESS apply; if this dropped half of the
        draws, they form one chain instead.

        Raises
        ------
        ArgumentError
            If no draw has this K₊, or it is no count.
        """
        chosen = self.most_probable[1] if num_clusters is None else check_count("num_clusters", num_clusters)
        return at_clusters(self, chosen)

    @cached_property
    def invariants(self) -> "xr.Dataset":
        """Quantities that do not depend on the labelling, with dims (chain, draw, …)."""
        return number_invariants(self)

    @cached_property
    def datatree(self) -> "xr.DataTree":
        """ArviZ DataTree; groups as for `Posterior`, without those of priors.

        ``posterior`` has ``num_components``, ``num_clusters`` and ``concentration`` beside θ, whose arrays have room
        for the largest K that was drawn.
        """
        return telescoping_tree(self, split_seed(self.seed).tree)

    def sample(self, n: int, seed) -> tuple[np.ndarray, np.ndarray]:
        """Draw `n` rows from the posterior predictive, each under a new draw of θ: components (n,), rows (n, D)."""
        return self._gaussians.sample(n, seed)

    def predict_proba(self, x=None) -> np.ndarray:
        """Refused, for the draws have no common components: use ``at(k).predict_proba``, or `bayesgmm.partition`.

        Raises
        ------
        ArgumentError
            Always.
        """
        del x
        size, shares = self.most_probable[1], self.posterior_of_k()["posterior_clusters"]
        raise ArgumentError(
            "The draws of sample_telescoping differ in their number of components, so that there are no classes common "
            f"to all. Use those with one number of clusters, such as at({size}).predict (K₊ = {size} in "
            f"{shares[size]:.0%} of the draws), or bayesgmm.partition for the fitted rows."
        )

    def predict(self, x=None) -> np.ndarray:
        """Refused, as `predict_proba` is: use ``at(k).predict``, or `bayesgmm.partition`."""
        return self.predict_proba(x)

    def to_dataframe(self) -> "pd.DataFrame":
        """A row per draw: ``chain``, ``draw``, ``num_components``, ``num_clusters``, ``concentration``, log-likelihood.

        `at` has θ.
        """
        import pandas as pd

        chains, draws = self.num_components.shape
        named = {
            "chain": np.repeat(np.arange(chains), draws), "draw": np.tile(np.arange(draws), chains),
            "num_components": self.num_components.ravel(), "num_clusters": self.num_clusters.ravel(),
            "concentration": self.concentrations.ravel(), "log_likelihood": self.log_likelihood.ravel(),
        }  # fmt: skip
        return pd.DataFrame(named)

    @property
    def _gaussians(self):
        from bayesgmm.results.mixture import Mixture

        return Mixture(self.in_use, self.table.features, self.table.named)

    def plot(self, ax: Any = None) -> Any:
        """Plot the posteriors of K and K₊ beside their priors; see `bayesgmm.plots.plot_posterior_of_k`."""
        from bayesgmm import plots

        return plots.plot_posterior_of_k(self, ax)

    def _title(self) -> str:
        num, clusters = self.most_probable
        return (
            f"telescoping: K = {num} and {clusters} clusters are most probable, {self._run_words()}; "
            f"{self.components.describe()}; {self.concentration.describe()}"
        )

    def _shown(self) -> "pd.DataFrame":
        return self._posterior_of_k.shown()

    @property
    def concentration_known(self) -> bool:
        """Whether the concentration is a number, and not inferred."""
        return is_known(self.concentration)


def _most_frequent(numbers: np.ndarray) -> int:
    return int(np.bincount(numbers.ravel()).argmax())
