"""Allocations of the rows under each draw, in blocks of rows: no array of draws × rows × components is stored."""

from collections.abc import Callable, Iterator

import numpy as np

from bayesgmm.errors import DrawsError
from bayesgmm.results.draws import Draws
from bayesgmm.sweep import per_row

BLOCK_VALUES = 2**23
"""Class probabilities (draw, component, row) computed at a time (67 MB)."""
KEPT_BYTES = 2**29
"""Most bytes that one pass over the rows caches for the next pass. Larger results are recomputed in each pass."""

Block = tuple[slice, np.ndarray]
"""Rows, and their values under each draw."""


class Allocations:
    """Class probabilities and labels of every row under every draw, for repeated passes. Chains are concatenated."""

    def __init__(self, draws: Draws):
        if draws.labels is None and draws.probabilities is None and (draws.params is None or draws.table is None):
            lacking = "the data (x=)" if draws.params is not None else "weights, means and covariances (see names=)"
            raise DrawsError(
                f"This method needs the class of each row in each draw. Pass labels= or probabilities=, or {lacking}."
            )
        self.draws = draws
        self.num_rows = int(draws.num_rows or 0)
        self._kept: dict[str, list[Block]] = {}

    def labels(self) -> Iterator[Block]:
        """Classes (draw, rows) as small integers: the stored labels, or the most probable class of each row."""
        return self._pass("labels", self._labels, self.draws.size)

    def probabilities(self) -> Iterator[Block]:
        """Class probabilities (draw, component, rows)."""
        return self._pass("probabilities", self._probabilities, 8 * self.draws.size * self.draws.num_components)

    @property
    def have_probabilities(self) -> bool:
        """Whether class probabilities are available, and not only labels."""
        draws = self.draws
        return draws.probabilities is not None or (draws.params is not None and draws.table is not None)

    def _pass(self, name: str, make: Callable[[], Iterator[np.ndarray]], bytes_per_row: int) -> Iterator[Block]:
        if name in self._kept:
            yield from self._kept[name]
            return
        kept, start = [], 0
        for block in make():
            rows = slice(start, start + block.shape[-1])
            kept.append((rows, block))
            if bytes_per_row * self.num_rows > KEPT_BYTES:
                kept.clear()
            yield rows, block
            start = rows.stop
        if kept:
            self._kept[name] = kept

    def _labels(self) -> Iterator[np.ndarray]:
        draws = self.draws
        if draws.labels is not None:
            flat = draws.labels.reshape(draws.size, -1)
            return (flat[:, i : i + per_row.BLOCK] for i in range(0, self.num_rows, per_row.BLOCK))
        if draws.probabilities is not None:
            return (block.argmax(axis=1).astype(np.uint8) for block in self._probabilities())
        assert draws.params is not None
        assert draws.table is not None
        return per_row.best_labels(draws.params, draws.table, draws.frame)

    def _probabilities(self) -> Iterator[np.ndarray]:
        draws = self.draws
        size = max(1, BLOCK_VALUES // (draws.size * draws.num_components))
        if draws.probabilities is not None:
            flat = draws.probabilities.reshape(draws.size, self.num_rows, draws.num_components)
            return (flat[:, i : i + size].swapaxes(1, 2) for i in range(0, self.num_rows, size))
        if draws.params is None or draws.table is None:
            raise DrawsError(
                "This method needs class probabilities. Pass probabilities=, or weights, means, covariances and data."
            )
        return per_row.responsibilities(draws.params, draws.table, draws.frame, size)
