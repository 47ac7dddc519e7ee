"""The pass over the rows: statistics against formulas in any blocks, derivatives, far and tight clusters, precision."""

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from oracles.parameters import random_params

import bayesgmm as bg
import bayesgmm.sweep.statistics as module
from bayesgmm.model import mixture
from bayesgmm.model.mixture import log_joint_scorer
from bayesgmm.model.types import Frame
from bayesgmm.sweep.e_step import average, draw, maximise
from bayesgmm.sweep.likelihood import log_likelihood
from bayesgmm.sweep.rows import View, to_rows
from bayesgmm.sweep.statistics import sweep

UNIT = Frame(np.zeros(3), np.ones(3))


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


def arrays(params):
    return jax.tree.map(jnp.asarray, params)


def textbook(r, x):
    counts = r.sum(axis=0)
    means = (r.T @ x) / counts[:, None]
    scatters = [np.einsum("n,nd,ne->de", r[:, k], x - means[k], x - means[k]) for k in range(len(counts))]
    return counts, means, np.array(scatters)


@pytest.mark.parametrize("chunk", [16, 100, 4096])
def test_averaged_statistics_equal_the_formulas_in_any_chunking(rng, chunk):
    x, params = rng.normal(size=(100, 3)) * 2, random_params(5)
    stats = sweep(jr.key(0), log_joint_scorer(arrays(params)), to_rows(x, UNIT, chunk=chunk), average)
    counts, means, scatters = textbook(bg.responsibilities(params, x), x)
    np.testing.assert_allclose(stats.counts, counts, rtol=1e-12)
    np.testing.assert_allclose(stats.means, means, rtol=1e-11)
    np.testing.assert_allclose(stats.scatters, scatters, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(stats.value, bg.log_likelihood(params, x), rtol=1e-12)


def test_maximised_assignments(rng):
    x, params = rng.normal(size=(50, 3)), random_params(6)
    joint = np.asarray(bg.log_joint(params, x))
    stats = sweep(jr.key(0), log_joint_scorer(arrays(params)), to_rows(x, UNIT), maximise)
    counts, _, scatters = textbook(np.eye(2)[joint.argmax(axis=1)], x)
    np.testing.assert_array_equal(stats.counts, counts)
    np.testing.assert_allclose(stats.scatters, scatters, rtol=1e-10)
    np.testing.assert_allclose(stats.value, joint.max(axis=1).sum(), rtol=1e-12)


def test_drawn_assignments_have_the_right_frequencies(rng):
    x, params = rng.normal(size=(1, 3)), random_params(7)
    scores = log_joint_scorer(arrays(params))
    many = jnp.repeat(scores.scores(scores.residuals(jnp.asarray(x).T)), 40_000, axis=1)
    z, value = draw(jr.key(1), many)
    assert set(np.unique(z)) <= {0.0, 1.0}
    np.testing.assert_array_equal(np.asarray(z).sum(axis=0), 1.0)
    p = np.asarray(bg.responsibilities(params, x))[0]
    np.testing.assert_allclose(np.asarray(z).mean(axis=1), p, atol=4 * np.sqrt(p[0] * p[1] / 40_000))
    np.testing.assert_allclose(value[0], bg.log_density(params, x)[0])


def test_fishers_identity_is_the_gradient(rng):
    """The gradient from the statistics equals automatic differentiation of the marginal log-likelihood."""
    x, params = rng.normal(size=(300, 3)), arrays(random_params(8))
    rows = to_rows(x, UNIT, chunk=128)
    ours = jax.grad(log_likelihood)(params, rows)
    plain = jax.grad(mixture.log_likelihood)(params, jnp.asarray(x))
    np.testing.assert_allclose(ours.weights, plain.weights, rtol=1e-10)
    np.testing.assert_allclose(ours.means, plain.means, rtol=1e-9)
    np.testing.assert_allclose(ours.scale_trils, np.tril(plain.scale_trils), rtol=1e-8, atol=1e-9)


def test_second_derivatives_see_the_statistics_move(rng):
    x, params = rng.normal(size=(60, 3)), arrays(random_params(9))
    rows = to_rows(x, UNIT)
    ours = jax.hessian(lambda m: log_likelihood(params._replace(means=m), rows))(params.means)
    plain = jax.hessian(lambda m: mixture.log_likelihood(params._replace(means=m), jnp.asarray(x)))(params.means)
    np.testing.assert_allclose(ours, plain, rtol=1e-8, atol=1e-8)


def test_tight_cluster_far_from_the_centre_keeps_its_digits(rng):
    """Relative width 1e-5: raw second moments would lose ten digits; whitened residuals lose none."""
    tight = 3.0 + 1e-5 * rng.normal(size=(200, 3))
    x = np.concatenate([tight, rng.normal(size=(200, 3)) * 2 - 3])
    z = np.repeat([0, 1], 200)
    covariances = [np.cov(x[z == k].T, bias=True) for k in range(2)]
    params = bg.Params.of([0.5, 0.5], [x[z == k].mean(axis=0) for k in range(2)], covariances)
    stats = sweep(jr.key(0), log_joint_scorer(arrays(params)), to_rows(x, UNIT), average)
    np.testing.assert_allclose(stats.scatters[0], 200 * covariances[0], rtol=1e-9)


def test_single_precision_is_right(rng):
    x, params = rng.normal(size=(3000, 3)), random_params(10)
    exact = sweep(jr.key(0), log_joint_scorer(arrays(params)), to_rows(x, UNIT), average)
    single = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), params)
    rough = sweep(jr.key(0), log_joint_scorer(single), to_rows(x, UNIT, np.float32), average)
    assert rough.value.dtype == jnp.float32
    np.testing.assert_allclose(rough.scatters, exact.scatters, rtol=1e-3, atol=1e-2)
    np.testing.assert_allclose(rough.value, exact.value, rtol=1e-5)


