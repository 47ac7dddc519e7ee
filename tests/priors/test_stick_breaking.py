"""Weights by breaking sticks, against products of SciPy's Betas, quadrature and an optimiser."""

import itertools

import jax
import jax.random as jr
import numpy as np
import pytest
from scipy import optimize, special, stats

import bayesgmm as bg
from bayesgmm.errors import PriorError
from bayesgmm.numerics.gammas import log_gamma_ratio
from bayesgmm.priors.stick_order import log_order_ratio, size_biased_order
from bayesgmm.runtime.dtypes import scope

ALPHA, FIRST = np.array([1.7, 0.6, 2.5]), np.array([1.0, 0.8, 1.4])
STICKS = bg.StickBreaking(ALPHA, FIRST)
DP = bg.StickBreaking(2.3).expand(4)


def sticks_of(weights):
    return weights[:-1] / np.cumsum(weights[::-1])[::-1][:-1]


def log_density(weights, alpha, first):
    """Betas of the sticks, and the change of variables by a numerical determinant."""
    weights = np.asarray(weights, float)

    def free(part):
        return sticks_of(np.append(part, 1.0 - part.sum()))

    step = 1e-6
    moved = [(free(weights[:-1] + d) - free(weights[:-1] - d)) / (2 * step) for d in step * np.eye(len(weights) - 1)]
    return stats.beta(first, alpha).logpdf(sticks_of(weights)).sum() + np.log(abs(np.linalg.det(np.array(moved))))


@pytest.mark.parametrize(
    "prior", [STICKS, DP, DP.update(np.array([3.0, 0.0, 5.0, 1.0]))], ids=["arrays", "dp", "posterior"]
)
def test_density_is_that_of_the_sticks(prior, rng):
    for weights in rng.dirichlet(np.ones(4), size=4):
        found = prior.log_kernel(np.log(weights)) + prior.log_normaliser()
        assert found == pytest.approx(log_density(weights, prior.alpha, prior.first), abs=1e-6)


def test_density_integrates_to_one():
    """Over the triangle of the first two weights, by Gauss-Legendre nodes."""
    prior, (nodes, shares) = bg.StickBreaking(np.array([1.6, 2.2])), np.polynomial.legendre.leggauss(60)
    first, part = np.meshgrid(0.5 + 0.5 * nodes, 0.5 + 0.5 * nodes, indexing="ij")
    weights = np.stack([first, (1 - first) * part, (1 - first) * (1 - part)], axis=-1).reshape(-1, 3)
    with scope("float64"):
        logs = np.asarray(jax.vmap(lambda log: prior.log_kernel(log))(np.log(weights)))
    density = np.exp(logs + prior.log_normaliser()).reshape(first.shape)
    assert 0.25 * shares @ (density * (1 - first)) @ shares == pytest.approx(1.0, abs=1e-3)


def test_posterior_is_prior_times_likelihood(rng):
    """Conjugate: the log kernels differ by the multinomial log-likelihood at every point; not with other counts."""
    counts = np.array([4.0, 0.0, 2.5, 7.0])
    logs = np.log(rng.dirichlet(np.ones(4), size=5))
    posterior = STICKS.update(counts)
    apart = np.array([posterior.log_kernel(one) - STICKS.log_kernel(one) - counts @ one for one in logs])
    np.testing.assert_allclose(apart, 0.0, atol=1e-10)
    wrong = STICKS.update(counts[::-1])
    assert np.ptp([wrong.log_kernel(one) - STICKS.log_kernel(one) - counts @ one for one in logs]) > 0.1


def test_a_dirichlet_is_a_case_of_it(rng):
    """Connor & Mosimann (1969): with alpha_k = Σ_{j>k} first_j the weights are Dirichlet, last concentration alpha."""
    concentration = np.array([1.3, 0.4, 2.0, 0.9])
    after = concentration.sum() - np.cumsum(concentration)[:-1]
    sticks, dirichlet = bg.StickBreaking(after, concentration[:-1]), bg.Dirichlet(concentration)
    logs = np.log(rng.dirichlet(np.ones(4)))
    assert sticks.log_kernel(logs) == pytest.approx(dirichlet.log_kernel(logs))
    assert sticks.log_normaliser() == pytest.approx(dirichlet.log_normaliser())
    np.testing.assert_allclose(sticks.expected_log(), dirichlet.expected_log())
    np.testing.assert_allclose(sticks.expected_log_tails(), dirichlet.expected_log_tails(), atol=1e-14)
    same = [bg.StickBreaking(alpha).expand(k).exchangeable for alpha, k in ((2.0, 1), (1.0, 2), (1.0, 3), (2.0, 2))]
    assert same == [True, True, False, False]


