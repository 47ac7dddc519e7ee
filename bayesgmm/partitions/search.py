"""Greedy multi-start search for the partition of least expected loss. It uses tables of counts, not N × N pairs.

Let n_ck be the number of rows that cluster c of a candidate shares with class k of a draw. The expected loss is
``[Σ_c φ(n_c) - 2 E Σ_ck φ(n_ck)] / scale`` plus a constant (see `bayesgmm.partitions.distance`). Before scaling, a row
that joins cluster c adds ``δ(n_c) - 2 E δ(n_ck)``, with ``δ(n) = φ(n + 1) - φ(n)`` and k the class of the row in each
draw. A greedy step needs only these counts, draws × classes × clusters (Dahl, Johnson & Müller 2022).
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from threading import Event

import jax
import numpy as np

from bayesgmm.numerics.assignment import assign, inverse
from bayesgmm.partitions.distance import Loss
from bayesgmm.partitions.row_moves import ROUNDING, VISIT, State
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.progress import Listener
from bayesgmm.sweep.rows import FEWEST, padded_size

BLOCK_LABELS = 2**22
"""Labels of draws in one block on the host."""
CANDIDATES = 64
"""Draws tried as the best drawn partition. Each is scored against at most `JUDGES` draws."""
JUDGES = 250
FINALISTS = 3
"""Best distinct optima whose clusters are dissolved one by one."""
MOST_TAKEN_APART = 10
"""Random clusters tried in a row without improvement before dissolving stops."""
CORE_ROWS = 4000
"""With more rows, the starts run on a random sample of this size. The best is then extended to all rows."""
SPARE = 3
"""Clusters allowed beyond the classes of the draws. Up to `CORE_ROWS` rows, the search adds more if all are used."""


@dataclass
class Found:
    """The result of a search."""

    labels: np.ndarray
    excess: np.ndarray
    """Expected loss that each start reaches, minus the best (on the sampled rows, if N is large)."""
    full: bool
    """Whether all clusters allowed by default are used, so that more might be better."""
    interrupted: bool


@dataclass(frozen=True)
class Search:
    """Draws as rows × draws, tables of φ and δ, and the moves of a candidate. Call inside `host`."""

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
        """Place the draws on the device, padded to the size class of the rows."""
        potentials, size = loss.potential(np.arange(len(z) + 2)), padded_size(len(z), FEWEST)
        increments = np.zeros(size + 1)
        increments[: len(z) + 1] = np.diff(potentials)
        padded = np.pad(z, ((0, size - len(z)), (0, 0)))
        return cls(z, loss, rng, stop, jax.device_put(padded), potentials, jax.device_put(increments))

    def state(self, labels: np.ndarray, room: int) -> State:
        """State of a candidate with at most `room` clusters. The smallest clusters beyond `room` lose their rows."""
        largest = np.argsort(-np.bincount(labels[labels >= 0], minlength=1), kind="stable")
        rank = np.full(len(largest) + 1, -1)  # the last entry is for rows without a cluster
        rank[largest[:room]] = np.arange(min(room, len(largest)))
        labels = rank[labels]
        sizes = np.bincount(labels[labels >= 0], minlength=room)
        return self._on_device(labels, sizes, tables(labels, self.z, room))

    def without(self, state: State, cluster: int) -> State:
        """The state without one cluster. Its rows are unassigned."""
        labels, sizes, counts = self.labels(state), *(np.array(part) for part in state[1:3])
        labels[labels == cluster], sizes[cluster], counts[:, :, cluster] = -1, 0, 0
        return self._on_device(labels, sizes, counts)

    def _on_device(self, labels: np.ndarray, sizes: np.ndarray, counts: np.ndarray) -> State:
        gains = np.diff(self.potentials)[counts]
        padded = np.pad(labels.astype(np.int32), (0, len(self.device_z) - len(labels)))
        return State(*jax.device_put((padded, sizes.astype(np.int32), counts, gains)))

    def labels(self, state: State) -> np.ndarray:
        """The cluster of each row, (N,); -1 for none."""
        return np.array(state.labels)[: len(self.z)]

    def value(self, state: State) -> float:
        """Expected loss of a state, without the constant term."""
        own, both = (self.potentials[np.asarray(part)].sum() for part in (state.sizes, state.counts))
        return float(own - 2.0 / self.z.shape[1] * both) / self.loss.scale(len(self.z))

    def visit(self, state: State, rows: np.ndarray) -> tuple[State, int]:
        """Move these rows, one after another, to their cheapest clusters. Return the state and the number of moves."""
        order = np.zeros(len(self.device_z), np.int32)
        order[: len(rows)] = self.rng.permutation(rows)
        state, moved = VISIT(self.device_z, order, np.asarray(len(rows)), state, self.increments)
        return state, int(moved)

    def settle(self, state: State) -> State:
        """Visit rows without a cluster, then all rows in random order until no row moves."""
        state, _ = self.visit(state, np.flatnonzero(self.labels(state) < 0))
        moved = 1
        while moved and not self.stop.is_set():
            state, moved = self.visit(state, np.arange(len(self.z)))
        return state

    def shake(self, state: State) -> State:
        """Dissolve one cluster after another, reassign its rows and settle, as long as this lowers the loss."""
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
    """Number of rows that each class and cluster share, (draw, class, cluster). Rows labelled -1 do not count."""
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
    """The best partition over all starts, by expected loss over the draws z (N, S)."""
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
        labels, excess = core.labels(state), np.asarray(values) - core.value(state)
        if rows > CORE_ROWS:
            whole, everywhere = Search.of(z, loss, rng, stop), np.full(rows, -1)
            everywhere[chosen] = labels
            labels = whole.labels(whole.settle(whole.state(everywhere, room)))
        return Found(labels, excess, max_clusters is None and len(np.unique(labels)) == room < rows, stop.is_set())


def host() -> AbstractContextManager:
    """Run on the CPU, because visits of one row after another do not suit an accelerator."""
    try:
        return jax.default_device(jax.local_devices(backend="cpu")[0])
    except RuntimeError:  # JAX is configured without a CPU
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
        listener("partition", num_starts + number + 1, total, "dissolving clusters")
    listener("partition", total, total, "")
    return best, values, room


def _with_room(search: Search, state: State, room: int, may_grow: bool) -> tuple[State, int]:
    """Allow more clusters and settle again, as long as all are used."""
    while may_grow and np.asarray(state.sizes).all() and room < len(search.z) and not search.stop.is_set():
        room *= 2
        state = search.settle(search.state(search.labels(state), room))
    return state, room


def _starts(core: Search, num_starts: int) -> Iterator[np.ndarray]:
    """The best drawn partition, the most frequent class, one cluster; then alternately unassigned rows, and a draw."""
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
    """Most frequent class of each row. Classes of each draw are first matched to the pivot by the rows they share."""
    num = int(z.max()) + 1
    names = inverse(assign(-tables(pivot, z, num).swapaxes(1, 2).astype(float)))  # [draw, class]
    named = names[np.arange(z.shape[1]), z]
    return np.stack([np.count_nonzero(named == k, axis=1) for k in range(num)]).argmax(axis=0)
