"""What an engine returns: a point fit, or a posterior sample. Same names, same axes, whoever made them."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from bayesgmm import mixture
from bayesgmm.clock import Stopwatch
from bayesgmm.conjugate import Belief
from bayesgmm.data import CHUNK, Table, as_table, named
from bayesgmm.datatree import fit_tree, label_invariant, posterior_tree
from bayesgmm.diagnostics import GOOD_ESS, GOOD_RHAT, convergence_table
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.families import Family
from bayesgmm.precision import scope
from bayesgmm.problem import as_key, check_count
from bayesgmm.progress import Progress
from bayesgmm.tables import as_html, as_text
from bayesgmm.types import Frame, Params

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr


@dataclass(frozen=True)
class Basin:
    """One optimum that the starts found."""

    objective: float
    hits: int
    """How many starts ended there."""
    mean_iterations: float
    status: str


@dataclass(frozen=True, repr=False)
class MixtureFit:
    """A point estimate of θ, in the user's units; components are ordered by the mean of the first feature."""

    params: Params
    log_likelihood: float
    """``Σ_n log p(x_n | θ)``."""
    objective: float
    """What was maximised, with its constants: log-likelihood + log prior density (CEM: classification log-likelihood)."""
    converged: bool
    status: str
    n_iter: int
    """M-steps behind the estimate."""
    trace: np.ndarray
    """Objective after each M-step, the start first."""
    basins: tuple[Basin, ...]
    algorithm: str
    family: Family
    """What is equal, varies or is the identity in the covariances: volume, shape, orientation."""
    prior: Belief | None
    table: Table
    frame: Frame
    interrupted: bool
    """Ctrl-C was pressed before every start had ended."""
    clock: Stopwatch
    seed: Any

    @property
    def n_components(self) -> int:
        """K."""
        return len(self.params.weights)

    @property
    def n_parameters(self) -> int:
        """Free parameters: K - 1 weights, K D means, and those of the covariance family."""
        k, d = self.params.means.shape
        return k - 1 + k * d + self.family.num_parameters(k, d)

    def aic(self) -> float:
        """``-2 log L + 2 p``: smaller is better (Akaike 1974)."""
        return -2.0 * self.log_likelihood + 2.0 * self.n_parameters

    def bic(self) -> float:
        """``-2 log L + p log N``: smaller is better, as in scikit-learn; mclust prints its negative (Schwarz 1978)."""
        return -2.0 * self.log_likelihood + self.n_parameters * np.log(self.table.num_rows)

    def icl(self) -> float:
        """``BIC - 2 Σ_n log max_k r_nk``: smaller is better; minus mclust's (Biernacki, Celeux & Govaert 2000)."""
        certainty = sum(np.log(block.max(axis=1)).sum() for block in self._proba_blocks(self.table))
        return self.bic() - 2.0 * float(certainty)

    def predict(self, x) -> np.ndarray:
        """Most probable component of each row, (N,)."""
        return self.predict_proba(x).argmax(axis=1)

    def predict_proba(self, x) -> np.ndarray:
        """Responsibilities of each row, (N, K)."""
        return np.concatenate(list(self._proba_blocks(self._check(x))))

    def score_samples(self, x) -> np.ndarray:
        """Log density of each row, (N,), in the user's units."""
        blocks = self._check(x).chunks(CHUNK // 8)
        return np.concatenate([np.asarray(mixture.log_density(self.params, block)) for block in blocks])

    def sample(self, n: int, seed) -> tuple[np.ndarray, np.ndarray]:
        """Draw `n` new rows: their classes (n,), and the rows themselves (n, D)."""
        check_count("n", n)
        with scope("float64"):
            z, x = mixture.sample(as_key(seed), Params(*map(jnp.asarray, self.params)), n)
            return np.asarray(z), np.asarray(x)

    @cached_property
    def datatree(self) -> "xr.DataTree":
        """The same as `to_datatree()`: fits and posteriors answer to one name."""
        return self.to_datatree()

    def to_datatree(self) -> "xr.DataTree":
        """ArviZ DataTree of one chain with one draw: the same names and dims as a posterior."""
        attrs = {"engine": self.algorithm, "n_components": self.n_components, "status": self.status}
        return fit_tree(self.params, self.table, self.frame, self.objective, attrs)

    def summary(self) -> "pd.DataFrame":
        """Weights, means and standard deviations, a row per component."""
        import pandas as pd

        sds = np.sqrt(np.diagonal(self.params.covariances, axis1=1, axis2=2))
        columns: dict[str, np.ndarray] = {"weight": np.asarray(self.params.weights)}
        for d, name in enumerate(self.table.features):
            columns[f"mean[{name}]"] = np.asarray(self.params.means[:, d])
            columns[f"sd[{name}]"] = sds[:, d]
        return pd.DataFrame(columns, index=pd.RangeIndex(self.n_components, name="component"))

    def basin_table(self) -> "pd.DataFrame":
        """The optima that the starts found, best first."""
        import pandas as pd

        return pd.DataFrame([vars(basin) for basin in self.basins])

    def _check(self, x) -> Table:
        return _check_features(x, self.table)

    def _proba_blocks(self, table: Table):
        for block in table.chunks(CHUNK // 8):
            yield np.asarray(mixture.responsibilities(self.params, block))

    def _title(self) -> str:
        target = "maximum likelihood" if self.prior is None else "maximum a posteriori"
        family = self.family.label(self.table.dim)
        return (
            f"{self.algorithm.upper()}, {target}: {self.n_components} components, {family} covariances, "
            f"log-likelihood {self.log_likelihood:.3f}, {self.status} after {self.n_iter} iterations, BIC {self.bic():.1f}"
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.summary())


@dataclass(frozen=True, repr=False)
class Posterior:
    """Draws of θ, in the user's units and in one common labelling; leading axes are (chain, draw)."""

    params: Params
    log_likelihood: np.ndarray
    """``Σ_n log p(x_n | θ)`` of each draw."""
    log_prior: np.ndarray
    """``log p(θ)`` of each draw over (weights, means, covariances), constants included."""
    sample_stats: dict[str, np.ndarray]
    algorithm: str
    family: Family
    """What is equal, varies or is the identity in the covariances."""
    prior: Belief
    penalty: Belief
    """What the prior says within the covariance family; `prior` itself if covariances are free."""
    table: Table
    frame: Frame
    reference: Params
    """What the labelling refers to: the mode that EM reaches from the highest draw, or the estimate handed in."""
    num_warmup: int
    interrupted: bool
    clock: Stopwatch
    seed: Any
    continuation: Callable[["Posterior", int, Progress], "Posterior"] | None
    """How the chains go on; None for draws that come from no chain."""

    def extend(self, num_samples: int, progress_bar: Progress = None) -> "Posterior":
        """The same chains with `num_samples` more draws each, as one longer run would have made them.

        The components keep the numbering they have. Ctrl-C keeps the draws so far.

        Raises
        ------
        ArgumentError
            If `num_samples` is no number of draws, or the draws come from no chain.
        """
        check_count("num_samples", num_samples)
        if self.continuation is None:
            raise ArgumentError(
                f"Draws of {self.algorithm} are no chain that could go on. Ask for more of them at once."
            )
        return self.continuation(self, num_samples, progress_bar)

    @property
    def n_components(self) -> int:
        """K."""
        return self.params.weights.shape[-1]

    @property
    def num_chains(self) -> int:
        """Chains."""
        return self.params.weights.shape[0]

    @property
    def num_samples(self) -> int:
        """Draws kept per chain."""
        return self.params.weights.shape[1]

    @cached_property
    def datatree(self) -> "xr.DataTree":
        """ArviZ DataTree: posterior, sample_stats, log_likelihood (marginal, per row), predictive groups, observed data.

        The extra group ``label_invariant`` holds quantities that do not depend on how components are numbered.
        """
        attrs = {
            "engine": self.algorithm, "n_components": self.n_components, "num_warmup": self.num_warmup,
            "interrupted": int(self.interrupted), "sampling_time": self.clock.run_seconds, "inference_library": "bayesgmm",
        }  # fmt: skip
        return posterior_tree(
            self.params, self.table, self.frame, self.penalty, self._invariants, self.sample_stats,
            jr.split(as_key(self.seed), 3)[2], attrs,
        )  # fmt: skip

    def to_datatree(self) -> "xr.DataTree":
        """The same as `datatree`: fits and posteriors answer to one name."""
        return self.datatree

    @cached_property
    def convergence(self) -> "pd.DataFrame":
        """R-hat and ESS of the label-invariant quantities: judge on these first."""
        return convergence_table(self._invariants)

    @cached_property
    def _invariants(self) -> "xr.Dataset":
        return label_invariant(self.params, self.table, self.frame, self.log_likelihood, self.log_prior)

    @property
    def worst_rhat(self) -> float:
        """Largest R-hat over the label-invariant quantities; NaN where there are too few draws to tell."""
        return float(self.convergence["r_hat"].to_numpy().max())

    @property
    def smallest_ess(self) -> float:
        """Smallest bulk ESS over the label-invariant quantities."""
        return float(self.convergence["ess_bulk"].to_numpy().min())

    @property
    def mixed(self) -> bool:
        """Whether R-hat and ESS of every label-invariant quantity pass the thresholds of Vehtari et al. (2021)."""
        smallest = self.convergence[["ess_bulk", "ess_tail"]].to_numpy().min()
        return self.worst_rhat < GOOD_RHAT and bool(smallest > GOOD_ESS * self.num_chains)

    @property
    def num_divergences(self) -> int:
        """Divergent transitions after warm-up (0 for samplers that have none)."""
        return int(self.sample_stats["diverging"].sum()) if "diverging" in self.sample_stats else 0

    def summary(self, **kwargs) -> Any:
        """``az.summary`` of weights, means and covariances, in the common labelling."""
        import arviz as az

        return az.summary(self.datatree, var_names=["weights", "means", "covariances"], **kwargs)

    def _title(self) -> str:
        cut = ", interrupted" if self.interrupted else ""
        family = self.family.label(self.table.dim)
        diagnosis = f"worst R-hat {self.worst_rhat:.3f}, smallest ESS {self.smallest_ess:.0f} (label-invariant)"
        if self.num_divergences:
            diagnosis += f", {self.num_divergences} divergences"
        return (
            f"{self.algorithm}: {self.n_components} components, {family} covariances, {self.num_chains} chains × "
            f"{self.num_samples} draws{cut}; " + diagnosis
        )

    def __repr__(self) -> str:
        return as_text(self._title(), self._component_table())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._component_table())

    def _component_table(self) -> "pd.DataFrame":
        import pandas as pd

        weights, means = (a.reshape(-1, *a.shape[2:]) for a in (self.params.weights, self.params.means))
        columns = {"weight": weights.mean(0), "± ": weights.std(0)}
        for d, name in enumerate(self.table.features):
            columns[f"mean[{name}]"] = means[:, :, d].mean(0)
            columns["± " + " " * (d + 1)] = means[:, :, d].std(0)
        return pd.DataFrame(columns, index=pd.RangeIndex(self.n_components, name="component"))


def _check_features(x, table: Table) -> Table:
    new = as_table(x)
    if new.dim == table.dim and named(new) and named(table) and new.features != table.features:
        if set(new.features) != set(table.features):
            raise DataError(
                f"The fit has features {', '.join(table.features)}, the new data {', '.join(new.features)}. "
                "Rename the columns, or hand over a plain array in the fit's order."
            )
        return Table(new.values[:, [new.features.index(name) for name in table.features]], table.features)
    if new.dim != table.dim:
        raise DataError(f"The fit has {table.dim} features ({', '.join(table.features)}), the new data {new.dim}.")
    return new
