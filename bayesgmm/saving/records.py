"""A result as a record: JSON that names classes from a fixed table, with arrays beside it."""

import dataclasses
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import jax.random as jr
import numpy as np

from bayesgmm.data.table import Table
from bayesgmm.errors import ArgumentError
from bayesgmm.problem import Model
from bayesgmm.results.kept_settings import NotKept
from bayesgmm.results.posterior import Posterior
from bayesgmm.results.telescoping_posterior import TelescopingPosterior
from bayesgmm.runtime.dtypes import neutral
from bayesgmm.saving import frames, parts
from bayesgmm.saving.arrays import DTYPES, inline, native
from bayesgmm.saving.classes import name_of, name_of_function

TAG = "!"
"""The key of a record that says what it stands for."""


class Writer:
    """Makes the record of a value, and collects its arrays."""

    def __init__(self, rows: bool = True):
        """`rows` says whether the rows of the data are kept."""
        self.rows = rows
        self.arrays: dict[str, np.ndarray] = {}
        """By their place in the file."""
        self._number = 0
        """How many tables and models have a record."""
        self._taken: set[str] = set()
        """Names of arrays and of the groups that they stand in."""
        self._known: dict[int, tuple[Any, dict[str, Any]]] = {}
        """What has a record already, by its identity; it is kept alive so that no other object takes that."""

    def record(self, value: Any, place: str) -> Any:
        """The record of a value that stands at this place in the result.

        Raises
        ------
        ArgumentError
            If something in it cannot be saved.
        """
        if value is None or type(value) in (bool, int) or isinstance(value, str):
            return str(value) if isinstance(value, str) else value
        if isinstance(value, float) and type(value) is float:
            return value if np.isfinite(value) else {TAG: "number", "value": repr(value)}
        if isinstance(value, np.ndarray | np.generic | jax.Array):
            return self._array(value, place)
        if type(value) is list:
            return [self.record(one, f"{place}/{i}") for i, one in enumerate(value)]
        if type(value) is tuple:
            return {TAG: "tuple", "items": [self.record(one, f"{place}/{i}") for i, one in enumerate(value)]}
        if isinstance(value, dict):
            return self._mapping(value, place)
        return self._object(value, place)

    def fields(self, value: Any, place: str, leave_out: Iterable[str] = ()) -> dict[str, Any]:
        """The record of an object of a class in the table, field by field."""
        name = name_of(type(value))
        assert name is not None
        found = {one: part for one, part in fields_of(value).items() if one not in leave_out}
        return {TAG: name} | {one: self._field(one, part, f"{place}/{one}") for one, part in found.items()}

    def _field(self, name: str, value: Any, place: str) -> Any:
        if name == "resample" and (value is None or name_of_function(value) is None):
            return None
        if name != "settings" or not isinstance(value, Mapping):
            return self.record(value, place)
        return {str(one): self._setting(part, f"{place}/{one}") for one, part in value.items()}

    def _setting(self, value: Any, place: str) -> Any:
        """A setting, or a note of it if it cannot be kept."""
        try:
            return self.record(value, place)
        except ArgumentError:
            return self.fields(NotKept(repr(value)[:200]), place)

    def _array(self, value: Any, place: str) -> dict[str, Any]:
        if isinstance(value, jax.Array) and jnp.issubdtype(value.dtype, jax.dtypes.prng_key):
            with neutral():
                words, kind = np.asarray(jr.key_data(value)), str(jr.key_impl(value))
            return {TAG: "key", "words": self.record(words, place), "kind": kind}
        if id(value) in self._known:
            return self._known[id(value)][1]
        array = np.asarray(value)
        if array.dtype.kind == "U" or (array.dtype == object and all(isinstance(one, str) for one in array.flat)):
            return {TAG: "text", "shape": list(array.shape), "values": [str(one) for one in array.flat]}
        if array.dtype.name not in DTYPES:
            raise ArgumentError(f"{place} is an array of dtype {array.dtype}, which cannot be saved without pickle.")
        array = native(array)
        small = inline(array)
        record: dict[str, Any] = {TAG: "scalar" if isinstance(value, np.generic) else "array"}
        record |= {"at": self._store(array, place)} if small is None else small
        self._known[id(value)] = value, record
        return record

    def _store(self, array: np.ndarray, place: str) -> str:
        """Keep an array under a name that every file format allows."""
        name = "/".join(re.sub(r"[^A-Za-z0-9_-]", "_", part)[:40] or "_" for part in place.split("/"))
        free, number = name, 1
        while free in self._taken or any(group in self.arrays for group in _groups(free)):
            number += 1
            free = f"{name}-{number}"
        self.arrays[free] = array
        self._taken |= {free, *_groups(free)}
        return free

    def _mapping(self, value: Mapping[Any, Any], place: str) -> dict[str, Any]:
        if all(type(key) is str and key != TAG for key in value):
            return {key: self.record(part, f"{place}/{key.replace('/', '_')}") for key, part in value.items()}
        items = [[self.record(k, f"{place}/key{i}"), self.record(v, f"{place}/{i}")] for i, (k, v) in
                 enumerate(value.items())]  # fmt: skip
        return {TAG: "mapping", "items": items}

    def _object(self, value: Any, place: str) -> dict[str, Any]:
        if isinstance(value, Model):
            return self._once(value, lambda: parts.write_model(self, value, place))
        if isinstance(value, Table):
            return self._once(value, lambda: parts.write_table(self, value, place))
        if isinstance(value, np.random.SeedSequence):
            return parts.write_seed(self, value, place)
        if isinstance(value, Posterior) and name_of(type(value)) is not None:
            return parts.write_posterior(self, value, place)
        if isinstance(value, TelescopingPosterior):
            return parts.write_telescoping(self, value, place)
        if name_of(type(value)) is not None:
            return self.fields(value, place)
        if callable(value):
            name = name_of_function(value)
            return self.fields(NotKept(repr(value)[:200]), place) if name is None else {TAG: "function", "name": name}
        found = frames.write(self, value, place)  # a tree of xarray is a mapping too
        if found is None and isinstance(value, Mapping):
            return self._mapping(value, place)
        if found is None:
            raise ArgumentError(
                f"{place} is a {type(value).__module__}.{type(value).__qualname__}, which cannot be saved."
            )
        return found

    def _once(self, value: Any, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The record of what several parts share: with a number, which then stands for it."""
        if id(value) in self._known:
            return self._known[id(value)][1]
        record, number = make(), self._number
        self._number += 1
        self._known[id(value)] = value, {TAG: "same", "number": number}
        return record | {"number": number}


def fields_of(value: Any) -> dict[str, Any]:
    """The fields of a NamedTuple or dataclass by name; those that begin with an underscore can be made again."""
    if isinstance(value, tuple):
        return dict(zip(type(value)._fields, value, strict=True))  # pyright: ignore[reportAttributeAccessIssue]
    names = [field.name for field in dataclasses.fields(value) if not field.name.startswith("_")]
    return {name: getattr(value, name) for name in names}


def _groups(name: str) -> list[str]:
    """The names of the groups that an array stands in."""
    return [name[: found.start()] for found in re.finditer("/", name)]
