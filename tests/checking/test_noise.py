"""Model checks, diagnosis, refits and other priors with a noise component."""

import functools
import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
from oracles.effort import WHOLE
from scipy import stats

import bayesgmm as bg
from bayesgmm.checking.simulations import OUTSIDE
from bayesgmm.data.noise import Noise
from bayesgmm.diagnosis.label_invariant_view import label_invariant_view
from bayesgmm.diagnosis.words import words
from bayesgmm.errors import LooWarning
from bayesgmm.problem import prepare
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.simulate import predictive
from bayesgmm.results.verdict import mixing_words, tempering_takes
from bayesgmm.runtime.arguments import as_key
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Stopwatch
from bayesgmm.sweep.per_row import distribution_functions

MEANS, SPREADS = [[-2.0, 0.0], [2.0, 1.0]], [[[1.0, 0.6], [0.6, 1.0]], [[0.7, -0.4], [-0.4, 1.2]]]
PRIOR = bg.Prior(bg.Dirichlet(2.0), bg.NormalInverseWishart([0.0, 0.0], 0.2, 6.0, np.eye(2)))
VOLUME = 15.0**2


@functools.cache
def rows():
    """232 rows of two Gaussians and 40 of noise, as in tests/engines/test_noise.py."""
    gaussian = bg.from_parameters([0.4, 0.6], MEANS, SPREADS).sample(232, 3)[1]
    return np.concatenate([gaussian, np.random.default_rng(3).uniform(-7.0, 7.0, (40, 2))])


@functools.cache
def gibbs():
    return bg.sample_gibbs(rows(), 2, prior=PRIOR, noise=VOLUME, num_warmup=200, num_samples=300, seed=1)


@functools.cache
def draws():
    """Independent draws near the truth, with an accurate likelihood, in the place of a sampler's."""
    rng = np.random.default_rng(6)
    with scope("float64"):
        model = prepare(bg.rows(rows(), noise=VOLUME), 2, PRIOR).model
    noise = model.table.noise
    weights = rng.dirichlet([92.0, 140.0, 40.0], (4, 100))
    means = np.array([*MEANS, noise.center]) + np.array([[0.1], [0.1], [0.0]]) * rng.normal(size=(4, 100, 3, 2))
    theta = bg.Params.of(weights, means, np.broadcast_to([*SPREADS, noise.covariance], (4, 100, 3, 2, 2)))
    parts = [
        stats.multivariate_normal(cov=cov).logpdf(rows() - mean[..., None, :])
        for cov, mean in zip(SPREADS, np.moveaxis(means, 2, 0)[:2], strict=True)
    ]
    scores = np.log(np.moveaxis(weights, 2, 0))[..., None] + np.stack(
        [*parts, np.full_like(parts[0], -math.log(VOLUME))]
    )
    values = np.logaddexp.reduce(scores, axis=0).sum(axis=-1)
    one = bg.Params(*(np.asarray(part)[0, 0] for part in theta))
    still = np.broadcast_to(np.arange(3), (4, 100, 3))
    return Posterior(
        theta, values, np.zeros((4, 100)), {}, "gibbs", model, {}, one, still, 0, False, Stopwatch(), 0, None
    )


@pytest.mark.parametrize("angle", [0.0, 0.5])
def test_margins_of_the_box_are_sums_of_uniform_variables(angle):
    """Exactly: a trapezium in a rotated box, and a uniform distribution in one that is not; against integrals."""
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    box = Noise(np.array([1.0, -2.0]), turn * [3.0, 5.0], math.log(15.0))
    long, short = 3.0 * math.cos(angle), 5.0 * math.sin(angle)
    at = np.linspace(-5.0, 7.0, 101)
    edges = np.array([[1.0, 1.0], [1.0, -1.0], [-1.0, 1.0], [-1.0, -1.0]]) @ [long / 2, short / 2]
    if angle:  # the second antiderivative of the density has kinks at the four corners
        signs, parts = [1.0, -1.0, -1.0, 1.0], np.maximum(at[:, None] - 1.0 - edges[::-1], 0.0) ** 2
        exact = parts @ signs / (2.0 * long * short)
    else:
        exact = stats.uniform.cdf(at, -0.5, 3.0)
    np.testing.assert_allclose(box.distribution_of(0, at), exact, atol=2e-6)
    inside = box.sample(np.random.default_rng(0), (500,))
    assert box.holds(inside)
    assert not box.holds(1.05 * (inside - box.center) + box.center)


