"""The compiled part of the search: rows visited one after another, each moved to its cheapest cluster."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import lax
from jaxtyping import Bool, Float, Int, Integer

from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.programs import Program

ROUNDING = 1e-10
"""A row moves only if it gains more than this share of its cost. Otherwise rounding could move rows for ever."""


class State(NamedTuple):
    """A candidate partition and its counts."""

    labels: Int[Array, "N"]
    """Cluster of each row; -1: not assigned."""
    sizes: Int[Array, "C"]
    counts: Int[Array, "S K C"]
    gains: Float[Array, "S K C"]
    """``δ(counts)``: the increase of φ from one more row."""


def _visit(
    z: Integer[Array, "N S"], order: Int[Array, "N"], num: Int[Array, ""], state: State, increments: Float[Array, "M"]
) -> tuple[State, Int[Array, ""]]:
    """Move the first `num` rows of an order to their cheapest clusters. Return the state and the number of moves."""
    num_classes = state.counts.shape[1]
    classes, draws = jnp.arange(num_classes, dtype=z.dtype), jnp.arange(z.shape[1])

    def best_cluster(row, state: State) -> tuple[Bool[Array, ""], Int[Array, ""]]:
        ours = z[row].astype(jnp.int32)
        own = jnp.maximum(state.labels[row], 0)
        costs = increments[state.sizes] - 2.0 * state.gains[draws, ours].mean(axis=0)
        less = jnp.maximum(state.counts[draws, ours, own] - 1, 0)  # its cluster, without the row
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
        place, state, moved = carry  # few rows move: an inner loop finds the next one and leaves the counts unchanged

        def look(inner):
            moves, best = best_cluster(order[inner[0]], state)
            return inner[0] + 1, moves, best

        start = place, jnp.asarray(False), jnp.asarray(0, jnp.int32)
        place, moves, best = lax.while_loop(lambda inner: (inner[0] < num) & ~inner[1], look, start)
        row = order[place - 1]
        old = state.labels[row]
        # Leave the old cluster, if there is one, and join the new one. No move at the end of the order.
        change, first = jnp.stack([old, best]), jnp.where(moves, jnp.where(old < 0, 1, 0), 2)
        state = lax.fori_loop(first, 2, lambda i, s: add(s, row, change[i], 2 * i.astype(jnp.int32) - 1), state)
        labels = state.labels.at[row].set(jnp.where(moves, best, old))
        return place, state._replace(labels=labels), moved + moves.astype(jnp.int32)

    start = jnp.zeros((), num.dtype), state, jnp.asarray(0, jnp.int32)
    _, state, moved = lax.while_loop(lambda carry: carry[0] < num, to_next_move, start)
    return state, moved


VISIT = Program(_visit)
