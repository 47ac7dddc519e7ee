"""Engines under a prior by breaking sticks, against the sum over all z."""

import jax
import numpy as np
import pytest
from oracles.agreement import assert_same_mean, mean_and_error
from oracles.sticks import Sticks
from scipy import stats

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, PriorError

X = np.array([-1.9, -1.6, 0.2, 0.5, 2.4])
OWN = (0.1, 0.3, 4.0, 1.2)
ALPHA, FIRST = 0.8, 1.0
COMPONENTS = bg.NormalInverseWishart(*OWN)
PRIOR = bg.Prior(bg.StickBreaking(ALPHA), COMPONENTS)
SETTINGS = {"num_samples": 4000, "num_warmup": 200, "progress_bar": False}


@pytest.fixture(scope="module")
def truth():
    return Sticks(X, [ALPHA, ALPHA], [FIRST, FIRST], OWN)


@pytest.fixture(scope="module")
def drawn():
    return bg.sample_gibbs(X[:, None], 3, prior=PRIOR, **SETTINGS)


def responsibilities(found):
    """(chain, draw, N, K), in NumPy."""
    weights, means, trils = found.params
    logs = stats.norm.logpdf(X[:, None], means[:, :, None, :, 0], trils[:, :, None, :, 0, 0])
    joint = np.exp(logs) * weights[:, :, None]
    return joint / joint.sum(axis=-1, keepdims=True)


def assert_exact(found, truth):
    """The posteriors of K₊, of who is together, and of the order of the components."""
    proba = responsibilities(found)
    z = found.draw_labels(None, 1)
    occupied = (z[..., None] == np.arange(3)).any(axis=2).sum(axis=-1)
    for k in (1, 2, 3):
        assert_same_mean(occupied == k, truth.clusters[k], 0.0, f"{k} clusters")
    for pair in ((0, 1), (1, 4), (2, 3)):
        together = (proba[:, :, pair[0]] * proba[:, :, pair[1]]).sum(axis=-1)
        assert_same_mean(together, truth.together(*pair), 0.0, f"rows {pair} together")
    assert_same_mean(found.params.weights[..., 0], truth.mean_weights[0], 0.0, "first weight")
    assert_same_mean(found.params.weights[..., 1], truth.mean_weights[1], 0.0, "second weight")
    assert_same_mean(proba[:, :, 4, 0], truth.in_component(4, 0), 0.0, "row 4 in the first component")


def test_gibbs_agrees_with_enumeration(drawn, truth):
    assert_exact(drawn, truth)
    assert drawn.model.numbering == "sticks"
    assert (drawn.permutations == np.arange(3)).all()


def test_enumeration_tells_priors_apart(drawn):
    """The oracle is sharp enough: draws under α = 0.8 are not those of α = 1.6, nor of a Dirichlet."""
    weight = mean_and_error(drawn.params.weights[..., 0])
    assert abs(Sticks(X, [1.6, 1.6], [1.0, 1.0], OWN).mean_weights[0] - weight[0]) > 5 * weight[1]
    equal = Sticks(X, [2.0, 1.0], [1.0, 1.0], OWN)
    assert equal.mean_weights[0] == pytest.approx(1 / 3)
    assert abs(equal.mean_weights[0] - weight[0]) > 5 * weight[1]


def test_exact_engine_agrees_with_enumeration(truth):
    found = bg.sample_exact(X[:, None], 3, prior=PRIOR, seed=1)
    assert found.log_evidence == pytest.approx(truth.log_evidence, abs=1e-9)
    assert_exact(found, truth)


def test_cavi_is_below_the_evidence(truth):
    found = bg.fit_cavi(X[:, None], 3, prior=PRIOR, seed=0)
    assert (np.diff(found.trace) > -1e-9).all()
    assert truth.log_evidence - 3.0 < found.elbo < truth.log_evidence
    assert isinstance(found.q.weights, bg.StickBreaking)
    counts = found.q.weights.first - 1.0  # sticks first, with more rows in the first component
    assert counts[0] > counts[1] > 0


