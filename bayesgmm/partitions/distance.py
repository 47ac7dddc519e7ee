"""Distances between two partitions of the same rows, from the contingency table of their classes.

Both metrics have one formula, ``[Σ φ(n_a) + Σ φ(n_b) - 2 Σ φ(n_ab)] / scale``. φ is a convex function of the size of a
class, and n_ab is the number of rows in class a of one partition and class b of the other. φ(n) = n log n gives the
variation of information, and φ(n) = n² gives Binder's share of pairs.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from bayesgmm.errors import ArgumentError
from bayesgmm.runtime.arguments import as_array, check_choice

TABLE_CELLS = 2**20
"""Contingency tables up to this size are counted in full. In larger ones, only the pairs of classes that occur are."""
NEAREST = 1.0
"""Before scaling, distinct partitions differ by at least 2 log 2 (VI) or 2 (Binder). Less than this is rounding."""


class Loss(NamedTuple):
    """A distance between partitions: one choice of φ and scale in the formula above."""

    name: str
    title: str
    unit: str
    potential: Callable[[np.ndarray], np.ndarray]
    """φ, as a function of the size of a class."""
    scale: Callable[[int], float]
    """Divisor of the sum for N rows."""

    def of_sums(self, own: Any, other: Any, both: Any, num_rows: int) -> Any:
        """The distance from ``Σ φ(n_a)``, ``Σ φ(n_b)`` and ``Σ φ(n_ab)``."""
        total = np.asarray(own + other - 2.0 * both)
        return np.where(total < NEAREST, 0.0, total) / self.scale(num_rows)


def _n_log_n(counts: np.ndarray) -> np.ndarray:
    return counts * np.log(np.maximum(counts, 1))


LOSSES = {
    "vi": Loss("vi", "variation of information", " nats", _n_log_n, lambda rows: float(rows)),
    "binder": Loss(
        "binder", "Binder's loss", " of pairs", lambda n: np.square(n, dtype=float),
        lambda rows: max(1.0, rows * (rows - 1.0)),
    ),
}  # fmt: skip


def loss_of(name: str) -> Loss:
    """The loss called `name`.

    Raises
    ------
    ArgumentError
        If there is no such loss.
    """
    return LOSSES[check_choice("loss", name, LOSSES)]


def adjusted_rand(a: Any, b: Any) -> float:
    """Adjusted Rand index of two partitions: 1 if they are equal, 0 on average if classes are assigned at random.

    ``(Σ C(n_ab, 2) - E) / ((Σ C(n_a, 2) + Σ C(n_b, 2)) / 2 - E)`` with ``E = Σ C(n_a, 2) Σ C(n_b, 2) / C(N, 2)``
    (Hubert & Arabie 1985, equation 5).

    Parameters
    ----------
    a, b
        Class of each row, (N,): integers or strings, in any numbering.

    Raises
    ------
    ArgumentError
        If they are not two partitions of the same rows.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> bg.adjusted_rand([0, 0, 1, 1], ["b", "b", "a", "a"])
    1.0
    """
    of_a, of_b, of_both = _sizes(a, b)
    pairs_a, pairs_b, pairs_both = ((n * (n - 1.0)).sum() / 2.0 for n in (of_a, of_b, of_both))
    rows = float(of_a.sum())
    expected = pairs_a * pairs_b / max(rows * (rows - 1.0) / 2.0, 1.0)
    most = (pairs_a + pairs_b) / 2.0
    # The index is 0 / 0 only if both partitions have a single class, or both have N classes. Then they are equal.
    return 1.0 if most == expected else float((pairs_both - expected) / (most - expected))


def variation_of_information(a: Any, b: Any) -> float:
    """Variation of information of two partitions in nats, ``H(a | b) + H(b | a)``.

    A metric: 0 if they are equal, and at most log N (Meilă 2007, equation 15).

    Parameters
    ----------
    a, b
        Class of each row, (N,): integers or strings, in any numbering.

    Raises
    ------
    ArgumentError
        If they are not two partitions of the same rows.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> round(bg.variation_of_information([0, 0, 1, 1], [0, 0, 0, 0]), 4)  # log 2
    0.6931
    """
    return _distance(LOSSES["vi"], a, b)


def binder_distance(a: Any, b: Any) -> float:
    """Share of pairs of rows that only one of the partitions puts together: 1 minus the Rand index (Binder 1978).

    A metric: 0 if they are equal, and at most 1.

    Parameters
    ----------
    a, b
        Class of each row, (N,): integers or strings, in any numbering.

    Raises
    ------
    ArgumentError
        If they are not two partitions of the same rows.
    """
    return _distance(LOSSES["binder"], a, b)


def compact(labels: np.ndarray) -> np.ndarray:
    """Labels (N,) renumbered from 0 without gaps, in increasing order."""
    if labels.dtype.kind in "iu":
        low, high = int(labels.min()), int(labels.max())
        if high - low <= 4 * len(labels) + 256:  # counted, not sorted
            shifted = (labels - low).astype(np.intp) if low else labels.astype(np.intp)
            present = np.bincount(shifted) > 0
            return (np.cumsum(present) - 1)[shifted]
    return np.unique(labels, return_inverse=True)[1]


def _distance(loss: Loss, a: Any, b: Any) -> float:
    of_a, of_b, of_both = _sizes(a, b)
    own, other, both = (loss.potential(sizes).sum() for sizes in (of_a, of_b, of_both))
    return float(loss.of_sums(own, other, both, int(of_a.sum())))


def _sizes(a: Any, b: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Sizes of the classes of a, of b, and of their nonempty intersections."""
    first, second = _checked("a", a), _checked("b", b)
    if len(first) != len(second):
        raise ArgumentError(
            f"The partitions have {len(first)} and {len(second)} rows. Pass two partitions of the same rows."
        )
    first, second = compact(first), compact(second)
    of_a, of_b = np.bincount(first), np.bincount(second)
    cells = first * len(of_b) + second
    small = len(of_a) * len(of_b) <= max(TABLE_CELLS, len(first))
    of_both = np.bincount(cells) if small else np.unique(cells, return_counts=True)[1]
    return of_a, of_b, of_both[of_both > 0]


def _checked(name: str, labels: Any) -> np.ndarray:
    values = as_array(name, labels)
    if values.ndim != 1 or len(values) == 0:
        raise ArgumentError(f"{name} must be one class per row, (N,); got shape {values.shape}.")
    if values.dtype.kind == "O":
        if not all(isinstance(value, str | int | np.integer) for value in values):
            raise ArgumentError(f"{name} holds invalid classes (missing values?). Drop those rows from both.")
        values = values.astype(str)
    if values.dtype.kind not in "biuUS":
        raise ArgumentError(f"{name} must hold integers or strings, got {values.dtype}.")
    return values
