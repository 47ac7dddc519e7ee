"""Read data files: text with separators, Parquet, Excel and others, or a built-in data set by name."""

import csv
import re
import shlex
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bayesgmm.data.binary import SUFFIXES, read_binary
from bayesgmm.data.class_column import number_classes
from bayesgmm.data.convert import as_doubles
from bayesgmm.data.datasets import SOURCES, load_dataset
from bayesgmm.data.delimited import Delimited, read_delimited
from bayesgmm.data.described import rows
from bayesgmm.data.layout import counts
from bayesgmm.data.marks import to_numbers
from bayesgmm.data.packing import contents
from bayesgmm.data.paths import printable, short
from bayesgmm.data.read_call import Source, repairs
from bayesgmm.data.standard_input import NAME, SIGN
from bayesgmm.data.table import Table
from bayesgmm.errors import DataError
from bayesgmm.runtime.checks import shown

if TYPE_CHECKING:
    import pandas as pd

FEWEST_COUNTED = 10
"""Fewest rows with a feature that counts them which is taken for an index."""


def read_file(
    path: str | Path, columns: list[str] | str | None = None, say: Callable[[str], object] | None = None,
    weights: str | None = None,
    labels: str | None = None,
    keep_empty: bool = False,
) -> Table:  # fmt: skip
    """Read text with separators (.csv, .tsv, .txt, …), another file of a table, or a built-in data set by name.

    Parameters
    ----------
    path
        The file, perhaps packed (.gz, .bz2, .xz, .zip): text, or .parquet, .xlsx, .feather, .arrow, .npy; or a name
        such as ``"faithful"``; or ``"-"``, the standard input.
    columns
        The features to keep, as a list or separated by commas (with quotes around names that hold commas); all columns
        by default.
    say
        Called with one line about what was read. Without it, text with decimal commas, with thousands marks or without
        a header is refused, since nobody would see that these were inferred.
    weights
        The column that says how often each row counts; it is no feature.
    labels
        A column of known classes, which is then no feature: words or numbers, blank where unknown (`number_classes`).
    keep_empty
        Whether columns that hold no value are kept, as in rows that are to be classified.

    Raises
    ------
    DataError
        If the file is missing, unreadable, ambiguous or empty, a column does not exist, or `as_table` refuses the data.
        The message has the line, and the call that reads such a file.
    """
    text, wanted = None, wanted_columns(columns)
    if weights is not None and labels is not None and weights.strip() == labels.strip():
        raise DataError(
            f"{weights} is given for weights (--weights) and for classes (--labels). A column is one of them."
        )
    if wanted is not None and weights is not None and weights not in wanted:
        wanted = [*wanted, weights]
    if not str(path).strip():
        raise DataError(f"The path of the data is blank. Give a file, or a built-in data set: {', '.join(SOURCES)}.")
    if str(path) in SOURCES:
        frame, notes = load_dataset(str(path), labels=labels is not None and labels == SOURCES[str(path)].label), []
    else:
        raw, suffix, packing = contents(path)
        path = NAME if path == SIGN else path
        if suffix in SUFFIXES:
            frame, notes = read_binary(raw, suffix, short(path))
        else:
            source = Source(raw, short(path), {"compression": packing} if packing else {})
            text = read_delimited(source, wanted and [str(columns), *wanted])
            frame, notes = text.frame, text.notes
            if text.options and say is None:
                _refuse_inferred(text)
    if weights is not None:
        _check_numbers_of_rows(frame, weights, path)
    frame, classes = (frame, None) if labels is None else _without_classes(frame, labels.strip(), wanted, notes)
    if wanted is not None:
        frame = frame.rename(columns=lambda name: str(name).strip())
        single = weights is None and columns in list(frame.columns)
        frame = _chosen(frame, [columns] if single else wanted)
    if frame.empty:
        raise DataError(f"{short(path)} has no rows. Check the file and its separator.")
    twice = frame.columns[frame.columns.duplicated()]
    if len(twice):
        raise DataError(f"Two columns are called {_quoted(twice)} in {short(path)}. Give each a different name.")
    frame = _checked(frame, path) if text is None else _numbers(frame, text)
    frame = frame if keep_empty else _without_empty(frame, notes)
    table = rows(frame, weights=weights, labels=classes)
    if wanted is None and str(path) not in SOURCES:
        notes.extend(_counting(table))
    if say is not None:
        names = _quoted(table.features[:8]) + (", …" if table.dim > 8 else "")
        about = [
            f"{table.num_rows} rows",
            f"{table.dim} column{'s' * (table.dim > 1)} ({names})",
            *([table.about] if table.about else []),
            *dict.fromkeys(notes),
        ]
        say(printable(f"Read {short(path)}: {', '.join(about)}."))
    return table


