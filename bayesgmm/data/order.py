"""New rows with the features of a fit, in its order."""

from dataclasses import replace
from typing import Any

import numpy as np

from bayesgmm.data.advice import in_order_of, labels_of, library_of, refuse_other_columns
from bayesgmm.data.protocols import opened
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import DataError


def same_features(x: Any, table: Table) -> Table:
    """New rows as a table, with the features of the fitted table in the same order; None stands for the fitted rows.

    Columns are put in order by name. Arrays carry no names: their columns are in the order of the fit, and a fit of
    an array takes a frame of any names in its order.

    Raises
    ------
    DataError
        If the features differ.
    """
    if x is None:
        return table
    x, _ = opened(x)
    if table.named and not isinstance(x, Table):
        refuse_other_columns(x, table.features)
    labels = labels_of(x)
    if (
        not isinstance(x, Table)
        and library_of(x) == "dask"
        and x.ndim == 2
        and table.named
        and set(map(str, labels)) == set(table.features)
    ):
        x = x[in_order_of(labels, table.features)]  # its columns cannot be put in order later
    new = as_table(x)
    if new.dim != table.dim:
        single = isinstance(x, Table) or np.ndim(x) != 1 or new.num_rows != table.dim
        row = "" if single else " If x is one row, pass np.asarray(x)[None, :]."
        raise DataError(
            f"The fit has {table.dim} features ({', '.join(table.features)}); the new data have {new.dim}. "
            f"Give a column for each feature, in this order.{row}"
        )
    new = in_order(new, table.features, table.named, "fit")
    if table.noise is None:
        return new
    if not new.complete:
        raise DataError("A mixture with a noise component takes no rows with gaps or errors. Drop these rows.")
    return replace(new, noise=replace(table.noise, guess=None))


def in_order(table: Table, features: tuple[str, ...], named: bool, whose: str) -> Table:
    """A table of as many features as `features`, with its columns in that order if both have names.

    Raises
    ------
    DataError
        If both have names (`named`: not those that arrays get), and they differ.
    """
    if table.named and set(table.features) == set(features):
        order = [table.features.index(name) for name in features]
        return table if order == sorted(order) else _reordered(table, order)
    if table.named and named:
        raise DataError(
            f"The {whose} has features {', '.join(features)}; the data have {', '.join(table.features)}. "
            f"Rename the columns, or pass a plain array with the columns in the order of the {whose}."
        )
    return table


def _reordered(table: Table, order: list[int]) -> Table:
    """The same table with its columns in this order."""
    features = tuple(table.features[i] for i in order)
    errors = None if table.errors is None else table.errors[:, order][:, :, order]
    noise = None if table.noise is None else table.noise.in_order(order)
    return replace(table, values=table.values[:, order], features=features, errors=errors, noise=noise)
