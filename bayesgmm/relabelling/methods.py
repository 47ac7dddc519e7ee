"""Relabelling methods: each finds one common labelling of the components of all draws.

The posterior of a mixture is invariant to permutations of the components. Each draw has one of K! labellings.
Each method finds the permutation of each draw by an assignment problem. The methods differ in the cost of a label:

=================  ===================================================================  ==============================
function           cost of giving label k to component j of the draw                    uses
=================  ===================================================================  ==============================
`ecr`              number of rows that differ from class k of a pivot partition         labels of rows
`ecr_iterative_1`  the same; the pivot is each row's most frequent class, iterated      labels of rows
`ecr_iterative_2`  the same; the pivot is each row's most probable class on average     labels and class probabilities
`stephens`         Kullback-Leibler divergence from the average class k                 class probabilities
`pra`              squared distance from component k of a pivot                         parameters
`data_based`       lack of fit of its rows to a Gaussian fitted to the rows of class k  labels of rows, data
`ordering`         (none: components are sorted)                                        one parameter
`point_process`    squared distance from the centre of cluster k                        parameters
=================  ===================================================================  ==============================

All methods take a `Posterior`, a DataTree of any program, or arrays. `as_draws` describes the further arguments
(``component_dim``, ``names``, ``x``, ``labels``, ``probabilities``). Labels follow the mean of the first parameter in
increasing order, unless a given pivot array fixes them. The result does not depend on the initial numbering of the
components. The given draws are never changed.

Sources: Papastamoulis & Iliopoulos (2010) for ECR; Rodríguez & Walker (2014) for its iterative forms and the data-based
method; Stephens (2000); Marin, Mengersen & Robert (2005) for PRA; Frühwirth-Schnatter (2006, 2011) for the point
process. Papastamoulis (2016) reviews them.
"""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from bayesgmm.errors import ArgumentError, DrawsError, IdentifiabilityWarning
from bayesgmm.numerics.assignment import cost_of
from bayesgmm.relabelling.allocations import Allocations
from bayesgmm.relabelling.costs import (
    apart_from_noise,
    disagreement,
    divergence,
    mean_probabilities,
    misfit,
    noise_last,
    own_entropy,
    squares,
    sums_by_class,
    votes,
)
from bayesgmm.relabelling.pivots import draw_of, partition_of, points_of, scales_of, variable_of
from bayesgmm.relabelling.result import Relabelling, iterate, refuse_told_apart, relabelling_from, result_of
from bayesgmm.results.draws import Source, as_draws
from bayesgmm.runtime.arguments import (
    as_key,
    check_choice,
    check_count,
    check_flag,
    check_names,
    host_generator,
)

MOST_IN_DOUBT = 0.01
"""`ordering` warns if more than this share of draws is in doubt."""

MOST_STARTS = 10_000
"""Most starts of k-means."""

Pivot = tuple[int, int] | np.ndarray | None
"""A draw as (chain, draw), or an array in the form that the method takes. None: the draw of highest log posterior."""


def ecr(source: Source, pivot: Pivot = None, **about: Any) -> Relabelling:
    """Equivalence classes representatives (ECR): maximise the agreement of the row labels with a pivot partition.

    Parameters
    ----------
    source, about
        Draws, and arguments of `as_draws`. Without stored labels, the method uses the most probable class of each row
        under each draw.
    pivot
        A partition, integers (N,) from 0 to K - 1, whose numbers become the labels; a draw as (chain, draw); or None.

    Raises
    ------
    DrawsError
        If the draws cannot be read, or do not determine the classes of the rows.
    ArgumentError
        If the pivot has the wrong length or other numbers.
    """
    draws = as_draws(source, **about)
    allocations = Allocations(draws)
    partition = partition_of(pivot, draws, allocations)
    costs = disagreement(allocations, partition)
    return relabelling_from(draws, "ECR", costs, given=isinstance(pivot, np.ndarray), about={"pivot": partition})


def ecr_iterative_1(source: Source, **about: Any) -> Relabelling:
    """ECR whose pivot is each row's most frequent class under the current permutations, iterated to convergence."""
    draws = as_draws(source, **about)
    allocations = Allocations(draws)

    def pivot(permutations: np.ndarray) -> np.ndarray:
        return np.concatenate([votes(block, permutations).argmax(axis=0) for _, block in allocations.labels()])

    return iterate(draws, "ECR, iterative 1", allocations, lambda p: disagreement(allocations, pivot(p)))


