"""From a record back to the result: only what the fixed tables of classes and parts know is made."""

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import jax.random as jr
import numpy as np

from bayesgmm.data.fingerprint import fingerprint_of_table
from bayesgmm.data.left_out import RowsLeftOut
from bayesgmm.data.table import Table
from bayesgmm.errors import BayesGMMError, LoadError
from bayesgmm.results.posterior import Posterior
from bayesgmm.runtime.dtypes import neutral
from bayesgmm.saving import frames, parts
from bayesgmm.saving.arrays import from_inline
from bayesgmm.saving.classes import class_of, function_of
from bayesgmm.saving.records import TAG

Rows = Callable[[RowsLeftOut], Table | None]
"""The whole table of one without rows; None if its rows are not known."""


class Reader:
    """Makes a result from its record and its arrays."""

    def __init__(self, arrays: dict[str, np.ndarray], rows: Rows | None = None):
        """`rows` gives the rows that were left out."""
        self._arrays = arrays
        self._rows = rows
        self._known: dict[int, Any] = {}
        self.tables: list[Table] = []
        """The tables of the result."""
        self._parts: dict[str, Callable[[dict[str, Any]], Any]] = {
            "number": lambda fields: float(fields["value"]), "text": _text, "key": _key,
            "tuple": lambda fields: tuple(fields["items"]), "mapping": lambda fields: dict(fields["items"]),
            "Table": lambda fields: parts.read_table(self, fields),
            "TelescopingPosterior": parts.read_telescoping,
            "Model": lambda fields: parts.read_model(self, fields), "SeedSequence": parts.read_seed,
            "DataFrame": frames.read_frame, "Dataset": frames.read_dataset, "DataTree": frames.read_tree,
            "function": _function,
        }  # fmt: skip

    def result(self, record: Any) -> Any:
        """The result of a whole record.

        Raises
        ------
        LoadError
            If the record is not one that bayesgmm writes.
        DataError
            If the rows that the user gives are not those of the result.
        """
        try:
            return self._value(record)
        except BayesGMMError:
            raise
        except Exception as error:  # a record can be wrong in any way
            raise LoadError(
                f"The manifest is no record of a result ({type(error).__name__}: {str(error)[:200]})."
            ) from None

    def _value(self, record: Any) -> Any:
        if isinstance(record, list):
            return [self._value(one) for one in record]
        if not isinstance(record, dict):
            return record
        if TAG not in record:
            return {name: self._value(part) for name, part in record.items()}
        return self._tagged(record)

    def _tagged(self, record: dict[str, Any]) -> Any:
        kind = record[TAG]
        if kind == "same":
            return self._known[record["number"]]
        if kind in ("array", "scalar"):
            array = self._array(record)
            return array[()] if kind == "scalar" else array
        if kind == "ClassMixtures" and self._rows is not None:
            self._rows = self._rows_of_classes(record)
        number = record.get("number") if kind in ("Table", "Model") else None
        fields = {name: self._value(part) for name, part in record.items() if name != TAG}
        if number is None:
            return self._made(kind, fields)
        del fields["number"]
        self._known[number] = found = self._made(kind, fields)
        return found

    def _made(self, kind: str, fields: dict[str, Any]) -> Any:
        if kind in self._parts:
            return self._parts[kind](fields)
        cls = class_of(kind)
        if cls is None:
            raise LoadError(f"The manifest names a {kind!r}, which is nothing that bayesgmm saves.")
        return parts.read_posterior(cls, fields) if issubclass(cls, Posterior) else cls(**fields)

    def _array(self, record: dict[str, Any]) -> np.ndarray:
        return self._arrays[record["at"]] if "at" in record else from_inline(record)

    def known_table(self, table: Table) -> Table:
        """Note a table whose rows are in the file."""
        self.tables.append(table)
        return table

    def with_rows(self, table: RowsLeftOut) -> Table:
        """The table with its rows, if they are known; otherwise as it is."""
        found = None if self._rows is None else self._rows(table)
        return self.known_table(table if found is None else found)

    def _rows_of_classes(self, record: dict[str, Any]) -> Rows:
        """The rows of each class, from those of all."""
        whole, labels = self._value(record["table"]), self._array(record["labels"])
        if isinstance(whole, RowsLeftOut):
            return lambda _: None
        tables = [whole, *(whole.take(labels == c) for c in range(int(labels.max()) + 1))]
        known = {fingerprint_of_table(table): table for table in tables}
        return lambda table: known.get(table.totals.fingerprint)


def _text(fields: dict[str, Any]) -> np.ndarray:
    values = fields["values"]
    if not all(isinstance(value, str) for value in values):
        raise LoadError("A text of the manifest is no text.")
    return np.array(values, str).reshape(fields["shape"])


def _function(fields: dict[str, Any]) -> Any:
    found = function_of(fields["name"])
    if found is None:
        raise LoadError(f"The manifest names a function {fields['name']!r}, which is nothing that bayesgmm saves.")
    return found


def _key(fields: dict[str, Any]) -> Any:
    with neutral():
        return jr.wrap_key_data(jnp.asarray(fields["words"]), impl=fields["kind"])
