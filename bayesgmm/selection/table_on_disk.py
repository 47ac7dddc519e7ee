"""The table of fits to rows on disk: a fit of EM for each cell, because every pass reads all rows."""

import warnings
from collections.abc import Callable, Iterator
from typing import Any

from bayesgmm.data.table import Table
from bayesgmm.engines.em.fit_em import fit_em
from bayesgmm.errors import BayesGMMWarning, CollapseError, FitError, SamplingInterrupted
from bayesgmm.model.families import FAMILIES
from bayesgmm.runtime.progress import Listener
from bayesgmm.selection.cells import Cell


def cells_on_disk(
    table: Table, sizes: list[int], names: list[str], listener: Listener, **arguments: Any
) -> Iterator[Cell]:
    """A cell for each family and number of components; none after Ctrl-C."""
    for name in names:
        for size in sizes:
            label = FAMILIES[name].label(table.dim)
            try:
                cell = _cell(table, size, name, label, _named(listener, f"{label} {size}"), arguments)
            except SamplingInterrupted:
                return
            yield cell
            if cell.fit is not None and cell.fit.interrupted:
                return


def _cell(table: Table, size: int, name: str, label: str, listener: Listener, arguments: dict[str, Any]) -> Cell:
    """One fit; its warnings are the notes of the table."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", BayesGMMWarning)
            fit = fit_em(table, size, covariance_type=name, progress_bar=listener, **arguments)
    except CollapseError:
        return Cell(label, size, None, "collapsed", False)
    except SamplingInterrupted:
        raise
    except FitError:
        return Cell(label, size, None, "non-finite", False)
    needed = fit.family.rows_needed(table.dim)
    spurious = fit.prior is None and bool(fit.params.weights.min() * table.num_rows <= needed)
    return Cell(label, size, fit, fit.status, spurious)


def _named(listener: Listener, label: str) -> Callable[[str, int, int, str], None]:
    return lambda _, done, total, note: listener(label, done, total, note)