def test_draws_and_expectations():
    draws = draws_of(STICKS)
    np.testing.assert_allclose(draws.sum(axis=1), 1.0, rtol=1e-5)
    sticks = draws[:, :-1] / (1.0 - np.cumsum(np.pad(draws, ((0, 0), (1, 0))), axis=1)[:, :-2])
    for stick, alpha, first in zip(sticks.T, ALPHA, FIRST, strict=True):
        assert stats.kstest(stick[::4], stats.beta(first, alpha).cdf).pvalue > 1e-3
    for found, values in ((STICKS.expected_log(), np.log(draws)), (STICKS.expected_log_tails(), _log_tails(draws))):
        error = values.std(axis=0) / np.sqrt(len(values)) + 1e-4
        assert (np.abs(found - values.mean(axis=0)) < 4 * error).all()


def draws_of(prior, num=20_000):
    with scope("float64"):
        return np.asarray(jax.jit(jax.vmap(lambda key: prior.sample(key)))(jr.split(jr.key(0), num)))


def _log_tails(weights):
    return np.log(np.cumsum(weights[..., ::-1], axis=-1)[..., ::-1])


def test_mode_is_that_of_an_optimiser():
    """In the weights, not in the sticks: the density of the last weights is bounded from alpha = K - 1 on."""
    prior = bg.StickBreaking(4.5).expand(4)
    for counts in (np.array([3.0, 1.0, 2.0, 4.0]), np.array([2.0, 0.0, 5.0, 1.0])):
        posterior = prior.update(counts)

        def loss(free, posterior=posterior):
            return -float(posterior.log_kernel(np.asarray(jax.nn.log_softmax(np.append(free, 0.0)), float)))

        options = {"xatol": 1e-9, "fatol": 1e-12, "maxiter": 4000}
        best = optimize.minimize(loss, np.zeros(3), method="Nelder-Mead", options=options)
        np.testing.assert_allclose(posterior.mode(), special.softmax(np.append(best.x, 0.0)), atol=2e-4)
    np.testing.assert_allclose(bg.StickBreaking([2.0, 1.0]).mode(), np.ones(3) / 3)  # flat over the weights: equal
    assert not prior.unbounded_at_zero
    assert bg.StickBreaking(2.9).expand(4).unbounded_at_zero
    assert bg.StickBreaking(4.0, 0.9).expand(4).unbounded_at_zero
    assert np.isnan(bg.StickBreaking(0.5).expand(4).mode()).any()


def test_kl_between_priors():
    """Against a Monte Carlo mean of the log ratio; between sticks, and from a Dirichlet to sticks."""
    components = bg.NormalInverseWishart(0.0, 1.0, 4.0, 1.0)
    other = bg.Prior(bg.StickBreaking(1.2), components).expand(4, 1)
    for weights in (STICKS, bg.Dirichlet(np.array([1.0, 2.0, 0.7, 1.5]))):
        one = bg.Prior(weights, components).expand(4, 1)
        logs = np.log(draws_of(weights))
        with scope("float64"):
            ratios = np.array(jax.vmap(lambda log, w=weights: w.log_kernel(log) - other.weights.log_kernel(log))(logs))
        ratios = ratios + float(weights.log_normaliser() - other.weights.log_normaliser())
        assert one.kl(other) == pytest.approx(ratios.mean(), abs=4 * ratios.std() / np.sqrt(len(ratios)) + 1e-4)


def test_occupied_components_are_those_of_all_labellings():
    rows, num, prior = 5, 3, bg.StickBreaking([0.8, 1.9], [1.0, 0.6])
    chances = np.zeros(num + 1)
    for z in itertools.product(range(num), repeat=rows):
        counts = np.bincount(z, minlength=num).astype(float)
        given = prior.update(counts)
        chances[(counts > 0).sum()] += np.exp(prior.log_normaliser() - given.log_normaliser())
    np.testing.assert_allclose(chances.sum(), 1.0)
    np.testing.assert_allclose(prior.occupied(rows), chances, atol=1e-12)
    np.testing.assert_allclose(prior.occupied(0), [1.0, 0.0, 0.0, 0.0])


def test_many_sticks_are_a_dirichlet_process():
    """K₊ of the Chinese restaurant process: a sum of independent Bernoullis (Antoniak 1974). Few sticks are not it."""
    rows, alpha = 30, 1.5
    expected = np.ones(1)
    for row in range(rows):
        chance = alpha / (alpha + row)
        expected = np.convolve(expected, [1 - chance, chance])
    found = bg.StickBreaking(alpha).occupied(rows, 60)
    np.testing.assert_allclose(found[: rows + 1], expected, atol=1e-9)
    assert np.abs(bg.StickBreaking(alpha).occupied(rows, 5) - expected[:6]).max() > 0.01


def test_partitions_of_many_sticks_are_those_of_a_dirichlet_process():
    """EPPF: α^K₊ Γ(α) / Γ(α + n) Π (n_k - 1)!, as the sum over the places of the blocks among 40 sticks."""
    alpha, num = 0.9, 40
    prior = bg.StickBreaking(alpha).expand(num)
    for sizes in ([4], [3, 1], [2, 2]):
        total = 0.0
        for places in itertools.permutations(range(num), len(sizes)):
            counts = np.zeros(num)
            counts[list(places)] = sizes
            total += np.exp(_log_probability(counts, prior))
        n, k = sum(sizes), len(sizes)
        logs = k * np.log(alpha) + special.gammaln(alpha) - special.gammaln(alpha + n) + special.gammaln(sizes).sum()
        assert total == pytest.approx(np.exp(logs), rel=1e-6)


