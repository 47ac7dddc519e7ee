"""Draws of partitions from any source, and co-clustering of rows without an N × N matrix."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import PRNGKeyArray

from bayesgmm.data.order import same_features
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import ArgumentError, DataError, DrawsError
from bayesgmm.model.types import Params
from bayesgmm.partitions.distance import compact
from bayesgmm.partitions.search import BLOCK_LABELS, tables
from bayesgmm.results.draws import Draws, as_draws
from bayesgmm.results.external_draws import observed, per_draw, refuse_about
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.telescoping_posterior import TelescopingPosterior
from bayesgmm.runtime.arguments import as_array, host_generator, shown
from bayesgmm.sweep import per_row

MOST_LABELS = 10**8
"""Most labels (draws × rows) in memory. Draws are thinned to stay below."""
MOST_PAIRED = 5000
"""Most rows for a full similarity matrix (200 MB)."""


class Drawn(NamedTuple):
    """Partitions drawn from the posterior."""

    z: np.ndarray
    """Class of each row in each draw, (N, S), numbered from 0 without gaps in each draw."""
    num_available: int
    """Number of draws before thinning."""
    table: Table | None


def read(source: Any, x: Any, labels: Any, max_draws: int, key: PRNGKeyArray, about: dict[str, Any]) -> Drawn:
    """Read the drawn labels of the rows, or draw them from the class probabilities of each draw.

    Raises
    ------
    ArgumentError
        If `about` has no use with this source.
    DrawsError, DataError
        If the source cannot be read, does not determine the classes of the rows, or has other rows than x.
    """
    arrays = _is_array(source)
    if labels is not None or arrays or isinstance(source, Posterior | TelescopingPosterior):
        refuse_about("labels" if labels is not None or arrays else "a Posterior", about)
    if labels is not None:
        if arrays or not (hasattr(source, "data_vars") or isinstance(source, Mapping | Draws | Posterior)):
            raise DrawsError(f"labels= are those of draws, got {shown(source)}. Labels alone are the first argument.")
        held = observed(source) if hasattr(source, "children") else getattr(source, "table", None)  # pyright: ignore
        table = held if x is None else as_table(x)
        return _from_labels(_by_name(source, labels) if isinstance(labels, str) else labels, table, max_draws)
    if isinstance(source, TelescopingPosterior):
        return _from_params(source.in_use, same_features(x, source.table), source.frame, max_draws, key)
    if isinstance(source, Posterior):
        table = same_features(x, source.table)
        return _from_params(source.params, table, source.frame, max_draws, key)
    if arrays:
        return _from_labels(source, None if x is None else as_table(x), max_draws)
    draws = as_draws(source, x=x, fewest_components=1, **about)
    if draws.labels is not None:
        return _from_labels(draws.labels, draws.table, max_draws)
    if draws.probabilities is not None:
        return _from_probabilities(draws, max_draws, key)
    if draws.params is None or draws.table is None:
        lacking = "the data (x=)" if draws.params is not None else "weights, means and covariances (see names=)"
        raise DrawsError(
            f"A partition needs the class of each row in each draw. Pass labels= or probabilities=, or {lacking}, "
            "so that classes can be drawn."
        )
    return _from_params(draws.params, draws.table, draws.frame, max_draws, key)


def _is_array(source: Any) -> bool:
    return isinstance(source, list | tuple) or (hasattr(source, "__array__") and not hasattr(source, "data_vars"))


def _from_labels(labels: Any, table: Table | None, max_draws: int) -> Drawn:
    if np.ma.is_masked(labels):
        raise DrawsError("Labels are masked in some rows. Drop those rows from them and from x.")
    values = as_array("labels", labels, DrawsError)
    if values.ndim not in (2, 3) or values.size == 0:
        raise DrawsError(
            f"Labels have shape {values.shape}; expected (draw, N) or (chain, draw, N). "
            "A single partition is not a posterior."
        )
    if values.dtype.kind not in "iu":
        raise DrawsError(f"Labels must be integers, got {values.dtype}. Remove draws with missing classes.")
    flat = values.reshape(-1, values.shape[-1])
    if table is not None and table.num_rows != flat.shape[1]:
        raise DataError(f"The data have {table.num_rows} rows, the labels {flat.shape[1]}. Pass the same rows.")
    return _packed(flat[_thinned(len(flat), flat.shape[1], max_draws)], len(flat), table)


def _from_params(params: Params, table: Table, frame: Any, max_draws: int, key: PRNGKeyArray) -> Drawn:
    flat = Params(*(np.asarray(part).reshape(-1, *part.shape[2:]) for part in params))
    size = len(flat.weights)
    chosen = _thinned(size, table.num_rows, max_draws)
    drawn = per_row.draw_labels(key, Params(*(part[chosen][None] for part in flat)), table, frame)
    return _packed(drawn[0], size, table)


def _from_probabilities(draws: Draws, max_draws: int, key: PRNGKeyArray) -> Drawn:
    assert draws.probabilities is not None
    flat = draws.probabilities.reshape(draws.size, -1, draws.num_components)
    rng, chosen = host_generator(key), _thinned(draws.size, flat.shape[1], max_draws)
    drawn = np.stack([_categorical(rng, flat[s]) for s in chosen])
    return _packed(drawn, draws.size, draws.table)


def _categorical(rng: np.random.Generator, probabilities: np.ndarray) -> np.ndarray:
    sums = np.cumsum(probabilities, axis=1)
    return (rng.random((len(sums), 1)) * sums[:, -1:] >= sums[:, :-1]).sum(axis=1)


def _by_name(source: Any, name: str) -> np.ndarray:
    return per_draw(source["posterior"] if "posterior" in getattr(source, "children", ()) else source, name)


def _thinned(size: int, num_rows: int, max_draws: int) -> np.ndarray:
    """Evenly spaced draws: at most `max_draws`, and at most `MOST_LABELS` labels."""
    most = min(size, max_draws, max(1, MOST_LABELS // num_rows))
    return np.linspace(0, size - 1, most).round().astype(int)


def _packed(drawn: np.ndarray, num_available: int, table: Table | None) -> Drawn:
    """Draws (S, N) as rows × draws, in the smallest integer type that holds them."""
    z = np.empty(drawn.shape[::-1], np.uint8)
    for s, labels in enumerate(drawn):
        numbered = compact(labels)
        if numbered.max() > np.iinfo(z.dtype).max:
            z = z.astype(np.uint16 if numbered.max() < 2**16 else np.int32)
        z[:, s] = numbered
    return Drawn(z, num_available, table)


def occupied(z: np.ndarray) -> np.ndarray:
    """Number of occupied clusters of each draw, (S,)."""
    return z.max(axis=0).astype(int) + 1


def numbered(labels: np.ndarray, table: Table | None) -> np.ndarray:
    """Number clusters from 0 by the mean of the first feature or, without data, by size, largest first.

    Ties follow the order of their first rows, so that each partition has one numbering.
    """
    labels = compact(labels)
    first_rows = np.unique(labels, return_index=True)[1]
    labels = np.argsort(np.argsort(first_rows))[labels]
    sizes = np.bincount(labels)
    by = -sizes if table is None else np.bincount(labels, table.filled[:, 0]) / sizes
    return np.argsort(np.argsort(by, kind="stable"))[labels]


def uncertainty(labels: np.ndarray, z: np.ndarray) -> np.ndarray:
    """``(1 / (N - 1)) Σ_j |1[c_i = c_j] - P(z_i = z_j)|`` of each row i, (N,).

    The sum needs counts only: ``n_c + E n_k - 2 E n_ck``, with cluster c of the row and its class k in each draw.
    """
    counts = tables(labels, z, int(labels.max()) + 1)
    sizes, own = counts.sum(axis=2), np.bincount(labels)
    draws = np.arange(z.shape[1])
    values = np.empty(len(z))
    for rows in _blocks(len(z), z.shape[1]):
        classes = z[rows]
        shared = counts[draws, classes, labels[rows, None]]
        values[rows] = own[labels[rows]] + (sizes[draws, classes] - 2.0 * shared).mean(axis=1)
    return values / max(len(z) - 1, 1)


def similarity(z: np.ndarray) -> np.ndarray:
    """``P(z_i = z_j)`` of every pair of these rows, (R, R).

    Raises
    ------
    ArgumentError
        If there are more than `MOST_PAIRED` rows.
    """
    if len(z) > MOST_PAIRED:
        raise ArgumentError(
            f"{len(z)} rows have {len(z) ** 2:,} pairs. Choose at most {MOST_PAIRED} rows with rows=. "
            "uncertainty has no such limit."
        )
    num = int(z.max()) + 1
    together = np.zeros((len(z), len(z)))
    step = max(1, BLOCK_LABELS // (len(z) * num))
    for start in range(0, z.shape[1], step):
        classes = z[:, start : start + step]
        # Single precision is twice as fast, and exact for counts up to 2^24.
        member = (classes[:, :, None] == np.arange(num)).reshape(len(z), -1).astype(np.float32)
        together += member @ member.T
    return together / z.shape[1]


def _blocks(num_rows: int, num_draws: int) -> Iterator[slice]:
    step = max(1, BLOCK_LABELS // num_draws)
    return (slice(start, start + step) for start in range(0, num_rows, step))
