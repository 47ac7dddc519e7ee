"""Rows that no compiled program can hold: the host makes the pass, and the program gets its statistics.

An engine's loop is compiled and calls the pass in it. Rows on disk cannot be read there. So each iteration has three
parts: a program says which pass it needs (`bayesgmm.engines.step.asked`), `HostRows.total` makes it, and the same
iteration as for rows in memory runs with `Passed`, for which a pass is a look-up. All chains or starts share the pass.
"""

from collections.abc import Callable, Generator
from typing import Any, NamedTuple, NoReturn

import numpy as np
from jaxtyping import Float, Key

from bayesgmm.errors import DataError
from bayesgmm.model.mixture import Scorer
from bayesgmm.model.types import Stats
from bayesgmm.numerics.arrays import Array
from bayesgmm.runtime.group import Group
from bayesgmm.runtime.progress import Listener
from bayesgmm.sweep.e_step import Assign
from bayesgmm.sweep.mini_batches import Cut


class Passed(NamedTuple):
    """Rows over which a pass was made; or, with leading axes, over which one was made for each chain or start."""

    stats: Stats
    """What the pass gave."""
    num_rows: Float[Array, "*b"]
    """Number of rows. A floating-point number, because it may be above 2³¹ in single precision."""
    weights: None = None
    """Each row counts once."""
    noise: None = None
    """All components are Gaussians."""

    @property
    def dtype(self):
        """Precision of the pass."""
        return self.stats.counts.dtype


class HostRows:
    """Rows outside of compiled programs. A kind of them has its own `total`, and `batches` if it can."""

    weights = noise = labels = None
    place = "elsewhere"
    group: Group | None = None
    """The processes that share these rows; None: this one has all."""

    def __init__(self, num_rows: int, dtype: str):
        """Keep what engines ask before the first pass."""
        self.num_rows, self.dtype = num_rows, np.dtype(dtype)
        self.note = ""
        """Speed of the last pass, in words."""
        self.watch: Callable[[str], None] | None = None
        """Called some times a second during a pass with its progress in words; None: nobody listens."""

    @property
    def capacity(self) -> int:
        """Number of rows."""
        return self.num_rows

    def total(self, lanes: tuple[Key[Array, "L"], Scorer], assign: Assign) -> Passed:
        """The pass for each key and scorer (leading axis: chains or starts), with one reading of the rows.

        Raises
        ------
        DataError
            If the rows cannot be read.
        """
        raise NotImplementedError

    def batches(self, size: int) -> Generator[Cut]:
        """Mini-batches of `size` rows in one pass, in the order of the rows; several at a time.

        Raises
        ------
        DataError
            If the rows cannot be read, or this kind of rows gives no batches.
        """
        raise DataError("These rows are read as a whole in each iteration, and not in batches. Leave batch_size out.")

    @property
    def __jax_array__(self) -> NoReturn:
        """JAX asks for this where rows on the host are passed to a compiled program by mistake."""
        raise DataError(
            f"This needs rows inside a compiled program, and these are {self.place}. EM, Gibbs, CAVI and NUTS "
            "take such rows, and SVI takes batches of those on disk. For the rest, read the data into memory, or a "
            "sample of them."
        )


def passed(stats: Any, num_rows: int, dtype: np.dtype) -> Passed:
    """The rows after a pass that gave these statistics (leading axis), in the precision of the run."""
    lanes = len(stats.counts)
    return Passed(Stats(*(np.asarray(part, dtype) for part in stats)), np.full(lanes, num_rows, dtype))


def pooled(one: Stats, two: Stats) -> Stats:
    """Statistics of two sets of rows together, on the host (Chan, Golub & LeVeque 1983); leading axes are lanes."""
    counts = one.counts + two.counts
    share = two.counts / np.where(counts > 0, counts, 1.0)
    apart = two.means - one.means
    between = (one.counts * share)[..., None, None] * apart[..., :, None] * apart[..., None, :]
    means = one.means + share[..., None] * apart
    return Stats(counts, means, one.scatters + two.scatters + between, one.value + two.value)


def watched(listener: Listener, rows: Any, label: str, total: int) -> Listener:
    """The listener, which also hears of the progress within each pass over these rows, if the host makes the passes.

    Such a report repeats the steps of the last one, with another note.
    """
    if not isinstance(rows, HostRows):
        return listener
    last: list[Any] = [label, 0, total]

    def heard(label: str, done: int, total: int, note: str) -> None:
        last[:] = label, done, total
        listener(label, done, total, note)

    rows.watch = lambda note: listener(last[0], last[1], last[2], note)
    return heard
