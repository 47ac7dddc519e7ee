"""The posterior of K of the galaxy data under Richardson & Green's prior, against Nmix and R's telescope; calibration."""

import numpy as np
import pytest
from arviz_stats.base import array_stats
from oracles.effort import SOME, WHOLE

import bayesgmm as bg
from bayesgmm.numerics.uniformity import uniformity

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


LOC, STRENGTH, DF, SCALE = 0.0, 0.1, 4.0, 1.0
CONCENTRATIONS = {"static": bg.Static(0.5), "dynamic": bg.Dynamic(bg.Gamma(2.0, 1.0))}
ROWS, MOST, SIMS = 12, 4, 200


def simulated(rng, concentration):
    """(K, K₊, concentration, log-likelihood) and rows, from the prior."""
    num = rng.integers(1, MOST + 1)
    value = 0.5 if isinstance(concentration, bg.Static) else rng.gamma(2.0, 1.0)
    gamma = value if isinstance(concentration, bg.Static) else value / num
    variances = SCALE / rng.chisquare(DF, num)
    means = LOC + np.sqrt(variances / STRENGTH) * rng.standard_normal(num)
    logs = np.log(rng.gamma(gamma + 1.0, size=num)) + np.log(rng.random(num)) / gamma
    weights = np.exp(logs - np.logaddexp.reduce(logs))
    z = rng.choice(num, ROWS, p=weights)
    x = means[z] + np.sqrt(variances[z]) * rng.standard_normal(ROWS)
    density = np.exp(-0.5 * (x[:, None] - means) ** 2 / variances) / np.sqrt(2 * np.pi * variances) @ weights
    return (num, len(np.unique(z)), value, np.log(density).sum()), x


def ranks(concentration, drawn, num_sims, seed=0):
    """Ranks of the truth among thinned draws, ties broken at random: (sim, quantity), uniform if calibrated."""
    rng, found = np.random.default_rng(seed), []
    prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(LOC, STRENGTH, DF, SCALE))
    for sim in range(num_sims):
        truth, x = simulated(rng, concentration)
        one = bg.sample_telescoping(
            x[:, None], prior=prior, components=bg.UniformComponents(MOST), concentration=drawn, num_warmup=200,
            num_samples=1000, num_chains=2, seed=sim, progress_bar=False,
        )  # fmt: skip
        draws = one.num_components, one.num_clusters, one.concentrations, one.log_likelihood
        ess = min(
            float(array_stats.ess(part.astype(float), chain_axis=0, draw_axis=1, method="mean"))
            for part in draws if np.ptp(part) > 0
        )  # fmt: skip
        step = int(np.ceil(2000 / min(max(ess, 20), 2000)))
        row = []
        for value, part in zip(truth, draws, strict=True):
            kept = part[:, ::step].ravel()
            less, equal = (kept < value - 1e-9).sum(), (np.abs(kept - value) <= 1e-9).sum()
            row.append((less + rng.random() * (equal + 1)) / (len(kept) + 1))
        found.append(row)
    return np.array(found)


@pytest.mark.parametrize("name", CONCENTRATIONS)
@SOME
def test_calibrated(name):
    """Simulation-based calibration (Talts et al. 2018), with K, weights and components drawn from the prior."""
    found = ranks(CONCENTRATIONS[name], CONCENTRATIONS[name], SIMS)
    p = [uniformity(column) for column in found.T]
    print("P", name, np.round(p, 3))
    assert min(p) > 0.002, p


@WHOLE
def test_calibration_finds_a_wrong_concentration():
    found = ranks(CONCENTRATIONS["static"], bg.Static(30.0), SIMS // 2)
    assert min(uniformity(column) for column in found.T[[0, 1, 3]]) < 1e-3
