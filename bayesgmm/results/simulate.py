"""Draws from a prior, and data sets simulated from draws of θ."""

import jax
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Key, PRNGKeyArray

from bayesgmm.data.noise import Noise
from bayesgmm.data.table import Table
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.linalg import root_of
from bayesgmm.priors.boundary import refuse_overflow
from bayesgmm.priors.prior import Belief
from bayesgmm.results.with_noise import redrawn
from bayesgmm.runtime.arguments import derived_key, host_generator, key_array
from bayesgmm.runtime.dtypes import scope, to_numpy
from bayesgmm.runtime.programs import Program


def predictive(key: PRNGKeyArray, params: Params, num_rows: int, noise: Noise | None = None) -> np.ndarray:
    """A data set of `num_rows` rows for each draw, (chain, draw, obs, feature): one z per row.

    Rows of noise are uniform over its box.
    """
    z, x = _with_classes(key, params, num_rows)
    return redrawn(noise, key, z, x, params.weights.shape[-1])[1]


def classes_of_simulated(key: PRNGKeyArray, params: Params, table: Table) -> np.ndarray:
    """The classes z (chain, draw, obs) of the rows that `simulated` draws with this key."""
    return _with_classes(key, params, table.num_rows)[0]


def _with_classes(key: PRNGKeyArray, params: Params, num_rows: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(np.asarray(jr.key_data(key)))
    weights, means, trils = (np.asarray(part) for part in params)
    upper = np.cumsum(weights, axis=-1)
    uniform = rng.random((*weights.shape[:-1], num_rows)) * upper[..., -1:]
    z = (uniform[..., None] > upper[..., None, :]).sum(axis=-1)
    noise = rng.standard_normal((*z.shape, means.shape[-1]))
    x = np.empty_like(noise)
    for k in range(weights.shape[-1]):
        image = np.einsum("cdef,cdnf->cdne", trils[:, :, k], noise) + means[:, :, None, k]
        np.copyto(x, image, where=(z == k)[..., None])
    return z, x


def simulated(key: PRNGKeyArray, params: Params, table: Table) -> np.ndarray:
    """As `predictive`, for the rows of a table: with their errors of measurement, and without gaps."""
    x = predictive(key, params, table.num_rows, table.noise)
    if table.errors is None:
        return x
    noise = host_generator(derived_key(key, 1)).standard_normal(x.shape)
    return x + np.einsum("nde,stne->stnd", root_of(table.errors), noise)


def sample_prior(key: PRNGKeyArray, prior: Belief, num: int) -> Params:
    """Draws from a prior in full shape, with leading axes (1, num)."""
    with scope("float64"):
        belief = jax.tree.map(np.asarray, prior)
        draws = to_numpy(_sample_belief(key_array(key, num), belief))
    refuse_overflow(draws)
    return jax.tree.map(lambda leaf: leaf[None], draws)


@Program
def _sample_belief(keys: Key[Array, "S"], belief: Belief) -> Params:
    return lax.map(belief.sample, keys)
