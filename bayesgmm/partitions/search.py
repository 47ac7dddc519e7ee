"""The partition of least expected loss: greedy search from many starts, over tables of counts and never over N × N pairs.

With n_ck the rows that cluster c of a candidate shares with class k of a draw, the expected loss is
``[Σ_c φ(n_c) - 2 E Σ_ck φ(n_ck)] / scale`` and a term that no candidate changes (see `bayesgmm.partitions.distance`).
A row that joins cluster c adds ``δ(n_c) - 2 E δ(n_ck)`` to it, ``δ(n) = φ(n + 1) - φ(n)`` and k the row's class in each
draw: all that a greedy step needs are these counts, draws × classes × clusters of them (Dahl, Johnson & Müller 2022).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Event
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from jaxtyping import Bool, Float, Int, Integer

from bayesgmm.numerics.arrays import Array
from bayesgmm.numerics.assignment import assign, inverse
from bayesgmm.partitions.distance import Loss
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.programs import Program
from bayesgmm.runtime.progress import Listener

BLOCK_LABELS = 2**22
"""Labels of draws looked at in one piece on the host."""
CANDIDATES = 64
"""Draws tried as the best drawn partition, each against at most `JUDGES` others."""
JUDGES = 250
FINALISTS = 3
"""Best distinct optima that are taken apart cluster by cluster."""
MOST_TAKEN_APART = 10
"""Clusters, chosen at random, before it is believed that none is worth it."""
CORE_ROWS = 4000
"""Beyond so many rows the starts are searched on a random sample of so many, and the best are then extended to all rows."""
SPARE = 3
"""Clusters that there is room for beyond the classes of the draws; up to `CORE_ROWS` rows, more is made when all are used."""
ROUNDING = 1e-10
"""A row moves for a gain above this share of its cost, or rows would take turns for ever."""


class State(NamedTuple):
    """A candidate partition and its counts."""

    labels: Int[Array, "N"]
    """Cluster of each row; -1: of none as yet."""
    sizes: Int[Array, "C"]
    counts: Int[Array, "S K C"]
    gains: Float[Array, "S K C"]
    """``δ(counts)``: what one more row would add."""


@dataclass
class Found:
    """What a search ended in."""

    labels: np.ndarray
    excess: np.ndarray
    """Expected loss at which each start came to rest, less the best one's (of the sampled rows, if N is large)."""
    full: bool
    """Whether more clusters might have been used, had there been room for them."""
    interrupted: bool


@dataclass(frozen=True)
class Search:
    """Draws as rows × draws, their tables of φ and δ, and what moves a candidate: call inside `host`."""

    z: np.ndarray
    """Class of each row in each draw, (N, S), numbered from 0."""
    loss: Loss
    rng: np.random.Generator
    stop: Event
    device_z: jax.Array
    potentials: np.ndarray
    increments: jax.Array

    @classmethod
    def of(cls, z: np.ndarray, loss: Loss, rng: np.random.Generator, stop: Event) -> "Search":
        """Put draws on the device."""
        potentials = loss.potential(np.arange(len(z) + 2))
        return cls(z, loss, rng, stop, jnp.asarray(z), potentials, jnp.asarray(np.diff(potentials)))

    def state(self, labels: np.ndarray, room: int) -> State:
        """Counts of a candidate with room for so many clusters; rows of clusters beyond the room are left to be placed."""
        largest = np.argsort(-np.bincount(labels[labels >= 0], minlength=1), kind="stable")
        rank = np.full(len(largest) + 1, -1)  # the last entry serves rows of no cluster
        rank[largest[:room]] = np.arange(min(room, len(largest)))
        labels = rank[labels]
        sizes = np.bincount(labels[labels >= 0], minlength=room)
        return self._on_device(labels, sizes, tables(labels, self.z, room))

    def without(self, state: State, cluster: int) -> State:
        """The state less one cluster, whose rows are of none."""
        labels, sizes, counts = (np.array(part) for part in state[:3])
        labels[labels == cluster], sizes[cluster], counts[:, :, cluster] = -1, 0, 0
        return self._on_device(labels, sizes, counts)

    def _on_device(self, labels: np.ndarray, sizes: np.ndarray, counts: np.ndarray) -> State:
        gains = np.diff(self.potentials)[counts]
        return State(*(jnp.asarray(part) for part in (labels.astype(np.int32), sizes.astype(np.int32), counts, gains)))

    def value(self, state: State) -> float:
        """Expected loss of a state, less what no candidate changes."""
        own, both = (self.potentials[np.asarray(part)].sum() for part in (state.sizes, state.counts))
        return float(own - 2.0 / self.z.shape[1] * both) / self.loss.scale(len(self.z))

    def visit(self, state: State, rows: np.ndarray) -> tuple[State, int]:
        """Let these rows, one after another, go where they cost least; how many went."""
        order = np.zeros(len(self.z), np.int32)
        order[: len(rows)] = self.rng.permutation(rows)
        state, moved = _SWEEP(self.device_z, jnp.asarray(order), jnp.asarray(len(rows)), state, self.increments)
        return state, int(moved)

    def settle(self, state: State) -> State:
        """Visit rows without a cluster, then all rows in random order, until none of them moves."""
        state, _ = self.visit(state, np.flatnonzero(np.asarray(state.labels) < 0))
        moved = 1
        while moved and not self.stop.is_set():
            state, moved = self.visit(state, np.arange(len(self.z)))
        return state

    def shake(self, state: State) -> State:
        """Take one cluster apart after another, place its rows anew and settle, for as long as that lowers the loss."""
        lowest, lowered = self.value(state), True
        while lowered:
            lowered = False
            for cluster in self.rng.permutation(np.flatnonzero(np.asarray(state.sizes)))[:MOST_TAKEN_APART]:
                other = self.settle(self.without(state, int(cluster)))
                if self.stop.is_set():
                    return state
                if self.value(other) < lowest - ROUNDING * (1.0 + abs(lowest)):
                    state, lowest, lowered = other, self.value(other), True
                    break
        return state


