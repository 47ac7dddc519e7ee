"""The default prior where the covariance of the data is singular: no more rows than features, dependent features."""

import numpy as np
import pytest
from oracles.effort import WHOLE, mostly_slow

import bayesgmm as bg
from bayesgmm.data.described import described
from bayesgmm.data.table import as_table
from bayesgmm.errors import ArgumentError
from bayesgmm.model.alignment import relabelling_costs
from bayesgmm.model.types import Params
from bayesgmm.priors.shrinkage import proper_covariance, shrinkage
from tests.oracles import twins

FEW = np.random.default_rng(3).normal(size=(4, 5)) + np.repeat([[0.0], [6.0]], 2, axis=0) * np.array([1, 1, 1, 0, 0.0])
WIDE = np.random.default_rng(0).normal(size=(18, 20)) + 5.0 * (np.arange(18) >= 10)[:, None]


def published(x):
    """Share of the target D of Schäfer & Strimmer (2005, eq. 9 and section 2.4), correlation by correlation."""
    n, dim = x.shape
    z = (x - x.mean(axis=0)) / x.std(axis=0, ddof=1)
    errors = sizes = 0.0
    for i in range(dim):
        for j in range(dim):
            if i != j:
                w = z[:, i] * z[:, j]
                errors += n / (n - 1) ** 3 * ((w - w.mean()) ** 2).sum()
                sizes += (n / (n - 1) * w.mean()) ** 2
    return min(1.0, errors / sizes)


@pytest.mark.parametrize("x", [FEW, WIDE, WIDE * np.logspace(-3, 3, 20) + 7.0], ids=["few", "wide", "units"])
def test_the_share_is_the_published_one(x):
    assert shrinkage(as_table(x)) == pytest.approx(published(x), rel=1e-9)
    found = proper_covariance(as_table(x))
    singular = np.cov(x.T, bias=True)
    np.testing.assert_array_equal(np.diagonal(found), np.diagonal(as_table(x).moments()[1]))
    scale = np.sqrt(np.diagonal(singular))
    assert np.linalg.eigvalsh(found / np.outer(scale, scale))[0] > 1e-3
    assert np.linalg.eigvalsh(singular / np.outer(scale, scale))[0] < 1e-12  # what the prior had before


def test_a_weight_counts_as_that_many_rows():
    weights = np.array([3.0, 1.0, 2.0, 1.0])
    often = np.repeat(FEW, weights.astype(int), axis=0)
    one, other = as_table(described(FEW, weights, None, None)), as_table(often)
    assert one.dependence is not None
    assert shrinkage(one) == pytest.approx(shrinkage(other), rel=1e-9)


def test_equal_columns_leave_a_proper_prior(rng):
    """Correlations of ±1 without error: the share is not 0."""
    x = np.repeat(np.where(np.arange(60) % 2, 1.0, -1.0)[:, None], 3, axis=1)
    assert shrinkage(as_table(x)) == pytest.approx(1e-3)
    scale = bg.default_prior(x, 2).components.scale[0]
    assert np.linalg.eigvalsh(scale)[0] > 1e-4


def test_well_posed_data_keep_their_prior_bit_for_bit(rng):
    x = rng.normal(size=(31, 3)) @ rng.normal(size=(3, 3))
    table = as_table(x)
    assert proper_covariance(table) is table.moments()[1]
    for covariance_type in ("full", "diag"):
        prior = bg.default_prior(x, 2, covariance_type).components
        np.testing.assert_array_equal(prior.scale[0], table.moments()[1] / 2 ** (2 / 3))
        assert (prior.df == 5.0).all()


def pieces(prior):
    loc, strength, df, scale = (np.asarray(part)[0] for part in prior.components)
    return loc, strength, df, scale


@WHOLE
def test_one_component_has_the_closed_form():
    """The mode of the conjugate posterior, with N = 4 rows of 5 features; and the evidence is finite."""
    loc, strength, df, scale = pieces(bg.default_prior(FEW, 1))
    fit = bg.fit_em(FEW, 1, prior="default")
    apart = FEW - FEW.mean(axis=0)
    shift = FEW.mean(axis=0) - loc
    matrix = scale + apart.T @ apart + strength * 4 / (strength + 4) * np.outer(shift, shift)
    np.testing.assert_allclose(fit.params.covariances[0], matrix / (df + 4 + 5 + 2), rtol=1e-9)
    assert bg.fit_cavi(FEW, 1, num_samples=50).elbo == pytest.approx(
        twins.log_evidence_niw(FEW, loc, strength, df, scale), abs=1e-8
    )


