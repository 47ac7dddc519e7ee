"""Read a NetCDF file of draws, checked before it is loaded."""

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.data.paths import read_bytes, short
from bayesgmm.errors import DrawsError
from bayesgmm.runtime.memory import free_memory

if TYPE_CHECKING:
    import xarray as xr

SMALL = 2**20
"""Bytes that a variable may declare whatever the file holds."""
MOST_PACKED = 1032
"""The largest factor by which deflate packs."""


def read_tree(path: str | Path) -> "xr.DataTree":
    """A NetCDF file (HDF5) as a DataTree in memory.

    Raises
    ------
    DrawsError
        If there is no such file, it is damaged or no NetCDF-4, or it declares more data than it or the memory can hold.
    """
    import h5py
    import xarray as xr

    raw = read_bytes(path, DrawsError, "Give the path of a NetCDF file of draws.")
    try:
        with h5py.File(io.BytesIO(raw), "r") as file:
            declared = check_group(file, len(raw), set())
        if declared > free_memory() / 2:
            raise DrawsError(
                f"declares {declared / 1e9:.3g} GB, more than half of the free memory. Drop variables or draws with "
                "xarray."
            )
        with xr.open_datatree(io.BytesIO(raw), engine="h5netcdf") as tree:
            # DataTree.load leaves out a variable that has the name of a group (xarray 2026.9).
            groups = {node.path: node.to_dataset(inherit=False).load() for node in tree.subtree}
        return xr.DataTree.from_dict(groups)
    except Exception as error:  # what h5py, h5netcdf and xarray raise for damaged files has no common base
        if isinstance(error, DrawsError):
            raise DrawsError(f"{short(path)} {error}") from None
        reason = (str(error) or type(error).__name__).splitlines()[0][:200]
        reason = "a checksum is wrong, so numbers in it have changed" if "filter returned failure" in reason else reason
        raise DrawsError(
            f"{short(path)} could not be read as a NetCDF file of draws ({reason}). Give a file "
            "that DataTree.to_netcdf wrote, complete and undamaged."
        ) from None


def check_group(group: Any, size: int, seen: set[Any]) -> int:
    """The bytes of all variables. Links that NetCDF does not write, and variables larger than the file are refused."""
    import h5py

    declared = 0
    if group in seen:  # h5py compares objects by their place in the file
        raise DrawsError(f"has the group {group.name} twice, so its groups are no tree. Write the file again.")
    seen.add(group)
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise DrawsError(f"has a link {name}, which NetCDF does not allow. Write the file again.")
        member = group[name]
        if isinstance(member, h5py.Group):
            declared += check_group(member, size, seen)
        elif isinstance(member, h5py.Dataset) and (member.external or member.is_virtual):
            raise DrawsError(f"takes {member.name} from another file, which NetCDF does not. Write the file again.")
        elif isinstance(member, h5py.Dataset) and not _is_bare_dimension(member):
            packed = member.compression is not None or member.scaleoffset is not None
            most = min(size, member.id.get_storage_size()) * (MOST_PACKED if packed else 1)
            if member.size and member.nbytes > max(SMALL, most):
                raise DrawsError(
                    f"declares {member.nbytes:.3g} bytes for {member.name}, but holds at most {most:.3g}. It is "
                    "damaged or incomplete; write it again."
                )
            declared += member.nbytes
    return declared


def _is_bare_dimension(member: Any) -> bool:
    """Whether a dataset stands for a dimension without coordinates, which is never loaded."""
    return bytes(member.attrs.get("NAME", b"")).startswith(b"This is a netCDF dimension but not a netCDF variable")