def test_predictive_probabilities_are_those_of_gaussians_and_box():
    """The distribution functions behind LOO-PIT, against SciPy."""
    weights, means, trils = (np.asarray(part).reshape(-1, *part.shape[2:]) for part in draws().params)
    of_draws = np.random.default_rng(0).dirichlet(np.ones(400), 272).T
    found = distribution_functions(bg.Params(weights, means, trils), draws().table, draws().frame, of_draws)
    sds = np.sqrt((trils**2).sum(axis=-1))
    side = math.sqrt(VOLUME) * np.ptp(rows(), axis=0) / math.sqrt(np.prod(np.ptp(rows(), axis=0)))
    middle = 0.5 * (rows().min(axis=0) + rows().max(axis=0))
    for row, d in ((0, 0), (250, 1)):
        gaussian = stats.norm.cdf(rows()[row, d], means[:, :2, d], sds[:, :2, d])
        box = stats.uniform.cdf(rows()[row, d], middle[d] - side[d] / 2, side[d])
        below = (weights[:, :2] * gaussian).sum(axis=1) + weights[:, 2] * box
        np.testing.assert_allclose(found[row, d], of_draws[:, row] @ below, atol=1e-9)
        wrong = (weights * stats.norm.cdf(rows()[row, d], means[..., d], sds[..., d])).sum(axis=1)
        assert abs(found[row, d] - of_draws[:, row] @ wrong) > 1e-4  # a Gaussian in place of the box


@WHOLE
def test_all_checks_run_and_find_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", LooWarning)
        found = bg.check(gibbs())
    assert found.uniformity.min() > 0.01
    assert found.predictive.surprising.empty
    assert found.loo.pareto_k.max() < 0.7


def test_replicates_have_rows_of_noise():
    """Their tails and their share of noise are those of the data; as Gaussians, rows of noise lie farther out."""
    found = bg.predictive_checks(draws(), num=200)
    assert found.surprising.empty
    summary = found.summary()
    share = (draws().predict_proba().argmax(axis=1) == 2).mean()
    np.testing.assert_allclose(summary.loc["share of rows [noise]", "observed"], share, atol=0.02)
    np.testing.assert_allclose(summary.loc["share of rows [noise]", "replicated"], share, atol=0.03)
    assert "share of rows [rank 2]" not in summary.index
    assert summary.loc["components with rows", "observed"] == 2
    noise = draws().table.noise
    drawn = predictive(as_key(0), draws().params, 50, noise)
    assert noise.holds(drawn[np.abs(drawn - noise.center).max(axis=-1) > 6.0])  # no Gaussian reaches so far
    assert not noise.holds(predictive(as_key(0), draws().params, 50))


@WHOLE
def test_a_diagnosis_and_its_file_agree(tmp_path):
    """The box of the noise is in the file; without it the file would be of three Gaussians."""
    found = bg.diagnose(gibbs(), search=False)
    assert found.status == "sound"
    tree = gibbs().datatree
    tree.to_netcdf(tmp_path / "gibbs.nc")
    import xarray as xr

    with xr.open_datatree(tmp_path / "gibbs.nc") as opened:
        again = bg.diagnose(opened.load())
    np.testing.assert_allclose(again.convergence, found.convergence, rtol=1e-9)
    tree.attrs = {name: value for name, value in tree.attrs.items() if not name.startswith("noise")}
    plain = label_invariant_view(tree)
    assert abs(plain["log_density"] - found.view["log_density"]).mean() > 0.01


def test_advice_on_chains_with_noise_can_be_taken():
    """No tempering, which Gibbs refuses with noise; the negative control is the same model without noise."""
    assert "tempering" not in mixing_words(replace(draws(), params=unmixed(draws().params)))
    assert not tempering_takes(draws())
    assert tempering_takes(replace(draws(), model=replace(draws().model, table=bg.rows(rows()))))
    found = bg.diagnose(replace(draws(), params=unmixed(draws().params)), search=False)
    assert found.mixing == "not mixed"
    assert "tempering" not in " ".join(words(found))


def unmixed(params):
    """Each chain with its own weight of the noise."""
    weights = np.array(params.weights)
    weights[..., 2] *= np.array([0.5, 0.8, 1.2, 1.6])[:, None]
    return params._replace(weights=weights / weights.sum(axis=-1, keepdims=True))


