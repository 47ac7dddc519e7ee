"""The posterior of K of the galaxy data under Richardson & Green's prior, against Nmix and R's telescope; calibration."""

from dataclasses import replace

import numpy as np
import pytest
from arviz_stats.base import array_stats
from oracles.effort import SOME, WHOLE

import bayesgmm as bg
from bayesgmm.engines.engine import find_engine, register, unregister

pytestmark = pytest.mark.slow

PRIORS = {
    "RG_unif30_static_e0=1": bg.UniformComponents(30),
    "BNB143_static_e0=1": bg.BetaNegativeBinomialComponents(1.0, 4.0, 3.0),
    "Geom(0.1)_static_e0=1": bg.GeometricComponents(0.1),
}


def richardson_green(x):
    """``μ ~ N(middle, R²)``, ``1/σ² ~ Gamma(2, β)``, ``β ~ Gamma(0.2, 10 / R²)``."""
    low, high = float(x.min()), float(x.max())
    square = (high - low) ** 2
    components = bg.HierarchicalInverseWishart(0.5 * (low + high), square, 4.0, 0.4, square / 10.0)
    return bg.Prior(weights=bg.Dirichlet(1.0), components=components)


def differences(found, probabilities, errors, least=0.02):
    """z of each P(K = k) or P(K₊ = k) above `least`; the ESS of each is at least 100."""
    scores = {}
    for k, (theirs, error) in enumerate(zip(probabilities, errors, strict=True), 1):
        if theirs >= least:
            draws = (found == k).astype(float)
            assert float(array_stats.ess(draws, chain_axis=0, draw_axis=1, method="mean")) > 100, k
            ours = float(array_stats.mcse(draws, chain_axis=0, draw_axis=1))
            scores[k] = (draws.mean() - theirs) / np.hypot(ours, error)
    return scores


@pytest.mark.parametrize("name", PRIORS)
@WHOLE
def test_posterior_of_k_is_the_published_one(name, truth, reference_data):
    x = reference_data["galaxy_corrected"].to_numpy()
    found = bg.sample_telescoping(
        x, prior=richardson_green(x), components=PRIORS[name], concentration=bg.Static(1.0), max_components=30,
        num_warmup=2000, num_samples=40_000, progress_bar=False,
    )  # fmt: skip
    references = truth("posterior_of_k")
    theirs = next(one for one in references["telescope"] if one["id"] == name)
    for drawn, key in ((found.num_components, "p_K"), (found.num_clusters, "p_Kplus")):
        scores = differences(drawn, theirs[key], theirs[f"{key}_se"])
        print("Z", name, key, {k: round(float(z), 1) for k, z in scores.items()})
        assert max(map(abs, scores.values())) < 4.0, (key, scores)
    if name.startswith("RG"):
        nmix = next(one for one in references["nmix"] if one["qbeta"] == 1)
        scores = differences(found.num_components, nmix["p_k_mean"], nmix["p_k_se"])
        print("Z Nmix", {k: round(float(z), 1) for k, z in scores.items()})
        assert max(map(abs, scores.values())) < 4.0, scores
    elif name.startswith("BNB"):  # the references tell these priors apart
        uniform = next(one for one in references["nmix"] if one["qbeta"] == 1)
        wrong = differences(found.num_components, uniform["p_k_mean"], uniform["p_k_se"], 0.15)
        assert max(map(abs, wrong.values())) > 4.0


CONCENTRATIONS = {"static": bg.Static(0.5), "dynamic": bg.Dynamic(bg.Gamma(2.0, 1.0))}
CALIBRATION = {
    "prior": bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(0.0, 0.1, 4.0, 1.0)),
    "components": bg.UniformComponents(4), "num_warmup": 200, "num_samples": 1000,
}  # fmt: skip
ROWS = np.linspace(-3.0, 3.0, 12)[:, None]


@pytest.mark.parametrize("name", CONCENTRATIONS)
@SOME
def test_calibrated(name):
    """Simulation-based calibration (Talts et al. 2018), with K, weights and components drawn from the prior."""
    found = bg.calibrate(ROWS, engine="telescoping", concentration=CONCENTRATIONS[name], n_sims=200, **CALIBRATION)
    print(found)
    assert {"num_components", "num_clusters", "log_likelihood"} <= set(found.pit.columns)
    assert ("concentration" in found.pit.columns) == (name == "dynamic")
    assert found.calibrated, found


@pytest.fixture
def wrong():
    """The sampler under another concentration than it is asked for."""

    def sample_wrongly(x, **settings):
        return bg.sample_telescoping(x, **settings | {"concentration": bg.Static(30.0)})

    register("wrong", replace(find_engine("telescoping"), name="wrong", whole=sample_wrongly))
    yield "wrong"
    unregister("wrong")


@WHOLE
def test_calibration_finds_a_wrong_concentration(wrong):
    found = bg.calibrate(ROWS, engine=wrong, concentration=CONCENTRATIONS["static"], n_sims=100, **CALIBRATION)
    assert not found.calibrated