def ecr_iterative_2(source: Source, **about: Any) -> Relabelling:
    """ECR whose pivot is each row's most probable class on average over draws, under the current permutations."""
    draws = as_draws(source, **about)
    allocations = Allocations(draws)

    def pivot(permutations: np.ndarray) -> np.ndarray:
        return np.concatenate([mean.argmax(axis=0) for mean, _ in mean_probabilities(allocations, permutations)])

    return iterate(draws, "ECR, iterative 2", allocations, lambda p: disagreement(allocations, pivot(p)))


def stephens(source: Source, **about: Any) -> Relabelling:
    """Stephens' method: minimise the Kullback-Leibler divergence of the class probabilities from their average.

    The method alternates averages and permutations, and starts from the permutations of ECR. The divergence, summed
    over draws and rows, never increases (Stephens 2000, algorithm 2). Costs include the terms ``q - p``. These sum to 0
    over a permutation and make each cost a divergence.
    """
    draws = as_draws(source, **about)
    allocations = Allocations(draws)
    if not allocations.have_probabilities:
        raise DrawsError("Stephens' method needs class probabilities. Pass probabilities=, or parameters and data.")
    own = own_entropy(allocations)
    return iterate(draws, "Stephens", allocations, lambda p: divergence(allocations, p, own))


def pra(
    source: Source, pivot: Pivot = None, *, variables: list[str] | None = None, scale: bool = True, **about: Any
) -> Relabelling:
    """Pivotal reordering (PRA): minimise the distance of the components from those of a pivot, in parameter space.

    Parameters
    ----------
    source, about
        As for `ecr`.
    pivot
        A draw as (chain, draw), its parameters as an array (K, numbers), or None.
    variables
        Variables to use. Default: ``means``, or all variables with components if there is no such variable.
    scale
        Whether each parameter is divided by its standard deviation over draws and components, so that units do not
        matter. False is the canonical scalar product of Marin, Mengersen & Robert (2005).
    """
    check_flag("scale", scale)
    draws = as_draws(source, **about)
    points = points_of(draws, variables, scale)
    if isinstance(pivot, np.ndarray):
        if pivot.shape != points.shape[1:]:
            raise ArgumentError(
                f"The pivot has shape {pivot.shape}; expected (components, numbers), here {points.shape[1:]}."
            )
        if pivot.dtype.kind not in "iuf" or not np.isfinite(pivot).all():
            raise ArgumentError("The pivot must hold finite numbers. Take the parameters of one draw.")
        centre = pivot / scales_of(draws, variables) if scale else pivot
    else:
        centre = points[draw_of(pivot, draws)]
    return relabelling_from(draws, "PRA", squares(points, centre), given=isinstance(pivot, np.ndarray))


def data_based(source: Source, **about: Any) -> Relabelling:
    """Data-based method: match each component to a label by its rows.

    Each label has a centre and a scale per feature. The method alternates these with the permutations. The cost of a
    component is minus twice the log density of its rows under the Gaussian of the label (independent features), so the
    sum over draws never increases. Rodríguez & Walker (2014) omit the determinant of the scale.
    """
    draws = as_draws(source, **about)
    if draws.table is None:
        raise DrawsError("The data-based method needs the data. Pass x=.")
    allocations = Allocations(draws)
    sums = sums_by_class(allocations, draws)
    return iterate(draws, "data-based", allocations, lambda p: misfit(sums, p))


def ordering(source: Source, by: str = "means", index: int = 0, **about: Any) -> Relabelling:
    """Sort components by one parameter of each draw.

    Sorting does not match the components of different draws. Where two components are close in that parameter, sorting
    cuts their draws at the crossing, whatever the other parameters say. One coordinate does not identify vector means.
    The density of sorted draws is K! times the posterior density on the sorted region. Use this method if the order
    itself is of interest; otherwise use another method.

    Parameters
    ----------
    by, index
        The variable, and the index of one of its numbers (row-major over its remaining dimensions).

    Warns
    -----
    IdentifiabilityWarning
        If neighbours in the order overlap, because sorting then cuts their draws.
    """
    draws = as_draws(source, **about)
    values = variable_of(draws, by)
    index = check_count("index", index, least=0, most=values.shape[2] - 1, why=f"{by} has {values.shape[2]} numbers")
    key = values[:, :, index]
    permutations = np.argsort(noise_last(key, draws), axis=1, kind="stable")
    ranked = np.take_along_axis(key, permutations, axis=1)
    costs = apart_from_noise(squares(key[:, :, None], ranked.mean(axis=0)[:, None]), draws)
    found = result_of(draws, "ordering", costs, permutations, [cost_of(costs, permutations).sum()])
    if found.share_in_doubt > MOST_IN_DOUBT:
        warnings.warn(
            f"In {found.share_in_doubt:.0%} of draws two neighbours fit almost as well if exchanged. "
            f"Sorting by {by}[{index}] cuts their draws at the crossing and does not separate the components. "
            "Use stephens or ecr_iterative_1.",
            IdentifiabilityWarning, stacklevel=2,
        )  # fmt: skip
    return found


