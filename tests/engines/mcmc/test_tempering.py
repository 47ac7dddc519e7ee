"""Parallel tempering on a posterior with two known modes: against enumeration, and a wrong kernel must fail."""

import itertools
import warnings
from functools import cache

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from oracles import twins
from oracles.agreement import assert_same_mean, mean_and_error
from oracles.parameters import prior_of
from oracles.posteriors import RECTANGLE_HYPER, RECTANGLE_PRIOR, TINY, TINY_PRIOR, rectangle

import bayesgmm as bg
from bayesgmm.engines.mcmc import tempering
from bayesgmm.errors import ArgumentError, CheckpointError, MixingWarning
from bayesgmm.model.types import Frame, Stats
from bayesgmm.sweep.rows import to_rows


def pairs_together(posterior, x):
    """P(z_i = z_j | θ) of two rows one above the other, and of two rows side by side, (chain, draw)."""
    with jax.enable_x64(True):
        three = jnp.asarray(x[[0, 3, 6]])
        r = np.asarray(jax.vmap(jax.vmap(lambda theta: bg.responsibilities(theta, three)))(
            jax.tree.map(jnp.asarray, posterior.params)))  # fmt: skip
    return (r[:, :, 0] * r[:, :, 1]).sum(-1), (r[:, :, 0] * r[:, :, 2]).sum(-1)


def exact(x):
    labelings, p, _ = twins.enumerate_labelings(x, 2, **RECTANGLE_HYPER)
    return p[labelings[:, 0] == labelings[:, 3]].sum(), p[labelings[:, 0] == labelings[:, 6]].sum()


def test_tempering_mixes_where_plain_chains_do_not():
    x = rectangle()
    truth = exact(x)
    assert 0.7 < truth[0] < 0.8  # both modes have mass
    plain = bg.sample_gibbs(x, 2, prior=RECTANGLE_PRIOR, num_samples=500, seed=1)
    shares = pairs_together(plain, x)[0].mean(axis=1)
    assert shares.max() > 0.99 and shares.min() < 0.01 and not plain.mixed  # noqa: PT018
    tempered = bg.sample_gibbs(x, 2, prior=RECTANGLE_PRIOR, num_samples=4000, seed=1, tempering=8)
    for draws, value in zip(pairs_together(tempered, x), truth, strict=True):
        assert_same_mean(draws, value, 0.0, "P(z_i = z_j)")
    assert tempered.mixed
    assert tempered.sample_stats["round_trip"].sum(axis=1).min() > 20
    assert 0.2 < tempered.sample_stats["swap_acceptance"].mean() < 0.9


