"""Many numbers of components and many covariance families at once: the search behind the table of fits.

All families and all numbers of components share one compiled program: θ is padded to the largest K, and the places beyond
its own are not active. Families go from the simplest to the richest, and each family starts, besides from divisions of the
rows, from the best θ of the families that it contains; so a richer family never ends below a simpler one.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np
from jax import lax
from jaxtyping import Float, Int, PRNGKeyArray

from bayesgmm.engines.em.ascent import BATCHED_ROWS, COLLAPSED, FAILED, Climb, ascend, climb, feet, foot, usable
from bayesgmm.engines.em.multistart import put_back, subsample
from bayesgmm.engines.starts import Divisions, starts_from, weak_belief
from bayesgmm.model.families import FAMILIES
from bayesgmm.model.types import Params, Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.priors.normal_inverse_wishart import Belief
from bayesgmm.priors.within_family import Restricted
from bayesgmm.problem import Problem, penalise, resolve_prior
from bayesgmm.runtime.dtypes import on_device, to_numpy
from bayesgmm.runtime.programs import Program
from bayesgmm.sweep.statistics import Rows, to_rows

CONTAINS = {
    "EII": (), "VII": ("EII",), "EEI": ("EII",), "VEI": ("EEI", "VII"), "EVI": ("EEI",), "VVI": ("VEI", "EVI"),
    "EEE": ("EEI",), "VEE": ("EEE", "VEI"), "EVE": ("EEE", "EVI"), "VVE": ("EVE", "VEE", "VVI"), "EEV": ("EEE",),
    "VEV": ("EEV", "VEE"), "EVV": ("EVE", "EEV"), "VVV": ("VVE", "VEV", "EVV"),
}  # fmt: skip
"""The largest families inside each family; the order is from simple to rich."""

SHORT = 16
"""Turns of the short run."""


class Row(NamedTuple):
    """What one family's search found for one number of components: the states of its starts, θ without padding."""

    problem: Problem
    states: Climb


class Panel:
    """The search over families and numbers of components on one data set. Use inside ``precision.scope``."""

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
        self.found: dict[str, Climb] = {}
        self.problems: dict[str, list[Problem]] = {}
        self.small = problem.rows.capacity <= BATCHED_ROWS
        self.few = problem.rows
        if not self.small:
            self.few = to_rows(subsample(key_rows, problem.table.values), problem.frame, problem.dtype)

    def _starts(self, divisions: Divisions, num_starts: int) -> Params:
        """(starts, sizes) θ, padded, on the host."""
        stats, beliefs = [], []
        for size in self.sizes:
            some = divisions.stats(size, num_starts)
            stats.append(jax.tree.map(lambda leaf: self._pad(leaf, 1) if np.ndim(leaf) > 1 else leaf, some))
            weak = weak_belief(self.problem._replace(num_components=size))
            padded = self._pad_belief(weak)
            beliefs += [padded] * len(some.counts)
        joined: Stats = jax.tree.map(lambda *leaves: np.concatenate(leaves), *stats)
        stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *beliefs)
        params = to_numpy(starts_from(joined, stacked, self.problem.dtype))
        return jax.tree.map(lambda leaf: leaf.reshape(len(self.sizes), -1, *leaf.shape[1:]).swapaxes(0, 1), params)

    def _pad(self, leaf: np.ndarray, axis: int) -> np.ndarray:
        widths = [(0, 0)] * np.ndim(leaf)
        widths[axis] = (0, self.widest - np.shape(leaf)[axis])
        return np.pad(leaf, widths)

    def _pad_belief(self, belief: Belief) -> Belief:
        """Places beyond K: weight 0, and a belief about Σ that has the identity for its mode."""
        size, dim = np.shape(belief.components.loc)
        extra = self.widest - size
        if isinstance(belief.components, Restricted):
            inner, zero = belief.components.belief, 0.0
        else:
            inner, zero = belief.components, 1.0
        padded = jax.tree.map(lambda leaf: self._pad(np.asarray(leaf), 0), inner)
        df, scale = np.array(padded.df, float), np.array(padded.scale, float)
        df[size:] = zero - (dim + 2.0)
        scale[size:] = zero * np.eye(dim)
        inner = padded._replace(df=df, scale=scale)
        weights = belief.weights._replace(concentration=np.append(belief.weights.concentration, np.ones(extra)))
        if not isinstance(belief.components, Restricted):
            return Belief(weights, inner)
        active = np.arange(self.widest) < size
        which = np.asarray(self.families.index(belief.components.families[0]))
        whole = Restricted(self.families, inner, belief.components.metric, active, which)
        return Belief(weights, whole)  # pyright: ignore[reportArgumentType]

    def _problems(self, name: str) -> list[Problem]:
        """The problem of each size, made once for a family."""
        if name in self.problems:
            return self.problems[name]
        family, found = FAMILIES[name], []
        for size in self.sizes:
            own = resolve_prior(self.prior, self.problem.table, size)
            penalty, constant = penalise(own, family, size, self.problem.table.dim, plain=False)
            belief = penalty.standardise(self.problem.frame)
            found.append(self.problem._replace(
                num_components=size, prior=own, family=family, penalty=penalty, prior_constant=constant, belief=belief
            ))  # fmt: skip
        self.problems[name] = found
        return found

    def run(self, name: str) -> bool:
        """Search one family for every number of components; whether Ctrl-C cut it short."""
        self.found[name], interrupted = self._climb(name, [self._best(i) for i in CONTAINS[name] if i in self.found])
        return interrupted

    def refine(self, name: str) -> bool:
        """Search a family again from what its neighbours found; whether Ctrl-C cut it short.

        Neighbours are the other families with as many components, the same family with one fewer (each of its
        heaviest components split in turn) and with one more (its lightest left out).
        """
        before = self.found[name]
        others = [self._best(other) for other in self.found if other != name]
        after, interrupted = self._climb(name, [*_resized(self._best(name), self.sizes), *others])
        higher = ~np.asarray(usable(before)) | (after.objective > before.objective)
        better = np.flatnonzero(usable(after) & higher)
        self.found[name] = put_back(before, better, jax.tree.map(lambda leaf: leaf[better], after))
        return interrupted

    def _best(self, name: str) -> Params:
        """The best θ of a family for each size; NaN where none was found."""
        good = np.asarray(usable(self.found[name]))
        return jax.tree.map(
            lambda leaf: np.where(good.reshape(-1, *(1,) * (leaf.ndim - 1)), leaf, np.nan), self.found[name].best
        )

    def rows(self, name: str) -> list[Row]:
        """What was found for a family, a row for each number of components."""
        found, problems = self.found[name], self._problems(name)
        return [Row(problem, _without_padding(found, i, problem.num_components)) for i, problem in enumerate(problems)]

    def _climb(self, name: str, made: list[Params]) -> tuple[Climb, bool]:
        """Climb from what was made for the family, then from divisions: as many starts for any family, NaN where none is."""
        room = len(self.starts.weights) + self.extra
        blank = jax.tree.map(lambda leaf: np.full((self.extra, *leaf.shape[1:]), np.nan, leaf.dtype), self.starts)
        stacked = jax.tree.map(lambda *leaves: np.concatenate(leaves)[:room], *_expanded(made), self.starts, blank)
        allowed = np.isfinite(stacked.means).all(axis=(2, 3))
        starts = jax.tree.map(lambda leaf, spare: np.where(np.isnan(leaf), spare[0], leaf), stacked, self.starts)
        padded = [self._pad_belief(problem.belief) for problem in self._problems(name)]
        beliefs = on_device(jax.tree.map(lambda *leaves: np.stack(leaves), *padded), self.problem.dtype)
        short = jnp.asarray(SHORT if self.small else 4 * SHORT)
        limits = (jnp.asarray(self.tol, self.problem.dtype), jnp.asarray(self.max_iter), short)
        while True:
            found, scouts = to_numpy(_SEARCH(self.key, starts, allowed, beliefs, self.few, *limits))
            allowed = np.isfinite(scouts.objective)
            failed = np.isin(found.status, FAILED) & allowed.any(axis=0)
            if not failed.any():
                break
            # What ended in a collapse is struck out, and the next best goes on in its place.
            allowed[scouts.winner[failed], failed] = False
        if self.small:
            return found, False
        heights = foot(jax.tree.map(jnp.asarray, found.best), beliefs, self.max_iter, True, traced=False)
        found, interrupted = climb(self.key, heights, beliefs, self.problem.rows, self.tol, self.max_iter, "em", True)
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


