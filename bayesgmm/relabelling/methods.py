"""One naming for the components of all draws, by every method that the literature has.

The posterior of a mixture does not know how its components are numbered, so that draws bear one of K! numberings each.
Every method here gives the draw's components names by an assignment problem, and differs in what a name costs:

=================  ==================================================================  ==============================
function           calling the draw's component j by the name k costs                  looks at
=================  ==================================================================  ==============================
`ecr`              rows in which it departs from class k of a pivot                    labels of rows
`ecr_iterative_1`  the same; the pivot is each row's most frequent class, in turn      labels of rows
`ecr_iterative_2`  the same; the pivot is each row's most probable class on average    labels and class probabilities
`stephens`         the Kullback-Leibler divergence from the average class k            class probabilities
`pra`              its squared distance from component k of a pivot                    parameters
`data_based`       how badly its rows fit a Gaussian fitted to the rows of class k     labels of rows, data
`ordering`         (nothing: components are sorted)                                    one parameter
`point_process`    its squared distance from the centre of cluster k                   parameters
=================  ==================================================================  ==============================

All take a `Posterior`, a DataTree of any program, or arrays; see `as_draws` for what it can be told of them
(``component_dim``, ``names``, ``x``, ``labels``, ``probabilities``). Names are in the order of the first parameter's
mean, unless a pivot decides. Nothing depends on the numbering that the draws come with, and the user's draws are never
changed.

Sources: Papastamoulis & Iliopoulos (2010) for ECR; Rodríguez & Walker (2014) for its iterative forms and the data-based
method; Stephens (2000); Marin, Mengersen & Robert (2005) for PRA; Frühwirth-Schnatter (2006, 2011) for the point
process. Papastamoulis (2016) reviews them.
"""

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

from bayesgmm.errors import ArgumentError, DrawsError, IdentifiabilityWarning
from bayesgmm.numerics.assignment import cost_of
from bayesgmm.relabelling.allocations import Allocations
from bayesgmm.relabelling.costs import (
    disagreement,
    divergence,
    mean_probabilities,
    misfit,
    own_entropy,
    squares,
    sums_by_class,
    votes,
)
from bayesgmm.relabelling.pivots import draw_of, partition_of, points_of, scales_of, variable_of
from bayesgmm.relabelling.result import Relabelling, iterate, name_by, result_of
from bayesgmm.results.draws import Source, as_draws

NAMES_IN_DOUBT = 0.01
"""Share of draws with two neighbours out of place from which on `ordering` warns."""

Pivot = tuple[int, int] | np.ndarray | None
"""A draw as (chain, draw), or what the method takes for one; None: the draw of the highest log posterior."""


def ecr(source: Source, pivot: Pivot = None, **about: Any) -> Relabelling:
    """Equivalence classes representatives: the naming under which a draw's classes of rows agree most with a pivot's.

    Parameters
    ----------
    source, about
        Draws, and what `as_draws` is to be told of them. Where labels were not kept, each row's most probable class
        under each draw stands for them.
    pivot
        A partition, integers (N,) from 0 to K - 1, whose numbers become the names; a draw as (chain, draw); or None.

    Raises
    ------
    DrawsError
        If the draws cannot be read, or say nothing of rows.
    ArgumentError
        If the pivot has the wrong length or other numbers.
    """
    draws = as_draws(source, **about)
    allocations = Allocations(draws)
    partition = partition_of(pivot, draws, allocations)
    costs = disagreement(allocations, partition)
    return name_by(draws, "ECR", costs, given=isinstance(pivot, np.ndarray), about={"pivot": partition})


def ecr_iterative_1(source: Source, **about: Any) -> Relabelling:
    """ECR whose pivot is each row's most frequent class under the present naming, until that stands still."""
    draws = as_draws(source, **about)
    allocations = Allocations(draws)

    def pivot(permutations: np.ndarray) -> np.ndarray:
        return np.concatenate([votes(block, permutations).argmax(axis=0) for _, block in allocations.labels()])

    return iterate(draws, "ECR, iterative 1", allocations, lambda p: disagreement(allocations, pivot(p)))