def test_padding_never_touches_the_sums(rng):
    """A padded row scores -inf or NaN for a singular component; its contribution must be exactly zero."""
    x, params = rng.normal(size=(33, 3)), random_params(11)
    whole = sweep(jr.key(0), log_joint_scorer(arrays(params)), to_rows(x, UNIT, chunk=33), average)
    padded = sweep(jr.key(0), log_joint_scorer(arrays(params)), to_rows(x, UNIT, chunk=32), average)
    np.testing.assert_allclose(padded.value, whole.value, rtol=1e-13)
    assert float(padded.counts.sum()) == pytest.approx(33)


@pytest.mark.parametrize("offset", range(8))
def test_large_data_are_read_in_place(rng, monkeypatch, offset):
    """For any address of the array and any N, a view of the user's memory gives the same sums as a copy."""
    monkeypatch.setattr("bayesgmm.sweep.rows.chunk_rows", lambda dim: 64)
    num, frame = 301 + offset, Frame(np.array([0.5, -1.0, 2.0]), np.array([2.0, 0.5, 3.0]))
    memory = np.empty(3 * num + 8)
    start = (-memory.ctypes.data % 64) // 8 + offset
    x = memory[start % 8 : start % 8 + 3 * num].reshape(num, 3)
    x[:] = rng.normal(size=(num, 3))
    params = random_params(12)
    copied = to_rows(x, frame, chunk=64)
    monkeypatch.setattr("bayesgmm.sweep.rows.VIEW_BYTES", 0)
    viewed = to_rows(x, frame)
    assert isinstance(viewed, View)
    assert x.ctypes.data <= viewed.flat.unsafe_buffer_pointer() <= x.ctypes.data + 64 * 3 * 8
    for assign in (average, draw):  # a draw of z follows the row, wherever it is read
        one, two = (sweep(jr.key(0), log_joint_scorer(arrays(params)), rows, assign) for rows in (copied, viewed))
        for a, b in zip(one, two, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-11)
        assert float(two.counts.sum()) == pytest.approx(num)
    some = np.array([0, 5, 63, 64, 70, 200, num - 1])
    np.testing.assert_allclose(viewed.take(some).x, copied.take(some).x, rtol=1e-14)


def test_both_routes_give_the_same_statistics(rng):
    x, params = rng.normal(size=(500, 3)), arrays(random_params(3))
    rows, scorer = to_rows(x, UNIT, chunk=128), log_joint_scorer(params)
    one, two = (
        route(jr.key(0), scorer, rows, {}, assign=average) for route in (module._by_moments, module._by_residuals)
    )
    for a, b in zip(one, two, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


def test_the_route_is_chosen_by_measured_conditioning():
    """Wide clusters lose few digits; a width of 1e-3, or of 0.1 in single precision, would lose too many."""
    for width, dtype, moments in ((0.5, np.float64, True), (1e-3, np.float64, False), (0.1, np.float32, False)):
        params = bg.Params.of([1.0], np.zeros((1, 3)), [np.eye(3) * width**2])
        scorer = log_joint_scorer(jax.tree.map(lambda leaf, dtype=dtype: jnp.asarray(leaf, dtype), params))
        assert bool(module.few_digits_at_stake(scorer)) == moments
