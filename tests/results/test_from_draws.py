"""Draws of PyMC, Stan and NumPyro as posteriors: their usual names are found, and the checks take them."""

import inspect
import warnings

import arviz as az
import numpy as np
import pandas as pd
import pytest
import xarray as xr
from oracles import TRUTH
from oracles.draws import made

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, DataError, DrawsError
from bayesgmm.results.usual_names import usual_names

from_draws = inspect.unwrap(bg.from_draws)  # without the tests' type checker


@pytest.fixture(scope="module")
def pymc():
    """Old Faithful by ``pm.Mixture`` of ``pm.MvNormal``: `benchmarks/pymc_draws.py` made the file."""
    return xr.load_datatree(TRUTH / "pymc_faithful.nc")


@pytest.fixture
def draws(rng):
    return made(rng, 8.0)


def tree_of(variables, x):
    return az.from_dict({"posterior": variables, "observed_data": {"y": x}})


def test_pymc(pymc):
    posterior = bg.from_draws(pymc)
    x = bg.load_dataset("faithful")
    own = bg.sample_gibbs(x, 2, seed=0)
    assert posterior.algorithm == "pymc"
    assert posterior.clock.total_seconds == pytest.approx(pymc["posterior"].attrs["sampling_time"])
    # The priors differ and are weak: the two posteriors agree to a fraction of their sds.
    ours, theirs = own.summary(), posterior.summary()
    np.testing.assert_allclose(
        theirs["mean"].to_numpy(), ours["mean"].to_numpy(), atol=0.5 * ours["sd"].max(), rtol=0.05
    )
    assert (np.abs(theirs["mean"].to_numpy() - ours["mean"].to_numpy()) < 0.5 * ours["sd"].to_numpy()).all()
    assert abs(bg.loo(pymc).elpd - bg.loo(own).elpd) < 1.0
    checked = bg.check(pymc)
    assert checked.sensitivity is None
    assert any("not known" in line for line in checked.verdict())
    assert "prior" not in checked.summary().index
    assert set(checked.plot()) == {"k-hat", "LOO-PIT", "tails", "pairs", "clusters"}
    found = bg.partition(pymc, seed=0)
    assert bg.adjusted_rand(found.labels, own.predict()) > 0.98
    named = bg.from_draws(pymc, x)
    assert named.table.features == ("eruptions", "waiting")


def test_with_its_prior(pymc):
    x = bg.load_dataset("faithful")
    posterior = bg.from_draws(pymc, x, prior="default")
    assert bg.prior_sensitivity(posterior)["prior"].between(0.0, 1.0).all()
    assert np.ptp(posterior.log_prior) > 0.0
    assert {"prior", "log_prior"} <= set(posterior.datatree.children)
    assert not {"prior", "log_prior"} & set(bg.from_draws(pymc).datatree.children)


FORMS = {
    "stan": lambda v: {"theta": v["weights"], "mu": v["means"], "Sigma": v["covariances"]},
    "stan, factors": lambda v: {"theta": v["weights"], "mu": v["means"], "L": np.linalg.cholesky(v["covariances"])},
    "numpyro": lambda v: {
        "weights": v["weights"], "locs": v["means"], "scale": np.sqrt(np.diagonal(v["covariances"], axis1=-2, axis2=-1)),
    },
    "pymc": lambda v: {
        "w": v["weights"], "mu": v["means"], "sigma": np.sqrt(np.diagonal(v["covariances"], axis1=-2, axis2=-1)),
    },
    "matrices called sigma": lambda v: {"pi": v["weights"], "mu": v["means"], "sigma": v["covariances"]},
}  # fmt: skip


