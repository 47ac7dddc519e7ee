"""The search behind the table of fits, over covariance families and numbers of components.

All families and all numbers of components share one compiled program: θ is padded to the largest K, and the padded
components are inactive. A noise component comes after them. Families are searched from the simplest to the richest.
Each family starts from divisions of the rows and from the best θ of the families that it contains, so that a richer
family never ends below a simpler one.
"""

from dataclasses import replace
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.engines.divisions import Divisions
from bayesgmm.engines.em.ascent import BATCHED_ROWS, ascend, begin, run_ascents, start_ascents
from bayesgmm.engines.em.ascent_state import COLLAPSED, FAILED, Ascent, Best, Limits, usable
from bayesgmm.engines.em.multistart import subsample
from bayesgmm.engines.noise_starts import with_noise
from bayesgmm.engines.starts import starts_from
from bayesgmm.model.families import FAMILIES, Family
from bayesgmm.model.types import Params
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.default import resolve_prior
from bayesgmm.priors.dirichlet import total_constant
from bayesgmm.priors.prior import Belief, flat_prior, restricted
from bayesgmm.priors.within_family import restrict
from bayesgmm.problem import Model, Problem
from bayesgmm.runtime.arguments import split_key
from bayesgmm.runtime.dtypes import on_device, to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.selection.neighbours import resized
from bayesgmm.sweep.kinds_of_rows import Rows, rows_of

CONTAINS = {
    "EII": (), "VII": ("EII",), "EEI": ("EII",), "VEI": ("EEI", "VII"), "EVI": ("EEI",), "VVI": ("VEI", "EVI"),
    "EEE": ("EEI",), "VEE": ("EEE", "VEI"), "EVE": ("EEE", "EVI"), "VVE": ("EVE", "VEE", "VVI"), "EEV": ("EEE",),
    "VEV": ("EEV", "VEE"), "EVV": ("EVE", "EEV"), "VVV": ("VVE", "VEV", "EVV"),
}  # fmt: skip
"""For each family, the largest families that it contains, in order from simple to rich."""

SHORT = 16
"""Iterations of the short run."""


class Row(NamedTuple):
    """Result of the search for one family and one number of components, with θ without padding."""

    problem: Problem
    ascents: Ascent