def point_process(
    source: Source, *, variables: list[str] | None = None, seed: Any = 0, num_starts: int = 8, **about: Any
) -> Relabelling:
    """Cluster the components of all draws by k-means, and label each by its cluster (point-process representation).

    If the K components of a draw do not fall into K clusters, the clusters define no permutation. The share of such
    draws is ``about["non_permutation_rate"]``; ``about["is_permutation"]`` marks the others. Draws without a
    permutation get the cheapest one. A high rate means that there are no K clusters: K is too large, or the variables
    do not separate the components.

    Parameters
    ----------
    variables
        Variables to cluster, standardised. Default: ``means``, or all variables with components if there is no such
        variable.
    seed, num_starts
        k-means starts from the draw of highest log posterior and from `num_starts` random draws. The best run is kept.
    """
    from scipy.cluster.vq import kmeans2

    num_starts = check_count("num_starts", num_starts, least=0, most=MOST_STARTS, why="each is a run of k-means")
    draws = as_draws(source, **about)
    num = draws.num_gaussians  # the noise has no place in a cluster
    points = points_of(draws, variables, scale=True)[:, :num]
    cloud = points.reshape(-1, points.shape[2])
    others = host_generator(as_key(seed)).integers(draws.size, size=num_starts)
    runs = []
    for start in (draw_of(None, draws, least=0), *others):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # an empty cluster: another start does better
            centres, _ = kmeans2(cloud, points[start], iter=50, minit="matrix")
        distances = squares(points, centres)
        runs.append((distances.min(axis=1).sum(), centres, distances))
    inertia, _, costs = min(runs, key=lambda run: run[0])
    clusters = costs.argmin(axis=1)
    whole = (np.sort(clusters, axis=1) == np.arange(num)).all(axis=1)
    costs = np.pad(costs, [(0, 0), *[(0, draws.num_components - num)] * 2])
    about_it = {"non_permutation_rate": float(1.0 - whole.mean()), "is_permutation": whole.reshape(draws.shape)}
    return relabelling_from(draws, "point process", costs, about=about_it, objective=[inertia])


METHODS: dict[str, Callable[..., Relabelling]] = {
    "ecr": ecr, "ecr-iterative-1": ecr_iterative_1, "ecr-iterative-2": ecr_iterative_2, "stephens": stephens,
    "pra": pra, "data-based": data_based, "ordering": ordering, "point-process": point_process,
}  # fmt: skip


def relabel(source: Source, method: str = "stephens", **options: Any) -> Relabelling:
    """Give the components of all draws one common labelling.

    Parameters
    ----------
    source
        A `Posterior`, an ArviZ DataTree of any program, or a mapping of arrays (chain, draw, component, …).
    method
        ``"ecr"``, ``"ecr-iterative-1"``, ``"ecr-iterative-2"``, ``"stephens"``, ``"pra"``, ``"data-based"``,
        ``"ordering"`` or ``"point-process"``. Each is a function of `bayesgmm.relabelling.methods`, which lists what it
        uses.
    options
        Arguments of the method and of `as_draws`: ``component_dim``, ``names``, ``x``, ``labels``, ``probabilities``, …

    Returns
    -------
    Relabelling
        ``permutations``, ``datatree`` (a relabelled copy), ``ambiguity`` per draw, ``overall_ambiguity``.

    Raises
    ------
    DrawsError, ArgumentError
        If the draws cannot be read, or lack what the method uses, or prior, labels or held parameters number them.
    """
    refuse_told_apart(source)
    chosen = METHODS[check_choice("method", method, METHODS)]
    own = set(inspect.signature(chosen).parameters) | set(inspect.signature(as_draws).parameters)
    check_names(options, own - {"source", "about", "fewest_components"}, f"relabel(method={method!r})")
    return chosen(source, **options)
