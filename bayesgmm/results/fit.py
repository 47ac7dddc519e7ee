"""A point fit, the result of EM. `Posterior` has the same methods."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

import jax
import jax.numpy as jnp
import numpy as np

from bayesgmm.data.order import same_features
from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError
from bayesgmm.model import mixture
from bayesgmm.model.families import Family
from bayesgmm.model.types import Frame, Params
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Model
from bayesgmm.results.criteria import HasCriteria
from bayesgmm.results.datatree import fit_tree
from bayesgmm.results.to_mixture import HasMixture
from bayesgmm.results.with_noise import component_index, components_words, redrawn, without_moments
from bayesgmm.runtime.arguments import as_key, check_choice, check_count
from bayesgmm.runtime.checks import check_level
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.formatting import as_html, as_text, placed
from bayesgmm.runtime.programs import Stopwatch
from bayesgmm.sweep import per_row

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from bayesgmm.results.intervals import Intervals
    from bayesgmm.results.profile import Profile

MOST_REPLICATES = 10**6


@dataclass(frozen=True)
class Basin:
    """One optimum that the starts found."""

    objective: float
    hits: int
    """Number of starts that ended there."""
    mean_iterations: float
    status: str


@dataclass(frozen=True, repr=False)
class MixtureFit(HasCriteria, HasMixture):
    """A point estimate of θ, in the user's units; components are ordered by the mean of the first feature."""

    params: Params
    log_likelihood: float
    """``Σ_n log p(x_n | θ)``."""
    objective: float
    """The maximised log-likelihood + log prior density, constants included (CEM: classification log-likelihood)."""
    converged: bool
    status: str
    n_iter: int
    """Number of M-steps that led to the estimate."""
    trace: np.ndarray
    """Objective at the start and after each M-step."""
    basins: tuple[Basin, ...]
    algorithm: str
    model: Model
    """The model and the data that were fitted."""
    settings: dict[str, Any]
    """Keyword arguments of the engine that reproduce the fit, besides model, prior and seed."""
    interrupted: bool
    """Whether Ctrl-C was pressed before all starts had ended."""
    clock: Stopwatch
    seed: Any
    resample: Callable[..., Any] | None = field(default=None, repr=False)
    """Refits to samples of rows or of the fit, for `intervals`."""

    @property
    def n_components(self) -> int:
        """K; K + 1 with a noise component, the last."""
        return len(self.params.weights)

    @property
    def table(self) -> Table:
        """The data."""
        return self.model.table

    @property
    def frame(self) -> Frame:
        """The standardised coordinates of the engine."""
        return self.model.frame

    @property
    def family(self) -> Family:
        """The covariance family: whether volume, shape and orientation are equal, variable or the identity."""
        return self.model.family

    @property
    def prior(self) -> Belief | None:
        """The prior as given, in full shape; None for maximum likelihood."""
        return self.model.prior

    @property
    def n_parameters(self) -> int:
        """Free parameters: K - 1 weights, K D means, those of the family; the volume of noise unless it was given."""
        return self.model.num_counted

    def predict(self, x=None) -> np.ndarray:
        """Most probable component of each row of x (default: the data), (N,). Raises as `predict_proba`."""
        return self.predict_proba(x).argmax(axis=1)

    def predict_proba(self, x=None) -> np.ndarray:
        """Responsibilities of each row of x (default: the data), (N, K).

        Raises
        ------
        DataError
            If the features are not those of the fit, or a row is so far out that its density is 0 in double precision.
        """
        return self._averages(x)[0]

    def score_samples(self, x=None) -> np.ndarray:
        """Log density of each row of x (default: the data), (N,), in the user's units. Raises as `predict_proba`."""
        return self._averages(x)[1]

    def sample(self, n: int, seed) -> tuple[np.ndarray, np.ndarray]:
        """Draw `n` new rows; returns their components (n,) and the rows (n, D)."""
        n = check_count("n", n)
        with scope("float64"):
            z, x = mixture.sample(as_key(seed), Params(*map(jnp.asarray, self.params)), n)
            return redrawn(self.table.noise, seed, np.asarray(z), np.asarray(x), self.n_components)

    @cached_property
    def datatree(self) -> "xr.DataTree":
        """The same as `to_datatree()`; posteriors have both too."""
        return self.to_datatree()

    def to_datatree(self) -> "xr.DataTree":
        """ArviZ DataTree with one chain of one draw, with the same variables and dims as a posterior."""
        attrs = {"engine": self.algorithm, "n_components": self.n_components, "status": self.status}
        attrs |= self.model.known_attrs
        return fit_tree(self.params, self.table, self.model.frame, self.objective, attrs)

    def summary(self) -> "pd.DataFrame":
        """Weights, means and standard deviations, a row per component."""
        import pandas as pd

        params = without_moments(self.params, self.table)
        sds = np.sqrt(np.diagonal(params.covariances, axis1=1, axis2=2))
        columns: dict[str, np.ndarray] = {"weight": np.asarray(self.params.weights)}
        for d, name in enumerate(self.table.features):
            columns[f"mean[{name}]"] = np.asarray(params.means[:, d])
            columns[f"sd[{name}]"] = sds[:, d]
        return pd.DataFrame(columns, index=component_index(self.model))

    def intervals(
        self, method: str = "information", level: float = 0.9, *, num_replicates: int = 1000, seed: Any = 0
    ) -> "Intervals":
        """Standard errors and intervals of weights, means and covariances, in every covariance family.

        Parameters
        ----------
        method
            ``"information"``: the inverse of the observed information, minus the Hessian of the objective
            (log-likelihood + log prior) at the fit. ``"sandwich"``: holds also if the model is wrong (White 1982).
            ``"bootstrap"``: refits to rows drawn with replacement, from this fit. ``"weighted"``: refits to all rows
            with weights from the flat Dirichlet distribution (Newton & Raftery 1994). ``"parametric"``: refits to data
            drawn from this fit. The first two are for large samples: symmetric for means and covariances, for the
            logit of a weight and for the log of a variance.
        level
            Share of samples whose interval is to hold the truth.
        num_replicates, seed
            Of the bootstraps.

        Returns
        -------
        Intervals
            ``table`` (``estimate``, ``sd``, ``lower``, ``upper`` by parameter), ``covariance``, ``notes``.

        Raises
        ------
        FitError
            If the information is singular, or the fit is no maximum; the message names the direction. Also if too few
            replicates lead to a fit.
        ArgumentError
            If an argument is out of range, or the replicates are too few for the level.
        """
        from bayesgmm.results import intervals

        level = check_level("level", level)
        check_choice("method", method, intervals.METHODS)
        num = check_count("num_replicates", num_replicates, least=2, most=MOST_REPLICATES)
        as_key(seed)
        if method in intervals.THEORY:
            return intervals.by_theory(self.params, self.model, self._curvature, method, level)
        intervals.check_enough("replicates", num, level)
        if self.resample is None:
            raise ArgumentError("This fit was not made by EM, so that it cannot be refitted. Use method='information'.")
        refits, note = self.resample(self, method, num, seed)
        if not self.converged:
            note += f" The fit itself {self.status}; the replicates did not stop there."
        return intervals.by_refits(self.params, self.model, refits, method, level, note)

    def profile(self, parameter: str, level: float = 0.9) -> "Profile":
        """The profile likelihood interval of one weight, mean or variance, in every covariance family.

        For each value of the parameter the objective is maximised over all others. The interval holds the values at
        which twice the fall is below the quantile of χ² with one degree of freedom (Venzon & Moolgavkar 1988). Unlike
        the intervals from the information it need not be symmetric, and does not depend on coordinates.

        Parameters
        ----------
        parameter
            Its name as in ``fit.intervals().table``: ``"means[0, waiting]"``, ``"weights[0]"``,
            ``"covariances[0, waiting, waiting]"``. Covariances of two features have no profile.
        level
            Share of samples whose interval is to hold the truth.

        Returns
        -------
        Profile
            ``lower``, ``upper``, ``curve`` (value, objective), ``wald`` (that from the information), ``notes``:
            an end that was not reached, another mode that is higher, components that exchange their roles.

        Raises
        ------
        ArgumentError
            If there is no such parameter, or it cannot be held.
        FitError
            If the information is singular, or the fit is no maximum.
        """
        from bayesgmm.results.profile import profile_of, scalar_of

        level = check_level("level", level)
        scalar_of(parameter, self.model)
        return profile_of(self.params, self.model, self.objective, self._curvature, parameter, level)

    @cached_property
    def _curvature(self) -> Any:
        """The objective near the fit, for all intervals."""
        from bayesgmm.curvature.information import curvature

        return curvature(self.params, self.model)

    def basin_table(self) -> "pd.DataFrame":
        """The optima that the starts found, best first."""
        import pandas as pd

        return pd.DataFrame([vars(basin) for basin in self.basins])

    def plot(self, ax: Any = None, features: Any = None) -> Any:
        """Plot the data, coloured by class, with the components; returns axes.

        Up to five features, or those that are named: `bayesgmm.plots.plot_components`. More: the two directions that
        separate the components most, `bayesgmm.plots.plot_projection`.
        """
        from bayesgmm.plots.projection import plot_result

        return plot_result(self, ax, features)

    def _averages(self, x, first: int = 0) -> tuple[np.ndarray, np.ndarray]:
        """Responsibilities and log densities of the rows of x, or of the data for None; ``first`` numbers its rows."""
        return per_row.average_over_draws(self._as_draws(), same_features(x, self.table), self.model.frame, first)

    def _as_draws(self) -> Params:
        """θ as one draw of one chain."""
        return jax.tree.map(lambda leaf: np.asarray(leaf)[None, None], self.params)

    def _title(self) -> str:
        target = "maximum likelihood" if self.prior is None else "maximum a posteriori"
        kind = f"{self.family.label(self.table.dim)} covariances{self.model.aside}"
        return (
            f"{self.algorithm.upper()}, {target}: {components_words(self.model, self.params.weights)}, {kind}, "
            f"log-likelihood {self.log_likelihood:.3f}, {self.status} after {self.n_iter} iterations, "
            f"BIC {self.bic():.1f}"
        )

    def _table(self) -> "pd.DataFrame":
        """`summary` as shown, a column per component."""
        table = self.summary().T.astype(object)
        for name in self.table.features:
            means, sds = table.loc[f"mean[{name}]"], table.loc[f"sd[{name}]"]
            table.loc[f"mean[{name}]"] = [placed(mean, sd) for mean, sd in zip(means, sds, strict=True)]
        return table if self.table.noise is None else table.where(self.summary().T.notna(), "–")

    def __repr__(self) -> str:
        return as_text(self._title(), self._table())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self._table())
