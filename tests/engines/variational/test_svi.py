"""Stochastic variational inference: a lower bound, nearly exact with one component; batches; any prior."""

import signal
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import twins
from oracles.effort import WHOLE

import bayesgmm as bg
from bayesgmm.engines.variational import svi
from bayesgmm.errors import ArgumentError, PriorError
from bayesgmm.model.types import Frame
from bayesgmm.runtime.dtypes import scope
from bayesgmm.sweep.rows import to_rows


@pytest.fixture(scope="module")
def faithful():
    return bg.load_dataset("faithful")


@WHOLE
def test_one_component_is_nearly_exact(faithful):
    """The bound of a dense Gaussian guide is within 0.05 of the evidence; that of a diagonal guide is lower."""
    loc, strength, df, scale = (part[0] for part in bg.default_prior(faithful, 1).components)
    evidence = twins.log_evidence_niw(faithful.to_numpy(), loc, strength, df, scale)
    dense = bg.fit_svi(faithful, 1, seed=1)
    assert evidence - 0.05 < dense.elbo < evidence + 4 * dense.elbo_error
    assert dense.trusted
    normal = bg.fit_svi(faithful, 1, guide="normal", seed=1)
    assert normal.elbo + 3 * normal.elbo_error < dense.elbo


@pytest.mark.slow
def test_batches_come_to_the_same_posterior(faithful):
    """Against Laplace's evidence, and against the means and sds of Gibbs; 64 of 272 rows per step."""
    gibbs = bg.sample_gibbs(faithful, 2, num_warmup=200, num_samples=500, seed=1)
    found = bg.fit_svi(faithful, 2, batch_size=64, num_steps=3000, seed=2)
    laplace = bg.fit_laplace(faithful, 2, num_samples=50)
    assert laplace.log_evidence - 0.3 < found.elbo < laplace.log_evidence + 0.2
    ours, theirs = (result.params.means.reshape(-1, 2, 2) for result in (found, gibbs))
    np.testing.assert_allclose(ours.mean(axis=0), theirs.mean(axis=0), rtol=0.01)
    np.testing.assert_allclose(ours.std(axis=0), theirs.std(axis=0), rtol=0.2)
    assert found.params.means.shape == (4, 1000, 2, 2)
    assert "SVI, guide dense" in " ".join(repr(found).split())


@pytest.mark.slow
def test_a_nonconjugate_prior_and_custom_guide(faithful):
    from numpyro.infer.autoguide import AutoLowRankMultivariateNormal

    prior = bg.Prior(
        bg.Dirichlet(2.0), bg.NormalTimesLKJ([3.5, 70.0], np.diag([4.0, 400.0]), 2.0, bg.HalfNormal([1.0, 10.0]))
    )
    found = bg.fit_svi(
        faithful, 2, prior=prior, covariance_type="tied", guide=AutoLowRankMultivariateNormal, num_steps=3000
    )
    laplace = bg.fit_laplace(faithful, 2, prior=prior, covariance_type="tied", num_samples=50)
    assert found.elbo == pytest.approx(laplace.log_evidence, abs=0.6)
    assert found.guide == "AutoLowRankMultivariateNormal"


def test_seed_ctrl_c_and_bad_input(faithful):
    short = {"num_steps": 200, "num_samples": 20, "init": "dispersed", "guide": "normal"}
    one, two = (bg.fit_svi(faithful, 2, seed=4, **short) for _ in range(2))
    np.testing.assert_array_equal(one.params.means, two.params.means)

    def press(label, done, total, note):
        if done >= 100:
            signal.raise_signal(signal.SIGINT)

    cut = bg.fit_svi(faithful, 2, seed=4, progress_bar=press, **short)
    assert cut.interrupted
    assert len(cut.trace) < 200
    with pytest.raises(ArgumentError, match="low_rank"):
        bg.fit_svi(faithful, 2, guide="rich")
    with pytest.raises(ArgumentError, match="batch_size"):
        bg.fit_svi(faithful, 2, batch_size=0)
    with pytest.raises(ArgumentError, match="learning_rate"):
        bg.fit_svi(faithful, 2, learning_rate=-1.0)
    with pytest.raises(PriorError, match="proper prior"):
        bg.fit_svi(faithful, 2, prior=None)


@pytest.mark.parametrize("offset", [0, 1])
def test_rows_are_taken_as_asked(rng, monkeypatch, offset):
    """From a copy and from a view, including the head of a view that does not start on a boundary."""
    flat = rng.normal(size=9001 * 3 + offset)
    x = flat[offset:].reshape(-1, 3)
    frame = Frame(x.mean(axis=0), x.std(axis=0))
    wanted = np.array([0, 1, 2, 17, 4096, 9000])
    for limit in (2**26, 0):
        monkeypatch.setattr("bayesgmm.sweep.rows.VIEW_BYTES", limit)
        with scope("float64"):
            rows = to_rows(x, frame)
            got = jax.jit(lambda rows: rows.take(jnp.asarray(wanted)).x)(rows)
            np.testing.assert_allclose(got[0, 1:].T, ((x - frame.center) / frame.scale)[wanted], rtol=1e-12)
            assert (np.asarray(got[0, 0]) == 1).all()


def test_every_guide_begins_at_the_start(faithful):
    """The first bound depends on the start, also for a flow guide, which has no location parameter."""
    short = {"guide": "flow", "num_steps": 1, "num_samples": 10, "num_chains": 1}
    near, far = (
        bg.fit_svi(faithful, 1, init=bg.Params.of([1.0], [mean], [np.diag([1.3, 185.0])]), **short).trace[0]
        for mean in ([3.5, 71.0], [90.0, 900.0])
    )
    assert near > far + 10_000


@WHOLE
def test_a_flow_comes_to_the_better_optimum(rng):
    x = rng.normal(size=(180, 2)) + np.repeat([[0.0, 0.0], [6.0, 6.0], [6.0, -6.0]], 60, axis=0)
    dense, flow = (bg.fit_svi(x, 3, guide=guide) for guide in ("dense", "flow"))
    assert flow.elbo > dense.elbo - 1.0


def test_a_guide_that_cannot_be_drawn_from_is_refused_before_the_steps(faithful):
    from numpyro.infer import autoguide

    def heard(*args):
        raise AssertionError("a step was made")

    for guide in (autoguide.AutoNormal, autoguide.AutoDelta, autoguide.AutoBNAFNormal, autoguide.AutoDAIS):
        with pytest.raises(ArgumentError, match=f"{guide.__name__} cannot be used"):
            bg.fit_svi(faithful, 1, guide=guide, init="dispersed", num_steps=100, progress_bar=heard)


def test_one_draw_has_no_standard_error(faithful):
    assert svi._standard_error(np.array([1.0, 3.0])) == pytest.approx(1.0)
    short = {"num_steps": 200, "num_samples": 20, "init": "dispersed", "guide": "normal"}  # compiled by a test above
    alone = replace(bg.fit_svi(faithful, 2, **short), elbo_error=svi._standard_error(np.array([1.0])))
    assert "± –" in " ".join(repr(alone).split())
