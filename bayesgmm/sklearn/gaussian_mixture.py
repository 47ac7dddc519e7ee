"""``sklearn.mixture.GaussianMixture`` by this package: the same parameters, attributes and answers, and more."""

import numpy as np
import sklearn.mixture as theirs
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions

from bayesgmm.data.table import Table
from bayesgmm.engines.em.ridged import TRACED, Ascended, ascend_ridged, estimate_ridged, is_broken
from bayesgmm.errors import IllDefinedError
from bayesgmm.model.types import Params
from bayesgmm.priors.prior import Belief
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sklearn.base import INFERENCE, POSTERIORS, FastMixture, Run
from bayesgmm.sklearn.shapes import in_full, in_shape, theta


class GaussianMixture(FastMixture, theirs.GaussianMixture):
    """A Gaussian mixture by EM, as in scikit-learn; or its posterior, by CAVI, Gibbs or NUTS.

    With ``inference="em"`` and ``prior=None`` the answers are those of ``sklearn.mixture.GaussianMixture`` with the
    same parameters and ``random_state``: the same starts, the same steps with the same ``reg_covar``, and the same
    stop. The ridge ``reg_covar`` is honoured as what it is there, a number that is added to the variances in each
    step. It is no prior, and `bayesgmm.fit_em` has none; set it to 0 for maximum likelihood.

    Parameters
    ----------
    n_components, covariance_type, tol, reg_covar, max_iter, n_init, init_params, weights_init, means_init,
    precisions_init, random_state, warm_start, verbose, verbose_interval
        As in ``sklearn.mixture.GaussianMixture``. Samplers and CAVI take ``n_components``, ``covariance_type`` and
        ``random_state`` from them, CAVI also ``n_init`` and ``max_iter``.
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

    def _fit_table(self, table: Table, dtype: np.dtype) -> None:
        if self.inference in POSTERIORS:
            self._fit_posterior(table, dtype, "default" if self.prior is None else self.prior)
        else:
            self._fit_em(table, dtype)
        self._warn_unsettled()

    def _fit_em(self, table: Table, dtype: np.dtype) -> None:
        going_on, random_state = self._goes_on(table), check_random_state(self.random_state)
        self._forget("posterior_")
        with scope("float64"):
            problem = self._problem(table, self.prior)
            shift = problem.log_volume / table.total

            def run() -> Run:
                start = problem.frame.standardise(self._scoring()) if going_on else self._start(problem, random_state)
                one = self._ascend(start, problem, self.lower_bound_ + shift if going_on else -np.inf)
                return Run((one.bounds - shift).tolist(), one.settled, one.params, one.interrupted)

            best = self._best_of(1 if going_on else self.n_init, run)
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
        raise IllDefinedError(
            "Fitting the mixture model failed because some components have ill-defined empirical covariance (for "
            "instance caused by singleton or collapsed samples). Try to decrease the number of components, increase "
            "reg_covar, or scale the input data."
        )

    def _scoring(self) -> Params:
        return theta(self.weights_, self.means_, self.precisions_cholesky_, self.covariance_type)