def _counting(table: Table) -> list[str]:
    """A note of each feature that only counts the rows."""
    if table.num_rows < FEWEST_COUNTED or table.dim == 1:
        return []
    counting = [name for d, name in enumerate(table.features) if counts(table.values[:, d])]
    return [f"{_quoted([name])} counts the rows (leave it out by --columns if it is an index)" for name in counting]


def _check_numbers_of_rows(frame: "pd.DataFrame", weights: str, path: Any) -> None:
    """Refuse a column of weights that is text, by its name."""
    import pandas as pd

    column: Any = frame.rename(columns=lambda name: str(name).strip()).get(weights.strip())
    if column is None or column.ndim > 1:
        return
    numbers: Any = pd.to_numeric(column, errors="coerce")
    bad = column[numbers.isna()]
    if len(bad):
        raise DataError(
            f"{weights} in {short(path)} cannot be weights (--weights), because it has {shown(bad.iloc[0])}. Weights "
            "are numbers: how often each row counts."
        )


def _without_classes(frame: "pd.DataFrame", labels: str, wanted: list[str] | None, notes: list[str]) -> tuple[Any, Any]:
    """The other columns, and the classes in this column, with a note of their numbers."""
    frame = frame.rename(columns=lambda name: str(name).strip())
    column = _chosen(frame, [labels]).iloc[:, 0]
    if labels in (wanted or []):
        raise DataError(f"{labels} is the column of classes (--labels), so that it is no feature. Leave it out.")
    if frame.shape[1] == 1:
        raise DataError(f"{labels} is the only column. Nothing would be left to fit.")
    classes, note = number_classes(column)
    notes.append(note)
    return frame.drop(columns=labels), classes


def _without_empty(frame: "pd.DataFrame", notes: list[str]) -> "pd.DataFrame":
    """The frame without columns that hold no value, with a note of each."""
    empty = [name for name in frame.columns if bool(frame[name].isna().to_numpy().all())]
    notes.extend(f"column {_quoted([name])} dropped: it holds no value" for name in empty)
    return frame.drop(columns=empty) if 0 < len(empty) < frame.shape[1] else frame


def _checked(frame: "pd.DataFrame", path: str | Path) -> "pd.DataFrame":
    """The frame, if each column has numbers."""
    refused, texts = [], []
    for name in frame.columns:
        try:
            as_doubles(frame[name])
        except DataError:
            refused.append(name)
            texts.append(_first_text(frame[name]))
    if refused:
        row, value = texts[0]
        where = f", with {shown(value)} in row {row} below the names," if value is not None else ""
        advice = _others(frame, refused) or "Give columns of numbers"
        if len(frame) > 1 and {row for row, _ in texts} == {len(frame)}:
            advice = "If the last row is a total or a note, delete it; if not, correct it"
        raise DataError(f"Not numeric: {_quoted(refused)}{where} in {short(path)}. {advice}.")
    return frame


def _first_text(column: Any) -> tuple[int, str | None]:
    """The row below the names, from 1, of the first text in a column, and this text; (0, None) if there is none."""
    return next(((row, value) for row, value in enumerate(column.tolist(), 1) if isinstance(value, str)), (0, None))


def _refuse_inferred(text: Delimited) -> None:
    what = " and ".join(note for note in text.notes if "comma" in note or "thousands" in note or "header" in note)
    first = " The first row has numbers, not names." if "header" in text.options else ""
    more = _arguments(text)
    call = text.source.call(**more) or text.source.call(dropna=True, usecols=list(text.frame.columns), **more)
    advice = f" Read it with {call}, and pass the frame." if call else ""
    raise DataError(
        f"{text.source.name} has {what}, so far as can be inferred.{first}{advice} The command line reads it, and "
        "prints what it read."
    )


