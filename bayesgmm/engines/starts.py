"""Starting values: from divisions of the rows, from a labelling, or from given parameters."""

from dataclasses import replace

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.engines.divisions import Divisions, division_stats, one_hot
from bayesgmm.engines.known_classes import all_known
from bayesgmm.engines.noise_starts import with_noise
from bayesgmm.engines.roles import in_roles
from bayesgmm.errors import ArgumentError
from bayesgmm.model.types import Params, Stats, check_params
from bayesgmm.priors.default import data_scaled_prior
from bayesgmm.priors.prior import Belief, within_family
from bayesgmm.priors.shrinkage import proper_covariance
from bayesgmm.problem import Model, Problem
from bayesgmm.runtime.arguments import as_array, as_floats
from bayesgmm.sweep.any_rows import any_rows

INITS = ("auto", "k-means++", "random", "hierarchical")


def make_starts(key: PRNGKeyArray, problem: Problem, num_starts: int, init: str = "auto") -> Params:
    """Make `num_starts` starts, in standardised coordinates, on a leading axis.

    Each start is a division of the rows (of a subsample, if there are many), and θ from its classes (`class_params`).
    The covariances are shrunk to the scale of the data or to the class's own scale, so that no start is singular. The
    first is robust; the second sees groups that are small compared with their distances.

    - ``"k-means++"``: each row goes to the nearest centre. The centres are drawn as in Arthur & Vassilvitskii (2007),
      in fully whitened coordinates, with greedy trials. Each class has its own scale.
    - ``"random"``: each row is divided among the components at random.
    - ``"hierarchical"``: five starts, whatever `num_starts`. Two are by model-based agglomeration with free covariances
      (`bayesgmm.engines.agglomeration`; with one feature, ordered classes of equal size instead), at either scale. One
      is by cuts at gaps (`bayesgmm.engines.cuts`). Two are by Ward's criterion, in whitened and in standardised
      coordinates.
    - ``"auto"``: the five, then by turns k-means++ and nearest-of-random-rows, at either scale.

    Under a prior that tells the components apart, each start has the numbering of highest prior density.

    With known classes the groups of each division are numbered as agrees best with the labels, and each row of known
    class is in its class. If there are such rows of every class, two starts from these alone come before all others of
    ``"auto"`` and ``"hierarchical"``. If the classes of all rows are known, there is one start, whatever `num_starts`.

    With a noise component, the rows that are noise at first (`bayesgmm.engines.noise_starts.first_guess`) are in no
    division, and their share is its weight.
    """
    divisions = Divisions(key, problem)
    stats, local = divisions.stats(problem.model.num_gaussians, num_starts, init)
    if len(local) == 1 and all_known(problem.table) and (np.asarray(stats.counts) > 0).all():
        return _on_leading_axis(class_params(first_of(stats), shrink=False), problem)
    starts = starts_from(stats, local, divisions.target, problem.dtype)
    if problem.table.noise is not None:
        starts = with_noise(starts, problem, divisions.noise_share)
    return in_roles(starts, problem)


def sampled(problem: Problem) -> Problem:
    """The same problem on the sample of rows from which starts are made: itself, unless the rows are on disk."""
    if not problem.table.on_disk:
        return problem
    model = replace(problem.model, table=problem.table.sample)
    rows = any_rows(model.table, model.frame, problem.dtype, problem.num_components)
    return problem._replace(model=model, rows=rows)


def label_start(labels, problem: Problem) -> Params:
    """A start from a labelling of the rows, on a leading axis of 1: class frequencies, means and covariances.

    With a noise component, K is the label of its rows.

    A class without a proper covariance (few rows, or dependent features) is shrunk to its own scale: `class_params`.

    Raises
    ------
    ArgumentError
        If a component has no row, the labels do not have the length of the data, or a label is out of range.
    """
    if problem.table.on_disk:
        raise ArgumentError(
            f"labels_init needs rows in memory. For rows {problem.table.place} give means_init instead."
        )
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
    x, weights = problem.frame.rows(problem.table.filled), problem.table.weights
    shares = one_hot(labels, k)[None] if weights is None else one_hot(labels, k)[None] * weights
    if problem.table.noise is None:
        return _on_leading_axis(class_params(first_of(division_stats(x, shares)), shrink=False), problem)
    gaussians = class_params(first_of(division_stats(x, shares[:, :-1])), shrink=False)
    return _on_leading_axis(with_noise(gaussians, problem, shares[0, -1].sum() / shares.sum()), problem)


def given_start(problem: Problem, weights=None, means=None, covariances=None) -> Params:
    """A start from parameters in the user's units; by default, equal weights and the covariance of all rows.

    With a noise component, weights may have one number more: its share, which is otherwise 1 / (K + 1).

    Raises
    ------
    ArgumentError
        If the means are missing, a part has the wrong shape, the weights are not positive or do not add up to one, or a
        covariance is not positive definite.
    """
    k, dim = problem.model.num_gaussians, problem.table.dim
    share = None
    if means is None:
        raise ArgumentError("A start needs means_init. weights_init and covariances_init are optional.")
    if weights is None:
        weights = np.full(k, 1.0 / k)
    elif k < problem.num_components:
        given = as_floats("weights_init", weights)
        whole = given.shape == (k + 1,) and (given > 0).all() and abs(given.sum() - 1.0) <= 1e-6
        weights, share = (given[:-1] / given[:-1].sum(), float(given[-1])) if whole else (given, None)
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
    inside = problem.frame.standardise(params)
    if k < problem.num_components:
        inside = with_noise(inside, problem, 1.0 / (k + 1.0) if share is None else share)
    return _on_leading_axis(inside, problem)


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
    params = check_params(params)
    if (params.weights <= 0).any():
        raise ArgumentError("The start (init) has a component of weight 0, from which an engine cannot move.")
    return _on_leading_axis(problem.frame.standardise(params), problem)


