"""Tables of pandas and trees of xarray in records."""

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

ROWS = ("observed_data", "constant_data")
"""Groups of a tree that hold the data."""


def write(writer: Any, value: Any, place: str) -> dict[str, Any] | None:
    """The record of a table or a tree; None for anything else."""
    pandas, xarray = sys.modules.get("pandas"), sys.modules.get("xarray")
    if pandas is not None and isinstance(value, pandas.DataFrame):
        return _write_frame(writer, value, place)
    if xarray is not None and isinstance(value, xarray.Dataset):
        return _write_dataset(writer, value, place)
    if xarray is not None and isinstance(value, xarray.DataTree):
        return _write_tree(writer, value, place)
    return None


def _write_frame(writer: Any, frame: "pd.DataFrame", place: str) -> dict[str, Any]:
    labels = {"index": frame.index.tolist(), "columns": frame.columns.tolist()}
    names = {"index_names": list(frame.index.names), "columns_names": list(frame.columns.names)}
    found = {name: writer.record(value, f"{place}/{name}") for name, value in (labels | names).items()}
    cells = [writer.record(frame.iloc[:, j].to_numpy(), f"{place}/{j}") for j in range(frame.shape[1])]
    return {"!": "DataFrame", **found, "cells": cells}


def read_frame(fields: dict[str, Any]) -> "pd.DataFrame":
    """The table of a record."""
    import pandas as pd

    frame = pd.DataFrame(dict(enumerate(fields["cells"])), _index(fields["index"], fields["index_names"]))
    frame.columns = _index(fields["columns"], fields["columns_names"])
    return frame


def _index(labels: list[Any], names: list[Any]) -> "pd.Index":
    import pandas as pd

    several = len(names) > 1
    return pd.MultiIndex.from_tuples(labels, names=names) if several else pd.Index(labels, name=names[0])


def _write_dataset(writer: Any, dataset: "xr.Dataset", place: str) -> dict[str, Any]:
    def variable(name: Any, array: Any) -> dict[str, Any]:
        here = f"{place}/{str(name).replace('/', '_')}"
        attrs = writer.record(_plain(array.attrs), here)
        return {"dims": list(map(str, array.dims)), "attrs": attrs, "values": writer.record(array.values, here)}

    groups = {"coords": dataset.coords, "variables": dataset.data_vars}
    parts = {
        group: [[str(name), variable(name, array)] for name, array in members.items()]
        for group, members in groups.items()
    }
    return {"!": "Dataset", **parts, "attrs": writer.record(_plain(dataset.attrs), place)}


def read_dataset(fields: dict[str, Any]) -> "xr.Dataset":
    """The dataset of a record."""
    import xarray as xr

    coords, variables = (
        {name: (one["dims"], one["values"], one["attrs"]) for name, one in fields[group]}
        for group in ("coords", "variables")
    )
    return xr.Dataset(variables, coords, fields["attrs"])


def _write_tree(writer: Any, tree: "xr.DataTree", place: str) -> dict[str, Any]:
    nodes = [node for node in tree.subtree if writer.rows or node.name not in ROWS]
    groups = [[node.path, _write_dataset(writer, node.to_dataset(inherit=False), place + node.path)] for node in nodes]
    return {"!": "DataTree", "groups": groups}


def read_tree(fields: dict[str, Any]) -> "xr.DataTree":
    """The tree of a record."""
    import xarray as xr

    return xr.DataTree.from_dict(dict(fields["groups"]))


def _plain(attrs: Any) -> dict[str, Any]:
    """Attributes as JSON can hold them; others as text."""
    plain = {str(name): value.item() if isinstance(value, np.generic) else value for name, value in attrs.items()}
    simple = (str, int, float, bool)
    return {name: value if isinstance(value, simple) else str(value) for name, value in plain.items()}
