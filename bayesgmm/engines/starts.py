"""Starting values: from divisions of the rows, from a labelling, or from given parameters."""

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.engines.divisions import Divisions, division_stats, one_hot
from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params, Stats, check_params
from bayesgmm.priors.prior import Belief, data_scaled_prior
from bayesgmm.problem import Model, Problem
from bayesgmm.runtime.arguments import as_array, as_floats
from bayesgmm.runtime.programs import Program

INITS = ("auto", "k-means++", "random", "hierarchical")


def make_starts(key: PRNGKeyArray, problem: Problem, num_starts: int, init: str = "auto") -> Params:
    """Make `num_starts` starts, in standardised coordinates, on a leading axis.

    Each start is a division of the rows (of a subsample, if there are many). The division is made in fully whitened
    coordinates, so that an elongated cloud of data does not dominate. One M-step under the data-scaled default prior
    then gives θ, so that no start is singular.

    - ``"k-means++"``: each row goes to the nearest centre. The centres are drawn as in Arthur & Vassilvitskii (2007),
      with greedy trials.
    - ``"random"``: each row is divided among the components at random.
    - ``"hierarchical"``: three starts by model-based agglomeration (Fraley 1998, section 2), whatever `num_starts`. Two
      use the criterion of equal spherical covariances (Ward), in whitened and in standardised coordinates. The third
      uses the criterion of free covariances; with one feature, it uses ordered classes of equal size instead.
    - ``"auto"``: the three agglomerations, then alternately k-means++ and nearest-of-random-rows.
    """
    stats = Divisions(key, problem).stats(problem.num_components, num_starts, init)
    return starts_from(stats, weak_prior(problem.model), problem.dtype)


def label_start(labels, problem: Problem) -> Params:
    """A start from a labelling of the rows, on a leading axis of 1: class frequencies, means and covariances.

    Raises
    ------
    ArgumentError
        If a component has no row, the labels do not have the length of the data, or a label is out of range.
    """
    labels = as_array("labels_init", labels)
    k = problem.num_components
    if labels.shape != (problem.table.num_rows,):
        raise ArgumentError(f"labels_init must have shape ({problem.table.num_rows},), got {labels.shape}.")
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= k:
        raise ArgumentError(f"labels_init must be integers from 0 to {k - 1}. Encode the classes first.")
    empty = np.flatnonzero(np.bincount(labels, minlength=k) == 0)
    if len(empty):
        raise ArgumentError(
            f"labels_init leaves component {', '.join(map(str, empty))} without a row. "
            f"Use every label from 0 to {k - 1}."
        )
    x = problem.frame.rows(problem.table.values)
    stats = division_stats(x, one_hot(labels, k)[None])
    return starts_from(stats, weak_prior(problem.model), problem.dtype)


def given_start(problem: Problem, weights=None, means=None, covariances=None) -> Params:
    """A start from parameters in the user's units; by default, equal weights and the covariance of all rows.

    Raises
    ------
    ArgumentError
        If the means are missing, a part has the wrong shape, the weights are not positive or do not add up to one, or a
        covariance is not positive definite.
    """
    k, dim = problem.num_components, problem.table.dim
    if means is None:
        raise ArgumentError("A start needs means_init. weights_init and covariances_init are optional.")
    if weights is None:
        weights = np.full(k, 1.0 / k)
    if covariances is None:
        covariances = np.broadcast_to(problem.table.moments()[1], (k, dim, dim))
    shapes = {"weights_init": (weights, (k,)), "means_init": (means, (k, dim)),
              "covariances_init": (covariances, (k, dim, dim))}  # fmt: skip
    for name, (value, shape) in shapes.items():
        array = as_floats(name, value)
        if array.shape != shape or not np.isfinite(array).all():
            problem_with = "NaN or infinite values" if array.shape == shape else f"shape {array.shape}"
            raise ArgumentError(f"{name} must be finite and of shape {shape}, got {problem_with}.")
    covariances = np.asarray(covariances, float)
    if not np.allclose(covariances, covariances.swapaxes(1, 2), rtol=1e-6, atol=1e-12 * np.abs(covariances).max()):
        raise ArgumentError("Each matrix of covariances_init must be symmetric and positive definite.")
    weights = np.asarray(weights, float)
    if (weights <= 0).any() or abs(weights.sum() - 1) > 1e-6:
        raise ArgumentError(f"weights_init must be positive and add up to 1, got {weights}.")
    try:
        params = Params.of(weights / weights.sum(), means, covariances)
    except ArgumentError:
        raise ArgumentError("Each matrix of covariances_init must be symmetric and positive definite.") from None
    return jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype)[None], problem.frame.standardise(params))


def warm_start(params: Params, problem: Problem) -> Params:
    """A start from the θ of another fit, in the user's units.

    Raises
    ------
    ArgumentError
        If `params` is not `Params`, or does not have the shapes of the problem.
    """
    if not isinstance(params, Params):
        raise ArgumentError(f"init must be a string, a MixtureFit or Params, got {type(params).__name__}.")
    shape, wanted = np.shape(params.means), (problem.num_components, problem.table.dim)
    if shape != wanted:
        raise ArgumentError(
            f"The start (init) has means of shape {shape}, but the model has {wanted[0]} components in {wanted[1]} "
            f"dimensions: {wanted}. Start from a fit of that size, or let the engine find its starts."
        )
    params = Params(*(np.asarray(part, float) for part in check_params(params)))
    if (params.weights <= 0).any():
        raise ArgumentError("The start (init) has a component of weight 0, from which an engine cannot move.")
    return jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype)[None], problem.frame.standardise(params))


def weak_prior(model: Model, num_components: int | None = None) -> Belief:
    """The data-scaled default prior, in standardised coordinates, under which no start is singular."""
    num = num_components or model.num_components
    covariance = model.table.moments()[1] / np.outer(model.frame.scale, model.frame.scale)
    prior = data_scaled_prior(np.zeros(model.table.dim), covariance, num).expand(num, model.table.dim)
    # Concentration one above flat: a component without rows at the start still gets a positive weight.
    return prior._replace(weights=prior.weights._replace(concentration=prior.weights.concentration + 1.0))


def starts_from(stats: Stats, prior: Belief, dtype: str) -> Params:
    """θ of each start, by one M-step from its statistics. The prior is one for all starts, or one for each."""
    stats, prior = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), (stats, prior))
    return _modes(stats, prior)


@Program
def _modes(stats: Stats, prior: Belief) -> Params:
    axis = 0 if prior.weights.concentration.ndim == 2 else None
    return jax.vmap(lambda one, prior: prior.update(one).mode(), in_axes=(0, axis))(stats, prior)
