"""Draws of θ, the result of every sampler and approximation. Fits have the same methods."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.order import same_features
from bayesgmm.errors import ArgumentError
from bayesgmm.model.alignment import align, permute
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import sd
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model
from bayesgmm.results.convergence import smallest_bfmi
from bayesgmm.results.datatree import label_invariant, posterior_tree
from bayesgmm.results.kept_settings import picklable
from bayesgmm.results.of_chains import OfChains
from bayesgmm.results.with_noise import component_index, components_words, redrawn
from bayesgmm.runtime.arguments import check_choice, check_count, split_seed
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.formatting import plus_minus
from bayesgmm.runtime.programs import Stopwatch
from bayesgmm.runtime.progress import Progress, check_progress

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesgmm.results.intervals import Intervals


@dataclass(frozen=True, repr=False)
class Posterior(OfChains):
    """Draws of θ, in the user's units and in one common labelling; leading axes are (chain, draw)."""

    params: Params
    log_likelihood: np.ndarray
    """``Σ_n log p(x_n | θ)`` of each draw."""
    log_prior: np.ndarray
    """``log p(θ)`` of each draw over (weights, means, covariances), constants included."""
    sample_stats: dict[str, np.ndarray]
    algorithm: str
    model: Model
    """The model and the data that were fitted."""
    settings: dict[str, Any]
    """Keyword arguments of the engine that reproduce the draws, besides model, prior and seed."""
    reference: Params
    """Reference of the labelling: the mode that EM reaches from the draw of highest density, or a given estimate."""
    permutations: np.ndarray
    """Relabelling of the draws, (chain, draw, K): component ``permutations[…, k]`` of the engine has label k here."""
    num_warmup: int
    interrupted: bool
    clock: Stopwatch
    seed: Any
    continuation: Callable[["Posterior", int, Progress], "Posterior"] | None
    """Continues the chains; None if the draws do not come from chains."""

    def __getstate__(self) -> dict[str, Any]:
        """For pickling: settings that cannot be pickled (a guide without a name) are replaced by a note of that."""
        return self.__dict__ | {"settings": {name: picklable(value) for name, value in self.settings.items()}}

    def extend(self, num_samples: int, progress_bar: Progress = None) -> "Posterior":
        """The same chains with `num_samples` more draws each, identical to those of one longer run.

        The labelling does not change. Ctrl-C keeps the draws so far.

        Raises
        ------
        ArgumentError
            If `num_samples` is not a valid number of draws, or the draws do not come from chains.
        """
        num_samples = check_count("num_samples", num_samples)
        check_progress(progress_bar)
        if self.continuation is None:
            raise ArgumentError(
                f"Draws of {self.algorithm} cannot be extended: there is no chain. Fit again with a larger num_samples."
            )
        return self.continuation(self, num_samples, progress_bar)

    @property
    def n_components(self) -> int:
        """K; K + 1 with a noise component, the last."""
        return self.params.weights.shape[-1]

    @property
    def prior(self) -> Belief:
        """The prior as given, in full shape."""
        return self.model.known_prior

    @cached_property
    def datatree(self) -> "xr.DataTree":
        """ArviZ DataTree of posterior, sample_stats, log_likelihood (marginal, per row), predictions and data.

        The extra group ``label_invariant`` holds quantities that do not depend on the labelling.
        """
        stats = {"permutation": self.permutations, **self.sample_stats}
        key = split_seed(self.seed).tree
        return posterior_tree(self.params, self.model, self.invariants, stats, key, self._attrs())

    def _attrs(self) -> dict[str, Any]:
        """Attributes of the root of the DataTree."""
        return {
            "engine": self.algorithm, "n_components": self.n_components, "num_warmup": self.num_warmup,
            "interrupted": int(self.interrupted), "sampling_time": self.clock.run_seconds,
            "inference_library": "bayesgmm", "numbering": self.model.numbering, **self.model.known_attrs,
        }  # fmt: skip

    @property
    def by_stick(self) -> bool:
        """Whether component k is stick k of a `StickBreaking` prior: another cluster from draw to draw."""
        return self.model.in_order and bool((self.permutations == np.arange(self.n_components)).all())

    def by_cluster(self) -> "Posterior":
        """The draws with each component in the place of the cluster that it matches best; for draws `by_stick`.

        The clusters are those of ``reference``. Other draws are returned as they are.
        """
        if not self.by_stick:
            return self
        found = align(self.params, self.reference)
        return replace(self, params=permute(self.params, found), permutations=found.astype(self.permutations.dtype))

    def _refuse_sticks(self) -> None:
        if self.by_stick:
            raise ArgumentError(
                "The prior numbers the components of these draws by stick, and a stick is another cluster from draw to "
                "draw: class probabilities averaged over draws mean nothing. Use bayesgmm.partition(posterior) for "
                "clusters, or number the draws by cluster first: posterior.by_cluster()."
            )

    def predict_proba(self, x=None) -> np.ndarray:
        """``P(z_n = k | data)`` of each row of x (default: the data), (N, K): responsibilities averaged over draws.

        Raises `ArgumentError` if the draws are `by_stick`.
        """
        self._refuse_sticks()
        return self._averages(x)[0]

    def class_probabilities(self, x=None, level: float = 0.9) -> "xr.Dataset":
        """The probability of each row's class, and how sure the posterior is of it.

        Variables ``mean``, ``sd``, ``lower``, ``median``, ``upper`` of ``p(z_n = k | θ, x_n)`` over the draws of θ,
        each with dims (obs, component), for each row of x (default: the data). The mean is `predict_proba`; the ends
        are equal-tailed and hold `level` of the draws. Raises `ArgumentError` if `level` is not between 0 and 1, the
        draws are too few for it or `by_stick`, `DataError` if x has other features.
        """
        self._refuse_sticks()
        from bayesgmm.results.class_probabilities import class_probabilities
        from bayesgmm.results.intervals import check_enough

        check_enough("draws", self.num_chains * self.num_samples, check_level("level", level))
        return class_probabilities(self.params, same_features(x, self.table), self.frame, level)

    def predict(self, x=None) -> np.ndarray:
        """Most probable component of each row of x (default: the data), (N,). Raises as `predict_proba`."""
        return self.predict_proba(x).argmax(axis=1)

    def impute(self, x=None, *, seed: Any) -> "xr.DataArray":
        """Draws of the true rows given what was seen of them, (chain, draw, obs, feature), one for each draw of θ.

        For the rows of x (default: the data) that have a gap or an error of measurement; ``obs`` holds their numbers.
        Raises `ArgumentError` if there are none, `DataError` if x has other features.
        """
        from bayesgmm.results.imputation import imputed

        return imputed(self.params, same_features(x, self.table), self.frame, seed)

    def sample(self, n: int, seed) -> tuple[np.ndarray, np.ndarray]:
        """Draw `n` rows from the posterior predictive, each under a new draw of θ: components (n,), rows (n, D)."""
        return redrawn(self.table.noise, seed, *self._gaussians.sample(n, seed), self.n_components)

    @cached_property
    def invariants(self) -> "xr.Dataset":
        """Quantities that do not depend on the labelling, with dims (chain, draw, …)."""
        return label_invariant(self.params, self.table, self.frame, self.log_likelihood, self.log_prior)

    @property
    def num_divergences(self) -> int:
        """Divergent transitions after warm-up (0 for samplers that have none)."""
        return int(self.sample_stats["diverging"].sum()) if "diverging" in self.sample_stats else 0

    @property
    def smallest_bfmi(self) -> float:
        """Smallest E-BFMI over chains (Betancourt 2016); below 0.3 tails are poorly explored. NaN if not NUTS."""
        return smallest_bfmi(self.sample_stats.get("energy"))

    def summary(self, level: float = 0.95) -> "pd.DataFrame":
        """A row per weight, mean and covariance, in the common labelling; each covariance once.

        Columns: mean, sd, median, the bounds of the equal-tailed interval that holds `level` of the draws, Monte Carlo
        error, bulk and tail ESS, R-hat (Vehtari et al. 2021). Independent draws of an approximation lack the last four.
        The table holds all digits, and shows those that the sd justifies. `convergence` has the label-invariant
        quantities. Raises `ArgumentError` if `level` is not between 0 and 1.
        """
        from bayesgmm.results.summary import summary_table

        return summary_table(self.params, self.table, level, chains=self.continuation is not None)

    def intervals(self, method: str = "quantile", level: float = 0.9) -> "Intervals":
        """Mean, sd, median and interval of each weight, mean and covariance, as `MixtureFit.intervals` has them.

        ``method="quantile"`` has equal tails; ``"hdi"`` is the shortest interval that holds `level` of the draws
        (highest density; Chen & Shao 1999). Raises `ArgumentError` if an argument is out of range.
        """
        from bayesgmm.results.intervals import of_draws

        method = check_choice("method", method, ("quantile", "hdi"))
        return of_draws(self.params, self.model, method, check_level("level", level))

    def plot(self, ax: Any = None, features: Any = None) -> Any:
        """Plot the data, coloured by class, with the components; returns axes.

        Up to five features, or those that are named: `bayesgmm.plots.plot_components`. More: the two directions that
        separate the components most, `bayesgmm.plots.plot_projection`.

        `bayesgmm.plots.plot_traces` draws the chains, and `bayesgmm.diagnose` assesses them.
        """
        from bayesgmm.plots.projection import plot_result

        return plot_result(self, ax, features)

    def _title(self) -> str:
        diverged = f", {self.num_divergences} divergences" if self.num_divergences else ""
        return f"{self.algorithm}: {components_words(self.model, self.params.weights)}, {self._run_words()}{diverged}"

    def _shown(self) -> "pd.DataFrame":
        """Posterior mean ± sd of weights and means, a column per component."""
        import pandas as pd

        weights, means = map(np.asarray, self.params[:2])
        parts = [weights, *np.moveaxis(means, -1, 0)]
        rows = [plus_minus(part.mean(axis=(0, 1)), sd(part, axis=(0, 1))) for part in parts]
        names = ["weight", *(f"mean[{name}]" for name in self.table.features)]
        table = pd.DataFrame(rows, names, component_index(self.model))
        if self.table.noise is not None:
            table.iloc[1:, -1] = "–"
        return table
