"""Open rows on disk: which reader takes which files."""

from os import PathLike, fspath
from pathlib import Path
from typing import Any

import numpy as np

from bayesgmm.data.away import RowsAway
from bayesgmm.data.of_processes import rows_of_processes
from bayesgmm.data.on_disk.arrays import Arrays, Zarr
from bayesgmm.data.on_disk.rows_on_disk import RowsOnDisk
from bayesgmm.data.on_disk.source import Source, reason
from bayesgmm.data.on_disk.survey import survey
from bayesgmm.data.paths import short
from bayesgmm.errors import ArgumentError, DataError
from bayesgmm.runtime.arguments import as_key, as_list, check_count, check_flag, host_generator, shown
from bayesgmm.runtime.progress import Progress, listening

PARQUET, ARROW, NUMPY, ZARR = (".parquet", ".pq"), (".arrow", ".feather", ".ipc"), (".npy",), (".zarr",)
OF_ZARR = ("zarr.json", ".zarray", ".zgroup")


def open_rows(
    path: Any,
    *,
    columns: Any = None,
    chunk_rows: int | None = None,
    processes: bool = False,
    seed: Any = 0,
    progress_bar: Progress = None,
) -> RowsAway:
    """Open data that need not fit in memory; engines then read them once in each iteration.

    The result is the ``x`` of `fit_em`, `sample_gibbs` and `fit_cavi`, which give the same answers as for the same rows
    in memory, and of `fit_svi`, which reads batches in order. Memory does not grow with the number of rows. All rows
    are read once here: for their moments, for missing and infinite values, and for a sample of rows, from which starts
    are made.

    Parameters
    ----------
    path
        A Parquet file, an Arrow IPC (Feather) file, a ``.npy`` file, or a folder of files of one of these formats, in
        the order of their names; a folder of Zarr; or an opened ``pyarrow.dataset.Dataset``, array or group of Zarr. An
        array has the shape (rows, features); a group of Zarr has an array for each feature.
    columns
        Names of the features to keep, in this order; by default all columns.
    chunk_rows
        Rows in memory at a time, about; by default some hundred thousand.
    processes
        True: each process of `jax.distributed` (or of `join_processes`) opens its own files; together, in the order of
        processes, they are the data. Every process makes the same calls, and gets the same results. See `rows`.
    seed
        int or JAX key: for the sample of rows.
    progress_bar
        True, False, None (a bar if the session is interactive) or a callable.

    Returns
    -------
    RowsAway

    Raises
    ------
    DataError
        If files are missing, cannot be read, have no rows, or differ in their columns; if a column holds no numbers, or
        a value is missing or infinite. The message has the file and the row.
    ArgumentError
        If an argument is out of its range.
    ProcessError
        If another process has ended.
    """
    rows_at_once = None if chunk_rows is None else check_count("chunk_rows", chunk_rows)
    wanted = None if columns is None else _names(columns)
    key = as_key(seed)

    def opened() -> RowsOnDisk:
        with listening(progress_bar) as listener:
            source = source_of(path, wanted)
            _refuse_empty(source)
            found = survey(source, host_generator(key), lambda *at: listener("first pass", *at))
        return RowsOnDisk.of(source, found, rows_at_once)

    return rows_of_processes(opened, key) if check_flag("processes", processes) else opened()


def _names(columns: Any) -> list[str]:
    names = [columns] if isinstance(columns, str) else as_list("columns", columns)
    if not names or not all(isinstance(name, str) for name in names):
        raise ArgumentError(f"columns must be names of columns, got {shown(columns)}.")
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ArgumentError(f"columns names {', '.join(twice)} twice.")
    return names


def _refuse_empty(source: Source) -> None:
    for i, count in enumerate(source.rows_of_files):
        if count == 0:
            name = short(source.files[i]) if source.files else f"part {i} of the data set"
            raise DataError(f"{name} has no rows. Write it again, or remove it.")
    if not source.rows_of_files:
        raise DataError("The data set has no rows.")


