"""Many numbers of components and many covariance families at once: the search behind the table of fits.

All families and all numbers of components share one compiled program: θ is padded to the largest K, and the places beyond
its own are not active. Families go from the simplest to the richest, and each family starts, besides from divisions of the
rows, from the best θ of the families that it contains; so a richer family never ends below a simpler one.
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
from bayesgmm.engines.em.ascent import (
    BATCHED_ROWS,
    COLLAPSED,
    FAILED,
    Ascent,
    Best,
    Limits,
    ascend,
    begin,
    run_ascents,
    start_ascents,
    usable,
)
from bayesgmm.engines.em.multistart import subsample
from bayesgmm.engines.starts import starts_from, weak_prior
from bayesgmm.model.families import FAMILIES, Family
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.prior import Belief, dirichlet_constant, flat_prior, resolve_prior, restricted
from bayesgmm.priors.within_family import restrict
from bayesgmm.problem import Model, Problem
from bayesgmm.runtime.dtypes import on_device, to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.rows import Rows, to_rows

CONTAINS = {
    "EII": (), "VII": ("EII",), "EEI": ("EII",), "VEI": ("EEI", "VII"), "EVI": ("EEI",), "VVI": ("VEI", "EVI"),
    "EEE": ("EEI",), "VEE": ("EEE", "VEI"), "EVE": ("EEE", "EVI"), "VVE": ("EVE", "VEE", "VVI"), "EEV": ("EEE",),
    "VEV": ("EEV", "VEE"), "EVV": ("EVE", "EEV"), "VVV": ("VVE", "VEV", "EVV"),
}  # fmt: skip
"""The largest families inside each family; the order is from simple to rich."""

SHORT = 16
"""Iterations of the short run."""


class Row(NamedTuple):
    """What one family's search found for one number of components, θ without padding."""

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
        key_rows, key_starts, self.key = jr.split(key, 3)
        self.problem, self.sizes, self.prior, self.tol, self.max_iter = problem, sizes, prior, tol, max_iter
        self.widest = max(sizes)
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
            self.few = to_rows(subsample(key_rows, problem.table.values), problem.frame, problem.dtype)

    def _starts(self, divisions: Divisions, num_starts: int) -> Params:
        """(starts, sizes) θ, padded, on the host."""
        stats, priors = [], []
        for size in self.sizes:
            some = divisions.stats(size, num_starts)
            stats.append(jax.tree.map(lambda leaf: self._pad(leaf) if np.ndim(leaf) > 1 else leaf, some))
            priors += [weak_prior(self.problem.model, size).padded(self.widest)] * len(some.counts)
        joined: Stats = jax.tree.map(lambda *leaves: np.concatenate(leaves), *stats)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *priors)
        params = to_numpy(starts_from(joined, stacked, self.problem.dtype))
        return jax.tree.map(lambda leaf: leaf.reshape(len(self.sizes), -1, *leaf.shape[1:]).swapaxes(0, 1), params)

    def _pad(self, leaf: np.ndarray) -> np.ndarray:
        """Components on the second axis, padded to the largest K."""
        widths = [(0, 0)] * np.ndim(leaf)
        widths[1] = (0, self.widest - np.shape(leaf)[1])
        return np.pad(leaf, widths)

    def _padded_prior(self, problem: Problem) -> Belief:
        """The standardised prior of one size, padded to the largest K, as one of all families."""
        padded = problem.standard_prior.padded(self.widest)
        return padded._replace(components=padded.components.among(self.families))

    def _problems(self, name: str) -> list[Problem]:
        """The problem of each size, made once for a family."""
        if name not in self.problems:
            models = [_restricted_model(self.problem.model, FAMILIES[name], size, self.prior) for size in self.sizes]
            self.problems[name] = [
                self.problem._replace(model=model, standard_prior=model.family_prior.standardise(model.frame))
                for model in models
            ]
        return self.problems[name]

    def run(self, name: str) -> bool:
        """Search one family for every number of components; whether Ctrl-C cut it short."""
        inside = [self._best(self.found[inner]) for inner in CONTAINS[name] if inner in self.found]
        self.found[name], interrupted = self._search(name, inside)
        return interrupted

    def freeze(self) -> None:
        """Take what was found so far as what `refine` reads, in whatever order families are then refined."""
        self.before = dict(self.found)

    def refine(self, name: str) -> bool:
        """Search a family again from what its neighbours had found at `freeze`; whether Ctrl-C cut it short.

        Neighbours are the other families with as many components, the same family with one fewer (each of its
        heaviest components split in turn) and with one more (its lightest left out).
        """
        before = self.before[name]
        others = [self._best(found) for other, found in self.before.items() if other != name]
        after, interrupted = self._search(name, [*_resized(self._best(before), self.sizes), *others])
        higher = ~np.asarray(usable(before)) | (after.objective > before.objective)
        better = np.flatnonzero(usable(after) & higher)
        self.found[name] = _put_back(before, better, jax.tree.map(lambda leaf: leaf[better], after))
        return interrupted

    @staticmethod
    def _best(found: Ascent) -> Params:
        """The best θ of a family for each size; NaN where none was found."""
        good = np.asarray(usable(found))
        return jax.tree.map(
            lambda leaf: np.where(good.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, np.nan), found.params
        )

    def rows(self, name: str) -> list[Row]:
        """What was found for a family, a row for each number of components."""
        found, problems = self.found[name], self._problems(name)
        return [Row(problem, _without_padding(found, i, problem.num_components)) for i, problem in enumerate(problems)]

    def _search(self, name: str, made: list[Params]) -> tuple[Ascent, bool]:
        """Ascend from what was made for the family, then from divisions: as many starts for any family, NaN where none is."""
        room = len(self.starts.weights) + self.extra
        blank = jax.tree.map(lambda leaf: np.full((self.extra, *leaf.shape[1:]), np.nan, leaf.dtype), self.starts)
        stacked = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:room], *_expanded(made), self.starts, blank)
        allowed = np.isfinite(stacked.means).all(axis=(2, 3))
        starts = jax.tree.map(lambda leaf, spare: np.where(np.isnan(leaf), spare[0], leaf), stacked, self.starts)
        padded = [self._padded_prior(problem) for problem in self._problems(name)]
        priors = on_device(jax.tree.map(lambda *leaves: np.stack(leaves), *padded), self.problem.dtype)
        short = jnp.asarray(SHORT if self.small else 4 * SHORT)
        limits = (jnp.asarray(self.tol, self.problem.dtype), jnp.asarray(self.max_iter), short)
        while True:
            found, scouts = to_numpy(_SEARCH(self.key, starts, allowed, priors, self.few, *limits))
            allowed = np.isfinite(scouts.objective)
            failed = np.isin(found.status, FAILED) & allowed.any(axis=0)
            if not failed.any():
                break
            # What ended in a collapse is struck out, and the next best goes on in its place.
            allowed[scouts.winner[failed], failed] = False
        if self.small:
            return found, False
        ascents = begin(jax.tree.map(jnp.asarray, found.params), priors, self.max_iter, True, traced=False)
        found, interrupted = run_ascents(
            self.key, ascents, priors, self.problem.rows, self.tol, self.max_iter, "em", True
        )
        return to_numpy(found), interrupted


