"""``sklearn.mixture.BayesianGaussianMixture`` by this package: its variational answers, or the posterior by MCMC."""

import numpy as np
import sklearn.mixture as theirs
from scipy.special import digamma
from sklearn.utils import check_random_state
from sklearn.utils._param_validation import StrOptions
from threadpoolctl import threadpool_limits

from bayesgmm.data.table import Table
from bayesgmm.model.types import Params, Stats
from bayesgmm.priors.dirichlet import Dirichlet
from bayesgmm.priors.normal_inverse_wishart import NormalInverseWishart
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.stick_breaking import StickBreaking
from bayesgmm.problem import Problem
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.sklearn.base import INFERENCE, SAMPLERS, FastMixture, Run
from bayesgmm.sklearn.passes import averaged
from bayesgmm.sklearn.shapes import in_shape, theta


class BayesianGaussianMixture(FastMixture, theirs.BayesianGaussianMixture):
    """A Bayesian Gaussian mixture by scikit-learn's variational algorithm, or its posterior by Gibbs or NUTS.

    With ``inference="cavi"`` the answers are those of ``sklearn.mixture.BayesianGaussianMixture`` with the same
    parameters and ``random_state``: only the passes over the rows are ours. For full covariances and
    ``"dirichlet_distribution"`` this is the approximation of `bayesgmm.fit_cavi` (Bishop 2006, section 10.2); for the
    other types scikit-learn updates each variance with the degrees of freedom of a whole matrix, which
    `bayesgmm.fit_cavi` does not.

    Parameters
    ----------
    n_components, covariance_type, …, verbose_interval
        All parameters of ``sklearn.mixture.BayesianGaussianMixture``, as there.
    inference
        ``"cavi"``; or ``"gibbs"``, ``"nuts"``: the posterior under the same prior, without approximation and without
        ``reg_covar``. A ``"dirichlet_process"`` is a `bayesgmm.StickBreaking` prior, in which the last component takes
        what the others leave (``"cavi"`` has a stick for it, too); its draws are relabelled by cluster.
    num_warmup, num_samples, num_chains
        Of Gibbs and NUTS.

    Attributes
    ----------
    weights_, means_, covariances_, …, feature_names_in_
        All attributes of ``sklearn.mixture.BayesianGaussianMixture``, those of the prior and of q too,
        as there. With samplers: posterior means of the relabelled components, and no bound and no q.
    posterior_
        The `bayesgmm.Posterior`, with ``"gibbs"`` and ``"nuts"``.
    """

    _parameter_constraints: dict = {  # noqa: RUF012 - as there
        **theirs.BayesianGaussianMixture._parameter_constraints,
        **INFERENCE,
        "inference": [StrOptions({"cavi", *SAMPLERS})],
    }

    def __init__(
        self, *, n_components=1, covariance_type="full", tol=1e-3, reg_covar=1e-6, max_iter=100, n_init=1,
        init_params="kmeans", weight_concentration_prior_type="dirichlet_process", weight_concentration_prior=None,
        mean_precision_prior=None, mean_prior=None, degrees_of_freedom_prior=None, covariance_prior=None,
        random_state=None, warm_start=False, verbose=0, verbose_interval=10, inference="cavi", num_warmup=1000,
        num_samples=1000, num_chains=4,
    ):  # fmt: skip
        super().__init__(
            n_components=n_components, covariance_type=covariance_type, tol=tol, reg_covar=reg_covar,
            max_iter=max_iter, n_init=n_init, init_params=init_params,
            weight_concentration_prior_type=weight_concentration_prior_type,
            weight_concentration_prior=weight_concentration_prior, mean_precision_prior=mean_precision_prior,
            mean_prior=mean_prior, degrees_of_freedom_prior=degrees_of_freedom_prior,
            covariance_prior=covariance_prior, random_state=random_state, warm_start=warm_start, verbose=verbose,
            verbose_interval=verbose_interval,
        )  # fmt: skip
        self.inference = inference
        self.num_warmup = num_warmup
        self.num_samples = num_samples
        self.num_chains = num_chains

    def _fit_table(self, table: Table, dtype: np.dtype) -> None:
        if not table.plain:
            self._default_prior_of(table)
        if self.inference in SAMPLERS:
            self._fit_posterior(table, dtype, self._prior(table.dim))
        else:
            self._fit_cavi(table, dtype)
        self._warn_unsettled()

    def _default_prior_of(self, table: Table) -> None:
        """The parts of the prior that scikit-learn takes from the data, with weights and gaps."""
        center, covariance = table.moments()
        if self.mean_prior is None:
            self.mean_prior_ = center
        if self.covariance_prior is None:
            own = covariance * table.total / (table.total - 1.0)
            self.covariance_prior_ = (
                own if self.covariance_type == "tied" else in_shape(own[None], self.covariance_type)[0]
            )

    def _prior(self, dim: int) -> Belief:
        """The prior as a `bayesgmm.Prior`."""
        scale = np.asarray(self.covariance_prior_, float)
        components = NormalInverseWishart(
            self.mean_prior_, self.mean_precision_prior_, self.degrees_of_freedom_prior_,
            scale if scale.ndim == 2 else scale * np.eye(dim),
        )  # fmt: skip
        process = self.weight_concentration_prior_type == "dirichlet_process"
        weights = StickBreaking if process else Dirichlet
        return Belief(weights(self.weight_concentration_prior_), components)

    def _fit_cavi(self, table: Table, dtype: np.dtype) -> None:
        going_on, random_state = self._goes_on(table), check_random_state(self.random_state)
        self._forget("posterior_")
        # The threads of BLAS would spin between its small calls, in the way of those that pass over the rows.
        with scope("float64"), threadpool_limits(1, "blas"), interruptible() as stop:
            problem = self._problem(table, None)

            def run() -> Run:
                if not going_on:
                    self._update(self._divided(problem, random_state), problem)
                bounds, settled = self._ascend(problem, self.lower_bound_ if going_on else -np.inf, stop)
                return Run(bounds, settled, self._get_parameters(), stop.is_set())

            best = self._best_of(1 if going_on else self.n_init, run)
        self._set_parameters(best.found)
        for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
            setattr(self, name, getattr(self, name).astype(dtype))

    def _ascend(self, problem: Problem, bound: float, stop) -> tuple[list[float], bool]:
        """Updates until the bound changes by less than ``tol``: the bound after each, and whether it settled."""
        bounds: list[float] = []
        while len(bounds) < self.max_iter and not stop.is_set():
            stats, entropy = averaged(self._scoring(), problem)
            self._update(stats, problem)
            # What the bound has besides the entropy of z; scikit-learn takes log r, here of one row and one class.
            last, bound = bound, entropy + float(np.sum(self._compute_lower_bound(np.zeros(1), None)))
            bounds.append(bound)
            self._print_verbose_msg_iter_end(len(bounds), bound - last)
            if abs(bound - last) < self.tol:
                return bounds, True
        return bounds, False

    def _update(self, stats: Stats, problem: Problem) -> None:
        """Q of θ from the statistics of z, by scikit-learn's formulas."""
        scale, dim = problem.frame.scale, problem.table.dim
        counts = np.asarray(stats.counts, float) + 10.0 * np.finfo(float).eps
        means = stats.means * scale + problem.frame.center
        scatters = stats.scatters * scale[:, None] * scale
        if self.covariance_type == "tied":
            covariances = scatters.sum(axis=0) / counts.sum() + self.reg_covar * np.eye(dim)
        else:
            each = scatters / counts[:, None, None] + self.reg_covar * np.eye(dim)
            covariances = in_shape(each, self.covariance_type)
        self._estimate_weights(counts)
        self._estimate_means(counts, means)
        self._estimate_precisions(counts, means, covariances)

    def _scoring(self) -> Params:
        """Expected log joint of a row and its class (Bishop 2006, eq. 10.46) as a θ."""
        dim, degrees = self.means_.shape[1], np.asarray(self.degrees_of_freedom_, float)
        logs = digamma(0.5 * (degrees - np.arange(dim)[:, None])).sum(axis=0) + dim * np.log(2.0)
        more = 0.5 * (logs - dim / self.mean_precision_ - dim * np.log(degrees))
        weights = np.exp(self._estimate_log_weights() + more)
        return theta(weights, self.means_, self.precisions_cholesky_, self.covariance_type)
