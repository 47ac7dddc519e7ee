"""What both estimators add to those of scikit-learn: fast passes, weights, gaps, class probabilities, posteriors."""

import warnings
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral
from typing import Any, NamedTuple

import jax
import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture._base import BaseMixture
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from bayesgmm.data.described import described
from bayesgmm.data.table import Table, as_table, refuse_unseen
from bayesgmm.engines.divisions import division_stats
from bayesgmm.engines.mcmc.gibbs import sample_gibbs
from bayesgmm.engines.mcmc.nuts import sample_nuts
from bayesgmm.engines.starts import first_of
from bayesgmm.engines.variational.cavi import fit_cavi
from bayesgmm.errors import NotConvergedWarning
from bayesgmm.model.families import resolve_family
from bayesgmm.model.types import Frame, Params, Stats
from bayesgmm.priors.default import resolve_prior
from bayesgmm.priors.prior import Belief, within_family
from bayesgmm.problem import Model, Problem, to_problem
from bayesgmm.results.posterior import Posterior
from bayesgmm.sklearn.shapes import FAMILY, in_shape, precision_factors, precisions
from bayesgmm.sklearn.starts import divide
from bayesgmm.sweep import per_row

SAMPLERS = {"gibbs": sample_gibbs, "nuts": sample_nuts}
POSTERIORS = {"cavi", *SAMPLERS}
INFERENCE = {
    "inference": [StrOptions({"em", *POSTERIORS})],
    "num_warmup": [Interval(Integral, 1, None, closed="left")],
    "num_samples": [Interval(Integral, 4, None, closed="left")],
    "num_chains": [Interval(Integral, 1, None, closed="left")],
}
"""Constraints of the parameters that scikit-learn does not have."""
FLOATS = [np.float64, np.float32]


class Run(NamedTuple):
    """What became of one start."""

    bounds: list[float]
    """The lower bound after each iteration, as in scikit-learn."""
    settled: bool
    found: Any
    """θ, or the parameters of q."""
    interrupted: bool

    @property
    def bound(self) -> float:
        """The last lower bound."""
        return self.bounds[-1] if self.bounds else -np.inf


