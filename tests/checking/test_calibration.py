"""Simulation-based calibration: it passes a correct sampler, finds a wrong one, and resumes without loss."""

import json
import os
import signal
from functools import partial

import numpy as np
import pytest
from oracles.effort import WHOLE
from scipy.stats import kstest

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, CheckpointError, DataError, FitError, PriorError
from bayesgmm.numerics.uniformity import holm, uniformity

PRIOR = bg.Prior(bg.Dirichlet(2.0), bg.NormalInverseWishart(0.0, 0.5, 5.0, 1.0))
X = np.linspace(-1.0, 1.0, 8)[:, None]
SHORT = {"prior": PRIOR, "num_warmup": 60, "num_samples": 150}


def wrong_prior(x, n_components, **settings):
    """An engine whose prior scale is a third of the stated one."""
    components = settings["prior"].components
    settings["prior"] = settings["prior"]._replace(components=components._replace(scale=components.scale / 3))
    return bg.sample_gibbs(x, n_components, **settings)


def test_gibbs_passes_and_a_wrong_prior_does_not():
    right = bg.calibrate(X, 2, n_sims=60, **SHORT)
    assert right.calibrated, right
    assert "no departure from calibration" in right.verdict()
    wrong = bg.calibrate(X, 2, n_sims=60, engine=wrong_prior, **SHORT)
    assert not wrong.calibrated
    assert wrong.engine == "wrong_prior"
    assert "not calibrated" in wrong.verdict()
    assert "too low" in wrong.verdict() or "too high" in wrong.verdict()
    assert wrong.plot().get_title(loc="left").endswith("not calibrated")
    assert "mixture_sd" in wrong._repr_html_()


def test_p_values_of_uniformity_are_uniform_and_see_departures(rng):
    p = np.array([uniformity(rng.random(60)) for _ in range(200)])
    assert kstest(p, "uniform").pvalue > 1e-3
    assert uniformity(rng.beta(0.6, 0.6, 150)) < 0.01  # posterior too narrow
    assert uniformity(rng.beta(2.0, 2.0, 150)) < 0.01  # posterior too wide
    assert uniformity(rng.beta(1.0, 1.6, 150)) < 0.01  # posterior too high


def test_holm_equals_the_formula():
    np.testing.assert_allclose(holm(np.array([0.01, 0.04, 0.03, 0.005])), [0.03, 0.06, 0.06, 0.02])


def test_goes_on_from_its_folder_and_keeps_what_ctrl_c_leaves(tmp_path):
    def stop(label, done, total, note):
        if done == 3:
            os.kill(os.getpid(), signal.SIGINT)

    cut = bg.calibrate(X, 2, n_sims=6, checkpoint=tmp_path, progress_bar=stop, **SHORT)
    assert cut.interrupted
    assert cut.num_sims == 3
    assert "too few simulations" in " ".join(repr(cut).split())
    file = tmp_path / "ranks.jsonl"
    file.write_text(file.read_text() + '{"pit": {"log')  # the process was killed in the middle of a line
    resumed = bg.calibrate(X, 2, n_sims=6, checkpoint=tmp_path, **SHORT)
    whole = bg.calibrate(X, 2, n_sims=6, **SHORT)
    assert not resumed.interrupted
    np.testing.assert_array_equal(resumed.pit, whole.pit)
    assert len(file.read_text().splitlines()) == 7
    with pytest.raises(CheckpointError, match="n_components: saved 2, now 3"):
        bg.calibrate(X, 3, n_sims=6, checkpoint=tmp_path, **SHORT)
    file.write_text(json.dumps("nothing")[:3])
    with pytest.raises(CheckpointError, match="cannot be used"):
        bg.calibrate(X, 2, n_sims=6, checkpoint=tmp_path, **SHORT)


@WHOLE
def test_any_callable_that_returns_a_posterior_serves_and_is_known_again_by_name(tmp_path):
    found = bg.calibrate(X, 1, engine=bg.fit_laplace, n_sims=2, num_samples=40, prior=PRIOR, checkpoint=tmp_path)
    assert found.engine == "fit_laplace"
    assert found.num_sims == 2
    with pytest.raises(CheckpointError, match=r"calibrate: saved 'bayesgmm.engines.variational.laplace.fit_laplace'"):
        bg.calibrate(X, 1, engine=bg.fit_cavi, n_sims=2, num_samples=40, prior=PRIOR, checkpoint=tmp_path)
    with pytest.raises(ArgumentError, match="by name"):
        bg.calibrate(X, 1, engine=lambda *a, **o: None, n_sims=2, prior=PRIOR, checkpoint=tmp_path)


@WHOLE
def test_ties_are_broken_at_random():
    """Under a tiny concentration, weights equal the smallest positive number both in θ and in the draws."""
    sparse = bg.Prior(bg.Dirichlet(0.001), PRIOR.components)
    found = bg.calibrate(X, 3, n_sims=60, prior=sparse, num_warmup=40, num_samples=80)
    assert found.summary().loc["sorted_weights[2]", "p"] > 0.01


def test_failures_are_reported():
    def moody(x, n_components, **settings):
        raise FitError("No mood today. Try tomorrow.")

    found = bg.calibrate(X, 2, n_sims=3, engine=moody, **SHORT)
    assert found.failures == ("No mood today",) * 3
    assert not found.calibrated
    assert "3 more failed (No mood today)" in found.verdict()


@pytest.mark.parametrize(
    ("arguments", "error", "words"),
    [
        ({"engine": "magic"}, ArgumentError, "Choose from cavi, svi, laplace, exact, gibbs, nuts"),
        ({"n_sims": 0}, ArgumentError, "n_sims"),
        ({"num_samples": 3}, ArgumentError, "num_samples"),
        ({"prior": None}, PriorError, "nothing to simulate from"),
        ({"n_components": 9}, DataError, "9"),
        ({"covariance_type": "VVE"}, ArgumentError, "VVE"),
    ],
)
def test_bad_input(arguments, error, words):
    with pytest.raises(error, match=words):
        bg.calibrate(X, **({"n_components": 2, "n_sims": 2} | SHORT | arguments))


def test_one_simulation_has_no_p_value_but_a_table():
    found = bg.calibrate(X, 2, n_sims=1, **SHORT)
    assert np.isnan(uniformity(np.array([0.3])))
    assert found.summary()["adjusted"].isna().all()
    assert "NaN" not in repr(found) + found._repr_html_()
    assert "–" in repr(found)
    with pytest.raises(ArgumentError, match="too few"):
        found.plot()


def test_options_are_known_by_name_where_there_is_a_folder(tmp_path):
    def engine(x, n_components, guide, **settings):
        return bg.sample_gibbs(x, n_components, **settings)

    assert bg.calibrate(X, 2, engine=engine, guide=partial(max), n_sims=1, **SHORT).num_sims == 1
    with pytest.raises(ArgumentError, match="by name"):
        bg.calibrate(X, 2, engine=engine, guide=partial(max), n_sims=1, checkpoint=tmp_path, **SHORT)


def test_families_without_direct_draws_are_refused():
    """Their prior cannot be simulated from, whoever the engine is."""

    def engine(x, n_components, **settings):
        raise AssertionError

    with pytest.raises(PriorError, match=r"no direct draws .* VEI"):
        bg.calibrate(np.random.default_rng(0).normal(size=(40, 2)), 2, engine=engine, covariance_type="VEI", n_sims=1)
    with pytest.raises(PriorError, match="no direct draws"):
        bg.sample_prior(np.random.default_rng(0).normal(size=(40, 2)), 2, covariance_type="VEI", num_samples=5)