def tables(labels: np.ndarray, z: np.ndarray, num_clusters: int) -> np.ndarray:
    """Rows that each draw's class shares with each cluster, integers (draw, class, cluster); rows labelled -1 count nowhere."""
    size, num = z.shape[1], int(z.max()) + 1
    total = np.zeros(size * num * num_clusters, np.int32)
    offsets = np.arange(size) * num
    placed = np.flatnonzero(labels >= 0)
    step = max(1, BLOCK_LABELS // size)
    for start in range(0, len(placed), step):
        rows = placed[start : start + step]
        cells = (offsets + z[rows]) * num_clusters + labels[rows, None]
        total += np.bincount(cells.ravel(), minlength=len(total)).astype(np.int32)
    return total.reshape(size, num, num_clusters)


def losses(labels: np.ndarray, z: np.ndarray, loss: Loss) -> np.ndarray:
    """Distance of a partition from each draw, (S,)."""
    counts = tables(labels, z, int(labels.max()) + 1)
    own = loss.potential(np.bincount(labels)).sum()
    drawn = loss.potential(counts.sum(axis=2)).sum(axis=1)
    return loss.of_sums(own, drawn, loss.potential(counts).sum(axis=(1, 2)), len(z))


def search(
    z: np.ndarray, loss: Loss, max_clusters: int | None, num_starts: int, rng: np.random.Generator, stop: Event,
    listener: Listener,
) -> Found:  # fmt: skip
    """The partition of least expected loss over the draws z (N, S) that any start leads to."""
    with scope("float64"), host():
        rows = len(z)
        if rows <= CORE_ROWS:
            chosen, core = np.arange(rows), Search.of(z, loss, rng, stop)
        else:
            chosen = np.sort(rng.choice(rows, CORE_ROWS, replace=False))
            core = Search.of(np.ascontiguousarray(z[chosen]), loss, rng, stop)
        room = max_clusters or -(-(int(z.max()) + 1 + SPARE) // 4) * 4
        may_grow = max_clusters is None and rows <= CORE_ROWS
        state, values, room = _from_starts(core, room, may_grow, num_starts, listener)
        labels, excess = np.asarray(state.labels), np.asarray(values) - core.value(state)
        if rows > CORE_ROWS:
            whole, everywhere = Search.of(z, loss, rng, stop), np.full(rows, -1)
            everywhere[chosen] = labels
            labels = np.asarray(whole.settle(whole.state(everywhere, room)).labels)
        return Found(labels, excess, max_clusters is None and len(np.unique(labels)) == room < rows, stop.is_set())


def host() -> AbstractContextManager:
    """Rows that are visited one after another are no work for an accelerator."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX was told to know no CPU
        return nullcontext()


def _from_starts(
    core: Search, room: int, may_grow: bool, num_starts: int, listener: Listener
) -> tuple[State, list[float], int]:
    ended: dict[float, State] = {}
    values: list[float] = []
    total = num_starts + FINALISTS
    for number, labels in enumerate(_starts(core, num_starts)):
        if core.stop.is_set() and ended:
            break
        state = core.settle(core.state(labels, room))
        values.append(core.value(state))
        ended.setdefault(round(values[-1], 12), state)
        listener("partition", number + 1, total, f"{len(ended)} optima")
    best, lowest = ended[min(ended)], np.inf
    for number, key in enumerate(sorted(ended)[:FINALISTS]):
        state, grown = _with_room(core, core.shake(ended[key]), room, may_grow)
        if core.value(state) < lowest:
            best, lowest, room = state, core.value(state), grown
        listener("partition", num_starts + number + 1, total, "clusters taken apart")
    listener("partition", total, total, "")
    return best, values, room


def _with_room(search: Search, state: State, room: int, may_grow: bool) -> tuple[State, int]:
    """Make room for more clusters, and settle again, for as long as all are used."""
    while may_grow and np.asarray(state.sizes).all() and room < len(search.z) and not search.stop.is_set():
        room *= 2
        state = search.settle(search.state(np.asarray(state.labels), room))
    return state, room


def _starts(core: Search, num_starts: int) -> Iterator[np.ndarray]:
    """The best drawn partition, the most frequent class, all rows together; then in turn rows yet to be placed, and a draw."""
    best, rows = _best_drawn(core), len(core.z)
    makers = [lambda: best, lambda: _most_frequent(core.z, best), lambda: np.zeros(rows, int)]
    makers += [
        lambda: np.full(rows, -1),
        lambda: core.z[:, core.rng.integers(core.z.shape[1])].astype(int),
    ] * num_starts
    return (make() for make in makers[:num_starts])


def _best_drawn(core: Search) -> np.ndarray:
    size = core.z.shape[1]
    judges = np.ascontiguousarray(core.z[:, core.rng.permutation(size)[:JUDGES]])
    candidates = core.z[:, core.rng.permutation(size)[:CANDIDATES]].astype(int).T
    return min(candidates, key=lambda labels: losses(labels, judges, core.loss).mean())


def _most_frequent(z: np.ndarray, pivot: np.ndarray) -> np.ndarray:
    """Each row's most frequent class, after the draws' classes were named by the pivot's with which they share most rows."""
    num = int(z.max()) + 1
    names = inverse(assign(-tables(pivot, z, num).swapaxes(1, 2).astype(float)))  # [draw, class]
    named = names[np.arange(z.shape[1]), z]
    return np.stack([np.count_nonzero(named == k, axis=1) for k in range(num)]).argmax(axis=0)


def _sweep(
    z: Integer[Array, "N S"], order: Int[Array, "N"], num: Int[Array, ""], state: State, increments: Float[Array, "M"]
) -> tuple[State, Int[Array, ""]]:
    """Visit the first `num` rows of an order; a row goes where it costs least. The state, and how many went."""
    num_classes = state.counts.shape[1]
    classes, draws = jnp.arange(num_classes, dtype=z.dtype), jnp.arange(z.shape[1])

    def best_cluster(row, state: State) -> tuple[Bool[Array, ""], Int[Array, ""]]:
        ours = z[row].astype(jnp.int32)
        own = jnp.maximum(state.labels[row], 0)
        costs = increments[state.sizes] - 2.0 * state.gains[draws, ours].mean(axis=0)
        less = jnp.maximum(state.counts[draws, ours, own] - 1, 0)  # its own cluster, without it
        stay = increments[jnp.maximum(state.sizes[own] - 1, 0)] - 2.0 * increments[less].mean()
        placed = state.labels[row] >= 0
        costs = jnp.where(jnp.arange(len(costs)) == state.labels[row], stay, costs)
        best = jnp.argmin(costs).astype(jnp.int32)
        return ~placed | (costs[best] < stay - ROUNDING * (1.0 + jnp.abs(stay))), best

    def add(state: State, row, cluster, by: Int[Array, ""]) -> State:
        here = (z[row][:, None] == classes).astype(jnp.int32)[:, :, None]
        column = lax.dynamic_slice_in_dim(state.counts, cluster, 1, 2) + by * here
        return state._replace(
            sizes=state.sizes + by * (jnp.arange(len(state.sizes)) == cluster),
            counts=lax.dynamic_update_slice_in_dim(state.counts, column, cluster, 2),
            gains=lax.dynamic_update_slice_in_dim(state.gains, increments[column], cluster, 2),
        )

    def to_next_move(carry):
        place, state, moved = carry  # few rows move: looking for the next is a loop that leaves the counts alone

        def look(inner):
            moves, best = best_cluster(order[inner[0]], state)
            return inner[0] + 1, moves, best

        start = place, jnp.asarray(False), jnp.asarray(0, jnp.int32)
        place, moves, best = lax.while_loop(lambda inner: (inner[0] < num) & ~inner[1], look, start)
        row = order[place - 1]
        old = state.labels[row]
        # From the old cluster, if it had one, to the new; nothing at the end of the order.
        change, first = jnp.stack([old, best]), jnp.where(moves, jnp.where(old < 0, 1, 0), 2)
        state = lax.fori_loop(first, 2, lambda i, s: add(s, row, change[i], 2 * i.astype(jnp.int32) - 1), state)
        labels = state.labels.at[row].set(jnp.where(moves, best, old))
        return place, state._replace(labels=labels), moved + moves.astype(jnp.int32)

    start = jnp.zeros((), num.dtype), state, jnp.asarray(0, jnp.int32)
    _, state, moved = lax.while_loop(lambda carry: carry[0] < num, to_next_move, start)
    return state, moved


_SWEEP = Program(_sweep)
