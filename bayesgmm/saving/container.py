"""A saved result on disk: a manifest in JSON, and the arrays that it describes, each with a digest."""

import hashlib
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.data.paths import short
from bayesgmm.errors import ArgumentError, LoadError
from bayesgmm.runtime.files import as_path
from bayesgmm.runtime.memory import free_memory
from bayesgmm.saving.arrays import as_stored, described, from_stored, stored_form
from bayesgmm.saving.netcdf import open_netcdf, write_netcdf
from bayesgmm.saving.zarr_folder import load_zarr, open_zarr, write_zarr
from bayesgmm.version import __version__

FORMAT = 1
"""Number of the format. It grows when older versions of bayesgmm could not read what this one writes."""
MANIFEST, DIGEST = "bayesgmm", "bayesgmm_digest"
"""The attributes of the root with the manifest, and with its digest."""
_NAME = re.compile(r"[A-Za-z0-9_-]+(/[A-Za-z0-9_-]+)*")
_FORMS = {".nc": (write_netcdf, open_netcdf), ".zarr": (write_zarr, open_zarr)}


def checked_path(path: Any, name: str = "path") -> Path:
    """A path with one of the two suffixes, from the argument of this name.

    Raises
    ------
    ArgumentError
        If it is no path or has another suffix, or the package zarr lacks.
    """
    place = as_path(name, path)
    if place.suffix not in _FORMS:
        raise ArgumentError(
            f"{name} must end in .nc (NetCDF, one file) or .zarr (Zarr, a folder), got {short(place)!r}. The suffix "
            "says in which form a result is saved."
        )
    if place.suffix == ".zarr":
        load_zarr()
    return place


def write_container(path: Path, manifest: dict[str, Any], arrays: dict[str, np.ndarray]) -> None:
    """Write manifest and arrays, whole or not at all. Raises OSError if that fails."""
    head = {"format": FORMAT, "bayesgmm": __version__}
    whole = head | manifest | {"arrays": {name: described(array) for name, array in arrays.items()}}
    text = json.dumps(whole, ensure_ascii=False, allow_nan=False)
    stored = {name: as_stored(array) for name, array in arrays.items()}
    _FORMS[path.suffix][0](path, {MANIFEST: text, DIGEST: _digest(text)}, stored)


def read_container(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """Manifest and arrays, which agree with each other.

    Raises
    ------
    LoadError
        If they do not, the file is damaged or of another kind, or a newer bayesgmm wrote it.
    """
    if path.suffix == ".zarr" and not path.is_dir():
        found = "it is no folder" if path.exists() else "there is no such folder"
        raise LoadError(f"{short(path)} cannot be loaded: {found}. Give a path that bayesgmm.save wrote.")
    try:
        with _FORMS[path.suffix][1](path) as (attributes, fetch):
            manifest = _manifest(attributes)
            return manifest, {name: _array(name, about, fetch) for name, about in _checked(manifest["arrays"]).items()}
    except LoadError as error:
        words = str(error)
        raise LoadError(
            words
            if words.startswith(("No file", short(path)))
            else f"{short(path)} cannot be loaded: {words.rstrip('.')}."
        ) from None
    except Exception as error:  # what h5py, zarr and JSON raise for damaged files has no common base
        why = (str(error) or type(error).__name__).splitlines()[0][:200]
        raise LoadError(
            f"{short(path)} cannot be loaded: it is damaged or incomplete ({why}). Save the result again."
        ) from None


def _manifest(attributes: dict[str, Any]) -> dict[str, Any]:
    """The manifest, of a format that is known."""
    text = attributes.get(MANIFEST)
    if not isinstance(text, str):
        raise LoadError("it holds no result of bayesgmm.save (there is no manifest)")
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        raise LoadError("its manifest is damaged") from None
    if not isinstance(found, dict) or type(found.get("format")) is not int:
        raise LoadError("its manifest is none of bayesgmm.save")
    if found["format"] > FORMAT:
        raise LoadError(
            f"bayesgmm {str(found.get('bayesgmm'))[:40]} wrote it in format {found['format']}, and this is bayesgmm "
            f"{__version__}, which reads formats up to {FORMAT}. Update bayesgmm"
        )
    if attributes.get(DIGEST) != _digest(text):
        raise LoadError("its manifest has changed since it was written (its digest differs)")
    return found


def _checked(arrays: Any) -> dict[str, Any]:
    """What the manifest says of the arrays, if their names are safe and their sizes possible."""
    if not isinstance(arrays, dict) or not all(_NAME.fullmatch(name) for name in arrays):
        raise LoadError("its manifest has no list of arrays, or a name in it that bayesgmm does not use")
    declared = sum(int(np.prod(shape, dtype=float)) * dtype.itemsize for shape, dtype in map(_form, arrays.items()))
    if declared > free_memory() / 2:
        raise LoadError(f"it declares {declared / 1e9:.3g} GB, more than half of the free memory")
    return arrays


def _form(item: tuple[str, Any]) -> tuple[tuple[int, ...], np.dtype]:
    try:
        return stored_form(item[1])
    except LoadError as error:
        raise LoadError(f"the array {item[0]!r} cannot be used: {error}") from None


def _array(name: str, about: dict[str, Any], fetch: Any) -> np.ndarray:
    """One array, checked against the manifest; the message names it."""
    try:
        found = fetch(name, *stored_form(about))
        if found is None:
            raise LoadError("it is missing")
        return from_stored(np.asarray(found), about)
    except Exception as error:  # h5py and zarr raise many kinds
        why = (str(error) or type(error).__name__).splitlines()[0][:200]
        why = "a checksum is wrong, so numbers in it have changed" if "filter returned failure" in why else why
        raise LoadError(f"the array {name!r} cannot be used: {why.rstrip('.')}") from None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]