def test_fewer_rows_than_features_against_the_enumeration():
    """All 2^4 labellings of 4 rows of 5 features: the evidence, and which rows belong together."""
    loc, strength, df, scale = pieces(bg.default_prior(FEW, 2))
    labels, probabilities, evidence = twins.enumerate_labelings(FEW, 2, np.ones(2), loc, strength, df, scale)
    exact = bg.sample_exact(FEW, 2, seed=1)
    assert exact.log_evidence == pytest.approx(evidence, abs=1e-8)
    together = probabilities @ (labels[:, 0] == labels[:, 1])
    drawn = exact.draw_labels(None, seed=3)
    assert (drawn[..., 0] == drawn[..., 1]).mean() == pytest.approx(
        together, abs=4 * np.sqrt(0.25 / drawn[..., 0].size)
    )


@pytest.mark.slow
def test_gibbs_of_fewer_rows_than_features_against_the_enumeration():
    """Rows seldom change their component: the chains are long."""
    labels, probabilities, _ = twins.enumerate_labelings(FEW, 2, np.ones(2), *pieces(bg.default_prior(FEW, 2)))
    gibbs = bg.sample_gibbs(FEW, 2, seed=2, num_warmup=2000, num_samples=40_000, num_chains=4)
    drawn = gibbs.draw_labels(None, seed=3)
    for other in (1, 2):
        share = (drawn[..., 0] == drawn[..., other]).mean(axis=1)
        expected = probabilities @ (labels[:, 0] == labels[:, other])
        assert share.std(ddof=1) < 0.05
        assert share.mean() == pytest.approx(expected, abs=3 * share.std(ddof=1))


@pytest.mark.parametrize("covariance_type", mostly_slow(["full", "diag", "tied"], 1))
def test_clear_groups_are_found(covariance_type):
    truth = np.arange(18) >= 10
    fit = bg.fit_em(WIDE, 2, covariance_type=covariance_type, prior="default")
    assert (fit.predict() == truth).all() or (fit.predict() == ~truth).all()


def test_variances_of_many_features_are_not_those_of_the_prior():
    """df = D + 2 would make every variance a mean of D + 2 rows of prior and 9 rows of data."""
    prior = bg.default_prior(WIDE, 2, "diag").components
    assert (prior.df == 3.0).all()
    assert (bg.default_prior(WIDE, 2, "spherical").components.df == 22.0).all()
    fit = bg.fit_em(WIDE, 2, covariance_type="diag", prior="default")
    inside = np.diagonal(fit.params.covariances, axis1=1, axis2=2).mean()
    heavy = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(*prior._replace(df=22.0)))
    outside = np.diagonal(bg.fit_em(WIDE, 2, covariance_type="diag", prior=heavy).params.covariances, axis1=1, axis2=2)
    assert inside == pytest.approx(1.0, abs=0.45)
    assert outside.mean() < 0.5 * inside


def test_many_diagonal_covariances_are_relabelled_as_all_others(rng):
    """Of more than `FEW` features, diagonal factors are not inverted as matrices. One correlation is enough to do so."""

    def drawn(*lead):
        sds = rng.uniform(0.5, 2.0, (*lead, 2, 40))
        return Params(rng.dirichlet([1.0, 1.0], lead), rng.normal(size=(*lead, 2, 40)), sds[..., None] * np.eye(40))

    draws, reference = drawn(5), drawn()
    draws.scale_trils[4, 1, 7, 3] = 1e-300  # makes the general case of the last draw
    apart = relabelling_costs(Params(*(part[:4] for part in draws)), reference)
    np.testing.assert_allclose(apart, relabelling_costs(draws, reference)[:4], rtol=1e-12)


def test_starts_that_do_not_fit_in_memory_are_refused_first(monkeypatch):
    monkeypatch.setattr("bayesgmm.runtime.arguments.memory", lambda: 2e6)  # bytes
    with pytest.raises(ArgumentError, match=r"EM from 16 starts of 2 components in 20 dimensions .* n_init=1"):
        bg.fit_em(WIDE, 2, covariance_type="diag")