def _log_probability(counts, prior):
    """``log p(z)`` with the sticks summed out."""
    after = counts.sum() - np.cumsum(counts)
    own = special.betaln(prior.first + counts[:-1], prior.alpha + after[:-1]) - special.betaln(prior.first, prior.alpha)
    return own.sum()


def test_orders_leave_the_posterior_of_the_order_unchanged():
    """All orders of four counts: the matrix of the move, from proposal and ratio, keeps p(order | partition)."""
    prior, counts = bg.StickBreaking(0.8).expand(4), np.array([5.0, 1.0, 0.0, 3.0])
    orders = list(itertools.permutations(range(4)))
    target = np.array([np.exp(_log_probability(counts[list(order)], prior)) for order in orders])
    target /= target.sum()
    drawn = np.zeros(24)
    sizes = np.where(counts > 0, counts, 0.8)  # one is empty
    for j, order in enumerate(orders):
        left = sizes[list(order)]
        drawn[j] = np.prod(left / np.cumsum(left[::-1])[::-1])
    every = counts[np.array(orders)]
    with scope("float64"):
        across = jax.vmap(jax.vmap(log_order_ratio, (None, None, 0)), (None, 0, None))
        ratios, found = np.asarray(across(prior, every, every)), _orders(prior, counts)
    chain = drawn * np.minimum(1.0, np.exp(ratios))
    chain += np.diag(1.0 - chain.sum(axis=1))
    np.testing.assert_allclose(target @ chain, target, atol=1e-12)
    # Other distributions change, and proposals without the Metropolis step have another one.
    assert np.abs(np.ones(24) / 24 @ chain - np.ones(24) / 24).max() > 0.01
    assert np.abs(drawn - target).max() > 0.01
    assert target @ np.minimum(1.0, np.exp(ratios)) @ drawn > 0.5  # share that is accepted
    shares = np.array([(found == np.array(order)).all(axis=1).mean() for order in orders])
    assert (np.abs(shares - drawn) < 4.5 * np.sqrt(drawn / len(found))).all()


def test_ratios_of_orders_keep_their_digits_in_single_precision():
    """Logs of gamma functions of a million rows are known to 1 in single precision; their ratios to 1e-5."""
    counts = np.array([400_003.0, 299_000.0, 5.0, 300_000.0])
    new = counts[[1, 2, 0, 3]]

    def exact(counts):
        alpha, first = np.broadcast_to(STICKS.alpha, 3), np.broadcast_to(STICKS.first, 3)
        after = np.cumsum(counts[::-1])[::-1]
        own = special.betaln(first + counts[:-1], alpha + after[1:]).sum()
        return own + np.log(after).sum()

    single = bg.StickBreaking(*(np.asarray(part, np.float32) for part in STICKS))
    found = log_order_ratio(single, np.asarray(counts, np.float32), np.asarray(new, np.float32))
    assert float(found) == pytest.approx(exact(new) - exact(counts), rel=1e-3)
    x, more = np.array([0.3, 7.9, 8.0, 20.0, 1e6]), np.array([0.5, 0.2, -0.5, 30.0, -0.7])
    with scope("float64"):
        ratio = np.asarray(log_gamma_ratio(x, more))
    np.testing.assert_allclose(ratio, special.gammaln(x + more) - special.gammaln(x), rtol=1e-8, atol=1e-9)


def test_weights_may_be_zero():
    flat = bg.StickBreaking([2.0, 1.0])  # the uniform distribution of three weights
    with np.errstate(divide="ignore"):
        assert float(flat.log_kernel(np.log([1.0, 0.0, 0.0]))) == 0.0


def _orders(prior, counts):
    return np.asarray(jax.vmap(lambda key: size_biased_order(key, prior, counts))(jr.split(jr.key(3), 20_000)))


@pytest.mark.parametrize(
    ("weights", "words"),
    [
        (bg.StickBreaking(0.0), "above 0"), (bg.StickBreaking(-1.0), "above 0"), (bg.StickBreaking(np.inf), "finite"),
        (bg.StickBreaking(1.0, 0.0), "above 0"), (bg.StickBreaking([1.0, 2.0]), "one for each stick"),
        (bg.StickBreaking("a"), "numbers"),
    ],
)  # fmt: skip
def test_other_sticks_are_refused(weights, words):
    prior = bg.Prior(weights, bg.NormalInverseWishart(0.0, 1.0, 4.0, 1.0))
    with pytest.raises(PriorError, match=words):
        bg.sample_gibbs(np.arange(6.0), 4, prior=prior)
