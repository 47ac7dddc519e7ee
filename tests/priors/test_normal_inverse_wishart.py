"""The conjugate prior: SciPy's densities, Chib's identity, modes, moments of draws, units."""

import itertools

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from oracles import twins
from oracles.parameters import HYPER, PRIOR, SCALE, D, K, random_params
from oracles.twins import label_stats
from scipy.special import gammaln
from scipy.stats import invwishart

import bayesgmm as bg
from bayesgmm.errors import PriorError
from bayesgmm.model.types import Frame
from bayesgmm.priors.boundary import improper_because
from bayesgmm.priors.prior import flat_prior


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def test_log_density_equals_scipy():
    params = random_params(0)
    expected = twins.log_prior(params, [1.7] * K, HYPER["loc"], HYPER["strength"], HYPER["df"], SCALE)
    assert float(PRIOR.expand(K, D).log_density(params)) == pytest.approx(expected, rel=1e-12)


def test_chibs_identity_on_a_conjugate_block(rng):
    """log p(θ) + log p(x, z | θ) - log p(θ | x, z) is the log evidence for every θ."""
    x = rng.normal(size=(9, D))
    z = np.array([0, 1, 0, 0, 1, 1, 0, 1, 0])
    prior = PRIOR.expand(K, D)
    posterior = prior.update(label_stats(x, z, K))
    values = []
    for seed in range(3):
        params = random_params(seed)
        joint = twins.log_joint(params.weights, params.means, params.covariances, x)[np.arange(9), z].sum()
        values.append(float(prior.log_density(params)) + joint - float(posterior.log_density(params)))
    blocks = sum(
        twins.log_evidence_niw(x[z == k], *(HYPER[n] for n in ("loc", "strength", "df", "scale"))) for k in range(K)
    )
    alpha, counts = np.full(K, 1.7), np.bincount(z)
    from scipy.special import gammaln

    labels = gammaln(alpha.sum()) - gammaln(alpha.sum() + 9) + (gammaln(alpha + counts) - gammaln(alpha)).sum()
    np.testing.assert_allclose(values, blocks + labels, rtol=1e-11)


def test_mode_beats_its_neighbours_and_divides_by_df_plus_d_plus_2():
    belief = PRIOR.expand(K, D)
    mode = belief.mode()
    np.testing.assert_allclose(mode.covariances[0], SCALE / (HYPER["df"] + D + 2), rtol=1e-12)
    best = float(belief.log_density(mode))
    rng = np.random.default_rng(1)
    for _ in range(50):
        nudge = rng.normal(size=(K, D, D)) * 0.01
        weights = np.abs(mode.weights + rng.normal(size=K) * 0.01)
        moved = bg.Params.of(
            weights / weights.sum(), np.asarray(mode.means) + rng.normal(size=(K, D)) * 0.01,
            np.asarray(mode.covariances) + (nudge + nudge.swapaxes(1, 2)) * 0.02,
        )  # fmt: skip
        assert float(belief.log_density(moved)) < best


def test_draws_have_the_moments_of_the_distributions():
    belief = jax.tree.map(jnp.asarray, PRIOR.expand(K, D))
    draws = jax.vmap(belief.sample)(jr.split(jr.key(0), 40_000))
    covariance = np.asarray(draws.covariances[:, 0])
    np.testing.assert_allclose(covariance.mean(axis=0), SCALE / (HYPER["df"] - D - 1), atol=0.04)
    whitened = np.linalg.solve(
        np.asarray(draws.scale_trils[:, 0]), (np.asarray(draws.means[:, 0]) - HYPER["loc"])[..., None]
    )
    np.testing.assert_allclose(np.cov(whitened[..., 0].T) * HYPER["strength"], np.eye(D), atol=0.03)
    np.testing.assert_allclose(draws.weights.var(axis=0), 0.25 / (2 * 1.7 + 1), atol=0.003)
    # The precision of one direction is chi-square: its quantiles test the degrees of freedom.
    precision = 1.0 / np.linalg.inv(covariance)[:, 0, 0]
    marginal = invwishart.rvs(HYPER["df"] - 0, SCALE, size=40_000, random_state=2)
    other = 1.0 / np.linalg.inv(marginal)[:, 0, 0]
    np.testing.assert_allclose(
        np.quantile(precision, [0.05, 0.5, 0.95]), np.quantile(other, [0.05, 0.5, 0.95]), rtol=0.03
    )


def test_flat_prior_gives_the_maximum_likelihood_estimate(rng):
    x, z = rng.normal(size=(30, D)), rng.integers(K, size=30)
    mode = flat_prior(K, D).update(label_stats(x, z, K)).mode()
    np.testing.assert_allclose(mode.weights, np.bincount(z) / 30)
    np.testing.assert_allclose(mode.covariances[1], np.cov(x[z == 1].T, bias=True), rtol=1e-12)


def test_change_of_units_shifts_every_density_alike():
    frame = Frame(np.array([10.0, -5.0, 2.0]), np.array([3.0, 0.1, 20.0]))
    prior = PRIOR.expand(K, D)
    inside = prior.standardise(frame)
    shifts = [
        float(prior.log_density(params)) - float(inside.log_density(frame.standardise(params)))
        for params in (random_params(3), random_params(4))
    ]
    np.testing.assert_allclose(shifts, -K * (D + 2) * frame.log_volume, rtol=1e-9)


def test_dirichlet_below_one_has_no_negative_weights():
    belief = PRIOR._replace(weights=bg.Dirichlet(0.2)).expand(K, D)
    counts = jnp.array([5.0, 0.1])
    weights = belief.weights.update(counts).mode()
    assert (np.asarray(weights) >= 0).all()
    assert float(weights.sum()) == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"df": 2.0}, "df > D - 1"),
        ({"strength": 0.0}, "strength"),
        ({"scale": -np.eye(D)}, "positive definite"),
        ({"scale": np.array([[1.0, 0.5, 0], [0, 1, 0], [0, 0, 1]])}, "symmetric"),
        ({"loc": np.array([np.nan, 0, 0])}, "finite"),
    ],
)
def test_improper_priors_give_the_reason(change, words):
    belief = PRIOR._replace(components=PRIOR.components._replace(**change)).expand(K, D)
    assert words in improper_because(belief)


def test_prior_of_wrong_dimension_is_refused():
    with pytest.raises(PriorError, match="loc has shape"):
        PRIOR.expand(K, 2)


def test_occupied_components_are_those_of_all_labelings():
    """Against enumeration of all labelings, and against simulation with many rows."""
    alpha, k, n = 0.7, 3, 6
    chances = np.zeros(k + 1)
    for z in itertools.product(range(k), repeat=n):
        counts = np.bincount(z, minlength=k)
        log_z = gammaln(k * alpha) - gammaln(k * alpha + n) + (gammaln(alpha + counts) - gammaln(alpha)).sum()
        chances[(counts > 0).sum()] += np.exp(log_z)
    np.testing.assert_allclose(bg.Dirichlet(alpha).occupied(n, k), chances, atol=1e-14)
    rng = np.random.default_rng(0)
    draws = [(rng.multinomial(200, rng.dirichlet(np.full(6, 0.05))) > 0).sum() for _ in range(4000)]
    expected = bg.Dirichlet(np.full(6, 0.05)).occupied(200)
    np.testing.assert_allclose(np.bincount(draws, minlength=7) / 4000, expected, atol=0.03)
    with pytest.raises(PriorError, match="how many components"):
        bg.Dirichlet(1.0).occupied(10)
    with pytest.raises(PriorError, match="differ in concentration"):
        bg.Dirichlet([1.0, 2.0]).occupied(10)
