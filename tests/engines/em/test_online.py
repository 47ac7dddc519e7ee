"""Online EM: the path of Cappé & Moulines (2009) in NumPy, exact EM as a special case, and rows on disk."""

import signal

import numpy as np
import pytest
from oracles.effort import WHOLE
from oracles.on_disk import CHUNK, N, two_clusters, write_parquet
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

import bayesgmm as bg
from bayesgmm.engines.em import online
from bayesgmm.engines.em.online import Schedule

X = two_clusters()
MEANS = np.array([[103.0, 2.0], [100.0, 7.0]])
SIZE = 750
"""Twelve batches."""


@pytest.fixture(scope="module")
def on_disk(tmp_path_factory):
    return bg.open_rows(write_parquet(X, tmp_path_factory.mktemp("rows") / "x.parquet"), chunk_rows=CHUNK)


@pytest.fixture
def unshuffled(monkeypatch):
    """Rows in memory in their own order."""

    class InOrder(np.random.Generator):
        def permutation(self, x, axis=0):
            return np.arange(x)

    monkeypatch.setattr(online, "host_generator", lambda key: InOrder(np.random.PCG64()))


def moments(x, theta):
    """Σ r, Σ r x and Σ r x xᵀ of each component, of one row on average, and the log-likelihood."""
    logs = np.stack([np.log(w) + multivariate_normal(m, c).logpdf(x) for w, m, c in zip(*theta, strict=True)])
    r = np.exp(logs - logsumexp(logs, axis=0))
    return [r.mean(1), r @ x / len(x), np.einsum("kn,nd,ne->kde", r, x, x) / len(x)], logsumexp(logs, axis=0).sum()


def m_step(s):
    means = s[1] / s[0][:, None]
    return s[0], means, s[2] / s[0][:, None, None] - means[:, :, None] * means[:, None, :]