def test_cavi_of_one_component_is_exact():
    one = Sticks(X, [], [], OWN)
    assert bg.fit_cavi(X[:, None], 1, prior=PRIOR).elbo == pytest.approx(one.log_evidence, abs=1e-6)


def test_em_has_a_mode_only_if_the_density_is_bounded():
    with pytest.raises(PriorError, match="alpha of at least K - 1 = 2"):
        bg.fit_em(X[:, None], 3, prior=PRIOR)
    bounded = PRIOR._replace(weights=bg.StickBreaking(2.5))
    fit = bg.fit_em(X[:, None], 3, prior=bounded, n_init=4, seed=0)
    assert (np.diff(fit.trace) > -1e-9).all()
    near = bg.Params(fit.params.weights * np.array([1.01, 0.995, 0.99]), fit.params.means, fit.params.scale_trils)
    near = near._replace(weights=near.weights / near.weights.sum())
    for other in (near, fit.params._replace(means=fit.params.means + 0.01)):
        value = bg.log_likelihood(other, X[:, None]) + fit.prior.log_density(other)
        assert value < fit.objective


def test_flat_sticks_are_maximum_likelihood():
    """alpha_k = K - k is the flat density over the weights: EM, plain and accelerated, ends where Dirichlet(1) does."""
    x = bg.load_dataset("faithful")
    components = bg.default_prior(x, 3).components
    flat = bg.fit_em(x, 3, prior=bg.Prior(bg.StickBreaking(np.array([2.0, 1.0])), components), seed=0)
    same = bg.fit_em(x, 3, prior=bg.Prior(bg.Dirichlet(1.0), components), seed=0)
    assert flat.objective == pytest.approx(same.objective, abs=1e-5)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: bg.sample_gibbs(X, 3, prior=PRIOR, noise=True), PriorError, "noise component does not go with"),
        (lambda: bg.sample_gibbs(X, 3, prior=PRIOR, fixed={"weights": {0: 0.4}}), PriorError, "Held weights"),
        (lambda: bg.sample_telescoping(X, prior=PRIOR), PriorError, "Dynamic"),
        (lambda: bg.fit_table(X, [1, 2], prior=PRIOR), PriorError, "fit_table does not take"),
        (lambda: bg.fit_same(X, 3, prior=PRIOR), PriorError, "K - 1"),
    ],
)
def test_what_does_not_go_with_sticks_is_refused(call, error, words):
    with pytest.raises(error, match=words):
        call()


def test_evidence_by_draws_is_refused(drawn):
    with pytest.raises(PriorError, match="sample_exact"):
        bg.evidence(drawn)
    with pytest.raises(PriorError, match="sample_exact"):
        bg.evidence(drawn, method="thames")


def test_relabelling_is_a_choice(drawn, tmp_path):
    """Draws keep the order of the sticks; `relabel` numbers them by cluster instead. Files keep the prior."""
    relabelled = bg.relabel(drawn).posterior
    assert (np.diff(relabelled.params.means.mean(axis=(0, 1))[:, 0]) != 0).all()
    assert (relabelled.permutations != drawn.permutations).any()
    np.testing.assert_array_equal(np.sort(relabelled.params.weights), np.sort(drawn.params.weights))
    bg.save(drawn, tmp_path / "sticks.nc")
    again = bg.load(tmp_path / "sticks.nc")
    assert isinstance(again.prior.weights, bg.StickBreaking)
    jax.tree.map(np.testing.assert_array_equal, again.prior, drawn.prior)
    np.testing.assert_array_equal(again.extend(10).params.weights, drawn.extend(10).params.weights)


def test_known_things_stop_the_reordering():
    """With known classes or held means component k has a meaning besides the order: numbered by it, not by size."""
    labelled = bg.sample_gibbs(
        X, 3, prior=PRIOR, labels=[1, -1, -1, -1, 0], num_samples=5, num_warmup=5, progress_bar=False
    )
    assert labelled.model.numbering == "prior"
    with pytest.raises(ArgumentError, match="prior of these draws"):
        bg.relabel(labelled)
