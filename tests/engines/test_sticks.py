"""Engines under a prior by breaking sticks, against the sum over all z."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles.agreement import assert_same_mean, mean_and_error
from oracles.sticks import Sticks
from scipy import stats

import bayesgmm as bg
from bayesgmm.diagnosis import words
from bayesgmm.engines.mcmc import gibbs
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.priors import stick_order
from bayesgmm.problem import prepare
from bayesgmm.results.draws import as_draws
from bayesgmm.runtime.dtypes import scope

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


@pytest.mark.slow
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


def test_flat_sticks_are_a_flat_dirichlet():
    """alpha_k = K - k is the flat density over the weights: EM ends where it does under Dirichlet(1)."""
    flat, same = (
        bg.fit_em(X[:, None], 3, prior=bg.Prior(weights, COMPONENTS), n_init=4, seed=0)
        for weights in (bg.StickBreaking(np.array([2.0, 1.0])), bg.Dirichlet(1.0))
    )
    assert flat.objective == pytest.approx(same.objective, abs=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "words"),
    [
        (lambda: bg.StickBreaking(1.0).mode(), PriorError, "call expand"),
        (lambda: bg.StickBreaking(1e12).expand(3), PriorError, "leaves its stick no freedom"),
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


def test_what_reads_components_wants_clusters(drawn):
    """A stick is another cluster from draw to draw: an average by stick would be read as a class, in silence."""
    assert drawn.by_stick
    for call in (drawn.predict, drawn.predict_proba, drawn.class_probabilities, lambda: bg.merge(drawn)):
        with pytest.raises(ArgumentError, match="by_cluster"):
            call()
    clusters = drawn.by_cluster()
    assert not clusters.by_stick
    assert clusters.by_cluster() is clusters
    # An average by stick is not that by cluster: the refusal is not idle.
    by_stick = responsibilities(drawn).mean(axis=(0, 1))
    assert np.abs(clusters.predict_proba() - by_stick).max() > 0.05
    np.testing.assert_allclose(clusters.score_samples(), drawn.score_samples())
    assert bg.merge(clusters).components(1) == ((0, 1, 2),)
    assert len(clusters.plot().get_lines()) > 0
    with pytest.raises(ArgumentError, match="numbered by cluster"):
        clusters.extend(10)


def test_a_comparison_says_that_its_rows_are_sticks(drawn):
    compared = bg.compare(X[:, None], 3, engines=("gibbs",), prior=PRIOR, **SETTINGS)
    assert sum("Component k of gibbs is stick k" in line for line in compared.verdict()) == 1


def test_known_things_stop_the_reordering():
    """With known classes or held means component k has a meaning besides the order."""
    with scope("float64"):
        free, labelled, held = (
            prepare(bg.rows(X, labels=labels), 3, PRIOR, fixed=fixed).model
            for labels, fixed in ((None, None), ([1, -1, -1, -1, 0], None), (None, {"means": {0: [0.5]}}))
        )
    assert [model.in_order for model in (free, labelled, held)] == [True, False, False]
    assert [model.numbering for model in (free, labelled, held)] == ["sticks", "prior", "prior"]
    apart = bg.Prior(PRIOR.weights, COMPONENTS._replace(loc=np.array([[0.0], [1.0], [2.0]])))
    with scope("float64"):
        assert prepare(X, 3, apart).model.numbering == "prior"


def test_what_is_said_of_the_numbering(drawn):
    assert "sticks" in drawn.datatree.attrs["numbering"]
    found = SimpleNamespace(pareto_k=None, num_permutations=1, relabelling=SimpleNamespace(draws=as_draws(drawn)))
    assert "another cluster from draw to draw" in words._labels(found)
    assert drawn.prior.describe(drawn.family)[0] == "V_k ~ Beta(1.000, 0.8000) for k < K, V_K = 1"


@pytest.mark.slow
def test_numpyro_tells_the_same_story():
    """The site of the sticks has their density, and the weights are broken off."""
    from numpyro import handlers

    with jax.enable_x64(True):
        seeded = handlers.seed(bg.gaussian_mixture, jax.random.key(0))
        trace = handlers.trace(seeded).get_trace(PRIOR.expand(3, 1), num_rows=2)
        sticks, weights = np.asarray(trace["sticks"]["value"]), np.asarray(trace["weights"]["value"])
        log_prob = float(trace["sticks"]["fn"].log_prob(sticks))
    np.testing.assert_allclose(weights, [sticks[0], sticks[1] * (1 - sticks[0]), np.prod(1 - sticks)])
    assert log_prob == pytest.approx(stats.beta(FIRST, ALPHA).logpdf(sticks).sum())


@pytest.mark.slow
@pytest.mark.parametrize("name", ["nuts", "tempered", "tied"])
def test_other_chains_agree_with_enumeration(name):
    """NUTS has no moves of the order, but five rows leave it free; tempering is another path to it."""
    if name == "nuts":
        found, pooled = bg.sample_nuts(X[:, None], 3, prior=PRIOR, **SETTINGS), False
    elif name == "tempered":
        found, pooled = bg.sample_gibbs(X[:, None], 3, prior=PRIOR, tempering=3, **SETTINGS), False
    else:
        found, pooled = bg.sample_gibbs(X[:, None], 3, prior=PRIOR, covariance_type="tied", **SETTINGS), True
    assert_exact(found, Sticks(X, [ALPHA, ALPHA], [FIRST, FIRST], OWN, pooled))


class Sorted(stick_order.Reordered):
    """A wrong move: components by decreasing size in each sweep."""

    def update(self, stats):
        return SortedGivenZ(self.prior, stats)


class SortedGivenZ(stick_order.ReorderedGivenZ):
    def sample(self, key, present):
        order = jnp.argsort(-self.stats.counts)
        moved = {name: getattr(self.stats, name)[order] for name in ("counts", "means", "scatters")}
        return self.prior.update(self.stats._replace(**moved)).sample(key, present)


@pytest.mark.slow
def test_a_wrong_move_of_the_order_is_found(monkeypatch, truth):
    """The control: sorting the components in each sweep is another posterior."""
    monkeypatch.setattr(gibbs, "Reordered", Sorted)
    found = bg.sample_gibbs(X[:, None], 3, prior=PRIOR, **SETTINGS)
    mean, error = mean_and_error(found.params.weights[..., 0])
    assert abs(mean - truth.mean_weights[0]) > 5 * error


@pytest.mark.slow
def test_gibbs_is_calibrated():
    x = np.zeros((12, 1)) + np.linspace(-1, 1, 12)[:, None]
    prior = bg.Prior(bg.StickBreaking(1.0), bg.NormalInverseWishart(0.0, 0.1, 6.0, 1.0))
    settings = {"n_sims": 60, "num_warmup": 200, "num_samples": 400, "progress_bar": False}
    assert bg.calibrate(x, 4, prior=prior, **settings).calibrated
    other = bg.Prior(bg.StickBreaking(0.05), prior.components)

    def wrong(x, n_components, **options):
        return bg.sample_gibbs(x, n_components, **(options | {"prior": other}))

    assert not bg.calibrate(x, 4, prior=prior, engine=wrong, **settings).calibrated
