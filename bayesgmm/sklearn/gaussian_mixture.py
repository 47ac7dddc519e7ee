"""``sklearn.mixture.GaussianMixture`` by this package: the same parameters, attributes and answers, and more."""

from typing import Any

import numpy as np
import sklearn.mixture as theirs
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from sklearn.utils.validation import _check_sample_weight, _num_samples, validate_data

from bayesgmm.data.described import described
from bayesgmm.data.table import Table
from bayesgmm.engines.em.ridged import TRACED, Ascended, ascend_ridged, estimate_ridged, is_broken, move_ridged
from bayesgmm.engines.mini_batches import FORGETTING
from bayesgmm.errors import ArgumentError, DataError, IllDefinedError
from bayesgmm.model.types import Params, Stats
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sklearn.base import FLOATS, INFERENCE, POSTERIORS, FastMixture, Run, frame_around
from bayesgmm.sklearn.shapes import in_full, in_shape, theta

ILL_DEFINED = (
    "Fitting the mixture model failed because some components have ill-defined empirical covariance (for "
    "instance caused by singleton or collapsed samples). Try to decrease the number of components, increase "
    "reg_covar, or scale the input data."
)


class GaussianMixture(FastMixture, theirs.GaussianMixture):
    """A Gaussian mixture by EM, as in scikit-learn; or its posterior, by CAVI, Gibbs or NUTS.

    With ``inference="em"`` and ``prior=None`` the answers are those of ``sklearn.mixture.GaussianMixture`` with the
    same parameters and ``random_state``: the same starts, the same steps with the same ``reg_covar``, and the same
    stop. The ridge ``reg_covar`` is honoured as what it is there, a number that is added to the variances in each
    step. It is no prior, and `bayesgmm.fit_em` has none; set it to 0 for maximum likelihood.

    Parameters
    ----------
    n_components, covariance_type, …, verbose_interval
        All parameters of ``sklearn.mixture.GaussianMixture``, as there. Samplers and CAVI take ``n_components``,
        ``covariance_type`` and ``random_state`` from them, CAVI also ``n_init`` and ``max_iter``.
    inference
        ``"em"``, ``"cavi"``, ``"gibbs"`` or ``"nuts"``.
    prior
        None, ``"default"`` (`bayesgmm.default_prior`) or a `bayesgmm.Prior`. None is maximum likelihood with
        ``"em"``, and the default prior otherwise.
    num_warmup, num_samples, num_chains
        Of Gibbs and NUTS.

    Attributes
    ----------
    weights_, means_, covariances_, precisions_, precisions_cholesky_
        The estimate; without EM, posterior means of the relabelled components. Shapes by ``covariance_type``, as in
        scikit-learn.
    converged_, n_iter_, lower_bound_, lower_bounds_
        As in scikit-learn. With samplers, ``converged_`` says whether the chains agree; they have no bound.
    posterior_
        The `bayesgmm.Posterior`, unless ``inference="em"``. `predict_proba` and `score_samples` average over its draws.
    n_features_in_, feature_names_in_
        As in scikit-learn.
    n_rows_seen_
        Rows of the fit and of all calls of `partial_fit` after it; with weights, their sum.

    Examples
    --------
    >>> import numpy as np
    >>> from bayesgmm.sklearn import GaussianMixture
    >>> X = np.array([[1, 2], [1, 4], [1, 0], [10, 2], [10, 4], [10, 0]])
    >>> GaussianMixture(n_components=2, random_state=0).fit(X).predict([[0, 0], [12, 3]])
    array([1, 0])
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - as there
        **theirs.GaussianMixture._parameter_constraints, **INFERENCE, "prior": [StrOptions({"default"}), Belief, None],
    }  # fmt: skip

    def __init__(
        self, n_components=1, *, covariance_type="full", tol=1e-3, reg_covar=1e-6, max_iter=100, n_init=1,
        init_params="kmeans", weights_init=None, means_init=None, precisions_init=None, random_state=None,
        warm_start=False, verbose=0, verbose_interval=10, inference="em", prior=None, num_warmup=1000,
        num_samples=1000, num_chains=4,
    ):  # fmt: skip
        super().__init__(
            n_components, covariance_type=covariance_type, tol=tol, reg_covar=reg_covar, max_iter=max_iter,
            n_init=n_init, init_params=init_params, weights_init=weights_init, means_init=means_init,
            precisions_init=precisions_init, random_state=random_state, warm_start=warm_start, verbose=verbose,
            verbose_interval=verbose_interval,
        )  # fmt: skip
        self.inference = inference
        self.prior = prior
        self.num_warmup = num_warmup
        self.num_samples = num_samples
        self.num_chains = num_chains

    def partial_fit(self, X, y=None, sample_weight=None):
        """Update the mixture by one step of online EM (Cappé & Moulines 2009) on a batch of a stream without end.

        The first call fits the mixture to its rows, unless `fit` did so before. The statistics of the next batches of B
        rows move a running average by ``(n / B)^-0.7``, where n is ``n_rows_seen_`` with the batch, so that older rows
        are forgotten slowly. ``prior="default"`` stays that of the first rows. ``converged_`` is False from then on;
        ``lower_bound_`` is the mean log-likelihood of the batch before the step.

        Parameters
        ----------
        X
            Rows of the batch, (B, D), with any B after the first call; NaN marks a value that was not seen.
        y
            Ignored.
        sample_weight
            How often each row counts, (B,). None: once.

        Returns
        -------
        self

        Raises
        ------
        DataError
            If the first call has too few rows for a start.
        ArgumentError
            If ``inference`` is not ``"em"``, or ``n_components`` changed since the first call.
        IllDefinedError
            If a covariance would not be positive definite; the estimate stays as it was before.
        """
        if self.inference in POSTERIORS:
            raise ArgumentError("partial_fit is for inference='em'. Fit all rows (fit), or a sample of them.")
        if hasattr(self, "weights_"):
            values: Any = validate_data(self, X, reset=False, dtype=FLOATS, ensure_all_finite="allow-nan")
            if sample_weight is not None:
                sample_weight = _check_sample_weight(sample_weight, values, dtype=np.float64)
            self._move(described(self._table_of(values), sample_weight, None, None), values.dtype)
        else:
            rows, least = _num_samples(X), max(2, self.n_components)
            if rows < least:
                raise DataError(
                    f"The first call of partial_fit has {rows} rows, too few to start {self.n_components} components. "
                    f"Give it at least {least} rows; later calls may have any number."
                )
            self.fit(X, sample_weight=sample_weight)
        self.converged_ = False
        return self

    def _move(self, table: Table, dtype: np.dtype) -> None:
        """A step on a batch; the running statistics are those of θ if there are none from a step before."""
        if len(self.weights_) != self.n_components:
            raise ArgumentError(
                f"n_components is {self.n_components}, but {len(self.weights_)} components were fitted. Call fit, or "
                "set it back."
            )
        theta, total = self._scoring(), float(self.n_rows_seen_ + table.total)
        counts, means, scatters = getattr(self, "_mean_stats", None) or _stats_of(theta, self.reg_covar)
        with scope("float64"):
            problem = self._problem(table, self._known_prior, frame_around(theta))
            center, scale = problem.frame
            past = Stats(
                counts * total, (means - center) / scale, scatters * total / np.outer(scale, scale), np.zeros(())
            )
            share = total / table.total
            inside, stats, value, broken = move_ridged(
                problem.frame.standardise(theta), past, problem, self.reg_covar, share**-FORGETTING, share
            )
        if broken:
            raise IllDefinedError(ILL_DEFINED)
        found = problem.model.restore(inside)
        self._set_theta(
            found.weights, found.means, in_shape(np.asarray(found.covariances), self.covariance_type), dtype
        )
        squares = stats.scatters * np.outer(scale, scale)
        self._mean_stats = stats.counts / total, stats.means * scale + center, squares / total
        self.n_rows_seen_ = int(total) if total == int(total) else total
        self.lower_bound_, self.n_iter_ = (value - problem.log_volume) / table.total, self.n_iter_ + 1

    def _fit_table(self, table: Table, dtype: np.dtype) -> None:
        if self.inference in POSTERIORS:
            self._fit_posterior(table, dtype, "default" if self.prior is None else self.prior)
        else:
            self._fit_em(table, dtype)
        self._warn_unsettled()

    def _fit_em(self, table: Table, dtype: np.dtype) -> None:
        going_on, random_state = self._goes_on(table), check_random_state(self.random_state)
        self._forget("posterior_", "_mean_stats")
        with scope("float64"):
            problem = self._problem(table, self.prior)
            shift = problem.log_volume / table.total

            def run() -> Run:
                start = problem.frame.standardise(self._scoring()) if going_on else self._start(problem, random_state)
                one = self._ascend(start, problem, self.lower_bound_ + shift if going_on else -np.inf)
                return Run((one.bounds - shift).tolist(), one.settled, one.params, one.interrupted)

            best = self._best_of(1 if going_on else self.n_init, run)
        self._known_prior, self.n_rows_seen_ = problem.prior, table.total
        if table.weights is None:
            self.n_rows_seen_ = table.num_rows
        found = problem.model.restore(best.found)
        self._set_theta(
            found.weights, found.means, in_shape(np.asarray(found.covariances), self.covariance_type), dtype
        )

    def _start(self, problem: Problem, random_state) -> Params:
        """θ of a division of the rows, and what is given in its place, in standardised coordinates."""
        given = self.weights_init, self.means_init, self.precisions_init
        num, dim = self.n_components, problem.table.dim
        if all(part is not None for part in given):
            found = Params(np.ones(num), np.zeros((num, dim)), np.broadcast_to(np.eye(dim), (num, dim, dim)))
        else:
            stats = self._divided(problem, random_state)
            found = problem.frame.restore(estimate_ridged(stats, problem, self.reg_covar))
            # As there: the weights of a division of some rows do not sum to 1.
            found = found._replace(weights=found.weights * stats.counts.sum() / problem.table.total)
        weights, means, precisions = given
        if precisions is not None:
            matrices = in_full(precisions, self.covariance_type, num, dim)
            found = found._replace(scale_trils=np.linalg.cholesky(np.linalg.inv(matrices)))
        found = found._replace(weights=found.weights if weights is None else np.asarray(weights, float))
        found = found._replace(means=found.means if means is None else np.asarray(means, float))
        return problem.frame.standardise(found)

    def _ascend(self, start: Params, problem: Problem, bound: float) -> Ascended:
        """EM from a start, or an error if a covariance is not positive definite."""
        if not is_broken(start):
            every = self.verbose_interval if self.verbose else TRACED
            run = ascend_ridged(
                start, problem, self.reg_covar, self.tol, self.max_iter, bound, every, self._print_verbose_msg_iter_end
            )
            if not run.broken:
                return run
        raise IllDefinedError(ILL_DEFINED)

    def _scoring(self) -> Params:
        return theta(self.weights_, self.means_, self.precisions_cholesky_, self.covariance_type)


def _stats_of(params: Params, reg_covar: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Statistics of one row on average, of which θ is the M-step: counts, means and scatters."""
    weights = np.asarray(params.weights) / np.sum(params.weights)
    ridge = reg_covar * np.eye(params.means.shape[1])
    return weights, np.asarray(params.means), weights[:, None, None] * (params.covariances - ridge)