class GridSearch:
    """The search over families and numbers of components on one data set. Use inside ``dtypes.scope``."""

    def __init__(
        self,
        key: PRNGKeyArray,
        problem: Problem,
        sizes: list[int],
        names: list[str],
        prior,
        num_starts: int,
        tol,
        max_iter,
    ):
        key_rows, key_starts, self.key = split_key(key, 3)
        self.problem, self.sizes, self.prior, self.tol, self.max_iter = problem, sizes, prior, tol, max_iter
        self.widest = max(sizes)
        labels = problem.table.labels
        self.num_classes = 0 if labels is None else int(labels.max()) + 1 if labels.ndim == 1 else self.widest
        self.families = tuple(FAMILIES[name] for name in names)
        self.extra = max(sum(inner in names for inner in CONTAINS[name]) for name in names)
        divisions = Divisions(key_starts, problem)
        self.starts = self._starts(divisions, num_starts)
        self.found: dict[str, Ascent] = {}
        self.problems: dict[str, list[Problem]] = {}
        self.before: dict[str, Ascent] = {}
        self.small = problem.rows.capacity <= BATCHED_ROWS
        self.few = problem.rows
        if not self.small:
            self.few = rows_of(subsample(key_rows, problem.table), problem.frame, problem.dtype, problem.num_components)

    def _starts(self, divisions: Divisions, num_starts: int) -> Params:
        """Padded θ with leading axes (starts, sizes), on the host."""
        made = [
            self._padded(starts_from(*divisions.stats(size, num_starts), divisions.target, self.problem.dtype))
            for size in self.sizes
        ]
        if self.problem.table.noise is not None:
            made = [with_noise(starts, self.problem, divisions.noise_share) for starts in made]
        return jax.tree.map(lambda *leaves: np.stack(leaves, axis=1), *made)

    def _padded(self, params: Params) -> Params:
        """Starts with inactive components up to the largest K: weight 0, mean 0, covariance I."""
        missing = self.widest - params.weights.shape[1]
        weights, means, trils = (
            np.pad(leaf, [(0, 0), (0, missing), *[(0, 0)] * (np.ndim(leaf) - 2)]) for leaf in params
        )
        trils[:, trils.shape[1] - missing :] = np.eye(trils.shape[-1])
        return Params(weights, means, trils)  # pyright: ignore[reportArgumentType]

    def _padded_prior(self, problem: Problem) -> Belief:
        """The standardised prior of one size, padded to the largest K, in the form that all families share."""
        padded = problem.standard_prior.padded(self.widest)
        return padded._replace(components=padded.components.among(self.families))

    def _problems(self, name: str) -> list[Problem]:
        """The problem of each size, built once per family."""
        if name not in self.problems:
            models = [restricted_model(self.problem.model, FAMILIES[name], size, self.prior) for size in self.sizes]
            self.problems[name] = [
                self.problem._replace(model=model, standard_prior=model.family_prior.standardise(model.frame))
                for model in models
            ]
        return self.problems[name]

    def run(self, name: str) -> bool:
        """Search one family for every number of components; return whether Ctrl-C ended the search early."""
        inside = [self._best(self.found[inner]) for inner in CONTAINS[name] if inner in self.found]
        self.found[name], interrupted = self._search(name, inside)
        return interrupted

    def freeze(self) -> None:
        """Take a snapshot of the results for `refine`, so that the order in which families end does not matter."""
        self.before = {family.name: self.found[family.name] for family in self.families if family.name in self.found}

    def refine(self, name: str) -> bool:
        """Search a family again from its neighbours at `freeze`; return whether Ctrl-C ended the search early.

        Neighbours are the other families with the same number of components, the same family with one component fewer
        (one of the heaviest is split), and with one more (one of the lightest is dropped).
        """
        before = self.before[name]
        others = [self._best(found) for other, found in self.before.items() if other != name]
        after, interrupted = self._search(name, [*resized(self._best(before), self.sizes, self.num_classes), *others])
        higher = ~np.asarray(usable(before)) | (after.objective > before.objective)
        better = np.flatnonzero(usable(after) & higher)
        self.found[name] = _put_back(before, better, jax.tree.map(lambda leaf: leaf[better], after))
        return interrupted

    @staticmethod
    def _best(found: Ascent) -> Params:
        """The best θ of a family for each size; NaN if none was found."""
        good = np.asarray(usable(found))
        return jax.tree.map(
            lambda leaf: np.where(good.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, np.nan), found.params
        )

    def rows(self, name: str) -> list[Row]:
        """The results of a family, one row for each number of components."""
        found, problems = self.found[name], self._problems(name)
        last = [self.widest] * (self.problem.table.noise is not None)
        return [
            Row(problem, _without_padding(found, i, [*range(size), *last]))
            for i, (problem, size) in enumerate(zip(problems, self.sizes, strict=True))
        ]

    def _search(self, name: str, made: list[Params]) -> tuple[Ascent, bool]:
        """Ascend from `made` and from divisions of the rows.

        The number of starts is the same for every family; missing starts are NaN.
        """
        room = len(self.starts.weights) + self.extra
        blank = jax.tree.map(lambda leaf: np.full((self.extra, *leaf.shape[1:]), np.nan, leaf.dtype), self.starts)
        stacked = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:room], *_expanded(made), self.starts, blank)
        allowed = np.isfinite(stacked.means).all(axis=(2, 3))
        starts = jax.tree.map(lambda leaf, spare: np.where(np.isnan(leaf), spare[0], leaf), stacked, self.starts)
        padded = [self._padded_prior(problem) for problem in self._problems(name)]
        priors = on_device(jax.tree.map(lambda *leaves: np.stack(leaves), *padded), self.problem.dtype)
        short = np.asarray(SHORT if self.small else 4 * SHORT)
        limits = (np.asarray(self.tol, self.problem.dtype), np.asarray(self.max_iter), short)
        while True:
            found, scouts = to_numpy(_SEARCH(self.key, starts, allowed, priors, self.few, *limits))
            allowed = np.isfinite(scouts.objective)
            failed = np.isin(found.status, FAILED) & allowed.any(axis=0)
            if not failed.any():
                break
            # Exclude starts that failed, and continue from the next best.
            allowed[scouts.winner[failed], failed] = False
        if self.small:
            return found, False
        ascents = begin(found.params, priors, True, traced=False)
        found, interrupted = run_ascents(
            self.key, ascents, priors, self.problem.rows, self.tol, self.max_iter, "em", True
        )
        return to_numpy(found), interrupted


