"""Distances between the partitions of several engines."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.partitions.distance import LOSSES, adjusted_rand, compact, loss_of, variation_of_information
from bayesgmm.partitions.partition import Partition, partition
from bayesgmm.partitions.search import losses
from bayesgmm.results.fit import MixtureFit
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.arguments import as_array, as_key, host_generator, split_key
from bayesgmm.runtime.formatting import as_html, as_text

if TYPE_CHECKING:
    import pandas as pd

PAIRED_LABELS = 2 * 10**7
"""Labels that each expected distance between draws of two posteriors uses."""
MOST_PAIRS = 500


@dataclass(frozen=True, repr=False)
class PartitionDistances:
    """Tables, engine by engine, of distances between partitions of the same rows."""

    adjusted_rand: "pd.DataFrame"
    """Adjusted Rand index between the point partitions: 1 on the diagonal."""
    vi: "pd.DataFrame"
    """Variation of information between the point partitions, in nats."""
    expected_vi: "pd.DataFrame"
    """Mean VI between a draw of one engine and a draw of the other. The diagonal is the spread of one posterior.

    If two engines sample the same posterior, their expected VI equals the VI within each. A point estimate counts as a
    single draw.
    """
    partitions: Mapping[str, np.ndarray]
    """The point partitions, (N,) each."""

    def summary(self) -> "pd.DataFrame":
        """One row per pair of engines: adjusted Rand, VI, expected VI."""
        import pandas as pd

        names = list(self.partitions)
        pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
        tables = {"adjusted Rand": self.adjusted_rand, "VI": self.vi, "expected VI": self.expected_vi}
        upper = np.triu_indices(len(names), 1)
        columns = {title: table.to_numpy()[upper] for title, table in tables.items()}
        return pd.DataFrame(columns, index=pd.MultiIndex.from_tuples(pairs, names=["engine", "other"]))

    def _title(self) -> str:
        rows = len(next(iter(self.partitions.values())))
        return f"Partitions of {rows} rows by {len(self.partitions)} engines; VI in nats"

    def __repr__(self) -> str:
        return as_text(self._title(), self.summary())

    def _repr_html_(self) -> str:
        return as_html(self._title(), self.summary())


def partition_distances(results: Any, *, seed: Any = 0, loss: str = "vi") -> PartitionDistances:
    """Compare the partitions of several engines.

    Parameters
    ----------
    results
        A `Comparison`, or a mapping of names to fits, posteriors, `Partition` s, or classes of rows (N,).
    seed
        int or JAX key.
    loss
        Loss that the point partition of a posterior minimises; see `partition`. The partition of a fit is the most
        probable component of each row.

    Raises
    ------
    ArgumentError
        If there are fewer than two results, or they have different numbers of rows.
    """
    import pandas as pd

    loss_of(loss)
    results = getattr(results, "results", results)
    if not isinstance(results, Mapping) or len(results) < 2:
        raise ArgumentError("Distances need at least two results. Pass a Comparison, or a mapping of names to results.")
    key_pairs, *keys = split_key(as_key(seed), len(results) + 1)
    found = {str(name): _partition_of(one, loss, key) for (name, one), key in zip(results.items(), keys, strict=True)}
    sizes = {name: len(labels) for name, (labels, _) in found.items()}
    if len(set(sizes.values())) > 1:
        sizes = ", ".join(f"{name} {size}" for name, size in sizes.items())
        raise ArgumentError(
            f"The partitions have different numbers of rows ({sizes}). Compare results on the same data."
        )
    points = {name: labels for name, (labels, _) in found.items()}
    rng = host_generator(key_pairs)

    def table(measure) -> pd.DataFrame:
        values = np.zeros((len(found), len(found)))
        for i, a in enumerate(found):
            for j, b in enumerate(found):
                values[i, j] = measure(a, b) if j >= i else values[j, i]
        return pd.DataFrame(values, index=list(found), columns=list(found))

    return PartitionDistances(
        table(lambda a, b: adjusted_rand(points[a], points[b])),
        table(lambda a, b: variation_of_information(points[a], points[b])),
        table(lambda a, b: _expected(rng, found[a][1], found[b][1], a == b)),
        points,
    )


def _partition_of(result: Any, loss: str, key: Any) -> tuple[np.ndarray, np.ndarray]:
    """A point partition (N,), and the partitions (N, S) of the draws of the engine."""
    if isinstance(result, Posterior):
        result = partition(result, loss=loss, seed=key)
    if isinstance(result, Partition):
        return result.labels, result.draws
    labels = result.predict() if isinstance(result, MixtureFit) else as_array("A result", result)
    if labels.ndim != 1 or labels.dtype.kind not in "biuUSO":
        raise ArgumentError(
            f"A result must be a fit, a posterior, a Partition or one class per row, got {type(result).__name__}."
        )
    return labels, compact(labels)[:, None]


def _expected(rng: np.random.Generator, a: np.ndarray, b: np.ndarray, same: bool) -> float:
    """Mean VI between a draw of one and a draw of the other; within one posterior, between two different draws."""
    if a.shape[1] == 1 or b.shape[1] == 1:
        point, drawn = (a, b) if a.shape[1] == 1 else (b, a)
        return float(losses(point[:, 0], drawn, LOSSES["vi"]).mean())
    (rows, num_a), num_b = a.shape, b.shape[1]
    num_pairs = int(np.clip(PAIRED_LABELS // rows, 1, MOST_PAIRS))
    first = rng.integers(num_a, size=num_pairs)
    second = (first + rng.integers(1, num_a, size=num_pairs)) % num_a if same else rng.integers(num_b, size=num_pairs)
    return float(np.mean([variation_of_information(a[:, s], b[:, t]) for s, t in zip(first, second, strict=True)]))
