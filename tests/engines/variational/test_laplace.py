"""Laplace's approximation: evidence with all constants, accurate for Gaussian posteriors, flagged where it is poor."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from oracles import twins
from oracles.agreement import assert_same_mean, mean_and_error
from oracles.effort import SOME, WHOLE

import bayesgmm as bg
from bayesgmm.errors import ArgumentError, FitError, PriorError
from bayesgmm.model.families import CONJUGATE

HYPER = {"loc": np.array([0.3, 0.7]), "strength": 0.5, "df": 4.0, "scale": np.array([[1.2, 0.3], [0.3, 0.5]])}
PRIOR = bg.Prior(bg.Dirichlet(1.5), bg.NormalInverseWishart(**HYPER))


@pytest.mark.parametrize("family", [pytest.param(name, marks=SOME) for name in CONJUGATE])
def test_evidence_of_one_component_is_the_closed_form(rng, family):
    """With many rows the posterior is nearly Gaussian; the error of Laplace's method falls as 1/N."""
    x = rng.normal([400.0, 0.02], [90.0, 0.004], size=(1200, 2))
    scale = np.array([90.0, 0.004])
    hyper = HYPER | {"loc": np.array([400.0, 0.02]), "scale": HYPER["scale"] * np.outer(scale, scale)}
    errors = []
    for rows in (150, 1200):
        exact = twins.log_evidence_family(x[:rows], np.zeros(rows, int), 1, family, **hyper)
        prior = bg.Prior(bg.Dirichlet(1.0), bg.NormalInverseWishart(**hyper))
        found = bg.fit_laplace(x[:rows], 1, covariance_type=family, prior=prior, num_samples=200)
        errors.append(found.log_evidence - exact)
        assert found.trusted
    assert abs(errors[0]) < 0.03
    assert abs(errors[1]) < 0.25 * abs(errors[0])


@WHOLE
def test_agrees_with_gibbs_where_components_are_apart(reference_data):
    x = reference_data["faithful"]
    laplace = bg.fit_laplace(x, 2, seed=1)
    gibbs = bg.sample_gibbs(x, 2, reference=laplace.reference, seed=2)
    assert laplace.trusted
    assert "log evidence" in " ".join(repr(laplace).split())
    np.testing.assert_allclose(laplace.params.means.std(axis=(0, 1)), gibbs.params.means.std(axis=(0, 1)), rtol=0.1)
    mean, error = mean_and_error(gibbs.params.means[:, :, 0, 1])
    assert_same_mean(
        laplace.params.means[:, :, 0, 1], mean, max(error, 0.05 * gibbs.params.means[:, :, 0, 1].std()), "mean"
    )
    assert laplace.datatree["posterior"]["means"].shape == (4, 1000, 2, 2)
    # the evidence of one of the K! symmetric modes: the bound of CAVI is lower, by less than 1
    bound = bg.fit_cavi(x, 2).elbo
    assert bound < laplace.log_evidence < bound + 1.0


@pytest.mark.slow
def test_mode_is_the_mode_in_its_own_coordinates(reference_data):
    """In unconstrained coordinates the gradient is zero at the mode, and the Hessian matches finite differences."""
    from bayesgmm.engines import coordinates
    from bayesgmm.engines.variational.laplace import _mode, _potential
    from bayesgmm.problem import prepare
    from bayesgmm.runtime.dtypes import scope

    with scope("float64"):
        problem = prepare(reference_data["waiting"], 2, "default", "float64")
        start = jax.tree.map(jnp.asarray, problem.frame.standardise(bg.fit_em(reference_data["waiting"], 2).params))
        mode, value, factor = _mode(start, problem)
        flat, _ = jax.flatten_util.ravel_pytree(coordinates.unconstrain(start, problem.standard_prior))
        arguments = start, problem.standard_prior, problem.rows
        slope = jax.grad(_potential)(jnp.asarray(mode), *arguments)
        assert np.abs(slope).max() < 1e-5
        assert value <= float(_potential(flat, *arguments))
        for direction in np.eye(len(mode)):
            here = [float(_potential(jnp.asarray(mode + step * direction), *arguments)) for step in (-1e-3, 0.0, 1e-3)]
            curvature = (here[0] - 2 * here[1] + here[2]) / 1e-6
            assert curvature == pytest.approx(direction @ factor @ factor.T @ direction, rel=1e-3)


@WHOLE
@pytest.mark.parametrize("kind", ["conjugate", "independent"])
def test_tied_covariance_uses_average_hyperparameters(reference_data, kind):
    """Under tied covariances the components' priors reduce to one prior; the evidence tests its constant."""
    x = reference_data["faithful"]
    own = np.stack([np.diag([0.5, 60.0]), np.diag([0.1, 100.0])])

    def evidence(scale):
        components = bg.NormalInverseWishart([3.0, 70.0], 0.1, 4.0, scale)
        if kind == "independent":
            components = bg.NormalTimesInverseWishart([3.0, 70.0], np.diag([4.0, 400.0]), 4.0, scale)
        prior = bg.Prior(bg.Dirichlet(1.0), components)
        return bg.fit_laplace(x, 2, covariance_type="tied", prior=prior, num_samples=20).log_evidence

    assert evidence(own) == pytest.approx(evidence(own.mean(axis=0)), abs=1e-6)


@pytest.mark.slow
def test_few_draws_have_no_k_hat(reference_data):
    few = bg.compare(reference_data["faithful"], 2, engines=("em", "laplace"), num_samples=5, num_chains=2)
    assert np.isnan(few.results["laplace"].pareto_k)
    assert not few.results["laplace"].trusted
    assert "too few draws for Pareto k-hat" in few.verdict()[0]
    assert "too few draws" in " ".join(repr(few.results["laplace"]).split())


@WHOLE
def test_overlap_is_flagged(reference_data):
    assert not bg.fit_laplace(reference_data["faithful"], 4, seed=0).trusted


def test_bad_input(reference_data):
    x = reference_data["faithful"]
    with pytest.raises(PriorError, match="proper"):
        bg.fit_laplace(x, 2, prior=None)
    with pytest.raises(ArgumentError, match="VVE"):
        bg.fit_laplace(x, 2, covariance_type="VVE")
    twice = np.stack([x["waiting"], x["waiting"]], axis=1) + 1e-5 * np.arange(len(x))[:, None] * [0.0, 1.0]
    with pytest.raises(FitError, match="No Gaussian fits"):
        bg.fit_laplace(twice, 1, dtype="float32")
