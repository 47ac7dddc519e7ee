"""The NumPyro model: marginal and enumerated potentials, Jacobians, prediction and z from its posterior."""

from functools import partial

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
import pytest
from numpyro.infer import Predictive
from oracles.effort import SOME
from oracles.parameters import PRIOR, random_params

import bayesgmm as bg
from bayesgmm.engines import coordinates
from bayesgmm.engines.mcmc import nuts
from bayesgmm.model.families import CONJUGATE, FAMILIES
from bayesgmm.model.types import Frame
from bayesgmm.priors.prior import within_family
from bayesgmm.sweep.rows import to_rows


@pytest.fixture(autouse=True)
def _double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("dim", [pytest.param(1, marks=pytest.mark.slow), 3])
def test_marginal_and_enumerated_potentials_are_one_function(rng, dim):
    """Same density up to the normalising constant of the prior, and same gradient, at random points."""
    k = 3
    prior = bg.Prior(bg.Dirichlet(1.3), bg.NormalInverseWishart(0.5, 0.7, dim + 2.5, 1.4)).expand(k, dim)
    prior = jax.tree.map(jnp.asarray, prior)
    x = rng.normal(size=(25, dim))
    rows = to_rows(x, Frame(np.zeros(dim), np.ones(dim)), chunk=16)  # the last block is padded
    fast_and_gradient = jax.jit(jax.value_and_grad(nuts.potential(prior, rows)))
    slow_and_gradient = jax.jit(jax.value_and_grad(nuts.potential(prior, jnp.asarray(x))))
    for number in range(3):
        position = coordinates.unconstrain(jax.tree.map(jnp.asarray, random_params(number, k, dim)), prior)
        fast, fast_gradient = fast_and_gradient(position)
        slow, slow_gradient = slow_and_gradient(position)
        np.testing.assert_allclose(fast, slow, rtol=1e-11)
        for name in position:
            np.testing.assert_allclose(fast_gradient[name], slow_gradient[name], rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("name", [pytest.param(n, marks=() if n in ("VVV", "VVI", "EII") else SOME) for n in CONJUGATE])
def test_jacobian_is_the_determinant(name):
    """For the weights, means and free entries of the covariances; the inverse map recovers θ."""
    prior = bg.Prior(bg.Dirichlet(1.3), bg.NormalInverseWishart(0.5, 0.7, 5.0, 1.4)).expand(2, 2)
    prior = jax.tree.map(jnp.asarray, within_family(prior, FAMILIES[name], 2, 2)[0])
    params = prior.sample(jr.key(3))
    position = coordinates.unconstrain(params, prior)
    back = coordinates.constrain(position, prior)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-9), back, params)
    flat, rebuild = jax.flatten_util.ravel_pytree(position)
    rows, columns = np.tril_indices(2)

    def image(vector):
        theta = coordinates.constrain(rebuild(vector), prior)
        different = theta.covariances[:1] if name.startswith("E") else theta.covariances
        free = different[:, rows, columns]
        if name[2] == "I":
            free = different[:, 0, :1] if name[1] == "I" else jnp.diagonal(different, axis1=1, axis2=2)
        return jnp.concatenate([theta.weights[:-1], theta.means.ravel(), free.ravel()])

    determinant = jnp.linalg.slogdet(jax.jit(jax.jacobian(image))(flat))[1]
    np.testing.assert_allclose(coordinates.log_jacobian(position), determinant, rtol=1e-10)


def test_predictive_matches_the_model():
    prior = jax.tree.map(jnp.asarray, PRIOR.expand(2, 3))
    draws = Predictive(bg.gaussian_mixture, num_samples=30)(jr.key(0), prior, num_rows=12)
    assert draws["x"].shape == (30, 12, 3)
    assert draws["z"].shape == (30, 12)
    assert draws["covariances"].shape == (30, 2, 3, 3)
    np.testing.assert_allclose(draws["weights"].sum(axis=1), 1.0)


@pytest.mark.slow
def test_infer_discrete_draws_z_from_its_posterior(rng):
    prior = jax.tree.map(jnp.asarray, PRIOR.expand(2, 3))
    params = jax.tree.map(jnp.asarray, random_params(1))
    x = jnp.asarray(rng.normal(size=(4, 3)))
    repeated = jax.tree.map(lambda leaf: jnp.broadcast_to(leaf, (4000, *leaf.shape)), params._asdict())
    draw = Predictive(bg.gaussian_mixture, repeated, infer_discrete=True, parallel=True)
    z = np.asarray(draw(jr.key(1), prior, x)["z"])
    expected = np.asarray(bg.responsibilities(params, x))[:, 1]
    np.testing.assert_allclose(z.mean(axis=0), expected, atol=4 * 0.5 / np.sqrt(4000))