def rung_shares(num=6000):
    """P(z_i = z_j | θ) of the pairs of `TINY` at two temperatures with swaps, (chain, draw, temperature, pair)."""
    rows, columns = np.triu_indices(len(TINY), 1)
    with jax.enable_x64(True):
        prior = jax.tree.map(jnp.asarray, prior_of(**TINY_PRIOR).expand(2, 1))
        data = to_rows(TINY, Frame(np.zeros(1), np.ones(1)))

        def chain(key):
            key_start, key_run = jr.split(key)
            replicas = tempering.replicate(prior.sample(key_start), 2, 1)._replace(betas=jnp.array(LADDER))

            def turn(replicas, i):
                replicas, _ = tempering.tempered_sweep(jr.fold_in(key_run, i), replicas, i, jnp.asarray(0), prior, data)
                theta = replicas.params
                density = jax.vmap(lambda t: bg.log_joint(t, jnp.asarray(TINY)) - jnp.log(t.weights))(theta)
                r = jax.nn.softmax(jnp.log(theta.weights)[:, None] + replicas.betas[:, None, None] * density, axis=-1)
                return replicas, (r[:, rows] * r[:, columns]).sum(-1)

            return jax.lax.scan(turn, replicas, jnp.arange(num))[1]

        return np.asarray(jax.jit(jax.vmap(chain))(jr.split(jr.key(5), 4)))[:, num // 10 :]


LADDER = (1.0, 0.3)


@cache
def exact_rungs():
    """P(z_i = z_j) at each temperature by enumeration: conjugate normalising constants, statistics weighted by β."""
    labelings = np.array(list(itertools.product(range(2), repeat=len(TINY))))
    size = len(TINY) / 2
    shares = []
    with jax.enable_x64(True):
        prior = prior_of(**TINY_PRIOR).expand(2, 1)
        for beta in LADDER:
            logs = []
            for z in labelings:
                member = (z[:, None] == np.arange(2)).astype(float)
                n = member.sum(axis=0)
                means = (member.T @ TINY) / np.maximum(n, 1)[:, None]
                scatters = np.array([member[:, k] @ (TINY - means[k]) ** 2 for k in range(2)])[:, :, None]
                seen = prior.components.update(Stats(beta * n, means, beta * scatters, 0.0))
                weights = prior.weights.update(n + size * (1 - beta))
                logs.append(-float(seen.log_normaliser()) - float(weights.log_normaliser()))
            p = np.exp(np.array(logs) - max(logs))
            together = [labelings[:, i] == labelings[:, j] for i, j in zip(*np.triu_indices(len(TINY), 1), strict=True)]
            shares.append([p[same].sum() / p.sum() for same in together])
    return np.array(shares)


def test_every_temperature_has_its_posterior():
    """Exact by enumeration at β = 1 and β = 0.3, swaps included."""
    draws, truth = rung_shares(), exact_rungs()
    assert np.abs(truth[0] - truth[1]).max() > 0.05  # the two posteriors differ
    for rung, pair in np.ndindex(truth.shape):
        assert_same_mean(draws[:, :, rung, pair], truth[rung, pair], 0.0, f"rung {rung}, pair {pair}")


def test_a_wrong_swap_is_caught(monkeypatch):
    """Negative control: swaps that use half the energy difference give wrong posteriors."""
    fit_of_z = tempering._log_likelihood_given_z
    monkeypatch.setattr(tempering, "_log_likelihood_given_z", lambda params, stats: 0.5 * fit_of_z(params, stats))
    draws, truth = rung_shares(), exact_rungs()
    z = [
        (mean - truth[rung, pair]) / error
        for rung, pair in np.ndindex(truth.shape)
        for mean, error in [mean_and_error(draws[:, :, rung, pair])]
    ]
    assert np.abs(z).max() > 6.0


def test_resumes_bit_for_bit(tmp_path):
    x = rectangle()
    settings = {"prior": RECTANGLE_PRIOR, "num_warmup": 40, "num_chains": 2, "seed": 3, "tempering": 4}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MixingWarning)  # 30 draws are too few for a round trip
        whole = bg.sample_gibbs(x, 2, num_samples=30, **settings)
        half = bg.sample_gibbs(x, 2, num_samples=10, checkpoint=tmp_path / "run", **settings)
        resumed = bg.sample_gibbs(x, 2, num_samples=30, checkpoint=tmp_path / "run", **settings)
    np.testing.assert_array_equal(resumed.log_likelihood, whole.log_likelihood)
    np.testing.assert_array_equal(half.extend(20).log_likelihood, whole.log_likelihood)
    with pytest.raises(CheckpointError, match="tempering"):
        bg.sample_gibbs(x, 2, num_samples=30, checkpoint=tmp_path / "run", **(settings | {"tempering": 5}))


def test_chains_without_round_trips_raise_a_warning():
    with pytest.warns(MixingWarning, match="far end of the ladder"):
        bg.sample_gibbs(
            rectangle(), 2, prior=RECTANGLE_PRIOR, num_warmup=2, num_samples=3, num_chains=2, tempering=4, seed=0
        )
    with pytest.raises(ArgumentError, match="tempering"):
        bg.sample_gibbs(rectangle(), 2, tempering=0)