def ecr_iterative_2(source: Source, **about: Any) -> Relabelling:
    """ECR whose pivot is each row's most probable class on average over draws, under the present naming."""
    draws = as_draws(source, **about)
    allocations = Allocations(draws)

    def pivot(permutations: np.ndarray) -> np.ndarray:
        return np.concatenate([mean.argmax(axis=0) for mean, _ in mean_probabilities(allocations, permutations)])

    return iterate(draws, "ECR, iterative 2", allocations, lambda p: disagreement(allocations, pivot(p)))


def stephens(source: Source, **about: Any) -> Relabelling:
    """Stephens' method: the Kullback-Leibler divergence of each draw's class probabilities from their average is least.

    Averages and permutations are found in turn, from the naming by ECR; the divergence, summed over draws and rows, never rises
    (Stephens 2000, algorithm 2). Costs carry the terms ``q - p``, which add nothing to a whole naming and make each cost
    a divergence.
    """
    draws = as_draws(source, **about)
    allocations = Allocations(draws)
    if not allocations.have_probabilities:
        raise DrawsError(
            "Stephens' method needs class probabilities: hand over probabilities=, or parameters and data."
        )
    own = own_entropy(allocations)
    return iterate(draws, "Stephens", allocations, lambda p: divergence(allocations, p, own))


def pra(
    source: Source, pivot: Pivot = None, *, variables: list[str] | None = None, scale: bool = True, **about: Any
) -> Relabelling:
    """Pivotal reordering: the draw's components lie as near as can be to those of a pivot, in the space of parameters.

    Parameters
    ----------
    source, about
        As for `ecr`.
    pivot
        A draw as (chain, draw), its parameters as an array (K, numbers), or None.
    variables
        Those to be looked at: ``means`` by default, or all that have components where nothing is called so.
    scale
        Whether each parameter is divided by its standard deviation over draws and components, so that units do not matter;
        False is the canonical scalar product of Marin, Mengersen & Robert (2005).
    """
    draws = as_draws(source, **about)
    points = points_of(draws, variables, scale)
    if isinstance(pivot, np.ndarray):
        if pivot.shape != points.shape[1:]:
            raise ArgumentError(
                f"The pivot has shape {pivot.shape}; expected (components, numbers), here {points.shape[1:]}."
            )
        centre = pivot / scales_of(draws, variables) if scale else pivot
    else:
        centre = points[draw_of(pivot, draws)]
    return name_by(draws, "PRA", squares(points, centre), given=isinstance(pivot, np.ndarray))


def data_based(source: Source, **about: Any) -> Relabelling:
    """Name components by the rows they hold: each name has a centre and a scale per feature, found in turn with the permutations.

    A component's cost is minus twice the log density of its rows under the name's Gaussian (independent features), so
    that the sum over draws never rises. (Rodríguez & Walker 2014 leave the scale's determinant out.)
    """
    draws = as_draws(source, **about)
    if draws.table is None:
        raise DrawsError("The data-based method needs the data: hand over x=.")
    allocations = Allocations(draws)
    sums = sums_by_class(allocations, draws)
    return iterate(draws, "data-based", allocations, lambda p: misfit(sums, p))


def ordering(source: Source, by: str = "means", index: int = 0, **about: Any) -> Relabelling:
    """Sort components by one parameter of each draw.

    This does not find which component of one draw is which of another: where two components come near each other in that
    parameter their draws are cut at the crossing, whatever the other parameters say, and vector means are not identified
    by one coordinate. The density of sorted draws is K! times the posterior's on the sorted region. Use it where the
    order is what you ask about, and one of the other methods to name components.

    Parameters
    ----------
    by, index
        The variable, and which of its numbers (row-major over its remaining dimensions).

    Warns
    -----
    IdentifiabilityWarning
        If neighbours in the order overlap, so that sorting cuts their draws.
    """
    draws = as_draws(source, **about)
    values = variable_of(draws, by)
    if not 0 <= index < values.shape[2]:
        raise ArgumentError(f"index must lie between 0 and {values.shape[2] - 1}, got {index}.")
    key = values[:, :, index]
    permutations = np.argsort(key, axis=1, kind="stable")
    ranked = np.take_along_axis(key, permutations, axis=1)
    costs = squares(key[:, :, None], ranked.mean(axis=0)[:, None])
    found = result_of(draws, "ordering", costs, permutations, [cost_of(costs, permutations).sum()])
    if found.share_in_doubt > NAMES_IN_DOUBT:
        warnings.warn(
            f"In {found.share_in_doubt:.0%} of draws two neighbours lie nearly in each other's place: sorting by {by}[{index}] "
            "cuts their draws where they cross, and does not tell one from the other. Use stephens or ecr_iterative_1.",
            IdentifiabilityWarning, stacklevel=2,
        )  # fmt: skip
    return found


