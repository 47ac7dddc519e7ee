"""Text and arrays in a folder of Zarr, format 3."""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.errors import ArgumentError, LoadError
from bayesgmm.runtime.files import part_of
from bayesgmm.saving.arrays import dims_of

CODECS = {"bytes", "zstd"}
"""All that are read. Zarr knows others, which may run code."""
MOST_METADATA = 2**30
"""Largest file of metadata, in bytes."""
ADVICE = "Give a folder that bayesgmm.save wrote"


def load_zarr() -> Any:
    """The package zarr.

    Raises
    ------
    ArgumentError
        If it is not installed.
    """
    try:
        import zarr
    except ImportError:
        raise ArgumentError(
            "A folder of Zarr needs the package zarr, which is not installed: pip install 'bayesgmm[zarr]'. Or save "
            "to one file with the suffix .nc."
        ) from None
    return zarr


def write_zarr(path: Path, texts: dict[str, str], arrays: dict[str, np.ndarray]) -> None:
    """Write the folder, whole or not at all; an earlier result of that name is replaced.

    Raises
    ------
    ArgumentError
        If there is a file, or a folder with something else.
    OSError
        If it cannot be written.
    """
    zarr = load_zarr()
    path = Path(os.path.realpath(path))
    if path.exists() and not _is_ours(path):
        raise ArgumentError(f"{path} is there already and is no saved result. Choose another path, or remove it.")
    path.parent.mkdir(parents=True, exist_ok=True)
    part, former = part_of(path.parent), part_of(path.parent)
    try:
        root = zarr.open_group(str(part), mode="w", zarr_format=3, attributes=texts)
        for name, array in arrays.items():
            group, _, own = name.rpartition("/")
            place = root.require_group(group) if group else root
            place.create_array(own, data=array, dimension_names=dims_of(array.shape))
        _to_disk(part)
        if path.exists():
            os.rename(path, former)
        try:
            os.rename(part, path)
        except BaseException:
            if former.exists():
                os.rename(former, path)
            raise
    finally:
        for left in (part, former):
            shutil.rmtree(left, ignore_errors=True)


@contextmanager
def open_zarr(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """The attributes of the folder, and a function from name, shape and dtype to the array, None if there is none.

    Raises
    ------
    LoadError
        If it is no folder of Zarr.
    """
    about = _metadata(path)
    if about is None or about.get("node_type") != "group" or not isinstance(about.get("attributes"), dict):
        raise LoadError(f"it is a folder, but not of Zarr (format 3). {ADVICE}")
    yield about["attributes"], lambda name, shape, dtype: _array(path / name, shape, dtype)


def _array(place: Path, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray | None:
    """An array whose metadata are as bayesgmm writes them; checked before Zarr opens it."""
    about = _metadata(place)
    if about is None:
        return None
    codecs = about.get("codecs")
    named = [one.get("name") if isinstance(one, dict) else None for one in codecs] if isinstance(codecs, list) else []
    if about.get("node_type") != "array" or not named or not set(named) <= CODECS or about.get("storage_transformers"):
        raise LoadError(f"its metadata are not those of bayesgmm (codecs {', '.join(map(str, named)) or 'unknown'})")
    if about.get("shape") != list(shape) or about.get("data_type") != dtype.name:
        raise LoadError(
            f"it has shape {about.get('shape')} and dtype {about.get('data_type')!r}, and not {shape} and {dtype}"
        )
    return np.asarray(load_zarr().open_array(str(place), mode="r", zarr_format=3)[...])


def _metadata(folder: Path) -> dict[str, Any] | None:
    """The metadata of a group or an array; None if there are none."""
    place = folder / "zarr.json"
    try:
        if not place.is_file():
            return None
        if place.stat().st_size > MOST_METADATA:
            raise LoadError(f"its metadata are larger than {MOST_METADATA / 1e9:.2g} GB")
        found = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise LoadError(f"its metadata cannot be read ({str(error)[:200]})") from None
    return found if isinstance(found, dict) and found.get("zarr_format") == 3 else None


def _is_ours(path: Path) -> bool:
    """Whether a folder is a result that was saved before."""
    with suppress(LoadError):
        return "bayesgmm" in ((_metadata(path) or {}).get("attributes") or {})
    return False


def _to_disk(folder: Path) -> None:
    for place in folder.rglob("*"):
        if place.is_file():
            with open(place, "rb") as file:
                os.fsync(file.fileno())
