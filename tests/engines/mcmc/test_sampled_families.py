"""Samplers of restricted covariances: against enumeration and against each other; draws stay in the family."""

import jax
import numpy as np
import pytest
from oracles import twins
from oracles.agreement import assert_same_mean, mean_and_error
from oracles.effort import SOME, WHOLE

import bayesgmm as bg
from bayesgmm.model.families import CONJUGATE, FAMILIES
from bayesgmm.priors.prior import within_family

FEW = np.array([[-1.6, 0.4], [-1.1, 1.3], [0.2, -0.3], [0.9, 0.8], [1.3, 2.1], [2.2, 1.0]])
HYPER = {"concentration": 1.5, "loc": np.array([0.3, 0.7]), "strength": 0.5, "df": 4.0,
         "scale": np.array([[1.2, 0.3], [0.3, 0.5]])}  # fmt: skip
PRIOR = bg.Prior(bg.Dirichlet(HYPER["concentration"]),
                 bg.NormalInverseWishart(HYPER["loc"], HYPER["strength"], HYPER["df"], HYPER["scale"]))  # fmt: skip
RESTRICTED = [name for name in CONJUGATE if name != "VVV"]


def coassignment(posterior, x):
    """P(z_i = z_j | θ) for each pair of rows, (chain, draw, pair)."""
    weights, means, trils = posterior.params
    white = np.linalg.solve(trils[:, :, None], (x[:, None] - means[:, :, None])[..., None])[..., 0]
    log_scale = np.log(np.diagonal(trils, axis1=-2, axis2=-1)).sum(axis=-1)
    score = np.log(weights)[:, :, None] - 0.5 * (white**2).sum(axis=-1) - log_scale[:, :, None]
    r = np.exp(score - np.logaddexp.reduce(score, axis=-1, keepdims=True))
    rows, columns = np.triu_indices(len(x), 1)
    return (r[:, :, rows] * r[:, :, columns]).sum(axis=-1)


def test_reference_evidence_of_vvv_is_niw():
    """The reference formula for VVV equals the normal-inverse-Wishart evidence of the other tests."""
    z = np.array([0, 0, 1, 0, 1, 1])
    parts = {name: HYPER[name] for name in ("loc", "strength", "df", "scale")}
    expected = sum(twins.log_evidence_niw(FEW[z == k], **parts) for k in range(2))
    assert twins.log_evidence_family(FEW, z, 2, "VVV", **parts) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize(
    ("engine", "family"),
    [(bg.sample_gibbs, "EEE")]
    + [pytest.param(bg.sample_gibbs, name, marks=SOME) for name in ("VII", "EII", "EEI", "VVI")]
    + [pytest.param(bg.sample_nuts, name, marks=SOME) for name in RESTRICTED],
)
def test_posterior_of_z_is_that_of_all_labelings(engine, family):
    """The features have different scales, so a family applied in standardised coordinates would fail."""
    labelings, probabilities, _ = twins.enumerate_labelings(FEW, 2, **HYPER, family=family)
    posterior = engine(FEW, 2, covariance_type=family, prior=PRIOR, num_warmup=500, num_samples=2500, seed=3)
    draws = coassignment(posterior, FEW)
    for pair, (i, j) in enumerate(zip(*np.triu_indices(len(FEW), 1), strict=True)):
        exact = probabilities[labelings[:, i] == labelings[:, j]].sum()
        assert_same_mean(draws[:, :, pair], exact, 0.0, f"{family} P(z{i} = z{j})")


@pytest.mark.parametrize("family", RESTRICTED)
def test_prior_draws_have_the_stated_moments(family):
    """Inverse-gamma: E[σ²] = b / (a - 1). Inverse-Wishart: E[Σ] = scale / (df - D - 1). Normal: moments of μ | Σ."""
    prior = bg.Prior(bg.Dirichlet(2.0), PRIOR.components._replace(df=12.0)).expand(3, 2)
    with jax.enable_x64(True):
        belief = jax.tree.map(jax.numpy.asarray, within_family(prior, FAMILIES[family], 3, 2)[0])
        draws = jax.tree.map(np.asarray, jax.jit(jax.vmap(belief.sample))(jax.random.split(jax.random.key(0), 40_000)))
    covariances, scale = draws.covariances, HYPER["scale"]
    expected = scale / (12.0 - 3.0)
    if family[2] == "I":
        diagonal = np.full(2, np.diag(scale).mean()) if family[1] == "I" else np.diag(scale)
        expected = np.diag(diagonal) / (12.0 - 2.0)
    error = covariances.std(axis=0) / np.sqrt(len(covariances))
    assert (np.abs(covariances.mean(axis=0) - expected) <= 4.5 * error).all()
    assert (covariances == covariances[:, :1]).all() == (family[0] == "E")
    shift = np.linalg.solve(draws.scale_trils, (draws.means - HYPER["loc"])[..., None])[..., 0] * np.sqrt(
        HYPER["strength"]
    )
    assert np.abs(shift.mean()) < 0.02
    assert shift.var() == pytest.approx(1.0, abs=0.02)


@WHOLE
def test_gibbs_nuts_and_map_agree_on_tied_old_faithful(reference_data):
    x = reference_data["faithful"]
    mode = bg.fit_em(x, 2, covariance_type="tied", prior="default")
    runs = [
        engine(x, 2, covariance_type="tied", seed=4, reference=mode) for engine in (bg.sample_gibbs, bg.sample_nuts)
    ]
    for posterior in runs:
        highest = (posterior.log_likelihood + posterior.log_prior).max()
        assert mode.objective - 3 < highest < mode.objective
        assert (posterior.params.covariances == posterior.params.covariances[:, :, :1]).all()
    for name in ("weights", "means", "covariances"):
        one, two = (getattr(p.params, name)[:, :, 0] for p in runs)
        for index in np.ndindex(one.shape[2:]):
            where = (slice(None), slice(None), *index)
            assert_same_mean(one[where], *mean_and_error(two[where]), f"{name}{index}", most=4.5)


@pytest.mark.slow
def test_prior_group_is_of_the_family(reference_data):
    posterior = bg.sample_gibbs(
        reference_data["faithful"], 2, covariance_type="spherical", num_warmup=50, num_samples=50
    )
    for group in ("prior", "posterior"):
        covariances = posterior.datatree[group]["covariances"].values
        assert (covariances[..., 0, 1] == 0).all()
        np.testing.assert_allclose(covariances[..., 0, 0], covariances[..., 1, 1], rtol=1e-12)
    assert "VII covariances" in " ".join(repr(posterior).split())
