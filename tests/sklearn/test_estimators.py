"""The estimators: scikit-learn's checks, its answers, and what it does not have."""

import pickle
import warnings

import numpy as np
import pandas as pd
import pytest
from oracles.effort import WHOLE, mostly_slow

pytest.importorskip("sklearn", minversion="1.9")

import sklearn.mixture as theirs
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import check_estimator

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, IllDefinedError
from bayesgmm.sklearn import BayesianGaussianMixture, GaussianMixture
from bayesgmm.sklearn.shapes import in_full, in_shape

KINDS = ("full", "tied", "diag", "spherical")
CLASSES = np.arange(180) % 3
INITS = ("kmeans", "k-means++", "random", "random_from_data")


@pytest.fixture(scope="module")
def x():
    rng = np.random.default_rng(3)
    centres = np.array([[0.0, 0.0], [4.0, 4.0], [0.0, 8.0]])
    return (rng.normal(size=(180, 2)) + centres[CLASSES]) * [1.0, 10.0] + [0.0, 100.0]


def agree(ours, other, x, tol=1e-9):
    assert ours.n_iter_ == other.n_iter_
    assert ours.converged_ == other.converged_
    for name in ("weights_", "means_", "covariances_", "precisions_", "precisions_cholesky_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(other, name), rtol=tol, atol=tol, err_msg=name)
    np.testing.assert_allclose(np.ravel(ours.lower_bound_), np.ravel(other.lower_bound_), rtol=1e-9)
    np.testing.assert_allclose(ours.predict_proba(x), other.predict_proba(x), atol=1e-9)
    np.testing.assert_allclose(ours.score_samples(x), other.score_samples(x), rtol=1e-9)
    assert (ours.predict(x) == other.predict(x)).all()


@pytest.mark.parametrize("estimator", [GaussianMixture(), BayesianGaussianMixture()], ids=type)
def test_checks_of_scikit_learn(estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        results = check_estimator(estimator, on_skip=None)
    assert {result["status"] for result in results} <= {"passed", "skipped"}
    assert len(results) > 50


@pytest.mark.parametrize("kind", KINDS)
def test_the_answers_of_scikit_learn_by_em(x, kind):
    for init in INITS:
        settings = {"n_components": 3, "covariance_type": kind, "init_params": init, "random_state": 1}
        agree(GaussianMixture(**settings).fit(x), theirs.GaussianMixture(**settings).fit(x), x)
    large = settings | {"reg_covar": 0.5}  # a ridge that matters
    agree(GaussianMixture(**large).fit(x), theirs.GaussianMixture(**large).fit(x), x)


@pytest.mark.parametrize("process", ["dirichlet_process", "dirichlet_distribution"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_answers_of_scikit_learn_by_variational_bayes(x, kind, process):
    settings = {
        "n_components": 3, "covariance_type": kind, "weight_concentration_prior_type": process, "random_state": 1,
        "max_iter": 30, "reg_covar": 0.1,
    }  # fmt: skip
    ours, other = (one.BayesianGaussianMixture(**settings).fit(x) for one in (bg.sklearn, theirs))
    agree(ours, other, x, tol=1e-7)
    for name in ("weight_concentration_", "mean_precision_", "degrees_of_freedom_"):
        np.testing.assert_allclose(getattr(ours, name), getattr(other, name), rtol=1e-9)


def test_full_covariances_by_variational_bayes_are_those_of_cavi(x):
    """For this type scikit-learn's algorithm and `fit_cavi` have one fixed point."""
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(x.mean(axis=0), 1.0, 3.0, np.cov(x.T)))
    mixture = BayesianGaussianMixture(
        n_components=3, weight_concentration_prior_type="dirichlet_distribution", weight_concentration_prior=1.0,
        degrees_of_freedom_prior=3.0, reg_covar=0.0, tol=1e-10, max_iter=2000, random_state=0,
    ).fit(x)  # fmt: skip
    q = bg.fit_cavi(x, 3, prior=prior, tol=1e-10, seed=0).q
    order = np.argsort(mixture.means_[:, 0])
    ours = np.argsort(np.asarray(q.components.loc)[:, 0])
    np.testing.assert_allclose(mixture.means_[order], np.asarray(q.components.loc)[ours], rtol=1e-4)
    np.testing.assert_allclose(
        mixture.weight_concentration_[order], np.asarray(q.weights.concentration)[ours], rtol=1e-3
    )


@pytest.mark.parametrize("kind", mostly_slow(KINDS, 2))
def test_weights_are_copies(x, kind):
    counts = np.arange(len(x)) % 3
    copies = np.repeat(x, counts, axis=0)
    settings = {"covariance_type": kind, "random_state": 1}
    start = {"weights_init": [0.3, 0.3, 0.4], "means_init": [[0, 100], [4, 140], [0, 180]], "init_params": "random"}
    scale = np.ones(2) / [1.0, 100.0]
    start["precisions_init"] = {
        "full": np.tile(np.diag(scale), (3, 1, 1)), "tied": np.diag(scale), "diag": np.tile(scale, (3, 1)),
        "spherical": np.full(3, 0.05),
    }[kind]  # fmt: skip
    one = GaussianMixture(3, **settings, **start).fit(x, sample_weight=counts)
    other = theirs.GaussianMixture(3, **settings, **start).fit(copies)
    agree(one, other, x)
    bayes = BayesianGaussianMixture(**settings, max_iter=50).fit(x, sample_weight=counts)
    agree(bayes, theirs.BayesianGaussianMixture(**settings, max_iter=50).fit(copies), x, tol=1e-8)
    assert one.score(x, sample_weight=counts) == pytest.approx(other.score(copies))


def test_gaps_are_integrated_out(x):
    """At the maximum, the fit is that of `fit_em`, which is tested against row-by-row twins."""
    gaps = x.copy()
    gaps[::5, 1] = np.nan
    mixture = GaussianMixture(3, reg_covar=0.0, tol=1e-10, max_iter=1000, random_state=0).fit(gaps)
    fit = bg.fit_em(gaps, 3, seed=0)
    assert mixture.score(gaps) * len(gaps) == pytest.approx(fit.log_likelihood, abs=1e-5)
    assert np.isfinite(mixture.predict_proba(gaps)).all()
    bayes = BayesianGaussianMixture(n_components=3, random_state=0, max_iter=200, weight_concentration_prior=10.0).fit(
        gaps
    )
    assert (np.diff(bayes.lower_bounds_) > -1e-8).all()
    assert bg.adjusted_rand(bayes.predict(gaps), fit.predict()) > 0.9


@pytest.mark.parametrize("inference", ["gibbs", *(pytest.param(name, marks=WHOLE) for name in ("cavi", "nuts"))])
def test_posteriors(x, inference):
    chains = {"num_warmup": 100, "num_samples": 100, "num_chains": 2}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mixture = GaussianMixture(3, inference=inference, random_state=0, **chains)
        frame = pd.DataFrame(x).add_prefix("size ")
        assert mixture.fit(frame).posterior_.table.features == tuple(frame.columns)
        mixture.fit(x)
    posterior = mixture.posterior_
    np.testing.assert_allclose(mixture.weights_, np.asarray(posterior.params.weights).mean(axis=(0, 1)))
    np.testing.assert_allclose(mixture.predict_proba(x), posterior.predict_proba(x))
    np.testing.assert_allclose(mixture.score_samples(x), posterior.score_samples(x))
    assert bg.adjusted_rand(mixture.predict(x), CLASSES) > 0.8
    again = pickle.loads(pickle.dumps(mixture))
    np.testing.assert_array_equal(again.predict_proba(x), mixture.predict_proba(x))
    # A fit by EM afterwards forgets the posterior.
    assert not hasattr(mixture.set_params(inference="em").fit(x), "posterior_")


def test_the_prior_of_the_bayesian_mixture_is_that_of_the_sampler(x):
    settings = {"n_components": 3, "covariance_type": "diag", "mean_precision_prior": 0.1, "random_state": 0}
    mixture = BayesianGaussianMixture(
        **settings, weight_concentration_prior_type="dirichlet_distribution", inference="gibbs", num_warmup=100,
        num_samples=100, num_chains=2,
    )  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        prior = mixture.fit(x).posterior_.prior
    np.testing.assert_allclose(np.asarray(prior.components.scale)[0], np.diag(x.var(axis=0, ddof=1)))
    np.testing.assert_allclose(prior.weights.concentration, 1.0 / 3.0)
    assert np.asarray(prior.components.strength)[0] == 0.1


def test_a_dirichlet_process_by_gibbs_has_sticks(x):
    """The default prior of scikit-learn. Attributes and labels are by cluster, though the chains are by stick."""
    mixture = BayesianGaussianMixture(
        n_components=6, inference="gibbs", num_warmup=200, num_samples=200, num_chains=2, random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        posterior = mixture.fit(x).posterior_
    assert isinstance(posterior.prior.weights, bg.StickBreaking)
    np.testing.assert_allclose(posterior.prior.weights.alpha, 1.0 / 6.0)
    assert (posterior.permutations != np.arange(6)).any()
    np.testing.assert_allclose(mixture.weights_, posterior.params.weights.mean(axis=(0, 1)))
    assert bg.adjusted_rand(mixture.predict(x), CLASSES) > 0.5
    with pytest.raises(ArgumentError, match="by cluster"):
        posterior.extend(10)


def test_in_pipelines_searches_and_frames(x):
    import pandas as pd

    frame = pd.DataFrame(x, columns=["a", "b"])
    pipeline = make_pipeline(StandardScaler(), GaussianMixture(random_state=0)).set_output(transform="pandas")
    search = GridSearchCV(pipeline, {"gaussianmixture__n_components": [1, 3]}, cv=3).fit(frame)
    assert search.best_params_ == {"gaussianmixture__n_components": 3}
    out = search.best_estimator_.transform(frame)
    assert list(out.columns) == ["gaussianmixture0", "gaussianmixture1", "gaussianmixture2"]
    mixture = GaussianMixture(3, random_state=0).fit(frame)
    assert list(mixture.feature_names_in_) == ["a", "b"]
    with pytest.raises(ValueError, match="same order"):
        mixture.predict(frame[["b", "a"]])


def test_metadata_routing(x):
    weights = np.arange(len(x)) % 3
    with config_context(enable_metadata_routing=True):
        mixture = GaussianMixture(3, random_state=0).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        routed = make_pipeline(scaler, mixture).fit(x, sample_weight=weights)
    scaled = StandardScaler().fit_transform(x)
    alone = clone(mixture).fit(scaled, sample_weight=weights)
    np.testing.assert_allclose(routed[-1].means_, alone.means_)


def test_goes_on_from_where_it_was(x):
    settings = {"n_components": 3, "random_state": 0, "warm_start": True, "max_iter": 2}
    ours, other = GaussianMixture(**settings), theirs.GaussianMixture(**settings)
    for _ in range(4):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            agree(ours.fit(x), other.fit(x), x)


def test_bad_input(x):
    singles = np.repeat(np.eye(2), 5, axis=0)
    with pytest.raises(IllDefinedError, match="increase reg_covar") as caught:
        GaussianMixture(5, reg_covar=0.0, random_state=0, init_params="random_from_data").fit(singles)
    assert isinstance(caught.value, ValueError)
    with pytest.raises(ValueError, match="No value of x1 was seen"):
        GaussianMixture(2).fit(np.column_stack([x[:, 0], np.full(len(x), np.nan)]))
    with pytest.raises(ValueError, match="negative"):
        GaussianMixture(2).fit(x, sample_weight=np.full(len(x), -1.0))
    with pytest.raises(ValueError, match="'inference' parameter"):
        GaussianMixture(2, inference="vb").fit(x)
    with pytest.raises(ValueError, match="n_samples >= n_components"):
        GaussianMixture(3).fit(x, sample_weight=np.eye(1, len(x))[0])
    with pytest.warns(ConvergenceWarning, match="did not converge"):
        GaussianMixture(3, max_iter=1, random_state=0).fit(x)


def test_says_what_it_does(x, capsys):
    GaussianMixture(3, random_state=0, verbose=2, verbose_interval=1).fit(x)
    said = [line.split(" time")[0].split("\t")[0] for line in capsys.readouterr().out.splitlines()]
    theirs.GaussianMixture(3, random_state=0, verbose=2, verbose_interval=1).fit(x)
    assert said == [line.split(" time")[0].split("\t")[0] for line in capsys.readouterr().out.splitlines()]


def test_a_warm_start_of_another_size_begins_anew(x):
    settings = {"random_state": 0, "warm_start": True}
    for ours in (GaussianMixture, BayesianGaussianMixture):
        mixture = ours(n_components=2, **settings).fit(x)
        for change in ({"n_components": 3}, {"covariance_type": "diag"}):
            fresh = ours(**{**mixture.get_params(), **change, "warm_start": False}).fit(x)
            np.testing.assert_allclose(mixture.set_params(**change).fit(x).means_, fresh.means_)
        assert mixture.fit(x[:, :1]).means_.shape == (3, 1)


def in_batches(estimator, x, size):
    for first in range(0, len(x), size):
        estimator.partial_fit(x[first : first + size])
    return estimator


@pytest.mark.parametrize("kind", mostly_slow(KINDS, 1))
def test_a_second_batch_is_a_step_of_online_em(x, kind):
    """Against sums in NumPy, after a fit whose θ is the M-step of its own statistics."""
    order = np.random.default_rng(0).permutation(180)
    first, second = x[order[:120]], x[order[120:]]
    model = GaussianMixture(3, covariance_type=kind, random_state=0, tol=1e-12, max_iter=1000).fit(first)
    r, move = model.predict_proba(second), (180 / 60) ** -0.7
    full = in_full(model.covariances_, kind, 3, 2) - 1e-6 * np.eye(2)
    old = [model.weights_, model.weights_[:, None] * model.means_]
    old.append(model.weights_[:, None, None] * (full + model.means_[:, :, None] * model.means_[:, None, :]))
    new = [r.mean(0), r.T @ second / 60, np.einsum("nk,nd,ne->kde", r, second, second) / 60]
    weights, sums, squares = ((1 - move) * a + move * b for a, b in zip(old, new, strict=True))
    means = sums / weights[:, None]
    scatters = squares - weights[:, None, None] * means[:, :, None] * means[:, None, :]
    scale = 1.0 if kind == "tied" else weights[:, None, None]
    pooled = np.broadcast_to(scatters.sum(0), scatters.shape) if kind == "tied" else scatters
    expected = in_shape(pooled / scale, kind) + (1e-6 * np.eye(2) if kind in ("full", "tied") else 1e-6)
    bound = model.score(second)
    model.partial_fit(second)
    np.testing.assert_allclose(model.weights_, weights, rtol=1e-6)
    np.testing.assert_allclose(model.means_, means, rtol=1e-6)
    np.testing.assert_allclose(model.covariances_, expected, rtol=1e-5)
    assert (model.n_rows_seen_, model.converged_) == (180, False)
    assert model.lower_bound_ == pytest.approx(bound)


@pytest.mark.slow
def test_a_stream_ends_near_the_fit_of_all_rows():
    """Within 5e-4 nats per row, from batches of 200 rows and of one."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(30_000, 2)) + 4.0 * rng.integers(3, size=(30_000, 1))
    whole, stream = GaussianMixture(3, random_state=0).fit(x), in_batches(GaussianMixture(3, random_state=0), x, 200)
    assert whole.score(x) - stream.score(x) < 5e-4
    assert stream.n_rows_seen_ == 30_000
    assert whole.score(x) - in_batches(stream, x[:50], 1).score(x) < 5e-4
    assert pickle.loads(pickle.dumps(stream)).partial_fit(x[:9]).n_rows_seen_ == 30_059


def test_what_partial_fit_refuses(x):
    model = GaussianMixture(3, random_state=0)
    with pytest.raises(bg.errors.DataError, match=r"has 2 rows, too few .* Give it at least 3 rows"):
        model.partial_fit(x[:2])
    model.partial_fit(x)
    with pytest.raises(ValueError, match="3 features, but GaussianMixture is expecting 2"):
        model.partial_fit(np.ones((2, 3)))
    with pytest.raises(ArgumentError, match="n_components is 2, but 3 components were fitted"):
        model.set_params(n_components=2).partial_fit(x)
    with pytest.raises(ArgumentError, match="partial_fit is for inference='em'"):
        GaussianMixture(3, inference="cavi").partial_fit(x)
