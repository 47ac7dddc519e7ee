"""Known classes: EM against a textbook twin, samplers against enumeration, all classes known against closed forms."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from oracles.effort import WHOLE
from oracles.twins import log_evidence_niw, log_joint
from scipy.special import gammaln, logsumexp

import bayesgmm as bg
from bayesgmm.errors import ArgumentError
from bayesgmm.problem import prepare
from bayesgmm.runtime.dtypes import scope

RNG = np.random.default_rng(3)
Z = np.repeat([0, 1, 2], 20)
CENTRES = np.array([[3.0, 0.0], [0.0, 0.0], [0.0, 3.0]])
X = RNG.normal(size=(60, 2)) + CENTRES[Z]
APART = X + 2.0 * CENTRES[Z]
PLAIN = {"accelerate": False, "tol": 0, "max_iter": 6}
HALF = np.where(np.arange(60) % 2, Z, -1)


def soft_labels():
    """Known, excluded, soft and unknown classes, by turns."""
    given = np.ones((60, 3))
    for n, z in enumerate(Z):
        if n % 4 == 0:
            given[n] = np.arange(3) == z
        elif n % 4 == 1:
            given[n, (z + 1) % 3] = 0.0
        elif n % 4 == 2:
            given[n, z] = 4.0
    return given


def twin(x, given, weights, means, covariances, steps):
    """EM row by row: responsibilities ∝ π_k N(x_n | θ_k) p(label | k); parameters and log-likelihoods."""
    values = []
    with np.errstate(divide="ignore"):
        labels = np.log(given / given.max(axis=1, keepdims=True))
    for _ in range(steps):
        scores = log_joint(weights, means, covariances, x) + labels
        values.append(logsumexp(scores, axis=1).sum())
        shares = np.exp(scores - logsumexp(scores, axis=1, keepdims=True))
        counts = shares.sum(axis=0)
        weights, means = counts / len(x), shares.T @ x / counts[:, None]
        covariances = [(shares[:, k, None] * (x - m)).T @ (x - m) / counts[k] for k, m in enumerate(means)]
    values.append(logsumexp(log_joint(weights, means, covariances, x) + labels, axis=1).sum())
    return weights, means, np.array(covariances), values


@pytest.mark.parametrize("kind", ["hard", "soft"])
def test_em_is_the_textbook_one(kind):
    one_hot = np.where(HALF[:, None] < 0, 1.0, HALF[:, None] == np.arange(3))
    labels, given = (HALF, one_hot) if kind == "hard" else (soft_labels(), soft_labels())
    start = np.full(3, 1 / 3), np.array([[1.0, 0.0], [0.5, 1.0], [0.0, 1.5]]), np.tile(np.eye(2) * 2.0, (3, 1, 1))
    names = dict(zip(("weights_init", "means_init", "covariances_init"), start, strict=True))
    fit = bg.fit_em(X, 3, labels=labels, **names, **PLAIN)
    weights, means, covariances, values = twin(X, given, *start, steps=6)
    np.testing.assert_allclose(fit.trace, values, rtol=1e-10)
    np.testing.assert_allclose(fit.params.weights, weights, rtol=1e-10)
    np.testing.assert_allclose(fit.params.means, means, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(fit.params.covariances, covariances, rtol=1e-10, atol=1e-10)
    unlabelled = bg.fit_em(X, 3, **names, **PLAIN)
    assert np.abs(np.sort(unlabelled.params.means[:, 0]) - np.sort(means[:, 0])).max() > 1e-3


def test_excluded_classes_have_probability_zero_and_known_ones_one():
    given = soft_labels()
    fit = bg.fit_em(X, 3, prior="default", labels=given)
    found = fit.predict_proba()
    assert (found[given == 0.0] == 0.0).all()
    assert (found[::4].max(axis=1) == 1.0).all()
    np.testing.assert_array_equal(found[::4].argmax(axis=1), Z[::4])
    assert (fit.predict_proba(X)[given == 0.0] > 0.0).all()  # new rows: nothing is known of their classes
    for k in range(3):
        np.testing.assert_allclose(fit.params.means[k], X[k == Z].mean(axis=0), atol=0.6)


def test_labels_that_say_nothing_change_nothing():
    plain = bg.fit_em(X, 3)
    for labels in (np.full(60, -1), np.full((60, 3), 0.2)):
        fit = bg.fit_em(X, 3, labels=labels)
        assert fit.model.exchangeable
        assert fit.log_likelihood == pytest.approx(plain.log_likelihood, abs=1e-6)
        np.testing.assert_allclose(fit.params.means, plain.params.means, atol=1e-3)


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_components_are_numbered_by_the_classes(order):
    """Whatever the classes are called: one labelled row of each class is enough where groups are apart."""
    few = np.full(60, -1)
    few[[0, 20, 40]] = order
    fit = bg.fit_em(APART, 3, prior="default", labels=few)
    expected = np.array([APART[order.index(k) == Z].mean(axis=0) for k in range(3)])
    np.testing.assert_allclose(fit.params.means, expected, atol=0.1)
    for init in ("k-means++", "hierarchical"):
        again = bg.fit_em(APART, 3, prior="default", labels=few, init=init)
        assert again.objective == pytest.approx(fit.objective, abs=1e-4)
    swapped = bg.Params(*(np.asarray(part)[::-1] for part in fit.params))
    if order == (0, 1, 2):  # a start that contradicts its labels is found out by the moves
        with pytest.warns(bg.errors.LocalOptimumWarning):
            bg.fit_em(APART, 3, prior="default", labels=few, init=swapped)


def test_all_known_classes_have_one_start_and_their_own_moments():
    with scope("float64"):
        problem = prepare(bg.rows(X, labels=Z), 3, None)
        from bayesgmm.engines.starts import make_starts
        from bayesgmm.runtime.arguments import as_key

        assert len(make_starts(as_key(0), problem, 16).weights) == 1
    counts = np.bincount(Z)
    scatters = np.array(
        [(X[k == Z] - X[k == Z].mean(axis=0)).T @ (X[k == Z] - X[k == Z].mean(axis=0)) for k in range(3)]
    )
    own, pooled = scatters / counts[:, None, None], scatters.sum(axis=0) / 60
    diagonal = np.array([np.diag(np.diag(one)) for one in own])
    dets = np.linalg.det(scatters) ** 0.5
    closed = {
        "VVV": own, "EEE": np.tile(pooled, (3, 1, 1)), "VVI": diagonal,
        "EEI": np.tile(np.diag(np.diag(pooled)), (3, 1, 1)),
        "EII": np.tile(np.eye(2) * np.trace(pooled) / 2, (3, 1, 1)),
        "VII": np.array([np.eye(2) * np.trace(one) / 2 for one in own]),
        "EVV": scatters / dets[:, None, None] * dets.sum() / 60,  # Celeux & Govaert (1995), section 3.2
    }  # fmt: skip
    for family, covariances in closed.items():
        fit = bg.fit_em(X, 3, covariance_type=family, labels=Z)
        np.testing.assert_allclose(fit.params.covariances, covariances, rtol=1e-9, atol=1e-12, err_msg=family)
        np.testing.assert_allclose(fit.params.means, [X[k == Z].mean(axis=0) for k in range(3)], rtol=1e-10)
        joint = log_joint(counts / 60, fit.params.means, covariances, X)[np.arange(60), Z].sum()
        assert fit.log_likelihood == pytest.approx(joint, rel=1e-12)
        assert sum(basin.hits for basin in fit.basins) == 1


def test_components_beyond_the_classes_are_numbered_by_their_means():
    """Only they may exchange their numbers: draws of them are relabelled, class 1 stays component 0."""
    labels = np.where((Z == 1) & (HALF >= 0), 0, -1)
    fit = bg.fit_em(APART, 3, prior="default", labels=labels)
    assert not fit.model.exchangeable
    assert fit.model.interchangeable.sum() == 5
    np.testing.assert_allclose(fit.params.means[0], APART[Z == 1].mean(axis=0), atol=0.4)
    assert fit.params.means[1, 0] < fit.params.means[2, 0]
    draws = bg.sample_gibbs(APART, 3, labels=labels, num_warmup=100, num_samples=100, num_chains=2)
    means = np.asarray(draws.params.means)
    np.testing.assert_allclose(means.mean(axis=(0, 1)), fit.params.means, atol=0.4)
    assert (draws.permutations[..., 0] == 0).all()


LITTLE = np.random.default_rng(0).normal(size=(8, 2)) + np.repeat([[0.0, 0.0], [3.0, 3.0]], 4, axis=0)
SOME = np.array([1, -1, 1, -1, -1, 0, -1, 0])  # the numbering is against that of the means
ALPHA, NIW = np.array([1.0, 1.0]), (np.array([1.0, 2.0]), 0.5, 5.0, np.array([[1.0, 0.3], [0.3, 2.0]]))
PRIOR = bg.Prior(bg.Dirichlet(ALPHA), bg.NormalInverseWishart(*NIW))


def enumerated(labels=SOME):
    """log p(x, labels), the posterior probability of class 0 of each row, and the mean of the first means."""
    logs, held, centres = [], [], []
    for z in map(np.array, itertools.product((0, 1), repeat=8)):
        if (z != labels)[labels >= 0].any():
            continue
        counts = np.bincount(z, minlength=2)
        logs.append(gammaln(ALPHA.sum()) - gammaln(ALPHA.sum() + 8) + (gammaln(ALPHA + counts) - gammaln(ALPHA)).sum()
                    + sum(log_evidence_niw(LITTLE[z == k], *NIW) for k in (0, 1)))  # fmt: skip
        held.append(z == 0)
        centres.append([(NIW[1] * NIW[0] + LITTLE[z == k].sum(axis=0)) / (NIW[1] + counts[k]) for k in (0, 1)])
    shares = np.exp(np.array(logs) - logsumexp(logs))
    return logsumexp(logs), shares @ np.array(held), np.einsum("s,skd->kd", shares, np.array(centres))


def agrees_with_the_enumeration(draws):
    _, held, centres = enumerated()
    means = np.asarray(draws.params.means)
    blocks = means.reshape(-1, 50, 2, 2).mean(axis=1)  # long blocks: their means are nearly independent
    error = blocks.std(axis=0, ddof=1) / np.sqrt(len(blocks))
    assert (np.abs(means.mean(axis=(0, 1)) - centres) < 4.5 * error).all()
    found = draws.predict_proba()[:, 0]
    np.testing.assert_allclose(found, held, atol=0.03)
    assert (found[SOME == 0] == 1.0).all()
    assert (found[SOME == 1] == 0.0).all()
    assert (draws.permutations == np.arange(2)).all()


def test_gibbs_draws_the_enumerated_posterior():
    draws = bg.sample_gibbs(LITTLE, 2, prior=PRIOR, labels=SOME, num_warmup=300, num_samples=1000, num_chains=4, seed=3)
    agrees_with_the_enumeration(draws)
    assert draws.datatree.attrs["numbering"] == "labels"
    for source in (draws, draws.datatree):
        with pytest.raises(ArgumentError, match=r"A known class .* class k in every draw"):
            bg.relabel(source)
    words = " ".join(bg.diagnose(draws, search=False).verdict())
    assert "component k is class k in every draw" in words
    with pytest.raises(AssertionError):  # without the labels it is another posterior
        agrees_with_the_enumeration(bg.sample_gibbs(LITTLE, 2, prior=PRIOR, num_warmup=300, num_samples=1000))


def test_the_exact_engine_enumerates_what_the_labels_allow():
    exact = bg.sample_exact(LITTLE, 2, prior=PRIOR, labels=SOME, num_samples=1000, num_chains=4)
    assert exact.log_evidence == pytest.approx(enumerated()[0], abs=1e-8)
    assert exact.num_labellings == 2**4
    agrees_with_the_enumeration(exact)
    odds = np.where(SOME < 0, 1.0, 0.0)[:, None] + (SOME[:, None] == np.arange(2))
    odds[1] = [1.0, 3.0]  # a soft label
    logs = [enumerated(np.where(np.arange(8) == 1, k, SOME))[0] for k in (0, 1)]
    soft = bg.sample_exact(LITTLE, 2, prior=PRIOR, labels=odds, num_samples=1000, num_chains=4)
    expected = np.logaddexp(logs[0] - np.log(3.0), logs[1])
    assert soft.log_evidence == pytest.approx(expected, abs=1e-8)
    assert soft.predict_proba()[1, 0] == pytest.approx(np.exp(logs[0] - np.log(3.0) - expected), abs=0.02)
    many = bg.rows(X, labels=np.where(np.arange(60) < 55, Z, -1))
    assert bg.sample_exact(many, 3, num_samples=2, num_chains=2).num_labellings == 3**5


@pytest.mark.slow
def test_nuts_draws_the_enumerated_posterior():
    agrees_with_the_enumeration(
        bg.sample_nuts(LITTLE, 2, prior=PRIOR, labels=SOME, num_warmup=1000, num_samples=2500, num_chains=4, seed=3)
    )


@pytest.mark.filterwarnings("ignore::bayesgmm.errors.MixingWarning")
def test_columns_of_a_comparison_have_the_numbering_of_the_classes():
    found = bg.compare(LITTLE, 2, prior=PRIOR, labels=SOME, engines=["em", "exact", "gibbs"], reference="exact",
                       num_warmup=100, num_samples=200, num_chains=2)  # fmt: skip
    _, _, centres = enumerated()
    for result in found.results.values():
        means = np.asarray(result.params.means).reshape(-1, 2, 2).mean(axis=0)
        np.testing.assert_allclose(means, centres, atol=0.6)  # in the other numbering: about 3
    assert "switch" not in " ".join(found.verdict())


def test_chains_start_in_the_numbering_of_the_classes():
    for init in ("dispersed", "em", "basins"):
        draws = bg.sample_gibbs(X, 3, labels=HALF, init=init, num_warmup=0, num_samples=4, num_chains=2)
        for k in range(3):
            np.testing.assert_allclose(draws.params.means[:, 0, k].mean(axis=0), X[k == Z].mean(axis=0), atol=1.2)


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (Z + 1, r"labels go up to 3, but there are 3 components: classes 0 to 2\. Use n_components=4"),
        (Z[:-1], r"labels must have shape \(60,\)"),
        (Z - 2, "classes from 0 to K - 1, and -1 where unknown"),
        (Z + 0.5, "must be integers"),
        (np.array(["a", "b", "c"])[Z], r"labels must be numbers: .* numpy.unique"),
        (np.zeros((60, 3)), "exclude every class of row 0"),
        (np.ones((60, 2)), "2 classes for 3 components"),
        (-np.ones((60, 3)), "finite and not negative"),
        (np.where(Z == 2, 1, Z), "leave no row to component 2"),
        (np.tile([1.0, 1.0, 0.0], (60, 1)), "leave no row to component 2"),
    ],
)
def test_bad_labels_are_refused(labels, words):
    with pytest.raises(ArgumentError, match=words):
        bg.fit_em(X, 3, labels=labels)


def mislabelled(x, n_components, **settings):
    """Gibbs on data in which a fourth of the known classes are wrong."""
    labels = np.array(x.labels)
    labels[::8] = 1 - labels[::8]
    return bg.sample_gibbs(replace(x, labels=labels), n_components, **settings)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["gibbs", pytest.param("nuts", marks=WHOLE)])
def test_simulated_data_with_half_of_the_classes_known_are_calibrated(engine):
    """The class is known of the same rows as in the data; it is that of the simulation."""
    rows = bg.rows(
        np.resize(LITTLE, (16, 2)) + np.linspace(0, 1, 16)[:, None], labels=np.where(np.arange(16) % 2, -1, 0)
    )
    short = {"prior": PRIOR, "n_sims": 100, "num_warmup": 200, "num_samples": 300}
    assert bg.calibrate(rows, 2, engine=engine, **short).calibrated
    if engine == "gibbs":
        assert not bg.calibrate(rows, 2, engine=mislabelled, **short).calibrated
