"""Read data files: CSV, TSV, Parquet, or a built-in data set by name."""

from pathlib import Path

from bayesgmm.data.datasets import SOURCES, load_dataset
from bayesgmm.data.table import Table, as_table
from bayesgmm.errors import DataError


def read_file(path: str | Path, columns: list[str] | None = None) -> Table:
    """Read a CSV, TSV or Parquet file, or a built-in data set by name.

    Parameters
    ----------
    path
        ``.csv``, ``.tsv`` or ``.parquet`` file, or a name such as ``"faithful"``.
    columns
        The features to keep; all columns by default.

    Raises
    ------
    DataError
        If the file is missing, unreadable or empty, a column does not exist, or `as_table` refuses the data.
    """
    frame = load_dataset(str(path)) if str(path) in SOURCES else _read_frame(Path(path))
    if columns:
        frame = frame.rename(columns=lambda name: str(name).strip())
        missing = [name for name in columns if name not in frame.columns]
        if missing:
            raise DataError(f"No column {', '.join(missing)}. Choose from {', '.join(map(str, frame.columns))}.")
        frame = frame[columns]
    if frame.empty:
        raise DataError(f"{path} has no rows. Check the file and its separator.")
    if columns is None:
        _refuse_odd_header(frame, path)
    return as_table(frame)


def _refuse_odd_header(frame, path: str | Path) -> None:
    names = list(map(str, frame.columns))
    unnamed = [name for name in names if name.startswith("Unnamed:")]
    if unnamed:
        raise DataError(
            f"{path} has a column without a name (an index?). Give it a name, or choose the features with --columns."
        )
    if all(name.replace(".", "", 1).replace("-", "", 1).replace("e", "", 1).isdigit() for name in names):
        raise DataError(f"The first row of {path} has numbers ({', '.join(names[:4])}), not names. Add a header row.")


def _read_frame(path: Path):
    import pandas as pd

    if not path.exists():
        raise DataError(f"No file {path}. Check the path, or choose a built-in data set: {', '.join(SOURCES)}.")
    try:
        if path.suffix == ".parquet":
            return pd.read_parquet(path)
        return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",")
    except pd.errors.EmptyDataError:
        raise DataError(f"{path} is empty. Check that it was written completely.") from None
    except (OSError, ValueError, UnicodeDecodeError) as error:
        raise DataError(f"{path} could not be read ({error}). Give a CSV or Parquet file with a header row.") from None
