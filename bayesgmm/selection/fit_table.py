"""The table of fits: covariance families × numbers of components, ranked by an information criterion."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from bayesgmm.data.described import check_classes, check_occupied, described, fits_labels, without_rows
from bayesgmm.data.table import Table, as_table, check_table
from bayesgmm.engines.checks import MOST_CHAINS
from bayesgmm.engines.em.ascent_state import STATUS, usable
from bayesgmm.engines.em.fit_em import check_has_mode
from bayesgmm.engines.em.to_fit import to_fit
from bayesgmm.engines.engine import check_conjugacy
from bayesgmm.errors import ArgumentError, CollapseError, SamplingInterrupted
from bayesgmm.model.families import FAMILIES, resolve_family
from bayesgmm.priors.conjugacy import Conjugacy
from bayesgmm.priors.prior import Belief
from bayesgmm.priors.stick_breaking import refuse_sticks
from bayesgmm.priors.well_posed import check_well_posed, well_posed
from bayesgmm.problem import prepare
from bayesgmm.runtime.arguments import as_key, as_list, check_choice, check_count, check_number
from bayesgmm.runtime.dtypes import scope
from bayesgmm.runtime.interrupt import interruptible
from bayesgmm.runtime.programs import Stopwatch, stopwatch
from bayesgmm.runtime.progress import Progress, listening
from bayesgmm.selection.cells import CRITERIA, SINGULAR, UNLIKE_LABELS, Cell, FitTable
from bayesgmm.selection.grid_search import GridSearch, Row
from bayesgmm.selection.schedule import search_families
from bayesgmm.selection.table_on_disk import cells_on_disk

if TYPE_CHECKING:
    pass

MOST_SIZES = 1000
"""Most numbers of components in one table."""


def fit_table(
    x: Any,
    n_components: int | Iterable[int] = range(1, 10),
    families: str | Iterable[str] = "all",
    *,
    prior: Belief | str | None = None,
    weights: Any = None,
    labels: Any = None,
    errors: Any = None,
    noise: Any = False,
    criterion: str = "bic",
    n_init: int = 16,
    seed: Any = 0,
    max_iter: int = 1000,
    tol: float = 1e-6,
    batch_size: int | None = None,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> FitTable:
    """Fit every covariance family with every number of components by EM, and rank them (Fraley & Raftery 2002).

    All cells share data and starts. A family also starts from the best θ of the families that it contains, so that a
    richer family never ends below a simpler one. Each start gets a short run; the best start of each cell continues to
    convergence. Then every cell starts again from its neighbours: other families, one component fewer (one is split)
    and one more (one is dropped). For rows on disk (`open_rows`) or in Dask each cell is a `fit_em`.

    Parameters
    ----------
    x
        Data of shape (N, D): DataFrame, array or xarray.
    n_components
        One K, or several, such as ``range(1, 10)``. With known classes, a K of fewer has cells without a fit,
        and so has a K of more if all classes are known and there is no prior.
    families
        ``"all"`` (fourteen; E and V for one feature), or a selection of mclust codes or scikit-learn names.
    prior
        None (maximum likelihood), ``"default"`` (scaled to each K) or a conjugate `Prior` that fits every K.
    weights, labels, errors, noise
        What else is known of the rows, and whether each model has a noise component; see `rows`. K counts the
        Gaussians, and the rows that are noise at first are the same in all cells.
    criterion
        ``"bic"`` (Schwarz 1978), ``"icl"`` (Biernacki, Celeux & Govaert 2000), ``"soft_icl"``, ``"aic"`` or ``"aicc"``:
        see `bayesgmm.results.criteria`. Smaller is better in all.
    n_init
        Starts per cell, made as in `fit_em`.
    seed, max_iter, tol, dtype, progress_bar
        As in `fit_em`.
    batch_size
        For rows on disk: each cell is online EM with batches of so many rows, and no iterations with all rows.

    Returns
    -------
    FitTable
        Its fits keep only the last value of the trace.

    Raises
    ------
    PriorError, ArgumentError
        Before the run, if an input is invalid, or no K is as large as the known classes need.
    CollapseError
        If no cell has a fit.

    Examples
    --------
    >>> import bayesgmm as bg
    >>> x = bg.load_dataset("faithful")
    >>> table = bg.fit_table(x, range(1, 5), ["EEE", "VVV"], progress_bar=False)
    >>> table.best.covariance_type, table.best.n_components
    ('EEE', 3)
    """
    x = described(x, weights, labels, errors, noise)
    table = as_table(x)
    sizes, names = checked_table(n_components, families, criterion, table.dim)
    n_init, max_iter = check_count("n_init", n_init, most=MOST_CHAINS), check_count("max_iter", max_iter)
    tol = check_number("tol", tol, low=0.0, open_low=True)
    _check_batch_size(batch_size, table)
    check_table(table, max(sizes))
    asked = sizes
    sizes = [k for k in sizes if fits_labels(table, k) and (prior is not None or not without_rows(table, k))]
    if not sizes:
        check_classes(table, max(asked))
        check_occupied(table, max(asked))
    singular = [name for name in names if not well_posed(table, FAMILIES[name], prior)]
    if len(singular) == len(names):
        check_well_posed(table, FAMILIES[names[0]], prior)
    with scope(dtype) as dtype, stopwatch() as clock, interruptible() as stop, listening(progress_bar) as listener:
        widest = 1 if table.labels is None and table.noise is None else max(sizes)
        problem = prepare(table, widest, None, dtype, "spherical" if table.dependence else "full")
        check_prior(prior)
        tried = [name for name in names if name not in singular]
        settings = {"n_init": n_init, "max_iter": max_iter, "tol": tol, "dtype": dtype}
        if table.on_disk:
            settings |= {} if batch_size is None else {"batch_size": batch_size, "max_iter": 0}
            cells = tuple(cells_on_disk(table, sizes, tried, listener, prior=prior, seed=seed, **settings))
            cut = stop.is_set()
        else:
            grid = GridSearch(as_key(seed), problem, sizes, tried, prior, n_init, tol, max_iter)
            done, cut = search_families(grid, tried, stop, dtype, listener)
            cells = _cells_of(grid, [name for name in tried if name in done], clock, seed, cut, settings)
        cells += tuple(Cell(name, size, None, SINGULAR, False) for name in singular for size in sizes)
        left_out = [size for size in asked if size not in sizes]
        labels_of = [FAMILIES[name].label(table.dim) for name in names]
        cells += tuple(Cell(label, size, None, UNLIKE_LABELS, False) for label in labels_of for size in left_out)
        if not cells:
            raise SamplingInterrupted("Stopped before the search of the first family ended. Nothing can be returned.")
    if all(cell.fit is None for cell in cells):
        raise CollapseError(
            "No cell of the table has a fit: in each, a component collapses onto too few points. "
            + ("Use prior='default'." if prior is None else "Use a prior with a larger scale.")
        )
    return FitTable(cells, criterion, cut, clock, seed)


def _check_batch_size(batch_size: Any, table: Table) -> None:
    """Refuse batches of rows in memory, where the cells share their iterations."""
    if batch_size is not None and not table.on_disk:
        raise ArgumentError(
            "batch_size of a table is for rows on disk (open_rows). Leave it out, or fit one K (fit_em)."
        )
    if batch_size is not None:
        check_count("batch_size", batch_size)


def check_prior(prior: Any) -> None:
    """Refuse a prior under which the cells have no modes in closed form given z.

    Raises
    ------
    PriorError
        If the prior is not conjugate, has weights by stick, or has no mode.
    """
    check_conjugacy("fit_table", Conjugacy.JOINT, prior)
    why, instead = "its density has no mode unless alpha grows with K", "Use sample_gibbs, or fit_em with one K."
    refuse_sticks(getattr(prior, "weights", None), "fit_table does not take", why, instead)
    check_has_mode(prior)


def _cells_of(grid: GridSearch, names: list[str], *known: Any) -> tuple[Cell, ...]:
    """The cells of the families that were searched."""
    return tuple(_cell(row, *known) for name in names for row in grid.rows(name))


def _cell(row: Row, clock: Stopwatch, seed: Any, interrupted: bool, settings: dict[str, Any]) -> Cell:
    model = row.problem.model
    family, size = model.family, model.num_gaussians
    label = family.label(model.table.dim)
    if not usable(row.ascents)[0]:
        return Cell(label, size, None, STATUS[int(row.ascents.status[0])], False)
    fit = to_fit(row.ascents, 0, row.problem, "em", interrupted, clock, seed, settings)
    needed = family.rows_needed(model.table.dim)
    spurious = model.prior is None and bool(row.ascents.counts[0, :size].min() <= needed)
    return Cell(label, size, fit, fit.status, spurious)


def checked_table(n_components: Any, families: Any, criterion: str, dim: int) -> tuple[list[int], list[str]]:
    """Numbers of components in ascending order and names of families, or an `ArgumentError`."""
    one = isinstance(n_components, (int, float, str, np.generic)) or n_components is None
    sizes = [n_components] if one else as_list("n_components", _at_most(n_components))
    if not sizes:
        raise ArgumentError("n_components is empty. Give one number of components or several, such as range(1, 10).")
    counts = [check_count("n_components", size) for size in sizes]
    check_choice("criterion", criterion, CRITERIA)
    if isinstance(families, str):
        families = (FAMILIES if dim > 1 else ("E", "V")) if families == "all" else families.split(",")
    names = [name.strip() if isinstance(name, str) else name for name in as_list("families", families)]
    wanted = {resolve_family(name, dim).name for name in names}
    if not wanted:
        raise ArgumentError("families is empty. Use 'all', or list some families.")
    return sorted(set(counts)), [name for name in FAMILIES if name in wanted]


def _at_most(sizes: Any) -> Any:
    """Numbers of components, if there are not too many to list; what cannot be counted is returned as it is."""
    try:
        number = len(sizes)
    except OverflowError:
        number = MOST_SIZES + 1
    except TypeError:
        return sizes
    if number > MOST_SIZES:
        raise ArgumentError(f"n_components lists more than {MOST_SIZES} numbers. Each is a fit: list fewer.")
    return sizes