def cappe_moulines(x, size, kappa, passes, averaged):
    """Online EM (2009) from the statistics of all rows under the start; objectives before each step."""
    origin = x.mean(0)
    x, path = x - origin, []
    theta = np.full(2, 0.5), MEANS - origin, np.stack([np.cov(x.T, bias=True)] * 2)
    s, _ = moments(x, theta)
    mean, half = s, passes * len(x) // size // 2
    for t, rows in enumerate(np.split(np.tile(x, (passes, 1)), passes * len(x) // size), 1):
        new, value = moments(rows, theta)
        gamma = (t + 10.0) ** -kappa
        s = [(1 - gamma) * a + gamma * b for a, b in zip(s, new, strict=True)]
        path, theta = [*path, value * len(x) / size], m_step(s)
        if t > half:
            mean = [a + (b - a) / (t - half) for a, b in zip(mean, s, strict=True)]
    weights, means, covariances = m_step(mean) if averaged else theta
    return weights, means + origin, covariances, path


@pytest.mark.parametrize("averaged", [True, pytest.param(False, marks=WHOLE)])
def test_the_path_is_that_of_cappe_and_moulines(on_disk, unshuffled, averaged):
    """Also in memory, where the batches are the same if the rows are not shuffled."""
    weights, means, covariances, path = cappe_moulines(X, SIZE, 0.6, 2, averaged)
    call = {"means_init": MEANS, "batch_size": SIZE, "forgetting": 0.6, "averaged": averaged}
    for fit in (bg.fit_em(rows, 2, **call) for rows in (on_disk, X)):
        order = np.argsort(means[:, 0])
        np.testing.assert_allclose(fit.params.weights, weights[order], atol=1e-8)
        np.testing.assert_allclose(fit.params.means, means[order], atol=1e-8)
        np.testing.assert_allclose(fit.params.covariances, covariances[order], atol=1e-8)
        np.testing.assert_allclose(fit.trace[:-1], path, rtol=1e-9)
        assert fit.n_iter == len(path) == 24
        assert fit.log_likelihood == pytest.approx(fit.score_samples(X).sum(), rel=1e-12)
        assert (fit.status, fit.converged) == ("stopped as planned", False)


def test_batches_of_all_rows_that_replace_the_statistics_are_em(on_disk, monkeypatch):
    exact = bg.fit_em(X, 2, means_init=MEANS, accelerate=False, max_iter=4, tol=0)
    monkeypatch.setattr(Schedule, "of", classmethod(lambda cls, *_: cls(N, 4, forgetting=0.0, averaged=False)))
    for rows in (on_disk, X):
        fit = bg.fit_em(rows, 2, means_init=MEANS)
        np.testing.assert_allclose(fit.trace, exact.trace, rtol=1e-12)
        np.testing.assert_allclose(fit.params.covariances, exact.params.covariances, rtol=1e-9)


def test_the_seed_decides_and_all_rows_can_follow():
    call = {"means_init": MEANS, "batch_size": SIZE, "num_passes": 1}
    one, again, other = (bg.fit_em(X, 2, seed=seed, **call) for seed in (3, 3, 4))
    assert (one.params.means == again.params.means).all()
    assert (one.params.means != other.params.means).any()
    assert one.settings["batch_size"] == SIZE
    further, exact = bg.fit_em(X, 2, max_iter=1000, **call), bg.fit_em(X, 2, means_init=MEANS)
    assert further.converged
    assert further.log_likelihood == pytest.approx(exact.log_likelihood, abs=1e-5)


def test_files_in_order_of_something_are_noticed(tmp_path):
    rows = bg.open_rows(write_parquet(X[np.argsort(X[:, 0])], tmp_path / "x.parquet"), chunk_rows=CHUNK)
    with pytest.warns(bg.errors.NotConvergedWarning, match="not in random order"):
        bg.fit_em(rows, 2, means_init=MEANS, batch_size=SIZE)


def test_a_component_that_collapses_among_the_batches_is_an_error():
    x = np.concatenate([X[:200], np.full((800, 2), 50.0)])
    with pytest.raises(bg.errors.CollapseError):
        bg.fit_em(x, 2, means_init=[[101.0, 5.0], [50.0, 50.0]], batch_size=100, num_passes=20)


def test_ctrl_c_among_the_batches_keeps_their_theta(on_disk):
    def press(label, done, total, note):
        if label == online.LABEL and done < total:
            signal.raise_signal(signal.SIGINT)

    with pytest.warns(bg.errors.NotConvergedWarning, match="EM was interrupted"):
        cut = bg.fit_em(on_disk, 2, means_init=MEANS, batch_size=SIZE, num_passes=9, progress_bar=press)
    assert cut.interrupted
    assert cut.n_iter < 9 * 12 / 2
    assert cut.trace[-1] > cut.trace[0] + 100.0  # θ of the last batch, and not a mean that has not begun
    assert cut.log_likelihood == pytest.approx(cut.score_samples(X).sum(), rel=1e-12)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [({"algorithm": "cem"}, "batch_size is for algorithm='em'"), ({"checkpoint": "run"}, "checkpoint saves passes"),
     ({"forgetting": 0.5}, "forgetting"), ({"num_passes": 0}, "num_passes"), ({"batch_size": 0}, "batch_size")],
)  # fmt: skip
def test_arguments_that_contradict_are_refused(arguments, words):
    with pytest.raises(bg.errors.ArgumentError, match=words):
        bg.fit_em(X, 2, **{"batch_size": SIZE} | arguments)


@pytest.mark.parametrize("argument", [{"num_passes": 3}, {"forgetting": 0.6}, {"averaged": False}], ids=str)
def test_arguments_of_online_em_need_batches(argument):
    with pytest.raises(bg.errors.ArgumentError, match="Give batch_size too"):
        bg.fit_em(X, 2, **argument)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["memory", "disk"])
def test_one_pass_over_many_rows_ends_near_the_maximum(kind, tmp_path):
    """Within 2e-4 nats per row (40 for all 200,000 rows; the truth itself is p / 2N = 2.5e-5 away on average)."""
    rng = np.random.default_rng(5)
    z = rng.choice(3, 200_000, p=[0.5, 0.3, 0.2])
    x = rng.normal(size=(len(z), 2)) * np.array([1.0, 0.7, 1.5])[z][:, None] + np.array([[0, 0], [3, 1], [0, 4]])[z]
    rows = x if kind == "memory" else bg.open_rows(write_parquet(x, tmp_path / "x.parquet", 50_000))
    exact, fit = bg.fit_em(x, 3), bg.fit_em(rows, 3, batch_size=1000, num_passes=1)
    assert 0.0 <= (exact.log_likelihood - fit.log_likelihood) / len(x) < 2e-4