def _search(key, starts: Params, allowed, beliefs: Belief, rows: Rows, tol, max_iter, short) -> tuple[Climb, Scouts]:
    """A short run from each row of starts, one for every size; then on from the best of each size.

    One loop does both, so that a turn is compiled once: its last round is the long run.
    """
    num_starts, num_sizes = allowed.shape
    keys = jr.split(key, num_sizes)
    climb_on = partial(
        ascend, prior=beliefs, rows=rows, tol=tol, max_iter=max_iter, kernel="em", batched=True, accelerate=True
    )

    def round_(i, carry):
        best, scouts = carry
        last = i == num_starts
        here = jnp.minimum(i, num_starts - 1)
        fresh = feet(jax.tree.map(lambda leaf: leaf[here], starts), beliefs, size=1, accelerate=True)
        begin = jax.tree.map(partial(jnp.where, last), best, fresh)
        end = climb_on(keys, begin, until=jnp.where(last, max_iter, jnp.where(allowed[here].any(), short, 0)))
        good = allowed[here] & usable(end)
        better = last | (good & (end.objective > scouts.objective.max(axis=0)))
        best = jax.tree.map(lambda a, b: jnp.where(better.reshape(-1, *(1,) * (a.ndim - 1)), a, b), end, best)
        seen = Scouts(
            scouts.objective.at[i].set(jnp.where(good, end.objective, -jnp.inf), mode="drop"),
            scouts.status.at[i].set(end.status, mode="drop"),
            jnp.where(better & ~last, i, scouts.winner),
        )
        return best, seen

    first = jax.tree.map(lambda leaf: leaf[0], starts)
    shapes = jax.eval_shape(partial(feet, size=1, accelerate=True), first, beliefs)
    nothing = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), shapes)
    nothing = nothing._replace(status=jnp.full(num_sizes, COLLAPSED))
    dtype = starts.means.dtype
    blank = Scouts(jnp.full(allowed.shape, -jnp.inf, dtype), jnp.zeros(allowed.shape, int), jnp.zeros(num_sizes, int))
    return lax.fori_loop(0, num_starts + 1, round_, (nothing, blank))


_SEARCH = Program(_search)


def _without_padding(states: Climb, lane: int, size: int) -> Climb:
    """One lane's state, on a leading axis of 1, with the places of its own size."""
    mine = jax.tree.map(lambda leaf: leaf[lane : lane + 1], states)

    def cut(params: Params) -> Params:
        return Params(params.weights[:, :size], params.means[:, :size], params.scale_trils[:, :size, :])

    return mine._replace(best=cut(mine.best), params=cut(mine.params), counts=mine.counts[:, :size])


def _expanded(known: list[Params]) -> list[Params]:
    return [jax.tree.map(lambda leaf: leaf[None], params) for params in known]