@pytest.mark.parametrize("form", FORMS)
def test_usual_names(draws, form):
    variables, x = draws
    tree = tree_of(FORMS[form](variables) | {"lp": np.zeros((2, 50)), "z": np.zeros((2, 50, len(x)), int)}, x)
    posterior = bg.from_draws(tree)
    flat = bg.from_draws(FORMS[form](variables), x)  # a mapping of arrays
    np.testing.assert_array_equal(posterior.params.means, flat.params.means)
    # Relabelled: every draw has its components in the same places.
    assert np.asarray(posterior.params.means)[..., 0].std(axis=(0, 1)).max() < 0.5
    direct = bg.log_likelihood(bg.Params(*(np.asarray(part)[1, 7] for part in posterior.params)), x)
    np.testing.assert_allclose(posterior.log_likelihood[1, 7], direct)


def test_names_that_do_not_say_what_is_what(draws):
    variables, _ = draws
    w, mu, cov = variables["weights"], variables["means"], variables["covariances"]
    assert usual_names({"w": w, "pi": w, "mu": mu, "cov": cov}) == {}  # two that could be weights
    assert usual_names({"theta": 2 * w, "mu": mu, "cov": cov}) == {}  # no weights
    assert usual_names({"w": w, "mu": mu, "cov": cov, "sigma": mu}) == {}  # two spreads
    assert usual_names({"weights": w, "means": mu, "covariances": cov}) == {}  # nothing to say
    assert usual_names({"w": w, "mu": mu[..., :2, :], "cov": cov}) == {}  # another K


def test_bad_input(draws, pymc):
    variables, x = draws
    other = {"a": variables["weights"], "b": variables["means"], "c": variables["covariances"]}
    with pytest.raises(DrawsError, match=r"a\['chain', 'draw', 'a_dim_0'\].*names="):
        from_draws(tree_of(other, x))
    with pytest.raises(DrawsError, match="The draws have a, b, c"):
        from_draws(other)
    assert from_draws(tree_of(other, x), names={"weights": "a", "means": "b", "covariances": "c"}).n_components == 3
    with pytest.raises(DataError, match="do not hold the data"):
        from_draws(variables)
    with pytest.raises(DrawsError, match="rows"):
        from_draws(tree_of(variables, x), x[:-1])
    with pytest.raises(ArgumentError, match="outside"):
        from_draws(pymc, covariance_type="diag")
    with pytest.raises(ArgumentError, match="already"):
        from_draws(bg.from_draws(pymc))
    with pytest.raises(ArgumentError, match="from_draws"):
        bg.prior_sensitivity(pymc)
    with pytest.raises(ArgumentError, match="Refits are not possible"):
        bg.kfold(pymc)
    with pytest.raises(DrawsError, match="differs from them"):
        from_draws(pymc, pd.DataFrame(np.zeros((272, 3))))


@pytest.mark.slow
def test_numpyro():
    """As docs/other-draws.md has it."""
    import jax.random as jr
    import numpyro
    import numpyro.distributions as dist
    from numpyro.infer import MCMC, NUTS

    x = bg.load_dataset("faithful").to_numpy()
    size = x.std(axis=0)

    def model(x):
        w = numpyro.sample("w", dist.Dirichlet(np.ones(2)))
        mu = numpyro.sample("mu", dist.Normal(x.mean(axis=0), 3.0 * size).expand([2, 2]).to_event(2))
        sigma = numpyro.sample("sigma", dist.HalfNormal(size).expand([2, 2]).to_event(2))
        parts = dist.Independent(dist.Normal(mu, sigma), 1)
        numpyro.sample("x", dist.MixtureSameFamily(dist.Categorical(w), parts), obs=x)

    mcmc = MCMC(
        NUTS(model), num_warmup=300, num_samples=200, num_chains=2, chain_method="sequential", progress_bar=False
    )
    mcmc.run(jr.key(0), x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        tree = az.from_numpyro(mcmc)
    posterior = bg.from_draws(tree, covariance_type="diag")
    own = bg.sample_gibbs(x, 2, covariance_type="diag", seed=0)
    gap = np.abs(posterior.summary()["mean"].to_numpy() - own.summary()["mean"].to_numpy())
    assert (gap < 0.5 * own.summary()["sd"].to_numpy() + 1e-12).all()