def point_process(
    source: Source, *, variables: list[str] | None = None, seed: int = 0, num_starts: int = 8, **about: Any
) -> Relabelling:
    """Cluster the components of all draws by k-means, and name each by its cluster (the point-process representation).

    A draw whose K components do not fall into K clusters has no naming of its own: the share of such draws is
    ``about["non_permutation_rate"]``, ``about["is_permutation"]`` tells which are whole; the others get the cheapest naming.
    A high rate says that K clusters are not there: K is too large, or the variables do not tell components apart.

    Parameters
    ----------
    variables
        What is clustered, standardised: ``means`` by default, or all that have components where nothing is called so.
    seed, num_starts
        k-means starts from the pivot draw and from so many more draws taken at random; the best is kept.
    """
    from scipy.cluster.vq import kmeans2

    draws = as_draws(source, **about)
    points = points_of(draws, variables, scale=True)
    cloud = points.reshape(-1, points.shape[2])
    others = np.random.default_rng(seed).integers(draws.size, size=num_starts)
    runs = []
    for start in (draw_of(None, draws, least=0), *others):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a cluster that runs empty: another start does better
            centres, _ = kmeans2(cloud, points[start], iter=50, minit="matrix")
        distances = squares(points, centres)
        runs.append((distances.min(axis=1).sum(), centres, distances))
    inertia, _, costs = min(runs, key=lambda run: run[0])
    clusters = costs.argmin(axis=1)
    whole = (np.sort(clusters, axis=1) == np.arange(draws.num_components)).all(axis=1)
    about_it = {"non_permutation_rate": float(1.0 - whole.mean()), "is_permutation": whole.reshape(draws.shape)}
    return name_by(draws, "point process", costs, about=about_it, objective=[inertia])


METHODS: dict[str, Callable[..., Relabelling]] = {
    "ecr": ecr, "ecr-iterative-1": ecr_iterative_1, "ecr-iterative-2": ecr_iterative_2, "stephens": stephens, "pra": pra,
    "data-based": data_based, "ordering": ordering, "point-process": point_process,
}  # fmt: skip


def relabel(source: Source, method: str = "stephens", **options: Any) -> Relabelling:
    """Give the components of all draws one naming.

    Parameters
    ----------
    source
        A `Posterior`, an ArviZ DataTree of any program, or a mapping of arrays (chain, draw, component, …).
    method
        ``"ecr"``, ``"ecr-iterative-1"``, ``"ecr-iterative-2"``, ``"stephens"``, ``"pra"``, ``"data-based"``, ``"ordering"`` or
        ``"point-process"``: the functions of `bayesgmm.relabelling`, which say what each looks at.
    options
        What the method, and `as_draws`, can be told: ``component_dim``, ``names``, ``x``, ``labels``, ``probabilities``, …

    Returns
    -------
    Relabelling
        ``permutations``, ``datatree`` (relabelled; yours is never changed), ``ambiguity`` per draw, ``overall_ambiguity``.

    Raises
    ------
    DrawsError, ArgumentError
        If the draws cannot be read, or the method does not find what it looks at.
    """
    if method not in METHODS:
        raise ArgumentError(f"Unknown method {method!r}. Choose from {', '.join(METHODS)}.")
    return METHODS[method](source, **options)