def source_of(path: Any, wanted: list[str] | None) -> Source:
    """The reader of a path or of an opened data set."""
    if isinstance(path, np.memmap):
        raise ArgumentError(f"open_rows maps .npy files itself: give the path, {shown(str(path.filename))}.")
    kind = f"{type(path).__module__}.{type(path).__name__}"
    if kind.startswith("pyarrow.") and hasattr(path, "get_fragments"):
        from bayesgmm.data.on_disk.arrow import Dataset

        return Dataset(path, wanted)
    if kind.startswith("zarr."):
        return Zarr(None, path, wanted)
    if not isinstance(path, str | PathLike):
        raise ArgumentError(
            f"open_rows takes a path, a pyarrow dataset or an array of Zarr, got {shown(path)}. Engines take tables in "
            "memory as they are."
        )
    try:
        place = Path(fspath(path))
        return _of_path(place, wanted)
    except (OSError, ValueError) as error:
        if isinstance(error, DataError | ArgumentError):
            raise
        raise DataError(f"{short(str(path))} could not be read ({reason(error)}).") from None


def _of_path(place: Path, wanted: list[str] | None) -> Source:
    if not place.exists():
        raise DataError(f"No file or folder {short(place)}.")
    if not (place.is_dir() or place.is_file()):
        raise DataError(f"{short(place)} is a pipe or device, which cannot be read more than once. Write it to a file.")
    if place.is_dir() and (place.suffix in ZARR or any((place / name).exists() for name in OF_ZARR)):
        return Zarr(place, _open_zarr(place), wanted)
    files = _files(place)
    suffix = files[0].suffix.lower()
    if suffix in NUMPY:
        return Arrays(files, wanted)
    try:
        if suffix in PARQUET:
            from bayesgmm.data.on_disk.parquet import Parquet

            return Parquet(files, wanted)
        from bayesgmm.data.on_disk.arrow import arrow_files

        return arrow_files(files, wanted)
    except ImportError:
        raise DataError(
            f"{short(place)} cannot be read, because this format needs pyarrow: pip install 'bayesgmm[parquet]'."
        ) from None


def _files(place: Path) -> list[Path]:
    """The file, or the files of a folder and of the folders in it, in the order of their names."""
    if place.is_dir():
        inner = [one for one in place.rglob("*") if one.is_file()]
        visible = [one for one in inner if not any(p[0] in "._" for p in one.relative_to(place).parts)]
        files = sorted(one for one in visible if one.suffix.lower() in PARQUET + ARROW + NUMPY)
        if not files:
            raise DataError(
                f"{short(place)} holds no file of Parquet (.parquet), Arrow (.arrow, .feather) or NumPy (.npy)."
            )
    else:
        files = [place]
    kinds = [next((kind for kind in (PARQUET, ARROW, NUMPY) if one.suffix.lower() in kind), None) for one in files]
    if None in kinds:
        raise DataError(
            f"{short(place)} is not read from disk: take Parquet, Arrow IPC, .npy or Zarr. Write text to Parquet with "
            "pyarrow.dataset.write_dataset(pyarrow.dataset.dataset(path, format='csv'), folder, format='parquet')."
        )
    if len(set(kinds)) > 1:
        other = files[next(i for i, kind in enumerate(kinds) if kind != kinds[0])]
        raise DataError(f"{short(place)} holds files of two formats: {short(files[0])} and {short(other)}.")
    return files


def _open_zarr(place: Path) -> Any:
    try:
        import zarr
    except ImportError:
        raise DataError(
            f"{short(place)} cannot be read, because Zarr needs the package zarr: pip install 'bayesgmm[zarr]'."
        ) from None
    try:
        return zarr.open(str(place), mode="r")
    except Exception as error:  # Zarr raises what its parser meets
        raise DataError(f"{short(place)} could not be read as a folder of Zarr ({reason(error)}).") from None
