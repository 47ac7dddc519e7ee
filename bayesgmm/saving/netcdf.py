"""Text and arrays in one NetCDF file (HDF5)."""

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.data.paths import read_bytes
from bayesgmm.errors import DrawsError, LoadError
from bayesgmm.results.draws_file import check_group
from bayesgmm.runtime.files import write
from bayesgmm.runtime.memory import free_memory
from bayesgmm.saving.arrays import dims_of

HDF5 = b"\x89HDF\r\n\x1a\n"
ARVIZ = ("posterior", "prior", "observed_data", "sample_stats", "posterior_predictive")
"""Groups that show draws as ArviZ writes them."""


def write_netcdf(path: Path, texts: dict[str, str], arrays: dict[str, np.ndarray]) -> None:
    """Write the file, whole or not at all; an earlier file of that name is replaced. Raises OSError if that fails."""
    import h5netcdf

    buffer = io.BytesIO()
    with h5netcdf.File(buffer, "w") as file:
        for name, text in texts.items():
            file.attrs[name] = text
        for name, array in arrays.items():
            dims = dims_of(array.shape)
            for dim, size in zip(dims, array.shape, strict=True):
                if dim not in file.dimensions:
                    file.dimensions[dim] = size
            file.create_variable(f"/{name}", dims, array.dtype, data=array, fletcher32=True)
    write(path, buffer.getvalue())


@contextmanager
def open_netcdf(path: Path) -> Iterator[tuple[dict[str, Any], Any]]:
    """The attributes of the file, and a function from name, shape and dtype to the array, None if there is none.

    Raises
    ------
    LoadError
        If it is no NetCDF file that is whole.
    """
    import h5py

    raw = read_bytes(path, LoadError, "Give the path of a file that bayesgmm.save wrote.")
    if not raw.startswith(HDF5):
        kind = " It looks like a pickle, which can run any code and is never opened." if raw[:1] == b"\x80" else ""
        raise LoadError(f"it is no NetCDF file.{kind} Give a file that bayesgmm.save wrote")
    try:
        with h5py.File(io.BytesIO(raw), "r") as file:
            declared = check_group(file, len(raw), set())
            if declared > free_memory() / 2:
                raise LoadError(f"it declares {declared / 1e9:.3g} GB, more than half of the free memory")
            attributes = dict(file.attrs.items())
            if set(ARVIZ) & set(file) and "bayesgmm" not in attributes:
                raise LoadError(
                    "it holds a DataTree, as ArviZ reads it, and no saved result: bayesgmm.save and --save write "
                    "these (for predict: bayesgmm fit … --save FILE.nc). Draws in it can be read by "
                    "xarray.open_datatree, for bayesgmm.diagnose, relabel and others"
                )

            def fetch(name: str, *_: Any) -> Any:
                found = file.get(name)
                return found[...] if isinstance(found, h5py.Dataset) else None

            yield attributes, fetch
    except DrawsError as error:
        raise LoadError(f"it {str(error).rstrip('.')}") from None