@pytest.mark.slow
def test_the_search_for_modes_finds_none_that_the_draws_lack():
    found = bg.diagnose(gibbs())
    assert found.searched
    assert found.missed is None


@pytest.mark.slow
def test_refits_keep_the_box():
    """kfold and loo agree on the rows; the prior's sensitivity is computed for the weight of the noise too."""
    folds = bg.kfold(gibbs(), k=4)
    elpd = bg.loo(gibbs())
    assert abs(folds.elpd - elpd.elpd) < 4.0
    table = bg.prior_sensitivity(gibbs())
    assert "weights[2]" in table.index
    assert np.isfinite(table["prior"]).all()
    assert not [name for name in table.index if name.startswith(("means[2", "covariances[2"))]


OTHERS = {
    "semi-conjugate": bg.NormalTimesInverseWishart([0.0, 0.0], 9.0 * np.eye(2), 6.0, np.eye(2)),
    "LKJ": bg.NormalTimesLKJ([0.0, 0.0], 9.0 * np.eye(2), 2.0, bg.HalfNormal(2.0)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_priors_are_those_of_the_gaussians(name):
    """log p(θ) with noise and without differ by the two Dirichlet densities; the noise has no term."""
    prior = bg.Prior(bg.Dirichlet(2.0), OTHERS[name])
    theta = bg.Params.of([0.3, 0.5, 0.2], [*MEANS, [0.0, 0.0]], [*SPREADS, 20.0 * np.eye(2)])
    alone = bg.Params.of([0.375, 0.625], MEANS, SPREADS)
    with scope("float64"):
        beside = prepare(bg.rows(rows(), noise=VOLUME), 2, prior).model.log_prior(theta)
        without = prepare(rows(), 2, prior).model.log_prior(alone)
    weights = [stats.dirichlet.logpdf(w, np.full(len(w), 2.0)) for w in (theta.weights, alone.weights)]
    np.testing.assert_allclose(beside - without, weights[0] - weights[1], rtol=1e-9)


@WHOLE
@pytest.mark.parametrize("name", OTHERS)
def test_samplers_under_other_priors_beside_noise(name):
    """NUTS against Gibbs where it takes the prior, and SVI where it does not (up to 0.3 sd)."""
    settings = {"prior": bg.Prior(bg.Dirichlet(2.0), OTHERS[name]), "noise": VOLUME, "seed": 2}
    nuts = bg.sample_nuts(rows(), 2, num_warmup=300, num_samples=500, **settings)
    assert nuts.mixed
    center = nuts.table.noise.center
    np.testing.assert_allclose(np.asarray(nuts.params.means)[..., 2, :], np.broadcast_to(center, (4, 500, 2)))
    if name == "semi-conjugate":
        other = bg.sample_gibbs(rows(), 2, num_warmup=300, num_samples=500, **settings)
        assert bg.fit_em(rows(), 2, **settings).converged
    else:
        other = bg.fit_svi(rows(), 2, **settings)
    a, b = nuts.convergence, other.convergence
    near = 4.5 * np.hypot(a["mcse"], b["mcse"]) + (0.0 if name == "semi-conjugate" else 0.3 * a["sd"])
    assert (np.abs(a["mean"] - b["mean"]) <= near)[a["sd"] > 0].all()


@WHOLE
def test_calibration_keeps_the_box():
    """Data with a row outside are drawn again; an engine with another volume is found out."""
    prior = bg.Prior(bg.Dirichlet(3.0), bg.NormalInverseWishart([0.0, 0.0], 0.5, 12.0, 9.0 * np.eye(2)))
    settings = {"prior": prior, "num_warmup": 200, "num_samples": 250, "seed": 3}
    few = rows()[:60]
    assert bg.calibrate(bg.rows(few, noise=True), 2, n_sims=60, **settings).calibrated

    def wrong(x, n_components, **arguments):
        noise = replace(x.noise, log_volume=x.noise.log_volume + math.log(30.0))
        return bg.sample_gibbs(replace(x, noise=noise), n_components, **arguments)

    assert bg.calibrate(bg.rows(few, noise=True), 2, engine=wrong, n_sims=40, **settings).status == "not calibrated"
    far = bg.Prior(bg.Dirichlet(3.0), bg.NormalInverseWishart([500.0, 0.0], 0.5, 12.0, 9.0 * np.eye(2)))
    none = bg.calibrate(bg.rows(few, noise=True), 2, n_sims=1, **(settings | {"prior": far}))
    assert none.failures == (OUTSIDE,)