SPLITS, DROPS = 3, 2


def _resized(best: Params, sizes: list[int]) -> list[Params]:
    """θ for each size made from that of the size before (a component split) and after (one left out); NaN where none is."""
    made = []
    for turn in range(SPLITS + DROPS):
        step = -1 if turn < SPLITS else 1
        theta = jax.tree.map(lambda leaf: np.full_like(leaf, np.nan), best)
        for i, size in enumerate(sizes):
            if size + step not in sizes:
                continue
            neighbour = sizes.index(size + step)
            source = Params(*(np.array(leaf[neighbour]) for leaf in best))
            if np.isnan(source.weights).any():
                continue
            ranked = np.argsort(source.weights[: size + step])
            if step < 0 and turn < size - 1:
                _split(source, int(ranked[::-1][turn]), size - 1)
            elif step > 0:
                _drop(source, int(ranked[turn - SPLITS]), size)
            else:
                continue
            for whole, part in zip(theta, source, strict=True):
                whole[i] = part
        made.append(theta)
    return made


def _split(theta: Params, k: int, new: int) -> None:
    """Component `k` becomes two halves, apart along its longest axis, in places `k` and `new`."""
    tril = theta.scale_trils[k]
    values, vectors = np.linalg.eigh(tril @ tril.T)
    offset = 0.7 * np.sqrt(values[-1]) * vectors[:, -1]
    theta.weights[[k, new]] = 0.5 * theta.weights[k]
    theta.means[new], theta.means[k] = theta.means[k] + offset, theta.means[k] - offset
    theta.scale_trils[new] = tril