class Scouts(NamedTuple):
    """Objective and status of the short runs, (starts, sizes), and the start that continues for each size."""

    objective: Float[Array, "S M"]
    status: Int[Array, "S M"]
    winner: Int[Array, "M"]


def search_lanes(
    key, starts: Params, allowed, priors: Belief, rows: Rows, tol, max_iter, short
) -> tuple[Ascent, Scouts]:
    """Short runs from each row of starts (one start per size), then a long run from the best start of each size.

    One loop does both, so that an iteration is compiled once. The last round of the loop is the long run.
    """
    num_starts, num_sizes = allowed.shape
    keys = jr.split(key, num_sizes)
    ascend_on = partial(ascend, prior=priors, rows=rows, kernel="em", batched=True, accelerate=True)

    def round_(i, carry):
        best, scouts = carry
        last = i == num_starts
        here = jnp.minimum(i, num_starts - 1)
        fresh = start_ascents(jax.tree.map(lambda leaf: leaf[here], starts), priors, size=1, accelerate=True)
        ascents = jax.tree.map(partial(jnp.where, last), best, fresh)
        until = jnp.where(last, max_iter, jnp.where(allowed[here].any(), short, 0))
        end = ascend_on(keys, ascents, limits=Limits(tol, max_iter, until))
        good = allowed[here] & usable(end)
        better = last | (good & (end.objective > scouts.objective.max(axis=0)))
        best = jax.tree.map(lambda a, b: jnp.where(better.reshape(-1, *(1,) * (a.ndim - 1)), a, b), end, best)
        seen = Scouts(
            scouts.objective.at[i].set(jnp.where(good, end.objective, -jnp.inf), mode="drop"),
            scouts.status.at[i].set(end.status, mode="drop"),
            jnp.where(better & ~last, i, scouts.winner),
        )
        return best, seen

    return lax.fori_loop(0, num_starts + 1, round_, (_nothing(starts, priors, num_sizes), _no_scouts(allowed, starts)))


def _nothing(starts: Params, priors: Belief, num_sizes: int) -> Ascent:
    """Placeholder ascents of zeros, with status collapsed."""
    first = jax.tree.map(lambda leaf: leaf[0], starts)
    shapes = jax.eval_shape(partial(start_ascents, size=1, accelerate=True), first, priors)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return nothing.with_status(jnp.full(num_sizes, COLLAPSED))


def _no_scouts(allowed, starts: Params) -> Scouts:
    objectives = jnp.full(allowed.shape, -jnp.inf, starts.means.dtype)
    return Scouts(objectives, jnp.zeros(allowed.shape, int), jnp.zeros(allowed.shape[1], int))


_SEARCH = Program(search_lanes)


def _without_padding(ascents: Ascent, lane: int, kept: list[int]) -> Ascent:
    """The ascent of one lane, with a leading axis of 1, with these components: those that are no padding."""
    mine = jax.tree.map(lambda leaf: leaf[lane : lane + 1], ascents)

    def cut(params: Params) -> Params:
        return Params(*(part[:, kept] for part in params))

    best = mine.state.best
    best = Best(cut(best.params), best.objective, best.value, best.counts[:, kept], cut(best.plain))
    return mine._replace(state=mine.state._replace(best=best, params=cut(mine.state.params)))


def _put_back(ascents: Ascent, lanes: np.ndarray, new: Ascent) -> Ascent:
    """The ascents, with those in `lanes` replaced by `new`."""

    def put(all_, some):
        out = np.array(all_)
        out[lanes] = some
        return out

    return jax.tree.map(put, ascents, new)


def restricted_model(model: Model, family: Family, size: int, prior: Belief | str | None) -> Model:
    """The model of one family and size. Its prior is always in the form of the family, so that all share a program."""
    dim, noise = model.table.dim, model.table.noise
    num, given, constant = size + (noise is not None), None, 0.0
    if prior is None:
        within = restricted(flat_prior(size, dim), family).beside(noise)
    else:
        given = resolve_prior(prior, model.table, size, family)
        assert given is not None
        given = given.taken_by(family)
        components, constant = restrict(given.components, family)
        within = Belief(given.weights, components).beside(noise)
        constant = total_constant(constant, within.weights)
    return replace(model, num_components=num, family=family, prior=given, family_prior=within, prior_constant=constant)


def _expanded(known: list[Params]) -> list[Params]:
    return [jax.tree.map(lambda leaf: leaf[None], params) for params in known]