class FastMixture(ClassNamePrefixFeaturesOutMixin, TransformerMixin, BaseMixture):
    """Mixin before an estimator of ``sklearn.mixture``, whose parameters and attributes it keeps."""

    covariance_type: str
    inference: str
    weights_: np.ndarray
    means_: np.ndarray
    posterior_: Posterior
    lower_bounds_: list[float]

    def fit(self, X, y=None, sample_weight=None):
        """Estimate the mixture.

        Parameters
        ----------
        X
            Rows, (N, D). NaN marks a value that was not seen: it is integrated out, not imputed.
        y
            Ignored.
        sample_weight
            How often each row counts, (N,): a row of weight k is k rows. None: once.

        Returns
        -------
        self

        Raises
        ------
        ValueError
            If a parameter is out of its range, the data cannot be used, or a covariance is not positive definite.

        Warns
        -----
        sklearn.exceptions.ConvergenceWarning
            If the fit stopped at ``max_iter``, or the chains do not agree.
        """
        self._fit(X, sample_weight)
        return self

    def fit_predict(self, X, y=None, sample_weight=None):
        """Estimate the mixture, and return the most probable component of each row, (N,). Arguments as of `fit`."""
        return self._averages(self._fit(X, sample_weight))[0].argmax(axis=1)

    def _fit(self, X, sample_weight) -> Table:
        """Estimate the mixture; returns the rows as they were taken."""
        self._validate_params()
        values: Any = validate_data(self, X, dtype=FLOATS, ensure_min_samples=2, ensure_all_finite="allow-nan")
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, values, dtype=np.float64)
        table = described(self._table_of(values), sample_weight, None, None)
        refuse_unseen(table)
        if (table.counted > 0).sum() < self.n_components:
            raise ValueError(
                "Expected n_samples >= n_components "
                f"but got n_components = {self.n_components}, n_samples = {int((table.counted > 0).sum())}"
            )
        self._check_parameters(table.filled, xp=np)
        self._fit_table(table, values.dtype)
        return table

    def predict(self, X):
        """Most probable component of each row, (N,)."""
        return self._averages(self._rows(X))[0].argmax(axis=1)

    def predict_proba(self, X):
        """Probability of each component for each row, (N, K). With samplers, the average over the draws."""
        return self._averages(self._rows(X))[0].astype(self.means_.dtype)

    def score_samples(self, X):
        """Log density of each row, (N,). With samplers, the log of the posterior predictive density."""
        return self._averages(self._rows(X))[1].astype(self.means_.dtype)

    def score(self, X, y=None, sample_weight=None):
        """Average of `score_samples`, where each row counts ``sample_weight`` times."""
        values = self.score_samples(X)
        if sample_weight is not None:
            sample_weight = _check_sample_weight(sample_weight, values)
        return float(np.average(values, weights=sample_weight))

    def transform(self, X):
        """Class probabilities as features, (N, K): `predict_proba`."""
        return self.predict_proba(X)

    @property
    def _n_features_out(self) -> int:
        return len(self.weights_)

    def _fit_table(self, table: Table, dtype: np.dtype) -> None:
        """Estimate from checked rows; sets the attributes."""
        raise NotImplementedError

    def _goes_on(self, table: Table) -> bool:
        """Whether this fit starts where the last one ended: `warm_start`, and a fit of the same sizes before."""
        if not (self.warm_start and hasattr(self, "converged_") and hasattr(self, "lower_bound_")):
            return False
        shape = in_shape(np.ones((self.n_components, table.dim, table.dim)), self.covariance_type).shape
        sizes = (self.n_components, table.dim)
        return np.shape(self.means_) == sizes and np.shape(self.precisions_cholesky_) == shape

    def _best_of(self, num_starts: int, run: Callable[[], Run]) -> Run:
        """The run with the highest bound, of so many starts; Ctrl-C ends with the runs before. Sets what they share."""
        best = None
        for init in range(num_starts):
            self._print_verbose_msg_init_beg(init)
            one = run()
            if self.max_iter > 0:
                self._print_verbose_msg_init_end(one.bound, one.settled)
            if best is None or one.bound > best.bound:
                best = one
            if one.interrupted:
                break
        assert best is not None
        self.converged_, self.n_iter_ = best.settled, len(best.bounds)
        self.lower_bound_, self.lower_bounds_ = best.bound, best.bounds
        return best

    def _forget(self, *names: str) -> None:
        """Take off these attributes of a fit before."""
        for name in names:
            if hasattr(self, name):
                delattr(self, name)

    def _scoring(self) -> Params:
        """θ such that ``log joint`` of it is the score of a row; the weights need not sum to 1."""
        raise NotImplementedError

    def _rows(self, X) -> Table:
        check_is_fitted(self)
        return self._table_of(validate_data(self, X, reset=False, dtype=FLOATS, ensure_all_finite="allow-nan"))

    def _table_of(self, values: Any) -> Table:
        """Checked values, with the names of the features that X had."""
        table, names = as_table(values), getattr(self, "feature_names_in_", None)
        return table if names is None else replace(table, features=tuple(names), named=True)

    def _averages(self, table: Table) -> tuple[np.ndarray, np.ndarray]:
        if hasattr(self, "posterior_"):
            return self.posterior_._averages(table)
        scoring = self._scoring()
        draws = jax.tree.map(lambda leaf: leaf[None, None], scoring)
        return per_row.average_over_draws(draws, table, frame_around(scoring))

    def _divided(self, problem: Problem, random_state) -> Stats:
        """Statistics of a division of the rows by ``init_params``, in standardised coordinates."""
        table, frame = problem.table, problem.frame
        shares = divide(table, self.n_components, self.init_params, random_state)
        stats = first_of(division_stats(frame.rows(table.filled), shares.T[None]))
        left = table.counted - shares.sum(axis=1)
        if self.covariance_type == "tied" and left.max() > 0.5:
            # As there: the one covariance has the squares (about 0) of the rows without a component, too.
            x = table.filled / frame.scale
            squares = (left[:, None] * x).T @ x
            return stats._replace(scatters=stats.scatters + squares / self.n_components)
        return stats

    def _problem(self, table: Table, prior: Belief | str | None, frame: Frame | None = None) -> Problem:
        """Model and rows on the device, without the checks of `fit_em`; coordinates by default from the rows."""
        family = resolve_family(FAMILY[self.covariance_type], table.dim)
        prior = resolve_prior(prior, table, self.n_components, family)
        within, constant = within_family(prior, family, self.n_components, table.dim)
        if frame is None:
            center, covariance = table.moments()
            frame = framed(center, np.diagonal(covariance))
        return to_problem(Model(table, self.n_components, family, frame, prior, within, constant), "float64")

    def _fit_posterior(self, table: Table, dtype: np.dtype, prior: Any) -> None:
        """A posterior by an engine of bayesgmm; its averages become the attributes."""
        seed = int(check_random_state(self.random_state).randint(2**31 - 1))
        common = {"covariance_type": FAMILY[self.covariance_type], "prior": prior, "seed": seed}
        if self.inference in SAMPLERS:
            chains = {name: getattr(self, name) for name in ("num_warmup", "num_samples", "num_chains")}
            posterior = SAMPLERS[self.inference](table, self.n_components, progress_bar=False, **chains, **common)
            self._forget("lower_bound_", "lower_bounds_")
            self.n_iter_ = posterior.num_samples
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", NotConvergedWarning)  # told as scikit-learn tells it
                posterior = fit_cavi(table, self.n_components, n_init=self.n_init, max_iter=self.max_iter, **common)
            self.n_iter_, self.lower_bounds_ = posterior.n_iter, (posterior.trace / table.total).tolist()
            self.lower_bound_ = self.lower_bounds_[-1]
        self.posterior_ = posterior = posterior.by_cluster()
        self.converged_ = bool(getattr(posterior, "converged", posterior.mixed))
        if self.inference in SAMPLERS and not self.converged_:
            warnings.warn(
                f"The chains of {self.inference} do not agree enough (worst R-hat {posterior.worst_rhat:.3f}, smallest "
                f"ESS {posterior.smallest_ess:.0f}). Increase num_samples and num_warmup; bg.diagnose says more.",
                ConvergenceWarning, stacklevel=4,
            )  # fmt: skip
        params = posterior.params
        covariances = in_shape(np.asarray(params.covariances).mean(axis=(0, 1)), self.covariance_type)
        self._set_theta(params.weights.mean(axis=(0, 1)), params.means.mean(axis=(0, 1)), covariances, dtype)

    def _set_theta(self, weights, means, covariances, dtype: np.dtype) -> None:
        """Set the attributes, in the precision of the data."""
        self.weights_, self.means_ = weights.astype(dtype), means.astype(dtype)
        self.covariances_ = covariances.astype(dtype)
        factors = precision_factors(covariances, self.covariance_type)
        self.precisions_cholesky_ = factors.astype(dtype)
        self.precisions_ = precisions(factors, self.covariance_type).astype(dtype)

    def _warn_unsettled(self) -> None:
        if not self.converged_ and self.max_iter > 0 and self.inference not in SAMPLERS:
            warnings.warn(
                "Best performing initialization did not converge. Try different init parameters, or increase max_iter, "
                "tol, or check for degenerate data.", ConvergenceWarning, stacklevel=4,
            )  # fmt: skip

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.array_api_support = False
        return tags


def framed(center: np.ndarray, variances: np.ndarray) -> Frame:
    """Standardised coordinates; a feature without variance keeps its scale."""
    return Frame.around(center, np.sqrt(np.where(variances > 0.0, variances, 1.0)))


def frame_around(params: Params) -> Frame:
    """Standardised coordinates about a mixture."""
    weights, means, trils = map(np.asarray, params)
    shares = weights / weights.sum()
    center = shares @ means
    variances = shares @ (np.square(trils).sum(axis=2) + np.square(means - center))
    return framed(center, variances)