def _drop(theta: Params, k: int, last: int) -> None:
    """Component `k` is left out, and the last one takes its place."""
    for part in theta:
        part[k] = part[last]
    theta.weights[last], theta.means[last], theta.scale_trils[last] = 0.0, 0.0, np.eye(theta.means.shape[1])
    theta.weights[:] /= theta.weights.sum()


class Scouts(NamedTuple):
    """How the short runs ended, (starts, sizes), and which of them was carried on."""

    objective: Float[Array, "S M"]
    status: Int[Array, "S M"]
    winner: Int[Array, "M"]


def _search(key, starts: Params, allowed, priors: Belief, rows: Rows, tol, max_iter, short) -> tuple[Ascent, Scouts]:
    """A short run from each row of starts, one for every size; then on from the best of each size.

    One loop does both, so that an iteration is compiled once: its last round is the long run.
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
    """Ascents that hold nothing, in the shape of those that will."""
    first = jax.tree.map(lambda leaf: leaf[0], starts)
    shapes = jax.eval_shape(partial(start_ascents, size=1, accelerate=True), first, priors)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    return nothing.with_status(jnp.full(num_sizes, COLLAPSED))


def _no_scouts(allowed, starts: Params) -> Scouts:
    objectives = jnp.full(allowed.shape, -jnp.inf, starts.means.dtype)
    return Scouts(objectives, jnp.zeros(allowed.shape, int), jnp.zeros(allowed.shape[1], int))


_SEARCH = Program(_search)


def _without_padding(ascents: Ascent, lane: int, size: int) -> Ascent:
    """One lane's ascent, on a leading axis of 1, with the components of its own size."""
    mine = jax.tree.map(lambda leaf: leaf[lane : lane + 1], ascents)

    def cut(params: Params) -> Params:
        return Params(params.weights[:, :size], params.means[:, :size], params.scale_trils[:, :size, :])

    best = mine.state.best
    best = Best(cut(best.params), best.objective, best.counts[:, :size], cut(best.plain))
    return mine._replace(state=mine.state._replace(best=best, params=cut(mine.state.params)))


def _put_back(ascents: Ascent, lanes: np.ndarray, new: Ascent) -> Ascent:
    """The ascents, with some of them replaced."""

    def put(all_, some):
        out = np.array(all_)
        out[lanes] = some
        return out

    return jax.tree.map(put, ascents, new)


def _restricted_model(model: Model, family: Family, size: int, prior: Belief | str | None) -> Model:
    """The model of one family and size, its prior always in the family's own form, so that all share a program."""
    dim = model.table.dim
    if prior is None:
        flat = restricted(flat_prior(size, dim), family)
        return replace(model, num_components=size, family=family, prior=None, family_prior=flat, prior_constant=0.0)
    given = resolve_prior(prior, model.table, size)
    assert given is not None
    given = given.taken_by(family)
    components, constant = restrict(given.components, family)
    constant += dirichlet_constant(given.weights)
    within = Belief(given.weights, components)
    return replace(model, num_components=size, family=family, prior=given, family_prior=within, prior_constant=constant)


def _expanded(known: list[Params]) -> list[Params]:
    return [jax.tree.map(lambda leaf: leaf[None], params) for params in known]