def _on_leading_axis(params: Params, problem: Problem) -> Params:
    """One standardised θ as a start."""
    return jax.tree.map(lambda leaf: np.asarray(leaf, problem.dtype)[None], params)


def weak_prior(model: Model, num_components: int | None = None) -> Belief:
    """The data-scaled default prior, in standardised coordinates, under which no start is singular."""
    num = num_components or model.num_gaussians
    covariance = proper_covariance(model.table) / np.outer(model.frame.scale, model.frame.scale)
    covariance = covariance + 1e-9 * np.diag(np.diagonal(covariance))
    prior = data_scaled_prior(np.zeros(model.table.dim), covariance, num).expand(num, model.table.dim)
    # Concentration one above flat: a component without rows at the start still gets a positive weight.
    prior = prior._replace(weights=prior.weights._replace(concentration=prior.weights.concentration + 1.0))
    of_model = num == model.num_gaussians
    fixed = None if model.fixed is None or not of_model else model.fixed.standardise(model.frame)
    noise = None if model.table.noise is None or not of_model else model.table.noise.standardise(model.frame)
    if fixed is None and noise is None:
        return prior
    return within_family(prior, model.family, num, model.table.dim, fixed, noise)[0]


def starts_from(stats: Stats, local: np.ndarray, covariance: np.ndarray, dtype: str) -> Params:
    """θ of each division (leading axis): shrunk to the covariance of the data, or to its own scale where `local`."""
    made = [
        class_params(one, shrink=True) if own else _smooth_params(one, covariance)
        for one, own in zip(_unstacked(stats), local, strict=True)
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves).astype(dtype), *made)


def class_params(stats: Stats, shrink: bool) -> Params:
    """θ of one division from its own classes: frequencies, means, and covariances shrunk to the class's own scale.

    The target of class k is the pooled covariance within classes, scaled to the trace of class k; it counts as D + 1
    rows. Without ``shrink`` only classes whose own covariance is not proper are shrunk.
    """
    counts, means, scatters = (np.asarray(part, float) for part in stats[:3])
    num, dim = means.shape
    pooled = scatters.sum(axis=0) / counts.sum()
    ridge = max(np.trace(pooled) / dim, np.finfo(float).tiny)
    pooled = pooled + 1e-6 * ridge * np.eye(dim)
    spreads = np.trace(scatters, axis1=1, axis2=2) / np.maximum(counts, 1.0)
    # A class of one point has no scale of its own: it takes the pooled one.
    shares = np.where(spreads > 1e-8 * ridge, spreads / np.trace(pooled), 1.0)
    targets = shares[:, None, None] * pooled
    rows = np.full(num, dim + 1.0) if shrink else np.where(_proper(counts, scatters), 0.0, dim + 1.0)
    covariances = (scatters + rows[:, None, None] * targets) / (counts + rows)[:, None, None]
    weights = (counts + 1.0) / (counts.sum() + num) if shrink else counts / counts.sum()
    return Params(weights, means, np.linalg.cholesky(covariances))  # pyright: ignore[reportArgumentType]


def _proper(counts: np.ndarray, scatters: np.ndarray) -> np.ndarray:
    """Which classes have a covariance that is positive definite beyond rounding."""
    scale = np.sqrt(np.diagonal(scatters, axis1=1, axis2=2))
    varying = (scale > 0).all(axis=1)
    scale = np.where(varying[:, None], scale, 1.0)
    values = np.linalg.eigvalsh(scatters / (scale[:, :, None] * scale[:, None, :]))
    return varying & (counts > scatters.shape[-1]) & (values[:, 0] > 1e-10)


def _smooth_params(stats: Stats, covariance: np.ndarray) -> Params:
    """The mode under the data-scaled default prior, with a Dirichlet concentration of 2: no weight is 0."""
    counts, means, scatters = (np.asarray(part, float) for part in stats[:3])
    num, dim = means.shape
    target = covariance / num ** (2.0 / dim) + 1e-9 * np.diag(np.diagonal(covariance))
    share = (counts / (counts + 0.01))[:, None]
    between = 0.01 * share[..., None] * means[:, :, None] * means[:, None, :]
    covariances = (target + scatters + between) / (counts + 2.0 * dim + 4.0)[:, None, None]
    weights = (counts + 1.0) / (counts.sum() + num)
    return Params(weights, share * means, np.linalg.cholesky(covariances))  # pyright: ignore[reportArgumentType]


def _unstacked(stats: Stats) -> list[Stats]:
    return [jax.tree.map(lambda leaf, i=i: leaf[i], stats) for i in range(len(stats.counts))]


def first_of(stats: Stats) -> Stats:
    """The statistics of the first division."""
    return jax.tree.map(lambda leaf: leaf[0], stats)
