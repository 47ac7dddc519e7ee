"""Arrays in files: which are taken, how small ones stand in the manifest, and the digest of the others."""

import hashlib
from typing import Any

import numpy as np

from bayesgmm.errors import LoadError

INLINE = 64
"""Most numbers of an array that stands in the manifest; larger ones are stored as arrays."""
DTYPES = (
    "bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float32", "float64",
)  # fmt: skip
"""All that are taken, so that no file holds an object."""


def native(array: np.ndarray) -> np.ndarray:
    """The same numbers in one piece of memory, in the byte order of this machine."""
    return np.ascontiguousarray(array, array.dtype.newbyteorder("=")).reshape(array.shape)


def described(array: np.ndarray) -> dict[str, Any]:
    """Shape, dtype and digest of an array, as the manifest has them."""
    return {"shape": list(array.shape), "dtype": array.dtype.name, "digest": digest(array)}


def digest(array: np.ndarray) -> str:
    """A hash of the numbers, little-endian, with shape and dtype."""
    own = array.astype(array.dtype.newbyteorder("<"), copy=False)
    found = hashlib.sha256(f"{array.dtype.name}{list(array.shape)}".encode())
    found.update(np.ascontiguousarray(own).data.cast("B") if own.size else b"")
    return found.hexdigest()[:32]


def dims_of(shape: tuple[int, ...]) -> tuple[str, ...]:
    """Names of the axes for NetCDF and xarray, which want different names for the axes of one array."""
    return tuple(f"d{axis}_{size}" for axis, size in enumerate(shape))


def as_stored(array: np.ndarray) -> np.ndarray:
    """The array as files hold it: neither without axes nor of truth values."""
    array = array.astype(np.uint8) if array.dtype == bool else array
    return array.reshape(1) if array.ndim == 0 else array


def stored_form(about: Any) -> tuple[tuple[int, ...], np.dtype]:
    """Shape and dtype that the file must have for an array of the manifest.

    Raises
    ------
    LoadError
        If the manifest says nothing sensible about it.
    """
    shape, name = (about.get("shape"), about.get("dtype")) if isinstance(about, dict) else (None, None)
    if not isinstance(shape, list) or not all(type(size) is int and 0 <= size < 2**48 for size in shape):
        raise LoadError("its shape is not understood")
    if name not in DTYPES:
        raise LoadError(f"its dtype {name!r} is not one that bayesgmm saves")
    return tuple(shape) or (1,), np.dtype("uint8" if name == "bool" else name)


def from_stored(array: np.ndarray, about: dict[str, Any]) -> np.ndarray:
    """The array that `as_stored` made, checked.

    Raises
    ------
    LoadError
        If it is not the array that the manifest describes.
    """
    shape, dtype = stored_form(about)
    if array.shape != shape or array.dtype != dtype:
        raise LoadError(f"it has shape {array.shape} and dtype {array.dtype}, and not {shape} and {dtype}")
    found = native(array).reshape(about["shape"]).astype(about["dtype"], copy=False)
    if digest(found) != about.get("digest"):
        raise LoadError("its digest differs: the numbers are not those that were saved")
    return found


def inline(array: np.ndarray) -> dict[str, Any] | None:
    """The array as JSON; None if it is large, or JSON would change a bit of it (the payload of a NaN)."""
    if array.size > INLINE:
        return None
    values: Any = array.ravel().tolist()
    if array.dtype.kind == "f":
        values = [value if np.isfinite(value) else repr(value) for value in values]
    record = {"dtype": array.dtype.name, "shape": list(array.shape), "values": values}
    return record if from_inline(record).tobytes() == array.tobytes() else None


def from_inline(record: dict[str, Any]) -> np.ndarray:
    """The array that `inline` made."""
    if record["dtype"] not in DTYPES:
        raise LoadError(f"The manifest has an array of dtype {record['dtype']!r}, which bayesgmm does not save.")
    values = [float(value) if isinstance(value, str) else value for value in record["values"]]
    return np.array(values, record["dtype"]).reshape(record["shape"])