def _arguments(text: Delimited) -> dict[str, Any]:
    """Arguments of `pandas.read_csv` for what was inferred."""
    return text.options | ({"index_col": 0} if "row names dropped" in text.notes else {})


def wanted_columns(columns: list[str] | str | None) -> list[str] | None:
    """Names of the columns to keep; a text is split at commas outside of quotes."""
    if not columns:
        return None
    names = next(csv.reader([columns], skipinitialspace=True)) if isinstance(columns, str) else columns
    names = [name.strip() for name in names if name.strip()]
    if not names:
        raise DataError(f"No column is named in {columns!r}. Give names, separated by commas.")
    return names


def _quoted(names: Iterable, between: str = ", ") -> str:
    """Names as ``columns`` takes them: those with a comma in quotes."""
    return between.join(f'"{name}"' if "," in str(name) else str(name) for name in names)


def _chosen(frame: Any, names: list) -> Any:
    missing = [name for name in names if name not in frame.columns]
    if missing:
        raise DataError(f"No column {_quoted(missing)}. Choose from {_quoted(frame.columns)}.")
    return frame[names]


def _numbers(frame: "pd.DataFrame", text: Delimited) -> "pd.DataFrame":
    """Columns that pandas left as text: as numbers, or the line of the first value that is none."""
    marks = text.options.get("decimal") or ".", text.options.get("thousands")
    converted, refused = {}, {}
    for d, name in enumerate(frame.columns):
        column = frame.iloc[:, d]
        if column.dtype.kind in "iufb":
            continue
        converted[name], bad = to_numbers(column, *marks)
        if bad.any():
            refused[name] = bad
    if refused:
        raise _not_numeric(frame, refused, text)
    return frame.assign(**converted)


def _others(frame: "pd.DataFrame", refused: Iterable) -> str:
    """The choice of the other columns, as advice; empty if there are none."""
    others = [name for name in frame.columns if name not in set(refused)]
    return f"Use --columns {shlex.quote(_quoted(others, ','))}" if others else ""


def _skipped(source: Source, line: int) -> list[int]:
    """Lines for ``skiprows``: those that are skipped anyway, and one more."""
    given = source.options.get("skiprows", [])
    return [*(range(given) if isinstance(given, int) else given), line]


def _not_numeric(frame: "pd.DataFrame", refused: dict[str, Any], text: Delimited) -> DataError:
    """The first value that is no number, its line, and the call that reads the rest."""
    header = "header" not in text.options
    columns = {}
    for name, bad in refused.items():
        texts = frame[name].map(str).mask(frame[name].isna(), "")
        columns[name if header else text.layout.header.index(name)] = texts.tolist(), texts[bad].tolist()
    name, bad = next(iter(refused.items()))
    first = int(bad.argmax())
    more = _arguments(text)
    if frame.shape[1] < text.frame.shape[1]:  # the user chose columns
        more = more | {"usecols": list(frame.columns), "index_col": ""}
    read = repairs(text.source, columns, **more)
    choose = _others(frame, refused)
    advice = f"{choose}, or r{read[1:]}" if choose and read else read or f"{choose or 'Correct them'}."
    word = re.search(r"[^\W\d_]{3}", str(frame[name].iloc[first]))
    if word and len(bad) > 2 and all(one[-1] and one.sum() == 1 for one in refused.values()):
        more["skiprows"] = _skipped(text.source, text.line_of(first) - 1)
        footer = text.source.call(**more)
        if footer:
            advice = (
                f"If this line is a total or a note, {footer} leaves it out.{f' If not: r{read[1:]}' if read else ''}"
            )
    also = f" Not numeric too: {_quoted(list(refused)[1:])}." if len(refused) > 1 else ""
    return DataError(
        f"Not numeric: {name}, with {str(frame[name].iloc[first])[:40]!r} in line {text.line_of(first)} of "
        f"{text.source.name} ({bad.sum()} of {len(bad)} values).{also} {advice}"
        + ("" if header else " The first row has numbers, so it is no header.")
    )
