"""Fit a mixture to each of several known classes."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from bayesgmm.data.described import described
from bayesgmm.data.kinds import NOISE, check_rows
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import BayesGMMError
from bayesgmm.priors.prior import Belief
from bayesgmm.runtime.progress import Progress
from bayesgmm.selection.cells import FitTable
from bayesgmm.selection.class_mixtures import ClassMixtures, check_rows_of_classes, named_classes
from bayesgmm.selection.fit_table import checked_table, fit_table


def fit_classes(
    x: Any,
    labels: Any,
    n_components: int | Iterable[int] = range(1, 6),
    families: str | Iterable[str] = "all",
    *,
    prior: Belief | str | None = None,
    weights: Any = None,
    errors: Any = None,
    criterion: str = "bic",
    n_init: int = 16,
    seed: Any = 0,
    max_iter: int = 1000,
    tol: float = 1e-6,
    dtype: str = "float64",
    progress_bar: Progress = None,
) -> ClassMixtures:
    """Fit a mixture to the rows of each class, and classify by Bayes' rule (Hastie & Tibshirani 1996).

    For each class the best cell of a `fit_table` is taken. For one Gaussian per class with a common family (Bensmail &
    Celeux 1996), use ``fit_table(x, K, labels=…)``, where the families also share volume, shape or orientation between
    classes.

    Parameters
    ----------
    x
        Data of shape (N, D): DataFrame, array or xarray.
    labels
        The class of each row, (N,): names or numbers; -1, NaN or None where unknown. Such rows are not used.
    n_components, families, prior, criterion, n_init, seed, max_iter, tol, dtype, progress_bar
        As in `fit_table`, for each class. Numbers of components beyond the rows of a class are left out for it.
    weights, errors
        What else is known of the rows; see `rows`.

    Returns
    -------
    ClassMixtures

    Raises
    ------
    ArgumentError, DataError, PriorError
        Before the run, if an input is invalid, or a class has too few rows.
    CollapseError
        If no cell of a class has a fit.
    """
    table = as_table(described(x, weights, None, errors))
    check_rows("fit_classes", (NOISE,), table, "fit_em does, for one class.")
    classes, places = named_classes(labels, table.num_rows)
    check_rows_of_classes(classes, table, places)
    options = {
        "prior": prior, "criterion": criterion, "n_init": n_init, "seed": seed, "max_iter": max_iter, "tol": tol,
        "dtype": dtype, "progress_bar": progress_bar,
    }  # fmt: skip
    sizes, names = checked_table(n_components, families, criterion, table.dim)
    known = replace(table.take(places >= 0), labels=None)
    places_known = places[places >= 0]
    tables = tuple(
        _table_of(name, known.take(places_known == place), sizes, names, options) for place, name in enumerate(classes)
    )
    counts = np.bincount(places_known, weights=known.weights, minlength=len(classes)).astype(float)
    unknown = table.num_rows - known.num_rows
    return ClassMixtures(classes, tables, counts / counts.sum(), known, places_known, unknown)


def _table_of(name: Any, rows: Table, sizes: list[int], names: list[str], options: dict[str, Any]) -> FitTable:
    """The table of one class; its errors name the class."""
    counted = rows.num_rows if rows.weights is None else int((rows.weights > 0).sum())
    small = [size for size in sizes if size <= counted] or sizes
    try:
        return fit_table(rows, small, names, **options)
    except BayesGMMError as error:
        raise type(error)(f"Class {name}: {error}") from None
